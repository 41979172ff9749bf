//! The way of a conversation's changes into the store, and how it went.
//!
//! No lock is held while the store is called or somebody is told: the store may call back at once,
//! and whoever is told may change the conversation again.

use std::sync::Arc;

use bytes::Bytes;
use kefu_proto::v1::{ErrorCode, body::Kind};

use super::Hub;
use super::outbox::Out;
use super::slot::{Change, Next, Slot, Waiting};
use crate::chat::refusal::Refusal;
use crate::store::StoreError;

/// Most messages that wait while a commit is on its way.
const MAX_GATHERED: usize = 1_024;

impl Hub {
    /// Changes a conversation. What `change` gathers commits together; if it refuses, nothing of it
    /// must have been gathered.
    ///
    /// # Errors
    /// What `change` refuses; `UNAVAILABLE` while the conversation is read again, `BUSY` while too
    /// much of it waits for the store. That the store refuses is told as when it fails later: to who
    /// waits for an ack, and to [`Change::then`].
    pub fn change<T>(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        change: impl FnOnce(&mut Change<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let now_ms = self.now_ms();
        let mut live = slot.lock();
        live.check()?;
        if live.conversation.waits() >= MAX_GATHERED {
            return Err(refusal(&StoreError::Busy));
        }
        live.touched_ms = now_ms;
        let done = change(&mut Change { live: &mut live, now_ms })?;
        let next = live.next();
        drop(live);
        self.go_on(slot, next);
        Ok(done)
    }

    /// Does what is next for a conversation. Nobody may hold its lock: the store may call back at
    /// once.
    fn go_on(self: &Arc<Self>, slot: &Arc<Slot>, next: Next) {
        match next {
            Next::Nothing => {}
            Next::True(then) => then.into_iter().for_each(|then| then(self, Ok(()))),
            Next::Failed(waiting) => self.failed(waiting, &reload()),
            Next::Commit(mut batch) => {
                if !self.store.is_shared() {
                    // What this hub holds is what the store holds.
                    batch.checks.clear();
                }
                let (hub, held) = (Arc::clone(self), Arc::clone(slot));
                let done = move |result| hub.committed(&held, result);
                if let Err(error) = self.store.commit(batch, Box::new(done)) {
                    self.committed(slot, Err(error));
                }
            }
        }
    }

    /// Called by the store, in the order of the commits.
    fn committed(self: &Arc<Self>, slot: &Arc<Slot>, result: Result<(), StoreError>) {
        let mut live = slot.lock();
        if let Err(error) = result {
            tracing::error!(conversation = %live.conversation.id(), %error, "a commit failed");
            let failed = live.fail();
            drop(live);
            return self.failed(failed, &refusal(&error));
        }
        let (told, then) = live.durable();
        drop(live);
        self.tell(told);
        // Only now, so that the devices hear of commits in their order, whatever the store's threads.
        let mut live = slot.lock();
        live.telling = false;
        let next = live.next();
        drop(live);
        self.go_on(slot, next);
        then.into_iter().for_each(|then| then(self, Ok(())));
    }

    /// Tells those who waited that it failed.
    fn failed(self: &Arc<Self>, waiting: Vec<Waiting>, why: &Refusal) {
        for Waiting { acks, then } in waiting {
            for ack in acks {
                let mut error = super::tell::error(why);
                error.client_msg_id = Bytes::copy_from_slice(&ack.to.id.0);
                ack.to.outbox.push(Out::answer(ack.to.request, Kind::Error(error)));
            }
            then.into_iter().for_each(|then| then(self, Err(why.clone())));
        }
    }
}

/// The same id was used for something else.
pub(super) fn conflict() -> Refusal {
    let message = "client_msg_id was used for another message; make a new one for each message";
    Refusal::new(ErrorCode::Conflict, message)
}

pub(super) fn reload() -> Refusal {
    let message = "the conversation is being read again after a failure; try again";
    Refusal::new(ErrorCode::Unavailable, message).retry_after_ms(200)
}

/// What a client is told of a failure of the store.
pub(super) fn refusal(error: &StoreError) -> Refusal {
    match error {
        StoreError::Busy => {
            let message = "more is being stored than the server can hold; try again";
            Refusal::new(ErrorCode::Busy, message).retry_after_ms(500)
        }
        StoreError::Conflict => reload(),
        StoreError::TooLarge { .. } | StoreError::Closed(_) | StoreError::Failed(_) => {
            let message = "the server cannot store anything at the moment; try again later";
            Refusal::new(ErrorCode::Unavailable, message).retry_after_ms(5_000)
        }
    }
}
