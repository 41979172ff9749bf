//! Conversations come into memory: from the store, or as new ones.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use kefu_proto::v1::{ErrorCode, Status};
use prost::Message as _;

use super::Hub;
use super::slot::{Change, Slot, refusal};
use super::stripe;
use crate::chat::conversation::{Conversation, REMEMBERED_MS};
use crate::chat::id::ConversationId;
use crate::chat::keys;
use crate::chat::record::{Head, Run};
use crate::chat::refusal::Refusal;
use crate::store::{Order, Scan};

/// Runs that are read at a time.
const PAGE: usize = 128;

impl Hub {
    /// The conversation `id`, from memory or from the store.
    ///
    /// # Errors
    /// `NO_SUCH_CONVERSATION`; `UNAVAILABLE` when the store fails.
    pub async fn conversation(&self, id: ConversationId) -> Result<Arc<Slot>, Refusal> {
        if let Some(slot) = self.in_memory(id) {
            return Ok(slot);
        }
        let _alone = self.loading[stripe(id)].lock().await;
        if let Some(slot) = self.slot(id) {
            let live = slot.lock();
            if !live.is_over() {
                live.check()?;
                drop(live);
                return Ok(slot);
            }
        }
        let mut conversation = self.load(id).await?;
        let mark = keys::unsigned(&conversation.head().app, id);
        let mark = self.store.get(mark).await.map_err(|error| refusal(&error))?;
        if let Some(after) = mark.and_then(|bytes| bytes.try_into().ok()) {
            conversation.set_unsigned(u64::from_be_bytes(after));
        }
        let slot = Arc::new(Slot::new(conversation, true, self.now_ms()));
        self.slots.insert(id, Arc::clone(&slot));
        Ok(slot)
    }

    pub(super) fn in_memory(&self, id: ConversationId) -> Option<Arc<Slot>> {
        let slot = self.slot(id)?;
        let usable = slot.lock().check().is_ok();
        usable.then_some(slot)
    }

    fn slot(&self, id: ConversationId) -> Option<Arc<Slot>> {
        self.slots.get(&id).map(|slot| Arc::clone(&slot))
    }

    /// A new conversation; it is stored with what is gathered next.
    pub(super) fn begin(&self, head: Head) -> (ConversationId, Arc<Slot>) {
        let now_ms = self.now_ms();
        let id = self.new_id();
        let waits = head.status() == Status::Waiting;
        let slot = Arc::new(Slot::new(Conversation::begin(id, head, now_ms), false, now_ms));
        if waits {
            let enter = move |hub: &Arc<Self>, result: Result<(), Refusal>| {
                if result.is_ok() {
                    hub.enqueue(id);
                }
            };
            Change { live: &mut slot.lock(), now_ms }.then(enter);
        }
        self.slots.insert(id, Arc::clone(&slot));
        (id, slot)
    }

    /// The stored head of a conversation, without loading the rest.
    ///
    /// # Errors
    /// `NO_SUCH_CONVERSATION`; `UNAVAILABLE` when the store fails.
    pub async fn head(&self, id: ConversationId) -> Result<Head, Refusal> {
        let stored = self.store.get(keys::head(id)).await.map_err(|error| refusal(&error))?;
        let stored = stored.ok_or_else(unknown)?;
        Head::decode(&*stored).map_err(|error| unreadable(id, &error))
    }

    /// Reads the head and, from the end, the messages of the last week, whose ids must be known.
    async fn load(&self, id: ConversationId) -> Result<Conversation, Refusal> {
        let head = self.head(id).await?;
        let after_ms = self.now_ms().saturating_sub(REMEMBERED_MS);
        let first_kept = head.first_seq;
        let mut conversation = None;
        let (mut head, mut next, mut to) = (Some(head), None, None);
        loop {
            let mut scan = Scan::prefix(&keys::messages(id), Order::Descending, PAGE);
            if let Some(to) = to.take() {
                scan.to = Some(to);
            }
            let page = self.store.scan(scan).await.map_err(|error| refusal(&error))?;
            let mut oldest_ms = u64::MAX;
            for (_, value) in &page.rows {
                let run = Run::decode(&**value).map_err(|error| unreadable(id, &error))?;
                for entry in run.entries.iter().rev() {
                    let message = &entry.message;
                    let last = conversation.get_or_insert_with(|| {
                        let head = head.take().expect("this runs once");
                        Conversation::load(id, head, message.seq)
                    });
                    if next.is_some_and(|next| next != message.seq + 1) {
                        self.gaps.fetch_add(1, Ordering::Relaxed);
                        let after = message.seq;
                        tracing::error!(conversation = %id, after, "messages are missing in the log");
                    }
                    next = Some(message.seq);
                    oldest_ms = message.at_ms;
                    last.remember(message);
                }
            }
            match page.rows.last() {
                Some((key, _)) if page.more && oldest_ms >= after_ms => to = Some(key.clone()),
                _ => break,
            }
        }
        // A log without messages: all were removed, or the first ones were lost.
        Ok(conversation.unwrap_or_else(|| {
            let head = head.take().expect("no message took it");
            Conversation::load(id, head, first_kept.saturating_sub(1))
        }))
    }
}

pub(super) fn unknown() -> Refusal {
    Refusal::new(ErrorCode::NoSuchConversation, "there is no such conversation")
}

pub(super) fn unreadable(id: ConversationId, error: &prost::DecodeError) -> Refusal {
    tracing::error!(conversation = %id, %error, "what is stored cannot be read");
    Refusal::new(ErrorCode::Internal, "the conversation cannot be read; the server's log says why")
}
