//! The files of imports and exports: read within limits, written whole or not at all.
//!
//! The only place of `crate::exchange` that touches the disk.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::node::At;
use super::{Fault, Format, Source, detect};
use crate::knowledge;

/// The most that the files of one import may hold together, in bytes, unpacked.
pub const MAX_BYTES: u64 = 100_000_000;
/// The most files of one import.
const MAX_FILES: usize = 10_000;
/// The deepest folder below the one that was named.
const MAX_DEPTH: usize = 16;
/// What is read of a folder, unless a file is named itself.
const KINDS: [&str; 9] = ["json", "yml", "yaml", "md", "csv", "tsv", "tab", "jsonl", "ndjson"];

/// Why files cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The disk says no.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// `read` or `write`.
        what: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// More than an import takes.
    #[error("{} holds more than {limit}; import a part of it at a time", path.display())]
    TooLarge {
        /// What was named.
        path: PathBuf,
        /// How many of what.
        limit: String,
    },
    /// Nothing to read.
    #[error("{} has no file of a known kind (json, yml, yaml, csv, tsv, jsonl); name the folder or file of the export", .0.display())]
    Nothing(PathBuf),
    /// A broken archive.
    #[error("cannot unpack {}: {reason}; unzip it first and name the folder", path.display())]
    Archive {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The target is taken.
    #[error("{} is there already; name a new one, or allow it with --force", .0.display())]
    Taken(PathBuf),
    /// With the files that are there the knowledge base would be wrong.
    #[error("with the files that are in {} already this would be no knowledge base: {reason}", path.display())]
    Clash {
        /// The folder.
        path: PathBuf,
        /// All findings, one a line.
        reason: String,
    },
}

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

fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
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

/// What happens to a folder or file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is refused, unless it is an empty folder.
    Refuse,
    /// Files go beside what is there, and replace those of the same name.
    Replace,
    /// As `Replace`, once the folder as it would be is known to be a knowledge base.
    Join,
}

/// Writes a folder of files. One that is not there, or is empty, appears whole; in one that is
/// used, each file appears whole.
///
/// Returns the files that were replaced.
///
/// # Errors
/// [`FileError`]; nothing was written, but for an error of the disk in a folder that is used.
pub fn write_folder(
    folder: &Path,
    files: &[(String, String)],
    existing: Existing,
) -> Result<Vec<PathBuf>, FileError> {
    let io = |source| FileError::Io { what: "write", path: folder.to_owned(), source };
    let is_used = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(io(error)),
    };
    if is_used {
        match existing {
            Existing::Refuse => return Err(FileError::Taken(folder.to_owned())),
            Existing::Replace => {}
            Existing::Join => check_together(folder, files)?,
        }
        let paths = files.iter().map(|(name, _)| folder.join(name));
        let replaced = paths.filter(|path| path.exists()).collect();
        files.iter().try_for_each(|(name, text)| write_file(&folder.join(name), text))?;
        return Ok(replaced);
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(io)?;
    let staged = tempfile::Builder::new().prefix(".kefu-").tempdir_in(parent).map_err(io)?;
    // A folder of its own: a temporary one is closed to other users, and the name would keep that.
    let whole = staged.path().join("files");
    fs::create_dir(&whole).map_err(io)?;
    for (name, text) in files {
        write_file(&whole.join(name), text)?;
    }
    if folder.exists() {
        fs::remove_dir(folder).map_err(io)?;
    }
    fs::rename(&whole, folder).map_err(io)?;
    Ok(Vec::new())
}

/// Writes one file. True when it replaced one.
///
/// # Errors
/// [`FileError`]; the old file stays then.
pub fn write_single(path: &Path, text: &str, existing: Existing) -> Result<bool, FileError> {
    let is_there = path.exists();
    if is_there && existing == Existing::Refuse {
        return Err(FileError::Taken(path.to_owned()));
    }
    write_file(path, text)?;
    Ok(is_there)
}

/// Writes under a hidden name beside the target, and renames.
fn write_file(path: &Path, text: &str) -> Result<(), FileError> {
    let io = |source| FileError::Io { what: "write", path: path.to_owned(), source };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(io)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hidden = parent.join(format!(".{name}.kefu-{}", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = File::create(&hidden)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&hidden, path)
    };
    write().map_err(|source| {
        // The hidden file only takes room when even this fails.
        let _ = fs::remove_file(&hidden);
        io(source)
    })
}

/// Reads the YAML files that would be there afterwards.
fn check_together(folder: &Path, files: &[(String, String)]) -> Result<(), FileError> {
    let is_yaml = |path: &Path| ["yaml", "yml"].contains(&&*extension(path));
    let new = files.iter().map(|(name, text)| (folder.join(name), text.clone()));
    let mut sources: Vec<(PathBuf, String)> = new.filter(|(path, _)| is_yaml(path)).collect();
    let io = |source| FileError::Io { what: "read", path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if is_yaml(&path) && path.is_file() && !sources.iter().any(|(new, _)| *new == path) {
            let text = fs::read_to_string(&path).map_err(|source| FileError::Io {
                what: "read",
                path: path.clone(),
                source,
            })?;
            sources.push((path, text));
        }
    }
    sources.sort();
    match knowledge::parse(&sources) {
        Ok(_) => Ok(()),
        Err(findings) => {
            let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
            Err(FileError::Clash { path: folder.to_owned(), reason: lines.join("\n") })
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

    #[test]
    fn a_folder_appears_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("a/b");
        let good = [("x.yaml".to_owned(), "1".to_owned()), ("d/y.json".to_owned(), "2".to_owned())];
        assert_eq!(write_folder(&target, &good, Existing::Refuse).unwrap().len(), 0);
        assert_eq!(fs::read_to_string(target.join("d/y.json")).unwrap(), "2");
        assert!(matches!(write_folder(&target, &good, Existing::Refuse), Err(FileError::Taken(_))));
        // A name that cannot be written stops the whole.
        let other = root.path().join("a/c");
        let bad = [("x".to_owned(), "1".to_owned()), ("x/y".to_owned(), "2".to_owned())];
        assert!(write_folder(&other, &bad, Existing::Refuse).is_err());
        let left: Vec<_> = fs::read_dir(root.path().join("a")).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn what_is_there_is_replaced_by_force_only_and_checked_together() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, id: &str| {
            let text = format!("version: 1\nintents:\n  - id: {id}\n    examples: {{en: [a]}}\n");
            (name.to_owned(), text)
        };
        let (name, text) = file("old.yaml", "one");
        fs::write(folder.path().join(name), text).unwrap();
        let clash =
            write_folder(folder.path(), &[file("new.yaml", "one")], Existing::Join).unwrap_err();
        assert!(clash.to_string().contains("KB004"), "{clash}");
        assert!(!folder.path().join("new.yaml").exists());
        let fine = [file("new.yaml", "two"), file("old.yaml", "three")];
        let replaced = write_folder(folder.path(), &fine, Existing::Join).unwrap();
        assert_eq!(replaced, [folder.path().join("old.yaml")]);
    }
}
