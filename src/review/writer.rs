//! The thread of the review queue: redacts, writes the journal, and edits the knowledge base.
//!
//! [`super::desk`] gives it orders; they are carried out one after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::accept::{Placed, Sources, Wanted, accept};
use super::desk::{Acceptance, DecideError};
use super::entry::{Correction, Entry, Reason, Resolution, Seen, Verdict, id_of};
use super::journal::{Journal, Recovered};
use super::queue::{Event, Queue};
use super::redact::Redactor;
use crate::clock::Clock;

/// Messages between two flushes to the disk while more of them wait.
const UNFLUSHED: usize = 256;

/// What the thread and everybody else see.
pub(super) struct Shared {
    pub(super) queue: Mutex<Queue>,
    pub(super) tally: Tally,
    pub(super) recovered: Recovered,
}

/// What has happened since the start.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) captured: [AtomicU64; Reason::ALL.len()],
    pub(super) dropped: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) evicted: AtomicU64,
}

/// Where the answer to an order goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, DecideError>>;

/// What is to be done.
pub(super) enum Order {
    Keep(Box<Seen>),
    Correct(Box<Seen>, Reply<Entry>),
    Accept(Acceptance, Reply<Vec<(Entry, Placed)>>),
    Dismiss { id: String, reason: Option<String>, model: String, reply: Reply<Entry> },
}

/// What only the thread has.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) journal: Journal,
    pub(super) redactor: Redactor,
    pub(super) sources: Sources,
    pub(super) clock: Clock,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    pub(super) fn work(mut self, inbox: &Receiver<Order>) {
        while let Ok(first) = inbox.recv() {
            self.try_to(first);
            // Whatever waits already shares one flush.
            for order in inbox.try_iter().take(UNFLUSHED) {
                self.try_to(order);
            }
            self.flush();
        }
        self.flush();
    }

    fn flush(&mut self) {
        let held = self.shared.lock().len();
        // The lock is free again while the file is written: only this thread changes the queue.
        let snapshot = || self.shared.lock().snapshot().collect();
        let done = self.journal.sync().and_then(|()| self.journal.compact(held, snapshot));
        if let Err(error) = done {
            tracing::warn!(%error, "the review queue cannot be flushed");
        }
    }

    /// A bug that one message meets must not end the queue for all others.
    fn try_to(&mut self, order: Order) {
        if catch_unwind(AssertUnwindSafe(|| self.carry_out(order))).is_err() {
            tracing::error!("the review queue panicked on a message or a decision");
        }
    }

    /// Who asked may have hung up; what was done stands.
    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Keep(seen) => {
                // Counted and told there; nobody waits for the answer.
                let _ = self.keep(*seen);
            }
            Order::Correct(seen, reply) => {
                let kept = self.keep(*seen).and_then(|id| self.entry(&id));
                let _ = reply.send(self.flushed(kept));
            }
            Order::Accept(wanted, reply) => {
                let accepted = self.accept(wanted);
                let _ = reply.send(self.flushed(accepted));
            }
            Order::Dismiss { id, reason, model, reply } => {
                let dismissed = self.dismiss(&id, reason, model);
                let _ = reply.send(self.flushed(dismissed));
            }
        }
    }

    /// What somebody is told was done is on the disk.
    fn flushed<T>(&mut self, done: Result<T, DecideError>) -> Result<T, DecideError> {
        let done = done?;
        self.journal.sync().map_err(DecideError::Journal)?;
        Ok(done)
    }

    fn keep(&mut self, seen: Seen) -> Result<String, DecideError> {
        let text = self.redactor.redact(&seen.text);
        let source = |correction: Correction| Correction {
            source: correction.source.map(|source| self.redactor.redact(&source)),
            ..correction
        };
        let correction = seen.correction.map(source);
        let (id, reason) = (id_of(&text), seen.reason);
        let written = self.write(Event::Seen(Seen { text, correction, ..seen }));
        let tally = &self.shared.tally;
        let at = Reason::ALL.iter().position(|(one, _)| *one == reason).unwrap_or_default();
        let counter = if written.is_ok() { &tally.captured[at] } else { &tally.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        written.map(|()| id)
    }

    fn write(&mut self, event: Event) -> Result<(), DecideError> {
        self.journal.append(&event).map_err(|error| {
            tracing::warn!(%error, "the review queue cannot be written");
            DecideError::Journal(error)
        })?;
        let evicted = self.shared.lock().apply(event) as u64;
        self.shared.tally.evicted.fetch_add(evicted, Ordering::Relaxed);
        Ok(())
    }

    fn entry(&self, id: &str) -> Result<Entry, DecideError> {
        let entry = self.shared.lock().get(id).cloned();
        entry.ok_or_else(|| DecideError::NoSuchEntry(id.chars().take(40).collect()))
    }

    fn accept(&mut self, wanted: Acceptance) -> Result<Vec<(Entry, Placed)>, DecideError> {
        let Acceptance { ids, intent, text, file, model } = wanted;
        let entries: Result<Vec<Entry>, _> = ids.iter().map(|id| self.entry(id)).collect();
        let entries = entries?;
        let texts = match text {
            Some(text) => vec![text; entries.len()],
            None => entries.iter().map(|entry| entry.text.clone()).collect(),
        };
        let placed = accept(&self.sources, &Wanted { texts, intent: intent.clone(), file })?;
        let at_ms = (self.clock)();
        let resolutions = placed.iter().map(|place| {
            let (file, line) = (place.file.clone(), place.line);
            let verdict = Verdict::Accepted { intent: intent.clone(), file, line };
            Resolution { verdict, at_ms, model: model.clone() }
        });
        let resolutions = resolutions.collect();
        self.write(Event::Resolved { ids: ids.clone(), resolutions })?;
        let entries: Result<Vec<Entry>, _> = ids.iter().map(|id| self.entry(id)).collect();
        Ok(entries?.into_iter().zip(placed).collect())
    }

    fn dismiss(
        &mut self,
        id: &str,
        reason: Option<String>,
        model: String,
    ) -> Result<Entry, DecideError> {
        let entry = self.entry(id)?;
        match entry.resolution.as_ref().map(|one| &one.verdict) {
            Some(Verdict::Accepted { intent, file, line }) => {
                let (intent, file) = (intent.clone(), file.clone());
                return Err(DecideError::Accepted { intent, file, line: *line });
            }
            Some(Verdict::Dismissed { .. }) => return Ok(entry),
            None => {}
        }
        let reason = reason.map(|reason| self.redactor.redact(&reason));
        let verdict = Verdict::Dismissed { reason };
        let resolution = Resolution { verdict, at_ms: (self.clock)(), model };
        self.write(Event::Resolved { ids: vec![id.to_owned()], resolutions: vec![resolution] })?;
        self.entry(id)
    }
}
