//! Search over messages, and the signatures that make it quick.
//!
//! [`Hub::index_pages`] signs pages apart from the sends: a mark in the commit of the first message
//! without a signature tells where. [`Hub::search`] reads what is marked, then the signatures from
//! the newest, and verifies what they admit against the messages.

use std::sync::Arc;

use super::Hub;
use super::commit::refusal;
use super::slot::Slot;
use crate::chat::id::ConversationId;
use crate::chat::keys::{self, kind};
use crate::chat::party::{Party, Side};
use crate::chat::record::Head;
use crate::chat::refusal::Refusal;
use crate::chat::search::{Hit, PAGE, Query, says, signature, words};
use crate::store::{self, Order, Scan, Write};

/// Marks that one call looks at.
const MARKS: usize = 256;
/// Pages that one call signs.
const SIGNED_AT_ONCE: usize = 64;
/// A page that is not full is signed when nobody wrote for so long.
const QUIET_MS: u64 = 30_000;
/// Rows, and pages of messages, that one search looks at before it gives back where to go on.
const ROWS: usize = 4_096;
const VERIFIED: usize = 256;

/// Where a search goes on: a row of the store, and the message in it before which it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    key: Vec<u8>,
    before_seq: u64,
}

impl Cursor {
    /// As bytes, for a client to keep.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.before_seq.to_be_bytes()[..], &self.key].concat()
    }

    /// Reads what [`Self::to_bytes`] wrote. Another one finds nothing that its reader may not see.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (before, key) = bytes.split_first_chunk::<8>()?;
        Some(Self { key: key.to_vec(), before_seq: u64::from_be_bytes(*before) })
    }
}

/// A part of what is found.
#[derive(Debug, Default)]
pub struct Found {
    /// Messages, the newest pages first.
    pub hits: Vec<Hit>,
    /// Where to go on; none: this was all.
    pub next: Option<Cursor>,
}

/// One search that is going on.
struct Search<'a> {
    query: &'a Query,
    side: Side,
    limit: usize,
    verified: usize,
    found: Found,
}

impl Hub {
    /// Messages of `app` that say `query`: all for an agent, one's own for a visitor. A message that
    /// was edited stands where it was edited last. Between two calls a message can come twice.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the store fails.
    pub async fn search(
        &self,
        reader: &Party,
        app: &str,
        query: &Query,
        limit: usize,
        cursor: Option<Cursor>,
    ) -> Result<Found, Refusal> {
        let side = reader.side;
        let mut search = Search { query, side, limit, verified: 0, found: Found::default() };
        let lists = match side {
            // Their own conversations are few: they are read.
            Side::Visitor => vec![(keys::visitor(&reader.app, &reader.id), Order::Descending)],
            Side::Agent => vec![
                (keys::all_unsigned(app), Order::Ascending),
                (keys::all_signed(app), Order::Ascending),
            ],
        };
        let mut rest = cursor;
        for (list, order) in lists {
            let cursor = match rest.take() {
                Some(cursor) if cursor.key.starts_with(&list) => Some(cursor),
                // It stands in a list that comes later.
                Some(cursor) => {
                    rest = Some(cursor);
                    continue;
                }
                None => None,
            };
            if self.search_list(&mut search, &list, order, cursor).await? {
                break;
            }
        }
        Ok(search.found)
    }

    /// Goes through one list; true if there is more in it than one call does.
    async fn search_list(
        &self,
        search: &mut Search<'_>,
        list: &[u8],
        order: Order,
        cursor: Option<Cursor>,
    ) -> Result<bool, Refusal> {
        let mut scan = Scan::prefix(list, order, ROWS);
        let mut before_seq = u64::MAX;
        if let Some(Cursor { key, before_seq: before }) = cursor {
            before_seq = before;
            match order {
                Order::Ascending => scan.from = key,
                Order::Descending => scan.to = Some([&key[..], &[0]].concat()),
            }
        }
        let page = self.store.scan(scan).await.map_err(|error| refusal(&error))?;
        let mut last = None;
        for (key, value) in page.rows {
            let before = std::mem::replace(&mut before_seq, u64::MAX);
            if let Some((id, from, to)) = stretch(search, &key, &value) {
                let to = to.min(before.saturating_sub(1));
                if let Some(before_seq) = self.verify(search, id, from, to).await? {
                    search.found.next = Some(Cursor { key, before_seq });
                    return Ok(true);
                }
            }
            last = Some(key);
        }
        if let (true, Some(key)) = (page.more, last) {
            search.found.next = Some(Cursor { key, before_seq: 0 });
            return Ok(true);
        }
        Ok(false)
    }

    /// Reads messages from the newest; gives back where it stopped if that is not all of them.
    async fn verify(
        &self,
        search: &mut Search<'_>,
        id: ConversationId,
        from: u64,
        to: u64,
    ) -> Result<Option<u64>, Refusal> {
        // A conversation that retention has removed meanwhile says nothing.
        let Ok((head, last_seq)) = self.peek(id).await else { return Ok(None) };
        let (from, mut to) = (from.max(head.first_seq), to.min(last_seq));
        while to >= from && to > 0 {
            if search.found.hits.len() >= search.limit || search.verified >= VERIFIED {
                return Ok(Some(to + 1));
            }
            search.verified += 1;
            let begin = from.max((to + 1).saturating_sub(PAGE));
            for entry in self.entries(id, begin, to).await?.into_iter().rev() {
                if search.found.hits.len() >= search.limit {
                    return Ok(Some(entry.message.seq + 1));
                }
                let target = match edited(&entry.message) {
                    Some(seq) => match self.entry(id, seq).await {
                        // Only the last edit stands for the message.
                        Ok(target) if target.edits.last() == Some(&entry.message.seq) => target,
                        _ => continue,
                    },
                    None if entry.edits.is_empty() => entry,
                    None => continue,
                };
                if let Some(snippet) = search.query.find(says(&target.message, search.side)) {
                    let v = target.message;
                    let sender = v.sender.unwrap_or_default();
                    let hit = Hit { conversation: id, seq: v.seq, at_ms: v.at_ms, sender, snippet };
                    search.found.hits.push(hit);
                }
            }
            to = begin - 1;
        }
        Ok(None)
    }

    /// Signs pages that are full or quiet, some at a time; to be called every few seconds. Gives back
    /// how many it signed.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the store fails.
    pub async fn index_pages(self: &Arc<Self>) -> Result<usize, Refusal> {
        let after = self.index_at.lock().await.clone();
        let mut scan = Scan::prefix(&[kind::UNSIGNED], Order::Ascending, MARKS);
        scan.from = [&scan.from[..], &after].concat();
        let page = self.store.scan(scan).await.map_err(|error| refusal(&error))?;
        let (mut signed, mut at) = (0, Vec::new());
        for (key, value) in page.rows {
            if signed >= SIGNED_AT_ONCE {
                at = key[1..].to_vec();
                break;
            }
            if let (Some(id), Some(after)) = (keys::tail(&key), number(&value)) {
                match self.conversation(id).await {
                    Ok(slot) => signed += self.sign(&slot, id, after).await?,
                    Err(refusal) => tracing::warn!(conversation = %id, %refusal, "not signed"),
                }
            }
            if page.more {
                at = [&key[1..], &[0]].concat();
            }
        }
        *self.index_at.lock().await = at;
        Ok(signed)
    }

    async fn sign(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        id: ConversationId,
        mut after: u64,
    ) -> Result<usize, Refusal> {
        let (head, last_seq) = slot.durable();
        let quiet = slot.is_quiet(self.now_ms().saturating_sub(QUIET_MS));
        let (mut writes, mut pages) = (Vec::new(), 0);
        let before = after;
        after = after.max(head.first_seq.saturating_sub(1));
        while pages < SIGNED_AT_ONCE && (after + PAGE <= last_seq || quiet && after < last_seq) {
            // Nothing here waits for anything, and messages should not wait for this.
            tokio::task::yield_now().await;
            let through = last_seq.min(after + PAGE);
            // Entries are changed by edits: what those say is signed with the edits themselves.
            let entries = self.entries(id, after + 1, through).await?;
            let texts = entries.iter().map(|entry| words(&entry.message));
            let value = [&through.to_be_bytes()[..], &signature(texts)].concat();
            let at_ms = entries.last().map_or(head.opened_at_ms, |entry| entry.message.at_ms);
            writes.push(Write::Put(keys::signed(&head.app, at_ms, id, after + 1), value));
            let at_ms = at_ms.to_be_bytes().to_vec();
            writes.push(Write::Put(keys::page(id, after + 1), at_ms));
            (after, pages) = (through, pages + 1);
        }
        if pages > 0 || (quiet && after >= last_seq && before <= after) {
            self.change(slot, |change| {
                change.conversation().sign(after, writes);
                Ok(())
            })?;
        }
        Ok(pages)
    }

    /// Removes the signatures of pages that end before `first_seq`.
    pub(super) async fn unsign(
        &self,
        id: ConversationId,
        head: &Head,
        first_seq: u64,
    ) -> Result<Vec<Write>, Refusal> {
        let mut writes = Vec::new();
        let pages =
            store::all(&*self.store, &keys::pages(id)).await.map_err(|error| refusal(&error))?;
        for (key, at_ms) in pages {
            let begins = key.last_chunk::<8>().copied().map(u64::from_be_bytes);
            let (Some(begins), Some(at_ms)) = (begins, number(&at_ms)) else { continue };
            let signed = keys::signed(&head.app, at_ms, id, begins);
            let value = self.store.get(signed.clone()).await.map_err(|error| refusal(&error))?;
            let last = value.and_then(|value| number(&value)).unwrap_or(0);
            if last < first_seq {
                writes.extend([Write::Delete(key), Write::Delete(signed)]);
            }
        }
        Ok(writes)
    }
}

/// Which messages a row of a list stands for, if they may hold what is searched for.
fn stretch(search: &Search<'_>, key: &[u8], value: &[u8]) -> Option<(ConversationId, u64, u64)> {
    match key.first() {
        Some(&kind::SIGNED) => {
            let (id, first) = keys::parse_signed(key)?;
            let (last, signature) = value.split_first_chunk::<8>()?;
            let admitted = search.query.may_be_in(signature);
            admitted.then_some((id, first, u64::from_be_bytes(*last)))
        }
        Some(&kind::UNSIGNED) => Some((keys::tail(key)?, number(value)? + 1, u64::MAX)),
        _ => Some((keys::tail(key)?, 1, u64::MAX)),
    }
}

fn edited(message: &kefu_proto::v1::Message) -> Option<u64> {
    match &message.content {
        Some(kefu_proto::v1::message::Content::Edited(edited)) => Some(edited.seq),
        _ => None,
    }
}

fn number(value: &[u8]) -> Option<u64> {
    value.first_chunk::<8>().copied().map(u64::from_be_bytes)
}
