//! Durable changes reach the devices: acks to who asked, messages to everyone else who follows.

use std::sync::Arc;

use kefu_proto::v1::{self, Holder, Message, body::Kind, message::Content};

use super::Hub;
use super::outbox::{Out, Outbox};
use super::read::fitting;
use super::slot::{Ack, Told};
use crate::chat::id::ConversationId;
use crate::chat::party::{Party, Side};
use crate::chat::record::{Entry, Head};
use crate::chat::refusal::Refusal;

impl Hub {
    /// Sends what became durable, in the order of the log.
    pub(super) fn tell(&self, told: Told) {
        let Told { id, entries, mut acks, head, head_changed, last_seq, watchers } = told;
        let (mut visitor, mut agents) = (Vec::new(), watchers);
        let visiting = Party::visitor(&head.app, &head.visitor);
        self.users.collect(&visiting, &mut visitor);
        if let Some(agent) = owner(&head) {
            self.users.collect(&agent, &mut agents);
        }
        agents.sort_by_key(|outbox| Arc::as_ptr(outbox).addr());
        agents.dedup_by(|one, other| Arc::ptr_eq(one, other));
        acks.sort_by_key(|ack| ack.seq);
        for (outboxes, side) in [(visitor, Side::Visitor), (agents, Side::Agent)] {
            let mut all = None;
            for outbox in outboxes {
                let mine = acks.extract_if(.., |ack| Arc::ptr_eq(&ack.to.outbox, &outbox));
                let mine: Vec<Ack> = mine.collect();
                if !mine.is_empty() {
                    self.tell_sender(id, &entries, side, &outbox, mine);
                } else {
                    let make = || deliver(id, &entries, side).map(Out::shared).collect::<Vec<_>>();
                    all.get_or_insert_with(make).iter().for_each(|out| outbox.push(out.clone()));
                }
                if head_changed {
                    let seen = self.shown(id, &head, last_seq, side);
                    outbox.push(Out::own(Kind::Conversation(seen)));
                }
            }
        }
        // Agents who asked for something in a conversation that they do not follow.
        for ack in acks {
            ack.to.outbox.push(ack.out(id, self.log_epoch));
        }
    }

    /// Acks and messages of others, in order; what is acked is not delivered as well.
    fn tell_sender(
        &self,
        id: ConversationId,
        entries: &[Entry],
        side: Side,
        outbox: &Arc<Outbox>,
        acks: Vec<Ack>,
    ) {
        let mut rest = entries;
        for ack in acks {
            let at = rest.iter().position(|entry| entry.message.seq == ack.seq);
            // The ack of a retry may be for an earlier commit.
            let before = at.map_or(&[][..], |at| &rest[..at]);
            rest = at.map_or(rest, |at| &rest[at + 1..]);
            deliver(id, before, side).for_each(|kind| outbox.push(Out::own(kind)));
            outbox.push(ack.out(id, self.log_epoch));
        }
        deliver(id, rest, side).for_each(|kind| outbox.push(Out::own(kind)));
    }

    /// A conversation as one side sees it, without what this reader has read.
    pub(super) fn shown(
        &self,
        id: ConversationId,
        head: &Head,
        last_seq: u64,
        side: Side,
    ) -> v1::Conversation {
        let waits = head.owner.holder() == Holder::Queue;
        let (queue_position, queue_wait_ms) = if waits { self.place(id) } else { (0, 0) };
        v1::Conversation {
            conversation: id.to_string(),
            log_epoch: self.log_epoch,
            first_seq: head.first_seq,
            last_seq,
            status: head.status,
            owner: Some(head.owner.clone()),
            owner_epoch: head.owner_epoch,
            dialogue: head.dialogue,
            tags: if side == Side::Agent { head.tags.clone() } else { Vec::new() },
            visitor: Some(Party::visitor(&head.app, &head.visitor).user(&head.visitor_name)),
            opened_at_ms: head.opened_at_ms,
            updated_at_ms: head.status_since_ms,
            subject: head.subject.clone(),
            queue_position,
            queue_wait_ms,
            ..v1::Conversation::default()
        }
    }
}

/// The agent who owns a conversation.
pub(super) fn owner(head: &Head) -> Option<Party> {
    match head.owner.holder() {
        Holder::Agent => head.owner.agent.as_ref().map(|agent| Party::agent(&agent.id)),
        Holder::Unspecified | Holder::Bot | Holder::Queue | Holder::Nobody => None,
    }
}

/// Messages as one side sees them, in frames that are not too large.
fn deliver(id: ConversationId, entries: &[Entry], side: Side) -> impl Iterator<Item = Kind> {
    let mut messages: Vec<_> = entries.iter().map(|entry| seen(&entry.message, side)).collect();
    std::iter::from_fn(move || {
        let rest = messages.split_off(fitting(&messages));
        let messages = std::mem::replace(&mut messages, rest);
        (!messages.is_empty())
            .then(|| Kind::Deliver(v1::Deliver { conversation: id.to_string(), messages }))
    })
}

/// A message as one side sees it. What visitors must not see keeps its place without a content, so
/// that they can tell it from a gap.
pub(super) fn seen(message: &Message, side: Side) -> Message {
    let mut message = message.clone();
    if side == Side::Agent {
        return message;
    }
    match &mut message.content {
        Some(Content::Text(text)) if text.kind() == v1::Kind::Note => message.content = None,
        Some(Content::Text(text)) => text.thought = None,
        Some(Content::Event(event)) => match &mut event.what {
            Some(v1::event::What::Dialogue(dialogue)) => {
                dialogue.thought = None;
                dialogue.event.clear();
            }
            Some(v1::event::What::Owner(owner)) => owner.reason.clear(),
            Some(v1::event::What::Action(action)) => action.detail.clear(),
            Some(v1::event::What::Tags(_)) => message.content = None,
            Some(v1::event::What::Status(_)) | None => {}
        },
        Some(Content::Edited(_) | Content::Recalled(_)) | None => {}
    }
    message
}

/// A refusal as it stands on the wire.
pub fn error(refusal: &Refusal) -> v1::Error {
    v1::Error {
        code: refusal.code.into(),
        message: refusal.message.clone(),
        retryable: kefu_proto::ErrorInfo::of(refusal.code).is_some_and(|info| info.retryable),
        retry_after_ms: refusal.retry_after_ms,
        ..v1::Error::default()
    }
}

#[cfg(test)]
mod tests {
    use kefu_proto::v1::event::What;

    use super::*;

    fn said(content: Content) -> Message {
        Message { seq: 7, content: Some(content), ..Message::default() }
    }

    fn event(what: What) -> Message {
        said(Content::Event(v1::Event { what: Some(what) }))
    }

    #[test]
    fn a_visitor_sees_neither_notes_nor_tags_nor_what_was_thought() {
        let text = |kind: v1::Kind| {
            let thought = Some(v1::Thought { intent: "secret".into(), ..v1::Thought::default() });
            let text =
                v1::Text { text: "t".into(), kind: kind.into(), thought, ..v1::Text::default() };
            said(Content::Text(text))
        };
        let owner = v1::OwnerChanged { reason: "secret".into(), ..v1::OwnerChanged::default() };
        let dialogue =
            v1::DialogueChanged { event: "secret".into(), ..v1::DialogueChanged::default() };
        let action = v1::ActionChanged { detail: "secret".into(), ..v1::ActionChanged::default() };
        let tags = v1::TagsChanged { tags: vec!["secret".into()] };
        for (message, stays) in [
            (text(v1::Kind::Answer), true),
            (text(v1::Kind::Note), false),
            (event(What::Owner(owner)), true),
            (event(What::Dialogue(dialogue)), true),
            (event(What::Action(action)), true),
            (event(What::Tags(tags)), false),
        ] {
            assert_eq!(seen(&message, Side::Agent), message);
            let visitors = seen(&message, Side::Visitor);
            assert_eq!((visitors.seq, visitors.content.is_some()), (7, stays), "{message:?}");
            assert!(!format!("{visitors:?}").contains("secret"), "{visitors:?}");
        }
    }
}
