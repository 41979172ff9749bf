//! Keeps the served model fit to the knowledge base on disk: watches the folders, builds off the
//! request path, swaps, and goes back on request.
//!
//! A knowledge base that cannot be used is refused: the model in use goes on, and says why it is
//! not the newest.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::oneshot;

use crate::artifact::{self, ArtifactError};
use crate::progress::Silent;
use crate::provision::{self, Folders, ProvisionError};
use crate::understand::Understander;

/// Editors write in several steps; this long nothing may happen before the files are read.
const QUIET: Duration = Duration::from_millis(300);
/// Versions that can be gone back to without naming one.
const HISTORY: usize = 16;
/// Orders that may wait.
const ORDERS: usize = 16;

/// Keeps one understander's model fresh, on a thread of its own that lives as long as the process.
pub struct Keeper {
    folders: Folders,
    understander: Arc<Understander>,
    state: Mutex<State>,
    orders: SyncSender<Order>,
}

/// What the thread is told, one at a time, so that reloads and rollbacks never cross.
enum Order {
    /// Something in the folders may have changed.
    Refresh,
    /// Go back, and say how it went.
    RollBack(Option<String>, oneshot::Sender<Result<(), RollbackError>>),
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
    /// Too many orders wait.
    #[error("too many reloads wait; try again later")]
    Busy,
    /// It cannot be loaded.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

impl Keeper {
    /// Keeps `understander` fit to `folders` from now on.
    ///
    /// # Errors
    /// When the system cannot watch the folders or start a thread.
    pub fn start(
        folders: Folders,
        understander: Arc<Understander>,
    ) -> Result<Arc<Self>, WatchError> {
        let (orders, inbox) = sync_channel(ORDERS);
        let keeper = Arc::new(Self { folders, understander, state: Mutex::default(), orders });
        let watcher = keeper.watch()?;
        let thread = Arc::clone(&keeper);
        std::thread::Builder::new().name("kefu-reload".to_owned()).spawn(move || {
            let _watcher = watcher;
            thread.work(&inbox);
        })?;
        Ok(keeper)
    }

    fn watch(&self) -> notify::Result<notify::RecommendedWatcher> {
        let orders = self.orders.clone();
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                // Reading the files is no change; an event that was lost may have been one.
                if event.as_ref().map_or(true, |event| !event.kind.is_access()) {
                    // Full means that orders wait already, and with them a look at the files.
                    let _ = orders.try_send(Order::Refresh);
                }
            })?;
        for folder in [&self.folders.intents, &self.folders.training_data] {
            if folder.is_dir() {
                watcher.watch(folder, RecursiveMode::NonRecursive)?;
            }
        }
        Ok(watcher)
    }

    fn work(&self, inbox: &Receiver<Order>) {
        while let Ok(order) = inbox.recv() {
            let order = match order {
                Order::Refresh => {
                    let next = settle(inbox);
                    self.refresh();
                    next
                }
                order @ Order::RollBack(..) => Some(order),
            };
            if let Some(Order::RollBack(version, reply)) = order {
                // Who asked may have hung up.
                let _ = reply.send(self.load_earlier(version.as_deref()));
            }
        }
    }

    /// Looks at the files soon, for those who changed them and do not want to rely on being noticed.
    pub fn look_again(&self) {
        // Full means that a look is due already.
        let _ = self.orders.try_send(Order::Refresh);
    }

    /// Goes back to `version`, or to the one that was in use before. The next edit of the knowledge
    /// base, and the next start, take the newest again.
    ///
    /// # Errors
    /// [`RollbackError`]; the model in use stays.
    pub async fn roll_back(&self, version: Option<String>) -> Result<(), RollbackError> {
        let (reply, answer) = oneshot::channel();
        let order = Order::RollBack(version, reply);
        self.orders.try_send(order).map_err(|_| RollbackError::Busy)?;
        answer.await.unwrap_or(Err(RollbackError::Busy))
    }

    /// Why the newest knowledge base is not in use; none when it is.
    pub fn refused(&self) -> Option<String> {
        self.lock().refused.clone()
    }

    /// How reloads have ended so far.
    pub fn counts(&self) -> ReloadCounts {
        self.lock().counts
    }

    /// Reads the folders and swaps the model when it is another one.
    fn refresh(&self) {
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

    fn load_earlier(&self, version: Option<&str>) -> Result<(), RollbackError> {
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

/// Returns when nothing has changed for a while, or with an order that is no refresh.
fn settle(inbox: &Receiver<Order>) -> Option<Order> {
    loop {
        match inbox.recv_timeout(QUIET) {
            Ok(Order::Refresh) => {}
            Ok(order) => return Some(order),
            Err(_) => return None,
        }
    }
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
