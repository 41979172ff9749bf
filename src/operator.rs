//! What an operator asks of a running server from the same machine: a backup.
//!
//! The store's folder is locked while the server runs. So the server leaves its address and a key
//! beside it, in a file that only its user may read; the command `backup` finds both there and asks
//! over HTTP. Whoever can read that file can read the store itself.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::identity::Secret;
use crate::store::embedded::{BackupError, EmbeddedStore, Manifest};

/// The file in the store's folder.
const FILE: &str = "operator.json";

/// Does what operators ask.
pub struct Operator {
    key: Secret,
    store: Arc<EmbeddedStore>,
    clock: Clock,
    busy: AtomicBool,
    file: PathBuf,
}

/// What the file holds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Contact {
    /// Where the server listens.
    pub address: SocketAddr,
    /// What it wants to be told.
    pub key: String,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// One is being made.
    #[error("a backup is being made already; wait for it")]
    Busy,
    /// It failed.
    #[error("{0}")]
    Failed(String),
}

impl Operator {
    /// Leaves the contact file in `folder`, the store's.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(
        store: Arc<EmbeddedStore>,
        clock: Clock,
        folder: &Path,
        address: SocketAddr,
    ) -> std::io::Result<Self> {
        let (key, file) = (Secret::random("kfo_"), folder.join(FILE));
        let contact = Contact { address, key: key.reveal().to_owned() };
        // What a killed server left may belong to somebody else's port by now.
        let _ = fs::remove_file(&file);
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&file)?.write_all(&serde_json::to_vec(&contact)?)?;
        Ok(Self { key, store, clock, busy: AtomicBool::new(false), file })
    }

    /// Whether `key` is the operator's.
    pub fn knows(&self, key: &str) -> bool {
        use subtle::ConstantTimeEq;
        key.as_bytes().ct_eq(self.key.reveal().as_bytes()).into()
    }

    /// Writes a backup into `folder`, on a thread of its own.
    ///
    /// # Errors
    /// When another one is being made, or the backup fails.
    pub async fn backup(self: Arc<Self>, folder: PathBuf) -> Result<Manifest, OperatorError> {
        if self.busy.swap(true, Ordering::AcqRel) {
            return Err(OperatorError::Busy);
        }
        let (done, made) = oneshot::channel::<Result<Manifest, BackupError>>();
        let operator = Arc::clone(&self);
        let thread = std::thread::Builder::new().name("kefu-backup".to_owned());
        let started = thread.spawn(move || {
            let result = operator.store.backup(&folder, (operator.clock)());
            operator.busy.store(false, Ordering::Release);
            // Whoever asked may have gone; the backup is there all the same.
            let _ = done.send(result);
        });
        if let Err(error) = started {
            self.busy.store(false, Ordering::Release);
            return Err(OperatorError::Failed(format!("no thread could be started: {error}")));
        }
        let ended = |_| OperatorError::Failed("the backup broke off; see the log".to_owned());
        let made = made.await.map_err(ended)?;
        made.map_err(|error| OperatorError::Failed(error.to_string()))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // The next start removes it, if this fails.
        let _ = fs::remove_file(&self.file);
    }
}

/// The contact of the server that uses the store in `folder`, if one left it.
pub fn contact(folder: &Path) -> Option<Contact> {
    serde_json::from_slice(&fs::read(folder.join(FILE)).ok()?).ok()
}

/// Asks the server at `address` for a backup into `folder`, an absolute path.
///
/// # Errors
/// When it does not answer, or says why not.
pub fn ask_backup(
    address: SocketAddr,
    key: &str,
    folder: &Path,
) -> Result<Manifest, OperatorError> {
    let failed = |error: ureq::Error| OperatorError::Failed(error.to_string());
    let body = serde_json::json!({ "folder": folder }).to_string();
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
    let mut answer = agent
        .post(format!("http://{address}/operator/backup"))
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .send(body)
        .map_err(failed)?;
    let text = answer.body_mut().read_to_string().map_err(failed)?;
    serde_json::from_str(&text).map_err(|_no_manifest| OperatorError::Failed(text))
}
