//! What the review queue costs off the request path: redacting a message, and grouping a full queue on
//! one core. `cargo bench --bench review`.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop")]

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use kefu::encoder::Encoder;
use kefu::intent::normalize::normalize;
use kefu::intent::whitening::normalize_length;
use kefu::review::cluster::{Item, cluster};
use kefu::review::clusters::features;
use kefu::review::redact::Redactor;

mod common;
use common::{DEFAULT_ENCODER, Random, bundled_model, encoder};

/// Entries of a full queue, by default.
const ENTRIES: usize = 10_000;
/// Of multilingual-e5-small, and the intents of the bundled knowledge base.
const DIMENSION: usize = 384 + 36;

/// [`ENTRIES`] unit vectors around `centres` random directions.
fn vectors(centres: usize) -> Vec<Vec<f32>> {
    let mut random = Random(7);
    let mut direction = || -> Vec<f32> { (0..DIMENSION).map(|_| random.normal()).collect() };
    let mut all = Vec::with_capacity(ENTRIES);
    for _ in 0..centres {
        let centre = direction();
        for _ in 0..ENTRIES / centres {
            let noise = direction();
            let mut row: Vec<f32> = centre.iter().zip(noise).map(|(c, n)| c + 0.5 * n).collect();
            normalize_length(&mut row);
            all.push(row);
        }
    }
    all
}

/// How well sentences that no model was fitted on are grouped: printed, not timed.
fn quality() {
    let encoder = encoder(DEFAULT_ENCODER);
    let model = bundled_model(&*encoder);
    let rows = include_str!("../tests/fixtures/shop_eval.jsonl").lines();
    let rows: Vec<serde_json::Value> = rows.map(|row| serde_json::from_str(row).unwrap()).collect();
    let texts: Vec<_> = rows.iter().map(|row| normalize(row["text"].as_str().unwrap())).collect();
    let vectors: Vec<Vec<f32>> = texts
        .iter()
        .map(|text| features(&model, text, encoder.encode(&[text.text()]).unwrap().row(0)))
        .collect();
    let items: Vec<Item<'_>> = texts
        .iter()
        .zip(&vectors)
        .map(|(text, vector)| Item { text: text.text(), count: 1, vector })
        .collect();
    let groups: Vec<_> = cluster(&items).into_iter().filter(|g| g.members.len() > 1).collect();
    let (mut grouped, mut alike) = (0, 0);
    for group in &groups {
        let mut labels: HashMap<&str, usize> = HashMap::new();
        for &at in &group.members {
            *labels.entry(rows[at]["intent"].as_str().unwrap()).or_default() += 1;
        }
        grouped += group.members.len();
        alike += labels.values().max().unwrap();
    }
    let share = 100.0 * alike as f64 / grouped as f64;
    let (count, all) = (groups.len(), rows.len());
    eprintln!("{grouped} of {all} sentences in {count} groups; {share:.0} % of one intent a group");
}

fn review(criterion: &mut Criterion) {
    quality();
    let redactor = Redactor::default();
    let message = "订单号 20261030998877 的快递还没到，请打我电话 138 1234 5678 谢谢";
    criterion.bench_function("redact a message", |bench| {
        bench.iter(|| redactor.redact(black_box(message)));
    });
    let texts: Vec<String> =
        (0..ENTRIES).map(|at| format!("快递还没有到怎么办 parcel {at}")).collect();
    let mut group = criterion.benchmark_group("group 10,000 entries");
    group.sample_size(10);
    for (name, centres) in [("in 500 groups", 500), ("all apart", ENTRIES)] {
        let vectors = vectors(centres);
        let items: Vec<Item<'_>> = texts
            .iter()
            .zip(&vectors)
            .map(|(text, vector)| Item { text, count: 1, vector })
            .collect();
        group.bench_function(name, |bench| bench.iter(|| cluster(black_box(&items))));
    }
    group.finish();
}

criterion_group!(benches, review);
criterion_main!(benches);
