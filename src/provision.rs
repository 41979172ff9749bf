//! From folders to a model that can answer: the encoder, the knowledge base, and the artifact that
//! was built from both, or a new one.
//!
//! Called by both commands before anything is served.

pub mod tuned;

use std::path::{Path, PathBuf};

use crate::artifact::{self, ArtifactError, Identity, Model};
use crate::encoder::{Encoder, LoadError, SentenceEncoder};
use crate::intent::knowledge::KnowledgeBase;
use crate::knowledge;
use crate::models::{self, ModelDir, ModelError};
use crate::progress::Progress;
use crate::training::build::{self, BuildError, Given};
use crate::training::dataset::{self, DatasetError};
use crate::training::fit::Policy;
use crate::training::tune::TuneError;

/// Where a knowledge base and its models lie.
#[derive(Debug, Clone)]
pub struct Folders {
    /// The knowledge base, `intents/`.
    pub intents: PathBuf,
    /// Further rows, `training-data/`; need not be there.
    pub training_data: PathBuf,
    /// Folder of encoders; built models lie in its `intents/`.
    pub models: PathBuf,
}

impl Folders {
    /// Where built models lie.
    pub fn artifacts(&self) -> PathBuf {
        self.models.join("intents")
    }
}

/// Why there is no model. One line each, except for the findings of a knowledge base.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The encoder cannot be had.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The encoder cannot be loaded.
    #[error(transparent)]
    Encoder(#[from] LoadError),
    /// The knowledge base is wrong.
    #[error(transparent)]
    Knowledge(#[from] knowledge::LoadError),
    /// A file of the training data is wrong.
    #[error(transparent)]
    Data(#[from] DatasetError),
    /// Training failed.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Tuning the encoder failed.
    #[error(transparent)]
    Tune(#[from] TuneError),
    /// An artifact cannot be used.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// Training is forbidden and there is nothing to load.
    #[error("no intent model {} for the knowledge base in {}; run train-intents build, or allow it with --build auto", wanted.display(), intents.display())]
    NotBuilt {
        /// The folder that would have fitted.
        wanted: PathBuf,
        /// The knowledge base.
        intents: PathBuf,
    },
}

/// Loads the encoder `name_or_dir`, fetching it first when it is missing.
///
/// # Errors
/// [`ProvisionError`].
pub fn encoder(
    name_or_dir: &str,
    options: &models::Options,
    progress: &dyn Progress,
) -> Result<SentenceEncoder, ProvisionError> {
    Ok(encoder_with_folder(name_or_dir, options, progress)?.1)
}

/// The same with its folder.
///
/// # Errors
/// [`ProvisionError`].
pub fn encoder_with_folder(
    name_or_dir: &str,
    options: &models::Options,
    progress: &dyn Progress,
) -> Result<(ModelDir, SentenceEncoder), ProvisionError> {
    let model = models::ensure(name_or_dir, options, progress)?;
    let encoder = SentenceEncoder::load(&model.spec())?;
    Ok((model, encoder))
}

/// The knowledge base with the rows of the training data, and the out-of-scope sentences.
///
/// # Errors
/// [`ProvisionError`] with every finding.
pub fn data(folders: &Folders) -> Result<(KnowledgeBase, Vec<String>), ProvisionError> {
    let mut knowledge = knowledge::load(&folders.intents)?;
    let out_of_scope = dataset::supplement(&folders.training_data, &mut knowledge)?;
    Ok((knowledge, out_of_scope))
}

/// The model of the knowledge base as it is now: loaded when it was built before, else built and
/// saved, unless `may_build` is false.
///
/// # Errors
/// [`ProvisionError`].
pub fn model(
    folders: &Folders,
    encoder: &dyn Encoder,
    may_build: bool,
    progress: &dyn Progress,
) -> Result<(Model, PathBuf), ProvisionError> {
    let (knowledge, out_of_scope) = data(folders)?;
    let version = Identity::new(encoder.info(), &knowledge, &out_of_scope).version();
    let path = folders.artifacts().join(version);
    if path.is_dir() {
        return Ok((artifact::load(&path, encoder.info())?, path));
    }
    if !may_build {
        return Err(ProvisionError::NotBuilt { wanted: path, intents: folders.intents.clone() });
    }
    let earlier =
        newest(&folders.artifacts()).and_then(|at| artifact::load(&at, encoder.info()).ok());
    let calibration = tuned::calibration(&folders.models.join(&encoder.info().name))?;
    let given = Given { earlier: earlier.as_ref(), calibration, policy: Policy::default() };
    let model = build::build(knowledge, &out_of_scope, encoder, given, progress)?;
    let path = artifact::save(&model, &folders.artifacts())?;
    Ok((model, path))
}

/// The model that was built last; its embeddings save work.
fn newest(artifacts: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(artifacts).ok()?.flatten();
    entries
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .max()
        .map(|(_, path)| path)
}
