//! Reading the log: pages of messages, single entries, and how far a reader has read.

use std::sync::Arc;

use kefu_proto::limits::MAX_BODY_BYTES;
use kefu_proto::v1::{self, ErrorCode, Role, message::Content};
use prost::Message as _;

use super::Hub;
use super::commit::refusal;
use super::load::unreadable;
use super::tell::seen;
use crate::chat::id::ConversationId;
use crate::chat::keys;
use crate::chat::party::{Party, Side};
use crate::chat::record::{Entry, Head, Run};
use crate::chat::refusal::Refusal;
use crate::chat::request::{Pull, PullFrom};
use crate::store::{Order, Scan};

/// What of a body is not for messages.
const ROOM_BYTES: usize = 1_024;
/// Messages behind a read cursor that are looked at to count what is unread; beyond, the count
/// stays.
const MAX_UNREAD: u64 = 200;

impl Hub {
    /// The durable head and last message of a conversation, from memory if it is in use. Reading
    /// that much does not load it.
    ///
    /// # Errors
    /// `NO_SUCH_CONVERSATION`; `UNAVAILABLE` when the store fails.
    pub async fn peek(&self, id: ConversationId) -> Result<(Arc<Head>, u64), Refusal> {
        if let Some(slot) = self.in_memory(id) {
            return Ok(slot.durable());
        }
        let head = self.head(id).await?;
        let scan = Scan::prefix(&keys::messages(id), Order::Descending, 1);
        let rows = self.store.scan(scan).await.map_err(|error| refusal(&error))?.rows;
        let last_seq = match rows.first() {
            Some((_, value)) => {
                let run = Run::decode(&**value).map_err(|error| unreadable(id, &error))?;
                run.entries.last().map_or(0, |entry| entry.message.seq)
            }
            None => head.first_seq.saturating_sub(1),
        };
        Ok((Arc::new(head), last_seq))
    }

    /// A page of messages as `side` sees them. Only durable ones are in it.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the store fails.
    pub async fn page(
        &self,
        head: &Head,
        last_seq: u64,
        pull: Pull,
        side: Side,
    ) -> Result<v1::Range, Refusal> {
        let (first, limit) = (head.first_seq, pull.limit as u64);
        let (from, to, order) = match pull.from {
            PullFrom::After(after) => {
                let from = (after.saturating_add(1)).max(first);
                (from, last_seq.min(from.saturating_add(limit - 1)), Order::Ascending)
            }
            PullFrom::Before(before) => {
                let to = before.saturating_sub(1).min(last_seq);
                ((to + 1).saturating_sub(limit).max(first), to, Order::Descending)
            }
        };
        let mut entries = self.entries(pull.conversation, from, to).await?;
        if order == Order::Descending {
            entries.reverse();
        }
        let mut messages: Vec<_> = entries.iter().map(|entry| seen(&entry.message, side)).collect();
        messages.truncate(fitting(&messages));
        let (first_seq, log_epoch) = (first, self.log_epoch);
        let has_more = match (messages.last(), order) {
            (Some(last), Order::Ascending) => last.seq < last_seq,
            (Some(last), Order::Descending) => last.seq > first,
            (None, _) => false,
        };
        let conversation = pull.conversation.to_string();
        Ok(v1::Range { conversation, messages, has_more, first_seq, last_seq, log_epoch })
    }

    /// The stored entries from `from` to `to`, both included.
    pub(super) async fn entries(
        &self,
        id: ConversationId,
        from: u64,
        to: u64,
    ) -> Result<Vec<Entry>, Refusal> {
        let mut entries = Vec::new();
        if from > to {
            return Ok(entries);
        }
        // The run that holds `from` may begin before it.
        let mut before = Scan::prefix(&keys::messages(id), Order::Descending, 1);
        before.to = Some(keys::run(id, from + 1));
        let rows = self.store.scan(before).await.map_err(|error| refusal(&error))?.rows;
        let begin = rows.into_iter().next().map_or_else(|| keys::run(id, from), |(key, _)| key);
        let scan = Scan {
            from: begin,
            to: Some(keys::run(id, to + 1)),
            order: Order::Ascending,
            limit: usize::try_from(to - from + 2).unwrap_or(usize::MAX),
        };
        for (_, value) in self.store.scan(scan).await.map_err(|error| refusal(&error))?.rows {
            let run = Run::decode(&*value).map_err(|error| unreadable(id, &error))?;
            let within = |entry: &Entry| (from..=to).contains(&entry.message.seq);
            entries.extend(run.entries.into_iter().filter(within));
        }
        Ok(entries)
    }

    /// One stored entry.
    ///
    /// # Errors
    /// `NO_SUCH_MESSAGE`.
    pub async fn entry(&self, id: ConversationId, seq: u64) -> Result<Entry, Refusal> {
        let found = self.entries(id, seq, seq).await?.pop();
        found.ok_or_else(|| {
            Refusal::new(ErrorCode::NoSuchMessage, "the conversation has no such message")
        })
    }

    /// How far `reader` has read.
    pub(super) async fn read_seq(
        &self,
        id: ConversationId,
        reader: &Party,
    ) -> Result<u64, Refusal> {
        let stored = self.store.get(keys::read(id, reader)).await;
        let stored = stored.map_err(|error| refusal(&error))?;
        Ok(stored.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes))
    }

    /// Messages for `reader` after `read_seq`: what others said. Counted up to
    /// [`MAX_UNREAD`] messages back.
    pub(super) async fn unread(
        &self,
        id: ConversationId,
        reader: &Party,
        read_seq: u64,
        last_seq: u64,
    ) -> Result<u64, Refusal> {
        let from = (read_seq + 1).max((last_seq + 1).saturating_sub(MAX_UNREAD));
        let entries = self.entries(id, from, last_seq).await?;
        Ok(entries.iter().filter(|entry| is_news(&entry.message, reader)).count() as u64)
    }

    /// Conversations of a visitor, newest first.
    pub(super) async fn of_visitor(
        &self,
        app: &str,
        visitor: &str,
        limit: usize,
    ) -> Result<Vec<ConversationId>, Refusal> {
        let scan = Scan::prefix(&keys::visitor(app, visitor), Order::Descending, limit);
        let rows = self.store.scan(scan).await.map_err(|error| refusal(&error))?.rows;
        Ok(rows.iter().filter_map(|(key, _)| keys::tail(key)).collect())
    }

    /// A conversation as `reader` sees it.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the store fails.
    pub async fn show(
        &self,
        id: ConversationId,
        head: &Head,
        last_seq: u64,
        reader: &Party,
    ) -> Result<v1::Conversation, Refusal> {
        let mut shown = self.shown(id, head, last_seq, reader.side);
        shown.read_seq = self.read_seq(id, reader).await?;
        shown.unread = self.unread(id, reader, shown.read_seq, last_seq).await?;
        Ok(shown)
    }
}

/// How many of the messages fit into one frame; at least one.
pub(super) fn fitting(messages: &[v1::Message]) -> usize {
    let mut bytes = 0;
    let fits = messages.iter().take_while(|message| {
        bytes += message.encoded_len() + 8;
        bytes <= MAX_BODY_BYTES - ROOM_BYTES
    });
    fits.count().max(messages.len().min(1))
}

/// Whether a message is something that `reader` would want to read: a text by somebody else.
fn is_news(message: &v1::Message, reader: &Party) -> bool {
    let Some(Content::Text(text)) = &message.content else { return false };
    let sender = message.sender.as_ref();
    let role = sender.map_or(Role::System, v1::User::role);
    let hidden = text.kind() == v1::Kind::Note && reader.side == Side::Visitor;
    let own = match reader.side {
        Side::Visitor => role == Role::Visitor,
        Side::Agent => role == Role::Agent && sender.is_some_and(|s| s.id == reader.id),
    };
    !hidden && !own && text.recalled_by == 0
}
