//! Time of the encoder: tokenising, and encoding 6 to 48 tokens alone and 32 texts at once.
//!
//! `cargo bench --bench encoder`; `-- all-MiniLM-L6-v2` leaves the other model out. Models come
//! from `models/` and are fetched when they are missing. Everything runs on one thread.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop")]

use std::cell::OnceCell;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kefu::encoder::{Encoder, SentenceEncoder};

mod common;
use common::{DEFAULT_ENCODER, Random, encoder, han, words};

const BATCH: usize = 32;

fn encoders(criterion: &mut Criterion) {
    for (name, text) in [
        (DEFAULT_ENCODER, han as fn(&mut Random, usize) -> String),
        ("all-MiniLM-L6-v2", words as _),
    ] {
        // Loaded only when the filter lets a case of it run.
        let loaded = OnceCell::new();
        let model = || loaded.get_or_init(|| encoder(name));
        let mut group = criterion.benchmark_group(format!("tokenize/{name}"));
        for tokens in [12, 48] {
            group.bench_function(tokens.to_string(), |bencher| {
                let texts = texts_of(model(), text, tokens);
                let mut numbers = (0..BATCH).cycle();
                bencher.iter(|| {
                    model().token_ids(black_box(&texts[numbers.next().unwrap()])).unwrap()
                });
            });
        }
        group.finish();
        let mut group = criterion.benchmark_group(format!("encode/{name}"));
        for tokens in [6, 12, 24, 48] {
            group.throughput(Throughput::Elements(1));
            group.bench_function(format!("{tokens}_tokens/1"), |bencher| {
                let texts = texts_of(model(), text, tokens);
                let mut numbers = (0..BATCH).cycle();
                bencher.iter(|| {
                    let text = texts[numbers.next().unwrap()].as_str();
                    model().encode(black_box(&[text])).unwrap()
                });
            });
            group.throughput(Throughput::Elements(BATCH as u64)).sample_size(10);
            group.bench_function(format!("{tokens}_tokens/{BATCH}"), |bencher| {
                let texts = texts_of(model(), text, tokens);
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                bencher.iter(|| model().encode(black_box(&texts)).unwrap());
            });
            group.sample_size(50);
        }
        group.finish();
    }
}

/// [`BATCH`] texts of exactly so many tokens, prefix and special tokens included.
fn texts_of(
    encoder: &SentenceEncoder,
    text: fn(&mut Random, usize) -> String,
    tokens: usize,
) -> Vec<String> {
    let mut random = Random(tokens as u64);
    let mut texts = Vec::with_capacity(BATCH);
    while texts.len() < BATCH {
        let parts = random.within(1, tokens * 2);
        let text = text(&mut random, parts);
        if encoder.token_ids(&text).unwrap().len() == tokens {
            texts.push(text);
        }
    }
    texts
}

criterion_group!(benches, encoders);
criterion_main!(benches);
