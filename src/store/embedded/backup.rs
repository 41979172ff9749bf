//! Backups: every row of one moment in one file, with a manifest that says how to know it again. A
//! backup can be made while the server runs; `restore` makes a new folder of it.
//!
//! Rows are written as callers see them, so a backup outlives changes of the tree's format. A backup
//! and a restored store appear under their names whole, or not at all.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::engine::Area;
use super::folder::sync_folder;
use super::{Durability, EmbeddedOptions, EmbeddedStore, OpenError};
use crate::store::{Batch, MAX_KEY_BYTES, MAX_VALUE_BYTES, Store, StoreError};

const ROWS: &str = "rows";
const MANIFEST: &str = "manifest.json";
/// The version of backups that this build writes, and the only one that it reads.
const FORMAT: u32 = 1;
/// A restored store is filled in batches of about so many bytes.
const BATCH_BYTES: usize = 256 << 10;

/// What a backup says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the backup's format.
    pub format: u32,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// How many rows it holds.
    pub rows: u64,
    /// Length of the file of rows.
    pub bytes: u64,
    /// SHA-256 of the file of rows, in hexadecimal.
    pub sha256: String,
}

/// Why a backup was not made, is not good, or was not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The target is in use.
    #[error("{} exists and is not empty; give a new folder", .0.display())]
    Taken(PathBuf),
    /// The backup is not what its manifest says.
    #[error("the backup in {} is damaged: {why}; use another one", .folder.display())]
    Damaged {
        /// Which.
        folder: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The store that is read, or made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Reading or writing the rows of a store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The files of the backup.
    #[error("the backup cannot be read or written: {0}")]
    Io(#[from] io::Error),
}

impl EmbeddedStore {
    /// Writes all rows of this moment into the new folder `target`, while others write on. It takes
    /// its time: call it from a thread that may block.
    ///
    /// # Errors
    /// When the target exists, or something cannot be read or written.
    pub fn backup(&self, target: &Path, now_ms: u64) -> Result<Manifest, BackupError> {
        let place = Place::beside(target)?;
        fs::create_dir(place.within())?;
        let mut file = Summing::new(BufWriter::new(File::create(place.within().join(ROWS))?));
        let mut rows = 0;
        for row in self.engine.rows(Area::Rows) {
            let (key, value) = row.into_inner().map_err(super::failed)?;
            let key = &key[1..];
            for part in [key, &value] {
                let length = u32::try_from(part.len()).expect("keys and values are limited");
                file.put(&length.to_be_bytes())?;
            }
            file.put(key)?;
            file.put(&value)?;
            rows += 1;
        }
        let Summing { inner, bytes, sum } = file;
        inner.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        let sha256 = hex(&sum.finalize());
        let manifest = Manifest { format: FORMAT, created_ms: now_ms, rows, bytes, sha256 };
        let mut file = File::create(place.within().join(MANIFEST))?;
        file.write_all(&serde_json::to_vec_pretty(&manifest).map_err(io::Error::from)?)?;
        file.sync_all()?;
        place.appear()?;
        Ok(manifest)
    }
}

/// Reads a whole backup, and compares it with its manifest.
///
/// # Errors
/// When it is damaged, or cannot be read.
pub fn verify(backup: &Path) -> Result<Manifest, BackupError> {
    read(backup, |_, _| Ok(()))
}

/// Makes a store in the new folder `target` of a backup that is good.
///
/// # Errors
/// When the target is not empty, or the backup is damaged; the target is then as it was.
pub fn restore(backup: &Path, target: &Path) -> Result<Manifest, BackupError> {
    let place = Place::beside(target)?;
    verify(backup)?;
    let options = EmbeddedOptions { durability: Durability::Interval, ..Default::default() };
    let (store, _) = EmbeddedStore::open(&place.within(), options)?;
    let (mut batch, mut bytes) = (Batch::default(), 0);
    let manifest = read(backup, |key, value| {
        bytes += key.len() + value.len();
        batch = std::mem::take(&mut batch).put(key, value);
        if bytes < BATCH_BYTES {
            return Ok(());
        }
        bytes = 0;
        write(&store, std::mem::take(&mut batch))
    })?;
    write(&store, batch)?;
    drop(store);
    place.appear()?;
    Ok(manifest)
}

fn write(store: &EmbeddedStore, batch: Batch) -> Result<(), StoreError> {
    let (told, result) = mpsc::sync_channel(1);
    store.commit(batch, Box::new(move |outcome| drop(told.send(outcome))))?;
    result.recv().map_err(|_| super::closed())?
}

/// Goes through the rows; an error of the whole comes after the last row.
fn read(
    backup: &Path,
    mut row: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<Manifest, BackupError> {
    let damaged =
        |why: &str| BackupError::Damaged { folder: backup.to_owned(), why: why.to_owned() };
    let manifest = fs::read(backup.join(MANIFEST))?;
    let manifest: Manifest =
        serde_json::from_slice(&manifest).map_err(|error| damaged(&error.to_string()))?;
    if manifest.format != FORMAT {
        return Err(damaged(&format!("format {} is not known here", manifest.format)));
    }
    let too_short = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged("rows are missing"),
        _ => BackupError::Io(error),
    };
    let mut file = Summing::new(BufReader::new(File::open(backup.join(ROWS))?));
    let (mut key, mut value, mut before) = (Vec::new(), Vec::new(), None::<Vec<u8>>);
    for _ in 0..manifest.rows {
        let mut part = || -> Result<usize, BackupError> {
            let mut length = [0; 4];
            file.take(&mut length).map_err(too_short)?;
            Ok(u32::from_be_bytes(length) as usize)
        };
        let lengths = (part()?, part()?);
        if lengths.0 > MAX_KEY_BYTES || lengths.1 > MAX_VALUE_BYTES {
            return Err(damaged("a row is too long"));
        }
        key.resize(lengths.0, 0);
        value.resize(lengths.1, 0);
        file.take(&mut key).map_err(too_short)?;
        file.take(&mut value).map_err(too_short)?;
        if before.as_ref().is_some_and(|before| before >= &key) {
            return Err(damaged("rows are not in order"));
        }
        row(&key, &value)?;
        before.get_or_insert_default().clone_from(&key);
    }
    let rest = io::copy(&mut file.inner, &mut io::sink())?;
    if rest > 0 || file.bytes != manifest.bytes || hex(&file.sum.finalize()) != manifest.sha256 {
        return Err(damaged("its rows are not those of its manifest"));
    }
    Ok(manifest)
}

/// A file with the length and the sum of what went through.
struct Summing<F> {
    inner: F,
    bytes: u64,
    sum: Sha256,
}

impl<F> Summing<F> {
    fn new(inner: F) -> Self {
        Self { inner, bytes: 0, sum: Sha256::new() }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.sum.update(bytes);
    }
}

impl<F: Write> Summing<F> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.add(bytes);
        self.inner.write_all(bytes)
    }
}

impl<F: Read> Summing<F> {
    fn take(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.read_exact(bytes)?;
        self.add(bytes);
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A folder that is built under a hidden name beside its target.
struct Place {
    hidden: tempfile::TempDir,
    target: PathBuf,
}

impl Place {
    fn beside(target: &Path) -> Result<Self, BackupError> {
        if fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(BackupError::Taken(target.to_owned()));
        }
        let target = std::path::absolute(target)?;
        let parent = target.parent().ok_or_else(|| BackupError::Taken(target.clone()))?;
        fs::create_dir_all(parent)?;
        let hidden = tempfile::Builder::new().prefix(".kefu-").tempdir_in(parent)?;
        Ok(Self { hidden, target })
    }

    fn within(&self) -> PathBuf {
        self.hidden.path().join("new")
    }

    fn appear(self) -> io::Result<()> {
        sync_folder(&self.within())?;
        fs::rename(self.within(), &self.target)?;
        sync_folder(self.target.parent().expect("it was built in there"))
    }
}
