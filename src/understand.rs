//! Understands a message: the engine's steps around the encoder's queue, with their times.
//!
//! The one place where the pure engine meets the clock and the encoder's threads. The HTTP edge
//! and later the conversations call it.

use crate::intent::answer::Answer;

/// How a caller wants its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskOptions {
    /// How many alternatives at the most.
    pub top_k: usize,
    /// Whether to say why.
    pub explain: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum UnderstandError {
    /// The encoder's queue is full; try again later.
    #[error("the encoder's queue is full ({capacity} texts wait already)")]
    Busy {
        /// How many texts may wait.
        capacity: usize,
    },
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// The encoder failed: a bug or a broken model.
    #[error("the encoder failed: {0}")]
    Failed(String),
}

/// The engine, ready to answer.
pub struct Understander {}

impl Understander {
    /// Answers one message.
    ///
    /// # Errors
    /// [`UnderstandError`]; no text, however odd, is an error.
    pub async fn ask(&self, text: &str, options: AskOptions) -> Result<Answer, UnderstandError> {
        let _ = (text, options);
        Err(UnderstandError::Stopping)
    }

    /// Answers many messages in order; all are admitted or none.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn ask_all(
        &self,
        texts: &[String],
        options: AskOptions,
    ) -> Result<Vec<Answer>, UnderstandError> {
        let _ = (texts, options);
        Err(UnderstandError::Stopping)
    }

    /// Embeds texts: one unit-norm vector each, in order.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn embed(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, UnderstandError> {
        let _ = texts;
        Err(UnderstandError::Stopping)
    }

    /// The model in use.
    pub fn model(&self) -> ModelSummary {
        unimplemented!()
    }

    /// Texts that wait for the encoder now.
    pub fn queued(&self) -> usize {
        0
    }
}

/// What `GET /model` says.
#[derive(Debug, Clone, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct ModelSummary {
    /// Version of the intent model.
    pub version: String,
    /// Name of the encoder.
    pub encoder: String,
    /// SHA-256 of the encoder.
    pub encoder_sha256: String,
    /// Length of an embedding.
    pub dimension: usize,
    /// Version of the normaliser.
    pub normalizer: String,
    /// SHA-256 of the knowledge base.
    pub data_sha256: String,
    /// Number of intents.
    pub intents: usize,
    /// Number of examples.
    pub examples: usize,
    /// `exact` or `hnsw`.
    pub index: String,
    /// Thresholds in use.
    pub thresholds: crate::intent::answer::Thresholds,
}
