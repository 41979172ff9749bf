//! What the bot says by itself, in Chinese and English; everything else it says is the knowledge
//! base's.

use jiff::civil::DateTime;

use crate::intent::knowledge::Lang;

/// A sentence of the bot's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phrase {
    /// Yes, as a quick reply.
    Yes,
    /// No, as a quick reply.
    No,
    /// None of the candidates, as a quick reply.
    NoneOfThem,
    /// The message has no word in it.
    Nothing,
    /// The visitor agrees to something that nobody asked.
    Acknowledged,
    /// It was not understood.
    Fallback,
    /// The answer to yes or no was neither.
    Unclear,
    /// The visitor called the matter off.
    Cancelled,
    /// Another question came instead of a yes.
    Dropped,
    /// No answer came.
    Expired,
    /// The engine takes long.
    Slow,
    /// An action takes long.
    Working,
    /// The service did not do it.
    Failed,
    /// An action has ended, and nobody wrote what to say.
    Done,
    /// What was talked about is not there any more.
    Gone,
    /// Too many messages at once.
    TooFast,
    /// A human comes.
    HandOff,
}

impl Phrase {
    /// In the language `lang`.
    pub fn text(self, lang: Lang) -> &'static str {
        let (zh, en) = match self {
            Self::Yes => ("是", "Yes"),
            Self::No => ("否", "No"),
            Self::NoneOfThem => ("都不是", "None of these"),
            Self::Nothing => {
                ("我在的，请直接告诉我您想问什么。", "I'm here. Just tell me what you need.")
            }
            Self::Acknowledged => {
                ("好的，有需要随时找我。", "All right. Just write when you need me.")
            }
            Self::Fallback => (
                "抱歉，我没太明白。您可以换个说法再问一次，例如“我的订单到哪了”。",
                "Sorry, I didn't quite get that. Could you put it another way, such as “where is my order”?",
            ),
            Self::Unclear => {
                ("抱歉，我没听明白您同不同意。", "Sorry, I couldn't tell whether that's a yes.")
            }
            Self::Cancelled => (
                "好的，那就不办了，有需要随时找我。",
                "All right, I'll leave it. Just write when you need me.",
            ),
            Self::Dropped => ("刚才那件事先不办了。", "I'll leave the other matter as it is."),
            Self::Expired => (
                "一直没有等到您的答复，刚才那件事先不办了，需要时再告诉我。",
                "I haven't heard back, so I've left things as they were. Just tell me when you need it.",
            ),
            Self::Slow => {
                ("抱歉让您久等了，我再看一下。", "Sorry for the wait, let me look again.")
            }
            Self::Working => (
                "还在为您办理，请再稍等一下。",
                "I'm still on it, please bear with me a little longer.",
            ),
            Self::Failed => ("抱歉，刚才没有办成。", "Sorry, that didn't work out."),
            Self::Done => ("已经为您办好了。", "That's done."),
            Self::Gone => (
                "抱歉，这项服务刚刚有变动，麻烦您再说一次您的需要。",
                "Sorry, that service has just changed. Please tell me again what you need.",
            ),
            Self::TooFast => (
                "消息有点多，我先处理前面的，这一条请稍后再发。",
                "That's a lot at once. Let me deal with the earlier messages first; please send this one again later.",
            ),
            Self::HandOff => {
                ("正在为您转接人工客服，请稍等。", "I'm connecting you to one of our agents.")
            }
        };
        match lang {
            Lang::Zh => zh,
            Lang::En => en,
        }
    }
}

/// “Did you mean”, with the titles of the candidates, numbered when there are several.
pub(super) fn did_you_mean(titles: &[&str], lang: Lang) -> String {
    if let [title] = titles {
        return match lang {
            Lang::Zh => format!("您是想问“{title}”吗？"),
            Lang::En => format!("Did you mean “{title}”?"),
        };
    }
    let mut text = match lang {
        Lang::Zh => "您是想问下面哪一个？回复数字就行。",
        Lang::En => "Which of these did you mean? A number will do.",
    }
    .to_owned();
    for (at, title) in titles.iter().enumerate() {
        text.push_str(&format!("\n{}. {title}", at + 1));
    }
    text
}

/// Where the visitor stands in the queue.
pub(super) fn queued(position: usize, wait_ms: Option<u64>, lang: Lang) -> String {
    let minutes = wait_ms.map(|ms| ms.div_ceil(60_000).max(1));
    let ahead = position.saturating_sub(1);
    match (lang, ahead, minutes) {
        (Lang::Zh, 0, None) => "您是下一位，人工客服马上就来。".to_owned(),
        (Lang::Zh, 0, Some(minutes)) => {
            format!("您是下一位，预计 {minutes} 分钟内有人工客服接待。")
        }
        (Lang::Zh, _, None) => format!("您前面还有 {ahead} 位在等待。"),
        (Lang::Zh, _, Some(minutes)) => {
            format!("您前面还有 {ahead} 位在等待，预计等待 {minutes} 分钟。")
        }
        (Lang::En, 0, None) => "You are next; an agent will be with you shortly.".to_owned(),
        (Lang::En, 0, Some(minutes)) => {
            format!("You are next; an agent should be with you in about {minutes} min.")
        }
        (Lang::En, _, None) => format!("You are number {position} in line."),
        (Lang::En, _, Some(minutes)) => {
            format!("You are number {position} in line; the wait is about {minutes} min.")
        }
    }
}

/// When somebody is at work again, `days` after today.
pub(super) fn opening(at: DateTime, days: i32, lang: Lang) -> String {
    let clock = format!("{:02}:{:02}", at.hour(), at.minute());
    let weekday = at.weekday().to_monday_zero_offset() as usize;
    match (lang, days) {
        (Lang::Zh, 0) => format!("今天 {clock}"),
        (Lang::Zh, 1) => format!("明天 {clock}"),
        (Lang::Zh, _) => {
            let weekday = ["一", "二", "三", "四", "五", "六", "日"][weekday];
            format!("{} 月 {} 日（周{weekday}）{clock}", at.month(), at.day())
        }
        (Lang::En, 0) => format!("today at {clock}"),
        (Lang::En, 1) => format!("tomorrow at {clock}"),
        (Lang::En, _) => {
            let weekday =
                ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
                    [weekday];
            format!("on {weekday}, {} at {clock}", at.date())
        }
    }
}

/// Nobody is at work.
pub(super) fn closed(opening: Option<&str>, lang: Lang) -> String {
    match (lang, opening) {
        (Lang::Zh, Some(opening)) => format!(
            "人工客服现在不在线，{opening} 上班后会尽快联系您。您可以先把问题留在这里，也可以继续问我。"
        ),
        (Lang::Zh, None) => {
            "人工客服现在不在线。您可以先把问题留在这里，也可以继续问我。".to_owned()
        }
        (Lang::En, Some(opening)) => format!(
            "Our agents are away; they are back {opening} and will get in touch. Leave your question here, or go on asking me."
        ),
        (Lang::En, None) => {
            "Our agents are away. Leave your question here, or go on asking me.".to_owned()
        }
    }
}
