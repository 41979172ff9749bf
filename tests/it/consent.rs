//! Yes and no by meaning, with the default model, on answers that it was not fitted on.

use kefu::consent;
use kefu::dialogue::consent::Consent;
use kefu::encoder::{Encoder, SentenceEncoder};
use kefu::intent::normalize::normalize;

use crate::models::default_model;

#[rustfmt::skip]
const YES: &[&str] = &[
    "好的那你帮我操作一下吧", "嗯就按你说的来", "没问题你帮我办了吧", "可以，请继续办理", "对的，信息没错，请提交", "我确定要这么做", "行，麻烦你给处理一下", "是的没错我要办", "那就麻烦你帮我取消掉吧好的",
    "我同意，开始吧", "yes that's what I'd like you to do", "okay please do that for me", "sounds right to me, go for it please",
    "I'm sure, please continue", "that's all correct, you can submit it", "fine, let's do it that way", "yeah I want that done",
    "please proceed as discussed", "alright then make it so for me", "you can go ahead with that",
];

#[rustfmt::skip]
const NO: &[&str] = &[
    "我想了想还是不要了", "你先别给我提交", "不是这个意思，别弄错了", "现在不需要办理了谢谢", "我不同意这么处理", "等等先不要操作", "还是别取消了，留着吧", "我没有要办这个", "不想继续了", "信息有误，别提交",
    "please don't do that", "I don't think I want this after all", "actually leave it alone", "that's not what I asked for",
    "no I'd prefer to keep it as is", "stop, I don't want to continue", "I've reconsidered, don't do it",
    "this is wrong, please do not submit", "I'll pass on that", "let's leave it for now",
];

#[rustfmt::skip]
const NEITHER: &[&str] = &[
    "这个会扣钱吗", "多长时间能处理完", "可以倒是可以，不过我想换个时间", "是要的，但是地址写错了", "你指的是哪一单", "我的包裹为什么还没到", "发票抬头怎么改", "客服电话多少", "我再考虑考虑", "你说啥", "有货吗",
    "能送到北京吗", "帮我查一下物流", "我要投诉你们", "谢谢", "怎么联系人工", "会员有什么好处", "退款多久到账", "这款手机支持5G吗", "晚点再告诉你", "will it cost me anything",
    "how many days does it take", "yes but I want the blue one instead", "sure, only if the shipping is free",
    "which item do you mean", "when will my refund arrive", "I need an invoice for my company", "can I speak to someone",
    "do you deliver to canada", "let me check and get back to you", "what if I need it back", "my package is damaged",
    "how do I change my password", "I'm not sure what you're asking", "is this in stock", "thank you", "the courier was rude",
    "what is your return policy", "could you repeat that", "can I pay with paypal",
];

/// Prints the figures of `docs/dialogue.md`.
#[test]
fn answers_are_told_by_their_meaning() {
    let encoder = SentenceEncoder::load(&default_model().spec()).unwrap();
    let meaning = consent::fit(&encoder).unwrap().unwrap();
    let [yes, no, neither] = [YES, NO, NEITHER].map(|texts| {
        let texts: Vec<String> =
            texts.iter().map(|text| normalize(text).text().to_owned()).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let found: Vec<Consent> =
            encoder.encode(&texts).unwrap().rows().map(|row| meaning.of(row)).collect();
        [Consent::Yes, Consent::No, Consent::Unclear]
            .map(|one| found.iter().filter(|found| **found == one).count())
    });
    println!("told as yes, no, neither: yes {yes:?}, no {no:?}, neither {neither:?}");
    assert!(yes[0] >= 14 && no[1] >= 16 && neither[2] >= 38, "{yes:?} {no:?} {neither:?}");
    assert!(no[0] + neither[0] <= 1, "what is no yes passes as one: {no:?} {neither:?}");
}
