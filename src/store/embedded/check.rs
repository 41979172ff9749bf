//! Goes through a store that no server uses, and says what is whole. The command `check` calls it.

use std::path::Path;

use super::OpenError;
use super::engine::{Area, Engine};
use super::folder::Folder;
use super::ring::{self, Loss};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct CheckReport {
    /// Rows that could be read.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// How many batches the store took since it was made.
    pub batches: u64,
    /// Whether it was stopped by `close`.
    pub clean: bool,
    /// What was acknowledged and is not there; the next start will report it too.
    pub lost: Option<Loss>,
    /// Losses that earlier starts reported.
    pub earlier_losses: Vec<Loss>,
    /// Why rows after those counted could not be read.
    pub unreadable: Option<String>,
}

impl CheckReport {
    /// Whether all is there and can be read; what earlier starts reported does not count.
    pub fn whole(&self) -> bool {
        self.lost.is_none() && self.unreadable.is_none()
    }
}

/// Reads everything in `folder`, and shows each row to `visit` in the order of keys. It writes
/// nothing but what any start does: the end of a journal that was not written whole is cut off.
///
/// # Errors
/// When there is no store, a server uses it, or it cannot be opened.
pub fn check(folder: &Path, mut visit: impl FnMut(&[u8], &[u8])) -> Result<CheckReport, OpenError> {
    let folder = Folder::take_existing(folder)?;
    let of_tree = |error| OpenError::of_tree(folder.path(), error);
    let witness = folder.read_witness()?;
    let engine = Engine::open(&folder.data(), 1 << 20).map_err(of_tree)?;
    let found = ring::look(&engine, witness.map(|seen| seen.mark)).map_err(of_tree)?;
    let mut report = CheckReport {
        rows: 0,
        bytes: 0,
        batches: found.last.batches,
        clean: witness.is_some_and(|seen| seen.clean),
        lost: found.lost,
        earlier_losses: found.earlier,
        unreadable: None,
    };
    for row in engine.rows(Area::Rows) {
        match row.into_inner() {
            Ok((key, value)) => {
                let key = &key[1..];
                report.rows += 1;
                report.bytes += (key.len() + value.len()) as u64;
                visit(key, &value);
            }
            Err(error) => {
                report.unreadable = Some(error.to_string());
                break;
            }
        }
    }
    Ok(report)
}
