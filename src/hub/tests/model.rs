//! Random interleavings of everything that clients, the store and restarts can do, against what must
//! hold of a log.

use std::collections::{HashMap, HashSet};

use futures_util::future::BoxFuture;
use kefu_proto::v1::{Message, body::Kind, message::Content};
use proptest::prelude::*;

use super::ops::{DEVICES, Device, Op, op};
use super::*;
use crate::chat::request::{Change, Pull, PullFrom};

struct Run {
    world: World,
    devices: Vec<Device>,
    running: Vec<BoxFuture<'static, Result<(), Refusal>>>,
    /// Acked, by user and id.
    acked: HashMap<(Party, ClientMsgId), (ConversationId, u64)>,
    /// Ids whose ack said that they were stored right then.
    fresh: HashSet<bytes::Bytes>,
    conversations: Vec<ConversationId>,
    /// How far each user has read, as it was seen last.
    read: HashMap<(ConversationId, Party), u64>,
    recalls: HashMap<ClientMsgId, String>,
    words: u32,
}

impl Run {
    fn new() -> Self {
        let world = World::new(Holder::Bot);
        world.store.hold(true);
        let clients = [
            world.visitor("ann", "phone"),
            world.visitor("ann", "laptop"),
            world.visitor("bob", "phone"),
            agent("eve", "desk"),
            agent("eve", "phone"),
        ];
        let device = |client| Device {
            client: Arc::new(client),
            connected: false,
            logs: HashMap::new(),
            asked: HashMap::new(),
        };
        Self {
            world,
            devices: clients.into_iter().map(device).collect(),
            running: Vec::new(),
            acked: HashMap::new(),
            fresh: HashSet::new(),
            conversations: Vec::new(),
            read: HashMap::new(),
            recalls: HashMap::new(),
            words: 0,
        }
    }

    /// A text that occurs nowhere else.
    fn words(&mut self) -> String {
        self.words += 1;
        format!("<{}>", self.words)
    }

    fn ask(&mut self, at: usize, request: Request) {
        let (hub, client) = (Arc::clone(&self.world.hub), Arc::clone(&self.devices[at].client));
        self.running.push(Box::pin(async move { hub.serve(&client, 1, request).await }));
    }

    fn any(&self, n: usize) -> Option<ConversationId> {
        (!self.conversations.is_empty()).then(|| self.conversations[n % self.conversations.len()])
    }

    fn send(&mut self, at: usize, id: ClientMsgId, text: String, to: Option<ConversationId>) {
        let request = super::send(to, id, &text);
        let content = Content::Text(v1::Text { text, ..v1::Text::default() });
        self.devices[at].asked.insert(id, (content, request.clone()));
        self.ask(at, request);
    }

    fn change(&mut self, at: usize, n: usize, text: Option<String>) {
        let user = self.devices[at].client.user.clone();
        let mut own: Vec<_> =
            self.acked.iter().filter(|((who, _), _)| *who == user).map(|(_, at)| *at).collect();
        own.sort_unstable();
        let Some((conversation, seq)) = own.get(n % own.len().max(1)).copied() else { return };
        let id = new_id();
        let content = match &text {
            Some(text) => Content::Edited(v1::Edited { seq, text: text.clone() }),
            None => {
                let original = self.world.store.log(conversation).remove(seq as usize - 1);
                let text = super::text(&original.message).unwrap_or_default();
                self.recalls.insert(id, text);
                Content::Recalled(v1::Recalled { seq })
            }
        };
        let request = Request::Change(Change { conversation, id, seq, text });
        self.devices[at].asked.insert(id, (content, request.clone()));
        self.ask(at, request);
    }

    /// A visitor writes; an agent takes the conversation first.
    fn say(&mut self, at: usize, n: usize) {
        let text = self.words();
        let to = match side(&self.devices[at].client) {
            Side::Visitor => None,
            Side::Agent => {
                let Some(conversation) = self.any(n) else { return };
                let action = v1::control::Action::Take(v1::Take {});
                let control = Control { conversation, id: new_id(), action };
                self.ask(at, Request::Control(control));
                Some(conversation)
            }
        };
        self.send(at, new_id(), text, to);
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Send(at, n) => self.say(at, n.into()),
            Op::Retry(at, n, other) => {
                // Any device of the user may send it again: the outbox is the user's.
                let user = self.devices[at].client.user.clone();
                let mut asked: Vec<_> = self
                    .devices
                    .iter()
                    .filter(|d| d.client.user == user)
                    .flat_map(|d| d.asked.iter().map(|(id, (_, request))| (*id, request.clone())))
                    .collect();
                asked.sort_by_key(|(id, _)| id.0);
                let Some((id, request)) = asked.get(n % asked.len().max(1)).cloned() else {
                    return;
                };
                match request {
                    Request::Send(send) => {
                        let text = if other { self.words() } else { send.text };
                        self.send(at, id, text, send.conversation);
                    }
                    request if !other => {
                        let asked = self.devices.iter().find_map(|d| d.asked.get(&id)).cloned();
                        self.devices[at].asked.insert(id, asked.unwrap());
                        self.ask(at, request);
                    }
                    _ => {}
                }
            }
            Op::Edit(at, n) => {
                let text = self.words();
                self.change(at, n, Some(text));
            }
            Op::Recall(at, n) => self.change(at, n, None),
            Op::Read(at, n, seq) => {
                if let Some(id) = self.any(n) {
                    self.ask(at, Request::Read(id, seq));
                }
            }
            Op::Pull(at, n, from, limit) => {
                if let Some(conversation) = self.any(n) {
                    self.ask(at, Request::Pull(Pull { conversation, from, limit }));
                }
            }
            Op::Resolve(n) => {
                if let Some(conversation) = self.any(n) {
                    let action = v1::control::Action::Resolve(v1::Resolve {});
                    let control = Control { conversation, id: new_id(), action };
                    self.ask(3, Request::Control(control));
                }
            }
            Op::Disconnect(at) => self.disconnect(at),
            Op::Connect(at) => self.connect(at),
            Op::Release(times) => {
                for _ in 0..times {
                    self.world.store.release();
                }
            }
            Op::Fail(fate) => self.world.store.fail_next(fate),
            Op::Restart(written) => {
                self.running.clear();
                self.world.store.crash(written);
                (0..DEVICES).for_each(|at| self.forget(at));
                self.world.restart();
            }
            Op::Sweep => {
                self.world.pass_ms(61_000);
                self.world.hub.sweep();
                // Marks and signatures go with whatever else is on its way.
                let _ = run(self.world.hub.index_pages());
            }
        }
        self.go_on();
    }

    fn disconnect(&mut self, at: usize) {
        self.world.hub.leave(&self.devices[at].client);
        self.forget(at);
    }

    /// The connection is gone with what waited in it.
    fn forget(&mut self, at: usize) {
        let old = &self.devices[at].client;
        let new = client(old.user.clone(), &old.device);
        (self.devices[at].client, self.devices[at].connected) = (Arc::new(new), false);
    }

    fn connect(&mut self, at: usize) {
        let older = self.devices[at].connected.then(|| Arc::clone(&self.devices[at].client));
        self.forget(at);
        let log_epoch = self.world.hub.log_epoch();
        let device = &self.devices[at];
        let cursors = device.logs.iter().map(|(id, log)| v1::Cursor {
            conversation: id.to_string(),
            seq: log.len() as u64,
            log_epoch,
        });
        let cursors: Vec<_> = cursors.collect();
        let greeting = run(self.world.hub.join(&device.client, &cursors)).unwrap();
        self.devices[at].connected = true;
        for page in greeting.missed {
            self.take(at, page);
        }
        if let Some(older) = older {
            assert!(older.outbox.is_ended(), "one connection a device");
        }
        if side(&self.devices[at].client) == Side::Agent {
            for id in self.conversations.clone() {
                self.ask(at, Request::Watch(id, true));
            }
        }
    }

    fn go_on(&mut self) {
        self.running.retain_mut(|future| poll(future.as_mut()).is_none());
        for at in 0..DEVICES {
            for kind in kinds(&self.devices[at].client) {
                self.take(at, kind);
            }
        }
    }

    /// A device gets a frame; whatever it says must be durable.
    fn take(&mut self, at: usize, kind: Kind) {
        match kind {
            Kind::Ack(ack) => self.take_ack(at, &ack),
            Kind::Deliver(v1::Deliver { conversation, messages })
            | Kind::Range(v1::Range { conversation, messages, .. }) => {
                let id = ConversationId::parse(&conversation).unwrap();
                self.met(id);
                for message in messages {
                    let log = self.world.store.log(id);
                    assert!(message.seq <= log.len() as u64, "delivered before it is durable");
                    self.devices[at].apply(id, message);
                }
            }
            Kind::Conversation(seen) => {
                let id = ConversationId::parse(&seen.conversation).unwrap();
                assert!(!self.world.store.log(id).is_empty(), "shown before it is durable");
            }
            _ => {}
        }
    }

    fn met(&mut self, id: ConversationId) {
        if !self.conversations.contains(&id) {
            self.conversations.push(id);
        }
    }

    fn take_ack(&mut self, at: usize, ack: &v1::Ack) {
        let conversation = ConversationId::parse(&ack.conversation).unwrap();
        let id = ClientMsgId::parse(&ack.client_msg_id).unwrap();
        self.met(conversation);
        let log = self.world.store.log(conversation);
        let entry = log.get(ack.seq as usize - 1).expect("acked before it is durable");
        assert_eq!(entry.message.client_msg_id, ack.client_msg_id);
        assert_eq!(entry.message.at_ms, ack.at_ms);
        let user = self.devices[at].client.user.clone();
        let before = self.acked.insert((user, id), (conversation, ack.seq));
        assert!(before.is_none_or(|b| b == (conversation, ack.seq)), "acked at two places");
        assert!(ack.duplicate || self.fresh.insert(ack.client_msg_id.clone()), "stored once");
        if let Some(text) = self.recalls.get(&id) {
            assert!(text.is_empty() || !self.world.store.holds_text(text), "{text} is still there");
        }
        let Some((_, request)) = self.devices[at].asked.get(&id) else { return };
        let (digest, said) = match request {
            Request::Send(send) => (send.digest(), Some(&send.text)),
            Request::Change(change) => (change.digest(), None),
            _ => return,
        };
        if *entry.digest != digest {
            // The last try said something else and is refused; an earlier one was acked.
            return;
        }
        let content = match (&entry.message.content, said) {
            (Some(Content::Text(text)), Some(said))
                if text.recalled_by == 0 && text.text == *said =>
            {
                self.devices[at].asked[&id].0.clone()
            }
            _ => entry.message.content.clone().unwrap(),
        };
        let message = Message { content: Some(content), ..entry.message.clone() };
        self.devices[at].apply(conversation, message);
    }

    /// The network is well again: everybody connects, pulls, and has the same.
    fn end(mut self) {
        self.world.store.hold(false);
        while self.world.store.release() {}
        (0..DEVICES).for_each(|at| self.connect(at));
        while !self.running.is_empty() {
            self.go_on();
        }
        for id in self.conversations.clone() {
            let log = self.world.store.log(id);
            let seqs: Vec<_> = log.iter().map(|entry| entry.message.seq).collect();
            assert_eq!(seqs, (1..=log.len() as u64).collect::<Vec<_>>(), "dense from 1");
            let (head, last_seq) = run(self.world.hub.peek(id)).unwrap();
            assert_eq!(last_seq, log.len() as u64);
            for at in 0..DEVICES {
                let client = Arc::clone(&self.devices[at].client);
                if side(&client) == Side::Visitor && head.visitor != client.user.id {
                    assert!(!self.devices[at].logs.contains_key(&id), "of another visitor");
                    continue;
                }
                self.catch_up(at, id);
                let has = &self.devices[at].logs[&id];
                let says = |m: &Message| (m.seq, m.client_msg_id.clone(), super::text(m));
                let stored: Vec<_> = log.iter().map(|entry| says(&entry.message)).collect();
                assert_eq!(has.iter().map(says).collect::<Vec<_>>(), stored);
                self.check_unread(id, &head, last_seq, &log, &client.user);
            }
        }
        self.world.check();
        for ((user, id), (conversation, seq)) in &self.acked {
            let log = self.world.store.log(*conversation);
            let named = log.iter().filter(|entry| {
                let message = &entry.message;
                message.client_msg_id == id.0[..] && message.sender.as_ref().unwrap().id == user.id
            });
            let seqs: Vec<_> = named.map(|entry| entry.message.seq).collect();
            assert_eq!(seqs, [*seq], "exactly once");
        }
    }

    fn catch_up(&mut self, at: usize, conversation: ConversationId) {
        loop {
            let applied = self.devices[at].logs.entry(conversation).or_default().len() as u64;
            let pull = Pull { conversation, from: PullFrom::After(applied), limit: 3 };
            self.ask(at, Request::Pull(pull));
            self.running.retain_mut(|future| poll(future.as_mut()).is_none());
            let mut more = false;
            for kind in kinds(&self.devices[at].client) {
                if let Kind::Range(range) = &kind {
                    more = range.has_more;
                }
                self.take(at, kind);
            }
            if !more {
                return;
            }
        }
    }

    fn check_unread(
        &mut self,
        id: ConversationId,
        head: &crate::chat::record::Head,
        last_seq: u64,
        log: &[Entry],
        user: &Party,
    ) {
        let shown = run(self.world.hub.show(id, head, last_seq, user)).unwrap();
        let news = log.iter().filter(|entry| {
            let sender = entry.message.sender.as_ref().unwrap();
            entry.message.seq > shown.read_seq
                && sender.id != user.id
                && super::text(&entry.message).is_some_and(|text| !text.is_empty())
        });
        assert_eq!(shown.unread, news.count() as u64, "what others said, and nothing of one's own");
        let before = self.read.insert((id, user.clone()), shown.read_seq).unwrap_or(0);
        assert!(before <= shown.read_seq && shown.read_seq <= last_seq);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_the_log_holds_what_was_acked(ops in prop::collection::vec(op(), 1..120)) {
        let mut run = Run::new();
        (0..DEVICES).for_each(|at| run.connect(at));
        ops.into_iter().for_each(|op| run.step(op));
        run.end();
    }
}
