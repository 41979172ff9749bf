//! Embeddings kept between evaluations, one file an encoder and normaliser.
//!
//! A file is a run of records: length of the text in bytes (little-endian u32), the text, its
//! values (little-endian f32). A record that was cut off by a crash ends the file; what cannot be
//! read is computed anew, so a damaged cache costs time and nothing else.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::embed::Known;
use crate::encoder::{Embeddings, EncoderInfo};
use crate::intent::normalize::NORMALIZER_VERSION;

/// An open cache.
pub struct EmbeddingCache {
    path: PathBuf,
    known: Known,
}

impl EmbeddingCache {
    /// Opens the cache of `encoder` in `folder`; a missing one is empty.
    pub fn open(folder: &Path, encoder: &EncoderInfo) -> Self {
        let sha256 = encoder.sha256.get(..12).unwrap_or(&encoder.sha256);
        let name = format!("embeddings-{sha256}-{NORMALIZER_VERSION}.bin");
        let path = folder.join(name);
        let bytes = fs::read(&path).unwrap_or_default();
        let (known, whole) = read(&bytes, encoder.dimension);
        if whole < bytes.len() {
            // Without the cut-off record, new ones can follow. A failure shows at the next write.
            let _ =
                OpenOptions::new().write(true).open(&path).and_then(|f| f.set_len(whole as u64));
        }
        Self { path, known }
    }

    /// What is in it.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// Adds what is new among `texts`, whose embeddings are the rows.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&mut self, texts: &[String], embeddings: &Embeddings) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (text, row) in texts.iter().zip(embeddings.rows()) {
            if self.known.contains_key(text) {
                continue;
            }
            bytes.extend((text.len() as u32).to_le_bytes());
            bytes.extend(text.as_bytes());
            bytes.extend(row.iter().flat_map(|value| value.to_le_bytes()));
            self.known.insert(text.clone(), row.to_vec());
        }
        if bytes.is_empty() {
            return Ok(());
        }
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        OpenOptions::new().create(true).append(true).open(&self.path)?.write_all(&bytes)
    }
}

/// The records, and how many bytes of whole records there are.
fn read(mut bytes: &[u8], dimension: usize) -> (Known, usize) {
    let all = bytes.len();
    let mut known = Known::new();
    while let Some((text, row, rest)) = record(bytes, dimension) {
        known.insert(text.to_owned(), row);
        bytes = rest;
    }
    (known, all - bytes.len())
}

fn record(bytes: &[u8], dimension: usize) -> Option<(&str, Vec<f32>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let (values, rest) = rest.split_at_checked(4 * dimension)?;
    let row = values.as_chunks::<4>().0.iter().map(|&value| f32::from_le_bytes(value)).collect();
    Some((std::str::from_utf8(text).ok()?, row, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_was_added_and_survives_a_torn_record() {
        let folder = tempfile::tempdir().unwrap();
        let info = EncoderInfo {
            name: "x".into(),
            sha256: "0123456789abcdef".into(),
            dimension: 2,
            max_tokens: 1,
            tuned: false,
        };
        let add = |texts: &[&str], values: &[f32]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            let mut cache = EmbeddingCache::open(folder.path(), &info);
            cache.add(&texts, &Embeddings::new(2, values.to_vec())).unwrap();
            cache.path
        };
        let path = add(&["你好", "hi"], &[1.0, 2.0, 3.0, 4.0]);
        let whole = fs::metadata(&path).unwrap().len();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(whole - 3).unwrap();
        add(&["你好", "yes"], &[9.0, 9.0, 5.0, 6.0]);
        let known = EmbeddingCache::open(folder.path(), &info).known;
        assert_eq!(known["你好"], [1.0, 2.0]);
        assert_eq!(known["yes"], [5.0, 6.0]);
        assert!(!known.contains_key("hi"));
    }
}
