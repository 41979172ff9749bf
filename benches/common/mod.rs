//! What the benchmarks share: the bundled folders, and made-up customers' messages.
#![allow(dead_code, reason = "each benchmark uses its part")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop")]

use std::path::Path;
use std::sync::Arc;

use kefu::artifact::Model;
use kefu::config::ModelSource;
use kefu::config::model_options;
use kefu::encoder::{Encoder, SentenceEncoder};
use kefu::progress::Silent;
use kefu::provision::{self, Folders};

/// The encoder that the bundled knowledge base is built with.
pub(crate) const DEFAULT_ENCODER: &str = "multilingual-e5-small";

/// An encoder from `models/`, fetched first when it is missing.
pub(crate) fn encoder(name: &str) -> Arc<SentenceEncoder> {
    let models = root().join("models");
    let options = model_options(&models, &ModelSource::Auto);
    Arc::new(provision::single_encoder(name, &options, &Silent).unwrap().1)
}

/// The model of the bundled knowledge base, built first when it is missing.
pub(crate) fn bundled_model(encoder: &dyn Encoder) -> Model {
    let folders = Folders {
        intents: root().join("intents"),
        training_data: root().join("training-data"),
        models: root().join("models"),
        policy: Default::default(),
    };
    provision::model(&folders, encoder, true, &Silent).unwrap().0
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same messages everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `from..to`.
    pub(crate) fn within(&mut self, from: usize, to: usize) -> usize {
        from + (self.next() % (to - from) as u64) as usize
    }

    /// A number around 0 with standard deviation 1, nearly normal.
    pub(crate) fn normal(&mut self) -> f32 {
        let sum: f32 = (0..12).map(|_| (self.next() >> 40) as f32 / (1u64 << 24) as f32).sum();
        sum - 6.0
    }
}

/// Characters that customers' messages are made of.
const HAN: &str = "我你他的了是在有不这个们到来说要就出会也可能对时地大小多少好么什吗呢吧啊请问想看知道谢\
    快递物流订单退款换货发票支付金额价格优惠券活动会员积分账号密码登录注册手机号码验证短信收件地址修改取消申请\
    售后客服人工投诉质量破损丢失签收派送配送仓库库存商品颜色尺码型号保修维修安装说明书使用方法电池充电屏幕声音\
    显示连接网络蓝牙下载更新版本重新打开关闭怎么样为什么还没今天明天昨天早上晚上周末小时分钟天内以前后之已经";

/// Words that customers' messages are made of.
const WORDS: &str = "i you my the a to is it in on for and of not can do how what when where why have has \
    been with this that your me please want need help order package delivery refund return cancel change \
    address payment card bank account password login email phone number code invoice receipt price \
    discount coupon member points item size color stock warranty repair broken missing late still \
    today yesterday tomorrow week money transfer charge fee cash app website link open close update \
    buy bought shipped arrived wrong another new old first last time again never already anyone agent";

/// A message of 10 to 20 Han characters.
pub(crate) fn chinese(random: &mut Random) -> String {
    let count = random.within(10, 21);
    han(random, count)
}

/// `count` Han characters.
pub(crate) fn han(random: &mut Random, count: usize) -> String {
    let all: Vec<char> = HAN.chars().filter(|c| *c != ' ').collect();
    (0..count).map(|_| all[random.within(0, all.len())]).collect()
}

/// A message of 8 to 12 English words.
pub(crate) fn english(random: &mut Random) -> String {
    let count = random.within(8, 13);
    words(random, count)
}

/// `count` English words.
pub(crate) fn words(random: &mut Random, count: usize) -> String {
    let all: Vec<&str> = WORDS.split_whitespace().collect();
    (0..count).map(|_| all[random.within(0, all.len())]).collect::<Vec<_>>().join(" ")
}
