//! The encoder port: sentences in, unit-norm vectors out.
//!
//! The domain and the training code see only the [`Encoder`] trait; which model answers, and how
//! its weights came here, is decided by the composition root. Beside it stand the adapter that
//! runs BERT models ([`SentenceEncoder`]), several of them as one ([`CombinedEncoder`]), the threads
//! it runs on ([`EncoderPool`]), and a memory for texts that come again ([`Memo`]).

mod bert;
mod combined;
mod memo;
mod pool;
pub(crate) mod rowwise;
mod sentence;
mod tokenizer;
mod unigram;
pub(crate) mod weights;

pub use combined::CombinedEncoder;
pub use memo::Memo;
pub use pool::{EncoderPool, PoolError, PoolOptions};
pub use sentence::{LoadError, ModelSpec, Pooling, SentenceEncoder};
pub use tokenizer::TokenizerError;
pub use weights::WeightsError;

/// What identifies an encoder: two encoders with equal fields give the same vectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncoderInfo {
    /// Model name as in `models/manifest.toml`, or the folder's name.
    pub name: String,
    /// Lower-case hex SHA-256 over everything that shapes a vector: weights, tokenizer, config,
    /// pooling and query prefix.
    pub sha256: String,
    /// Length of one embedding.
    pub dimension: usize,
    /// Tokens beyond this many (special tokens included) are cut off.
    pub max_tokens: usize,
    /// True when its layers were tuned on labelled sentences: those of one intent then lie close
    /// together, more so for sentences that it was tuned on than for others.
    pub tuned: bool,
}

/// A sentence encoder.
pub trait Encoder: Send + Sync {
    /// Who encodes.
    fn info(&self) -> &EncoderInfo;

    /// Encodes normalised `texts` into one unit-norm row each, in order.
    ///
    /// A text gives the same vector alone and in a batch (within 1e-5).
    ///
    /// # Errors
    /// [`EncodeError`] when the model itself fails; no text, however odd, is an error.
    fn encode(&self, texts: &[&str]) -> Result<Embeddings, EncodeError>;
}

/// Row-major `(texts, dimension)` unit-norm vectors.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Embeddings {
    dimension: usize,
    values: Vec<f32>,
}

impl Embeddings {
    /// Wraps row-major values.
    ///
    /// # Panics
    /// When `values.len()` is not a multiple of `dimension`: a bug in the caller.
    pub fn new(dimension: usize, values: Vec<f32>) -> Self {
        assert!(dimension > 0 && values.len().is_multiple_of(dimension), "ragged embeddings");
        Self { dimension, values }
    }

    /// Length of one row.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.dimension).unwrap_or(0)
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Row `index`.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.dimension..(index + 1) * self.dimension]
    }

    /// All rows in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.dimension.max(1))
    }

    /// The values, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

/// The model failed on valid input.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the encoder {encoder} failed: {reason}")]
pub struct EncodeError {
    /// Name of the encoder.
    pub encoder: String,
    /// What went wrong, for the log.
    pub reason: String,
}
