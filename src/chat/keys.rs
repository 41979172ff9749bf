//! Where in the store what lies. One letter a kind; numbers are big-endian, so that they sort.
//!
//! | key | value |
//! |---|---|
//! | `c` conversation | its [`super::record::Head`] |
//! | `m` conversation, first seq | a [`super::record::Run`] of messages that were committed together |
//! | `r` conversation, side, reader | the last seq that the reader has read |
//! | `v` app, 0, visitor, 0, conversation | nothing: the visitor's conversations, oldest first |
//! | `s` app, 0, status, since, conversation | nothing: the conversations of an app by status |
//! | `a` agent, 0, conversation | nothing: what an agent owns |
//! | `q` app, 0, since, conversation | nothing: who waits for an agent, in order |
//! | `w` conversation | nothing: the bot owes something here |
//! | `t` due, conversation, kind | the number of the timer |
//! | `u` app, 0, conversation | the last message that has a signature; none follows without this row |
//! | `x` app, 0, time from the newest, conversation, first seq | the last seq of a page, and its signature |
//! | `y` conversation, first seq | the time of that page |
//!
//! `i` belongs to `crate::identity`, `o` to the webhooks of `crate::bot`.

use super::id::ConversationId;
use super::party::{Party, Side};
use kefu_proto::v1::Status;

/// First byte of each kind.
pub mod kind {
    #![allow(missing_docs, reason = "the table above says what each is")]
    pub const HEAD: u8 = b'c';
    pub const MESSAGES: u8 = b'm';
    pub const READ: u8 = b'r';
    pub const VISITOR: u8 = b'v';
    pub const STATUS: u8 = b's';
    pub const OWNED: u8 = b'a';
    pub const QUEUE: u8 = b'q';
    pub const WORK: u8 = b'w';
    pub const TIMER: u8 = b't';
    pub const UNSIGNED: u8 = b'u';
    pub const SIGNED: u8 = b'x';
    pub const PAGE: u8 = b'y';
}

/// The head of a conversation.
pub fn head(id: ConversationId) -> Vec<u8> {
    of(kind::HEAD, id)
}

/// All messages of a conversation.
pub fn messages(id: ConversationId) -> Vec<u8> {
    of(kind::MESSAGES, id)
}

/// The run whose first message is `first_seq`. The run that holds a message is the last one that
/// begins at or before it.
pub fn run(id: ConversationId, first_seq: u64) -> Vec<u8> {
    let mut key = messages(id);
    key.extend(first_seq.to_be_bytes());
    key
}

/// The conversation and the first seq of a run's key.
pub fn parse_run(key: &[u8]) -> Option<(ConversationId, u64)> {
    let rest = key.strip_prefix(&[kind::MESSAGES])?;
    let (id, seq) = rest.split_first_chunk::<16>()?;
    Some((ConversationId(*id), u64::from_be_bytes(seq.try_into().ok()?)))
}

/// The conversation that a key ends with.
pub fn tail(key: &[u8]) -> Option<ConversationId> {
    key.last_chunk::<16>().copied().map(ConversationId)
}

/// How far `reader` has read.
pub fn read(id: ConversationId, reader: &Party) -> Vec<u8> {
    let mut key = of(kind::READ, id);
    key.push(match reader.side {
        Side::Visitor => b'v',
        Side::Agent => b'a',
    });
    key.extend(reader.id.as_bytes());
    key
}

/// All conversations of a visitor.
pub fn visitor(app: &str, visitor: &str) -> Vec<u8> {
    let mut key = named(kind::VISITOR, app);
    key.extend(visitor.as_bytes());
    key.push(0);
    key
}

/// All conversations of `app` with `status`.
pub fn status(app: &str, status: Status) -> Vec<u8> {
    let mut key = named(kind::STATUS, app);
    key.push(status as u8);
    key
}

/// All that `agent` owns.
pub fn owned(agent: &str) -> Vec<u8> {
    named(kind::OWNED, agent)
}

/// Whose an [`owned`] key is.
pub fn owner(key: &[u8]) -> Option<&str> {
    let agent = key.strip_prefix(&[kind::OWNED])?.split(|byte| *byte == 0).next()?;
    std::str::from_utf8(agent).ok()
}

/// All that wait for an agent of `app`.
pub fn queue(app: &str) -> Vec<u8> {
    named(kind::QUEUE, app)
}

/// The mark of a conversation in which the bot owes something.
pub fn work(id: ConversationId) -> Vec<u8> {
    of(kind::WORK, id)
}

/// All conversations of `app` with messages that have no signature.
pub fn all_unsigned(app: &str) -> Vec<u8> {
    named(kind::UNSIGNED, app)
}

/// The mark of a conversation with messages that have no signature.
pub fn unsigned(app: &str, id: ConversationId) -> Vec<u8> {
    with(all_unsigned(app), id)
}

/// All signatures of an app, newest first.
pub fn all_signed(app: &str) -> Vec<u8> {
    named(kind::SIGNED, app)
}

/// The signature of the page that begins with `first_seq` and whose last message is of `at_ms`.
pub fn signed(app: &str, at_ms: u64, id: ConversationId, first_seq: u64) -> Vec<u8> {
    let mut key = at(all_signed(app), !at_ms, id);
    key.extend(first_seq.to_be_bytes());
    key
}

/// The conversation and the first seq of a signature's key.
pub fn parse_signed(key: &[u8]) -> Option<(ConversationId, u64)> {
    let (rest, seq) = key.split_last_chunk::<8>()?;
    Some((tail(rest)?, u64::from_be_bytes(*seq)))
}

/// All pages of a conversation.
pub fn pages(id: ConversationId) -> Vec<u8> {
    of(kind::PAGE, id)
}

/// A page of a conversation.
pub fn page(id: ConversationId, first_seq: u64) -> Vec<u8> {
    let mut key = pages(id);
    key.extend(first_seq.to_be_bytes());
    key
}

/// How far anybody has read a conversation.
pub fn reads(id: ConversationId) -> Vec<u8> {
    of(kind::READ, id)
}

/// A timer.
pub fn timer(due_ms: u64, id: ConversationId, which: u8) -> Vec<u8> {
    let mut key = vec![kind::TIMER];
    key.extend(due_ms.to_be_bytes());
    key.extend(id.0);
    key.push(which);
    key
}

/// When a timer is due, whose it is, and which.
pub fn parse_timer(key: &[u8]) -> Option<(u64, ConversationId, u8)> {
    let rest = key.strip_prefix(&[kind::TIMER])?;
    let (due, rest) = rest.split_first_chunk::<8>()?;
    let (id, which) = rest.split_first_chunk::<16>()?;
    Some((u64::from_be_bytes(*due), ConversationId(*id), *which.first()?))
}

/// `prefix`, a time, and the conversation: for lists that are kept in the order of time.
pub fn at(mut prefix: Vec<u8>, since_ms: u64, id: ConversationId) -> Vec<u8> {
    prefix.extend(since_ms.to_be_bytes());
    prefix.extend(id.0);
    prefix
}

/// `prefix` and the conversation.
pub fn with(mut prefix: Vec<u8>, id: ConversationId) -> Vec<u8> {
    prefix.extend(id.0);
    prefix
}

fn of(kind: u8, id: ConversationId) -> Vec<u8> {
    let mut key = Vec::with_capacity(25);
    key.push(kind);
    key.extend(id.0);
    key
}

/// Names have no NUL, so that none is the beginning of another.
fn named(kind: u8, name: &str) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend(name.as_bytes());
    key.push(0);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_sort_by_number_and_name_their_conversation() {
        let id = ConversationId([7; 16]);
        assert!(run(id, 255) < run(id, 256));
        assert_eq!(parse_run(&run(id, 300)), Some((id, 300)));
        assert_eq!(parse_run(&head(id)), None);
        assert_eq!(parse_timer(&timer(9, id, 2)), Some((9, id, 2)));
        assert_eq!(tail(&at(queue("shop"), 5, id)), Some(id));
        assert!(!owned("ann").starts_with(&owned("an")));
    }
}
