//! Model folders on disk: how a finished one is described, and how a new one appears at once.
//!
//! A model is built in a hidden folder beside its target, described by a `kefu-model.json`,
//! flushed to disk and renamed. A folder without that last step is never used.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::encoder::{ModelSpec, Pooling};

use super::ModelError;
use super::manifest::SourceFile;

/// Name of the description inside a model folder.
pub(super) const CARD: &str = "kefu-model.json";
/// The files an encoder is loaded from.
pub(super) const FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];
/// Version of the description's layout.
const FORMAT: u32 = 1;

/// What `kefu-model.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Version of this layout, 1.
    pub format: u32,
    /// Name for people.
    pub name: String,
    /// Where the files came from.
    pub source: String,
    /// SPDX identifier of the weights' licence, if known.
    pub license: Option<String>,
    /// Languages as ISO 639-1 codes, if known.
    pub languages: Vec<String>,
    /// How token vectors become a sentence's.
    pub pooling: Pooling,
    /// Put before each text.
    pub query_prefix: String,
    /// Tokens beyond this many are cut off.
    pub max_tokens: usize,
    /// Length of one embedding.
    pub dimension: usize,
    /// Pieces kept and pieces before, when the vocabulary was pruned.
    pub pruned: Option<Pruned>,
    /// True when its layers were tuned here on labelled sentences.
    #[serde(default)]
    pub tuned: bool,
    /// The encoder's files.
    pub files: Vec<CardFile>,
}

/// How much of a vocabulary is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// Pieces left.
    pub pieces: usize,
    /// Pieces before.
    pub of: usize,
}

/// A file of the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardFile {
    /// Its name in the folder.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Lower-case hex SHA-256.
    pub sha256: String,
}

/// A model folder that can be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelDir {
    /// The folder.
    pub path: PathBuf,
    /// Its description.
    pub card: ModelCard,
}

impl ModelDir {
    /// What the encoder needs to know.
    pub fn spec(&self) -> ModelSpec {
        ModelSpec {
            name: self.card.name.clone(),
            dir: self.path.clone(),
            sha256: self.card.identity(),
            pooling: self.card.pooling,
            query_prefix: self.card.query_prefix.clone(),
            max_tokens: self.card.max_tokens,
            tuned: self.card.tuned,
        }
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.card.files.iter().map(|file| file.bytes).sum()
    }

    /// Reads the description of an installed model and compares the files' lengths with it.
    ///
    /// # Errors
    /// [`ModelError::Damaged`] or [`ModelError::Io`].
    pub(super) fn read(path: &Path) -> Result<Self, ModelError> {
        let damaged = |reason: String| ModelError::Damaged { path: path.to_owned(), reason };
        let raw = read_file(&path.join(CARD))?;
        let card: ModelCard = serde_json::from_slice(&raw)
            .map_err(|error| damaged(format!("{CARD} is unreadable ({error})")))?;
        if card.format != FORMAT {
            return Err(damaged(format!("{CARD} has format {}, expected {FORMAT}", card.format)));
        }
        for name in FILES {
            let file = card.files.iter().find(|file| file.path == name);
            let file = file.ok_or_else(|| damaged(format!("{CARD} does not mention {name}")))?;
            let found = std::fs::metadata(path.join(name)).map_or(0, |meta| meta.len());
            if found != file.bytes {
                return Err(damaged(format!("{name} has {found} bytes, expected {}", file.bytes)));
            }
        }
        Ok(Self { path: path.to_owned(), card })
    }
}

impl ModelCard {
    /// SHA-256 over everything that shapes a vector.
    pub fn identity(&self) -> String {
        let mut hash = Sha256::new();
        let mut files: Vec<&CardFile> = self.files.iter().collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        for file in files {
            hash.update(format!("file {} {}\n", file.path, file.sha256));
        }
        let Self { pooling, query_prefix, max_tokens, .. } = self;
        hash.update(format!("pooling {pooling:?}\nprefix {query_prefix:?}\nmax {max_tokens}\n"));
        hex(&hash.finalize())
    }
}

/// A folder that becomes a model, or nothing.
pub(super) struct Staging {
    folder: tempfile::TempDir,
    target: PathBuf,
}

impl Staging {
    /// Makes a hidden folder beside `target`.
    pub(super) fn new(target: &Path) -> Result<Self, ModelError> {
        let parent = target.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).map_err(|e| ModelError::io(parent, e))?;
        let folder = tempfile::Builder::new()
            .prefix(".partial-")
            .tempdir_in(parent)
            .map_err(|e| ModelError::io(parent, e))?;
        Ok(Self { folder, target: target.to_owned() })
    }

    /// Where the model is built.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A new file of the model.
    pub(super) fn create(&self, name: &str) -> Result<File, ModelError> {
        let path = self.path().join(name);
        File::create(&path).map_err(|e| ModelError::io(&path, e))
    }

    /// Writes a whole small file of the model.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ModelError> {
        let path = self.path().join(name);
        std::fs::write(&path, bytes).map_err(|e| ModelError::io(&path, e))
    }

    /// Describes the files, flushes everything and renames the folder to its target.
    pub(super) fn publish(self, mut card: ModelCard) -> Result<ModelDir, ModelError> {
        let path = self.path().to_owned();
        card.format = FORMAT;
        card.files = FILES.iter().map(|name| describe(&path, name)).collect::<Result<_, _>>()?;
        let text = serde_json::to_vec_pretty(&card).expect("a card is plain data");
        self.write(CARD, &text)?;
        for name in FILES.iter().chain([&CARD]) {
            sync(&path.join(name))?;
        }
        open_to_all(&path)?;
        sync(&path)?;
        match std::fs::rename(&path, &self.target) {
            Ok(()) => {}
            // Another process was faster; its model is as good.
            Err(_) if self.target.join(CARD).exists() => return ModelDir::read(&self.target),
            Err(error) => return Err(ModelError::io(&self.target, error)),
        }
        // The folder has moved; nothing is left to clean up.
        let _ = self.folder.keep();
        sync(self.target.parent().unwrap_or(Path::new(".")))?;
        ModelDir::read(&self.target)
    }
}

/// Checks a source file's length and hash.
///
/// # Errors
/// [`ModelError::Checksum`] with what was expected and what was found.
pub(super) fn verify(path: &Path, expected: &SourceFile) -> Result<(), ModelError> {
    let error = |expected: String, found: String| ModelError::Checksum {
        path: path.to_owned(),
        expected,
        found,
    };
    let found = std::fs::metadata(path).map_err(|e| ModelError::io(path, e))?.len();
    if found != expected.bytes {
        return Err(error(format!("{} bytes", expected.bytes), format!("{found} bytes")));
    }
    let found = sha256_of(path)?;
    if found != expected.sha256 {
        return Err(error(format!("sha256 {}", expected.sha256), found));
    }
    Ok(())
}

/// Length and hash of a file in `folder`.
pub(super) fn describe(folder: &Path, name: &str) -> Result<CardFile, ModelError> {
    let path = folder.join(name);
    let bytes = std::fs::metadata(&path).map_err(|e| ModelError::io(&path, e))?.len();
    Ok(CardFile { path: name.to_owned(), bytes, sha256: sha256_of(&path)? })
}

/// The whole of a small file.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, ModelError> {
    std::fs::read(path).map_err(|e| ModelError::io(path, e))
}

fn sha256_of(path: &Path) -> Result<String, ModelError> {
    let mut file = File::open(path).map_err(|e| ModelError::io(path, e))?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk).map_err(|e| ModelError::io(path, e))? {
            0 => return Ok(hex(&hash.finalize())),
            bytes => hash.update(&chunk[..bytes]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Flushes a file or a folder's entries; folders can't be flushed on Windows.
fn sync(path: &Path) -> Result<(), ModelError> {
    if cfg!(windows) && path.is_dir() {
        return Ok(());
    }
    File::open(path).and_then(|file| file.sync_all()).map_err(|e| ModelError::io(path, e))
}

/// Temporary folders are private to their maker; a model may be read by the server's user.
fn open_to_all(path: &Path) -> Result<(), ModelError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(path, mode).map_err(|e| ModelError::io(path, e))?;
    }
    let _ = path;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card() -> ModelCard {
        ModelCard {
            format: 0,
            name: "tiny".to_owned(),
            source: "test".to_owned(),
            license: None,
            languages: Vec::new(),
            pooling: Pooling::Mean,
            query_prefix: "query: ".to_owned(),
            max_tokens: 32,
            dimension: 16,
            pruned: None,
            tuned: false,
            files: Vec::new(),
        }
    }

    fn install(target: &Path) -> ModelDir {
        let staging = Staging::new(target).unwrap();
        for name in FILES {
            staging.write(name, name.as_bytes()).unwrap();
        }
        staging.publish(card()).unwrap()
    }

    #[test]
    fn a_folder_appears_whole_or_not_at_all() {
        let models = tempfile::tempdir().unwrap();
        let target = models.path().join("tiny");
        let staging = Staging::new(&target).unwrap();
        staging.write(FILES[0], b"half").unwrap();
        assert!(staging.publish(card()).is_err());
        assert_eq!(std::fs::read_dir(models.path()).unwrap().count(), 0);
        let installed = install(&target);
        assert_eq!(ModelDir::read(&target).unwrap(), installed);
        assert_eq!(std::fs::read_dir(models.path()).unwrap().count(), 1);
        // A second process that finishes later takes what is there.
        assert_eq!(install(&target), installed);
        assert_eq!(std::fs::read_dir(models.path()).unwrap().count(), 1);
    }

    #[test]
    fn damage_is_seen_by_length() {
        let models = tempfile::tempdir().unwrap();
        let target = models.path().join("tiny");
        install(&target);
        std::fs::write(target.join(FILES[2]), b"cut").unwrap();
        let message = ModelDir::read(&target).unwrap_err().to_string();
        assert!(message.contains("model.safetensors has 3 bytes, expected 17"), "{message}");
    }

    #[test]
    fn identity_follows_everything_that_shapes_a_vector() {
        let models = tempfile::tempdir().unwrap();
        let card = install(&models.path().join("tiny")).card;
        let changes: [fn(&mut ModelCard); 4] = [
            |card| card.pooling = Pooling::Cls,
            |card| card.query_prefix.clear(),
            |card| card.max_tokens = 8,
            |card| card.files[1].sha256 = "0".repeat(64),
        ];
        for change in changes {
            let mut other = card.clone();
            change(&mut other);
            assert_ne!(other.identity(), card.identity());
        }
        let mut other = card.clone();
        other.source = "elsewhere".to_owned();
        other.files.reverse();
        assert_eq!(other.identity(), card.identity());
    }
}
