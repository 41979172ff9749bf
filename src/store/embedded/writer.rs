//! The store's thread: it takes what waits, writes it as one group with one fsync, and tells those
//! who wait, in order.
//!
//! fjall holds its journal's lock while it syncs, so batches that were handed to it one by one would
//! each pay for a sync. A group is never waited for: it is what arrived during the sync before.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use fjall::{PersistMode, Snapshot};

use super::Durability;
use super::engine::{Area, Engine};
use super::folder::Witness;
use super::ring::{self, Mark};
use crate::store::{Batch, Check, Done, StoreError, Write, tell};

/// Most batches of a group.
const GROUP_BATCHES: usize = 512;
/// A group takes no more batches once it has so much to write.
const GROUP_BYTES: usize = 1 << 20;
/// How often what was written is synced, if not with every group.
const SYNC_EVERY: Duration = Duration::from_millis(100);

/// A batch that was accepted.
pub(super) struct Job {
    pub(super) batch: Batch,
    pub(super) bytes: usize,
    pub(super) done: Done,
}

/// What the thread shares with those who commit.
#[derive(Default)]
pub(super) struct Shared {
    /// Bytes of the batches that wait.
    pub(super) waiting_bytes: AtomicUsize,
    /// Why nothing is written any more.
    pub(super) broken: OnceLock<String>,
}

impl Shared {
    /// The error of a batch that comes too late, if it does.
    pub(super) fn refuse(&self) -> Result<(), StoreError> {
        self.broken.get().map_or(Ok(()), |why| Err(StoreError::Closed(why.clone())))
    }
}

/// The state of the thread.
pub(super) struct Writer {
    engine: Engine,
    witness: Witness,
    durability: Durability,
    shared: Arc<Shared>,
    /// What the group at hand changes so far; none: removed.
    changes: HashMap<Vec<u8>, Option<Vec<u8>>>,
    results: Vec<(Done, Result<(), StoreError>)>,
    last: Mark,
    /// When the oldest write that is not synced happened.
    unsynced: Option<Instant>,
}

impl Writer {
    pub(super) fn new(
        engine: Engine,
        witness: Witness,
        durability: Durability,
        last: Mark,
        shared: Arc<Shared>,
    ) -> Self {
        let (changes, results) = (HashMap::new(), Vec::new());
        Self { engine, witness, durability, shared, changes, results, last, unsynced: None }
    }

    /// Serves until all senders are gone and all that they sent is written.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let first = match self.unsynced {
                None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(since) => jobs.recv_timeout(SYNC_EVERY.saturating_sub(since.elapsed())),
            };
            match first {
                Ok(first) => self.group(first, jobs),
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.unsynced.is_some_and(|since| since.elapsed() >= SYNC_EVERY) {
                self.unsynced = None;
                if let Err(error) = self.engine.persist(PersistMode::SyncData) {
                    self.break_off(&error);
                }
            }
        }
        if self.shared.broken.get().is_none() {
            let synced = self.engine.persist(PersistMode::SyncAll);
            if let Err(error) = synced.and_then(|()| Ok(self.witness.stopped(self.last)?)) {
                tracing::error!(%error, "the store was not stopped cleanly");
            }
        }
    }

    /// Writes `first` and what waits behind it.
    fn group(&mut self, first: Job, jobs: &Receiver<Job>) {
        let mut bytes = 0;
        let mut accepted = 0;
        let mut next = Some(first);
        // Nobody else writes: what was there before the group is one state.
        let before = self.engine.snapshot();
        while let Some(job) = next {
            self.shared.waiting_bytes.fetch_sub(job.bytes, Ordering::Relaxed);
            bytes += job.bytes;
            let result = self.shared.refuse().and_then(|()| self.take(&before, job.batch));
            accepted += u64::from(result.is_ok());
            self.results.push((job.done, result));
            let full = self.results.len() >= GROUP_BATCHES || bytes >= GROUP_BYTES;
            next = if full { None } else { jobs.try_recv().ok() };
        }
        if !self.changes.is_empty() {
            let written = self.write(accepted);
            self.changes.clear();
            if let Err(error) = written {
                let why = self.break_off(&error);
                for (_, result) in &mut self.results {
                    *result = Err(StoreError::Failed(why.clone()));
                }
            }
        }
        for (done, result) in self.results.drain(..) {
            tell(done, result);
        }
    }

    /// Adds a batch to the group, if its checks hold after those before it.
    fn take(&mut self, before: &Snapshot, batch: Batch) -> Result<(), StoreError> {
        for check in &batch.checks {
            let expected = match check {
                Check::Absent(_) => None,
                Check::Equals(_, value) => Some(value.as_slice()),
            };
            let holds = match self.changes.get(check.key()) {
                Some(change) => change.as_deref() == expected,
                None => {
                    let stored = self.engine.get_in(before, check.key()).map_err(super::failed)?;
                    stored.as_deref() == expected
                }
            };
            if !holds {
                return Err(StoreError::Conflict);
            }
        }
        for write in batch.writes {
            match write {
                Write::Put(key, value) => self.changes.insert(key, Some(value)),
                Write::Delete(key) => self.changes.insert(key, None),
            };
        }
        Ok(())
    }

    /// Writes the group's changes together with its record in the ring.
    fn write(&mut self, batches: u64) -> fjall::Result<()> {
        let after = Mark { group: self.last.group + 1, batches: self.last.batches + batches };
        let mut write = self.engine.write(self.changes.len() + 1);
        for (key, value) in self.changes.drain() {
            write.set(Area::Rows, &key, value.as_deref());
        }
        let record = ring::record(self.last, after);
        write.set(Area::Ring, &ring::slot(after.group), Some(&record));
        match self.durability {
            Durability::Always => write.commit(PersistMode::SyncData)?,
            Durability::Interval => {
                write.commit(PersistMode::Buffer)?;
                self.unsynced.get_or_insert_with(Instant::now);
            }
        }
        self.last = after;
        self.witness.reached(after)?;
        Ok(())
    }

    /// After a failed write nothing more is written: what is on the disk is then a prefix of what
    /// was accepted, without a hole.
    fn break_off(&self, error: &fjall::Error) -> String {
        let why = self.shared.broken.get_or_init(|| {
            tracing::error!(%error, "a write failed; the store takes no more until it is reopened");
            format!("a write failed ({error}); see to the disk, then start again")
        });
        why.clone()
    }
}
