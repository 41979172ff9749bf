//! The files of imports and exports: read within limits, written whole or not at all.
//!
//! The only place of `crate::exchange` that touches the disk.

mod read;
mod write;

use std::io;
use std::path::{Path, PathBuf};

pub use read::{Found, MAX_BYTES, read};
pub use write::{Existing, write_folder, write_single};

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

/// The last extension, in lower case.
fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}
