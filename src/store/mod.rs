//! The store port: ordered keys, scans, and one atomic batch with preconditions.
//!
//! It asks no more than a TiKV optimistic transaction can do, so that one port serves the embedded
//! store and a cluster. Callers build keys and values; what they mean is not known here. Every
//! adapter passes the suite in `contract.rs`.

mod ask;
#[cfg(test)]
mod contract;
pub mod embedded;
mod memory;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::future::BoxFuture;

pub use ask::{all, commit};
pub use memory::MemoryStore;

/// Longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 1_024;
/// Longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 4 << 20;

/// What a key stands for before a batch may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// The key has no value.
    Absent(Vec<u8>),
    /// The key has this value.
    Equals(Vec<u8>, Vec<u8>),
}

impl Check {
    /// The key that is checked.
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Absent(key) | Self::Equals(key, _) => key,
        }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// The key gets this value.
    Put(Vec<u8>, Vec<u8>),
    /// The key has no value afterwards.
    Delete(Vec<u8>),
}

/// Changes that happen all or not at all, and only if every check holds at that moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// What must hold.
    pub checks: Vec<Check>,
    /// What changes then; a later write to the same key wins.
    pub writes: Vec<Write>,
}

impl Batch {
    /// Demands that `key` has no value.
    #[must_use]
    pub fn absent(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.checks.push(Check::Absent(key.into()));
        self
    }

    /// Demands that `key` has `value`.
    #[must_use]
    pub fn equals(mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.checks.push(Check::Equals(key.into(), value.into()));
        self
    }

    /// Sets `key`.
    #[must_use]
    pub fn put(mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.writes.push(Write::Put(key.into(), value.into()));
        self
    }

    /// Removes `key`.
    #[must_use]
    pub fn delete(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.writes.push(Write::Delete(key.into()));
        self
    }

    /// Bytes of all its keys and values, if each is within its limit.
    fn fits(&self) -> Result<usize, StoreError> {
        let within = |what, bytes: usize, limit| {
            if bytes > limit {
                return Err(StoreError::TooLarge { what, bytes, limit });
            }
            Ok(bytes)
        };
        let key = |key: &[u8]| within("key", key.len(), MAX_KEY_BYTES);
        let value = |value: &[u8]| within("value", value.len(), MAX_VALUE_BYTES);
        let mut total = 0;
        for check in &self.checks {
            total += match check {
                Check::Absent(name) => key(name)?,
                Check::Equals(name, expected) => key(name)? + value(expected)?,
            };
        }
        for write in &self.writes {
            total += match write {
                Write::Put(name, content) => key(name)? + value(content)?,
                Write::Delete(name) => key(name)?,
            };
        }
        Ok(total)
    }
}

/// Which way a scan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// From the smallest key.
    Ascending,
    /// From the largest key.
    Descending,
}

/// Keys from `from` (included) to `to` (excluded), at most `limit` of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// First key that may be found.
    pub from: Vec<u8>,
    /// First key beyond; none: to the end.
    pub to: Option<Vec<u8>>,
    /// Which end comes first.
    pub order: Order,
    /// Most rows.
    pub limit: usize,
}

impl Scan {
    /// All keys that begin with `prefix`.
    pub fn prefix(prefix: &[u8], order: Order, limit: usize) -> Self {
        Self { from: prefix.to_vec(), to: after_prefix(prefix), order, limit }
    }
}

/// The first key behind all that begin with `prefix`; none when there is no such key.
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut after = prefix[..=last].to_vec();
    after[last] += 1;
    Some(after)
}

/// What a scan found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// Keys with their values, in the order asked for.
    pub rows: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether the limit left rows out.
    pub more: bool,
}

/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A check did not hold; nothing was written.
    #[error("the store changed meanwhile; read again and retry")]
    Conflict,
    /// Too many batches wait; nothing was written.
    #[error("the store has more to write than it may hold; retry later")]
    Busy,
    /// A key or a value is too long; nothing was written.
    #[error("a {what} of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// `key` or `value`.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The longest that is taken.
        limit: usize,
    },
    /// The store has ended, or a write failed before. Nothing is written until it is opened again.
    #[error("the store takes no more writes: {0}")]
    Closed(String),
    /// It cannot be told whether the batch was written: read to find out.
    #[error("the store failed: {0}")]
    Failed(String),
}

/// Told once a batch is durable, or why it is not. It runs on the store's own thread: it must be
/// short, and must not block.
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Runs a `done`; one that panics has a bug, which must not end the store for all others.
fn tell(done: Done, result: Result<(), StoreError>) {
    if catch_unwind(AssertUnwindSafe(|| done(result))).is_err() {
        tracing::error!("what waited for a batch panicked");
    }
}

/// Ordered keys with values.
pub trait Store: Send + Sync + fmt::Debug {
    /// The value of `key`, as of the last durable batch or a later one.
    fn get(&self, key: Vec<u8>) -> BoxFuture<'_, Result<Option<Vec<u8>>, StoreError>>;

    /// Rows of one moment.
    fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Rows, StoreError>>;

    /// Accepts a batch. Batches take effect in the order in which they were accepted; `done` runs
    /// after the batch is durable (as durable as the store was opened to be).
    ///
    /// # Errors
    /// When the batch was not accepted; `done` is not called then.
    fn commit(&self, batch: Batch, done: Done) -> Result<(), StoreError>;

    /// Whether others may write at the same time. Who writes alone need not check what it knows.
    fn is_shared(&self) -> bool {
        false
    }

    /// Writes what was accepted, and accepts nothing more. Blocks until that is done.
    fn close(&self);
}
