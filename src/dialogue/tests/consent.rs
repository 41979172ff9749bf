//! Yes and no, as a table.

use crate::dialogue::consent::Consent::{self, No, Unclear, Yes};
use crate::dialogue::consent::{PROTOTYPES, by_words, by_words_about};
use crate::dialogue::meaning::Meaning;

#[rustfmt::skip]
const ROWS: &[(Consent, &[&str])] = &[
    (Yes, &[
        "是", "是的", "是的。", "是啊", "是是是", "对", "对的", "对对对", "对呀", "嗯", "嗯嗯", "嗯嗯好的", "恩", "好", "好的", "好的呀", "好滴", "好嘞",
        "好吧", "好好好", "好的，谢谢", "好的，麻烦您了", "那好吧", "可以", "可以的", "可以可以", "可以啊", "行", "行的", "行吧", "行，就这样", "没问题", "沒問題",
        "没错", "确定", "確定", "我确定", "确认", "确认，提交吧", "肯定", "当然", "当然可以", "同意", "我同意", "要", "要的", "我要", "需要", "嗯，对的",
        "就这么办吧", "办理吧", "OK", "ok的", "ＯＫ", "Ok!", "好的👌", "👌", "👍", "👍🏽", "👍👍👍", "✅", "✔️", "🙆‍♀️", "是的是的", "哦，好的", "那就这样吧", "很好",
        "yes", "Yes.", "YES!!!", "yesss", "yep", "yup", "yeah sure", "yes please", "y", "sure", "sure thanks", "ok", "okay", "okkkk", "k", "alright", "go ahead",
        "yes, go ahead", "please go ahead", "please do", "do it", "just do it", "confirm", "confirmed", "correct", "that's correct", "That’s right",
        "right", "sounds good", "looks good to me", "absolutely", "definitely", "of course", "no problem", "no problem at all", "why not",
        "fine by me", "i agree", "yes I am sure", "I think so", "for sure", "please", "ok do it", "yes it is", "works for me", "all good, thanks",
    ]),
    (No, &[
        "不", "不是", "不是的", "不对", "不对不对", "好像不对", "不行", "不可以", "不要", "不要了", "不用", "不用了", "不用了，谢谢", "不需要", "不必了", "不了", "不了不了",
        "不同意", "不想", "算了", "算了吧", "还是算了", "还是不用了吧", "好的，不用了", "好吧，算了", "嗯，先不用", "取消", "取消吧", "别", "别别别", "先不", "先不要了",
        "暂时不用", "否", "错了", "不是这个", "都不是", "下次吧", "再说吧", "不办了", "我反悔了", "❌", "👎", "🙅‍♀️", "不🙏", "算了，谢谢", "不弄了",
        "no", "No.", "nooo", "nope", "nah", "n", "no thanks", "no, thank you", "no thank you so much", "never mind", "nevermind", "don't", "Don’t", "please don't", "don't do it",
        "not now", "not yet", "not really", "cancel", "cancel that", "stop", "forget it", "ok never mind", "okay, no", "wrong", "that's wrong", "that's not right",
        "incorrect", "maybe later", "no need", "no way", "absolutely not", "I don't think so", "i'd rather not", "no it isn't", "I changed my mind", "no sorry", "no please",
    ]),
    (Unclear, &[
        "", "?", "是吗", "是？", "可以吗", "好吗", "对吗？", "ok?", "yes?", "不是不行", "不是不可以", "好不好", "行不行", "是不是", "要不要", "不确定", "不太确定", "不一定", "我再想想", "等一下", "稍等",
        "随便", "不知道", "是，不是", "不，好的，可以", "yes no", "no, do it", "yes and no", "maybe", "maybe not", "perhaps", "not sure", "I'm not sure", "wait", "hold on", "you decide",
        "对，但是地址改一下", "好的，换个地址", "是的，不过不要发顺丰", "yes but change the address", "sure, but tomorrow", "no, order 12345678", "你好", "您好", "hello", "对了", "好了", "行了", "别的",
        "取消订单", "好的取消订单", "不好意思", "谢谢", "谢谢你", "thanks", "🙏", "😊", "12345678", "我要退款", "要多少钱", "没收到货", "可以便宜点吗", "right now", "good morning",
        "where is my order", "notebook", "yesterday", "know", "okra", "不客气", "对方拒收", "可乐", "行李箱", "好评返现", "别针", "是否包邮", "why not refund me",
        "yes yes yes yes yes yes yes yes yes yes yes", "can you do it", "do you confirm", "多久", "为什么", "怎么办理", "go", "…", "。。。",
    ]),
];

#[test]
fn words_say_yes_or_no() {
    let wrong: Vec<String> = ROWS
        .iter()
        .flat_map(|(expected, texts)| texts.iter().map(move |text| (*expected, *text)))
        .filter(|(expected, text)| by_words(text) != *expected)
        .map(|(expected, text)| format!("{text:?} is {expected:?}, not {:?}", by_words(text)))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// “取消” when the question is whether to cancel.
#[test]
fn a_cancellation_is_agreed_to_in_its_own_words() {
    let urges = |word: &str| ["取消", "cancel", "cancel it"].contains(&word);
    for (text, expected) in [
        ("取消", Unclear),
        ("cancel it", Unclear),
        ("确定取消", Yes),
        ("对，取消吧", Yes),
        ("好的，取消", Yes),
        ("yes, cancel it", Yes),
        ("不取消", No),
        ("别取消了", No),
        ("don't cancel", No),
        ("算了", No),
        ("never mind", No),
    ] {
        assert_eq!(by_words_about(text, urges), expected, "{text}");
    }
    assert_eq!(by_words("确定取消"), Unclear, "for any other question it is both");
}

#[test]
fn prototypes_are_many_and_the_words_contradict_none() {
    let all: Vec<(Consent, &str)> = PROTOTYPES
        .iter()
        .flat_map(|(meaning, texts)| texts.iter().map(move |text| (*meaning, *text)))
        .collect();
    let count = |meaning| all.iter().filter(|one| one.0 == meaning).count();
    assert!(count(Yes) >= 40 && count(No) >= 40 && count(Unclear) >= 60);
    let mut texts: Vec<&str> = all.iter().map(|one| one.1).collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), all.len(), "each once");
    for (meaning, text) in all {
        let found = by_words(text);
        assert!(found == meaning || found == Unclear, "{text} is {meaning:?}, by words {found:?}");
    }
}

/// Three groups of vectors that have most in common, as an encoder's have.
#[test]
fn a_meaning_is_told_by_what_sets_it_apart() {
    let vector = |class: usize, turn: usize| {
        let mut one = vec![0.9f32, 0.0, 0.0, 0.0, 0.0, 0.0];
        one[1 + class] = 0.3;
        one[4 + turn % 2] = 0.05 * (turn % 5) as f32;
        one
    };
    let rows: Vec<(Consent, Vec<f32>)> =
        (0..30).map(|at| ([Yes, No, Unclear][at % 3], vector(at % 3, at / 3))).collect();
    let rows: Vec<(Consent, &[f32])> = rows.iter().map(|row| (row.0, row.1.as_slice())).collect();
    let meaning = Meaning::fit(&rows).unwrap();
    for (class, expected) in [Yes, No, Unclear].into_iter().enumerate() {
        assert_eq!(meaning.of(&vector(class, 8)), expected);
    }
    assert_eq!(meaning.of(&[0.9, 0.15, 0.15, 0.0, 0.0, 0.0]), Unclear, "between yes and no");
    assert_eq!(meaning.of(&[0.9]), Unclear, "of another encoder");
    assert_eq!(meaning.of(&[f32::NAN; 6]), Unclear);
    assert_eq!(Meaning::fit(&rows[..3]), None, "too few");
    let same = rows.iter().map(|row| (row.0, [0.5f32; 2].as_slice())).collect::<Vec<_>>();
    let meaning = Meaning::fit(&same);
    assert!(meaning.is_none_or(|one| one.of(&[0.5, 0.5]) == Unclear), "nothing to tell them by");
}
