//! Time of one search for 10 neighbours at 1,000, 10,000 and 100,000 vectors, by both searches.
//!
//! `cargo bench --bench index` reproduces the figures of `src/index/`; build time, load time and
//! recall against a plain f32 scan are printed once a case. The graph of 100,000 vectors takes
//! minutes; `cargo bench --bench index -- exact` or `-- /10000` leaves it out.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use kefu::encoder::Embeddings;
use kefu::index::{Index, IndexKind, VectorIndex};
use kefu::kernels::{dot_f32, level};

#[path = "../src/index/synthetic.rs"]
mod synthetic;
use synthetic::{DIMENSION, vectors};

const NEIGHBORS: usize = 10;
const QUERIES: usize = 500;

fn search(criterion: &mut Criterion) {
    let queries = Embeddings::new(DIMENSION, vectors(QUERIES, 1));
    eprintln!("instruction set: {:?}", level());
    for len in [1_000, 10_000, 100_000] {
        for kind in [IndexKind::Exact, IndexKind::Hnsw] {
            let name = format!("search/{kind:?}/{len}").to_lowercase();
            // Built only when the filter lets this case run.
            let mut index = None;
            criterion.bench_function(&name, |bencher| {
                let index = index.get_or_insert_with(|| prepare(&name, len, kind, &queries));
                let mut numbers = (0..queries.len()).cycle();
                bencher.iter(|| {
                    let query = queries.row(numbers.next().expect("a cycle does not end"));
                    black_box(index.search(black_box(query), NEIGHBORS))
                });
            });
        }
    }
}

/// Builds, saves and loads an index, and prints what that took and what it finds.
fn prepare(name: &str, len: usize, kind: IndexKind, queries: &Embeddings) -> Index {
    let vectors = Arc::new(Embeddings::new(DIMENSION, vectors(len, 0)));
    let start = Instant::now();
    let index = Index::build(Arc::clone(&vectors), kind).expect("the vectors are unit-norm");
    let built = start.elapsed();
    let dir = tempfile::tempdir().expect("a temporary folder");
    index.save(dir.path()).expect("the folder is writable");
    let start = Instant::now();
    let index = Index::load(dir.path(), Arc::clone(&vectors)).expect("it was saved just now");
    let loaded = start.elapsed();
    let recall = recall(&index, &vectors, queries);
    eprintln!("{name}: built in {built:.2?}, loaded in {loaded:.2?}, recall@10 {recall:.4}");
    index
}

fn recall(index: &Index, vectors: &Embeddings, queries: &Embeddings) -> f64 {
    let mut hits = 0;
    for query in queries.rows() {
        let mut similarities: Vec<f32> = vectors.rows().map(|row| dot_f32(query, row)).collect();
        let (_, last, _) =
            similarities.select_nth_unstable_by(NEIGHBORS - 1, |a, b| b.total_cmp(a));
        let found = index.search(query, NEIGHBORS);
        hits += found.iter().filter(|neighbor| neighbor.similarity >= *last).count();
    }
    hits as f64 / (NEIGHBORS * queries.len()) as f64
}

criterion_group!(benches, search);
criterion_main!(benches);
