//! Orders leave for the shops' services, and what became of them comes back into the conversations.
//!
//! An order is in the store from the moment at which the dialogue waits for it until what became of it is
//! stored in its place; so a crash repeats an attempt at most, under the same name.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kefu_proto::v1::{self, event::What};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::Attendant;
use super::kept::Kept;
use super::order::{self, Order};
use super::turn::{Cause, speak};
use super::webhook::{Attempt, Outcome, Senders};
use crate::chat::conversation::{Actor, Conversation};
use crate::chat::party::bot;
use crate::chat::refusal::Refusal;
use crate::dialogue::event::{ActionOutcome, Event};
use crate::hub::Hub;
use crate::hub::slot::Change;
use crate::intent::knowledge::Lang;
use crate::shutdown::Shutdown;
use crate::store::{self, Batch, Order as Direction, Scan, StoreError, Write};

/// How often orders are looked for whose next attempt is due.
const TICK: Duration = Duration::from_millis(500);
/// Orders that are read at a time.
const PAGE: usize = 256;

/// It was asked for.
pub(super) const REQUESTED: &str = "requested";
const DONE: &str = "done";
const FAILED: &str = "failed";

/// Notes in the log what became of an order.
pub(super) fn note(
    conversation: &mut Conversation,
    order: &Order,
    state: &str,
    detail: String,
    now_ms: u64,
) {
    let changed = v1::ActionChanged {
        action_id: order.name(),
        intent: order.webhook.intent.clone(),
        state: state.to_owned(),
        detail,
    };
    conversation.note(&mut Actor::from(bot()), What::Action(changed), now_ms);
}

impl Attendant {
    /// Sends what is due, as long as the server runs.
    pub(super) async fn send_orders(&self, hub: &Arc<Hub>, shutdown: &Shutdown) {
        let (told, mut ended) = mpsc::channel(self.senders);
        let senders = match Senders::start(self.senders, &self.post, &told) {
            Ok(senders) => senders,
            Err(error) => {
                tracing::error!(%error, "no thread for webhooks; they wait for the next start");
                return;
            }
        };
        // The senders alone have it, so that what they tell ends with them.
        drop(told);
        let mut under_way = HashSet::new();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let end = tokio::select! {
                biased;
                () = shutdown.begun() => break,
                end = ended.recv() => end,
                () = self.orders.notified() => None,
                _ = tick.tick() => None,
            };
            if let Some((attempt, outcome)) = end {
                self.ended(hub, attempt, outcome, &mut under_way).await;
            }
            if let Err(error) = self.dispatch(hub, &senders, &mut under_way).await {
                tracing::warn!(%error, "cannot look for webhooks; trying again");
            }
        }
        // What is under way comes to its end and is stored; what was not begun waits.
        drop(senders);
        while let Some((attempt, outcome)) = ended.recv().await {
            self.ended(hub, attempt, outcome, &mut under_way).await;
        }
    }

    /// Gives orders that are due to senders that are free.
    async fn dispatch(
        &self,
        hub: &Arc<Hub>,
        senders: &Senders,
        under_way: &mut HashSet<Vec<u8>>,
    ) -> Result<(), StoreError> {
        let now_ms = hub.now_ms();
        let limit = PAGE + under_way.len();
        let mut scan = Scan::prefix(&[order::PREFIX], Direction::Ascending, limit);
        scan.to = Some(order::before(now_ms.saturating_add(1)));
        for (key, value) in hub.store().scan(scan).await?.rows {
            if under_way.contains(&key) {
                continue;
            }
            let Ok(order) = serde_json::from_slice::<Order>(&value) else {
                tracing::error!("an order for a webhook cannot be read; it is dropped");
                store::commit(&**hub.store(), Batch::default().delete(key)).await?;
                continue;
            };
            let secret = self.apps.webhook_secret(&order.app);
            if !senders.offer(Attempt { key: key.clone(), order, secret, now_ms }) {
                break;
            }
            under_way.insert(key);
        }
        Ok(())
    }

    async fn ended(
        &self,
        hub: &Arc<Hub>,
        attempt: Attempt,
        outcome: Outcome,
        under_way: &mut HashSet<Vec<u8>>,
    ) {
        let Attempt { key, mut order, .. } = attempt;
        order.attempts = order.attempts.saturating_add(1);
        let name = order.name();
        let stored = self.store_outcome(hub, &key, order, outcome).await;
        // Only now: if it is not stored, it is done once more.
        under_way.remove(&key);
        if let Err(refusal) = stored {
            tracing::warn!(action = name, %refusal, "what a webhook did is not stored; once more");
        }
    }

    async fn store_outcome(
        &self,
        hub: &Arc<Hub>,
        key: &[u8],
        order: Order,
        outcome: Outcome,
    ) -> Result<(), Refusal> {
        let outcome = match outcome {
            Outcome::Again { detail, after_ms } => {
                let luck = |most| rand::random_range(1..=most);
                let now_ms = hub.now_ms();
                match order.retry_at(now_ms, after_ms, luck) {
                    Some(at_ms) => {
                        self.counts.webhooks_retried.up();
                        let (action, attempts) = (order.name(), order.attempts);
                        tracing::info!(action, attempts, detail, at_ms, "a webhook is tried again");
                        let next =
                            Batch::default().delete(key).put(order.key(at_ms), order.encode());
                        let written = store::commit(&**hub.store(), next).await;
                        return written.map_err(|error| super::webhook::unavailable(&error));
                    }
                    None => Outcome::Failed(detail),
                }
            }
            ended => ended,
        };
        match &outcome {
            Outcome::Done(_) => self.counts.webhooks_done.up(),
            Outcome::Failed(_) | Outcome::Again { .. } => self.counts.webhooks_failed.up(),
        }
        let id = order.conversation().ok_or_else(super::webhook::nameless)?;
        let slot = hub.conversation(id).await?;
        let (told, durable) = oneshot::channel();
        hub.change(&slot, |change| {
            change.conversation().also([Write::Delete(key.to_vec())]);
            self.settle(change, &order, outcome);
            // Whoever waits may have been dropped with the server.
            change.then(move |_, result| drop(told.send(result)));
            Ok(())
        })?;
        durable.await.unwrap_or(Ok(()))
    }

    /// Tells the conversation what became of an order.
    fn settle(&self, change: &mut Change<'_>, order: &Order, outcome: Outcome) {
        let now_ms = change.now_ms;
        let (id, intent) = (order.webhook.id, order.webhook.intent.as_str());
        let conversation = change.conversation();
        let kept = Kept::of(conversation.head());
        let (outcome, state, detail) = match outcome {
            Outcome::Done(texts) => {
                let detail = texts.join("\n");
                (ActionOutcome::Replied(texts), DONE, detail)
            }
            Outcome::Failed(detail) | Outcome::Again { detail, .. } => {
                (ActionOutcome::Failed, FAILED, detail)
            }
        };
        note(conversation, order, state, detail, now_ms);
        if kept.dialogue.ownership.is_bots() && kept.waits_for(id, intent) {
            self.feed(change, Event::ActionDone { id, outcome }, &Cause::of("action_done", id));
        } else if let ActionOutcome::Replied(texts) = outcome {
            // The dialogue gave up, or a human took over: those who answer must know it, and the
            // visitor must not hear it over them.
            let text = late(order, &texts, kept.dialogue.lang);
            let kind = v1::Kind::Note.into();
            let text = v1::Text { text, kind, answers_seq: id, ..v1::Text::default() };
            speak(conversation, text, now_ms);
        }
    }
}

fn late(order: &Order, texts: &[String], lang: Lang) -> String {
    let (intent, said) = (&order.webhook.intent, texts.join(" "));
    let attempts = order.attempts;
    match (lang, said.is_empty()) {
        (Lang::Zh, true) => format!("操作“{intent}”后来成功了（第 {attempts} 次尝试）。"),
        (Lang::Zh, false) => format!("操作“{intent}”后来成功了（第 {attempts} 次尝试）：{said}"),
        (Lang::En, true) => {
            format!("The action “{intent}” succeeded after all, at attempt {attempts}.")
        }
        (Lang::En, false) => {
            format!("The action “{intent}” succeeded after all, at attempt {attempts}: {said}")
        }
    }
}
