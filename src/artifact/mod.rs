//! An intent model: the engine, what identifies it, and its folder on disk.
//!
//! Training makes a [`Model`], the server loads one. A folder is written whole beside its target
//! and renamed, carries the hash of each of its files and of everything it was made from, and is
//! refused when one does not fit.

mod folder;
mod weights;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::encoder::{Embeddings, EncoderInfo};
use crate::index::Index;
use crate::intent::classifier::Calibration;
use crate::intent::engine::Engine;
use crate::intent::knowledge::KnowledgeBase;
use crate::intent::normalize::NORMALIZER_VERSION;

/// Changes whenever training makes another model from the same data.
const TRAINER_VERSION: &str = "2";

/// A trained model.
pub struct Model {
    /// What it was made from.
    pub identity: Identity,
    /// The engine.
    pub engine: Engine,
    /// The engine's index, as what can be written to disk.
    pub index: Arc<Index>,
    /// Embeddings of all examples, of all negative examples and of the intents' names, in this
    /// order, before whitening; a later build takes from here what did not change.
    pub embeddings: Embeddings,
}

/// What a model was made from; two models with equal identities answer alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Name of the encoder.
    pub encoder: String,
    /// [`EncoderInfo::sha256`].
    pub encoder_sha256: String,
    /// Length of an embedding.
    pub dimension: usize,
    /// [`NORMALIZER_VERSION`] of the time.
    pub normalizer: String,
    /// SHA-256 over the knowledge base and the out-of-scope sentences.
    pub data_sha256: String,
    /// Version of the training code.
    pub trainer: String,
    /// The share of out-of-scope sentences that may be accepted, when one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_false_accept: Option<String>,
}

impl Identity {
    /// The identity of the model that training would make now.
    pub fn new(
        encoder: &EncoderInfo,
        knowledge: &KnowledgeBase,
        out_of_scope: &[String],
        max_false_accept: Option<f64>,
    ) -> Self {
        let data = serde_json::to_vec(&(knowledge, out_of_scope)).expect("plain data is JSON");
        Self {
            encoder: encoder.name.clone(),
            encoder_sha256: encoder.sha256.clone(),
            dimension: encoder.dimension,
            normalizer: NORMALIZER_VERSION.to_owned(),
            data_sha256: hex(&Sha256::digest(&data)),
            trainer: TRAINER_VERSION.to_owned(),
            max_false_accept: max_false_accept.map(|rate| rate.to_string()),
        }
    }

    /// A short name for this identity: the folder's name, and what answers carry.
    pub fn version(&self) -> String {
        let all = serde_json::to_vec(self).expect("plain data is JSON");
        hex(&Sha256::digest(&all))[..12].to_owned()
    }
}

/// The head of an artifact, `model.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    /// Version of the folder's layout: 2.
    format: u32,
    identity: Identity,
    calibration: Calibration,
    files: Vec<FileSum>,
}

/// One file of the artifact.
#[derive(Debug, Serialize, Deserialize)]
struct FileSum {
    name: String,
    sha256: String,
}

/// An artifact cannot be written or used. One line each: what, where, what to do.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// A file cannot be read or written.
    #[error("cannot use {}: {source}; check the folder, its permissions and the disk", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what the artifact says.
    #[error("{} is damaged: {reason}; delete the folder and run train-intents build", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// How.
        reason: String,
    },
    /// The model belongs to other parts than those at hand.
    #[error("the intent model {} does not fit: it was built with {part} {found}, here is {expected}; run train-intents build", path.display())]
    Misfit {
        /// The folder.
        path: PathBuf,
        /// Encoder, normaliser or data.
        part: &'static str,
        /// What the artifact names.
        found: String,
        /// What is at hand.
        expected: String,
    },
}

/// Writes `model` into `folder/<version>` and returns that path. A folder that is there already is
/// left as it is: it holds the same model.
///
/// # Errors
/// [`ArtifactError`]; a failed write leaves nothing behind under the final name.
pub fn save(model: &Model, folder: &Path) -> Result<PathBuf, ArtifactError> {
    folder::save(model, folder)
}

/// Loads the model in `path`, which must have been built with `encoder` and this normaliser.
///
/// # Errors
/// [`ArtifactError`] with the file or the part that does not fit.
pub fn load(path: &Path, encoder: &EncoderInfo) -> Result<Model, ArtifactError> {
    folder::load(path, encoder)
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
