//! Time of a whole classify: a message in, an answer out, by a keyword and by the encoder.
//!
//! `cargo bench --bench classify`. Once a case the steps are timed one by one, in their order and
//! on the caches that the step before left, and their shares printed. The goal: nothing but the
//! encoder takes more than 10 % of a question that it answers.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use kefu::artifact::Model;
use kefu::encoder::{Encoder, EncoderPool, PoolOptions, SentenceEncoder};
use kefu::intent::answer::Tier;
use kefu::intent::engine::FirstTier;
use kefu::intent::normalize::normalize;
use kefu::understand::{AskOptions, Understander};
use tokio::runtime::Runtime;

mod common;
use common::{DEFAULT_ENCODER, bundled_model, encoder};

const OPTIONS: AskOptions = AskOptions { top_k: 3, explain: false };
/// Rounds over a case's messages from which the shares are taken.
const ROUNDS: usize = 100;

/// Messages by the tier that answers them; a message that another tier answers stops the run.
const CASES: [(&str, Tier, [&str; 4]); 2] = [
    (
        "keyword",
        Tier::Keyword,
        ["转人工", "怎么修改收货地址呢", "track my order", "please delete my account"],
    ),
    (
        "semantic",
        Tier::Semantic,
        [
            "等了一个星期了东西在哪儿呢",
            "买大了想换个小一码的可以吗",
            "it has been two weeks and nothing came",
            "can I pay half now and half later",
        ],
    ),
];

struct Bench {
    runtime: Runtime,
    encoder: Arc<SentenceEncoder>,
    model: Arc<Model>,
    understander: Understander,
}

impl Bench {
    fn new() -> Self {
        let encoder = encoder(DEFAULT_ENCODER);
        let model = Arc::new(bundled_model(&*encoder));
        let pool = start(&encoder);
        let understander = Understander::new(Arc::clone(&model), pool);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        Self { runtime, encoder, model, understander }
    }

    fn check(&self, tier: Tier, text: &str) {
        let answer = self.runtime.block_on(self.understander.ask(text, OPTIONS)).unwrap();
        assert_eq!(answer.answer.tier, tier, "{text}");
    }

    /// The steps of `Understander::ask`, each with its time, and those of the encoder's step that
    /// can be had alone.
    fn steps(&self, pool: &EncoderPool, text: &str) -> [(&'static str, Duration); 7] {
        let engine = &self.model.engine;
        let begun = Instant::now();
        let normalized = normalize(black_box(text));
        let normalize_time = begun.elapsed();
        let begun = Instant::now();
        let first = engine.first_tier(&normalized);
        let keyword_time = begun.elapsed();
        let mut pool_time = Duration::ZERO;
        let mut decide_time = Duration::ZERO;
        let mut alone = [Duration::ZERO; 2];
        let verdict = match first {
            FirstTier::Settled(verdict) => verdict,
            FirstTier::Open(evidence) => {
                let begun = Instant::now();
                let texts = vec![normalized.text().to_owned()];
                let rows = self.runtime.block_on(pool.encode(texts)).unwrap();
                pool_time = begun.elapsed();
                let begun = Instant::now();
                let verdict = engine.second_tier(&normalized, evidence, rows.row(0));
                decide_time = begun.elapsed();
                let begun = Instant::now();
                black_box(self.encoder.token_ids(normalized.text()).unwrap());
                alone[0] = begun.elapsed();
                let begun = Instant::now();
                black_box(self.encoder.encode(&[normalized.text()]).unwrap());
                alone[1] = begun.elapsed();
                verdict
            }
        };
        let begun = Instant::now();
        black_box(engine.answer(text, &normalized, &verdict, OPTIONS.top_k, OPTIONS.explain));
        let answer_time = begun.elapsed();
        [
            ("normalize", normalize_time),
            ("keyword tier", keyword_time),
            ("tokenize", alone[0]),
            ("forward pass", alone[1].saturating_sub(alone[0])),
            ("queue and threads", pool_time.saturating_sub(alone[1])),
            ("second tier", decide_time),
            ("answer", answer_time),
        ]
    }

    fn print_shares(&self, name: &str, texts: &[&str]) {
        let pool = start(&self.encoder);
        let rounds: Vec<_> =
            (0..ROUNDS).flat_map(|_| texts.iter().map(|text| self.steps(&pool, text))).collect();
        let medians: Vec<(&str, f64)> = (0..rounds[0].len())
            .map(|step| {
                let mut times: Vec<Duration> = rounds.iter().map(|round| round[step].1).collect();
                let middle = times.len() / 2;
                let median = *times.select_nth_unstable(middle).1;
                (rounds[0][step].0, median.as_secs_f64() * 1e6)
            })
            .collect();
        let total: f64 = medians.iter().map(|(_, median)| median).sum();
        eprintln!("classify/{name}: {total:.1} µs, medians of {} rounds", rounds.len());
        for (step, median) in medians {
            eprintln!("  {step:<18} {median:9.2} µs {:5.1} %", 100.0 * median / total);
        }
    }
}

fn start(encoder: &Arc<SentenceEncoder>) -> EncoderPool {
    EncoderPool::start(Arc::clone(encoder) as _, PoolOptions::default()).unwrap()
}

fn classify(criterion: &mut Criterion) {
    let bench = Bench::new();
    for (name, tier, texts) in CASES {
        let mut printed = false;
        criterion.bench_function(&format!("classify/{name}"), |bencher| {
            if !printed {
                texts.iter().for_each(|text| bench.check(tier, text));
                bench.print_shares(name, &texts);
                printed = true;
            }
            let mut numbers = (0..texts.len()).cycle();
            bencher.iter(|| {
                let text = black_box(texts[numbers.next().unwrap()]);
                bench.runtime.block_on(bench.understander.ask(text, OPTIONS)).unwrap()
            });
        });
    }
}

criterion_group!(benches, classify);
criterion_main!(benches);
