//! Opens the tree also when a journal is damaged: it is set aside whole, and cut off where the first
//! unreadable batch begins. What that costs, the ring tells.
//!
//! fjall refuses a journal with a wrong checksum, and does not say where. How long a beginning it
//! takes is found by halving, with the journal alone in an empty tree, so nothing here depends on
//! how a journal is written.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::OpenError;
use super::engine::Engine;
use super::folder::{Folder, sync_folder};

/// Where damaged journals are kept, below the store's folder.
pub(super) const SET_ASIDE: &str = "damaged";

/// Opens the tree, with the journals that were set aside for that.
pub(super) fn open(folder: &Folder, cache: u64) -> Result<(Engine, Vec<PathBuf>), OpenError> {
    let data = folder.data();
    let of_tree = |error| OpenError::of_tree(folder.path(), error);
    match Engine::open(&data, cache) {
        Err(fjall::Error::JournalRecovery(_)) => {
            let set_aside = cut_damaged(folder).map_err(of_tree)?;
            Ok((Engine::open(&data, cache).map_err(of_tree)?, set_aside))
        }
        opened => Ok((opened.map_err(of_tree)?, vec![])),
    }
}

fn cut_damaged(folder: &Folder) -> fjall::Result<Vec<PathBuf>> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(folder.data())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            journals.push(path);
        }
    }
    journals.sort();
    let mut set_aside = Vec::new();
    for journal in journals {
        let length = journal.metadata()?.len();
        let whole = readable(&journal, length, folder.path())?;
        if whole < length {
            set_aside.push(keep(&journal, &folder.path().join(SET_ASIDE))?);
            cut(&journal, whole)?;
        }
    }
    Ok(set_aside)
}

/// The length of the longest beginning of a journal that can be read.
fn readable(journal: &Path, length: u64, scratch: &Path) -> fjall::Result<u64> {
    if reads(journal, length, scratch)? {
        return Ok(length);
    }
    let (mut good, mut bad) = (0, length);
    while good + 1 < bad {
        let middle = good + (bad - good) / 2;
        if reads(journal, middle, scratch)? { good = middle } else { bad = middle }
    }
    Ok(good)
}

/// Whether the first `length` bytes can be read.
fn reads(journal: &Path, length: u64, scratch: &Path) -> fjall::Result<bool> {
    let scratch = tempfile::Builder::new().prefix(".journal-").tempdir_in(scratch)?;
    let only = Engine::empty_tree(scratch.path())?;
    copy_beginning(journal, length, &only)?;
    match Engine::replay(scratch.path()) {
        Ok(()) => Ok(true),
        Err(fjall::Error::JournalRecovery(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Keeps a second name of a journal, so that cutting leaves it whole there.
fn keep(journal: &Path, kept: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(kept)?;
    let name = journal.file_name().expect("a journal has a name").to_string_lossy();
    for number in 1.. {
        let path = kept.join(format!("{name}.{number}"));
        match fs::hard_link(journal, &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
            linked => return linked.map(|()| path),
        }
    }
    unreachable!("numbers do not end")
}

fn cut(journal: &Path, length: u64) -> io::Result<()> {
    let new = journal.with_extension("cut");
    copy_beginning(journal, length, &new)?;
    File::open(&new)?.sync_all()?;
    fs::rename(new, journal)?;
    sync_folder(journal.parent().expect("a journal lies in a folder"))
}

fn copy_beginning(from: &Path, length: u64, to: &Path) -> io::Result<()> {
    io::copy(&mut File::open(from)?.take(length), &mut File::create(to)?).map(drop)
}
