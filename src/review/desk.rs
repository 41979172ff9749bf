//! The queue at work: one thread writes, everybody may look.
//!
//! The HTTP edge hands messages over and goes on; a full channel means that a message is not kept, which
//! is counted. What an editor decides waits for its answer. Only the thread redacts, writes the journal,
//! and edits the knowledge base, so two editors never write one file at the same time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::ReviewOptions;
use super::accept::{AcceptError, Placed};
use super::entry::{Correction, Entry, EntryStatus, Reason, Seen};
use super::journal::{Journal, JournalError};
use super::queue::{Counts, Cursor, Filter, Page, Queue};
use super::redact::Redactor;
use super::writer::{Order, Reply, Shared, Tally, Writer};
use crate::clock::Clock;
use crate::intent::answer::Answer;
use crate::understand::ModelSummary;

/// Messages and decisions that may wait for the thread.
const ORDERS: usize = 1_024;

/// A queue that is written by its own thread until [`Desk::stop`].
pub struct Desk {
    shared: Arc<Shared>,
    orders: Mutex<Option<SyncSender<Order>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    clock: Clock,
}

/// What the queue has done since the start, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Messages stored, by reason.
    pub captured: Vec<(&'static str, u64)>,
    /// Messages not stored because the channel was full.
    pub dropped: u64,
    /// Messages not stored because the disk refused.
    pub failed: u64,
    /// Open entries that had to go for others.
    pub evicted: u64,
    /// Lines of the journal that were lost before the start: half ones, and damaged ones.
    pub lost_lines: u64,
    /// How many entries stand where.
    pub entries: Counts,
}

/// Entries that are to become examples of one intent.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// Ids of the entries.
    pub ids: Vec<String>,
    /// Id of the intent, or `oos`.
    pub intent: String,
    /// Instead of the text of the one entry.
    pub text: Option<String>,
    /// See [`super::accept::Wanted::file`].
    pub file: Option<String>,
    /// Version of the model in use.
    pub model: String,
}

/// Why nothing was decided.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// There is no such entry.
    #[error("there is no entry {0:?} in the review queue; it was decided long ago or made room")]
    NoSuchEntry(String),
    /// It is an example already.
    #[error(
        "the entry was accepted as an example of {intent:?} ({file}:{line}); take the example out there"
    )]
    Accepted {
        /// Id of the intent.
        intent: String,
        /// Its file.
        file: String,
        /// Line in the file at the time.
        line: u64,
    },
    /// The knowledge base does not take it.
    #[error(transparent)]
    Accept(#[from] AcceptError),
    /// The journal cannot be written.
    #[error("cannot write the review queue: {0}")]
    Journal(std::io::Error),
    /// Too much waits.
    #[error("too much waits for the review queue; try again later")]
    Busy,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// A bug; the log has it.
    #[error("the review queue failed on the request")]
    Failed,
}

impl Desk {
    /// Opens the queue in its folder and starts the thread.
    ///
    /// # Errors
    /// [`JournalError`] when the folder cannot be used or another server has it.
    pub fn start(options: ReviewOptions, clock: Clock) -> Result<Self, JournalError> {
        let mut queue = Queue::new(options.max_entries);
        let (journal, recovered) = Journal::open(&options.folder, &mut queue)?;
        let tally = Tally::default();
        let shared = Arc::new(Shared { queue: Mutex::new(queue), tally, recovered });
        let (orders, inbox) = sync_channel(ORDERS);
        let writer = Writer {
            shared: Arc::clone(&shared),
            journal,
            redactor: Redactor::default(),
            sources: options.sources,
            clock: Arc::clone(&clock),
        };
        let thread = std::thread::Builder::new()
            .name("kefu-review".to_owned())
            .spawn(move || writer.work(&inbox))
            .map_err(|source| JournalError::Io { path: options.folder, source })?;
        let (orders, thread) = (Mutex::new(Some(orders)), Mutex::new(Some(thread)));
        Ok(Self { shared, orders, thread, clock })
    }

    /// Keeps a message if its answer is worth a look. Never waits and never fails; a message that finds
    /// no room is counted.
    pub fn observe(&self, text: &str, answer: &Answer, model: &ModelSummary) {
        if let Some(reason) = super::entry::reason(text, answer, model.thresholds) {
            let seen = self.seen(text, reason, answer, model, None);
            if self.send(Order::Keep(Box::new(seen))).is_err() {
                self.shared.tally.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Keeps a message with what somebody said it means.
    ///
    /// # Errors
    /// [`DecideError::Busy`], [`DecideError::Stopping`], [`DecideError::Journal`].
    pub async fn correct(
        &self,
        text: &str,
        answer: &Answer,
        model: &ModelSummary,
        correction: Correction,
    ) -> Result<Entry, DecideError> {
        let seen = self.seen(text, Reason::Corrected, answer, model, Some(correction));
        self.ask(|reply| Order::Correct(Box::new(seen), reply)).await
    }

    /// Makes entries examples of an intent, or out-of-scope rows. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`DecideError`]; nothing was written then.
    pub async fn accept(&self, wanted: Acceptance) -> Result<Vec<(Entry, Placed)>, DecideError> {
        self.ask(|reply| Order::Accept(wanted, reply)).await
    }

    /// Decides that an entry teaches nothing. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`DecideError`].
    pub async fn dismiss(
        &self,
        id: String,
        reason: Option<String>,
        model: String,
    ) -> Result<Entry, DecideError> {
        self.ask(|reply| Order::Dismiss { id, reason, model, reply }).await
    }

    /// A part of the queue.
    pub fn page(&self, filter: &Filter, cursor: Option<&Cursor>, limit: usize) -> Page {
        self.shared.lock().page(filter, cursor, limit)
    }

    /// One entry.
    pub fn get(&self, id: &str) -> Option<Entry> {
        self.shared.lock().get(id).cloned()
    }

    /// The open entries, last seen first, and the revision of the queue that they are of.
    pub fn open_entries(&self) -> (u64, Vec<Entry>) {
        let queue = self.shared.lock();
        let open = Filter { status: Some(EntryStatus::Open), ..Filter::default() };
        (queue.revision(), queue.listed(&open).into_iter().cloned().collect())
    }

    /// Changes with everything that happens to the queue.
    pub fn revision(&self) -> u64 {
        self.shared.lock().revision()
    }

    /// Redacted messages that were seen lately, the latest first, at most `limit`.
    pub fn recent_texts(&self, limit: usize) -> Vec<String> {
        let queue = self.shared.lock();
        let all = queue.listed(&Filter::default()).into_iter().take(limit);
        all.map(|entry| entry.text.clone()).collect()
    }

    /// What has happened since the start.
    pub fn stats(&self) -> Stats {
        let Shared { tally, recovered, .. } = &*self.shared;
        let count = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let names = Reason::ALL.iter().map(|(_, name)| *name);
        Stats {
            captured: names.zip(tally.captured.iter().map(count)).collect(),
            dropped: count(&tally.dropped),
            failed: count(&tally.failed),
            evicted: count(&tally.evicted),
            lost_lines: recovered.damaged as u64 + u64::from(recovered.torn),
            entries: self.shared.lock().counts(),
        }
    }

    /// Writes what was handed over, and ends the thread. Blocks.
    pub fn stop(&self) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the review queue panicked");
        }
    }

    fn seen(
        &self,
        text: &str,
        reason: Reason,
        answer: &Answer,
        model: &ModelSummary,
        correction: Option<Correction>,
    ) -> Seen {
        let alternatives = answer.alternatives.iter().take(super::entry::ALTERNATIVES);
        Seen {
            text: text.to_owned(),
            reason,
            status: Some(answer.status),
            alternatives: alternatives.cloned().collect(),
            model: model.version.clone(),
            correction,
            at_ms: (self.clock)(),
        }
    }

    fn send(&self, order: Order) -> Result<(), DecideError> {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = orders.as_ref().ok_or(DecideError::Stopping)?;
        sender.try_send(order).map_err(|error| match error {
            TrySendError::Full(_) => DecideError::Busy,
            TrySendError::Disconnected(_) => DecideError::Stopping,
        })
    }

    async fn ask<T>(&self, order: impl FnOnce(Reply<T>) -> Order) -> Result<T, DecideError> {
        let (reply, answer) = oneshot::channel();
        self.send(order(reply))?;
        // The thread finishes what it was given; only a panic leaves somebody without an answer.
        answer.await.unwrap_or(Err(DecideError::Failed))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::intent::answer::{Alternative, Status, Thresholds, Tier};
    use crate::review::accept::Sources;

    fn desk(folder: &Path) -> Desk {
        let sources =
            Sources { intents: folder.join("intents"), training_data: folder.join("rows") };
        let folder = folder.join("review");
        let now = AtomicU64::new(0);
        let clock: Clock = Arc::new(move || now.fetch_add(1, Ordering::Relaxed));
        Desk::start(ReviewOptions { folder, max_entries: 100, sources }, clock).unwrap()
    }

    fn observe(desk: &Desk, text: &str) {
        let best = Alternative { intent: "refund".to_owned(), confidence: 0.4 };
        let answer = Answer {
            status: Status::Ambiguous,
            intent: None,
            confidence: 0.4,
            tier: Tier::Semantic,
            alternatives: vec![best],
            candidates: Vec::new(),
            entities: vec![],
            explanation: None,
        };
        let model = ModelSummary {
            version: "m1".to_owned(),
            encoder: String::new(),
            encoder_sha256: String::new(),
            dimension: 1,
            normalizer: String::new(),
            data_sha256: String::new(),
            intents: 1,
            examples: 1,
            index: String::new(),
            thresholds: Thresholds { in_scope: 0.3, matched: 0.6 },
        };
        desk.observe(text, &answer, &model);
    }

    #[test]
    fn every_message_is_stored_or_counted_and_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let one = desk(folder.path());
        let sent = 3 * ORDERS as u64;
        for number in 0..sent {
            observe(&one, &format!("问题{} 13812345678", char::from(b'a' + (number % 26) as u8)));
        }
        one.stop();
        let stats = one.stats();
        let stored: u64 = stats.captured.iter().map(|(_, count)| count).sum();
        assert_eq!((stored + stats.dropped, stats.failed), (sent, 0), "{stats:?}");
        observe(&one, "too late");
        assert_eq!(one.stats().dropped, stats.dropped + 1);

        let texts = one.recent_texts(1_000);
        assert_eq!((texts.len(), one.recent_texts(3).len()), (26, 3));
        assert!(texts.iter().all(|text| text.ends_with(" <phone>")), "{texts:?}");
        drop(one);
        let again = desk(folder.path());
        assert_eq!(again.recent_texts(1_000), texts);
        let counted: u64 = again.open_entries().1.iter().map(|entry| entry.count).sum();
        assert_eq!(counted, stored);
    }
}
