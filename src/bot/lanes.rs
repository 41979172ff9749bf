//! Which conversations are to be looked at: bounded queues, each worked off in order by one task.
//!
//! A conversation has one lane, so nothing about it happens twice at once. A lane that is full
//! loses nothing: what is owed is marked in the store, and the flag makes somebody look there.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::chat::id::ConversationId;

/// The sending ends.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: Vec<Sender<ConversationId>>,
    missed: AtomicBool,
}

impl Lanes {
    /// `count` lanes in each of which `depth` conversations may wait, and the receiving ends.
    pub(super) fn new(count: usize, depth: usize) -> (Self, Vec<Receiver<ConversationId>>) {
        let (lanes, ends) = (0..count).map(|_| channel(depth)).unzip();
        (Self { lanes, missed: AtomicBool::new(false) }, ends)
    }

    fn lane(&self, id: ConversationId) -> &Sender<ConversationId> {
        let spread = id.0[12..].iter().fold(0, |sum, byte| sum * 31 + usize::from(*byte));
        &self.lanes[spread % self.lanes.len()]
    }

    /// Lets a conversation be looked at soon. Never waits; false when the lane is full, then what
    /// is owed is searched for in the store.
    pub(super) fn nudge(&self, id: ConversationId) -> bool {
        let fits = self.lane(id).try_send(id).is_ok();
        if !fits {
            self.look_again();
        }
        fits
    }

    /// Lets a conversation be looked at, as soon as its lane has room.
    pub(super) async fn send(&self, id: ConversationId) {
        // A lane that is gone ends with the server; the next start looks at what is owed.
        let _ = self.lane(id).send(id).await;
    }

    /// Something may be owed that nobody looks at.
    pub(super) fn look_again(&self) {
        self.missed.store(true, Ordering::Release);
    }

    /// Whether something may be owed that nobody looks at; asks once.
    pub(super) fn take_missed(&self) -> bool {
        self.missed.swap(false, Ordering::AcqRel)
    }
}
