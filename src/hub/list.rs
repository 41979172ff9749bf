//! Lists of conversations, from the store: by status, and who waits for an agent.
//!
//! Asked by the routes for agents and services. Reads heads only, and loads no conversation.

use kefu_proto::v1::{self, ErrorCode, Status};

use super::Hub;
use super::commit::refusal;
use crate::chat::id::ConversationId;
use crate::chat::keys::{self, kind};
use crate::chat::party::{Party, Side};
use crate::chat::refusal::Refusal;
use crate::store::{self, Order, Scan};

/// Bytes of a key's end that hold a time and a conversation.
const MARK_BYTES: usize = 24;

/// Where a page of a list ended: the time and the conversation at the end of its last key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(pub [u8; MARK_BYTES]);

/// Some conversations of a list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listed {
    /// As agents see them.
    pub conversations: Vec<v1::Conversation>,
    /// Where the next page begins; none: this is the last.
    pub next: Option<Mark>,
}

/// Who waits for an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    /// Which conversation.
    pub conversation: ConversationId,
    /// Of which app.
    pub app: String,
    /// Since when.
    pub since_ms: u64,
}

impl Hub {
    /// Conversations of `app` that have `status`, those that got it last first. One that gets it
    /// while the pages are read stands before the first.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the store fails.
    pub async fn with_status(
        &self,
        app: &str,
        status: Status,
        after: Option<Mark>,
        limit: usize,
        reader: Option<&Party>,
    ) -> Result<Listed, Refusal> {
        let prefix = keys::status(app, status);
        let mut scan = Scan::prefix(&prefix, Order::Descending, limit);
        if let Some(Mark(end)) = after {
            scan.to = Some([&prefix[..], &end].concat());
        }
        let page = self.store.scan(scan).await.map_err(|error| refusal(&error))?;
        let mut listed = Listed::default();
        for (key, _) in &page.rows {
            let Some(id) = keys::tail(key) else { continue };
            let Some(shown) = self.glance(id, reader).await? else { continue };
            // It has moved on since the list was read, or retention has taken it.
            if shown.status() == status {
                listed.conversations.push(shown);
            }
        }
        let last = page.rows.last().filter(|_| page.more);
        listed.next = last.and_then(|(key, _)| key.last_chunk().copied()).map(Mark);
        Ok(listed)
    }

    /// All who wait for an agent, in the order in which they came.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the store fails.
    pub async fn waiting(&self) -> Result<Vec<Waits>, Refusal> {
        let rows =
            store::all(&*self.store, &[kind::QUEUE]).await.map_err(|error| refusal(&error))?;
        let mut waiting: Vec<Waits> = rows.iter().filter_map(|(key, _)| waits(key)).collect();
        waiting.sort_by_key(|one| (one.since_ms, one.conversation));
        Ok(waiting)
    }

    /// A conversation as `reader` sees it, or as a service does; none: there is no such one.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the store fails.
    pub async fn glance(
        &self,
        id: ConversationId,
        reader: Option<&Party>,
    ) -> Result<Option<v1::Conversation>, Refusal> {
        let (head, last_seq) = match self.peek(id).await {
            Err(refusal) if refusal.code == ErrorCode::NoSuchConversation => return Ok(None),
            found => found?,
        };
        Ok(Some(match reader {
            Some(reader) => self.show(id, &head, last_seq, reader).await?,
            None => self.shown(id, &head, last_seq, Side::Agent),
        }))
    }
}

/// Reads a key of the queue: kind, app, 0, since, conversation.
fn waits(key: &[u8]) -> Option<Waits> {
    let (front, mark) = key.split_last_chunk::<MARK_BYTES>()?;
    let app = front.strip_prefix(&[kind::QUEUE])?.strip_suffix(&[0])?;
    let (since, _) = mark.split_first_chunk::<8>()?;
    Some(Waits {
        conversation: keys::tail(key)?,
        app: std::str::from_utf8(app).ok()?.to_owned(),
        since_ms: u64::from_be_bytes(*since),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_the_queue_says_who_waits() {
        let conversation = ConversationId([0; 16]);
        let key = keys::at(keys::queue("shop"), 7, conversation);
        let waits = waits(&key).unwrap();
        assert_eq!(waits, Waits { conversation, app: "shop".to_owned(), since_ms: 7 });
    }
}
