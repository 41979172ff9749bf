//! The bot: drives the pure dialogue of `crate::dialogue` for the conversations that it owns.
//!
//! [`Attendant`] hears of messages and owners as [`hub::Bot`](crate::hub::Bot), inside the change that
//! stores them; what takes time happens in [`Attendant::run`], which looks at a conversation, does
//! what its stored state says is owed, and commits the result only if nobody else owns the
//! conversation by then. It must not know how frames travel, nor where apps and models come from
//! ([`Apps`], [`Mind`]).

mod counts;
mod kept;
mod lanes;
mod meaning;
mod mind;
mod order;
mod outbox;
#[cfg(test)]
mod tests;
mod turn;
mod webhook;
mod work;

use std::fmt;
use std::sync::{Arc, Mutex};

use kefu_proto::v1::{Holder, Owner};
use tokio::sync::Notify;
use tokio::sync::mpsc::Receiver;

use self::counts::Counts;
pub use self::counts::Report;
use self::kept::{FOLLOW_UP, Kept};
use self::lanes::Lanes;
pub use self::mind::{Apps, Mind, Read, Taught};
use self::turn::Cause;
use self::webhook::Post;
use crate::chat::id::ConversationId;
use crate::dialogue::event::Event;
use crate::dialogue::hours::Hours;
use crate::dialogue::state::Said;
use crate::hub::slot::Change;
use crate::hub::{Bot, Heard};
use crate::identity::Reception;
use crate::understand::Understander;

/// How much the bot does at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Conversations that are worked on at once.
    pub lanes: usize,
    /// Conversations that may wait for each of them; beyond, the store is searched for them.
    pub depth: usize,
    /// Threads that call webhooks.
    pub senders: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { lanes: 64, depth: 1_024, senders: 8 }
    }
}

/// Answers visitors until a human does.
pub struct Attendant {
    mind: Arc<dyn Mind>,
    apps: Arc<dyn Apps>,
    hours: Hours,
    post: Arc<Post>,
    senders: usize,
    lanes: Arc<Lanes>,
    /// The other ends of the lanes, until [`Self::run`] takes them.
    ends: Mutex<Vec<Receiver<ConversationId>>>,
    /// Rung when there is an order for a shop's service.
    orders: Arc<Notify>,
    counts: Arc<Counts>,
}

impl fmt::Debug for Attendant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attendant({:?})", self.counts.report())
    }
}

impl Attendant {
    /// The bot of this server. [`Self::run`] makes it work.
    pub fn new(
        understander: Arc<Understander>,
        apps: Arc<dyn Apps>,
        hours: Hours,
        options: Options,
    ) -> Self {
        let mind = Arc::new(mind::Engine::new(understander));
        Self::with(mind, apps, hours, options, webhook::over_http())
    }

    fn with(
        mind: Arc<dyn Mind>,
        apps: Arc<dyn Apps>,
        hours: Hours,
        options: Options,
        post: Arc<Post>,
    ) -> Self {
        let (lanes, ends) = Lanes::new(options.lanes.max(1), options.depth.max(1));
        Self {
            mind,
            apps,
            hours,
            post,
            senders: options.senders.max(1),
            lanes: Arc::new(lanes),
            ends: Mutex::new(ends),
            orders: Arc::default(),
            counts: Arc::default(),
        }
    }

    /// What it did since the start.
    pub fn report(&self) -> Report {
        self.counts.report()
    }
}

impl Bot for Attendant {
    fn reception(&self, app: &str) -> Owner {
        let holder = match self.apps.reception(app) {
            Reception::Bot => Holder::Bot,
            Reception::Queue => Holder::Queue,
            Reception::Nobody => Holder::Nobody,
        };
        Owner { holder: holder.into(), agent: None }
    }

    fn heard(&self, change: &mut Change<'_>, message: Heard<'_>) {
        let Heard { seq, text, option } = message;
        let text = if option.is_empty() { text } else { option }.to_owned();
        self.feed(change, Event::Message(Said { seq, text }), &Cause::of("message", seq));
    }

    fn owner_changed(&self, change: &mut Change<'_>) {
        let now_ms = change.now_ms;
        let conversation = change.conversation();
        let mut kept = Kept::of(conversation.head());
        if kept.follow_up.take().is_some() {
            // A human has it, or it is settled: nobody needs to be called any more.
            let shown = kept::shown(kept.dialogue.phase.name());
            conversation.set_dialogue(shown, kept.write(), None, now_ms);
        }
        conversation.set_timer(FOLLOW_UP, None);
        let owner = &conversation.head().owner;
        let (event, name) = match (owner.holder(), &owner.agent) {
            (Holder::Bot, _) => (Event::Resumed, "resumed"),
            (Holder::Agent, Some(agent)) => {
                (Event::TakenOver { agent: agent.id.clone() }, "taken_over")
            }
            _ => (Event::Queued, "queued"),
        };
        self.feed(change, event, &Cause::of(name, 0));
    }

    fn queued(&self, change: &mut Change<'_>, position: usize, wait_ms: Option<u64>) {
        let joined = Event::QueueJoined { position, wait_ms };
        self.feed(change, joined, &Cause::of("queue_joined", 0));
    }
}
