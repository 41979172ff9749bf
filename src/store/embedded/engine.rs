//! fjall, the LSM tree below: how it is opened, and where our keys lie in it. Only this folder knows
//! it.
//!
//! All keys share one keyspace, so that they share one fate: a table that is lost takes the ring's
//! records along, and the hole is seen. The first byte of a key says what it belongs to, so callers
//! may use any key.

use std::path::{Path, PathBuf};

use fjall::{
    Database, Iter, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Slice, Snapshot,
};

use crate::store::{Order, Rows, Scan};

/// What fills up before it becomes a table. It is also about what has to be read back after a
/// crash, besides the journal's own 64 MB.
const MEMTABLE_BYTES: u64 = 32 << 20;
/// When the journals that wait for their rows to become tables hold more, that is hurried.
const JOURNALS_BYTES: u64 = 192 << 20;

/// What a key belongs to: its first byte.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum Area {
    /// What callers wrote.
    Rows = b'r',
    /// One record for each of the last groups.
    Ring = b'g',
    /// Losses that were reported.
    Losses = b'l',
}

/// The opened tree. It is read through snapshots only: what fjall reads without one may hold half a
/// batch.
#[derive(Clone)]
pub(super) struct Engine {
    db: Database,
    keys: Keyspace,
}

impl Engine {
    pub(super) fn open(folder: &Path, cache_bytes: u64) -> fjall::Result<Self> {
        // One worker: with more, one of them spins while another compacts.
        let db = Database::builder(folder)
            .worker_threads(1)
            .cache_size(cache_bytes)
            .max_journaling_size(JOURNALS_BYTES)
            .manual_journal_persist(true)
            .open()?;
        // Values stay beside their keys: kept apart, scans are less than half as fast.
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let keys = db.keyspace("kefu", options)?;
        Ok(Self { db, keys })
    }

    /// Makes an empty tree, and says where its only journal lies.
    pub(super) fn empty_tree(folder: &Path) -> fjall::Result<PathBuf> {
        Self::replay(folder)?;
        Ok(folder.join("0.jnl"))
    }

    /// Opens a tree once, which reads its journals.
    pub(super) fn replay(folder: &Path) -> fjall::Result<()> {
        Database::builder(folder).worker_threads(1).cache_size(0).open().map(drop)
    }

    pub(super) fn get(&self, key: &[u8]) -> fjall::Result<Option<Slice>> {
        self.get_in(&self.snapshot(), key)
    }

    /// The state as of now.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.db.snapshot()
    }

    /// The value of `key` in a state.
    pub(super) fn get_in(&self, state: &Snapshot, key: &[u8]) -> fjall::Result<Option<Slice>> {
        state.get(&self.keys, within(Area::Rows, key))
    }

    /// All rows of an area, as of now.
    pub(super) fn rows(&self, area: Area) -> Iter {
        self.db.snapshot().prefix(&self.keys, [area as u8])
    }

    pub(super) fn scan(&self, scan: &Scan) -> fjall::Result<Rows> {
        let from = within(Area::Rows, &scan.from);
        let to = scan.to.as_ref().map_or(vec![Area::Rows as u8 + 1], |to| within(Area::Rows, to));
        let mut found = Rows::default();
        if to <= from {
            return Ok(found);
        }
        let mut range = self.db.snapshot().range(&self.keys, from..to);
        let mut next = || match scan.order {
            Order::Ascending => range.next(),
            Order::Descending => range.next_back(),
        };
        while let Some(row) = next() {
            if found.rows.len() == scan.limit {
                found.more = true;
                break;
            }
            let (key, value) = row.into_inner()?;
            found.rows.push((key[1..].to_vec(), value.to_vec()));
        }
        Ok(found)
    }

    /// Begins a write of about `changes` changes.
    pub(super) fn write(&self, changes: usize) -> EngineWrite<'_> {
        let batch = fjall::OwnedWriteBatch::with_capacity(self.db.clone(), changes);
        EngineWrite { batch, keys: &self.keys, key: Vec::new() }
    }

    /// Turns what is in memory into a table.
    #[cfg(test)]
    pub(super) fn flush(&self) -> fjall::Result<()> {
        self.keys.rotate_memtable_and_wait()
    }

    /// Makes all that was written as durable as `mode` says.
    pub(super) fn persist(&self, mode: PersistMode) -> fjall::Result<()> {
        self.db.persist(mode)
    }
}

/// Changes that are written all or not at all.
pub(super) struct EngineWrite<'a> {
    batch: fjall::OwnedWriteBatch,
    keys: &'a Keyspace,
    /// Where a key is put together.
    key: Vec<u8>,
}

impl EngineWrite<'_> {
    /// Sets a key, or removes it. Every key may be named once.
    pub(super) fn set(&mut self, area: Area, key: &[u8], value: Option<&[u8]>) {
        self.key.clear();
        self.key.push(area as u8);
        self.key.extend_from_slice(key);
        let key = self.key.as_slice();
        match value {
            Some(value) => self.batch.insert(self.keys, key, value),
            None => self.batch.remove(self.keys, key),
        }
    }

    /// Writes it, and then makes it visible.
    pub(super) fn commit(self, mode: PersistMode) -> fjall::Result<()> {
        self.batch.durability(Some(mode)).commit()
    }
}

fn within(area: Area, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 1);
    full.push(area as u8);
    full.extend_from_slice(key);
    full
}
