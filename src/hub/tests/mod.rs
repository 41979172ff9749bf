//! The hub against a store that holds commits back and fails when told, and devices that do what a
//! client does: apply in order, pull gaps, retry.

mod desk;
mod log;
mod model;
mod ops;
mod retention;
mod search;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures_util::future::BoxFuture;
use kefu_proto::v1::{self, Holder, Owner, body::Kind};
use prost::Message as _;

use super::outbox::{Out, OutBody, Outbox};
use super::slot::Change;
use super::{Bot, Client, Greeting, Heard, Hub};
use crate::chat::check::Checker;
use crate::chat::id::{ClientMsgId, ConversationId};
use crate::chat::keys;
use crate::chat::party::{Party, Side};
use crate::chat::record::{Entry, Run};
use crate::chat::refusal::Refusal;
use crate::chat::request::{Control, Request, Send};
use crate::store::{Batch, Done, MemoryStore, Order, Rows, Scan, Store, StoreError};

/// How the next batch goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Refused,
    Lost,
    /// It is written, but the store cannot tell.
    Unknown,
}

/// Holds each batch back until it is released.
#[derive(Default)]
pub(super) struct HeldStore {
    pub(super) inner: MemoryStore,
    state: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    holds: bool,
    /// Somebody releases right now: the others leave theirs to them.
    releasing: bool,
    waiting: VecDeque<(Batch, Done)>,
    fate: Option<Fate>,
}

impl HeldStore {
    pub(super) fn hold(&self, holds: bool) {
        self.state.lock().unwrap().holds = holds;
    }

    pub(super) fn fail_next(&self, fate: Fate) {
        self.state.lock().unwrap().fate = Some(fate);
    }

    /// Writes the oldest batch; false if none waits.
    pub(super) fn release(&self) -> bool {
        let (next, fate) = {
            let mut held = self.state.lock().unwrap();
            let fate = if held.waiting.is_empty() { None } else { held.fate.take() };
            (held.waiting.pop_front(), fate)
        };
        let Some((batch, done)) = next else { return false };
        let failed = || StoreError::Failed("as the test wants".to_owned());
        match fate {
            Some(Fate::Lost | Fate::Refused) => done(Err(failed())),
            Some(Fate::Unknown) => {
                self.inner.commit(batch, Box::new(|_| ())).unwrap();
                done(Err(failed()));
            }
            None => self.inner.commit(batch, done).unwrap(),
        }
        true
    }

    /// What waits never comes back: the process ended before, or after it was written.
    pub(super) fn crash(&self, written: bool) {
        let waiting = std::mem::take(&mut self.state.lock().unwrap().waiting);
        for (batch, done) in waiting {
            if written {
                self.inner.commit(batch, Box::new(|_| ())).unwrap();
            }
            drop(done);
        }
    }

    pub(super) fn rows(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        run(self.inner.scan(Scan::prefix(prefix, Order::Ascending, usize::MAX))).unwrap().rows
    }

    /// The log of a conversation as it is stored.
    pub(super) fn log(&self, id: ConversationId) -> Vec<Entry> {
        let runs = self.rows(&keys::messages(id)).into_iter();
        runs.flat_map(|(_, value)| Run::decode(&*value).unwrap().entries).collect()
    }

    /// Whether `text` stands anywhere in what is stored.
    pub(super) fn holds_text(&self, text: &str) -> bool {
        let holds = |value: &[u8]| value.windows(text.len()).any(|part| part == text.as_bytes());
        self.rows(&[]).iter().any(|(key, value)| holds(key) || holds(value))
    }
}

impl std::fmt::Debug for HeldStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

impl Store for HeldStore {
    /// What a hub had in flight may arrive after the next one has begun.
    fn is_shared(&self) -> bool {
        true
    }

    fn get(&self, key: Vec<u8>) -> BoxFuture<'_, Result<Option<Vec<u8>>, StoreError>> {
        self.inner.get(key)
    }

    fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Rows, StoreError>> {
        self.inner.scan(scan)
    }

    fn commit(&self, batch: Batch, done: Done) -> Result<(), StoreError> {
        let holds = {
            let mut held = self.state.lock().unwrap();
            if held.fate == Some(Fate::Refused) {
                held.fate = None;
                return Err(StoreError::Busy);
            }
            held.waiting.push_back((batch, done));
            held.holds || std::mem::replace(&mut held.releasing, true)
        };
        if !holds {
            while self.release() {}
            self.state.lock().unwrap().releasing = false;
        }
        Ok(())
    }

    fn close(&self) {}
}

/// Runs what never waits for anything outside.
pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    for _ in 0..1_000 {
        if let Some(done) = poll(future.as_mut()) {
            return done;
        }
    }
    panic!("it waits for something that does not come");
}

pub(super) fn poll<T>(future: std::pin::Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

/// Who receives visitors; says nothing.
#[derive(Debug)]
pub(super) struct Silent(pub(super) Holder);

impl Bot for Silent {
    fn reception(&self, _: &str) -> Owner {
        Owner { holder: self.0.into(), agent: None }
    }

    fn heard(&self, _: &mut Change<'_>, heard: Heard<'_>) {
        assert!(heard.text != "panic", "as the test wants");
    }

    fn owner_changed(&self, _: &mut Change<'_>) {}

    fn queued(&self, change: &mut Change<'_>, position: usize, _: Option<u64>) {
        let text = v1::Text { text: format!("place {position}"), ..v1::Text::default() };
        let mut draft = crate::chat::conversation::Draft {
            sender: crate::chat::party::bot(),
            client_msg_id: None,
            digest: bytes::Bytes::new(),
            content: v1::message::Content::Text(text),
        };
        draft.sender.name.clear();
        let now_ms = change.now_ms;
        change.conversation().append(draft, now_ms);
    }
}

/// A hub with its store and its time.
pub(super) struct World {
    pub(super) hub: Arc<Hub>,
    pub(super) store: Arc<HeldStore>,
    pub(super) now: Arc<AtomicU64>,
    pub(super) holder: Holder,
}

/// Randomness that repeats nothing.
fn counted(bytes: &mut [u8]) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    bytes.fill(0);
    bytes[..8].copy_from_slice(&next.to_le_bytes());
}

impl World {
    pub(super) fn new(holder: Holder) -> Self {
        let (store, now) = (Arc::new(HeldStore::default()), Arc::new(AtomicU64::new(1_000_000)));
        let hub = Self::open(&store, &now, holder);
        Self { hub, store, now, holder }
    }

    fn open(store: &Arc<HeldStore>, now: &Arc<AtomicU64>, holder: Holder) -> Arc<Hub> {
        let now = Arc::clone(now);
        let clock = Arc::new(move || now.load(Ordering::Relaxed));
        let store = Arc::clone(store) as Arc<dyn Store>;
        run(Hub::open(store, clock, counted, Arc::new(Silent(holder)))).unwrap()
    }

    /// The same store under a new hub.
    pub(super) fn restart(&mut self) {
        self.hub = Self::open(&self.store, &self.now, self.holder);
    }

    pub(super) fn pass_ms(&self, ms: u64) {
        self.now.fetch_add(ms, Ordering::Relaxed);
    }

    /// What is stored agrees with itself.
    pub(super) fn check(&self) {
        let mut checker = Checker::default();
        for (key, value) in self.store.rows(&[]) {
            checker.row(&key, &value, &mut |key| run(self.store.inner.get(key.to_vec())).unwrap());
        }
        assert_eq!(checker.end().findings, []);
    }

    pub(super) fn visitor(&self, id: &str, device: &str) -> Client {
        client(Party::visitor("shop", id), device)
    }

    pub(super) fn join(&self, client: &Client) -> Greeting {
        run(self.hub.join(client, &[])).unwrap()
    }

    pub(super) fn serve(&self, client: &Client, request: Request) -> Result<(), Refusal> {
        run(self.hub.serve(client, 1, request))
    }

    /// Sends a text and gives back its ack.
    pub(super) fn say(&self, client: &Client, to: Option<ConversationId>, text: &str) -> Acked {
        let id = new_id();
        self.serve(client, send(to, id, text)).unwrap();
        acks(client).pop().expect("the text is acked")
    }

    pub(super) fn control(
        &self,
        client: &Client,
        conversation: ConversationId,
        action: v1::control::Action,
    ) -> Result<(), Refusal> {
        let control = Control { conversation, id: new_id(), action };
        self.serve(client, Request::Control(control))
    }
}

pub(super) type Acked = super::outbox::AckOut;

pub(super) fn client(user: Party, device: &str) -> Client {
    Client {
        app: user.app.clone(),
        user,
        name: String::new(),
        lang: String::new(),
        device: device.to_owned(),
        capacity: 2,
        outbox: Arc::new(Outbox::default()),
    }
}

pub(super) fn agent(id: &str, device: &str) -> Client {
    client(Party::agent(id), device)
}

pub(super) fn new_id() -> ClientMsgId {
    let mut id = [0; 16];
    counted(&mut id);
    ClientMsgId(id)
}

pub(super) fn send(conversation: Option<ConversationId>, id: ClientMsgId, text: &str) -> Request {
    let (text, option, note) = (text.to_owned(), String::new(), false);
    Request::Send(Send { conversation, id, text, option, note })
}

pub(super) fn frames(client: &Client) -> VecDeque<Out> {
    let mut frames = VecDeque::new();
    client.outbox.take(&mut frames);
    frames
}

pub(super) fn kind(out: &Out) -> Kind {
    match &out.body {
        OutBody::Ack(ack) => ack.body(),
        OutBody::Own(kind) => (**kind).clone(),
        OutBody::Shared(shared) => shared.body.kind.clone().unwrap(),
    }
}

pub(super) fn kinds(client: &Client) -> Vec<Kind> {
    frames(client).iter().map(kind).collect()
}

/// The acks among what waits; the rest is dropped.
pub(super) fn acks(client: &Client) -> Vec<Acked> {
    let acks = frames(client).into_iter().filter_map(|out| match out.body {
        OutBody::Ack(ack) => Some(ack),
        OutBody::Own(_) | OutBody::Shared(_) => None,
    });
    acks.collect()
}

/// What texts say that wait for a client; the rest is dropped.
pub(super) fn texts(client: &Client) -> Vec<String> {
    let messages = kinds(client).into_iter().flat_map(|kind| match kind {
        Kind::Deliver(deliver) => deliver.messages,
        _ => Vec::new(),
    });
    messages.filter_map(|message| text(&message)).collect()
}

pub(super) fn text(message: &v1::Message) -> Option<String> {
    match &message.content {
        Some(v1::message::Content::Text(text)) => Some(text.text.clone()),
        _ => None,
    }
}

pub(super) fn side(client: &Client) -> Side {
    client.user.side
}
