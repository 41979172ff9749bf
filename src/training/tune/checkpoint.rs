//! The state of a tuning on disk, so that it goes on after a crash where it was.
//!
//! One file: a magic line, the length of a JSON head, the head, all vectors as little-endian f32 in
//! the order of the head, and the SHA-256 of everything before it. It is written beside its place,
//! flushed and renamed, so that a crash leaves the one before.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const MAGIC: &[u8; 16] = b"kefu-tuning-1\n\0\0";
/// Longest head we read.
const MAX_HEAD_BYTES: u64 = 1 << 20;

/// Where a tuning stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Position {
    /// What is tuned on what, [`super::options::identity`].
    pub(super) identity: String,
    /// Steps that are done.
    pub(super) step: u64,
    /// Seconds that they took.
    pub(super) seconds: f64,
    /// Sum of the losses of the epoch's steps so far.
    pub(super) loss: f64,
    /// Score of each epoch that is over, where it was measured.
    pub(super) scores: Vec<f64>,
    /// Mean loss of each epoch that is over.
    pub(super) losses: Vec<f64>,
    /// The epoch whose weights are kept as the best, from 0.
    pub(super) best: Option<usize>,
    /// Lengths of the vectors.
    pub(super) lengths: Vec<usize>,
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) position: Position,
    pub(super) vectors: Vec<Vec<f32>>,
}

/// A file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckpointError {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not what was written.
    #[error("{0}")]
    Damaged(String),
}

/// Writes `position` and `vectors`.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write(path: &Path, position: &Position, vectors: &[&[f32]]) -> io::Result<()> {
    let staged = staged(path);
    let lengths = vectors.iter().map(|vector| vector.len()).collect();
    let head = serde_json::to_vec(&Position { lengths, ..position.clone() })?;
    let mut out = Hashed { inner: BufWriter::new(File::create(&staged)?), hash: Sha256::new() };
    out.write_all(MAGIC)?;
    out.write_all(&(head.len() as u64).to_le_bytes())?;
    out.write_all(&head)?;
    for values in vectors.iter().flat_map(|vector| vector.chunks(4_096)) {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        out.write_all(&bytes)?;
    }
    let Hashed { mut inner, hash } = out;
    inner.write_all(&hash.finalize())?;
    inner.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&staged, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// What [`write()`] wrote; `None` without a file, or when it is of another tuning.
///
/// # Errors
/// [`CheckpointError::Damaged`] when it is not whole.
pub(super) fn read(path: &Path, identity: &str) -> Result<Option<Saved>, CheckpointError> {
    let damaged = |reason: &str| CheckpointError::Damaged(reason.to_owned());
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let size = file.metadata()?.len();
    let short = || damaged("it is cut short");
    let mut start = [0_u8; MAGIC.len() + 8];
    file.read_exact(&mut start).map_err(|_| short())?;
    let (magic, length) = start.split_at(MAGIC.len());
    let length = u64::from_le_bytes(length.try_into().expect("eight bytes are left"));
    if magic != MAGIC || length > MAX_HEAD_BYTES {
        return Err(damaged("it does not begin like a checkpoint"));
    }
    let mut head = vec![0_u8; length as usize];
    file.read_exact(&mut head).map_err(|_| short())?;
    let position: Position = serde_json::from_slice(&head)
        .map_err(|error| CheckpointError::Damaged(error.to_string()))?;
    if position.identity != identity {
        return Ok(None);
    }
    let values = position.lengths.iter().try_fold(0_u64, |sum, one| sum.checked_add(*one as u64));
    let whole = values.and_then(|values| values.checked_mul(4)).and_then(|bytes| {
        bytes.checked_add(start.len() as u64 + length + Sha256::output_size() as u64)
    });
    if whole != Some(size) {
        return Err(damaged("its length is not what its head says"));
    }
    let mut hash = Sha256::new();
    hash.update(start);
    hash.update(&head);
    let mut vectors = Vec::with_capacity(position.lengths.len());
    for length in &position.lengths {
        let mut bytes = vec![0_u8; length * 4];
        file.read_exact(&mut bytes)?;
        hash.update(&bytes);
        let (words, _) = bytes.as_chunks::<4>();
        vectors.push(words.iter().map(|word| f32::from_le_bytes(*word)).collect());
    }
    let mut sum = Vec::new();
    file.read_to_end(&mut sum)?;
    if sum != hash.finalize().as_slice() {
        return Err(damaged("its checksum is another"));
    }
    Ok(Some(Saved { position, vectors }))
}

/// Removes the checkpoint and what a crash left of a newer one.
pub(super) fn remove(path: &Path) {
    // What cannot be removed is overwritten or ignored later.
    let _ = fs::remove_file(path);
    let _ = fs::remove_file(staged(path));
}

fn staged(path: &Path) -> PathBuf {
    path.with_extension("partial")
}

/// A writer that hashes what goes through it.
struct Hashed<W> {
    inner: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tuning.checkpoint");
        assert!(read(&path, "a").unwrap().is_none());
        let position =
            Position { identity: "a".into(), step: 7, scores: vec![0.5], ..Position::default() };
        let vectors = [vec![1.0_f32; 5_000], vec![-2.5], vec![]];
        let parts: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
        write(&path, &position, &parts).unwrap();
        let Saved { position: found, vectors: values } = read(&path, "a").unwrap().unwrap();
        assert_eq!((found.step, found.scores, values), (7, vec![0.5], vectors.to_vec()));
        assert!(read(&path, "b").unwrap().is_none());

        let whole = fs::read(&path).unwrap();
        for (name, bytes) in [
            ("cut in the values", whole[..whole.len() - 40].to_vec()),
            ("cut in the head", whole[..30].to_vec()),
            ("empty", Vec::new()),
            ("something else", b"{\"hello\": \"world, this is no checkpoint\"}".to_vec()),
            ("a flipped bit", {
                let mut bytes = whole.clone();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                bytes
            }),
        ] {
            fs::write(&path, bytes).unwrap();
            assert!(matches!(read(&path, "a"), Err(CheckpointError::Damaged(_))), "{name}");
        }
        remove(&path);
        assert!(read(&path, "a").unwrap().is_none());
    }
}
