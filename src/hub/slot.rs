//! One conversation in use, and the way of its changes into the store.
//!
//! Changes are gathered while a commit is on its way; when that is durable, what was gathered
//! meanwhile goes as the next one. So a conversation has one commit in flight at most, messages that
//! come together are stored together, and nothing is acked or delivered before it is durable.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use kefu_proto::CloseCode;
use kefu_proto::v1::{ErrorCode, body::Kind};

use super::Hub;
use super::outbox::{AckOut, Out, OutBody, Outbox};
use crate::chat::conversation::{Commit, Conversation, Draft, Place};
use crate::chat::id::{ClientMsgId, ConversationId};
use crate::chat::record::{Entry, Head};
use crate::chat::refusal::Refusal;
use crate::store::{Batch, StoreError};

/// Most messages that wait while a commit is on its way.
const MAX_GATHERED: usize = 1_024;

/// A conversation in use.
#[derive(Debug)]
pub struct Slot {
    live: Mutex<Live>,
}

/// What changes while it is in use.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) conversation: Conversation,
    /// What is durable: the head and the last message.
    pub(super) head: Arc<Head>,
    pub(super) last_seq: u64,
    in_flight: Option<InFlight>,
    /// A commit is durable, and the devices are being told.
    telling: bool,
    /// Whether anything of it is in the store.
    stored: bool,
    waiting: Waiting,
    pub(super) watchers: Vec<Arc<Outbox>>,
    /// What is gathered is its end: it is removed.
    ending: bool,
    /// A commit failed: what is here may not be what is stored.
    broken: bool,
    pub(super) touched_ms: u64,
}

#[derive(Debug)]
struct InFlight {
    entries: Vec<Entry>,
    last_seq: u64,
    head: Option<Head>,
    waiting: Waiting,
}

/// What happens when a commit is durable, or when it failed.
#[derive(Default)]
struct Waiting {
    acks: Vec<Ack>,
    then: Vec<Then>,
}

/// Runs after a commit, on the store's thread: it must be short.
pub type Then = Box<dyn FnOnce(&Arc<Hub>, Result<(), Refusal>) + Send>;

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Waiting({} acks, {} others)", self.acks.len(), self.then.len())
    }
}

/// An ack that is due when its message is durable.
#[derive(Debug, Clone)]
pub(super) struct Ack {
    pub(super) seq: u64,
    pub(super) to: AckTo,
    at_ms: u64,
    duplicate: bool,
}

/// Who asked, and under which names.
#[derive(Debug, Clone)]
pub struct AckTo {
    /// The connection.
    pub outbox: Arc<Outbox>,
    /// The request on it.
    pub request: u64,
    /// The message.
    pub id: ClientMsgId,
}

/// A commit that became durable, to be told to the devices.
pub(super) struct Told {
    pub(super) id: ConversationId,
    pub(super) entries: Vec<Entry>,
    pub(super) acks: Vec<Ack>,
    pub(super) head: Arc<Head>,
    pub(super) head_changed: bool,
    pub(super) last_seq: u64,
    pub(super) watchers: Vec<Arc<Outbox>>,
}

/// What is to be done once the lock of a conversation is free.
enum Next {
    /// A commit is on its way, or there is nothing to do.
    Nothing,
    /// Nothing was to be written.
    True(Vec<Then>),
    /// It cannot go on.
    Failed(Vec<Waiting>),
    /// This goes to the store.
    Commit(Batch),
}

/// Changes to one conversation that commit together.
pub struct Change<'a> {
    pub(super) live: &'a mut Live,
    /// The time of all of it.
    pub now_ms: u64,
}

/// Where an asked-for message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It is appended; the ack follows.
    New(u64),
    /// It is on its way already; the ack follows with that.
    OnItsWay,
    /// It is durable under this seq: compare it with what is stored.
    Stored(u64),
}

impl Slot {
    pub(super) fn new(conversation: Conversation, stored: bool, now_ms: u64) -> Self {
        let head = Arc::new(conversation.head().clone());
        let last_seq = if stored { conversation.last_seq() } else { 0 };
        Self {
            live: Mutex::new(Live {
                conversation,
                head,
                last_seq,
                in_flight: None,
                telling: false,
                stored,
                waiting: Waiting::default(),
                watchers: Vec::new(),
                ending: false,
                broken: false,
                touched_ms: now_ms,
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Live> {
        // Whoever panicked in here left a conversation that may be half changed.
        self.live.lock().unwrap_or_else(|poisoned| {
            let mut live = PoisonError::into_inner(poisoned);
            live.broken = true;
            live
        })
    }

    /// Whether nobody asked since `before_ms`.
    pub(super) fn is_quiet(&self, before_ms: u64) -> bool {
        self.lock().touched_ms < before_ms
    }

    /// The durable head and last message.
    pub fn durable(&self) -> (Arc<Head>, u64) {
        let live = self.lock();
        (Arc::clone(&live.head), live.last_seq)
    }

    /// Whether nothing waits, and nobody asked since `before_ms`.
    pub(super) fn is_idle(&self, before_ms: u64) -> bool {
        let mut live = self.lock();
        live.watchers.retain(|watcher| !watcher.is_ended());
        let at_rest = live.in_flight.is_none() && !live.telling && live.watchers.is_empty();
        at_rest && live.touched_ms < before_ms
    }
}

impl Live {
    /// Whether this may be used.
    ///
    /// # Errors
    /// `UNAVAILABLE` after a failure: what is here may not be what is stored.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if self.broken || self.ending { Err(reload()) } else { Ok(()) }
    }

    /// Whether the store has it all in hand, so that it can be read from there.
    pub(super) fn is_over(&self) -> bool {
        self.broken && self.in_flight.is_none() && !self.telling
    }
}

impl Hub {
    /// Changes a conversation. What `change` gathers commits together; if it refuses, nothing of it
    /// must have been gathered.
    ///
    /// # Errors
    /// What `change` refuses; `UNAVAILABLE` while the conversation is read again, `BUSY` while too
    /// much of it waits for the store. That the store refuses is told as when it fails later: to who
    /// waits for an ack, and to [`Change::then`].
    pub fn change<T>(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        change: impl FnOnce(&mut Change<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let now_ms = self.now_ms();
        let mut live = slot.lock();
        live.check()?;
        if live.conversation.waits() >= MAX_GATHERED {
            return Err(refusal(&StoreError::Busy));
        }
        live.touched_ms = now_ms;
        let done = change(&mut Change { live: &mut live, now_ms })?;
        let next = live.next();
        drop(live);
        self.go_on(slot, next);
        Ok(done)
    }

    /// Does what is next for a conversation. Nobody may hold its lock: the store may call back at
    /// once.
    fn go_on(self: &Arc<Self>, slot: &Arc<Slot>, next: Next) {
        match next {
            Next::Nothing => {}
            Next::True(then) => then.into_iter().for_each(|then| then(self, Ok(()))),
            Next::Failed(waiting) => self.failed(waiting, &reload()),
            Next::Commit(batch) => {
                let (hub, held) = (Arc::clone(self), Arc::clone(slot));
                let done = move |result| hub.committed(&held, result);
                if let Err(error) = self.store.commit(batch, Box::new(done)) {
                    self.committed(slot, Err(error));
                }
            }
        }
    }

    /// Called by the store, in the order of the commits.
    fn committed(self: &Arc<Self>, slot: &Arc<Slot>, result: Result<(), StoreError>) {
        let mut live = slot.lock();
        if let Err(error) = result {
            tracing::error!(conversation = %live.conversation.id(), %error, "a commit failed");
            let failed = live.fail();
            drop(live);
            return self.failed(failed, &refusal(&error));
        }
        let (told, then) = live.durable();
        drop(live);
        self.tell(told);
        // Only now, so that the devices hear of commits in their order, whatever the store's threads.
        let mut live = slot.lock();
        live.telling = false;
        let next = live.next();
        drop(live);
        self.go_on(slot, next);
        then.into_iter().for_each(|then| then(self, Ok(())));
    }

    /// Tells those who waited that it failed.
    fn failed(self: &Arc<Self>, waiting: Vec<Waiting>, why: &Refusal) {
        for Waiting { acks, then } in waiting {
            for ack in acks {
                let mut error = super::tell::error(why);
                error.client_msg_id = Bytes::copy_from_slice(&ack.to.id.0);
                ack.to.outbox.push(Out::answer(ack.to.request, Kind::Error(error)));
            }
            then.into_iter().for_each(|then| then(self, Err(why.clone())));
        }
    }
}

impl Live {
    /// Takes what was gathered, unless a commit is on its way.
    fn next(&mut self) -> Next {
        if self.in_flight.is_some() || self.telling {
            return Next::Nothing;
        }
        if self.broken {
            return Next::Failed(self.fail());
        }
        let waiting = std::mem::take(&mut self.waiting);
        let Some(Commit { batch, entries, last_seq, head }) = self.conversation.take() else {
            // Nothing to write: what waits has come true. Acks wait for entries only.
            return Next::True(waiting.then);
        };
        self.in_flight = Some(InFlight { entries, last_seq, head, waiting });
        Next::Commit(batch)
    }

    /// What is in flight is durable.
    fn durable(&mut self) -> (Told, Vec<Then>) {
        let InFlight { entries, last_seq, head, waiting } =
            self.in_flight.take().expect("a commit comes back once");
        self.telling = true;
        self.last_seq = last_seq;
        // Nothing can be gathered behind the end, so this was it.
        self.broken |= self.ending;
        let mut head_changed = !std::mem::replace(&mut self.stored, true);
        if let Some(head) = head {
            head_changed |= !head.looks_like(&self.head);
            self.head = Arc::new(head);
        }
        self.watchers.retain(|watcher| !watcher.is_ended());
        let Waiting { acks, then } = waiting;
        let told = Told {
            id: self.conversation.id(),
            entries,
            acks,
            head: Arc::clone(&self.head),
            head_changed,
            last_seq,
            watchers: self.watchers.clone(),
        };
        (told, then)
    }

    /// Nothing more is written from here; gives back who waits.
    fn fail(&mut self) -> Vec<Waiting> {
        self.broken = true;
        let in_flight = self.in_flight.take().map(|in_flight| in_flight.waiting);
        // Watchers cannot tell that they miss something, so they come again.
        for watcher in self.watchers.drain(..) {
            watcher.end(CloseCode::Internal);
        }
        in_flight.into_iter().chain([std::mem::take(&mut self.waiting)]).collect()
    }

    fn on_its_way(&self, seq: u64) -> Option<&Entry> {
        let flying = self.in_flight.as_ref().map_or(&[][..], |in_flight| &in_flight.entries);
        let flying = flying.iter().find(|entry| entry.message.seq == seq);
        flying.or_else(|| self.conversation.gathered(seq))
    }
}

impl Change<'_> {
    /// The conversation as it will be.
    pub fn conversation(&mut self) -> &mut Conversation {
        &mut self.live.conversation
    }

    /// Appends what a client asked for, and acks it when it is durable.
    ///
    /// # Errors
    /// `CONFLICT` when the same id was sent with something else.
    pub fn ask(&mut self, to: AckTo, draft: Draft) -> Result<Asked, Refusal> {
        let (digest, at_ms) = (draft.digest.clone(), self.now_ms);
        match self.live.conversation.append(draft, at_ms) {
            Place::New(seq) => {
                self.live.waiting.acks.push(Ack { seq, to, at_ms, duplicate: false });
                Ok(Asked::New(seq))
            }
            Place::Known(seq) => self.again(seq, to, &digest),
        }
    }

    /// Acks what was asked for before under the same id, when it is durable.
    ///
    /// # Errors
    /// `CONFLICT` when it was something else.
    pub fn again(&mut self, seq: u64, to: AckTo, digest: &Bytes) -> Result<Asked, Refusal> {
        let Some(entry) = self.live.on_its_way(seq) else { return Ok(Asked::Stored(seq)) };
        if entry.digest != *digest {
            return Err(conflict());
        }
        let ack = Ack { seq, to, at_ms: entry.message.at_ms, duplicate: true };
        let flying = self.live.in_flight.as_mut().filter(|flying| seq <= flying.last_seq);
        match flying {
            Some(flying) => flying.waiting.acks.push(ack),
            None => self.live.waiting.acks.push(ack),
        }
        Ok(Asked::OnItsWay)
    }

    /// Acks the request whose first entry is `seq`, when that is durable.
    pub(super) fn ack(&mut self, seq: u64, to: AckTo) {
        let at_ms = self.now_ms;
        self.live.waiting.acks.push(Ack { seq, to, at_ms, duplicate: false });
    }

    /// Runs `then` when all of this is durable, or has failed.
    pub fn then(&mut self, then: impl FnOnce(&Arc<Hub>, Result<(), Refusal>) + Send + 'static) {
        self.live.waiting.then.push(Box::new(then));
    }

    /// Whether `last_seq` is durable and nothing follows.
    pub(super) fn is_at_rest(&self, last_seq: u64) -> bool {
        let Live { conversation, in_flight, telling, .. } = &*self.live;
        in_flight.is_none() && !telling && conversation.last_seq() == last_seq
    }

    /// The conversation is removed with this.
    pub(super) fn end(&mut self) {
        self.live.ending = true;
    }

    /// The last message that is durable.
    pub fn durable_seq(&self) -> u64 {
        self.live.last_seq
    }
}

impl Ack {
    /// The frame.
    pub(super) fn out(&self, conversation: ConversationId, log_epoch: u64) -> Out {
        let Ack { seq, to, at_ms, duplicate } = self;
        Out {
            request: to.request,
            body: OutBody::Ack(AckOut {
                conversation,
                id: to.id,
                seq: *seq,
                at_ms: *at_ms,
                duplicate: *duplicate,
                log_epoch,
            }),
        }
    }
}

/// The same id was used for something else.
pub(super) fn conflict() -> Refusal {
    let message = "client_msg_id was used for another message; make a new one for each message";
    Refusal::new(ErrorCode::Conflict, message)
}

pub(super) fn reload() -> Refusal {
    let message = "the conversation is being read again after a failure; try again";
    Refusal::new(ErrorCode::Unavailable, message).retry_after_ms(200)
}

/// What a client is told of a failure of the store.
pub(super) fn refusal(error: &StoreError) -> Refusal {
    match error {
        StoreError::Busy => {
            let message = "more is being stored than the server can hold; try again";
            Refusal::new(ErrorCode::Busy, message).retry_after_ms(500)
        }
        StoreError::Conflict => reload(),
        StoreError::TooLarge { .. } | StoreError::Closed(_) | StoreError::Failed(_) => {
            let message = "the server cannot store anything at the moment; try again later";
            Refusal::new(ErrorCode::Unavailable, message).retry_after_ms(5_000)
        }
    }
}
