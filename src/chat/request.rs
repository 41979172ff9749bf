//! What clients ask, checked: a frame's body becomes a [`Request`] or a [`Refusal`].

use kefu_proto::limits::{DEFAULT_PULL, MAX_PULL, MAX_SUBJECT_CHARS, MAX_TAG_CHARS, MAX_TAGS};
use kefu_proto::v1::{ErrorCode, body::Kind, control::Action};
use sha2::{Digest, Sha256};

use super::id::{ClientMsgId, ConversationId};
use super::party::{MAX_ID_BYTES, Side};
use super::refusal::Refusal;

/// A request of somebody who is logged in.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// A message.
    Send(Send),
    /// Another text for a message, or none: it is taken back.
    Change(Change),
    /// Messages of the log.
    Pull(Pull),
    /// How far the user has read.
    Read(ConversationId, u64),
    /// Whether the user writes.
    Typing(ConversationId, bool),
    /// Another conversation.
    Open(ClientMsgId, String),
    /// What an agent does.
    Control(Control),
    /// Whether an agent takes conversations, and how many; 0: as the account says.
    Presence(bool, u32),
    /// An agent follows a conversation.
    Watch(ConversationId, bool),
    /// A sign of life.
    Ping(u64),
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Send {
    /// Where to; none: the visitor's current conversation.
    pub conversation: Option<ConversationId>,
    /// Its name.
    pub id: ClientMsgId,
    /// What it says.
    pub text: String,
    /// The option that it chooses; may be empty.
    pub option: String,
    /// Whether only agents see it.
    pub note: bool,
}

/// Another text for a message, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub conversation: ConversationId,
    /// The change's own name.
    pub id: ClientMsgId,
    /// Which message.
    pub seq: u64,
    /// The new text; none: the message is taken back.
    pub text: Option<String>,
}

/// Which messages of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pull {
    /// Of which conversation.
    pub conversation: ConversationId,
    /// From where.
    pub from: PullFrom,
    /// At most so many.
    pub limit: usize,
}

/// Which way a pull goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullFrom {
    /// Messages after this seq, oldest first.
    After(u64),
    /// Messages before this seq, newest first.
    Before(u64),
}

/// What an agent does with a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    /// Which.
    pub conversation: ConversationId,
    /// The request's name.
    pub id: ClientMsgId,
    /// What.
    pub action: Action,
}

/// What the checks go by.
#[derive(Debug, Clone, Copy)]
pub struct Asker {
    /// Whose session.
    pub side: Side,
    /// Longest text, in characters.
    pub max_text_chars: usize,
}

impl Asker {
    /// Reads a body that follows the Hello.
    ///
    /// # Errors
    /// When a field is wrong, or such a body may not come from this side or at this time.
    pub fn read(&self, body: Kind) -> Result<Request, Refusal> {
        Ok(match body {
            Kind::Send(send) => Request::Send(Send {
                conversation: self.conversation_or_current(&send.conversation)?,
                id: message_id(&send.client_msg_id)?,
                text: self.text(send.text, &send.option)?,
                option: label("option", send.option, MAX_ID_BYTES)?,
                note: self.note(send.note)?,
            }),
            Kind::Edit(edit) => Request::Change(Change {
                conversation: conversation(&edit.conversation)?,
                id: message_id(&edit.client_msg_id)?,
                seq: edit.seq,
                text: Some(self.text(edit.text, "")?),
            }),
            Kind::Recall(recall) => Request::Change(Change {
                conversation: conversation(&recall.conversation)?,
                id: message_id(&recall.client_msg_id)?,
                seq: recall.seq,
                text: None,
            }),
            Kind::Pull(pull) => Request::Pull(Pull {
                conversation: conversation(&pull.conversation)?,
                from: match (pull.after_seq, pull.before_seq) {
                    (after, 0) => PullFrom::After(after),
                    (0, before) => PullFrom::Before(before),
                    _ => return Err(Refusal::invalid("name after_seq or before_seq, not both")),
                },
                limit: match pull.limit as usize {
                    0 => DEFAULT_PULL,
                    limit => limit.min(MAX_PULL),
                },
            }),
            Kind::Read(read) => Request::Read(conversation(&read.conversation)?, read.seq),
            Kind::Typing(typing) => Request::Typing(conversation(&typing.conversation)?, typing.on),
            Kind::Ping(ping) => Request::Ping(ping.token),
            Kind::Open(open) => {
                if self.side != Side::Visitor {
                    return Err(forbidden("only visitors open conversations"));
                }
                Request::Open(
                    message_id(&open.client_msg_id)?,
                    label("subject", open.subject, MAX_SUBJECT_CHARS)?,
                )
            }
            Kind::Control(control) => {
                self.agent_only()?;
                Request::Control(Control {
                    conversation: conversation(&control.conversation)?,
                    id: message_id(&control.client_msg_id)?,
                    action: action(control.action)?,
                })
            }
            Kind::Presence(presence) => {
                self.agent_only()?;
                Request::Presence(presence.online, presence.capacity)
            }
            Kind::Watch(watch) => {
                self.agent_only()?;
                Request::Watch(conversation(&watch.conversation)?, watch.on)
            }
            Kind::Hello(_) => {
                return Err(unexpected("a session has one Hello; connect again for another"));
            }
            Kind::Welcome(_)
            | Kind::Ack(_)
            | Kind::Deliver(_)
            | Kind::Range(_)
            | Kind::Conversation(_)
            | Kind::ReadState(_)
            | Kind::TypingNotice(_)
            | Kind::Pong(_)
            | Kind::Error(_)
            | Kind::Queue(_) => return Err(unexpected("only the server sends such frames")),
        })
    }

    fn conversation_or_current(&self, text: &str) -> Result<Option<ConversationId>, Refusal> {
        if text.is_empty() && self.side == Side::Visitor {
            return Ok(None);
        }
        conversation(text).map(Some)
    }

    fn text(&self, text: String, option: &str) -> Result<String, Refusal> {
        if text.trim().is_empty() && option.is_empty() {
            return Err(Refusal::invalid("text is empty; a message says something"));
        }
        let max = self.max_text_chars;
        // A character has at most four bytes, so most texts need no counting.
        if text.len() > max && text.chars().count() > max {
            let message = format!("text has {} characters, at most {max}", text.chars().count());
            return Err(Refusal::new(ErrorCode::TooLarge, message));
        }
        Ok(text)
    }

    fn note(&self, note: bool) -> Result<bool, Refusal> {
        if note {
            self.agent_only()?;
        }
        Ok(note)
    }

    fn agent_only(&self) -> Result<(), Refusal> {
        match self.side {
            Side::Agent => Ok(()),
            Side::Visitor => Err(forbidden("only agents may do this")),
        }
    }
}

impl Send {
    /// Digest of what is asked: equal for each try, different for another message.
    pub fn digest(&self) -> [u8; 16] {
        let note: &[u8] = if self.note { b"note" } else { b"" };
        digest(&[b"send", self.text.as_bytes(), self.option.as_bytes(), note])
    }
}

impl Change {
    /// Digest of what is asked.
    pub fn digest(&self) -> [u8; 16] {
        let text = self.text.as_deref();
        let kind: &[u8] = if text.is_some() { b"edit" } else { b"recall" };
        digest(&[kind, &self.seq.to_be_bytes(), text.unwrap_or_default().as_bytes()])
    }
}

impl Control {
    /// Digest of what is asked.
    pub fn digest(&self) -> [u8; 16] {
        let mut action = Vec::new();
        self.action.encode(&mut action);
        digest(&[b"control", &action])
    }
}

/// 16 bytes of SHA-256 over the parts, each with its length.
pub fn digest(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    *hash.finalize().first_chunk().expect("SHA-256 has 32 bytes")
}

fn conversation(text: &str) -> Result<ConversationId, Refusal> {
    ConversationId::parse(text).ok_or_else(|| {
        Refusal::invalid("conversation is not 32 hexadecimal digits; Welcome and Ack name it")
    })
}

fn message_id(bytes: &[u8]) -> Result<ClientMsgId, Refusal> {
    ClientMsgId::parse(bytes).ok_or_else(|| {
        Refusal::invalid(format!("client_msg_id has {} bytes; make 16 at random", bytes.len()))
    })
}

fn label(name: &str, text: String, most: usize) -> Result<String, Refusal> {
    if text.chars().count() > most {
        let message = format!("{name} is over {most} characters");
        return Err(Refusal::new(ErrorCode::TooLarge, message));
    }
    Ok(text)
}

fn action(action: Option<Action>) -> Result<Action, Refusal> {
    match action {
        None => Err(Refusal::invalid("control names no action")),
        Some(Action::Transfer(transfer)) if transfer.agent.len() > MAX_ID_BYTES => {
            Err(Refusal::invalid("there is no agent with such a long id"))
        }
        Some(Action::SetTags(mut set)) => {
            if set.tags.len() > MAX_TAGS {
                return Err(Refusal::invalid(format!(
                    "a conversation has at most {MAX_TAGS} tags"
                )));
            }
            let tags: Result<Vec<_>, _> = set
                .tags
                .into_iter()
                .map(|tag| label("tag", tag.trim().to_owned(), MAX_TAG_CHARS))
                .collect();
            set.tags = tags?;
            set.tags.retain(|tag| !tag.is_empty());
            set.tags.sort();
            set.tags.dedup();
            Ok(Action::SetTags(set))
        }
        Some(action) => Ok(action),
    }
}

fn forbidden(message: &str) -> Refusal {
    Refusal::new(ErrorCode::Forbidden, message)
}

fn unexpected(message: &str) -> Refusal {
    Refusal::new(ErrorCode::Unexpected, message)
}
