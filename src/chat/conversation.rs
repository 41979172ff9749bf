//! How a conversation grows: the next entries of its log and what changes with them, gathered until
//! they are committed together.
//!
//! `crate::hub` holds one of these for each conversation that is in use, loads it from the store,
//! and takes what [`Conversation::take`] gives to the store. What was gathered is visible here at
//! once, so that the next message counts on from it; if the commit fails, the hub drops the
//! conversation and loads it again.

use std::collections::HashMap;

use bytes::Bytes;
use kefu_proto::v1::message::Content;
use kefu_proto::v1::{self, DialogueState, Holder, Owner, Status, User, event::What};
use prost::Message as _;

use super::id::{ClientMsgId, ConversationId};
use super::keys;
use super::record::{Entry, Head, Run, Timer};
use crate::store::{Batch, Check, Write};

/// How long a `client_msg_id` is remembered.
pub const REMEMBERED_MS: u64 = 7 * 24 * 3600 * 1000;

/// Most messages of one run: a change to one of them writes the whole run again.
const MAX_RUN: usize = 64;
/// Largest run that a second message is added to, in bytes. Edits may make each text as long as a
/// text can be, and the run must still fit into a value of the store.
const RUN_BYTES: usize = 64 * 1024;

/// A conversation as it will be when all that was gathered is durable.
#[derive(Debug, Clone)]
pub struct Conversation {
    id: ConversationId,
    head: Head,
    last_seq: u64,
    known: HashMap<(u32, ClientMsgId), u64>,
    senders: Vec<(i32, String)>,
    /// The messages after this one cannot be searched by signatures; none: all can.
    unsigned_after: Option<u64>,
    gathered: Gathered,
}

/// What waits for the next commit.
#[derive(Debug, Clone, Default)]
struct Gathered {
    entries: Vec<Entry>,
    head: bool,
    writes: Vec<Write>,
    checks: Vec<Check>,
}

/// What goes to the store in one piece.
#[derive(Debug, Clone)]
pub struct Commit {
    /// For the store.
    pub batch: Batch,
    /// The entries in it, in order.
    pub entries: Vec<Entry>,
    /// Last message of the log afterwards.
    pub last_seq: u64,
    /// The head, if it changes.
    pub head: Option<Head>,
}

/// A message that wants to be appended.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Who says it.
    pub sender: User,
    /// Its name, if it came from a client.
    pub client_msg_id: Option<ClientMsgId>,
    /// Digest of what was asked for; empty without an id.
    pub digest: Bytes,
    /// What it says.
    pub content: Content,
}

/// Who does something with a conversation.
#[derive(Debug, Clone)]
pub struct Actor {
    /// As it stands in the log.
    pub user: User,
    /// Name and digest of the request, if a client asked for it.
    pub request: Option<(ClientMsgId, Bytes)>,
}

impl From<User> for Actor {
    fn from(user: User) -> Self {
        Self { user, request: None }
    }
}

/// Where a draft went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is appended, with this seq.
    New(u64),
    /// The same sender sent a message with the same id before; it has this seq.
    Known(u64),
}

impl Conversation {
    /// A conversation that begins now.
    pub fn begin(id: ConversationId, mut head: Head, now_ms: u64) -> Self {
        head.opened_at_ms = now_ms;
        head.status_since_ms = now_ms;
        head.first_seq = 1;
        let mut begun = Self::load(id, head, 0);
        let listed = begun.listed().map(|key| Write::Put(key, Vec::new()));
        begun.gathered.writes.extend(listed);
        begun.gathered.checks.push(Check::Absent(keys::head(id)));
        begun.gathered.head = true;
        begun
    }

    /// A conversation as it was stored; [`Self::remember`] follows for its recent messages.
    pub fn load(id: ConversationId, head: Head, last_seq: u64) -> Self {
        Self {
            id,
            head,
            last_seq,
            known: HashMap::new(),
            senders: Vec::new(),
            unsigned_after: None,
            gathered: Gathered::default(),
        }
    }

    /// Learns the id of a stored message.
    pub fn remember(&mut self, message: &v1::Message) {
        if let (Some(id), Some(sender)) =
            (ClientMsgId::parse(&message.client_msg_id), &message.sender)
        {
            let sender = self.sender(sender.role, &sender.id);
            self.known.insert((sender, id), message.seq);
        }
    }

    /// Learns that the messages after `seq` have no signature.
    pub fn set_unsigned(&mut self, after: u64) {
        self.unsigned_after = Some(after);
    }

    /// The messages up to `through` have signatures, which `writes` store.
    pub fn sign(&mut self, through: u64, writes: Vec<Write>) {
        let mark = keys::unsigned(&self.head.app, self.id);
        self.unsigned_after = (through < self.last_seq).then_some(through);
        self.gathered.writes.extend(writes);
        self.gathered.writes.push(match self.unsigned_after {
            Some(after) => Write::Put(mark, after.to_be_bytes().to_vec()),
            None => Write::Delete(mark),
        });
    }

    /// Removes the conversation, and `writes` what else belongs to it. Nothing may follow.
    pub fn remove(&mut self, writes: Vec<Write>) {
        let timers = self.head.timers.iter();
        let timers = timers.map(|timer| keys::timer(timer.due_ms, self.id, timer.kind as u8));
        let own =
            [keys::head(self.id), keys::work(self.id), keys::unsigned(&self.head.app, self.id)];
        let gone: Vec<_> = self.listed().chain(timers).chain(own).map(Write::Delete).collect();
        self.gathered.writes.extend(gone.into_iter().chain(writes));
    }

    /// Its name.
    pub fn id(&self) -> ConversationId {
        self.id
    }

    /// What it is like.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Its last message.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The message that `sender` sent under `id` within the last week, if there is one.
    pub fn find(&mut self, sender: &User, id: ClientMsgId) -> Option<u64> {
        let sender = self.sender(sender.role, &sender.id);
        self.known.get(&(sender, id)).copied()
    }

    /// Messages that wait for the next commit.
    pub fn waits(&self) -> usize {
        self.gathered.entries.len()
    }

    /// An entry that waits for the next commit.
    pub fn gathered(&self, seq: u64) -> Option<&Entry> {
        self.gathered.entries.iter().find(|entry| entry.message.seq == seq)
    }

    /// Appends a message, unless its sender sent one with its id before.
    pub fn append(&mut self, draft: Draft, now_ms: u64) -> Place {
        let Draft { sender, client_msg_id, digest, content } = draft;
        let seq = self.last_seq + 1;
        if let Some(id) = client_msg_id {
            let key = (self.sender(sender.role, &sender.id), id);
            if let Some(seq) = self.known.get(&key) {
                return Place::Known(*seq);
            }
            self.known.insert(key, seq);
        }
        let client_msg_id =
            client_msg_id.map_or_else(Bytes::new, |id| Bytes::copy_from_slice(&id.0));
        let message = v1::Message {
            seq,
            at_ms: now_ms,
            sender: Some(sender),
            client_msg_id,
            content: Some(content),
        };
        self.gathered.entries.push(Entry { message, digest, edits: Vec::new() });
        self.last_seq = seq;
        Place::New(seq)
    }

    /// Notes what happened to the conversation. The first note of a request carries its id.
    pub fn note(&mut self, by: &mut Actor, what: What, now_ms: u64) {
        let content = Content::Event(v1::Event { what: Some(what) });
        let (client_msg_id, digest) = by.request.take().unzip();
        let digest = digest.unwrap_or_default();
        let draft = Draft { sender: by.user.clone(), client_msg_id, digest, content };
        self.append(draft, now_ms);
    }

    /// Gives the conversation to `owner` (none: it stays where it is) and moves it on in its life;
    /// both are noted where they change something. The owner's epoch rises with each owner.
    pub fn hand_over(
        &mut self,
        owner: Option<Owner>,
        status: Status,
        reason: &str,
        by: &mut Actor,
        now_ms: u64,
    ) {
        let listed: Vec<_> = self.lists().collect();
        self.gathered.writes.extend(listed.into_iter().map(Write::Delete));
        if let Some(owner) = owner {
            let before = std::mem::replace(&mut self.head.owner, owner.clone());
            self.head.owner_epoch += 1;
            let changed = v1::OwnerChanged {
                before: Some(before),
                after: Some(owner),
                owner_epoch: self.head.owner_epoch,
                reason: reason.to_owned(),
            };
            self.note(by, What::Owner(changed), now_ms);
        }
        let before = self.head.status();
        if before != status {
            self.head.set_status(status);
            self.head.status_since_ms = now_ms;
            let changed = v1::StatusChanged { before: before.into(), after: status.into() };
            self.note(by, What::Status(changed), now_ms);
        }
        let listed: Vec<_> = self.lists().collect();
        self.gathered.writes.extend(listed.into_iter().map(|key| Write::Put(key, Vec::new())));
        self.gathered.head = true;
    }

    /// Replaces the tags, and notes it.
    pub fn set_tags(&mut self, tags: Vec<String>, by: &mut Actor, now_ms: u64) {
        self.head.tags.clone_from(&tags);
        self.gathered.head = true;
        self.note(by, What::Tags(v1::TagsChanged { tags }), now_ms);
    }

    /// Stores the state of the dialogue, and notes the change if visitors can see one.
    pub fn set_dialogue(
        &mut self,
        state: DialogueState,
        data: Bytes,
        changed: Option<v1::DialogueChanged>,
        now_ms: u64,
    ) {
        self.head.set_dialogue(state);
        self.head.dialogue_data = data;
        self.gathered.head = true;
        if let Some(changed) = changed {
            self.note(&mut Actor::from(super::party::bot()), What::Dialogue(changed), now_ms);
        }
    }

    /// Starts the timer `kind`, or stops it.
    pub fn set_timer(&mut self, kind: u8, due_ms: Option<u64>) {
        let running = self.head.timers.iter().position(|timer| timer.kind == u32::from(kind));
        if let Some(at) = running {
            let before = self.head.timers.swap_remove(at);
            let key = keys::timer(before.due_ms, self.id, kind);
            self.gathered.writes.push(Write::Delete(key));
        }
        if let Some(due_ms) = due_ms {
            self.head.timers.push(Timer { kind: u32::from(kind), due_ms });
            let key = keys::timer(due_ms, self.id, kind);
            self.gathered.writes.push(Write::Put(key, Vec::new()));
        }
        self.gathered.head |= running.is_some() || due_ms.is_some();
    }

    /// Marks whether the bot owes something, so that the next start knows.
    pub fn set_work(&mut self, owed: bool) {
        if self.head.work != owed {
            self.head.work = owed;
            self.gathered.head = true;
            let key = keys::work(self.id);
            let write = if owed { Write::Put(key, Vec::new()) } else { Write::Delete(key) };
            self.gathered.writes.push(write);
        }
    }

    /// Retention: messages before `first_seq` are gone; `writes` removes them.
    pub fn trim(&mut self, first_seq: u64, writes: Vec<Write>) {
        self.head.first_seq = self.head.first_seq.max(first_seq);
        // What is gone can no longer be compared with a retry.
        self.known.retain(|_, seq| *seq >= first_seq);
        self.gathered.head = true;
        self.gathered.writes.extend(writes);
    }

    /// Adds changes that must commit together with what is gathered.
    pub fn also(&mut self, writes: impl IntoIterator<Item = Write>) {
        self.gathered.writes.extend(writes);
    }

    /// Takes what was gathered since the last time; none if that is nothing.
    pub fn take(&mut self) -> Option<Commit> {
        let Gathered { entries, head, mut writes, mut checks } = std::mem::take(&mut self.gathered);
        if entries.is_empty() && !head && writes.is_empty() {
            return None;
        }
        if let (Some(first), None) = (entries.first(), self.unsigned_after) {
            let after = first.message.seq - 1;
            self.unsigned_after = Some(after);
            let mark = keys::unsigned(&self.head.app, self.id);
            writes.push(Write::Put(mark, after.to_be_bytes().to_vec()));
        }
        let mut stored = Vec::with_capacity(entries.len());
        let mut rest = entries.into_iter().peekable();
        while let Some(first) = rest.next() {
            let key = keys::run(self.id, first.message.seq);
            if stored.is_empty() {
                // Whoever else appended here meanwhile, began with the same number.
                checks.push(Check::Absent(key.clone()));
            }
            let mut bytes = first.encoded_len();
            let mut run = Run { entries: vec![first] };
            while run.entries.len() < MAX_RUN
                && let Some(entry) = rest.next_if(|entry| bytes + entry.encoded_len() <= RUN_BYTES)
            {
                bytes += entry.encoded_len();
                run.entries.push(entry);
            }
            writes.push(Write::Put(key, run.encode_to_vec()));
            stored.append(&mut run.entries);
        }
        if head {
            writes.push(Write::Put(keys::head(self.id), self.head.encode_to_vec()));
        }
        let head = head.then(|| self.head.clone());
        Some(Commit {
            batch: Batch { checks, writes },
            entries: stored,
            last_seq: self.last_seq,
            head,
        })
    }

    /// All lists that it is in.
    pub fn listed(&self) -> impl Iterator<Item = Vec<u8>> + use<> {
        let Head { app, visitor, .. } = &self.head;
        std::iter::once(keys::with(keys::visitor(app, visitor), self.id)).chain(self.lists())
    }

    /// Where the conversation is listed: by its status, and for whoever must find it.
    fn lists(&self) -> impl Iterator<Item = Vec<u8>> + use<> {
        let Head { owner, app, status_since_ms, .. } = &self.head;
        let by_status = keys::at(keys::status(app, self.head.status()), *status_since_ms, self.id);
        let by_owner = match owner.holder() {
            Holder::Queue => Some(keys::at(keys::queue(app), *status_since_ms, self.id)),
            Holder::Agent => {
                let agent = owner.agent.as_ref();
                agent.map(|agent| keys::with(keys::owned(&agent.id), self.id))
            }
            Holder::Unspecified | Holder::Bot | Holder::Nobody => None,
        };
        std::iter::once(by_status).chain(by_owner)
    }

    /// The number of a sender within this conversation; there are few.
    fn sender(&mut self, role: i32, id: &str) -> u32 {
        let known = self.senders.iter().position(|(r, i)| *r == role && i == id);
        let at = known.unwrap_or_else(|| {
            self.senders.push((role, id.to_owned()));
            self.senders.len() - 1
        });
        u32::try_from(at).expect("a conversation has fewer than 2^32 senders")
    }
}
