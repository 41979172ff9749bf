//! The index port: nearest neighbours by cosine similarity among unit-norm vectors.
//!
//! Decides which search answers ([`IndexKind::choose`]) and hides it behind [`VectorIndex`]. The
//! intent engine calls `search`; training calls [`Index::build`] and [`Index::save`], the model
//! loader [`Index::load`]. Knows nothing of intents or texts: a neighbour is a row number.
//!
//! Reading order: `exact` (the scan), `hnsw` (the graph), `codes` (how rows become small integers),
//! `graph` (how a graph is built and written), `store` (the folder on disk).

mod codes;
#[cfg(test)]
mod contract;
mod exact;
mod graph;
mod hnsw;
mod store;
#[cfg(test)]
mod synthetic;
mod top;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::exact::ExactIndex;
pub use self::graph::GraphParameters;
pub use self::hnsw::{DEFAULT_EF_SEARCH, HnswIndex};
use crate::encoder::Embeddings;

/// Largest dimension: beyond it sums of products of int8 codes could leave i32.
pub const MAX_DIMENSION: usize = 16_384;

/// Up to this many vectors the exact scan is chosen.
///
/// At 10 neighbours of 384 dimensions on one core of a Sapphire Rapids machine the scan takes
/// 0.09 ms among 10,000 and 0.24 ms among 30,000, misses nothing and is built in 0.1 s. The graph
/// takes 0.1 to 0.2 ms, but half a minute of building at 30,000 and a share of the neighbours:
/// where both answer well within the time of one encoding, the scan wins.
pub const EXACT_MAX_LEN: usize = 30_000;

/// Vectors whose length is further than this from 1 are refused: similarity would not be cosine.
const NORM_TOLERANCE: f32 = 1e-2;

/// One neighbour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbor {
    /// Row of the vector in the collection that was indexed.
    pub id: u32,
    /// Cosine similarity, -1 to 1 (rounding may pass 1 in the last bits).
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
    /// first, equal similarities by ascending id. Fewer than `k` only when the index is smaller.
    ///
    /// Similarities are computed in f32, whatever an index stores. A query with a value that is not
    /// finite has no neighbours.
    ///
    /// # Panics
    /// When the query's length is not the dimension of a non-empty index: a bug in the caller.
    fn search(&self, query: &[f32], k: usize) -> Vec<Neighbor>;
}

/// How an index searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IndexKind {
    /// Scan of all vectors.
    Exact,
    /// Walk on a hierarchical navigable small-world graph (Malkov & Yashunin, arXiv 1603.09320).
    Hnsw,
}

impl IndexKind {
    /// The kind for `len` vectors: see [`EXACT_MAX_LEN`].
    pub fn choose(len: usize) -> Self {
        if len <= EXACT_MAX_LEN { Self::Exact } else { Self::Hnsw }
    }
}

impl std::fmt::Display for IndexKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Exact => "exact",
            Self::Hnsw => "hnsw",
        })
    }
}

/// An index that can be written to a folder and read back.
pub enum Index {
    /// See [`IndexKind::Exact`].
    Exact(ExactIndex),
    /// See [`IndexKind::Hnsw`].
    Hnsw(HnswIndex),
}

impl Index {
    /// Indexes `vectors`, unit-norm rows that the index shares and never copies.
    ///
    /// The same vectors give the same index on any machine. Graphs take time: see
    /// [`GraphParameters`].
    ///
    /// # Errors
    /// [`IndexError::Unsupported`] when a row is not unit-norm or there are too many rows or
    /// dimensions.
    pub fn build(vectors: Arc<Embeddings>, kind: IndexKind) -> Result<Self, IndexError> {
        match kind {
            IndexKind::Exact => ExactIndex::build(vectors).map(Self::Exact),
            IndexKind::Hnsw => {
                HnswIndex::build(vectors, GraphParameters::default()).map(Self::Hnsw)
            }
        }
    }

    /// Writes the index into the folder `dir`, which must exist: `index.json` and, for a graph,
    /// `graph.bin`. The vectors are not written: they belong to the model.
    ///
    /// # Errors
    /// [`IndexError::Io`] with the file that could not be written.
    pub fn save(&self, dir: &Path) -> Result<(), IndexError> {
        store::save(self, dir)
    }

    /// Reads an index that [`Index::save`] wrote; a graph is read, not built again.
    ///
    /// # Errors
    /// [`IndexError`] with the file's path when one is missing or damaged, or when `vectors` are not
    /// the ones that were indexed. Never panics, whatever the files hold.
    pub fn load(dir: &Path, vectors: Arc<Embeddings>) -> Result<Self, IndexError> {
        check(&vectors)?;
        store::load(dir, vectors)
    }

    /// How this index searches.
    pub fn kind(&self) -> IndexKind {
        match self {
            Self::Exact(_) => IndexKind::Exact,
            Self::Hnsw(_) => IndexKind::Hnsw,
        }
    }
}

impl VectorIndex for Index {
    fn len(&self) -> usize {
        match self {
            Self::Exact(index) => index.len(),
            Self::Hnsw(index) => index.len(),
        }
    }

    fn search(&self, query: &[f32], k: usize) -> Vec<Neighbor> {
        match self {
            Self::Exact(index) => index.search(query, k),
            Self::Hnsw(index) => index.search(query, k),
        }
    }
}

/// What can go wrong with an index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The vectors cannot be indexed.
    #[error("these vectors cannot be indexed: {reason}")]
    Unsupported {
        /// What is wrong with them, and with which.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("cannot access {}: {source}; check that it exists and its permissions", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file is not what was written.
    #[error("{} is damaged: {reason}; build the index again", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The index belongs to other vectors.
    #[error("{} is of other vectors: {reason}; build the index again", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
}

/// Refuses what the arithmetic of the indexes could not hold.
fn check(vectors: &Embeddings) -> Result<(), IndexError> {
    let unsupported = |reason: String| Err(IndexError::Unsupported { reason });
    if vectors.dimension() > MAX_DIMENSION {
        let dimension = vectors.dimension();
        return unsupported(format!("dimension {dimension}, at most {MAX_DIMENSION} are possible"));
    }
    // The highest id marks "none" in the lists of duplicates.
    if vectors.len() >= u32::MAX as usize {
        return unsupported(format!("{} vectors, ids have 32 bits", vectors.len()));
    }
    for (row, vector) in vectors.rows().enumerate() {
        let norm = crate::kernels::dot_f32(vector, vector).sqrt();
        if norm.is_nan() || (norm - 1.0).abs() > NORM_TOLERANCE {
            return unsupported(format!("vector {row} has length {norm}, not 1; normalise it"));
        }
    }
    Ok(())
}
