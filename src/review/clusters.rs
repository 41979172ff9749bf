//! Groups the open entries on request, beside the requests: one thread, which embeds what is new,
//! remembers it, and answers from memory until the queue or the model changes.
//!
//! A question waits for at most `EMBED_AT_ONCE` embeddings; what is missing after that is told, and the
//! thread goes on with it while nobody asks.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, RecvError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::cluster::{Group, Item, cluster, vector};
use super::desk::Desk;
use super::entry::Entry;
use crate::artifact::Model;
use crate::encoder::EncodeError;
use crate::intent::answer::{Alternative, Status};
use crate::intent::normalize::{Normalized, normalize};
use crate::understand::Understander;

/// Texts that are embedded before a question is answered; a second or two.
const EMBED_AT_ONCE: usize = 256;
/// Texts of one call of the encoder.
const BATCH: usize = 32;
/// Questions that may wait.
const ORDERS: usize = 16;

/// The open entries, grouped.
#[derive(Debug, Clone, Default)]
pub struct Clusters {
    /// Largest first.
    pub groups: Vec<Cluster>,
    /// Open entries that are not grouped yet; ask again.
    pub pending: usize,
    /// Version of the model that groups and suggests.
    pub model: String,
}

/// Entries that mean the same.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The entry that stands for them.
    pub entry: Entry,
    /// Ids of all, the most frequent first.
    pub ids: Vec<String>,
    /// How often they were seen altogether.
    pub size: u64,
    /// What the model in use makes of the entry.
    pub suggestion: Option<Suggestion>,
    /// What most of them have in common.
    pub keywords: Vec<String>,
}

/// What the model in use makes of a text.
#[derive(Debug, Clone)]
pub struct Suggestion {
    /// How sure it is.
    pub status: Status,
    /// The most probable intent.
    pub best: Alternative,
}

/// Why there are no clusters.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Too many ask.
    #[error("too many ask for clusters; try again later")]
    Busy,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// The encoder failed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

type Reply = oneshot::Sender<Result<Arc<Clusters>, ClusterError>>;

/// The thread that groups, until [`Grouper::stop`].
pub struct Grouper {
    orders: Mutex<Option<SyncSender<Reply>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What only the thread has.
struct Worker {
    desk: Arc<Desk>,
    understander: Arc<Understander>,
    /// By entry.
    known: HashMap<String, Known>,
    /// Version of the model that the vectors in `known` are of.
    version: String,
    last: Option<Answered>,
}

/// What is remembered of an entry.
struct Known {
    /// Unit-norm, before whitening: another model has the same encoder.
    embedding: Vec<f32>,
    /// What the entry is compared by; none until it is asked for.
    vector: Option<Vec<f32>>,
}

/// The answer to the last question, and what it was made of.
struct Answered {
    revision: u64,
    clusters: Arc<Clusters>,
}

impl Grouper {
    /// Groups what `desk` holds, by the model that `understander` has at the time.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(desk: Arc<Desk>, understander: Arc<Understander>) -> std::io::Result<Self> {
        let (orders, inbox) = sync_channel(ORDERS);
        let (known, version) = (HashMap::new(), String::new());
        let worker = Worker { desk, understander, known, version, last: None };
        let thread = std::thread::Builder::new()
            .name("kefu-clusters".to_owned())
            .spawn(move || worker.work(&inbox))?;
        Ok(Self { orders: Mutex::new(Some(orders)), thread: Mutex::new(Some(thread)) })
    }

    /// The open entries in groups.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub async fn clusters(&self) -> Result<Arc<Clusters>, ClusterError> {
        let (reply, answer) = oneshot::channel();
        {
            let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
            let sender = orders.as_ref().ok_or(ClusterError::Stopping)?;
            sender.try_send(reply).map_err(|error| match error {
                TrySendError::Full(_) => ClusterError::Busy,
                TrySendError::Disconnected(_) => ClusterError::Stopping,
            })?;
        }
        answer.await.unwrap_or(Err(ClusterError::Stopping))
    }

    /// Ends the thread after the question that it works on. Blocks.
    pub fn stop(&self) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that groups the review queue panicked");
        }
    }
}

impl Worker {
    fn work(mut self, inbox: &Receiver<Reply>) {
        // Whether embeddings are still missing; then nobody needs to ask for the next ones.
        let mut pending = false;
        loop {
            let order = if pending {
                match inbox.try_recv() {
                    Ok(reply) => Ok(Some(reply)),
                    Err(TryRecvError::Empty) => Ok(None),
                    Err(TryRecvError::Disconnected) => Err(RecvError),
                }
            } else {
                inbox.recv().map(Some)
            };
            match order {
                Ok(Some(reply)) => {
                    let answer = self.answer();
                    pending = answer.as_ref().is_ok_and(|clusters| clusters.pending > 0);
                    // Who asked may have hung up.
                    let _ = reply.send(answer);
                }
                Ok(None) => {
                    let (_, open) = self.desk.open_entries();
                    pending = self.embed(&open, BATCH).is_ok_and(|missing| missing > 0);
                }
                Err(RecvError) => return,
            }
        }
    }

    fn answer(&mut self) -> Result<Arc<Clusters>, ClusterError> {
        let model = self.understander.current();
        let version = model.identity.version();
        let fits = |last: &&Answered| {
            last.revision == self.desk.revision()
                && last.clusters.model == version
                && last.clusters.pending == 0
        };
        if let Some(last) = self.last.as_ref().filter(fits) {
            return Ok(Arc::clone(&last.clusters));
        }
        let (revision, open) = self.desk.open_entries();
        let pending = self.embed(&open, EMBED_AT_ONCE)?;
        let groups = self.group(&model, open);
        let clusters = Arc::new(Clusters { groups, pending, model: version });
        self.last = Some(Answered { revision, clusters: Arc::clone(&clusters) });
        Ok(clusters)
    }

    /// Embeds at most `limit` of the entries that have no embedding yet; returns how many still have
    /// none. Embeddings of entries that are gone go as well.
    fn embed(&mut self, open: &[Entry], limit: usize) -> Result<usize, EncodeError> {
        let ids: HashSet<&str> = open.iter().map(|entry| entry.id.as_str()).collect();
        self.known.retain(|id, _| ids.contains(id.as_str()));
        let new = open.iter().filter(|entry| !self.known.contains_key(&entry.id));
        let new: Vec<&Entry> = new.collect();
        let encoder = Arc::clone(self.understander.encoder());
        let now = &new[..new.len().min(limit)];
        for batch in now.chunks(BATCH) {
            let texts: Vec<Normalized> = batch.iter().map(|entry| normalize(&entry.text)).collect();
            let texts: Vec<&str> = texts.iter().map(Normalized::text).collect();
            let rows = encoder.encode(&texts)?;
            for (entry, row) in batch.iter().zip(rows.rows()) {
                let known = Known { embedding: row.to_vec(), vector: None };
                self.known.insert(entry.id.clone(), known);
            }
        }
        Ok(new.len() - now.len())
    }

    fn group(&mut self, model: &Model, open: Vec<Entry>) -> Vec<Cluster> {
        let open: Vec<Entry> =
            open.into_iter().filter(|entry| self.known.contains_key(&entry.id)).collect();
        let texts: Vec<Normalized> = open.iter().map(|entry| normalize(&entry.text)).collect();
        self.compare_by(model, &open, &texts);
        let items: Vec<Item<'_>> = open
            .iter()
            .zip(&texts)
            .map(|(entry, text)| Item {
                text: text.text(),
                count: entry.count,
                vector: self.known[&entry.id].vector.as_deref().expect("made above"),
            })
            .collect();
        let groups = cluster(&items);
        groups
            .into_iter()
            .map(|group| {
                let Group { medoid, members, size, keywords } = group;
                let entry = open[medoid].clone();
                let suggestion = suggest(model, &texts[medoid], &self.known[&entry.id].embedding);
                let ids = members.into_iter().map(|at| open[at].id.clone()).collect();
                Cluster { entry, ids, size, suggestion, keywords }
            })
            .collect()
    }

    /// Makes the vectors of entries that have none of this model yet.
    fn compare_by(&mut self, model: &Model, open: &[Entry], texts: &[Normalized]) {
        let version = model.identity.version();
        if self.version != version {
            self.known.values_mut().for_each(|known| known.vector = None);
            self.version = version;
        }
        for (entry, text) in open.iter().zip(texts) {
            if let Some(known) = self.known.get_mut(&entry.id)
                && known.vector.is_none()
            {
                known.vector = Some(features(model, text, &known.embedding));
            }
        }
    }
}

/// What a text is compared by.
pub fn features(model: &Model, text: &Normalized, embedding: &[f32]) -> Vec<f32> {
    let engine = &model.engine;
    let whitened = engine.classifier().heads().whitening.apply(embedding);
    let mut probabilities = vec![0.0; engine.knowledge().intents.len()];
    for (intent, probability) in engine.second_tier(text, Vec::new(), embedding).ranking {
        probabilities[intent as usize] = probability;
    }
    vector(&whitened, &probabilities)
}

/// What the model makes of a text; none where it is sure of nothing at all.
fn suggest(model: &Model, text: &Normalized, embedding: &[f32]) -> Option<Suggestion> {
    let engine = &model.engine;
    let verdict = engine.verdict(text, embedding);
    let answer = engine.answer(text.text(), text, &verdict, 1, false);
    let best = answer.alternatives.into_iter().next()?;
    Some(Suggestion { status: answer.status, best })
}
