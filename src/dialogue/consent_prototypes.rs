//! What visitors answer to a yes-or-no question, for a classifier by meaning.
//!
//! Written for this; most are phrases that the words alone leave open. The shell embeds them, fits
//! [`super::meaning::Meaning`], and shows it the messages of visitors.

use super::consent::Consent;

/// Answers with what they mean, in Chinese and English.
pub const PROTOTYPES: &[(Consent, &[&str])] =
    &[(Consent::Yes, YES), (Consent::No, NO), (Consent::Unclear, NEITHER)];

#[rustfmt::skip]
const YES: &[&str] = &[
    "就照你说的办", "麻烦帮我办理一下", "你看着弄就行", "嗯，帮我提交吧", "可以的，你操作吧", "对，就是这样没错", "那你就给我办了吧", "没有任何问题，继续", "我觉得可以",
    "我没意见", "好啊，那就这么说定了", "行，你帮我弄", "是我本人，确认办理", "信息都对，提交", "我考虑好了，办", "嗯呐，整吧", "赶紧给我弄吧", "已经想清楚了，执行吧",
    "没毛病，走流程吧", "您直接处理就好", "对对，就按这个来", "我接受", "都核对过了，是对的", "那就听你的",
    "please take care of it", "yeah go on and do that for me", "that is what I want", "you have my permission", "everything is correct, continue",
    "I'm happy with that", "let's get it done", "all the details are right", "as you say", "I am okay with this", "yes that would be great",
    "okay you can process it", "I approve", "that's exactly what I asked for", "sure thing, carry on", "please continue with it", "I accept",
    "yes I really want this", "that's what I meant", "go through with it", "I have checked it and it's fine", "yep, make it happen", "count me in", "I've made up my mind, do it",
];

#[rustfmt::skip]
const NO: &[&str] = &[
    "我改变主意了", "还是保持原样吧", "我现在不想弄了", "先放着吧，别动", "你别给我弄", "我没有说要这样", "不是我要的那个意思", "这个信息不对，不要提交", "我不打算办了",
    "等我想好了再说，先不弄", "不用麻烦了，我自己来", "千万别提交", "你搞错了，不是这个", "我再也不需要了", "没这个必要", "我看还是不办为好", "别操作", "停下，不要继续",
    "这次就不办理了", "我拒绝这样处理", "我不接受", "那就当我没说", "点错了，不要这个", "暂时先保留着",
    "I changed my mind about this", "please leave it as it is", "I don't want this anymore", "that is not what I meant", "no need to do anything",
    "don't go ahead with it", "I'd like to keep it", "keep things the way they are", "let's not do that", "I'm not going to do this now", "please stop the process",
    "I would rather wait", "that's a mistake, don't submit it", "the details are wrong, don't continue", "I refuse", "I do not accept that", "drop it",
    "not interested anymore", "I take it back", "you misunderstood me, no", "I won't do it after all", "hold it, don't do anything", "scrap that", "I decided against it",
];

#[rustfmt::skip]
const NEITHER: &[&str] = &[
    "办了之后还能反悔吗", "这样要收费吗", "大概要多久才能好", "如果办了钱什么时候退", "为什么要我确认", "你说的是哪个订单", "能不能先解释一下", "我不太明白你的意思", "换成别的可以吗",
    "可以，但是要改一下地址", "好是好，就是时间太晚了", "我先问问家里人", "让我考虑一下", "等一会儿再答复你", "你是机器人吗", "帮我转人工", "我的快递到哪了", "这个商品有优惠吗",
    "发票怎么开", "你们几点下班", "我想换个颜色", "会影响我的积分吗", "有没有别的办法", "取消订单要手续费吗", "怎么申请退款", "订单号是12345678", "我的手机号是13812345678",
    "明天下午三点送", "你觉得呢", "随你便", "看情况吧", "这两个有什么区别", "谢谢你的帮助", "你好在吗", "太慢了吧", "服务态度真差", "什么意思", "我刚才说的是另一件事", "尺码偏大还是偏小", "支持货到付款吗",
    "what happens if I say yes", "is there a fee for that", "how long will it take", "which order are you talking about", "can I still undo it later",
    "why do you need me to confirm", "I don't understand the question", "can you explain that first", "yes but to a different address", "okay but not today, make it friday",
    "let me think about it", "I have to ask my wife first", "give me a minute", "are you a robot", "I want to talk to a person", "where is my parcel",
    "do you have a discount code", "how do I get an invoice", "when do you close today", "could I choose another colour", "will I lose my points",
    "what are the other options", "my order number is 12345678", "my phone number is 555 0100", "tomorrow at three in the afternoon", "what do you think",
    "it depends", "what's the difference between the two", "thanks for your help", "hello, anyone there", "this is taking forever", "your service is terrible",
    "I was talking about something else", "does it run small", "how do I request a refund", "can I cancel an order that has shipped", "what does that mean", "either is fine, you choose",
    "is it free", "do you ship abroad",
];
