//! What clients ask of conversations, done.

use std::sync::Arc;

use bytes::Bytes;
use kefu_proto::v1::{self, ErrorCode, Holder, Status, body::Kind, message::Content};

use super::Hub;
use super::client::{Client, check_seen};
use super::commit::{conflict, refusal};
use super::outbox::{AckOut, Out, OutBody};
use super::slot::{AckTo, Asked, Change, Slot};
use crate::chat::conversation::{Actor, Draft};
use crate::chat::id::{ClientMsgId, ConversationId};
use crate::chat::keys;
use crate::chat::party::{Party, Side, status};
use crate::chat::record::Head;
use crate::chat::refusal::Refusal;
use crate::chat::request::{Request, Send, digest};
use crate::store::{self, Batch};

/// A visitor's message, for the bot.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// Its place.
    pub seq: u64,
    /// What it says.
    pub text: &'a str,
    /// The option that it chooses; may be empty.
    pub option: &'a str,
}

/// Who answers until an agent does. It only gathers changes here; what takes time it does after
/// they are durable ([`Change::then`]).
pub trait Bot: std::marker::Send + Sync {
    /// Who owns a new conversation of `app`.
    fn reception(&self, app: &str) -> v1::Owner;
    /// A visitor wrote, in a conversation that the bot owns.
    fn heard(&self, change: &mut Change<'_>, message: Heard<'_>);
    /// The conversation has another owner, who may be the bot.
    fn owner_changed(&self, change: &mut Change<'_>);
    /// The conversation has come into the queue, at this place; the wait is in milliseconds.
    fn queued(&self, change: &mut Change<'_>, position: usize, wait_ms: Option<u64>);
}

impl Hub {
    /// Does what a client asks. Answers go to its outbox, under the number `request`.
    ///
    /// # Errors
    /// What the client is told instead.
    pub async fn serve(
        self: &Arc<Self>,
        client: &Client,
        request: u64,
        asked: Request,
    ) -> Result<(), Refusal> {
        let answer = |kind| client.outbox.push(Out::answer(request, kind));
        match asked {
            Request::Send(send) => self.send(client, request, send).await?,
            Request::Change(change) => self.rewrite(client, request, change).await?,
            Request::Pull(pull) => {
                let (head, last_seq) = self.peek(pull.conversation).await?;
                check_seen(client, &head)?;
                let page = self.page(&head, last_seq, pull, client.user.side).await?;
                answer(Kind::Range(page));
            }
            Request::Read(id, seq) => self.read(client, id, seq).await?,
            Request::Typing(id, on) => self.typing(client, id, on).await?,
            Request::Open(id, subject) => {
                self.open_conversation(client, request, id, subject).await?;
            }
            Request::Control(control) => self.control(client, request, control).await?,
            Request::Presence(online, capacity) => self.presence(client, online, capacity).await?,
            Request::Watch(id, on) => self.watch(client, id, on).await?,
            Request::Ping(token) => {
                let server_time_ms = self.now_ms();
                answer(Kind::Pong(v1::Pong { token, server_time_ms }));
            }
        }
        Ok(())
    }

    /// Does what needs no reading: a new message for a conversation in memory. So the most frequent
    /// request costs no more than it must; anything else is for [`Self::serve`].
    ///
    /// # Errors
    /// The request, if it is something else. Within: what the client is told instead.
    pub fn serve_at_once(
        self: &Arc<Self>,
        client: &Client,
        request: u64,
        asked: Request,
    ) -> Result<Result<(), Refusal>, Request> {
        let Request::Send(send) = asked else { return Err(asked) };
        let newest = || self.newest_of.get(&client.user).map(|newest| *newest);
        let Some(slot) = send.conversation.or_else(newest).and_then(|id| self.in_memory(id)) else {
            return Err(Request::Send(send));
        };
        let sender = client.user.user(&client.name);
        if slot.lock().conversation.find(&sender, send.id).is_some() {
            return Err(Request::Send(send));
        }
        Ok(match self.append(&slot, client, request, send) {
            // Another connection sent the same in between; the next try will find it.
            Ok(Asked::Stored(_)) => Err(super::commit::reload()),
            Ok(Asked::New(_) | Asked::OnItsWay) => Ok(()),
            Err(refusal) => Err(refusal),
        })
    }

    async fn send(
        self: &Arc<Self>,
        client: &Client,
        request: u64,
        send: Send,
    ) -> Result<(), Refusal> {
        let slot = match send.conversation {
            Some(id) => self.conversation(id).await?,
            None => self.current(client).await?,
        };
        let to = AckTo { outbox: Arc::clone(&client.outbox), request, id: send.id };
        let sent = send.digest();
        let asked = self.append(&slot, client, request, send)?;
        self.settle(&slot, asked, to, &sent).await
    }

    /// Appends a message, unless its sender sent it before.
    fn append(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        client: &Client,
        request: u64,
        send: Send,
    ) -> Result<Asked, Refusal> {
        let to = AckTo { outbox: Arc::clone(&client.outbox), request, id: send.id };
        let sent = send.digest();
        self.change(slot, |change| {
            let head = change.conversation().head();
            check_seen(client, head)?;
            let by_visitor = client.user.side == Side::Visitor;
            if !by_visitor && !send.note {
                check_owner(client, head)?;
            }
            let resolved = head.status() == Status::Resolved;
            let mut actor = Actor::from(client.user.user(&client.name));
            let again = |change: &mut Change<'_>, user| change.conversation().find(user, send.id);
            if by_visitor && resolved && again(change, &actor.user).is_none() {
                self.reopen(change, &mut actor);
            }
            let to_bot = by_visitor && change.conversation().head().owner.holder() == Holder::Bot;
            let heard = to_bot.then(|| (send.text.clone(), send.option.clone()));
            let kind = if send.note { v1::Kind::Note } else { v1::Kind::Unspecified };
            let text = v1::Text {
                text: send.text,
                option: send.option,
                kind: kind.into(),
                ..v1::Text::default()
            };
            let draft = Draft {
                sender: actor.user,
                client_msg_id: Some(send.id),
                digest: Bytes::copy_from_slice(&sent),
                content: Content::Text(text),
            };
            let asked = change.ask(to, draft)?;
            if let (Asked::New(seq), Some((text, option))) = (asked, &heard) {
                self.bot.heard(change, Heard { seq, text, option });
            }
            Ok(asked)
        })
    }

    /// The visitor writes again: whoever receives visitors has the conversation, unless somebody does.
    fn reopen(self: &Arc<Self>, change: &mut Change<'_>, by: &mut Actor) {
        let now_ms = change.now_ms;
        let head = change.conversation().head();
        let nobody = head.owner.holder() == v1::Holder::Nobody;
        let owner = nobody.then(|| self.bot.reception(&head.app));
        let status = status(owner.as_ref().unwrap_or(&head.owner));
        change.conversation().hand_over(owner, status, "", by, now_ms);
        if nobody {
            self.follow(change);
        }
    }

    /// Acks what was stored before under the same id, if it is the same.
    pub(super) async fn settle(
        &self,
        slot: &Slot,
        asked: Asked,
        to: AckTo,
        digest: &[u8],
    ) -> Result<(), Refusal> {
        let Asked::Stored(seq) = asked else { return Ok(()) };
        let conversation = slot.lock().conversation.id();
        let entry = self.entry(conversation, seq).await?;
        if entry.digest != digest {
            return Err(conflict());
        }
        let ack = AckOut {
            conversation,
            id: to.id,
            seq,
            at_ms: entry.message.at_ms,
            duplicate: true,
            log_epoch: self.log_epoch,
        };
        to.outbox.push(Out { request: to.request, body: OutBody::Ack(ack) });
        Ok(())
    }

    /// The visitor's current conversation; one begins if there is none.
    async fn current(self: &Arc<Self>, client: &Client) -> Result<Arc<Slot>, Refusal> {
        let _alone = self.opening[super::stripe_of(&client.user.id)].lock().await;
        let newest = self.newest(client).await?;
        Ok(newest.unwrap_or_else(|| self.begin_for(client, String::new())))
    }

    async fn newest(&self, client: &Client) -> Result<Option<Arc<Slot>>, Refusal> {
        // A conversation that has just begun may not be in the store yet; if that failed, it never
        // will be.
        let known = self.newest_of.get(&client.user).map(|newest| *newest);
        if let Some(id) = known {
            match self.conversation(id).await {
                Err(refusal) if refusal.code == ErrorCode::NoSuchConversation => {}
                found => return found.map(Some),
            }
        }
        match self.of_visitor(&client.app, &client.user.id, 1).await?.first() {
            Some(id) => {
                let slot = self.conversation(*id).await?;
                self.newest_of.insert(client.user.clone(), *id);
                Ok(Some(slot))
            }
            None => Ok(None),
        }
    }

    fn begin_for(&self, client: &Client, subject: String) -> Arc<Slot> {
        let mut head = Head {
            app: client.app.clone(),
            visitor: client.user.id.clone(),
            visitor_name: client.name.clone(),
            subject,
            owner: self.bot.reception(&client.app),
            owner_epoch: 1,
            lang: client.lang.clone(),
            ..Head::default()
        };
        head.set_status(status(&head.owner));
        head.set_dialogue(v1::DialogueState::Idle);
        let (id, slot) = self.begin(head);
        self.newest_of.insert(client.user.clone(), id);
        slot
    }

    /// Another conversation of the visitor. A retry within the same conversation's memory is
    /// recognised by the id of its first entry.
    async fn open_conversation(
        self: &Arc<Self>,
        client: &Client,
        request: u64,
        id: ClientMsgId,
        subject: String,
    ) -> Result<(), Refusal> {
        let _alone = self.opening[super::stripe_of(&client.user.id)].lock().await;
        let to = AckTo { outbox: Arc::clone(&client.outbox), request, id };
        let opened = digest(&[b"open", subject.as_bytes()]);
        let sender = client.user.user(&client.name);
        if let Some(slot) = self.newest(client).await? {
            let again = self.change(&slot, |change| {
                let known = change.conversation().find(&sender, id);
                known.map(|seq| change.again(seq, to.clone(), &opened)).transpose()
            })?;
            if let Some(again) = again {
                return self.settle(&slot, again, to, &opened).await;
            }
        }
        let slot = self.begin_for(client, subject);
        self.change(&slot, |change| {
            let status = change.conversation().head().status();
            let changed = v1::StatusChanged { before: 0, after: status.into() };
            let event = v1::Event { what: Some(v1::event::What::Status(changed)) };
            let content = Content::Event(event);
            change.ask(
                to,
                Draft {
                    sender,
                    client_msg_id: Some(id),
                    digest: Bytes::copy_from_slice(&opened),
                    content,
                },
            )
        })?;
        Ok(())
    }

    async fn read(
        self: &Arc<Self>,
        client: &Client,
        id: ConversationId,
        seq: u64,
    ) -> Result<(), Refusal> {
        let (head, last_seq) = self.peek(id).await?;
        check_seen(client, &head)?;
        let seq = seq.min(last_seq);
        let _alone = self.rewriting[super::stripe(id)].lock().await;
        if seq <= self.read_seq(id, &client.user).await? {
            return Ok(());
        }
        let batch = Batch::default().put(keys::read(id, &client.user), seq.to_be_bytes());
        store::commit(&*self.store, batch).await.map_err(|error| refusal(&error))?;
        let user = client.user.user(&client.name);
        let state = v1::ReadState { conversation: id.to_string(), user: Some(user), seq };
        self.tell_others(client, &head, id, &Out::shared(Kind::ReadState(state)));
        Ok(())
    }

    async fn typing(&self, client: &Client, id: ConversationId, on: bool) -> Result<(), Refusal> {
        let (head, _) = self.peek(id).await?;
        check_seen(client, &head)?;
        let user = client.user.user(&client.name);
        let notice = v1::TypingNotice { conversation: id.to_string(), user: Some(user), on };
        self.tell_others(client, &head, id, &Out::shared(Kind::TypingNotice(notice)));
        Ok(())
    }

    async fn watch(
        self: &Arc<Self>,
        client: &Client,
        id: ConversationId,
        on: bool,
    ) -> Result<(), Refusal> {
        let slot = self.conversation(id).await?;
        let mut live = slot.lock();
        live.check()?;
        live.watchers.retain(|watcher| !Arc::ptr_eq(watcher, &client.outbox));
        if on {
            live.watchers.push(Arc::clone(&client.outbox));
        }
        Ok(())
    }

    fn watchers(&self, id: ConversationId) -> Vec<Arc<super::outbox::Outbox>> {
        self.in_memory(id).map_or_else(Vec::new, |slot| slot.lock().watchers.clone())
    }

    /// Tells the visitor, the owner and the watchers, except the connection that said it.
    fn tell_others(&self, client: &Client, head: &Head, id: ConversationId, out: &Out) {
        let mut outboxes = self.watchers(id);
        self.users.collect(&client.user, &mut outboxes);
        self.users.collect(&Party::visitor(&head.app, &head.visitor), &mut outboxes);
        if let Some(agent) = super::tell::owner(head) {
            self.users.collect(&agent, &mut outboxes);
        }
        outboxes.retain(|outbox| !Arc::ptr_eq(outbox, &client.outbox));
        outboxes.sort_by_key(|outbox| Arc::as_ptr(outbox).addr());
        outboxes.dedup_by(|one, other| Arc::ptr_eq(one, other));
        outboxes.iter().for_each(|outbox| outbox.push(out.clone()));
    }
}

/// An agent speaks only in conversations that it owns: visitors hear one voice at a time.
fn check_owner(client: &Client, head: &Head) -> Result<(), Refusal> {
    if super::tell::owner(head).is_some_and(|owner| owner == client.user) {
        return Ok(());
    }
    let message = "the conversation is not yours; take it first, or write a note";
    Err(Refusal::new(ErrorCode::NotOwner, message))
}
