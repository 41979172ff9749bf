//! Understands a message: the engine's steps around the encoder's queue, with their times.
//!
//! The one place where the pure engine meets the clock and the encoder's threads. The HTTP edge
//! calls it.

use std::sync::Arc;
use std::time::Instant;

use crate::artifact::Model;
use crate::encoder::{EncoderPool, PoolError};
use crate::intent::answer::{Answer, Steps, Thresholds};
use crate::intent::engine::{FirstTier, Verdict};
use crate::intent::keyword::KeywordMatch;
use crate::intent::normalize::{Normalized, normalize};

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

impl From<PoolError> for UnderstandError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Full { capacity } => Self::Busy { capacity },
            PoolError::Closed => Self::Stopping,
            other => Self::Failed(other.to_string()),
        }
    }
}

/// The engine, ready to answer.
pub struct Understander {
    model: Arc<Model>,
    pool: EncoderPool,
}

/// A message on its way through the tiers.
struct Asked<'a> {
    original: &'a str,
    text: Normalized,
    state: State,
    steps: Steps,
}

enum State {
    Open(Vec<KeywordMatch>),
    Settled(Verdict),
}

impl Understander {
    /// Answers with `model`; `pool` runs the encoder that the model was built with.
    pub fn new(model: Arc<Model>, pool: EncoderPool) -> Self {
        Self { model, pool }
    }

    /// Answers one message.
    ///
    /// # Errors
    /// [`UnderstandError`]; no text, however odd, is an error.
    pub async fn ask(&self, text: &str, options: AskOptions) -> Result<Answer, UnderstandError> {
        let mut answers = self.answer(std::iter::once(text), options).await?;
        Ok(answers.pop().expect("one answer a text"))
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
        self.answer(texts.iter().map(String::as_str), options).await
    }

    async fn answer(
        &self,
        texts: impl Iterator<Item = &str>,
        options: AskOptions,
    ) -> Result<Vec<Answer>, UnderstandError> {
        let mut asked: Vec<Asked<'_>> = texts.map(|text| self.first_tier(text)).collect();
        let open: Vec<String> = asked
            .iter()
            .filter(|one| matches!(one.state, State::Open(_)))
            .map(|one| one.text.text().to_owned())
            .collect();
        if !open.is_empty() {
            let begun = Instant::now();
            let rows = self.pool.encode(open).await?;
            let encode_us = micros(begun);
            let mut rows = rows.rows();
            for one in &mut asked {
                self.second_tier(one, encode_us, || {
                    rows.next().expect("one embedding an open text")
                });
            }
        }
        Ok(asked.into_iter().map(|one| self.finish(one, options)).collect())
    }

    fn first_tier<'a>(&self, original: &'a str) -> Asked<'a> {
        let mut steps = Steps::default();
        let begun = Instant::now();
        let text = normalize(original);
        steps.normalize_us = micros(begun);
        let begun = Instant::now();
        let state = match self.model.engine.first_tier(&text) {
            FirstTier::Open(evidence) => State::Open(evidence),
            FirstTier::Settled(verdict) => State::Settled(verdict),
        };
        steps.keyword_us = micros(begun);
        Asked { original, text, state, steps }
    }

    fn second_tier<'e>(
        &self,
        one: &mut Asked<'_>,
        encode_us: u64,
        embedding: impl FnOnce() -> &'e [f32],
    ) {
        let State::Open(evidence) = &mut one.state else { return };
        let begun = Instant::now();
        let evidence = std::mem::take(evidence);
        let verdict = self.model.engine.second_tier(&one.text, evidence, embedding());
        one.state = State::Settled(verdict);
        one.steps.encode_us = encode_us;
        one.steps.decide_us = micros(begun);
    }

    fn finish(&self, one: Asked<'_>, options: AskOptions) -> Answer {
        let State::Settled(verdict) = &one.state else { unreachable!("both tiers have run") };
        let AskOptions { top_k, explain } = options;
        let mut answer = self.model.engine.answer(one.original, &one.text, verdict, top_k, explain);
        if let Some(explanation) = &mut answer.explanation {
            explanation.steps = one.steps;
        }
        answer
    }

    /// Embeds texts: one unit-norm vector each, in order, normalised first as everywhere.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn embed(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, UnderstandError> {
        let texts = texts.iter().map(|text| normalize(text).text().to_owned()).collect();
        Ok(self.pool.encode(texts).await?.rows().map(<[f32]>::to_vec).collect())
    }

    /// The model in use.
    pub fn model(&self) -> ModelSummary {
        let Model { identity, engine, index, .. } = &*self.model;
        ModelSummary {
            version: identity.version(),
            encoder: identity.encoder.clone(),
            encoder_sha256: identity.encoder_sha256.clone(),
            dimension: identity.dimension,
            normalizer: identity.normalizer.clone(),
            data_sha256: identity.data_sha256.clone(),
            intents: engine.knowledge().intents.len(),
            examples: engine.vectors().len(),
            index: index.kind().to_string(),
            thresholds: engine.classifier().calibration().thresholds,
        }
    }

    /// Texts that wait for the encoder now.
    pub fn queued(&self) -> usize {
        self.pool.queued()
    }

    /// Refuses new messages and waits for those that were accepted.
    pub async fn stop(&self) {
        self.pool.shutdown().await;
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
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
    pub thresholds: Thresholds,
}
