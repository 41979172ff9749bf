//! Sentences that mean yes, no or neither, for answers whose words do not settle it: whoever has an
//! encoder compares the answer with them.

use super::consent::Consent::{self, No, Unclear, Yes};

/// Sentences of known meaning. Those that mean neither keep questions, conditions and other matters
/// from counting as an answer.
#[rustfmt::skip]
pub const PROTOTYPES: &[(Consent, &str)] = &[
    (Yes, "是的，就按你说的办"), (Yes, "好的，麻烦你帮我处理一下"), (Yes, "没问题，请继续操作"), (Yes, "嗯，我确定要这么做"),
    (Yes, "可以，现在就帮我弄吧"), (Yes, "对，信息都正确，提交吧"), (Yes, "我同意，请尽快办理"), (Yes, "行，那就这么定了"),
    (Yes, "Yes, please go ahead and do that"), (Yes, "Sure, that is exactly what I want"), (Yes, "Everything is correct, you can submit it"),
    (Yes, "I agree, please proceed"), (Yes, "That sounds right to me, do it"), (Yes, "Okay, let us do it that way"),
    (No, "不用了，我改变主意了"), (No, "算了，还是不要了吧"), (No, "先别操作，我再考虑一下"), (No, "不是这样的，信息不对"),
    (No, "我不想这么做了"), (No, "别弄了，保持原样就好"), (No, "我没有这个意思，请不要办理"), (No, "暂时不需要，谢谢"),
    (No, "No thanks, I changed my mind"), (No, "Please do not do that"), (No, "Never mind, leave it as it is"),
    (No, "I would rather not right now"), (No, "That is not what I meant, stop"), (No, "I do not want this any more"),
    (Unclear, "为什么要这样做？"), (Unclear, "这要多少钱？"), (Unclear, "多久能到账？"), (Unclear, "会有什么后果？"), (Unclear, "我不太确定"),
    (Unclear, "如果不收费的话就可以"), (Unclear, "我的快递到哪里了？"), (Unclear, "换一个地址可以吗？"), (Unclear, "你是机器人吗？"),
    (Unclear, "What happens if I do that?"), (Unclear, "How much does it cost?"), (Unclear, "How long will it take?"),
    (Unclear, "I am not sure about that"), (Unclear, "Only if it is free"), (Unclear, "Where is my parcel?"),
    (Unclear, "Can I use another address?"), (Unclear, "Are you a bot?"), (Unclear, "Can you explain that again?"),
];
