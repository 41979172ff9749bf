//! Reads a safetensors file one tensor at a time, by seeking; never the whole file, never `mmap`.
//!
//! Called by [`super::bert`] to load a model and by `models` to import one. Peak memory is one
//! tensor above what the caller keeps. Format: <https://github.com/huggingface/safetensors>.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use half::f16;
use serde::Deserialize;

/// Longest header we read; the format's own limit is the same 100 MB.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// A weight file could not be read. Each message names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The operating system refused.
    #[error("cannot read {path}: {source}", path = path.display())]
    Io {
        /// The weight file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is shorter or longer than its header says.
    #[error(
        "{path} is damaged: expected {expected} bytes, found {found}; delete its folder and pull the model again",
        path = path.display()
    )]
    Length {
        /// The weight file.
        path: PathBuf,
        /// Bytes according to the header.
        expected: u64,
        /// Bytes on disk.
        found: u64,
    },
    /// The header is not one of a safetensors file.
    #[error("{path} is not a safetensors file: {reason}; delete its folder and pull the model again", path = path.display())]
    Header {
        /// The weight file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A tensor is missing or has another shape or type than the config asks for.
    #[error("{path}: tensor {tensor} {reason}; the file does not fit its config.json", path = path.display())]
    Tensor {
        /// The weight file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// What does not fit.
        reason: String,
    },
}

/// Number types we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dtype {
    /// 16-bit IEEE float.
    F16,
    /// 32-bit IEEE float.
    F32,
}

impl Dtype {
    /// Bytes of one value.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
        }
    }
}

/// Name, type and place of one tensor.
#[derive(Debug, Clone, Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    /// Half-open range, relative to the end of the header.
    data_offsets: (u64, u64),
}

/// An open safetensors file whose header and length were checked.
#[derive(Debug)]
pub(crate) struct WeightFile {
    path: PathBuf,
    file: File,
    data_start: u64,
    entries: BTreeMap<String, Entry>,
}

impl WeightFile {
    /// Opens `path`, reads its header and compares the file's length with it.
    ///
    /// # Errors
    /// [`WeightsError`] when the file can't be read, is no safetensors file, or is cut short.
    pub(crate) fn open(path: &Path) -> Result<Self, WeightsError> {
        let io = |source| WeightsError::Io { path: path.to_owned(), source };
        let header_error = |reason: String| WeightsError::Header { path: path.to_owned(), reason };
        let mut file = File::open(path).map_err(io)?;
        let found = file.metadata().map_err(io)?.len();
        let length_error =
            |expected| WeightsError::Length { path: path.to_owned(), expected, found };
        if found < 8 {
            return Err(length_error(8));
        }
        let mut length = [0_u8; 8];
        file.read_exact(&mut length).map_err(io)?;
        let header_bytes = u64::from_le_bytes(length);
        if header_bytes > MAX_HEADER_BYTES {
            return Err(header_error(format!("its header claims {header_bytes} bytes")));
        }
        if found < 8 + header_bytes {
            return Err(length_error(8 + header_bytes));
        }
        let mut header = vec![0_u8; header_bytes as usize];
        file.read_exact(&mut header).map_err(io)?;
        let entries = parse_header(&header).map_err(header_error)?;
        let data_start = 8 + header_bytes;
        let data_bytes = entries.values().map(|entry| entry.data_offsets.1).max().unwrap_or(0);
        if data_start + data_bytes != found {
            return Err(length_error(data_start + data_bytes));
        }
        Ok(Self { path: path.to_owned(), file, data_start, entries })
    }

    /// True when the file has a tensor of this name.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The number type of a tensor, if it is there and of a type we read.
    pub(crate) fn dtype(&self, name: &str) -> Option<Dtype> {
        parse_dtype(&self.entries.get(name)?.dtype)
    }

    /// Names and shapes of all tensors of the types we read, sorted by name.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.entries
            .iter()
            .filter(|(_, entry)| parse_dtype(&entry.dtype).is_some())
            .map(|(name, entry)| (name.as_str(), entry.shape.as_slice()))
    }

    /// Number type and raw little-endian bytes of a tensor of exactly this `shape`.
    ///
    /// # Errors
    /// [`WeightsError::Tensor`] when it is missing or does not fit, [`WeightsError::Io`] otherwise.
    pub(crate) fn raw(
        &mut self,
        name: &str,
        shape: &[usize],
    ) -> Result<(Dtype, Vec<u8>), WeightsError> {
        let (dtype, start) = self.locate(name, shape)?;
        let bytes = shape.iter().product::<usize>() * dtype.bytes();
        Ok((dtype, self.read_at(start, bytes)?))
    }

    /// Rows `first..first + count` of the tensor `name` of `shape` `(rows, width)`, as `f32`.
    ///
    /// # Errors
    /// As [`Self::raw`].
    pub(crate) fn rows(
        &mut self,
        name: &str,
        shape: [usize; 2],
        rows: std::ops::Range<usize>,
    ) -> Result<Vec<f32>, WeightsError> {
        let (dtype, start) = self.locate(name, &shape)?;
        let row_bytes = shape[1] * dtype.bytes();
        let from = start + (rows.start * row_bytes) as u64;
        let raw = self.read_at(from, rows.len() * row_bytes)?;
        Ok(widen(dtype, &raw))
    }

    /// The values of a tensor of exactly this `shape`, widened to `f32`.
    ///
    /// # Errors
    /// As [`Self::raw`].
    pub(crate) fn f32(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let (dtype, raw) = self.raw(name, shape)?;
        Ok(widen(dtype, &raw))
    }

    fn locate(&self, name: &str, shape: &[usize]) -> Result<(Dtype, u64), WeightsError> {
        let error = |reason: String| WeightsError::Tensor {
            path: self.path.clone(),
            tensor: name.to_owned(),
            reason,
        };
        let entry = self.entries.get(name).ok_or_else(|| error("is missing".to_owned()))?;
        let dtype = parse_dtype(&entry.dtype)
            .ok_or_else(|| error(format!("has type {}, expected F32 or F16", entry.dtype)))?;
        if entry.shape != shape {
            return Err(error(format!("has shape {:?}, expected {shape:?}", entry.shape)));
        }
        Ok((dtype, self.data_start + entry.data_offsets.0))
    }

    fn read_at(&mut self, start: u64, bytes: usize) -> Result<Vec<u8>, WeightsError> {
        let io = |source| WeightsError::Io { path: self.path.clone(), source };
        self.file.seek(SeekFrom::Start(start)).map_err(io)?;
        let mut raw = vec![0_u8; bytes];
        self.file.read_exact(&mut raw).map_err(io)?;
        Ok(raw)
    }
}

/// Little-endian `raw` values as `f32`.
pub(crate) fn widen(dtype: Dtype, raw: &[u8]) -> Vec<f32> {
    match dtype {
        Dtype::F32 => {
            let (words, _) = raw.as_chunks::<4>();
            words.iter().map(|word| f32::from_le_bytes(*word)).collect()
        }
        Dtype::F16 => {
            let (words, _) = raw.as_chunks::<2>();
            words.iter().map(|word| f16::from_le_bytes(*word).to_f32()).collect()
        }
    }
}

fn parse_dtype(name: &str) -> Option<Dtype> {
    match name {
        "F16" => Some(Dtype::F16),
        "F32" => Some(Dtype::F32),
        _ => None,
    }
}

/// Parses the JSON header and checks that each range is as long as its shape and type say.
fn parse_header(header: &[u8]) -> Result<BTreeMap<String, Entry>, String> {
    let values: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(header).map_err(|error| error.to_string())?;
    let mut entries = BTreeMap::new();
    for (name, value) in values {
        if name == "__metadata__" {
            continue;
        }
        let entry: Entry =
            serde_json::from_value(value).map_err(|error| format!("tensor {name}: {error}"))?;
        let (start, end) = entry.data_offsets;
        if let Some(dtype) = parse_dtype(&entry.dtype) {
            let values = entry.shape.iter().try_fold(1_usize, |all, side| all.checked_mul(*side));
            let bytes = values.and_then(|values| values.checked_mul(dtype.bytes()));
            if end.checked_sub(start) != bytes.map(|bytes| bytes as u64) {
                return Err(format!("tensor {name} does not fill its range {start}..{end}"));
            }
        }
        entries.insert(name, entry);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(data);
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    const HEADER: &str = r#"{"__metadata__":{"format":"pt"},
        "a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},
        "b":{"dtype":"F16","shape":[2],"data_offsets":[16,20]}}"#;

    fn data() -> Vec<u8> {
        let mut data: Vec<u8> =
            [1_f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        data.extend([0.5_f32, -2.0].iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()));
        data
    }

    #[test]
    fn reads_values_rows_and_both_types() {
        let (_folder, path) = file(HEADER, &data());
        let mut weights = WeightFile::open(&path).unwrap();
        assert_eq!(weights.f32("a", &[2, 2]).unwrap(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(weights.rows("a", [2, 2], 1..2).unwrap(), [3.0, 4.0]);
        assert_eq!(weights.f32("b", &[2]).unwrap(), [0.5, -2.0]);
        assert!(weights.contains("a") && !weights.contains("__metadata__"));
    }

    #[test]
    fn a_cut_file_is_named_with_both_lengths() {
        let (_folder, path) = file(HEADER, &data()[..19]);
        let message = WeightFile::open(&path).unwrap_err().to_string();
        let whole = 8 + HEADER.len() + 20;
        assert!(message.contains("model.safetensors is damaged"), "{message}");
        assert!(message.contains(&format!("expected {whole} bytes, found {}", whole - 1)));
        assert_eq!(message.lines().count(), 1);
    }

    #[test]
    fn damaged_headers_are_refused() {
        let rows = [
            ("no json", "nonsense", "not a safetensors file"),
            (
                "range too short",
                r#"{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}"#,
                "fill",
            ),
            ("range reversed", r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, "fill"),
            (
                "shape overflows",
                r#"{"a":{"dtype":"F32","shape":[18446744073709551615,9],"data_offsets":[0,4]}}"#,
                "fill",
            ),
        ];
        for (name, header, expected) in rows {
            let (_folder, path) = file(header, &[0; 4]);
            let message = WeightFile::open(&path).unwrap_err().to_string();
            assert!(message.contains(expected), "{name}: {message}");
        }
        let (_folder, path) = file("", &[]);
        std::fs::write(&path, [255_u8; 12]).unwrap();
        assert!(WeightFile::open(&path).unwrap_err().to_string().contains("header claims"));
        std::fs::write(&path, [1_u8; 3]).unwrap();
        assert!(WeightFile::open(&path).unwrap_err().to_string().contains("found 3"));
    }

    #[test]
    fn wrong_names_and_shapes_are_refused() {
        let (_folder, path) = file(HEADER, &data());
        let mut weights = WeightFile::open(&path).unwrap();
        assert!(weights.f32("c", &[2]).unwrap_err().to_string().contains("is missing"));
        let message = weights.f32("a", &[4]).unwrap_err().to_string();
        assert!(message.contains("has shape [2, 2], expected [4]"), "{message}");
    }
}
