//! Keeps the served model fit to the knowledge base on disk: watches the folders, builds off the
//! request path, swaps, and goes back on request.
//!
//! A knowledge base that cannot be used is refused: the model in use goes on, and says why it is
//! not the newest.

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{RecursiveMode, Watcher};

use crate::artifact::{self, ArtifactError};
use crate::progress::Silent;
use crate::provision::{self, Folders, ProvisionError};
use crate::understand::Understander;

/// Editors write in several steps; this long nothing may happen before the files are read.
const QUIET: Duration = Duration::from_millis(300);
/// Versions that can be gone back to without naming one.
const HISTORY: usize = 16;

/// Keeps one understander's model fresh.
pub struct Keeper {
    folders: Folders,
    understander: Arc<Understander>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Versions that were served before the one in use, the latest last.
    history: Vec<String>,
    refused: Option<String>,
    counts: ReloadCounts,
}

/// How reloads have ended so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReloadCounts {
    /// A new model is in use.
    pub swapped: u64,
    /// The files could not be used.
    pub refused: u64,
    /// An earlier model is in use again.
    pub rolled_back: u64,
}

/// Why no earlier model is in use.
#[derive(Debug, thiserror::Error)]
pub enum RollbackError {
    /// There is none of that name, or none at all.
    #[error("{0}")]
    Unknown(String),
    /// It cannot be loaded.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

impl Keeper {
    /// Keeps `understander` fit to `folders`.
    pub fn new(folders: Folders, understander: Arc<Understander>) -> Self {
        Self { folders, understander, state: Mutex::default() }
    }

    /// Why the newest knowledge base is not in use; none when it is.
    pub fn refused(&self) -> Option<String> {
        self.lock().refused.clone()
    }

    /// How reloads have ended so far.
    pub fn counts(&self) -> ReloadCounts {
        self.lock().counts
    }

    /// Reads the folders and swaps the model when it is another one. Blocks while it trains.
    pub fn refresh(&self) {
        let encoder = self.understander.encoder();
        // One core at most: the others answer.
        let build = || provision::model(&self.folders, &**encoder, true, &Silent);
        let built = match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
            Ok(pool) => pool.install(build),
            Err(_) => build(),
        };
        match built {
            Ok((model, _)) => self.swap(model),
            Err(error) => self.refuse(&error),
        }
    }

    fn swap(&self, model: artifact::Model) {
        let version = model.identity.version();
        let before = self.understander.model().version.clone();
        let mut state = self.lock();
        state.refused = None;
        if version == before {
            return;
        }
        self.understander.replace(Arc::new(model));
        state.remember(before);
        state.counts.swapped += 1;
        drop(state);
        tracing::info!(%version, "a new model is in use");
    }

    fn refuse(&self, error: &ProvisionError) {
        tracing::warn!("the knowledge base is not used, the old model goes on: {error}");
        let mut state = self.lock();
        state.refused = Some(error.to_string());
        state.counts.refused += 1;
    }

    /// Goes back to `version`, or to the one that was in use before. The next edit of the knowledge
    /// base, and the next start, take the newest again. Blocks while it loads.
    ///
    /// # Errors
    /// [`RollbackError`]; the model in use stays.
    pub fn roll_back(&self, version: Option<&str>) -> Result<(), RollbackError> {
        let before = self.understander.model().version.clone();
        let version = match version {
            Some(version) => version.to_owned(),
            None => self.lock().history.last().cloned().ok_or_else(|| {
                RollbackError::Unknown(
                    "no model was in use before this one; name a version".to_owned(),
                )
            })?,
        };
        let is_name = !version.is_empty() && version.bytes().all(|b| b.is_ascii_alphanumeric());
        let path = self.folders.artifacts().join(&version);
        if !is_name || !path.is_dir() {
            let shown: String = version.chars().take(40).collect();
            return Err(RollbackError::Unknown(format!("there is no model {shown:?} here")));
        }
        let model = artifact::load(&path, self.understander.encoder().info())?;
        let mut state = self.lock();
        self.understander.replace(Arc::new(model));
        state.history.retain(|known| *known != version);
        if before != version {
            state.remember(before);
        }
        state.counts.rolled_back += 1;
        drop(state);
        tracing::info!(%version, "an earlier model is in use");
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remember(&mut self, version: String) {
        self.history.retain(|known| *known != version);
        self.history.push(version);
        if self.history.len() > HISTORY {
            self.history.remove(0);
        }
    }
}

/// Watches the folders and refreshes after each change, on a thread of its own that lives as long
/// as the process.
///
/// # Errors
/// When the system cannot watch or start a thread; the model then stays as it is.
pub fn watch(keeper: Arc<Keeper>) -> Result<(), WatchError> {
    // One pending change is as good as many.
    let (changed, changes) = sync_channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the files is no change; a lost event may have been one.
        if event.as_ref().map_or(true, |event| !event.kind.is_access()) {
            // Full means that a change is pending already.
            let _ = changed.try_send(());
        }
    })?;
    let Folders { intents, training_data, .. } = &keeper.folders;
    for folder in [intents, training_data] {
        if Path::is_dir(folder) {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
        }
    }
    std::thread::Builder::new().name("kefu-reload".to_owned()).spawn(move || {
        let _watcher = watcher;
        while changes.recv().is_ok() {
            settle(&changes);
            keeper.refresh();
        }
    })?;
    Ok(())
}

/// Returns when nothing has changed for a while.
fn settle(changes: &Receiver<()>) {
    while changes.recv_timeout(QUIET).is_ok() {}
}

/// Why nobody watches.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The system does not tell of changes.
    #[error("cannot watch the knowledge base: {0}; restart the server after an edit")]
    Watch(#[from] notify::Error),
    /// No thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}
