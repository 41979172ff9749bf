//! Visitors' devices that write under load and keep books of everything that they were told, so that
//! any broken promise of the log is found: loss, doubling, gaps, another order.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kefu_proto::v1::{self, ErrorCode, body::Kind, message::Content};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::client::{Client, End, Frame, hello, send};
use super::place;

/// Messages of one device that may be without an Ack.
const IN_FLIGHT: usize = 8;

/// What one visitor's devices know together.
#[derive(Default)]
pub(crate) struct Book(Mutex<Known>);

#[derive(Default)]
struct Known {
    token: Option<String>,
    conversation: String,
    log_epoch: u64,
    /// Every message that any device was shown.
    seen: BTreeMap<u64, v1::Message>,
    /// Every Ack: the place and the message.
    acked: BTreeMap<u64, Bytes>,
    /// Every message that was made: its text.
    made: HashMap<Bytes, String>,
}

impl Book {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap()
    }

    /// The visitor's token; asked for once.
    fn token(&self, address: SocketAddr) -> Result<String, End> {
        let mut known = self.lock();
        if known.token.is_none() {
            known.token = place::visitor(address);
        }
        known.token.clone().ok_or(End::Broken)
    }

    /// What was acked so far: the places and the messages.
    pub(crate) fn acked(&self) -> BTreeMap<u64, Bytes> {
        self.lock().acked.clone()
    }

    /// The conversation as a server has it: the epoch and all messages.
    pub(crate) fn log(&self, address: SocketAddr) -> (u64, Vec<v1::Message>) {
        let (token, conversation) = {
            let known = self.lock();
            (known.token.clone().expect("it wrote"), known.conversation.clone())
        };
        let (mut client, welcome) =
            Client::greet(address, "auditor", hello(&token, vec![])).expect("the server is there");
        let shown = welcome.conversations.iter().find(|one| one.conversation == conversation);
        let log_epoch = shown.expect("the conversation is there").log_epoch;
        (log_epoch, client.pull(&conversation, 0))
    }

    /// Reads the whole log and holds it against everything that was told. With `all_sent`, every
    /// message that was made has to be there.
    pub(crate) fn verify(&self, address: SocketAddr, all_sent: bool) {
        let known = self.lock();
        let Some(token) = &known.token else { return };
        let (mut client, welcome) =
            Client::greet(address, "auditor", hello(token, vec![])).expect("the server is there");
        if known.conversation.is_empty() {
            assert!(welcome.conversations.is_empty(), "a conversation that nobody was told of");
            return;
        }
        let names: Vec<_> = welcome.conversations.iter().map(|one| &one.conversation).collect();
        assert_eq!(names, [&known.conversation], "retries must not begin others");
        let log = client.pull(&known.conversation, 0);
        assert!(log.iter().map(|message| message.seq).eq(1..=log.len() as u64), "not dense");
        for (seq, seen) in &known.seen {
            let stored = log.get(*seq as usize - 1);
            assert_eq!(stored, Some(seen), "what was delivered is gone or another");
        }
        for (seq, id) in &known.acked {
            let stored = log.get(*seq as usize - 1).map(|stored| &stored.client_msg_id);
            assert_eq!(stored, Some(id), "seq {seq} was acked");
        }
        let mut places: HashMap<&Bytes, u64> = HashMap::new();
        for message in &log {
            let Some(text) = known.made.get(&message.client_msg_id) else { continue };
            let Some(Content::Text(stored)) = &message.content else { continue };
            assert_eq!(&stored.text, text);
            let before = places.insert(&message.client_msg_id, message.seq);
            assert_eq!(before, None, "a message is stored twice");
        }
        assert!(!all_sent || places.len() == known.made.len(), "a message was never stored");
    }
}

/// One device of a visitor.
pub(crate) struct Writer {
    book: Arc<Book>,
    device: String,
    random: StdRng,
    /// Up to where it has applied the conversation.
    cursor: u64,
    /// The highest place that it heard of.
    heard: u64,
    queue: VecDeque<(Bytes, String)>,
}

/// What belongs to one connection.
#[derive(Default)]
struct Connection {
    in_flight: BTreeMap<u64, (Bytes, String)>,
    pulling: bool,
    /// The last new message that was acked: request and place.
    last: (u64, u64),
    not_before: Option<Instant>,
}

impl Writer {
    pub(crate) fn new(book: &Arc<Book>, device: &str, seed: u64) -> Self {
        let (book, random) = (Arc::clone(book), StdRng::seed_from_u64(seed));
        let (device, queue) = (device.to_owned(), VecDeque::new());
        Self { book, device, random, cursor: 0, heard: 0, queue }
    }

    /// Writes until `messages` new ones are acked, and all older ones, or the connection ends. Counts
    /// acks in `acks`.
    pub(crate) fn write(
        &mut self,
        address: SocketAddr,
        messages: usize,
        acks: &AtomicUsize,
    ) -> Result<(), End> {
        let mut client = self.resume(address)?;
        let mut connection = Connection::default();
        let written = self.go_on(&mut client, &mut connection, messages, acks);
        // What has no Ack is sent again, in the old order.
        for (_, unacked) in connection.in_flight.into_iter().rev() {
            self.queue.push_front(unacked);
        }
        written
    }

    fn resume(&mut self, address: SocketAddr) -> Result<Client, End> {
        let token = self.book.token(address)?;
        let mut cursors = Vec::new();
        {
            let known = self.book.lock();
            if !known.conversation.is_empty() {
                let (conversation, log_epoch) = (known.conversation.clone(), known.log_epoch);
                cursors.push(v1::Cursor { conversation, seq: self.cursor, log_epoch });
            }
        }
        let accept_snappy = self.random.random();
        let hello = v1::Hello { accept_snappy, ..hello(&token, cursors) };
        let known = {
            let known = self.book.lock();
            let seen = known.seen.last_key_value().map_or(0, |(seq, _)| *seq);
            seen.max(known.acked.last_key_value().map_or(0, |(seq, _)| *seq))
        };
        let (client, welcome) = Client::greet(address, &self.device, hello)?;
        let last_seq = welcome.conversations.first().map_or(0, |one| one.last_seq);
        assert!(last_seq >= known, "seq {known} was told before, the log ends at {last_seq}");
        self.heard = self.heard.max(last_seq);
        Ok(client)
    }

    fn go_on(
        &mut self,
        client: &mut Client,
        connection: &mut Connection,
        mut messages: usize,
        acks: &AtomicUsize,
    ) -> Result<(), End> {
        let begun = Instant::now();
        loop {
            let may = connection.not_before.is_none_or(|then| then <= Instant::now());
            while may && connection.in_flight.len() < IN_FLIGHT {
                if self.queue.is_empty() && messages > 0 {
                    messages -= 1;
                    self.make();
                }
                let Some((id, text)) = self.queue.pop_front() else { break };
                let conversation = self.book.lock().conversation.clone();
                let sent = client.request(send(&conversation, &id, &text));
                let number = *sent.as_ref().unwrap_or(&u64::MAX);
                connection.in_flight.insert(number, (id, text));
                sent?;
            }
            let idle = messages == 0 && self.queue.is_empty() && connection.in_flight.is_empty();
            if idle && !connection.pulling && self.cursor >= self.heard {
                return Ok(());
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{} waits in vain", self.device);
            if let Some(frame) = client.next_within(Duration::from_millis(20))? {
                self.take(client, connection, frame, acks)?;
            } else if self.cursor < self.heard && !connection.pulling {
                self.pull(client, connection)?;
            }
        }
    }

    fn make(&mut self) {
        let id = Bytes::copy_from_slice(&self.random.random::<[u8; 16]>());
        let long = if self.random.random_ratio(1, 20) { 3_000 } else { 20 };
        let padding = "字".repeat(self.random.random_range(0..long));
        let text = format!("{} {padding}", self.device);
        self.book.lock().made.insert(id.clone(), text.clone());
        self.queue.push_back((id, text));
    }

    fn pull(&self, client: &mut Client, connection: &mut Connection) -> Result<(), End> {
        let conversation = self.book.lock().conversation.clone();
        if conversation.is_empty() {
            return Ok(());
        }
        connection.pulling = true;
        let (after_seq, limit) = (self.cursor, 200);
        client.request(Kind::Pull(v1::Pull { conversation, after_seq, before_seq: 0, limit }))?;
        Ok(())
    }

    fn take(
        &mut self,
        client: &mut Client,
        connection: &mut Connection,
        (request, kind): Frame,
        acks: &AtomicUsize,
    ) -> Result<(), End> {
        match kind {
            Kind::Ack(ack) => {
                self.acked(connection, request, &ack);
                acks.fetch_add(1, Ordering::Relaxed);
            }
            Kind::Deliver(v1::Deliver { conversation, messages }) => {
                self.saw(&conversation, messages);
            }
            Kind::Range(range) => {
                if request != 0 {
                    connection.pulling = false;
                }
                self.heard = self.heard.max(range.last_seq);
                self.saw(&range.conversation, range.messages);
            }
            Kind::Error(error) => {
                let retryable = matches!(
                    error.code(),
                    ErrorCode::RateLimited | ErrorCode::Busy | ErrorCode::Unavailable
                );
                assert!(retryable && error.retryable, "{error:?}");
                let wait = Duration::from_millis(error.retry_after_ms.into());
                connection.not_before = Some(Instant::now() + wait);
                match connection.in_flight.remove(&request) {
                    Some(unsent) => self.queue.push_back(unsent),
                    // It was a pull, which is asked again.
                    None => connection.pulling = false,
                }
            }
            Kind::Conversation(_) | Kind::TypingNotice(_) | Kind::ReadState(_) => {}
            other => panic!("nobody asked for {other:?}"),
        }
        if self.cursor < self.heard && !connection.pulling {
            self.pull(client, connection)?;
        }
        Ok(())
    }

    fn acked(&mut self, connection: &mut Connection, request: u64, ack: &v1::Ack) {
        let (id, _) = connection.in_flight.remove(&request).expect("each message is acked once");
        assert_eq!(ack.client_msg_id, id);
        if !ack.duplicate {
            let (before, place) = connection.last;
            assert!(before < request && place < ack.seq, "another order than it was sent in");
            connection.last = (request, ack.seq);
        }
        let mut known = self.book.lock();
        if known.conversation.is_empty() {
            known.conversation.clone_from(&ack.conversation);
        }
        // A Deliver names the conversation too, but not the epoch.
        if known.log_epoch == 0 {
            known.log_epoch = ack.log_epoch;
        }
        assert_eq!((&known.conversation, known.log_epoch), (&ack.conversation, ack.log_epoch));
        let before = known.acked.insert(ack.seq, id.clone());
        assert!(before.is_none_or(|before| before == id), "two messages have seq {}", ack.seq);
        drop(known);
        self.heard = self.heard.max(ack.seq);
        if ack.seq == self.cursor + 1 {
            self.cursor = ack.seq;
        }
    }

    fn saw(&mut self, conversation: &str, messages: Vec<v1::Message>) {
        let mut known = self.book.lock();
        if known.conversation.is_empty() {
            conversation.clone_into(&mut known.conversation);
        }
        assert_eq!(known.conversation, conversation);
        let first = messages.first().map_or(0, |first| first.seq);
        for (expected, message) in (first..).zip(messages) {
            assert_eq!(message.seq, expected, "a gap within a frame");
            self.heard = self.heard.max(message.seq);
            if message.seq == self.cursor + 1 {
                self.cursor = message.seq;
            }
            match known.seen.get(&message.seq) {
                Some(before) => assert_eq!(before, &message, "two devices saw different logs"),
                None => drop(known.seen.insert(message.seq, message)),
            }
        }
    }
}
