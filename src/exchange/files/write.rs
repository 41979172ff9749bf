//! Writes what an import or an export made, whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{FileError, extension};
use crate::knowledge;

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
