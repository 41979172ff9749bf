//! What the bot did since the start, in numbers for the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts up.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) turns: Count,
    pub(super) unread: Count,
    pub(super) fenced: Count,
    pub(super) hand_offs: Count,
    pub(super) follow_ups: Count,
    pub(super) deferred: Count,
    pub(super) webhooks_done: Count,
    pub(super) webhooks_retried: Count,
    pub(super) webhooks_failed: Count,
}

#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the bot did since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Messages that were understood and led to something.
    pub turns: u64,
    /// Messages at which the engine failed.
    pub unread: u64,
    /// Answers that were dropped because somebody else owned the conversation by then.
    pub fenced: u64,
    /// Conversations that were put into the queue.
    pub hand_offs: u64,
    /// Conversations that were promised a human at the opening.
    pub follow_ups: u64,
    /// Conversations whose turn was put off because too many others waited.
    pub deferred: u64,
    /// Attempts of webhooks that succeeded.
    pub webhooks_done: u64,
    /// Attempts of webhooks that are made again.
    pub webhooks_retried: u64,
    /// Attempts of webhooks that failed for good.
    pub webhooks_failed: u64,
}

impl Counts {
    pub(super) fn report(&self) -> Report {
        Report {
            turns: self.turns.read(),
            unread: self.unread.read(),
            fenced: self.fenced.read(),
            hand_offs: self.hand_offs.read(),
            follow_ups: self.follow_ups.read(),
            deferred: self.deferred.read(),
            webhooks_done: self.webhooks_done.read(),
            webhooks_retried: self.webhooks_retried.read(),
            webhooks_failed: self.webhooks_failed.read(),
        }
    }
}
