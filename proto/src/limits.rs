//! How large things on the wire may be and how long silence may last. Clients learn what concerns
//! them from `Welcome.limits`; `PROTOCOL.md` lists all.

/// Largest frame that a server takes from a client, in bytes.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;
/// Largest body, inflated, in bytes; holds in both directions.
pub const MAX_BODY_BYTES: usize = 256 * 1024;
/// Largest frame that a server sends, in bytes: a body that was not compressed, and its header.
pub const MAX_SERVER_FRAME_BYTES: usize = MAX_BODY_BYTES + 1024;
/// Longest `client_id`, in bytes.
pub const MAX_CLIENT_ID_BYTES: usize = 64;
/// Length of each `client_msg_id`, in bytes.
pub const CLIENT_MSG_ID_BYTES: usize = 16;
/// Longest text of a message, in Unicode scalar values.
pub const MAX_TEXT_CHARS: usize = 4_000;
/// Most messages in a `Range`.
pub const MAX_PULL: usize = 200;
/// Messages in a `Range` when the `Pull` does not say how many.
pub const DEFAULT_PULL: usize = 50;
/// Most cursors in a `Hello`.
pub const MAX_CURSORS: usize = 100;
/// Most tags of a conversation.
pub const MAX_TAGS: usize = 20;
/// Longest tag, in Unicode scalar values.
pub const MAX_TAG_CHARS: usize = 40;
/// Longest subject of a conversation, in Unicode scalar values.
pub const MAX_SUBJECT_CHARS: usize = 200;
/// Bodies below this size are never compressed, in bytes: Snappy wins nothing there.
pub const SNAPPY_FROM_BYTES: usize = 400;

/// A client that sent nothing for so long sends a `Ping`, in milliseconds.
pub const PING_EVERY_MS: u64 = 25_000;
/// A server ends a connection that was silent for so long, in milliseconds.
pub const IDLE_MS: u64 = 2 * PING_EVERY_MS;
/// A server ends a connection whose `Hello` has not come after so long, in milliseconds.
pub const HELLO_WITHIN_MS: u64 = 10_000;
/// A server keeps each `client_msg_id` at least so long, in milliseconds.
pub const IDEMPOTENCY_MS: u64 = 7 * 24 * 60 * 60 * 1000;
