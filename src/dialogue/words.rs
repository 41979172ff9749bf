//! What visitors say about a form, rather than into it: cancel, “I don't know”, “no, it is …”.
//!
//! Short lists, matched against the whole message or its beginning: a long message with one of these
//! words in it may be about anything, and a visitor who is misread here loses what he wrote.

use crate::intent::entity::Entity;
use crate::intent::keyword::{is_han, trim_punctuation};
use crate::intent::knowledge::Lang;
use crate::intent::normalize::normalize;

/// The whole message: the visitor wants nothing any more.
pub(super) const CANCEL: &[&str] = &[
    "算了",
    "取消",
    "不用了",
    "不弄了",
    "不办了",
    "不要了",
    "先不弄了",
    "先不办了",
    "不需要了",
    "不查了",
    "没事了",
    "不想弄了",
    "cancel",
    "cancel it",
    "cancel that",
    "cancel this",
    "never mind",
    "nevermind",
    "nvm",
    "forget it",
    "forget about it",
    "stop",
    "quit",
    "no thanks",
    "no thank you",
    "not any more",
    "not anymore",
    "leave it",
];

/// The whole message: the visitor cannot or will not say it.
const DECLINE: &[&str] = &[
    "没有",
    "没",
    "没有了",
    "不知道",
    "我不知道",
    "不清楚",
    "不记得",
    "不记得了",
    "忘了",
    "忘记了",
    "找不到",
    "我没有",
    "跳过",
    "略过",
    "不想说",
    "不方便",
    "不告诉你",
    "无",
    "不填",
    "先不填",
    "都可以",
    "随便",
    "skip",
    "skip it",
    "skip this",
    "pass",
    "none",
    "no",
    "nope",
    "n/a",
    "na",
    "no idea",
    "not sure",
    "i'm not sure",
    "im not sure",
    "dunno",
    "i dunno",
    "i don't know",
    "i dont know",
    "don't know",
    "dont know",
    "i do not know",
    "i don't have it",
    "i dont have it",
    "don't have it",
    "dont have it",
    "i don't have one",
    "i dont have one",
    "don't have one",
    "i can't find it",
    "i cant find it",
    "can't find it",
    "cant find it",
    "i forgot",
    "forgot",
    "i don't remember",
    "i dont remember",
    "don't remember",
];

/// The beginning of a message that takes back what was said before.
const CORRECTION: &[&str] = &[
    "不对",
    "不是",
    "错了",
    "说错",
    "写错",
    "打错",
    "搞错",
    "弄错",
    "我说错",
    "我写错",
    "我打错",
    "更正",
    "改成",
    "改为",
    "应该是",
    "哦不",
    "no,",
    "no ",
    "nope",
    "not ",
    "wrong",
    "sorry",
    "oops",
    "actually",
    "i mean",
    "i meant",
    "correction",
    "make that",
    "make it",
    "change it to",
    "it should be",
    "should be",
];

/// What a value is no value after.
const DENIAL: &[&str] = &["不是", "而不是", "并非", "不要", "not", "isn't", "isnt", "instead of"];

/// What a question has, where it has no mark.
const QUESTION: &[&str] = &[
    "怎么",
    "什么时候",
    "多久",
    "为什么",
    "多少",
    "哪里",
    "能不能",
    "可不可以",
    "可以吗",
    "能吗",
    "是不是",
    "有没有",
    "吗",
    "呢",
];
const QUESTION_START: &[&str] = &[
    "how", "what", "when", "where", "why", "who", "which", "can", "could", "do", "does", "is",
    "are", "will",
];

/// Particles that change nothing at the end of a Chinese message; 了 is none of them.
const PARTICLES: [char; 8] = ['吧', '啊', '呀', '哦', '啦', '呢', '嘛', '哈'];

/// True when the whole message calls the matter off.
pub(super) fn cancels(text: &str) -> bool {
    is_one_of(text, CANCEL)
}

/// True when the whole message says that there is no answer.
pub(super) fn declines(text: &str) -> bool {
    is_one_of(text, DECLINE)
}

/// True when the message begins by taking something back.
pub(super) fn corrects(text: &str) -> bool {
    let normal = normalize(text);
    let text = normal.text().trim_start_matches(|c: char| c.is_ascii_punctuation() || c == '。');
    CORRECTION.iter().any(|word| {
        text.strip_prefix(word).is_some_and(|rest| {
            let latin = word.ends_with(|c: char| c.is_ascii_alphabetic());
            !latin || !rest.starts_with(|c: char| c.is_ascii_alphanumeric())
        })
    })
}

/// True when the message has the form of a question.
pub(super) fn questions(text: &str) -> bool {
    let normal = normalize(text);
    let text = normal.text();
    let first = text.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    text.contains('?')
        || QUESTION.iter().any(|word| text.contains(word))
        || QUESTION_START.contains(&first)
}

/// True when the words before the value deny it: “不是123，是456”.
pub(super) fn denies(original: &str, entity: &Entity) -> bool {
    let before: String = original.chars().take(entity.start).collect();
    let normal = normalize(&before);
    let before = normal.text();
    DENIAL.iter().any(|word| {
        before.strip_suffix(word).is_some_and(|rest| {
            let latin = word.starts_with(|c: char| c.is_ascii_alphabetic());
            !latin || !rest.ends_with(|c: char| c.is_ascii_alphanumeric())
        })
    })
}

/// The language that the message shows: Chinese by a Han character, English by a word outside its
/// values. A bare order number shows none.
pub(super) fn language(text: &str, entities: &[Entity]) -> Option<Lang> {
    if text.chars().any(is_han) {
        return Some(Lang::Zh);
    }
    let mut letters = 0;
    for (at, c) in text.chars().enumerate() {
        let inside = entities.iter().any(|one| one.start <= at && at < one.end);
        letters = if c.is_ascii_alphabetic() && !inside { letters + 1 } else { 0 };
        if letters >= 2 {
            return Some(Lang::En);
        }
    }
    None
}

/// A whole message as its words are compared.
pub(super) fn phrase(text: &str) -> String {
    trim_punctuation(normalize(text).text()).replace('’', "'")
}

fn is_one_of(text: &str, words: &[&str]) -> bool {
    let whole = phrase(text);
    words.contains(&whole.as_str()) || words.contains(&whole.trim_end_matches(PARTICLES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for (text, cancel, decline, correct) in [
            ("算了", true, false, false),
            ("算了吧。", true, false, false),
            ("取消！", true, false, false),
            ("Never mind", true, false, false),
            ("cancel it.", true, false, false),
            ("取消订单", false, false, false),
            ("please cancel my order", false, false, false),
            ("没有", false, true, false),
            ("不知道呀", false, true, false),
            ("I don’t know", false, true, false),
            ("no", false, true, false),
            ("没有收到货", false, false, false),
            ("I don't know why it is late", false, false, false),
            ("不对，是12345678", false, false, true),
            ("No, it's 12345678", false, false, true),
            ("sorry I meant 12345678", false, false, true),
            ("actually 12345678", false, false, true),
            ("no. 12345678", false, false, false),
            ("notebook", false, false, false),
            ("Nottingham Road 5", false, false, false),
            ("", false, false, false),
        ] {
            let found = (cancels(text), declines(text), corrects(text));
            assert_eq!(found, (cancel, decline, correct), "{text}");
        }
        for (text, question) in [
            ("多久能到", true),
            ("文三路88号", false),
            ("where is it", true),
            ("5 Elm Road", false),
            ("Willow Road 3", false),
            ("送公司？", true),
        ] {
            assert_eq!(questions(text), question, "{text}");
        }
    }
}
