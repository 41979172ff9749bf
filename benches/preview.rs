//! Time of a flip report for an edit of one example, on a knowledge base of 10,000.
//!
//! `cargo bench --bench preview`. The encoder is made up and takes no time: in use add the time to
//! encode the new example (some 10 ms) and, the first time, the messages. On one core, as a preview
//! runs. The goal: three seconds.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop")]

use std::time::Instant;

use kefu::encoder::{Embeddings, EncodeError, Encoder, EncoderInfo};
use kefu::flips::{Message, Messages, Source, flips};
use kefu::intent::knowledge::{Example, Intent, KnowledgeBase, Lang};
use kefu::progress::Silent;
use kefu::training::build::{self, Given};
use kefu::training::embed::{Known, embed};

mod common;
use common::Random;

const INTENTS: usize = 150;
const EXAMPLES: usize = 10_000;
const MESSAGES: usize = 500;
const DIMENSION: usize = 384;
/// Words that only one intent uses, and words that all use.
const OWN_WORDS: usize = 12;
const SHARED_WORDS: usize = 2_000;

/// Embeds a text as the sum of directions, one a word.
struct WordSums(EncoderInfo);

impl Encoder for WordSums {
    fn info(&self) -> &EncoderInfo {
        &self.0
    }

    fn encode(&self, texts: &[&str]) -> Result<Embeddings, EncodeError> {
        Ok(Embeddings::new(DIMENSION, texts.iter().flat_map(|text| sum(text)).collect()))
    }
}

fn sum(text: &str) -> Vec<f32> {
    let mut row =
        direction("what all sentences share").map(|value| 2.0 * value).collect::<Vec<_>>();
    for word in text.split(' ') {
        row.iter_mut().zip(direction(word)).for_each(|(sum, value)| *sum += value);
    }
    let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
    row.into_iter().map(|value| value / length).collect()
}

fn direction(word: &str) -> impl Iterator<Item = f32> + use<> {
    let seed = word.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut random = Random(seed);
    (0..DIMENSION).map(move |_| random.normal())
}

/// Three words of the intent among five that anybody uses.
fn sentence(random: &mut Random, intent: usize) -> String {
    let mut words: Vec<String> =
        (0..5).map(|_| format!("w{}", random.within(0, SHARED_WORDS))).collect();
    for _ in 0..3 {
        words.push(format!("i{intent}x{}", random.within(0, OWN_WORDS)));
    }
    words.join(" ")
}

fn knowledge() -> KnowledgeBase {
    let mut random = Random(7);
    let mut intent = |number: usize| {
        let count = EXAMPLES / INTENTS + usize::from(number < EXAMPLES % INTENTS);
        let example = |line: usize| Example {
            text: sentence(&mut random, number),
            lang: Lang::En,
            file: format!("{number}.yaml"),
            line: line as u32 + 1,
        };
        let examples = (0..count).map(example).collect();
        Intent { id: format!("intent_{number}"), examples, ..Intent::default() }
    };
    let intents = (0..INTENTS).map(&mut intent).collect();
    KnowledgeBase { intents, ..KnowledgeBase::default() }
}

fn main() {
    let info = EncoderInfo {
        name: "word-sums".to_owned(),
        sha256: "0".repeat(64),
        dimension: DIMENSION,
        max_tokens: 64,
        tuned: false,
    };
    let encoder = WordSums(info);
    let before = knowledge();
    let mut after = before.clone();
    let mut random = Random(8);
    let mut new = after.intents[3].examples[0].clone();
    new.text = sentence(&mut random, 4);
    after.intents[3].examples.push(new);
    let texts = (0..MESSAGES).map(|at| sentence(&mut random, at % INTENTS));
    let messages = Messages::new(texts.map(|text| Message::plain(Source::Logged, text)));
    let embeddings = embed(&encoder, &messages.texts(), &Known::new(), &Silent).unwrap();

    let begun = Instant::now();
    let model = build::build(before, &[], &encoder, Given::default(), &Silent).unwrap();
    eprintln!("a whole build, all cores: {:.2} s", begun.elapsed().as_secs_f64());

    let one_core = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    one_core.install(|| {
        for _ in 0..3 {
            let begun = Instant::now();
            let candidate = build::preview(after.clone(), &encoder, &model, &Silent).unwrap();
            let fitted_s = begun.elapsed().as_secs_f64();
            let report = flips(&model.engine, &candidate, &messages, &embeddings);
            eprintln!(
                "one example added to {EXAMPLES}, {MESSAGES} messages, one core: {:.2} s ({fitted_s:.2} s of \
                 it to fit); {}",
                begun.elapsed().as_secs_f64(),
                report.total
            );
        }
    });
}
