//! What lies in the store's folder besides the tree: the lock, the format's version, and the
//! witness.
//!
//! The witness says how far the store came, and whether it was stopped cleanly. It is written after
//! each group and never waits for the disk; it is there to be compared with the ring.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::OpenError;
use super::ring::Mark;

const LOCK: &str = "LOCK";
const FORMAT: &str = "FORMAT";
const WITNESS: &str = "witness";
const DATA: &str = "data";
const FORMAT_NEW: &str = ".FORMAT.new";

/// The version that this build writes.
const VERSION: usize = 1;

/// Turns a folder of one version into the next.
type Migration = fn(&Path) -> Result<(), OpenError>;
/// The first takes version 1 to 2, and so on: one for every version there was before this one. Each
/// must bear being run again after it was cut off, and `FORMAT` is written after each.
const MIGRATIONS: [Migration; VERSION - 1] = [];

/// The folder, held by this process.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    created: bool,
    _lock: File,
}

impl Folder {
    /// Takes the folder, makes it if need be, and brings it to this version.
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        fs::create_dir_all(path)?;
        let mut folder = Self::lock(path)?;
        match folder.format()? {
            Some(version) => folder.migrate(&version)?,
            None => folder.create()?,
        }
        Ok(folder)
    }

    /// Takes a folder with a store of this version.
    pub(super) fn take_existing(path: &Path) -> Result<Self, OpenError> {
        if !path.join(FORMAT).exists() {
            return Err(OpenError::NoStore(path.to_owned()));
        }
        let folder = Self::lock(path)?;
        match folder.format()? {
            Some(version) if version == VERSION.to_string() => Ok(folder),
            found => Err(OpenError::Format { found: found.unwrap_or_default(), known: VERSION }),
        }
    }

    fn lock(path: &Path) -> Result<Self, OpenError> {
        let lock =
            File::options().create(true).truncate(false).write(true).open(path.join(LOCK))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse(path.to_owned()),
            TryLockError::Error(error) => OpenError::Io(error),
        })?;
        Ok(Self { path: path.to_owned(), created: false, _lock: lock })
    }

    fn format(&self) -> io::Result<Option<String>> {
        match fs::read_to_string(self.path.join(FORMAT)) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn created(&self) -> bool {
        self.created
    }

    /// Where the tree lies.
    pub(super) fn data(&self) -> PathBuf {
        self.path.join(DATA)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// An empty folder, or one where a store was begun and never opened.
    fn create(&mut self) -> Result<(), OpenError> {
        let begun = self.read_witness()?.is_some_and(|witness| witness.mark.group == 0);
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let ours = [LOCK, WITNESS, FORMAT_NEW].iter().any(|ours| name == *ours);
            if !(ours || begun && name == DATA) {
                return Err(OpenError::NotAStore(self.path.clone()));
            }
        }
        if begun && self.data().exists() {
            fs::remove_dir_all(self.data())?;
        }
        self.witness(Mark::default(), true)?;
        self.created = true;
        Ok(())
    }

    fn migrate(&self, version: &str) -> Result<(), OpenError> {
        let unknown = || OpenError::Format { found: version.to_owned(), known: VERSION };
        let found: usize = version.parse().map_err(|_| unknown())?;
        let steps = found.checked_sub(1).and_then(|done| MIGRATIONS.get(done..));
        for (step, next) in steps.ok_or_else(unknown)?.iter().zip(found + 1..) {
            step(&self.path)?;
            self.write_format(next)?;
        }
        Ok(())
    }

    fn write_format(&self, version: usize) -> Result<(), OpenError> {
        let new = self.path.join(FORMAT_NEW);
        let mut file = File::create(&new)?;
        writeln!(file, "{version}")?;
        file.sync_all()?;
        fs::rename(new, self.path.join(FORMAT))?;
        Ok(sync_folder(&self.path)?)
    }

    /// What the witness says; none: it says nothing.
    pub(super) fn read_witness(&self) -> Result<Option<Seen>, OpenError> {
        match fs::read(self.path.join(WITNESS)) {
            Ok(bytes) => Ok(decode(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Begins to write: a new store is one now, and from here on it is not stopped cleanly.
    pub(super) fn begin(&self, last: Mark) -> Result<Witness, OpenError> {
        let witness = self.witness(last, false)?;
        if self.created {
            self.write_format(VERSION)?;
            let path = std::path::absolute(&self.path)?;
            path.parent().map_or(Ok(()), sync_folder)?;
        }
        Ok(witness)
    }

    fn witness(&self, mark: Mark, clean: bool) -> io::Result<Witness> {
        let path = self.path.join(WITNESS);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        file.write_all_at(&encode(Seen { mark, clean }), 0)?;
        file.sync_all()?;
        sync_folder(&self.path)?;
        Ok(Witness { file })
    }
}

/// What the witness says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// How far the store came.
    pub(super) mark: Mark,
    /// Whether it was stopped there, by `close`.
    pub(super) clean: bool,
}

/// Makes names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The witness, opened to be written.
#[derive(Debug)]
pub(super) struct Witness {
    file: File,
}

impl Witness {
    /// Writes how far the store came, for the operating system to store when it likes.
    pub(super) fn reached(&self, mark: Mark) -> io::Result<()> {
        self.file.write_all_at(&encode(Seen { mark, clean: false }), 0)
    }

    /// Writes that the store was stopped.
    pub(super) fn stopped(&self, mark: Mark) -> io::Result<()> {
        self.file.write_all_at(&encode(Seen { mark, clean: true }), 0)?;
        self.file.sync_all()
    }
}

const SEEN_BYTES: usize = 17;

/// Group, batches, whether stopped cleanly, and the head of a SHA-256 of those.
fn encode(seen: Seen) -> [u8; SEEN_BYTES + 8] {
    let mut bytes = [0; SEEN_BYTES + 8];
    bytes[..8].copy_from_slice(&seen.mark.group.to_be_bytes());
    bytes[8..16].copy_from_slice(&seen.mark.batches.to_be_bytes());
    bytes[16] = u8::from(seen.clean);
    let sum = Sha256::digest(&bytes[..SEEN_BYTES]);
    bytes[SEEN_BYTES..].copy_from_slice(&sum[..8]);
    bytes
}

fn decode(bytes: &[u8]) -> Option<Seen> {
    let (group, rest) = bytes.split_first_chunk()?;
    let (batches, rest) = rest.split_first_chunk()?;
    let mark = Mark { group: u64::from_be_bytes(*group), batches: u64::from_be_bytes(*batches) };
    let seen = Seen { mark, clean: *rest.first()? == 1 };
    (bytes == encode(seen)).then_some(seen)
}
