//! Puts a new text in a file's place: whole or not at all, and only if nobody else wrote it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Why a file was not replaced. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// Somebody wrote the file meanwhile.
    #[error("{} was changed meanwhile; look at it and try again", .0.display())]
    Changed(PathBuf),
    /// The system refuses.
    #[error("cannot write {}: {source}; check the permissions of the file and its folder", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes `after` to `path`, whose content was `before` when it was read; none: there was no file.
/// The new file is written beside the old one, flushed, given the old one's permissions, and renamed.
/// A symbolic link stays, what it points to is replaced.
///
/// # Errors
/// [`ReplaceError`].
pub fn replace(path: &Path, before: Option<&[u8]>, after: &[u8]) -> Result<(), ReplaceError> {
    let io = |source| ReplaceError::Io { path: path.to_owned(), source };
    let target =
        if before.is_some() { fs::canonicalize(path).map_err(io)? } else { path.to_owned() };
    let folder = target.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if before.is_some() && fs::metadata(&target).map_err(io)?.permissions().readonly() {
        // Renaming over it would work, and would overrule whoever made it so.
        return Err(io(io::Error::new(io::ErrorKind::PermissionDenied, "it is read-only")));
    }
    let mut staged =
        tempfile::Builder::new().prefix(".kefu-edit-").tempfile_in(folder).map_err(io)?;
    staged.write_all(after).map_err(io)?;
    permissions(&staged, before.is_some().then_some(&target)).map_err(io)?;
    staged.as_file().sync_all().map_err(io)?;
    // As late as can be: what is written between here and the rename is lost.
    match (fs::read(&target), before) {
        (Ok(now), Some(before)) if now == before => {}
        (Err(error), None) if error.kind() == io::ErrorKind::NotFound => {}
        (Err(error), _) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        _ => return Err(ReplaceError::Changed(path.to_owned())),
    }
    staged.persist(&target).map_err(|error| io(error.error))?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
}

/// Those of the file that is replaced, else the usual ones; a staged file is its owner's alone.
fn permissions(staged: &tempfile::NamedTempFile, old: Option<&PathBuf>) -> io::Result<()> {
    if let Some(old) = old {
        return staged.as_file().set_permissions(fs::metadata(old)?.permissions());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        staged.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_with_its_permissions_or_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        replace(&path, None, b"one").unwrap();
        assert!(matches!(replace(&path, None, b"two"), Err(ReplaceError::Changed(_))));
        assert!(matches!(replace(&path, Some(b"other"), b"two"), Err(ReplaceError::Changed(_))));
        assert_eq!(fs::read(&path).unwrap(), b"one");

        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&path), 0o644);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            let link = folder.path().join("link.yaml");
            std::os::unix::fs::symlink("a.yaml", &link).unwrap();
            replace(&link, Some(b"one"), b"two").unwrap();
            assert_eq!(mode(&path), 0o640);
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());

            fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
            let error = replace(&path, Some(b"two"), b"three").unwrap_err().to_string();
            assert!(error.contains("read-only"), "{error}");
            assert_eq!(fs::read(&path).unwrap(), b"two");
            let left = fs::read_dir(folder.path()).unwrap().count();
            assert_eq!(left, 2, "nothing stays beside the file");
        }
    }
}
