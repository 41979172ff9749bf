//! From folders to a model that can answer: the encoder, the knowledge base, and the artifact that
//! was built from both, or a new one.
//!
//! Called by both commands before anything is served.

pub mod tuned;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::artifact::{self, ArtifactError, Identity, Model};
use crate::encoder::{CombinedEncoder, Encoder, EncoderInfo, LoadError, SentenceEncoder};
use crate::intent::golden::GoldenSentence;
use crate::intent::knowledge::KnowledgeBase;
use crate::knowledge;
use crate::models::{self, ModelDir, ModelError};
use crate::progress::Progress;
use crate::training::build::{self, BuildError, Given};
use crate::training::dataset::{self, DatasetError};
use crate::training::fit::Policy;
use crate::training::tune::TuneError;

/// Where a knowledge base and its models lie, and what the models are to guarantee.
#[derive(Debug, Clone)]
pub struct Folders {
    /// The knowledge base, `intents/`.
    pub intents: PathBuf,
    /// Further rows, `training-data/`; need not be there.
    pub training_data: PathBuf,
    /// Folder of encoders; built models lie in its `intents/`.
    pub models: PathBuf,
    /// What the thresholds of built models are to guarantee.
    pub policy: Policy,
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
    /// A tuned encoder beside others.
    #[error(
        "the encoder {0} was tuned and is calibrated alone; use it alone, or several untuned ones together"
    )]
    TunedTogether(String),
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

/// Joins the names of encoders that are used together.
const TOGETHER: char = '+';

/// Loads the encoder `name_or_dir`, fetching it first when it is missing. Several names joined by `+`
/// are several encoders that are used together.
///
/// # Errors
/// [`ProvisionError`].
pub fn encoder(
    name_or_dir: &str,
    options: &models::Options,
    progress: &dyn Progress,
) -> Result<Box<dyn Encoder>, ProvisionError> {
    let names = parts(name_or_dir);
    let mut encoders: Vec<Box<dyn Encoder>> = Vec::with_capacity(names.len());
    for name in &names {
        let (_, encoder) = single_encoder(name, options, progress)?;
        if names.len() > 1 && encoder.info().tuned {
            return Err(ProvisionError::TunedTogether((*name).to_owned()));
        }
        encoders.push(Box::new(encoder));
    }
    Ok(match encoders.len() {
        1 => encoders.remove(0),
        _ => Box::new(CombinedEncoder::new(encoders)),
    })
}

/// True when loading this encoder downloads nothing.
pub fn is_installed(name_or_dir: &str, models_dir: &Path) -> bool {
    parts(name_or_dir).iter().all(|name| models::is_installed(name, models_dir))
}

/// The encoders of a name; a folder may have a plus in its name.
fn parts(name_or_dir: &str) -> Vec<&str> {
    if Path::new(name_or_dir).is_dir() {
        return vec![name_or_dir];
    }
    name_or_dir.split(TOGETHER).map(str::trim).collect()
}

/// One encoder with its folder.
///
/// # Errors
/// [`ProvisionError`].
pub fn single_encoder(
    name_or_dir: &str,
    options: &models::Options,
    progress: &dyn Progress,
) -> Result<(ModelDir, SentenceEncoder), ProvisionError> {
    let model = models::ensure(name_or_dir, options, progress)?;
    let encoder = SentenceEncoder::load(&model.spec())?;
    Ok((model, encoder))
}

/// What the folders say.
#[derive(Debug, Clone)]
pub struct Data {
    /// The knowledge base with the rows of the training data.
    pub knowledge: KnowledgeBase,
    /// Sentences that no intent means.
    pub out_of_scope: Vec<String>,
    /// Sentences whose answers are settled.
    pub golden: Vec<GoldenSentence>,
    /// What the thresholds are to guarantee.
    pub policy: Policy,
}

impl Data {
    /// The version of the model that is made of it.
    pub fn version(&self, encoder: &EncoderInfo) -> String {
        let rate = self.policy.max_false_accept;
        Identity::new(encoder, &self.knowledge, &self.out_of_scope, rate).version()
    }
}

/// New texts of files in the folder of the knowledge base, by file name; none: deleted.
pub type Edits = BTreeMap<String, Option<String>>;

/// Reads the folders.
///
/// # Errors
/// [`ProvisionError`] with every finding.
pub fn data(folders: &Folders) -> Result<Data, ProvisionError> {
    data_with(folders, &Edits::new())
}

/// Reads the folders as they would be with `edits`.
///
/// # Errors
/// As [`data`].
pub fn data_with(folders: &Folders, edits: &Edits) -> Result<Data, ProvisionError> {
    let folder = &folders.intents;
    let mut sources: BTreeMap<PathBuf, String> = knowledge::sources(folder)?.into_iter().collect();
    let mut golden_text = None;
    for (name, text) in edits {
        let path = folder.join(name);
        match text {
            _ if knowledge::is_golden(&path) => golden_text = Some((path, text)),
            Some(text) => drop(sources.insert(path, text.clone())),
            None => drop(sources.remove(&path)),
        }
    }
    if sources.is_empty() {
        return Err(knowledge::LoadError::Empty(folder.clone()).into());
    }
    let sources: Vec<(PathBuf, String)> = sources.into_iter().collect();
    let mut knowledge = knowledge::parse(&sources).map_err(knowledge::LoadError::Findings)?;
    let out_of_scope = dataset::supplement(&folders.training_data, &mut knowledge)?;
    let knows = |id: &str| knowledge.position(id).is_some();
    let golden = match golden_text {
        None => knowledge::load_golden(folder, knows)?,
        Some((_, None)) => Vec::new(),
        Some((path, Some(text))) => {
            knowledge::parse_golden(&path, text, knows).map_err(knowledge::LoadError::Findings)?
        }
    };
    Ok(Data { knowledge, out_of_scope, golden, policy: folders.policy })
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
    let data = data(folders)?;
    let path = folders.artifacts().join(data.version(encoder.info()));
    if !may_build && !path.is_dir() {
        return Err(ProvisionError::NotBuilt { wanted: path, intents: folders.intents.clone() });
    }
    model_of(data, folders, encoder, progress)
}

/// The model of `data`: loaded when it was built before, else built and saved.
///
/// # Errors
/// [`ProvisionError`].
pub fn model_of(
    data: Data,
    folders: &Folders,
    encoder: &dyn Encoder,
    progress: &dyn Progress,
) -> Result<(Model, PathBuf), ProvisionError> {
    if let Some(found) = built(&data, folders, encoder.info())? {
        return Ok(found);
    }
    let model = train(data, folders, encoder, progress)?;
    let path = artifact::save(&model, &folders.artifacts())?;
    Ok((model, path))
}

/// The model of `data` if it was built before.
///
/// # Errors
/// [`ProvisionError`] when it is there and cannot be loaded.
pub fn built(
    data: &Data,
    folders: &Folders,
    encoder: &EncoderInfo,
) -> Result<Option<(Model, PathBuf)>, ProvisionError> {
    let path = folders.artifacts().join(data.version(encoder));
    if !path.is_dir() {
        return Ok(None);
    }
    Ok(Some((artifact::load(&path, encoder)?, path)))
}

/// Builds the model of `data` and does not save it.
///
/// # Errors
/// [`ProvisionError`].
pub fn train(
    data: Data,
    folders: &Folders,
    encoder: &dyn Encoder,
    progress: &dyn Progress,
) -> Result<Model, ProvisionError> {
    let earlier =
        newest(&folders.artifacts()).and_then(|at| artifact::load(&at, encoder.info()).ok());
    train_from(data, folders, encoder, earlier.as_ref(), progress)
}

/// [`train`] that takes the embeddings of equal texts from `earlier`.
///
/// # Errors
/// [`ProvisionError`].
pub fn train_from(
    data: Data,
    folders: &Folders,
    encoder: &dyn Encoder,
    earlier: Option<&Model>,
    progress: &dyn Progress,
) -> Result<Model, ProvisionError> {
    let calibration = tuned::calibration(&folders.models.join(&encoder.info().name))?;
    let given = Given { earlier, calibration, policy: folders.policy };
    let Data { knowledge, out_of_scope, .. } = data;
    Ok(build::build(knowledge, &out_of_scope, encoder, given, progress)?)
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
