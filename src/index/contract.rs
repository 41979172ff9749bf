//! What every index must do, whatever is behind it; an exact scan in f32 is the oracle.

use std::sync::Arc;

use super::exact::scan_f32;
use super::synthetic::{self, DIMENSION};
use super::{Index, IndexError, IndexKind, Neighbor, VectorIndex};
use crate::encoder::Embeddings;

const KINDS: [IndexKind; 2] = [IndexKind::Exact, IndexKind::Hnsw];

fn synthetic(count: usize) -> Arc<Embeddings> {
    Arc::new(Embeddings::new(DIMENSION, synthetic::vectors(count, 0)))
}

fn queries(count: usize) -> Embeddings {
    Embeddings::new(DIMENSION, synthetic::vectors(count, 1))
}

fn build(vectors: &Arc<Embeddings>, kind: IndexKind) -> Index {
    Index::build(Arc::clone(vectors), kind).expect("the vectors are unit-norm")
}

fn ids(neighbors: &[Neighbor]) -> Vec<u32> {
    neighbors.iter().map(|neighbor| neighbor.id).collect()
}

/// Share of the oracle's `k` neighbours that the index finds.
fn recall(index: &dyn VectorIndex, vectors: &Embeddings, queries: &Embeddings, k: usize) -> f64 {
    let found = queries.rows().map(|query| {
        let found = ids(&index.search(query, k));
        let truth = scan_f32(vectors, query, k);
        truth.iter().filter(|neighbor| found.contains(&neighbor.id)).count()
    });
    found.sum::<usize>() as f64 / (k * queries.len()) as f64
}

#[test]
fn agrees_with_the_oracle() {
    let (vectors, queries) = (synthetic(2_000), queries(40));
    let exact = build(&vectors, IndexKind::Exact);
    for query in queries.rows() {
        for k in [1, 10, 50] {
            assert_eq!(exact.search(query, k), scan_f32(&vectors, query, k), "k = {k}");
        }
    }
    let hnsw = build(&vectors, IndexKind::Hnsw);
    for k in [1, 10, 50] {
        let recall = recall(&hnsw, &vectors, &queries, k);
        assert!(recall >= 0.99, "recall {recall} at k = {k}");
    }
}

/// The size is large only where the code is optimised: unoptimised vector instructions are calls.
#[test]
fn hnsw_finds_99_percent_in_a_large_collection() {
    let count = if cfg!(debug_assertions) { 3_000 } else { 100_000 };
    let (vectors, queries) = (synthetic(count), queries(100));
    let hnsw = build(&vectors, IndexKind::Hnsw);
    let recall = recall(&hnsw, &vectors, &queries, 10);
    assert!(recall >= 0.99, "recall@10 {recall} among {count}");
}

#[test]
fn a_stored_vector_finds_itself_first() {
    let vectors = synthetic(500);
    for kind in KINDS {
        let index = build(&vectors, kind);
        for id in [0, 7, 499] {
            let found = index.search(vectors.row(id), 3);
            assert_eq!(found[0].id as usize, id, "{kind:?}");
            assert!((found[0].similarity - 1.0).abs() < 1e-5, "{kind:?}");
            assert!(found.is_sorted_by(|a, b| a.similarity >= b.similarity), "{kind:?}");
        }
    }
}

#[test]
fn counts_are_respected() {
    let query = queries(1);
    // (vectors, k, neighbours)
    let table = [(0, 5, 0), (0, 0, 0), (1, 1, 1), (1, 9, 1), (300, 0, 0), (300, 300, 300)];
    let more = [(300, 301, 300), (300, usize::MAX, 300), (300, 100, 100)];
    for (len, k, expected) in table.into_iter().chain(more) {
        let vectors = synthetic(len);
        for kind in KINDS {
            let index = build(&vectors, kind);
            assert_eq!((index.len(), index.is_empty()), (len, len == 0));
            let found = index.search(query.row(0), k);
            assert_eq!(found.len(), expected, "{kind:?}, {len} vectors, k = {k}");
            let mut distinct = ids(&found);
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), found.len(), "{kind:?}: an id came twice");
        }
    }
}

#[test]
fn an_empty_collection_without_dimension_is_fine() {
    for kind in KINDS {
        assert!(build(&Arc::default(), kind).search(&[], 5).is_empty());
        assert!(build(&Arc::default(), kind).search(&[1.0], 5).is_empty());
    }
}

#[test]
fn equal_vectors_come_by_ascending_id() {
    // Rows 100 to 399 are one vector, more than any search keeps in sight.
    let mut values = synthetic::vectors(500, 0);
    let copy = values[..DIMENSION].to_vec();
    for row in values.chunks_exact_mut(DIMENSION).skip(100).take(300) {
        row.copy_from_slice(&copy);
    }
    let vectors = Arc::new(Embeddings::new(DIMENSION, values));
    for kind in KINDS {
        let found = build(&vectors, kind).search(&copy, 12);
        let expected: Vec<u32> = std::iter::once(0).chain(100..111).collect();
        assert_eq!(ids(&found), expected, "{kind:?}");
        assert!(found.iter().all(|n| n.similarity == found[0].similarity), "{kind:?}");
    }
}

#[test]
fn a_collection_of_one_vector_repeated() {
    let one = synthetic::vectors(1, 0);
    let vectors = Arc::new(Embeddings::new(DIMENSION, one.repeat(200)));
    for kind in KINDS {
        assert_eq!(ids(&build(&vectors, kind).search(&one, 3)), [0, 1, 2], "{kind:?}");
    }
}

#[test]
fn small_dimensions_work() {
    // Points on a circle: the answer is known without an oracle.
    let points = 360_u16;
    let angles = (0..points).map(|degree| f32::from(degree).to_radians());
    let vectors = angles.flat_map(|angle| [angle.cos(), angle.sin()]).collect();
    let vectors = Arc::new(Embeddings::new(2, vectors));
    for kind in KINDS {
        let mut found = ids(&build(&vectors, kind).search(vectors.row(90), 3));
        found.sort_unstable();
        assert_eq!(found, [89, 90, 91], "{kind:?}");
    }
}

#[test]
fn odd_queries_do_not_panic() {
    let vectors = synthetic(300);
    for kind in KINDS {
        let index = build(&vectors, kind);
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut query = vectors.row(0).to_vec();
            query[5] = odd;
            assert!(index.search(&query, 10).is_empty(), "{kind:?}, {odd}");
        }
        for odd in [0.0, 1e30, f32::MIN_POSITIVE, -0.0] {
            assert_eq!(index.search(&[odd; DIMENSION], 10).len(), 10, "{kind:?}, {odd}");
        }
    }
}

#[test]
fn vectors_that_are_not_unit_norm_are_refused() {
    for odd in [0.0, 0.5, 1.5, f32::NAN, f32::INFINITY] {
        for kind in KINDS {
            let vectors = Arc::new(Embeddings::new(2, vec![1.0, 0.0, odd, 0.0]));
            let error = Index::build(vectors, kind).err().expect("length is not 1");
            assert!(matches!(error, IndexError::Unsupported { .. }), "{odd}: {error}");
            assert!(error.to_string().contains("vector 1"), "{error}");
        }
    }
}

#[test]
fn the_same_vectors_give_the_same_graph() {
    let vectors = synthetic(600);
    let bytes = || match build(&vectors, IndexKind::Hnsw) {
        Index::Hnsw(index) => index.graph().to_bytes(),
        Index::Exact(_) => unreachable!("a graph was asked for"),
    };
    assert_eq!(bytes(), bytes());
}

#[test]
fn the_kind_is_chosen_by_size() {
    assert_eq!(IndexKind::choose(0), IndexKind::Exact);
    assert_eq!(IndexKind::choose(super::EXACT_MAX_LEN), IndexKind::Exact);
    assert_eq!(IndexKind::choose(super::EXACT_MAX_LEN + 1), IndexKind::Hnsw);
}
