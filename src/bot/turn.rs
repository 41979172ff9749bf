//! One step of the dialogue in a conversation: the event goes in, and what follows from it is
//! gathered in the same change.
//!
//! Everything here commits with the event that caused it, so nothing is said, promised or asked for
//! that a crash could take back.

use bytes::Bytes;
use kefu_proto::v1::{self, Holder, message::Content};

use super::kept::{self, DEADLINE, FOLLOW_UP, Kept};
use super::order::Order;
use super::{Attendant, outbox};
use crate::chat::conversation::{Actor, Conversation, Draft};
use crate::chat::party::bot;
use crate::dialogue::event::{Effect, Event, Note, Reason, Say, SayKind, Webhook};
use crate::dialogue::step::{Context, Step, step};
use crate::hub::slot::Change;
use crate::store::Write;

/// What an event is called, and which message it is about.
#[derive(Debug, Clone, Default)]
pub(super) struct Cause {
    /// As `docs/dialogue.md` names it.
    pub(super) event: &'static str,
    /// The message that it is about; 0: none.
    pub(super) seq: u64,
    /// What the engine made of it.
    pub(super) thought: Option<v1::Thought>,
}

impl Cause {
    pub(super) fn of(event: &'static str, seq: u64) -> Self {
        Self { event, seq, thought: None }
    }
}

impl Attendant {
    /// Feeds `event` to the dialogue, and gathers what follows. True when the dialogue took it.
    pub(super) fn feed(&self, change: &mut Change<'_>, event: Event, cause: &Cause) -> bool {
        let now_ms = change.now_ms;
        let Kept { dialogue, mut follow_up } = Kept::of(change.conversation().head());
        let before = dialogue.phase.name();
        let taught = self.mind.taught();
        let context = Context {
            knowledge: taught.knowledge(),
            forms: taught.forms(),
            hours: &self.hours,
            now_ms,
            moment: self.hours.moment(now_ms),
        };
        let Step { state, effects, notes } = step(dialogue, event, &context);
        for effect in &effects {
            if let Effect::FollowUp { reason, from_ms } = effect {
                follow_up = Some(reason.clone());
                self.counts.follow_ups.up();
                change.conversation().set_timer(FOLLOW_UP, *from_ms);
            }
        }
        let after = state.phase.name();
        let changed = (before != after).then(|| v1::DialogueChanged {
            before: kept::shown(before).into(),
            after: kept::shown(after).into(),
            event: cause.event.to_owned(),
            thought: cause.thought.clone(),
        });
        let kept = Kept { dialogue: state, follow_up };
        let conversation = change.conversation();
        conversation.set_dialogue(kept::shown(after), kept.write(), changed, now_ms);
        conversation.set_work(kept.owes());
        for effect in effects {
            self.carry_out(change, effect, cause);
        }
        if kept.is_unread() {
            self.look_when_durable(change);
        }
        !notes.iter().any(|note| matches!(note, Note::Ignored { .. }))
    }

    fn carry_out(&self, change: &mut Change<'_>, effect: Effect, cause: &Cause) {
        let now_ms = change.now_ms;
        match effect {
            // Whoever looks at the conversation sees in its state what is to be read.
            Effect::Understand(_) | Effect::FollowUp { .. } => {}
            Effect::Say(said) => say(change.conversation(), said, cause, now_ms),
            Effect::Act(webhook) => self.order(change, webhook),
            Effect::HandOff { reason } => self.hand_off(change, &reason),
            Effect::SetTimer { after_ms, .. } => {
                change.conversation().set_timer(DEADLINE, Some(now_ms.saturating_add(after_ms)));
            }
            Effect::ClearTimer => change.conversation().set_timer(DEADLINE, None),
        }
    }

    /// Puts the conversation into the queue of the human agents.
    pub(super) fn hand_off(&self, change: &mut Change<'_>, reason: &Reason) {
        let (now_ms, mut by) = (change.now_ms, Actor::from(bot()));
        let queue = v1::Owner { holder: Holder::Queue.into(), agent: None };
        let conversation = change.conversation();
        let id = conversation.id();
        let waiting = v1::Status::Waiting;
        conversation.hand_over(Some(queue), waiting, kept::code(reason), &mut by, now_ms);
        self.counts.hand_offs.up();
        change.then(move |hub, result| {
            if result.is_ok() {
                hub.enqueue(id);
            }
        });
    }

    /// Leaves an order for the shop's service in the store, beside the state that waits for it.
    fn order(&self, change: &mut Change<'_>, webhook: Webhook) {
        let now_ms = change.now_ms;
        let conversation = change.conversation();
        let (app, visitor) = (conversation.head().app.clone(), conversation.head().visitor.clone());
        let order = Order {
            conversation: conversation.id().to_string(),
            app,
            visitor,
            webhook,
            asked_ms: now_ms,
            attempts: 0,
        };
        conversation.also([Write::Put(order.key(now_ms), order.encode())]);
        outbox::note(conversation, &order, outbox::REQUESTED, String::new(), now_ms);
        let wake = self.orders.clone();
        change.then(move |_, _| wake.notify_one());
    }

    pub(super) fn look_when_durable(&self, change: &mut Change<'_>) {
        let (id, lanes) = (change.conversation().id(), self.lanes.clone());
        let counts = self.counts.clone();
        change.then(move |_, result| {
            if result.is_ok() && !lanes.nudge(id) {
                counts.deferred.up();
            }
        });
    }
}

fn say(conversation: &mut Conversation, said: Say, cause: &Cause, now_ms: u64) {
    let Say { kind, texts, options } = said;
    let last = texts.len().saturating_sub(1);
    // An option is named by what the visitor would write: whoever chooses it, says that.
    let mut options: Vec<_> =
        options.into_iter().map(|label| v1::Option { id: label.clone(), label }).collect();
    for (at, text) in texts.into_iter().enumerate() {
        let options = if at == last { std::mem::take(&mut options) } else { Vec::new() };
        let text = v1::Text {
            text,
            options,
            kind: shown(kind).into(),
            thought: cause.thought.clone(),
            answers_seq: cause.seq,
            ..v1::Text::default()
        };
        speak(conversation, text, now_ms);
    }
}

/// Appends a text of the bot.
pub(super) fn speak(conversation: &mut Conversation, text: v1::Text, now_ms: u64) {
    let content = Content::Text(text);
    let draft = Draft { sender: bot(), client_msg_id: None, digest: Bytes::new(), content };
    conversation.append(draft, now_ms);
}

fn shown(kind: SayKind) -> v1::Kind {
    match kind {
        SayKind::Answer => v1::Kind::Answer,
        SayKind::Ask => v1::Kind::Ask,
        SayKind::Confirm => v1::Kind::Confirm,
        SayKind::DidYouMean => v1::Kind::DidYouMean,
        SayKind::Fallback => v1::Kind::Fallback,
        SayKind::Notice => v1::Kind::Notice,
    }
}
