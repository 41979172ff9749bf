//! The embedded store: one folder, one process, fjall below. The server opens it at its start, and
//! shows what the report says.
//!
//! Every group of batches is one write and one fsync (`writer.rs`); the folder's witness and the
//! ring in the tree tell at the next start whether anything that was acknowledged is missing.

mod backup;
mod check;
mod engine;
mod folder;
mod ring;
mod salvage;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use futures_util::future::{self, BoxFuture};

pub use backup::{BackupError, Manifest, restore, verify};
pub use check::{CheckReport, check};
use engine::Engine;
use folder::Folder;
pub use ring::Loss;
use writer::{Job, Shared, Writer};

use super::{Batch, Done, Rows, Scan, Store, StoreError};

/// When a batch counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Once the disk has it: it survives power loss.
    #[default]
    Always,
    /// Once the operating system has it; the disk follows every 100 ms. It survives the end of the
    /// process, also by `kill -9`; power loss may take what was acknowledged last.
    Interval,
}

/// How the store is opened.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddedOptions {
    /// When a batch counts as durable.
    pub durability: Durability,
    /// Most batches that wait; more are refused with `Busy`.
    pub queue_batches: usize,
    /// Most bytes of keys and values that wait. A single batch may have more.
    pub queue_bytes: usize,
    /// Memory for blocks that were read.
    pub cache_bytes: u64,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            queue_batches: 8_192,
            queue_bytes: 64 << 20,
            cache_bytes: 64 << 20,
        }
    }
}

/// In which state the store was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// There was none, it was made.
    pub created: bool,
    /// It was stopped by `close`.
    pub clean: bool,
    /// How many batches it took since it was made.
    pub batches: u64,
    /// What was acknowledged and is not there. It is reported by one start only; `check` lists those
    /// that were reported.
    pub lost: Option<Loss>,
    /// Journals that could not be read to their end, as they were.
    pub set_aside: Vec<PathBuf>,
}

/// Why the store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another store of this one, has it.
    #[error("{} is in use by another server; stop that one, or give this one its own folder", .0.display())]
    InUse(PathBuf),
    /// There is something else in the folder.
    #[error("{} is neither empty nor a store of kefu; give another folder", .0.display())]
    NotAStore(PathBuf),
    /// There is no store in the folder.
    #[error("there is no store in {}; look at the path", .0.display())]
    NoStore(PathBuf),
    /// A version that this build does not know.
    #[error(
        "the store has format {found}, this version of kefu knows up to {known}; start the version \
         that wrote it, or restore a backup that this one made"
    )]
    Format {
        /// What the folder says.
        found: String,
        /// The newest that is known.
        known: usize,
    },
    /// A journal is damaged. Only a check says this: a start sets the journal aside and goes on.
    #[error(
        "a journal of the store in {} is damaged ({error}); copy the folder, then start the server: \
         it goes on with what was written before the damage, and says what is missing",
        .folder.display()
    )]
    DamagedJournal {
        /// The store's folder.
        folder: PathBuf,
        /// What fjall says.
        error: fjall::JournalRecoveryError,
    },
    /// The tree cannot be read.
    #[error("the store in {} cannot be read ({error}); restore a backup into a new folder", .folder.display())]
    Damaged {
        /// Which.
        folder: PathBuf,
        /// What fjall says.
        error: fjall::Error,
    },
    /// The folder or the thread.
    #[error("the store cannot be opened: {0}")]
    Io(#[from] std::io::Error),
}

impl OpenError {
    fn of_tree(folder: &Path, error: fjall::Error) -> Self {
        match error {
            fjall::Error::Io(error) => Self::Io(error),
            fjall::Error::Locked => Self::InUse(folder.to_owned()),
            fjall::Error::JournalRecovery(error) => {
                Self::DamagedJournal { folder: folder.to_owned(), error }
            }
            error => Self::Damaged { folder: folder.to_owned(), error },
        }
    }
}

/// The store in a folder.
pub struct EmbeddedStore {
    engine: Engine,
    /// None once it is closed.
    jobs: Mutex<Option<SyncSender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    shared: Arc<Shared>,
    queue_bytes: usize,
    /// Given free last.
    folder: Folder,
}

impl EmbeddedStore {
    /// Opens the store in `folder`, or makes one there.
    ///
    /// # Errors
    /// When it is in use, of a format that this build does not know, or cannot be read.
    pub fn open(folder: &Path, options: EmbeddedOptions) -> Result<(Self, OpenReport), OpenError> {
        let folder = Folder::take(folder)?;
        let witness = folder.read_witness()?;
        let (engine, set_aside) = salvage::open(&folder, options.cache_bytes)?;
        let of_tree = |error| OpenError::of_tree(folder.path(), error);
        let found = ring::look(&engine, witness.map(|w| w.mark)).map_err(of_tree)?;
        if let Some(loss) = found.lost {
            ring::note(&engine, loss).map_err(of_tree)?;
        }
        let report = OpenReport {
            created: folder.created(),
            clean: witness.is_some_and(|w| w.clean) && found.lost.is_none(),
            batches: found.last.batches,
            lost: found.lost,
            set_aside,
        };
        let witness = folder.begin(found.last)?;
        let (jobs, waiting) = mpsc::sync_channel(options.queue_batches);
        let shared = Arc::<Shared>::default();
        let writer =
            Writer::new(engine.clone(), witness, options.durability, found.last, shared.clone());
        let thread =
            thread::Builder::new().name("kefu-store".into()).spawn(move || writer.run(&waiting))?;
        let store = Self {
            engine,
            jobs: Mutex::new(Some(jobs)),
            thread: Mutex::new(Some(thread)),
            shared,
            queue_bytes: options.queue_bytes,
            folder,
        };
        Ok((store, report))
    }

    /// Reserves room for `bytes` in the queue, if there is any. A batch that finds the queue empty
    /// may be of any size.
    fn reserve(&self, bytes: usize) -> Result<(), StoreError> {
        let room = |waiting: usize| {
            let sum = waiting + bytes;
            (waiting == 0 || sum <= self.queue_bytes).then_some(sum)
        };
        let waiting = &self.shared.waiting_bytes;
        let reserved = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room);
        reserved.map(drop).map_err(|_| StoreError::Busy)
    }
}

impl Store for EmbeddedStore {
    fn get(&self, key: Vec<u8>) -> BoxFuture<'_, Result<Option<Vec<u8>>, StoreError>> {
        let found = self.engine.get(&key).map(|value| value.map(|value| value.to_vec()));
        Box::pin(future::ready(found.map_err(failed)))
    }

    fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Rows, StoreError>> {
        Box::pin(future::ready(self.engine.scan(&scan).map_err(failed)))
    }

    fn commit(&self, batch: Batch, done: Done) -> Result<(), StoreError> {
        let bytes = batch.fits()?;
        self.shared.refuse()?;
        let jobs = self.jobs.lock().expect("nothing panics with the sender in hand");
        let jobs = jobs.as_ref().ok_or_else(closed)?;
        self.reserve(bytes)?;
        jobs.try_send(Job { batch, bytes, done }).map_err(|error| {
            self.shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            match error {
                TrySendError::Full(_) => StoreError::Busy,
                TrySendError::Disconnected(_) => closed(),
            }
        })
    }

    fn close(&self) {
        *self.jobs.lock().expect("nothing panics with the sender in hand") = None;
        // Who closes a second time waits here for the first.
        let mut thread = self.thread.lock().expect("nothing panics with the thread in hand");
        if thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's thread panicked");
        }
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore").field("folder", &self.folder.path()).finish()
    }
}

fn closed() -> StoreError {
    StoreError::Closed("it was closed".to_owned())
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn failed(error: fjall::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}
