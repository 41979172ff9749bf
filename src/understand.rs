//! Understands a message: the engine's steps around the encoder's queue, with their times.
//!
//! The one place where the pure engine meets the clock and the encoder's threads. The edges call
//! it.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::artifact::Model;
use crate::clock;
use crate::dialogue::form::Forms;
use crate::encoder::{Embeddings, Encoder, EncoderPool, PoolError};
use crate::intent::answer::{Answer, Status, Steps, Thresholds};
use crate::intent::engine::{Engine, FirstTier, Verdict};
use crate::intent::entity::date::calendar::Moment;
use crate::intent::keyword::KeywordMatch;
use crate::intent::knowledge::KnowledgeBase;
use crate::intent::normalize::{Normalized, normalize};
use crate::shadow::{Case, Shadow, ShadowCounts, ShadowReport, Totals};

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

/// The engine, ready to answer; its model can be replaced at any moment.
pub struct Understander {
    serving: ArcSwap<Serving>,
    /// A model that judges what is asked and answers nothing.
    shadow: ArcSwapOption<Shadow>,
    shadow_totals: Arc<Totals>,
    pool: EncoderPool,
}

/// A model and what is said of it.
pub struct Serving {
    model: Arc<Model>,
    summary: Arc<ModelSummary>,
    forms: Arc<Forms>,
}

/// What was answered, and by which model: the same one for all parts of one question.
#[derive(Debug, Clone)]
pub struct Answered<T> {
    /// The answer or the answers.
    pub answer: T,
    /// Who answered.
    pub model: Arc<ModelSummary>,
    /// The slots of its intents.
    pub forms: Arc<Forms>,
}

/// A message on its way through the tiers.
struct Asked<'a> {
    original: &'a str,
    text: Normalized,
    state: State,
    /// Whether it was embedded.
    encoded: bool,
    steps: Steps,
}

enum State {
    Open(Vec<KeywordMatch>),
    Settled(Verdict),
}

impl Understander {
    /// Answers with `model`; `pool` runs the encoder that the model was built with.
    pub fn new(model: Arc<Model>, pool: EncoderPool) -> Self {
        Self {
            serving: ArcSwap::from_pointee(Serving::new(model)),
            shadow: ArcSwapOption::empty(),
            shadow_totals: Arc::default(),
            pool,
        }
    }

    /// Answers with `model` from now on, built with the same encoder. Questions that are on their
    /// way keep the model that they began with.
    pub fn replace(&self, model: Arc<Model>) {
        let serving = Serving::new(model);
        if self.shadow.load().as_ref().is_some_and(|one| one.version() == serving.summary.version) {
            self.shadow.store(None);
        }
        self.serving.store(Arc::new(serving));
    }

    /// Lets `candidate` judge beside the model in use from now on, from a count of zero; none ends
    /// it. Built with the same encoder.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn set_shadow(&self, candidate: Option<Arc<Model>>) -> std::io::Result<()> {
        let encoder = Arc::clone(self.pool.encoder());
        let totals = || Arc::clone(&self.shadow_totals);
        let start = |model| Shadow::start(model, encoder, totals()).map(Arc::new);
        self.shadow.store(candidate.map(start).transpose()?);
        Ok(())
    }

    /// How the candidate in the shadow differs; none when there is none.
    pub fn shadow(&self) -> Option<ShadowReport> {
        self.shadow.load().as_ref().map(|shadow| shadow.report())
    }

    /// What all candidates together said since the start.
    pub fn shadow_counts(&self) -> ShadowCounts {
        self.shadow_totals.read()
    }

    /// Answers one message.
    ///
    /// # Errors
    /// [`UnderstandError`]; no text, however odd, is an error.
    pub async fn ask(
        &self,
        text: &str,
        options: AskOptions,
    ) -> Result<Answered<Answer>, UnderstandError> {
        let Answered { mut answer, model, forms } =
            self.answer(std::iter::once(text), options).await?;
        Ok(Answered { answer: answer.pop().expect("one answer a text"), model, forms })
    }

    /// Answers many messages in order; all are admitted or none.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn ask_all(
        &self,
        texts: &[String],
        options: AskOptions,
    ) -> Result<Answered<Vec<Answer>>, UnderstandError> {
        self.answer(texts.iter().map(String::as_str), options).await
    }

    async fn answer(
        &self,
        texts: impl Iterator<Item = &str>,
        options: AskOptions,
    ) -> Result<Answered<Vec<Answer>>, UnderstandError> {
        let serving = self.serving.load_full();
        let engine = &serving.model.engine;
        let mut asked: Vec<Asked<'_>> = texts.map(|text| Asked::new(engine, text)).collect();
        let open: Vec<String> = asked
            .iter()
            .filter(|one| matches!(one.state, State::Open(_)))
            .map(|one| one.text.text().to_owned())
            .collect();
        if !open.is_empty() {
            let begun = Instant::now();
            let embedded = self.pool.encode(open).await?;
            let encode_us = micros(begun);
            let mut rows = embedded.rows();
            for one in &mut asked {
                one.settle(engine, encode_us, || rows.next().expect("one embedding an open text"));
            }
            self.offer(engine, &asked, &embedded);
        } else {
            self.offer(engine, &asked, &Embeddings::default());
        }
        let answer = asked.into_iter().map(|one| one.answer(engine, options)).collect();
        let (model, forms) = (Arc::clone(&serving.summary), Arc::clone(&serving.forms));
        Ok(Answered { answer, model, forms })
    }

    /// Shows what was asked and decided to the candidate in the shadow, if there is one; `embedded`
    /// are the rows of those that tier 2 settled, in order. Never waits.
    fn offer(&self, engine: &Engine, asked: &[Asked<'_>], embedded: &Embeddings) {
        let shadow = self.shadow.load();
        let Some(shadow) = shadow.as_ref() else { return };
        let mut rows = embedded.rows();
        for one in asked {
            let State::Settled(verdict) = &one.state else { continue };
            let embedding = if one.encoded { rows.next().map(<[f32]>::to_vec) } else { None };
            let top = verdict.ranking.first().filter(|_| verdict.status == Status::Matched);
            let intent = top.map(|top| engine.knowledge().intents[top.0 as usize].id.clone());
            shadow.offer(Case {
                text: one.text.clone(),
                embedding,
                status: verdict.status,
                intent,
            });
        }
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
    pub fn model(&self) -> Arc<ModelSummary> {
        Arc::clone(&self.serving.load().summary)
    }

    /// The model in use with its forms, for a step of a dialogue.
    pub fn now(&self) -> Arc<Serving> {
        self.serving.load_full()
    }

    /// The model in use, whole.
    pub fn serving(&self) -> Arc<Model> {
        Arc::clone(&self.serving.load().model)
    }

    /// What the model in use was taught.
    pub fn knowledge(&self) -> KnowledgeHandle {
        KnowledgeHandle(Arc::clone(&self.serving.load().model))
    }

    /// The model in use, whole, for work that needs no answer in milliseconds.
    pub fn current(&self) -> Arc<Model> {
        Arc::clone(&self.serving.load().model)
    }

    /// The encoder, for work that needs no answer in milliseconds.
    pub fn encoder(&self) -> &Arc<dyn Encoder> {
        self.pool.encoder()
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

impl<'a> Asked<'a> {
    fn new(engine: &Engine, original: &'a str) -> Self {
        let mut steps = Steps::default();
        let begun = Instant::now();
        let text = normalize(original);
        steps.normalize_us = micros(begun);
        let begun = Instant::now();
        let state = match engine.first_tier(&text) {
            FirstTier::Open(evidence) => State::Open(evidence),
            FirstTier::Settled(verdict) => State::Settled(verdict),
        };
        steps.keyword_us = micros(begun);
        Self { original, text, state, encoded: false, steps }
    }

    fn settle<'e>(
        &mut self,
        engine: &Engine,
        encode_us: u64,
        embedding: impl FnOnce() -> &'e [f32],
    ) {
        let State::Open(evidence) = &mut self.state else { return };
        let begun = Instant::now();
        let evidence = std::mem::take(evidence);
        let verdict = engine.second_tier(&self.text, evidence, embedding());
        self.state = State::Settled(verdict);
        self.encoded = true;
        self.steps.encode_us = encode_us;
        self.steps.decide_us = micros(begun);
    }

    fn answer(self, engine: &Engine, options: AskOptions) -> Answer {
        let State::Settled(verdict) = &self.state else { unreachable!("both tiers have run") };
        let AskOptions { top_k, explain } = options;
        let mut answer = engine.answer(self.original, &self.text, verdict, top_k, explain);
        if let Some(explanation) = &mut answer.explanation {
            explanation.steps = self.steps;
        }
        answer
    }
}

impl Serving {
    fn new(model: Arc<Model>) -> Self {
        let Model { identity, engine, index, .. } = &*model;
        let summary = Arc::new(ModelSummary {
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
        });
        let forms = Forms::new(engine.knowledge()).expect("the engine has compiled the same slots");
        Self { summary, forms: Arc::new(forms), model }
    }

    /// What the model was taught.
    pub fn knowledge(&self) -> &KnowledgeBase {
        self.model.engine.knowledge()
    }

    /// The forms of its intents.
    pub fn forms(&self) -> &Forms {
        &self.forms
    }
}

/// The knowledge base of a model, as long as somebody looks at it.
pub struct KnowledgeHandle(Arc<Model>);

impl Deref for KnowledgeHandle {
    type Target = KnowledgeBase;

    fn deref(&self) -> &KnowledgeBase {
        self.0.engine.knowledge()
    }
}

/// The moment now, in UTC. A visitor's clock may show another day; whoever knows it says so.
pub fn utc_now() -> Moment {
    let seconds = clock::now_ms() / 1000;
    Moment::of_unix(i64::try_from(seconds).unwrap_or(i64::MAX))
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
