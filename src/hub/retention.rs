//! What is old goes: messages over an age, and conversations of which nothing is left.
//!
//! The watermark rises in the commit that removes, so that no reader takes what is gone for a gap.

use std::sync::Arc;

use prost::Message as _;

use super::commit::refusal;
use super::load::unreadable;
use super::slot::Slot;
use super::{Hub, stripe};
use crate::chat::id::ConversationId;
use crate::chat::keys::{self, kind};
use crate::chat::record::Run;
use crate::chat::refusal::Refusal;
use crate::store::{self, Order, Scan, Write};
use kefu_proto::v1::Status;

/// The shortest age: a day more than ids are remembered.
pub const MIN_KEEP_MS: u64 = 8 * 24 * 3600 * 1000;
/// Conversations that one call looks at.
const CONVERSATIONS: usize = 64;
/// Runs of one conversation that one call removes.
const RUNS: usize = 512;
/// An open conversation is left alone while somebody wrote within this time.
const QUIET_MS: u64 = 3_600_000;

/// What one call did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Messages that are gone.
    pub messages: u64,
    /// Conversations that are gone.
    pub conversations: u64,
    /// Whether all were looked at since this last was true.
    pub done: bool,
}

impl Hub {
    /// Removes messages that are older than `keep_ms`, some at a time; to be called until it is done,
    /// and again some hours later.
    ///
    /// # Errors
    /// `INVALID` below [`MIN_KEEP_MS`]; `UNAVAILABLE` when the store fails.
    pub async fn sweep_retention(self: &Arc<Self>, keep_ms: u64) -> Result<Swept, Refusal> {
        if keep_ms < MIN_KEEP_MS {
            let message = "messages are kept for at least 8 days: retries are known for 7";
            return Err(Refusal::invalid(message));
        }
        let before_ms = self.now_ms().saturating_sub(keep_ms);
        let mut at = self.retention_at.lock().await;
        let mut scan = Scan::prefix(&[kind::HEAD], Order::Ascending, CONVERSATIONS);
        scan.from = [&scan.from[..], &at].concat();
        // Names begin with a time: whatever began later has no old messages.
        scan.to = Some(keys::head(ConversationId::new(before_ms, [0; 10])));
        let page = self.store.scan(scan).await.map_err(|error| refusal(&error))?;
        let mut swept = Swept { done: !page.more, ..Swept::default() };
        at.clear();
        for (key, _) in page.rows {
            let Some(id) = keys::tail(&key) else { continue };
            if page.more {
                *at = [&key[1..], &[0]].concat();
            }
            match self.trim(id, before_ms).await {
                Ok((messages, removed)) => {
                    swept.messages += messages;
                    swept.conversations += u64::from(removed);
                }
                Err(refusal) => tracing::warn!(conversation = %id, %refusal, "not swept"),
            }
        }
        Ok(swept)
    }

    /// Removes the old messages of one conversation, and it as well if it is resolved and empty.
    async fn trim(
        self: &Arc<Self>,
        id: ConversationId,
        before_ms: u64,
    ) -> Result<(u64, bool), Refusal> {
        // Edits read runs and write them again.
        let _alone = self.rewriting[stripe(id)].lock().await;
        let (head, last_seq) = self.peek(id).await?;
        let last = self.entries(id, last_seq, last_seq).await?.pop();
        let last_ms = last.map_or(0, |entry| entry.message.at_ms);
        let resolved = head.status() == Status::Resolved;
        if !resolved && last_ms.saturating_add(QUIET_MS) > self.now_ms() {
            return Ok((0, false));
        }
        let scan = Scan::prefix(&keys::messages(id), Order::Ascending, RUNS);
        let rows = self.store.scan(scan).await.map_err(|error| refusal(&error))?.rows;
        let (mut first_seq, mut writes) = (head.first_seq, Vec::new());
        for (key, value) in rows {
            let run = Run::decode(&*value).map_err(|error| unreadable(id, &error))?;
            let Some(last) = run.entries.last() else { break };
            if last.message.at_ms >= before_ms {
                break;
            }
            first_seq = last.message.seq + 1;
            writes.push(Write::Delete(key));
        }
        let gone = first_seq - head.first_seq;
        let empty = first_seq > last_seq && resolved && head.status_since_ms < before_ms;
        if gone == 0 && !empty {
            return Ok((0, false));
        }
        writes.extend(self.unsign(id, &head, first_seq).await?);
        if empty {
            let reads = store::all(&*self.store, &keys::reads(id))
                .await
                .map_err(|error| refusal(&error))?;
            writes.extend(reads.into_iter().map(|(key, _)| Write::Delete(key)));
        }
        let slot = self.conversation(id).await?;
        let removed = self.trim_slot(&slot, last_seq, first_seq, empty, writes).await?;
        Ok((gone, removed))
    }

    async fn trim_slot(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        last_seq: u64,
        first_seq: u64,
        empty: bool,
        writes: Vec<Write>,
    ) -> Result<bool, Refusal> {
        let (done, durable) = tokio::sync::oneshot::channel();
        let removed = self.change(slot, |change| {
            // Whoever writes right now keeps it.
            let removes = empty && change.is_at_rest(last_seq);
            if removes {
                change.conversation().remove(writes);
                change.end();
            } else {
                change.conversation().trim(first_seq, writes);
            }
            change.then(move |_, result| drop(done.send(result)));
            Ok(removes)
        })?;
        durable.await.unwrap_or_else(|_| Err(super::commit::reload()))?;
        Ok(removed)
    }
}
