//! Reads what an import names: a file, a folder, a zip archive.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{FileError, extension};
use crate::exchange::node::At;
use crate::exchange::{Fault, Format, Source, detect};
use crate::knowledge;

/// The most that the files of one import may hold together, in bytes, unpacked.
pub const MAX_BYTES: u64 = 100_000_000;
/// The most files of one import.
const MAX_FILES: usize = 10_000;
/// The deepest folder below the one that was named.
const MAX_DEPTH: usize = 16;
/// What is read of a folder, unless a file is named itself.
const KINDS: [&str; 9] = ["json", "yml", "yaml", "md", "csv", "tsv", "tab", "jsonl", "ndjson"];

/// The text files at a path, and those that are no text.
#[derive(Debug, Default)]
pub struct Found {
    /// By ascending path.
    pub sources: Vec<Source>,
    /// Files that are not UTF-8.
    pub faults: Vec<Fault>,
}

impl Found {
    /// Keeps the files of `format`, and says how many were left aside. A file that the user named
    /// itself always stays.
    pub fn keep(&mut self, format: Format) -> usize {
        let before = self.sources.len();
        if before > 1 {
            self.sources.retain(|source| detect::belongs(source, format));
        }
        before - self.sources.len()
    }
}

/// Reads a file, the known files of a folder and of its folders, or those of a zip archive.
///
/// # Errors
/// [`FileError`].
pub fn read(path: &Path) -> Result<Found, FileError> {
    let io = |source| FileError::Io { what: "read", path: path.to_owned(), source };
    let mut reader = Reader { root: path, left: MAX_BYTES, found: Found::default() };
    if fs::metadata(path).map_err(io)?.is_dir() {
        let mut paths = Vec::new();
        list(path, 0, &mut paths)?;
        paths.sort();
        if paths.len() > MAX_FILES {
            let limit = format!("{MAX_FILES} files");
            return Err(FileError::TooLarge { path: path.to_owned(), limit });
        }
        paths.into_iter().try_for_each(|file| reader.open(&file))?;
    } else if extension(path) == "zip" {
        reader.archive(path)?;
    } else {
        reader.open(path)?;
    }
    let found = reader.found;
    if found.sources.is_empty() && found.faults.is_empty() {
        return Err(FileError::Nothing(path.to_owned()));
    }
    Ok(found)
}

/// Files of known kinds; hidden ones and links to folders are passed over.
fn list(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> Result<(), FileError> {
    let io = |source| FileError::Io { what: "read", path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') || paths.len() > MAX_FILES {
            continue;
        }
        if entry.file_type().map_err(io)?.is_dir() {
            if depth < MAX_DEPTH {
                list(&path, depth + 1, paths)?;
            }
        } else if KINDS.contains(&&*extension(&path)) && path.is_file() {
            paths.push(path);
        }
    }
    Ok(())
}

struct Reader<'a> {
    root: &'a Path,
    /// Bytes that may still be read.
    left: u64,
    found: Found,
}

impl Reader<'_> {
    fn open(&mut self, path: &Path) -> Result<(), FileError> {
        let io = |source| FileError::Io { what: "read", path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        let bytes = self.take(file).map_err(io)?.ok_or_else(|| self.too_large())?;
        self.push(path.to_owned(), bytes);
        Ok(())
    }

    fn archive(&mut self, path: &Path) -> Result<(), FileError> {
        let broken = |reason: String| FileError::Archive { path: path.to_owned(), reason };
        let io = |source| FileError::Io { what: "read", path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        let mut archive = zip::ZipArchive::new(file).map_err(|error| broken(error.to_string()))?;
        if archive.len() > MAX_FILES {
            let limit = format!("{MAX_FILES} files");
            return Err(FileError::TooLarge { path: path.to_owned(), limit });
        }
        for number in 0..archive.len() {
            let entry = archive.by_index(number).map_err(|error| broken(error.to_string()))?;
            // Only a name for messages: nothing is unpacked to the disk.
            let inside = entry.name().map_err(|error| broken(error.to_string()))?.into_owned();
            let name = path.join(inside.trim_start_matches('/'));
            if !entry.is_file() || !KINDS.contains(&&*extension(&name)) {
                continue;
            }
            let bytes = self.take(entry).map_err(|error| broken(error.to_string()))?;
            let bytes = bytes.ok_or_else(|| self.too_large())?;
            self.push(name, bytes);
        }
        self.found.sources.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(())
    }

    /// The bytes of a file; none when they are too many.
    fn take(&mut self, reader: impl Read) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        reader.take(self.left + 1).read_to_end(&mut bytes)?;
        let size = bytes.len() as u64;
        let fits = size <= self.left;
        self.left = self.left.saturating_sub(size);
        Ok(fits.then_some(bytes))
    }

    fn too_large(&self) -> FileError {
        let limit = format!("{} MB", MAX_BYTES / 1_000_000);
        FileError::TooLarge { path: self.root.to_owned(), limit }
    }

    fn push(&mut self, path: PathBuf, bytes: Vec<u8>) {
        match text(bytes) {
            Ok(text) => self.found.sources.push(Source { path, text }),
            Err((at, reason)) => {
                let place = knowledge::Place { file: path, line: at.line, column: at.column };
                self.found.faults.push(Fault { place, reason });
            }
        }
    }
}

/// UTF-8 without its byte order mark.
fn text(bytes: Vec<u8>) -> Result<String, (At, String)> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err((At::START, "the file is UTF-16; save it as UTF-8".to_owned()));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let before = &error.as_bytes()[..at];
            let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let line = before.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
            let column = String::from_utf8_lossy(&before[start..]).chars().count() as u64 + 1;
            Err((
                At { line, column },
                format!("byte {at} of the file is not UTF-8; save it as UTF-8"),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_utf_8_or_refused_where_it_is_not() {
        assert_eq!(text(b"\xef\xbb\xbfa".to_vec()).unwrap(), "a");
        let (at, reason) = text("好\n好x".bytes().chain([0xff, b'a']).collect()).unwrap_err();
        assert_eq!((at.line, at.column), (2, 3));
        assert!(reason.contains("byte 8"), "{reason}");
        assert!(text(vec![0xff, 0xfe, b'a', 0]).unwrap_err().1.contains("UTF-16"));
    }
}
