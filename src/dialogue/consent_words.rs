//! The words that answers to yes-or-no questions consist of. `consent` decides from them.

/// What a word says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Yes.
    Yes,
    /// Yes when nothing else is said; before or after a no it only acknowledges.
    Soft,
    /// No.
    No,
    /// Calls the matter off; `words` has these.
    Cancel,
    /// Neither, whatever stands beside it.
    Neither,
    /// Nothing.
    Filler,
}

/// Compared with the normalised message, the longest first.
pub(super) const TOKENS: &[(Kind, &[&str])] = &[
    (Kind::Yes, YES),
    (Kind::Soft, SOFT),
    (Kind::No, NO),
    (Kind::Neither, NEITHER),
    (Kind::Filler, FILLER),
];

#[rustfmt::skip]
const YES: &[&str] = &[
    "是", "是的", "是滴", "对", "对的", "没错", "没有错", "错不了", "可以", "可", "行", "没问题", "冇问题", "没毛病", "无异议",
    "确定", "我确定", "确认", "我确认", "肯定", "当然", "同意", "我同意", "要", "要的", "我要", "需要", "我需要", "必须",
    "就这样", "那就这样", "就这么办", "就这么定", "就这样办", "照办", "成", "中", "妥", "办吧", "弄吧", "来吧", "去吧", "去办吧", "办理吧",
    "继续", "提交", "执行", "走起", "不错", "很好", "挺好", "太好", "正确", "答应", "乐意", "我愿意", "愿意", "就是这个", "就这个",
    "yes", "yep", "yeah", "yea", "yup", "ya", "aye", "y", "sure", "of course", "go ahead", "go on", "go for it", "do it", "do that",
    "please do", "confirm", "confirmed", "i confirm", "correct", "that's correct", "thats correct", "right", "that's right", "thats right",
    "sounds good", "sounds great", "sounds right", "looks good", "looks good to me", "looks right", "looks correct", "all good", "good", "great", "perfect",
    "fine", "that's fine", "thats fine", "it's fine", "that works", "works for me", "fine by me", "fine with me", "absolutely",
    "definitely", "certainly", "exactly", "indeed", "no problem", "not a problem", "no worries", "no objection", "no objections",
    "why not", "affirmative", "agreed", "i agree", "agree", "proceed", "submit", "submit it", "by all means", "you bet", "for sure",
    "i do", "i am", "i am sure", "i'm sure", "im sure", "i would", "i'd like that", "i think so", "let's do it", "lets do it", "let's go",
    "that's it", "thats it", "that's the one", "you may", "you can", "please go ahead",
    "👌", "👍", "✅", "🆗", "🙆", "💯", "✔", "☑", "🤝",
];

#[rustfmt::skip]
const SOFT: &[&str] = &[
    "好", "好的", "好滴", "好嘞", "好哒", "好呀", "好吧", "那好", "那好吧", "嗯", "恩", "嗯嗯", "唔", "欧克", "哦了", "得嘞",
    "ok", "okay", "okey", "okie", "okey dokey", "k", "kk", "alright", "all right", "very well", "please", "pls",
];

#[rustfmt::skip]
const NO: &[&str] = &[
    "不", "不是", "不是的", "不是这个", "不是这样", "不对", "不行", "不好", "不可以", "不可", "不能", "不成", "不中", "不要", "我不要", "不用",
    "不需要", "不必", "不了", "不同意", "我不同意", "不想", "我不想", "不确认", "不办", "不弄", "不提交", "不愿意", "不继续", "别", "别办", "别弄",
    "先不", "先不用", "先不要", "先别", "先别办", "先不办", "暂时不", "暂时不用", "暂时不要", "暂不", "否", "错", "错了", "不正确", "拒绝", "没必要",
    "再说", "再说吧", "以后再说", "下次吧", "下次再说", "改天吧", "改天再说", "都不是", "都不对", "我反悔了", "我后悔了", "得了吧",
    "no", "nope", "nah", "n", "no way", "not now", "not yet", "not today", "no need", "not necessary", "don't", "dont", "do not",
    "don't do it", "dont do it", "do not do it", "don't do that", "dont do that", "please don't", "please dont", "not really", "negative",
    "never", "wrong", "incorrect", "not correct", "that's wrong", "thats wrong", "not right", "that's not right", "thats not right",
    "not good", "no good", "not fine", "not ok", "not okay", "not this", "not that", "not that one", "not this one", "i don't", "i dont",
    "i do not", "i don't want to", "i dont want to", "i do not want to", "i don't want that", "i don't think so", "i dont think so",
    "rather not", "i'd rather not", "better not", "it isn't", "it isnt", "it is not", "it's not", "that's not it", "hold off", "later",
    "maybe later", "another time", "decline", "i decline", "disagree", "i disagree", "not at all", "absolutely not", "of course not",
    "definitely not", "certainly not", "i changed my mind", "changed my mind", "none of these", "none of them", "neither", "abort",
    "❌", "👎", "🙅", "✖", "🚫", "⛔", "✕",
];

/// What only looks like one of the others.
#[rustfmt::skip]
const NEITHER: &[&str] = &[
    "你好", "您好", "对了", "好了", "行了", "要不", "要不然", "别的", "不确定", "我不确定", "不一定", "不好说", "不知道", "不清楚", "好不好", "行不行", "可不可以",
    "是不是", "对不对", "要不要", "能不能", "不是不行", "不是不可以", "不是不好", "不是不要", "不是不同意", "不是很确定", "不太确定", "不要紧", "不好意思",
    "not sure", "i'm not sure", "im not sure", "i am not sure", "not certain", "maybe not", "no idea", "right now", "good morning",
    "good afternoon", "good evening", "good night", "not no", "good question", "go on then what",
];

#[rustfmt::skip]
const FILLER: &[&str] = &[
    "吧", "啊", "呀", "哦", "喔", "噢", "啦", "嘛", "哈", "呗", "哎", "唉", "诶", "额", "呃", "的", "了", "哒", "滴", "亲", "就", "那", "那就", "还是", "好像", "真的",
    "谢谢", "谢谢你", "谢谢您", "谢谢啦", "多谢", "感谢", "谢了", "麻烦", "麻烦你", "麻烦您", "麻烦了", "麻烦你了", "麻烦您了", "请", "辛苦", "辛苦了", "这样", "都", "也",
    "thanks", "thank you", "thx", "ty", "thank you so much", "thank you very much", "thanks a lot", "sorry", "oh", "well", "um", "uh", "hmm", "then",
    "hey", "haha", "lol", "actually", "that is", "it is", "at all", "so", "so much", "very much", "just", "kindly", "sir", "man", "mate", "🙏", "😊", "🙂", "😀", "😄", "😂",
];
