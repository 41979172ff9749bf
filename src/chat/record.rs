//! What is stored of a conversation, in Protobuf: fields are added, never renumbered.

use bytes::Bytes;
use kefu_proto::v1;

/// What a conversation is like; changes with it, while the log only grows.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Head {
    /// Whose conversation.
    #[prost(string, tag = "1")]
    pub app: String,
    /// The visitor.
    #[prost(string, tag = "2")]
    pub visitor: String,
    /// What the visitor is called; may be empty.
    #[prost(string, tag = "3")]
    pub visitor_name: String,
    /// What it is about; may be empty.
    #[prost(string, tag = "4")]
    pub subject: String,
    /// Life cycle.
    #[prost(enumeration = "v1::Status", tag = "5")]
    pub status: i32,
    /// Since when it has this status.
    #[prost(uint64, tag = "6")]
    pub status_since_ms: u64,
    /// Who answers.
    #[prost(message, required, tag = "7")]
    pub owner: v1::Owner,
    /// Rises with each change of the owner.
    #[prost(uint64, tag = "8")]
    pub owner_epoch: u64,
    /// When it began.
    #[prost(uint64, tag = "9")]
    pub opened_at_ms: u64,
    /// What agents marked it with.
    #[prost(string, repeated, tag = "10")]
    pub tags: Vec<String>,
    /// State of the dialogue that visitors see.
    #[prost(enumeration = "v1::DialogueState", tag = "11")]
    pub dialogue: i32,
    /// The whole state of the dialogue, as the bot keeps it.
    #[prost(bytes = "bytes", tag = "12")]
    pub dialogue_data: Bytes,
    /// The oldest message that retention has left.
    #[prost(uint64, tag = "13")]
    pub first_seq: u64,
    /// The visitor's language as the page said, `zh` or `en`; empty: unknown.
    #[prost(string, tag = "14")]
    pub lang: String,
    /// Timers that run: kind and when they are due.
    #[prost(message, repeated, tag = "15")]
    pub timers: Vec<Timer>,
    /// Whether the bot owes something.
    #[prost(bool, tag = "16")]
    pub work: bool,
}

impl Head {
    /// Whether people see the same of both.
    pub fn looks_like(&self, other: &Self) -> bool {
        self.status == other.status
            && self.status_since_ms == other.status_since_ms
            && self.owner == other.owner
            && self.owner_epoch == other.owner_epoch
            && self.dialogue == other.dialogue
            && self.tags == other.tags
            && self.first_seq == other.first_seq
    }
}

/// A timer of a conversation.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Timer {
    /// Which; the bot knows what for. One of each kind runs at most.
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    /// When.
    #[prost(uint64, tag = "2")]
    pub due_ms: u64,
}

/// Messages that were committed together, in order.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Run {
    /// At least one.
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<Entry>,
}

/// One message of the log with what only the store needs.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entry {
    /// As it is delivered.
    #[prost(message, required, tag = "1")]
    pub message: v1::Message,
    /// Digest of what the sender asked for, to tell a retry from another message with the same id.
    /// Stays when the text is taken back. Empty for messages without an id.
    #[prost(bytes = "bytes", tag = "2")]
    pub digest: Bytes,
    /// Messages that gave this one another text; taken back with it.
    #[prost(uint64, repeated, tag = "3")]
    pub edits: Vec<u64>,
}
