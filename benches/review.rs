//! What the review queue costs off the request path: redacting a message, and grouping a full queue on
//! one core. `cargo bench --bench review`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use kefu::intent::whitening::normalize_length;
use kefu::review::cluster::{Item, cluster};
use kefu::review::redact::Redactor;

/// Entries of a full queue, by default.
const ENTRIES: usize = 10_000;
/// As multilingual-e5-small's.
const DIMENSION: usize = 384;

/// [`ENTRIES`] unit vectors around `centres` random directions.
fn vectors(centres: usize) -> Vec<Vec<f32>> {
    let mut state = 0x9e37_79b9u32;
    let mut direction = || -> Vec<f32> {
        // Marsaglia's xorshift: the same numbers everywhere.
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as f32 / u32::MAX as f32 - 0.5
        };
        (0..DIMENSION).map(|_| next()).collect()
    };
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

fn review(criterion: &mut Criterion) {
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
