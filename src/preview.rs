//! What an edit would do before it is saved: a candidate model beside the one in use, and the flips
//! between them.
//!
//! The HTTP edge calls it. One preview at a time, on a thread of its own and one core; the model in
//! use goes on answering. Nothing is written.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::ToSchema;

use crate::artifact::Model;
use crate::encoder::{EncodeError, Encoder};
use crate::flips::golden::{self, GoldenReport};
use crate::flips::{FlipReport, Message, Messages, Source, flips};
use crate::intent::answer::Status;
use crate::intent::engine::Engine;
use crate::intent::golden::{Expected, GoldenSentence};
use crate::intent::knowledge::KnowledgeBase;
pub use crate::knowledge::Finding;
use crate::knowledge::LoadError;
use crate::progress::Silent;
use crate::provision::{self, Data, Edits, Folders, ProvisionError};
use crate::training::build::{self, BuildError};
use crate::training::dataset::{self, DatasetError, Row};
use crate::training::embed::{Known, embed};
use crate::understand::Understander;

/// Messages of the log that are compared, the latest ones.
pub const MAX_LOGGED: usize = 1_000;
/// Rows of the held-out file that are compared, evenly spread over a larger one.
pub const MAX_HELD_OUT: usize = 2_000;
/// Files of one edit.
pub const MAX_FILES: usize = 64;
/// Flips that an answer holds.
const MAX_FLIPS: usize = 200;
/// Failing golden sentences that an answer holds.
const MAX_FAILURES: usize = 20;

/// What visitors wrote, as far as it is kept.
pub trait LoggedMessages: Send + Sync {
    /// The latest texts, at most `most`.
    fn recent(&self, most: usize) -> Vec<String>;
}

/// A server that keeps no messages.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMessages;

impl LoggedMessages for NoMessages {
    fn recent(&self, _most: usize) -> Vec<String> {
        Vec::new()
    }
}

/// Where previews get their messages, besides the golden set.
pub struct MessageSources {
    /// Labelled rows that nothing is fitted on.
    pub held_out: Option<PathBuf>,
    /// What visitors wrote.
    pub logged: Arc<dyn LoggedMessages>,
}

/// Makes previews.
pub struct Previewer {
    folders: Folders,
    sources: MessageSources,
    understander: Arc<Understander>,
    /// Remembers messages that come again at every preview.
    encoder: Arc<dyn Encoder>,
    busy: AtomicBool,
}

/// An edit that is not saved.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// New texts of files.
    pub edits: Edits,
    /// Further messages to compare.
    pub messages: Vec<String>,
    /// What becomes of the calibration.
    pub calibration: CalibrationMode,
}

/// What becomes of thresholds and weights that are fitted on unseen sentences.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CalibrationMode {
    /// Those of the model in use stay: seconds, and flips come from the edit alone.
    #[default]
    Kept,
    /// They are fitted anew, as a reload does; takes as long.
    Fitted,
}

/// What an edit would do.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Preview {
    /// Version of the model in use.
    #[schema(example = "b5a3315686a6")]
    pub before: String,
    /// Version that the edit would make.
    #[schema(example = "0c4d5a11be02")]
    pub after: String,
    /// Where the candidate's thresholds come from.
    pub calibration: CalibrationMode,
    /// How the candidate answers the golden set of the edit.
    pub golden: GoldenReport,
    /// Golden sentences that the model in use answers and the candidate does not: with
    /// `--golden required` the edit would be refused.
    pub golden_lost: usize,
    /// What changes.
    #[serde(flatten)]
    pub report: FlipReport,
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// Another one is being made.
    #[error("another preview is being made; try again when it is done")]
    Busy,
    /// A file's name or the number of files.
    #[error("{0}")]
    Files(String),
    /// The edited knowledge base is wrong.
    #[error("the knowledge base would be refused: {} findings, the first: {}", .0.len(), .0[0])]
    Findings(Vec<Finding>),
    /// The edited knowledge base cannot be used.
    #[error("the knowledge base would be refused: {0}")]
    Refused(String),
    /// The held-out file is wrong.
    #[error(transparent)]
    HeldOut(#[from] DatasetError),
    /// A fault of the server.
    #[error("{0}")]
    Failed(String),
}

impl From<ProvisionError> for PreviewError {
    fn from(error: ProvisionError) -> Self {
        match error {
            ProvisionError::Knowledge(LoadError::Findings(found)) => Self::Findings(found),
            ProvisionError::Knowledge(_) | ProvisionError::Data(_) => {
                Self::Refused(error.to_string())
            }
            ProvisionError::Build(BuildError::Fit(error)) => Self::Refused(error.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<BuildError> for PreviewError {
    fn from(error: BuildError) -> Self {
        ProvisionError::from(error).into()
    }
}

impl From<EncodeError> for PreviewError {
    fn from(error: EncodeError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Previewer {
    /// Previews edits of `folders` against the model that `understander` answers with; `encoder`
    /// is its encoder.
    pub fn new(
        folders: Folders,
        sources: MessageSources,
        understander: Arc<Understander>,
        encoder: Arc<dyn Encoder>,
    ) -> Self {
        Self { folders, sources, understander, encoder, busy: AtomicBool::new(false) }
    }

    /// What would `draft` do?
    ///
    /// # Errors
    /// [`PreviewError`].
    pub async fn preview(self: Arc<Self>, draft: Draft) -> Result<Preview, PreviewError> {
        let turn = Turn::take(self)?;
        let (reply, answer) = oneshot::channel();
        let work = move || {
            let made = turn.0.on_one_core(&draft);
            // The next one may begin before this answer is on its way.
            drop(turn);
            // Who asked may have hung up.
            let _ = reply.send(made);
        };
        std::thread::Builder::new()
            .name("kefu-preview".to_owned())
            .spawn(work)
            .map_err(|error| PreviewError::Failed(error.to_string()))?;
        let stopped = || Err(PreviewError::Failed("the preview broke off".to_owned()));
        answer.await.unwrap_or_else(|_| stopped())
    }

    fn on_one_core(&self, draft: &Draft) -> Result<Preview, PreviewError> {
        match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
            Ok(pool) => pool.install(|| self.make(draft)),
            Err(_) => self.make(draft),
        }
    }

    fn make(&self, draft: &Draft) -> Result<Preview, PreviewError> {
        self.check(&draft.edits)?;
        let data = provision::data_with(&self.folders, &draft.edits)?;
        let serving = self.understander.serving();
        let messages = self.messages(&data, &serving.engine, draft)?;
        let golden_set = data.golden.clone();
        let after = data.version(self.encoder.info());
        let candidate = self.candidate(data, &serving, draft.calibration)?;
        let (engine, calibration) = candidate.parts(&serving);

        let embeddings = embed(&*self.encoder, &messages.texts(), &Known::new(), &Silent)?;
        let mut report = flips(&serving.engine, engine, &messages, &embeddings);
        report.cut(MAX_FLIPS);
        let texts = golden::texts(&golden_set);
        let rows = embed(&*self.encoder, &texts, &Known::new(), &Silent)?;
        let golden = golden::judge(engine, &golden_set, &rows);
        let lost = golden.lost_since(&golden::judge(&serving.engine, &golden_set, &rows)).len();
        Ok(Preview {
            before: serving.identity.version(),
            after,
            calibration,
            golden: golden.cut(MAX_FAILURES),
            golden_lost: lost,
            report,
        })
    }

    /// Files lie in the folder itself and are YAML; one that is deleted must be there.
    fn check(&self, edits: &Edits) -> Result<(), PreviewError> {
        let wrong = |reason: String| Err(PreviewError::Files(reason));
        if edits.len() > MAX_FILES {
            return wrong(format!("{} files; send at most {MAX_FILES}", edits.len()));
        }
        for (name, text) in edits {
            let stem = name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".yml"));
            let plain = |c: char| c.is_alphanumeric() || "-_. ".contains(c);
            let good = stem.is_some_and(|stem| {
                !stem.is_empty() && !stem.starts_with('.') && stem.chars().all(plain)
            });
            if !good || name.len() > 255 {
                let shown: String = name.chars().take(60).collect();
                return wrong(format!(
                    "{shown:?} is no file of a knowledge base; use a plain name with .yaml"
                ));
            }
            if text.is_none() && !self.folders.intents.join(name).is_file() {
                return wrong(format!("there is no {name:?} to delete"));
            }
        }
        Ok(())
    }

    fn candidate(
        &self,
        data: Data,
        serving: &Model,
        mode: CalibrationMode,
    ) -> Result<Candidate, PreviewError> {
        let encoder = &*self.encoder;
        if data.version(encoder.info()) == serving.identity.version() {
            return Ok(Candidate::Serving);
        }
        if let Some((model, _)) = provision::built(&data, &self.folders, encoder.info())? {
            return Ok(Candidate::Whole(model.engine));
        }
        Ok(match mode {
            CalibrationMode::Kept => {
                Candidate::Quick(build::preview(data.knowledge, encoder, serving, &Silent)?)
            }
            CalibrationMode::Fitted => {
                let (folders, earlier) = (&self.folders, Some(serving));
                let model = provision::train_from(data, folders, encoder, earlier, &Silent)?;
                Candidate::Whole(model.engine)
            }
        })
    }

    /// All messages; of equal texts the one with the settled answer counts.
    fn messages(
        &self,
        data: &Data,
        before: &Engine,
        draft: &Draft,
    ) -> Result<Messages, PreviewError> {
        let held_out = match &self.sources.held_out {
            Some(path) => dataset::rows(path)?,
            None => Vec::new(),
        };
        let every = held_out.len().div_ceil(MAX_HELD_OUT).max(1);
        let held_out = held_out.into_iter().step_by(every);
        let file = self.sources.held_out.as_ref().map(|path| path.display().to_string());
        let known = [&data.knowledge, before.knowledge()];
        let rows = held_out.map(|row| held_out_message(row, file.as_deref(), &known));
        let plain = |source: Source, texts: Vec<String>| {
            texts.into_iter().map(move |text| Message::plain(source, text))
        };
        let logged = self.sources.logged.recent(MAX_LOGGED);
        Ok(Messages::new(
            golden_messages(&data.golden)
                .chain(rows)
                .chain(plain(Source::Logged, logged))
                .chain(plain(Source::Sent, draft.messages.clone())),
        ))
    }
}

/// The messages of a golden set.
pub fn golden_messages(golden: &[GoldenSentence]) -> impl Iterator<Item = Message> + '_ {
    golden.iter().map(Message::from)
}

/// A held-out row of `file` as a message. Of an intent that none of the knowledge bases has, the
/// right answer is not known.
pub fn held_out_message(row: Row, file: Option<&str>, known: &[&KnowledgeBase]) -> Message {
    let expected = if row.intent == dataset::OUT_OF_SCOPE {
        Some(Expected::Status(Status::OutOfScope))
    } else if known.iter().any(|knowledge| knowledge.position(&row.intent).is_some()) {
        Some(Expected::Intent(row.intent))
    } else {
        None
    };
    let (file, line) = (file.map(str::to_owned), Some(row.line));
    Message { expected, file, line, ..Message::plain(Source::HeldOut, row.text) }
}

/// The right to make a preview, until it is dropped.
struct Turn(Arc<Previewer>);

impl Turn {
    fn take(previewer: Arc<Previewer>) -> Result<Self, PreviewError> {
        if previewer.busy.swap(true, Ordering::Acquire) {
            return Err(PreviewError::Busy);
        }
        Ok(Self(previewer))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

/// A model to compare with.
enum Candidate {
    /// The edit changes nothing that models are made of.
    Serving,
    /// As a reload makes it.
    Whole(Engine),
    /// With the calibration of the model in use.
    Quick(Engine),
}

impl Candidate {
    fn parts<'a>(&'a self, serving: &'a Model) -> (&'a Engine, CalibrationMode) {
        match self {
            Self::Serving => (&serving.engine, CalibrationMode::Fitted),
            Self::Whole(engine) => (engine, CalibrationMode::Fitted),
            Self::Quick(engine) => (engine, CalibrationMode::Kept),
        }
    }
}

#[cfg(test)]
mod tests;
