//! What the bot does in its own time: looks at conversations, reads what waits, and acts on timers.
//!
//! A look is led by what is stored, not by what somebody remembers: so it may come late, twice, or
//! after a crash, and does the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kefu_proto::v1;
use tokio::sync::mpsc::Receiver;
use tokio::time::MissedTickBehavior;

use super::Attendant;
use super::kept::{self, DEADLINE, FOLLOW_UP, Kept};
use super::mind::Read;
use super::turn::Cause;
use crate::chat::id::ConversationId;
use crate::chat::keys;
use crate::chat::refusal::Refusal;
use crate::dialogue::event::{Event, Understanding};
use crate::dialogue::state::{About, Phase, Reading, Work};
use crate::hub::Hub;
use crate::hub::slot::Change;
use crate::intent::answer::Tier;
use crate::shutdown::Shutdown;
use crate::store::{self, Batch, Order, Scan, StoreError};

/// How often timers are looked for.
const TICK: Duration = Duration::from_millis(500);
/// How long the engine may take: less than the dialogue's own patience, so that a lane never stands.
const PATIENCE: Duration = Duration::from_secs(10);
/// Rows that are read at a time.
const PAGE: usize = 1_000;

/// A message to be read, and what must still hold when it was.
struct Task {
    seq: u64,
    text: String,
    /// Whether a yes or no is asked for.
    weigh: bool,
    owner_epoch: u64,
}

impl Attendant {
    /// Works until the server stops; what it did not get to, the next start finds in the store. To be
    /// spawned once.
    pub async fn run(self: Arc<Self>, hub: Arc<Hub>, shutdown: Shutdown) {
        let ends = std::mem::take(&mut *self.ends.lock().expect("nothing panics with it in hand"));
        for end in ends {
            let (bot, hub, until) = (Arc::clone(&self), Arc::clone(&hub), shutdown.clone());
            shutdown.spawn(async move { bot.work_off(&hub, end, &until).await });
        }
        let (bot, outbox_hub, until) = (Arc::clone(&self), Arc::clone(&hub), shutdown.clone());
        shutdown.spawn(async move { bot.send_orders(&outbox_hub, &until).await });
        self.lanes.look_again();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let round = async {
                tick.tick().await;
                self.look_around(&hub).await;
            };
            tokio::select! {
                biased;
                () = shutdown.begun() => return,
                () = round => {}
            }
        }
    }

    async fn work_off(
        &self,
        hub: &Arc<Hub>,
        mut lane: Receiver<ConversationId>,
        shutdown: &Shutdown,
    ) {
        loop {
            let next = tokio::select! {
                biased;
                () = shutdown.begun() => return,
                next = lane.recv() => next,
            };
            let Some(id) = next else { return };
            if let Err(refusal) = self.look(hub, id).await {
                tracing::warn!(conversation = %id, %refusal, "the bot tries again");
                self.lanes.look_again();
            }
        }
    }

    /// Finds timers that are due, and whatever is owed if something was missed.
    pub(super) async fn look_around(&self, hub: &Arc<Hub>) {
        if self.lanes.take_missed()
            && let Err(error) = self.find_owed(hub).await
        {
            tracing::warn!(%error, "cannot look for what is owed; trying again");
            self.lanes.look_again();
        }
        if let Err(error) = self.find_due(hub).await {
            tracing::warn!(%error, "cannot look for timers; trying again");
        }
    }

    /// Looks at every conversation in which something is owed.
    async fn find_owed(&self, hub: &Arc<Hub>) -> Result<(), StoreError> {
        for (key, _) in store::all(&**hub.store(), &[keys::kind::WORK]).await? {
            if let Some(id) = keys::tail(&key) {
                self.lanes.send(id).await;
            }
        }
        Ok(())
    }

    /// Looks at every conversation with a timer that is due; those that nobody runs are removed.
    async fn find_due(&self, hub: &Arc<Hub>) -> Result<(), StoreError> {
        let mut scan = Scan::prefix(&[keys::kind::TIMER], Order::Ascending, PAGE);
        let next_ms = hub.now_ms().saturating_add(1);
        scan.to = Some(keys::timer(next_ms, ConversationId([0; 16]), 0));
        let mut gone = Batch::default();
        for (key, _) in hub.store().scan(scan).await?.rows {
            let Some((due_ms, id, kind)) = keys::parse_timer(&key) else { continue };
            let runs = |timer: &crate::chat::record::Timer| {
                timer.kind == u32::from(kind) && timer.due_ms == due_ms
            };
            match hub.peek(id).await {
                Ok((head, _)) if head.timers.iter().any(runs) => self.lanes.send(id).await,
                Ok(_) => gone = gone.delete(key),
                Err(refusal) if refusal.code == v1::ErrorCode::NoSuchConversation => {
                    gone = gone.delete(key);
                }
                Err(refusal) => tracing::warn!(conversation = %id, %refusal, "a timer waits"),
            }
        }
        if gone.writes.is_empty() { Ok(()) } else { store::commit(&**hub.store(), gone).await }
    }

    /// Does what a conversation is owed.
    ///
    /// # Errors
    /// When the store does not play along; what is owed still is.
    pub(super) async fn look(&self, hub: &Arc<Hub>, id: ConversationId) -> Result<(), Refusal> {
        let slot = hub.conversation(id).await?;
        hub.change(&slot, |change| {
            self.ring(change);
            Ok(())
        })?;
        // What the visitor wrote meanwhile is taken up by the step, and read next.
        while let Some(task) = hub.change(&slot, |change| Ok(self.begin(change)))? {
            let begun = Instant::now();
            let read = self.read(&task).await;
            let took_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            hub.change(&slot, |change| {
                self.go_on(change, &task, read, took_us);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Acts on the timers that are due.
    fn ring(&self, change: &mut Change<'_>) {
        let now_ms = change.now_ms;
        let due = |kind: u8, head: &crate::chat::record::Head| {
            head.timers.iter().any(|one| one.kind == u32::from(kind) && one.due_ms <= now_ms)
        };
        if due(DEADLINE, change.conversation().head()) {
            let deadline = Kept::of(change.conversation().head()).dialogue.deadline;
            let later = deadline.filter(|deadline| deadline.at_ms > now_ms);
            change.conversation().set_timer(DEADLINE, later.map(|deadline| deadline.at_ms));
            if let (Some(deadline), None) = (deadline, later) {
                self.feed(change, Event::Timeout(deadline.timer), &Cause::of("timeout", 0));
            }
        }
        if due(FOLLOW_UP, change.conversation().head()) {
            self.follow_up(change);
        }
    }

    /// Somebody is at work again, and this visitor waits.
    fn follow_up(&self, change: &mut Change<'_>) {
        let now_ms = change.now_ms;
        let mut kept = Kept::of(change.conversation().head());
        if !self.hours.is_open(now_ms) {
            // The hours were changed meanwhile.
            let opening = self.hours.next_opening(now_ms);
            return change.conversation().set_timer(FOLLOW_UP, opening);
        }
        change.conversation().set_timer(FOLLOW_UP, None);
        let Some(reason) = kept.follow_up.take() else { return };
        let shown = kept::shown(kept.dialogue.phase.name());
        change.conversation().set_dialogue(shown, kept.write(), None, now_ms);
        if kept.dialogue.ownership.is_bots() {
            self.hand_off(change, &reason);
            self.feed(change, Event::Queued, &Cause::of("queued", 0));
        }
    }

    /// What is to be read next, if the bot may.
    fn begin(&self, change: &mut Change<'_>) -> Option<Task> {
        let head = change.conversation().head();
        let (owner_epoch, kept) = (head.owner_epoch, Kept::of(head));
        if !kept.dialogue.ownership.is_bots() {
            return None;
        }
        let (Reading { message, asked, .. }, fresh) = match kept.dialogue.phase {
            Phase::WaitingReply(reading) => (reading, true),
            // Begun by a process that is no more, or by a change that came to nothing.
            Phase::Processing(Work::Understanding(reading)) => (reading, false),
            Phase::Idle | Phase::Processing(Work::Acting { .. }) | Phase::WaitingConfirm(_) => {
                return None;
            }
        };
        let seq = message.seq;
        if fresh {
            let started = Event::UnderstandingStarted { seq };
            self.feed(change, started, &Cause::of("understanding_started", seq));
        }
        let about = asked.map(|question| question.about);
        let weigh = matches!(about, Some(About::Action(_) | About::Offer(_)));
        Some(Task { seq, text: message.text, weigh, owner_epoch })
    }

    async fn read(&self, task: &Task) -> Result<Read, String> {
        let read = tokio::time::timeout(PATIENCE, self.mind.read(&task.text, task.weigh)).await;
        read.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
    }

    /// Goes on with what was read, unless somebody else owns the conversation by now.
    fn go_on(
        &self,
        change: &mut Change<'_>,
        task: &Task,
        read: Result<Read, String>,
        took_us: u64,
    ) {
        if change.conversation().head().owner_epoch != task.owner_epoch {
            self.counts.fenced.up();
            return;
        }
        let seq = task.seq;
        let Read { answer, model, meaning } = match read {
            Ok(read) => read,
            Err(error) => {
                let conversation = change.conversation().id();
                tracing::error!(%conversation, seq, error, "a message was not understood");
                self.counts.unread.up();
                let failed = Event::UnderstandingFailed { seq };
                self.feed(change, failed, &Cause::of("understanding_failed", seq));
                return;
            }
        };
        let candidate = |one: &crate::intent::answer::Alternative| v1::Candidate {
            intent: one.intent.clone(),
            confidence: one.confidence,
        };
        let thought = v1::Thought {
            of_seq: seq,
            status: answer.status.name().to_owned(),
            intent: answer.intent.clone().unwrap_or_default(),
            confidence: answer.confidence,
            tier: tier(answer.tier).to_owned(),
            model: model.clone(),
            candidates: answer.alternatives.iter().map(candidate).collect(),
            took_us,
        };
        self.counts.turns.up();
        let found = Understanding::new(&answer, &model, meaning);
        let cause = Cause { event: "understood", seq, thought: Some(thought) };
        self.feed(change, Event::Understood { seq, found }, &cause);
    }
}

fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::Keyword => "keyword",
        Tier::Semantic => "semantic",
        Tier::None => "",
    }
}
