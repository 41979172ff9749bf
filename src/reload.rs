//! Keeps the served model fit to the knowledge base on disk: watches the folders, builds off the
//! request path, swaps, and goes back on request.
//!
//! A knowledge base that cannot be used, or whose model loses golden sentences, is refused: the
//! model in use goes on, and says why it is not the newest.

mod gate;

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::oneshot;

use self::gate::{Gate, GoldenSet};
use crate::artifact::{self, ArtifactError, Model};
use crate::encoder::Encoder;
use crate::flips::golden::{GoldenReport, GoldenRule};
use crate::progress::Silent;
use crate::provision::{self, Folders, ProvisionError};
use crate::training::build::BuildError;
use crate::understand::Understander;

/// Editors write in several steps; this long nothing may happen before the files are read.
const QUIET: Duration = Duration::from_millis(300);
/// Versions that can be gone back to without naming one.
const HISTORY: usize = 16;
/// Failing golden sentences that are logged.
const SHOWN: usize = 20;
/// Orders that may wait.
const ORDERS: usize = 16;

/// Keeps one understander's model fresh, on a thread of its own that lives as long as the process.
pub struct Keeper {
    folders: Folders,
    gate: Gate,
    /// Remembers sentences that come again at every reload.
    encoder: Arc<dyn Encoder>,
    understander: Arc<Understander>,
    state: Mutex<State>,
    orders: SyncSender<Order>,
}

/// What the thread is told, one at a time, so that reloads and rollbacks never cross.
enum Order {
    /// Something in the folders may have changed.
    Refresh,
    /// Go back, and say how it went.
    RollBack(Option<String>, Reply),
    /// Put a model into the shadow, or take it out, and say how it went.
    Shadow(Option<String>, Reply),
}

type Reply = oneshot::Sender<Result<(), RollbackError>>;

#[derive(Default)]
struct State {
    /// Versions that were served before the one in use, the latest last.
    history: Vec<String>,
    refused: Option<String>,
    /// The golden set of the newest knowledge base, and how the model in use answers it.
    golden_set: Arc<GoldenSet>,
    golden: Option<GoldenReport>,
    counts: ReloadCounts,
}

/// How reloads have ended so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReloadCounts {
    /// A new model is in use.
    pub swapped: u64,
    /// The files could not be used.
    pub refused: u64,
    /// The new model lost golden sentences.
    pub golden_lost: u64,
    /// An earlier model is in use again.
    pub rolled_back: u64,
}

/// Why no other model is in use, or in the shadow.
#[derive(Debug, thiserror::Error)]
pub enum RollbackError {
    /// There is none of that name, or none at all.
    #[error("{0}")]
    Unknown(String),
    /// Too many orders wait.
    #[error("too many reloads wait; try again later")]
    Busy,
    /// There is no thread for it.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// It cannot be loaded.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

impl Keeper {
    /// Keeps `understander` fit to `folders` from now on, by the golden rule. `encoder` is that of
    /// the understander; it is asked for the same sentences again and again.
    ///
    /// # Errors
    /// When the system cannot watch the folders or start a thread.
    pub fn start(
        folders: Folders,
        golden: GoldenRule,
        understander: Arc<Understander>,
        encoder: Arc<dyn Encoder>,
    ) -> Result<Arc<Self>, WatchError> {
        let (orders, inbox) = sync_channel(ORDERS);
        let gate = Gate::new(golden, Arc::clone(&encoder));
        let state = Mutex::default();
        let keeper = Arc::new(Self { folders, gate, encoder, understander, state, orders });
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
        // The first look judges the model in use, and takes what was edited while it was built.
        self.refresh();
        while let Ok(order) = inbox.recv() {
            let order = match order {
                Order::Refresh => {
                    let next = settle(inbox);
                    self.refresh();
                    next
                }
                order => Some(order),
            };
            // Who asked may have hung up.
            match order {
                Some(Order::RollBack(version, reply)) => {
                    let _ = reply.send(self.load_earlier(version.as_deref()));
                }
                Some(Order::Shadow(version, reply)) => {
                    let _ = reply.send(self.load_shadow(version.as_deref()));
                }
                Some(Order::Refresh) | None => {}
            }
        }
    }

    /// Looks at the files soon, for those who changed them and do not want to rely on being noticed.
    pub fn look_again(&self) {
        // Full means that a look is due already.
        let _ = self.orders.try_send(Order::Refresh);
    }

    /// Goes back to `version`, or to the one that was in use before. The next edit of the knowledge
    /// base, and the next start, take the newest again. The golden gate is not asked: this is the
    /// way out when it erred.
    ///
    /// # Errors
    /// [`RollbackError`]; the model in use stays.
    pub async fn roll_back(&self, version: Option<String>) -> Result<(), RollbackError> {
        self.order(|reply| Order::RollBack(version, reply)).await
    }

    /// Lets the model `version` judge in the shadow of the one in use; none ends it.
    ///
    /// # Errors
    /// [`RollbackError`]; what was in the shadow stays there.
    pub async fn shadow(&self, version: Option<String>) -> Result<(), RollbackError> {
        self.order(|reply| Order::Shadow(version, reply)).await
    }

    async fn order(&self, order: impl FnOnce(Reply) -> Order) -> Result<(), RollbackError> {
        let (reply, answer) = oneshot::channel();
        self.orders.try_send(order(reply)).map_err(|_| RollbackError::Busy)?;
        answer.await.unwrap_or(Err(RollbackError::Busy))
    }

    /// Why the newest knowledge base is not in use; none when it is.
    pub fn refused(&self) -> Option<String> {
        self.lock().refused.clone()
    }

    /// How the model in use answers the golden set; none when it is not asked, or not yet.
    pub fn golden(&self) -> Option<GoldenReport> {
        self.lock().golden.clone()
    }

    /// How reloads have ended so far.
    pub fn counts(&self) -> ReloadCounts {
        self.lock().counts
    }

    /// Reads the folders and swaps the model when it is another one.
    fn refresh(&self) {
        // One core at most: the others answer.
        let built = match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
            Ok(pool) => pool.install(|| self.build()),
            Err(_) => self.build(),
        };
        match built {
            Ok((model, golden)) => self.swap(model, golden),
            Err(error) => {
                tracing::warn!("the knowledge base is not used, the old model goes on: {error}");
                let mut state = self.lock();
                state.refused = Some(error.to_string());
                state.counts.refused += 1;
            }
        }
    }

    /// The model of the folders, none when it is the one in use, and their golden set.
    fn build(&self) -> Result<(Option<Model>, GoldenSet), ProvisionError> {
        let mut data = provision::data(&self.folders)?;
        let golden = std::mem::take(&mut data.golden);
        let golden = self.gate.prepare(golden).map_err(BuildError::Encode)?;
        if data.version(self.encoder.info()) == self.understander.model().version {
            return Ok((None, golden));
        }
        let model = provision::model_of(data, &self.folders, &*self.encoder, &Silent)?.0;
        Ok((Some(model), golden))
    }

    fn swap(&self, model: Option<Model>, golden: GoldenSet) {
        let serving = self.understander.serving();
        let mut report = self.gate.judge(&serving.engine, &golden);
        let Some(model) = model else {
            tell(report.as_ref());
            let mut state = self.lock();
            (state.refused, state.golden) = (None, report);
            state.golden_set = Arc::new(golden);
            return;
        };
        let next = self.gate.judge(&model.engine, &golden);
        let version = model.identity.version();
        let passed = self.gate.pass(&version, report.as_ref(), next.as_ref());
        let mut state = self.lock();
        state.golden_set = Arc::new(golden);
        match passed {
            Err(reason) => {
                tracing::warn!("the knowledge base is not used, the old model goes on: {reason}");
                state.refused = Some(reason);
                state.counts.golden_lost += 1;
            }
            Ok(()) => {
                self.understander.replace(Arc::new(model));
                state.remember(serving.identity.version());
                state.refused = None;
                state.counts.swapped += 1;
                tracing::info!(%version, "a new model is in use");
                report = next;
                tell(report.as_ref());
            }
        }
        state.golden = report;
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
        let model = self.load(&version)?;
        let golden_set = Arc::clone(&self.lock().golden_set);
        let golden = self.gate.judge(&model.engine, &golden_set);
        let mut state = self.lock();
        self.understander.replace(Arc::new(model));
        state.history.retain(|known| *known != version);
        if before != version {
            state.remember(before);
        }
        state.golden = golden;
        state.counts.rolled_back += 1;
        drop(state);
        tracing::info!(%version, "an earlier model is in use");
        Ok(())
    }

    fn load_shadow(&self, version: Option<&str>) -> Result<(), RollbackError> {
        let candidate = match version {
            None => None,
            Some(version) if version == self.understander.model().version => {
                let message = "this model is in use, so it cannot be in its own shadow";
                return Err(RollbackError::Unknown(message.to_owned()));
            }
            Some(version) => Some(Arc::new(self.load(version)?)),
        };
        self.understander.set_shadow(candidate).map_err(RollbackError::Thread)?;
        tracing::info!(version = version.unwrap_or("none"), "the model in the shadow changed");
        Ok(())
    }

    /// A model that was built here.
    fn load(&self, version: &str) -> Result<Model, RollbackError> {
        let is_name = !version.is_empty() && version.bytes().all(|b| b.is_ascii_alphanumeric());
        let path = self.folders.artifacts().join(version);
        if !is_name || !path.is_dir() {
            let shown: String = version.chars().take(40).collect();
            return Err(RollbackError::Unknown(format!("there is no model {shown:?} here")));
        }
        Ok(artifact::load(&path, self.encoder.info())?)
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

/// Tells which golden sentences the model in use does not answer; they hold nothing up.
fn tell(report: Option<&GoldenReport>) {
    let Some(report) = report.filter(|report| report.failed > 0) else { return };
    let all = report.passed + report.failed;
    tracing::warn!(
        "{} of {all} golden sentences are not answered as they should be",
        report.failed
    );
    for failure in report.failures.iter().take(SHOWN) {
        tracing::warn!("{failure}");
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
