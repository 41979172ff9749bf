//! Conversations with the step.

use super::kit::{Talk, found};
use crate::dialogue::consent::Consent;
use crate::dialogue::event::{ActionOutcome, Effect, Event, Note, Reason, Understanding};
use crate::dialogue::hours::{Day, Hours, HoursConfig};
use crate::dialogue::state::{MAX_QUEUED, Said, State, Timer};

const ORDER: &str = "20261103887421";

/// Each turn of the visitor and what comes of it.
#[test]
#[rustfmt::skip]
fn conversations() {
    let rows: &[(&str, &[(&str, &str)])] = &[
        ("an answer", &[("@shipping 运费多少", "满 99 元包邮。")]),
        ("in English", &[("@shipping how much is shipping", "Free from 99 yuan.")]),
        ("slot, confirmation, action", &[
            ("@cancel 取消订单", "哪个订单？"), (ORDER, "取消订单 20261103887421？"), ("嗯嗯好的", ""),
        ]),
        ("a no", &[("@close 注销", "确定注销？"), ("还是算了", "好的，那就不办了，有需要随时找我。")]),
        ("neither, then neither", &[
            ("@close 注销", "确定注销？"), ("我再想想", "抱歉，我没听明白您同不同意。 / 确定注销？"), ("嗯这个嘛", "刚才那件事先不办了。"),
        ]),
        ("another question drops the confirmation", &[
            ("@close 注销", "确定注销？"), ("@shipping 运费多少", "刚才那件事先不办了。 | 满 99 元包邮。"), ("是的", "好的，有需要随时找我。"),
        ]),
        ("a correction is confirmed anew", &[
            ("@cancel 取消订单 20261103887421", "取消订单 20261103887421？"), ("对，不过订单是20261103887422", "取消订单 20261103887422？"),
        ]),
        ("取消 urges a cancellation on", &[
            ("@cancel 取消订单 20261103887421", "取消订单 20261103887421？"), ("@cancel 取消", "抱歉，我没听明白您同不同意。 / 取消订单 20261103887421？"), ("确定取消", ""),
        ]),
        ("a question between slots", &[
            ("@cancel 取消订单", "哪个订单？"), ("@shipping 运费多少", "满 99 元包邮。 | 哪个订单？"), (ORDER, "取消订单 20261103887421？"),
        ]),
        ("a form between slots", &[
            ("@cancel 取消订单", "哪个订单？"), ("@close 注销", "确定注销？"), ("不用了", "好的，那就不办了，有需要随时找我。 | 哪个订单？"),
        ]),
        ("back to the form that waits", &[
            ("@cancel 取消订单", "哪个订单？"), ("@close 注销", "确定注销？"), ("@cancel 取消订单 20261103887421", "刚才那件事先不办了。 | 取消订单 20261103887421？"),
        ]),
        ("a slot given up", &[
            ("@cancel cancel my order", "Which order?"), ("no idea", "That is no order number. / Which order?"), ("i forgot", "I'm connecting you to one of our agents."),
        ]),
        ("did you mean, by number", &[("~shipping,close 那个", "您是想问下面哪一个？回复数字就行。\n1. 运费\n2. 注销账户"), ("第二个", "确定注销？")]),
        ("did you mean, by title", &[("~shipping,close that", "Which of these did you mean? A number will do.\n1. Shipping cost\n2. Close the account"), ("shipping cost", "Free from 99 yuan.")]),
        ("did you mean, one", &[("~cancel 20261103887421那个", "您是想问“取消订单”吗？"), ("对", "取消订单 20261103887421？")]),
        ("did you mean, yes to several", &[
            ("~shipping,close 那个", "您是想问下面哪一个？回复数字就行。\n1. 运费\n2. 注销账户"), ("是的", "您是想问下面哪一个？回复数字就行。\n1. 运费\n2. 注销账户"), ("是的", "正在为您转接人工客服，请稍等。"),
        ]),
        ("did you mean, none", &[("~shipping,close 那个", "您是想问下面哪一个？回复数字就行。\n1. 运费\n2. 注销账户"), ("都不是", "正在为您转接人工客服，请稍等。")]),
        ("did you mean, nothing", &[("~close 那个", "您是想问“注销账户”吗？"), ("不用了", "好的，那就不办了，有需要随时找我。")]),
        ("did you mean, no", &[("~close 那个", "您是想问“注销账户”吗？"), ("不是", "正在为您转接人工客服，请稍等。")]),
        ("did you mean, said otherwise", &[("~shipping,close 那个", "您是想问下面哪一个？回复数字就行。\n1. 运费\n2. 注销账户"), ("@shipping 邮费", "满 99 元包邮。")]),
        ("twice not understood", &[("天气如何", "抱歉，我没太明白。您可以换个说法再问一次，例如“我的订单到哪了”。"), ("~shipping,close 那个", "正在为您转接人工客服，请稍等。")]),
        ("an answer between", &[
            ("天气如何", "抱歉，我没太明白。您可以换个说法再问一次，例如“我的订单到哪了”。"), ("@shipping 运费", "满 99 元包邮。"), ("天气如何", "抱歉，我没太明白。您可以换个说法再问一次，例如“我的订单到哪了”。"),
        ]),
        ("no words are no failure", &[("🙂", "我在的，请直接告诉我您想问什么。"), ("🙂🙂", "我在的，请直接告诉我您想问什么。"), ("!!", "我在的，请直接告诉我您想问什么。")]),
        ("what asks nothing is no failure", &[("算了", "好的，那就不办了，有需要随时找我。"), ("嗯嗯好的", "好的，有需要随时找我。"), ("never mind", "All right, I'll leave it. Just write when you need me.")]),
        ("an intent that is gone", &[("@gone 那个", "抱歉，这项服务刚刚有变动，麻烦您再说一次您的需要。")]),
        ("a human", &[("@human 转人工", "这就为您转人工。"), ("你好", "")]),
    ];
    for (name, turns) in rows {
        let mut talk = Talk::new();
        for (text, expected) in *turns {
            talk.says(text);
            assert_eq!(talk.said(), *expected, "{name}: {text}");
        }
    }
}

#[test]
fn an_action_gets_its_values_and_its_answer() {
    let mut talk = Talk::new();
    talk.says("@cancel 取消订单").says(ORDER).says("是");
    let [Effect::Act(webhook), Effect::SetTimer { .. }] = &talk.effects[..] else {
        panic!("{:?}", talk.effects)
    };
    let id = webhook.id;
    assert_eq!(id, talk.seq(), "the same on a retry");
    assert_eq!(webhook.url, "https://shop.example/cancel");
    assert_eq!(webhook.slots["order"], ORDER);
    let replied =
        |texts: &[&str]| ActionOutcome::Replied(texts.iter().map(|t| (*t).into()).collect());
    let mut other = talk.clone();
    talk.on(Event::ActionDone { id, outcome: replied(&[]) });
    assert_eq!(talk.said(), "订单 20261103887421 已取消。");
    talk.on(Event::ActionDone { id, outcome: replied(&["twice"]) });
    assert_eq!(talk.effects, [], "an action ends once");
    other.on(Event::ActionDone { id, outcome: replied(&["已退回 35 元。"]) });
    assert_eq!(other.said(), "已退回 35 元。", "the service's own words go first");
}

/// What was written before a question was asked cannot agree to it.
#[test]
fn a_yes_from_before_the_question_is_none() {
    let mut talk = Talk::new();
    talk.writes("@close 注销");
    let seq = talk.seq();
    talk.writes("是的");
    assert_eq!(talk.effects, []);
    talk.on(Event::Understood { seq, found: found("@close 注销") });
    assert_eq!(talk.told(), "waiting_reply: say confirm, understand");
    talk.reads();
    assert_eq!(talk.told(), "waiting_confirm: say confirm", "asked again");
    talk.says("是的");
    assert_eq!(talk.told(), "processing: act close");
    // A no is always safe.
    let mut talk = Talk::new();
    talk.writes("@close 注销").writes("不用了");
    talk.on(Event::Understood { seq, found: found("@close 注销") });
    assert_eq!(talk.told(), "idle: say confirm, say notice");
}

#[test]
fn meaning_decides_where_words_do_not() {
    let close = |text: &str| {
        let mut talk = Talk::new();
        talk.says("@close 注销").writes(text);
        talk
    };
    for (meaning, text, expected) in [
        (Some(Consent::Yes), "那就照你说的来", "processing: act close"),
        (Some(Consent::No), "@shipping 那就", "idle: say notice"),
        (Some(Consent::Yes), "@shipping 运费多少", "idle: say notice, say answer"),
        (Some(Consent::Unclear), "那就照你说的来", "waiting_confirm: say confirm"),
        (None, "那就照你说的来", "waiting_confirm: say confirm"),
    ] {
        let mut talk = close(text);
        let found = Understanding { meaning, ..found(text) };
        talk.on(Event::Understood { seq: talk.seq(), found });
        assert_eq!(talk.told(), expected, "{meaning:?}");
    }
    let mut talk = close("@shipping 运费");
    let found = Understanding {
        meaning: Some(Consent::Yes),
        tier: crate::intent::answer::Tier::Keyword,
        ..found("@shipping 运费")
    };
    talk.on(Event::Understood { seq: talk.seq(), found });
    assert_eq!(talk.told(), "idle: say notice, say answer", "a sure question is no yes");
}

#[test]
fn meaning_answers_a_did_you_mean() {
    for (meaning, text, expected) in [
        (Consent::Yes, "照你说的来", "waiting_confirm: say confirm"),
        (Consent::No, "还差得远", "in the queue: say notice, hand off"),
        (Consent::No, "@shipping 还差得远，我要包邮", "idle: say answer"),
    ] {
        let mut talk = Talk::new();
        talk.says("~close 那个").writes(text);
        let found = Understanding { meaning: Some(meaning), ..found(text) };
        assert_eq!(
            talk.on(Event::Understood { seq: talk.seq(), found }).told(),
            expected,
            "{text}"
        );
    }
}

/// The server may have been down while the time ran out.
#[test]
fn a_late_yes_agrees_to_nothing() {
    let mut talk = Talk::new();
    talk.says("@close 注销");
    talk.now_ms += 5 * 60_000;
    talk.says("@shipping 是的");
    assert_eq!(talk.told(), "idle: say answer");
    talk.says("@close 注销").now_ms += 5 * 60_000 - 1;
    talk.on(Event::Timeout(Timer::Confirm));
    assert_eq!(
        talk.effects,
        [Effect::SetTimer { timer: Timer::Confirm, after_ms: 1 }],
        "too early"
    );
    assert_eq!(talk.says("是的").told(), "processing: act close");
}

#[test]
fn messages_wait_their_turn() {
    let mut talk = Talk::new();
    talk.writes("@shipping 一");
    let first = talk.seq();
    for _ in 0..MAX_QUEUED {
        talk.writes("二");
        assert_eq!(talk.effects, []);
    }
    talk.writes("三");
    assert_eq!(talk.told(), "waiting_reply: say notice", "too many at once is said");
    talk.on(Event::Understood { seq: first, found: found("@shipping 一") });
    let Some(Effect::Understand(next)) = talk.effects.get(1) else { panic!("{:?}", talk.effects) };
    assert_eq!((next.seq, next.text.as_str()), (first + 1, "二"));
    let again = Said { seq: first + 1, text: "二".into() };
    talk.on(Event::Message(again));
    assert_eq!(talk.notes, [Note::Ignored { what: "message" }], "a message counts once");
}

#[test]
fn out_of_hours_the_bot_stays() {
    let week = [(Day::Mon, vec!["09:00-18:00".to_owned()])].into();
    let config = HoursConfig { time_zone: "Asia/Shanghai".into(), week, ..Default::default() };
    let mut talk = Talk::new();
    talk.hours = Hours::new(&config).unwrap();
    talk.says("@human 转人工");
    assert_eq!(talk.told(), "idle: say notice, follow up");
    assert!(talk.said().contains("9 月 28 日（周一）09:00"), "{}", talk.said());
    assert!(talk.effects.iter().any(|effect| matches!(
        effect,
        Effect::FollowUp { reason: Reason::Asked { .. }, from_ms: Some(1_790_557_200_000) }
    )));
    assert!(talk.state.ownership.is_bots());
    assert_eq!(talk.says("@shipping 运费").told(), "idle: say answer");
}

#[test]
fn a_bot_is_silent_beside_a_human() {
    let mut talk = Talk::new();
    talk.writes("@shipping 运费").writes("快点");
    let fence = talk.state.ownership.fence();
    talk.on(Event::TakenOver { agent: "li".into() });
    assert_eq!(talk.told(), "with an agent: –");
    assert!(!talk.state.ownership.admits(fence), "what was begun before does not commit");
    talk.reads();
    assert_eq!(talk.told(), "with an agent: –");
    assert_eq!(talk.says("在吗").told(), "with an agent: –");
    talk.on(Event::QueueJoined { position: 1, wait_ms: None });
    assert_eq!(talk.told(), "with an agent: –", "a late place in the queue");
    assert_eq!(talk.on(Event::Resumed).told(), "idle: –");
    assert_eq!(talk.says("@shipping 运费").told(), "idle: say answer");
}

/// A state that is older than the knowledge base, or the program, goes on.
#[test]
fn an_old_state_goes_on() {
    let bare: State = serde_json::from_str(r#"{"lang": "en", "later": 1}"#).unwrap();
    assert_eq!(bare, State::new(crate::intent::knowledge::Lang::En));
    let old = r#"{"lang": "zh", "seen": 9, "deadline": {"timer": "confirm", "at_ms": 1790000060000},
        "phase": {"waiting_confirm": {"from_seq": 9, "about": {"action": {"intent": "gone", "lang": "zh"}}}}}"#;
    let mut talk = Talk::new();
    talk.state = serde_json::from_str(old).unwrap();
    let before = talk.clone();
    assert_eq!(talk.says("是的").told(), "idle: say fallback");
    let unfilled = old.replace("gone", "cancel");
    talk.state = serde_json::from_str(&unfilled).unwrap();
    assert_eq!(talk.says("是的").told(), "waiting_confirm: say ask", "what is new is asked for");
    talk = before;
    assert_eq!(talk.says("@shipping 运费").told(), "idle: say answer");
}
