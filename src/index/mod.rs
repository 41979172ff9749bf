//! The index port: nearest neighbours by cosine similarity among unit-norm vectors.

/// One neighbour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbor {
    /// Row of the vector in the collection that was indexed.
    pub id: u32,
    /// Cosine similarity, -1 to 1.
    pub similarity: f32,
}

/// Nearest-neighbour search.
pub trait VectorIndex: Send + Sync {
    /// Number of vectors.
    fn len(&self) -> usize;

    /// True without vectors.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `k` most similar vectors to the unit-norm `query` (length = dimension), most similar
    /// first, equal similarities by ascending id. Fewer than `k` when the index is smaller.
    fn search(&self, query: &[f32], k: usize) -> Vec<Neighbor>;
}
