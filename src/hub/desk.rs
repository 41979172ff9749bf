//! The agents' desk: who is at work, who waits, and who gets whom.
//!
//! The queue in memory is made from the store at the start; what the store says about a
//! conversation's owner counts. [`Hub::attend`] is a task of its own: it hands conversations to
//! agents as soon as one is free, and tells visitors and agents how the queue moves.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kefu_proto::v1::{self, ErrorCode, Holder, Owner, Status, body::Kind};
use tokio::sync::Notify;

use super::Hub;
use super::client::Client;
use super::outbox::Out;
use super::slot::Slot;
use crate::chat::conversation::Actor;
use crate::chat::id::ConversationId;
use crate::chat::keys::{self, kind};
use crate::chat::party::{Party, Side, owned_by, queue, system};
use crate::chat::refusal::Refusal;
use crate::dialogue::queue::{Assignment, Queue, Whom};
use crate::store::{self, Order, Scan, StoreError};

/// An agent who is not connected for so long is away: its conversations go back into the queue.
const AWAY_AFTER_MS: u64 = 120_000;
/// Everybody in the queue hears of each round, so they are not more frequent.
const PAUSE: Duration = Duration::from_millis(200);
/// Most waiting conversations that agents are shown at once.
const SHOWN: usize = 100;

/// Agents and queue.
#[derive(Debug, Default)]
pub(super) struct Desk {
    state: Mutex<State>,
    moved: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: Queue,
    seats: HashMap<String, Seat>,
    /// What each waiting conversation's visitor was told last.
    told: HashMap<ConversationId, (usize, Option<u64>)>,
    /// Somebody has come who was not shown the queue.
    unseen: bool,
    /// Conversations whose change failed: the store knows whose they are.
    doubtful: Vec<ConversationId>,
}

#[derive(Debug)]
struct Seat {
    name: String,
    /// Whether the agent takes conversations.
    online: bool,
    /// When the last device went; it counts while none is connected.
    gone_since_ms: u64,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// Reads who waits and who owns what. Once, before anybody connects.
    ///
    /// # Errors
    /// As the store says.
    pub async fn fill_desk(&self) -> Result<(), StoreError> {
        for (key, _) in store::all(&*self.store, &[kind::QUEUE]).await? {
            let since = key.len().checked_sub(24).and_then(|at| key[at..].first_chunk::<8>());
            if let (Some(id), Some(since)) = (keys::tail(&key), since) {
                let since_ms = u64::from_be_bytes(*since);
                let mut desk = self.desk.lock();
                desk.queue.enter(&id.to_string(), Whom::Anyone, since_ms);
                // The visitor was welcomed to the queue before.
                desk.told.insert(id, (0, None));
            }
        }
        let now_ms = self.now_ms();
        for (key, _) in store::all(&*self.store, &[kind::OWNED]).await? {
            if let (Some(id), Some(agent)) = (keys::tail(&key), keys::owner(&key)) {
                self.desk.lock().serve(&id.to_string(), agent, now_ms);
            }
        }
        self.desk.moved.notify_one();
        Ok(())
    }

    /// Conversations that `agent` owns.
    pub(super) async fn owned_by(
        &self,
        agent: &str,
        limit: usize,
    ) -> Result<Vec<ConversationId>, Refusal> {
        let scan = Scan::prefix(&keys::owned(agent), Order::Descending, limit);
        let rows =
            self.store.scan(scan).await.map_err(|error| super::commit::refusal(&error))?.rows;
        Ok(rows.iter().filter_map(|(key, _)| keys::tail(key)).collect())
    }

    /// A conversation waits for an agent, since now.
    pub fn enqueue(&self, id: ConversationId) {
        let now_ms = self.now_ms();
        self.desk.lock().queue.enter(&id.to_string(), Whom::Anyone, now_ms);
        self.desk.moved.notify_one();
    }

    /// An agent takes conversations from now on, or none any more.
    pub(super) async fn presence(
        &self,
        client: &Client,
        online: bool,
        capacity: u32,
    ) -> Result<(), Refusal> {
        let owned = self.owned_by(&client.user.id, SHOWN).await?;
        let most = client.capacity as usize;
        let capacity = if capacity == 0 { most } else { most.min(capacity as usize) };
        let (id, now_ms) = (&client.user.id, self.now_ms());
        let mut desk = self.desk.lock();
        let capacity = if online { capacity } else { 0 };
        desk.queue.arrive(id, capacity, BTreeSet::new(), now_ms);
        let served: Vec<String> = desk.queue.served_by(id).map(str::to_owned).collect();
        for conversation in owned.iter().map(ToString::to_string) {
            if !served.contains(&conversation) {
                desk.queue.take(&conversation, id, now_ms);
            }
        }
        let seat = Seat { name: client.name.clone(), online, gone_since_ms: now_ms };
        desk.seats.insert(id.clone(), seat);
        desk.unseen = true;
        drop(desk);
        self.desk.moved.notify_one();
        Ok(())
    }

    /// The last device of an agent is gone.
    pub(super) fn agent_left(&self, agent: &str) {
        let now_ms = self.now_ms();
        if let Some(seat) = self.desk.lock().seats.get_mut(agent) {
            seat.gone_since_ms = now_ms;
        }
    }

    /// What an agent is called, if it is at work.
    pub(super) fn at_work(&self, agent: &str) -> Option<String> {
        let desk = self.desk.lock();
        desk.seats.get(agent).filter(|seat| seat.online).map(|seat| seat.name.clone())
    }

    /// Notes in the queue whose a conversation is now.
    pub(super) fn moved(&self, id: ConversationId, owner: &Owner, status: Status) {
        let (conversation, now_ms) = (id.to_string(), self.now_ms());
        let mut desk = self.desk.lock();
        match (owner.holder(), &owner.agent) {
            (Holder::Queue, _) => desk.queue.transfer(&conversation, Whom::Anyone, now_ms),
            (Holder::Agent, Some(agent)) => desk.serve(&conversation, &agent.id, now_ms),
            _ => {
                if status == Status::Resolved {
                    desk.queue.finish(&conversation, now_ms);
                }
                desk.queue.leave(&conversation, now_ms);
            }
        }
        drop(desk);
        self.desk.moved.notify_one();
    }

    /// A change of a conversation's owner failed: [`Self::attend`] asks the store next time.
    pub(super) fn resync(&self, id: ConversationId) {
        self.desk.lock().doubtful.push(id);
    }

    /// Hands out what waits, as long as the server runs.
    pub async fn attend(self: Arc<Self>) {
        loop {
            self.desk.moved.notified().await;
            self.attend_once().await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// One round of [`Self::attend`].
    pub(super) async fn attend_once(self: &Arc<Self>) {
        self.settle_doubts().await;
        self.call_back_absent().await;
        loop {
            let next = self.desk.lock().queue.assign(self.now_ms());
            let Some(Assignment { conversation, agent }) = next else { break };
            let id = ConversationId::parse(&conversation).expect("the queue holds names of ours");
            if let Err(refusal) = self.assign(id, &agent).await {
                tracing::warn!(conversation, agent, %refusal, "cannot hand over");
                self.resync(id);
                break;
            }
        }
        self.tell_queue().await;
    }

    async fn settle_doubts(&self) {
        let doubtful = std::mem::take(&mut self.desk.lock().doubtful);
        for id in doubtful {
            match self.peek(id).await {
                Ok((head, _)) => self.moved(id, &head.owner, head.status()),
                Err(refusal) if refusal.code == ErrorCode::NoSuchConversation => {
                    self.desk.lock().queue.leave(&id.to_string(), self.now_ms());
                }
                Err(_) => self.resync(id),
            }
        }
    }

    /// To be called now and then: agents who are gone for long give back what they had.
    pub fn look_for_absent(&self) {
        self.desk.moved.notify_one();
    }

    async fn call_back_absent(self: &Arc<Self>) {
        let now_ms = self.now_ms();
        let gone = |seat: &Seat| now_ms.saturating_sub(seat.gone_since_ms) > AWAY_AFTER_MS;
        let mut away: Vec<String> = {
            let desk = self.desk.lock();
            let away = desk.seats.iter().filter(|(_, seat)| gone(seat));
            away.map(|(agent, _)| agent.clone()).collect()
        };
        away.retain(|agent| !self.users.is_connected(&Party::agent(agent)));
        for agent in away {
            if let Err(refusal) = self.give_back(&agent).await {
                tracing::warn!(agent, %refusal, "cannot give back what an absent agent has");
                continue;
            }
            let mut desk = self.desk.lock();
            desk.seats.remove(&agent);
            desk.queue.depart(&agent);
        }
    }

    /// What an agent has goes back into the queue.
    async fn give_back(self: &Arc<Self>, agent: &str) -> Result<(), Refusal> {
        let served: Vec<_> = {
            let desk = self.desk.lock();
            desk.queue.served_by(agent).filter_map(ConversationId::parse).collect()
        };
        for id in served {
            let slot = self.conversation(id).await?;
            self.change(&slot, |change| {
                let (now_ms, owner) = (change.now_ms, &change.conversation().head().owner);
                if owner.agent.as_ref().is_some_and(|owner| owner.id == agent) {
                    let (mut by, waits) = (Actor::from(system()), Status::Waiting);
                    let conversation = change.conversation();
                    conversation.hand_over(Some(queue()), waits, "agent_away", &mut by, now_ms);
                    self.follow(change);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    async fn assign(self: &Arc<Self>, id: ConversationId, agent: &str) -> Result<(), Refusal> {
        let slot = self.conversation(id).await?;
        let name = self.at_work(agent).unwrap_or_default();
        self.change(&slot, |change| {
            // It may have been taken, or the visitor's matter resolved, in the meantime.
            if change.conversation().head().owner.holder() == Holder::Queue {
                let owner = owned_by(Party::agent(agent).user(&name));
                let (mut by, now_ms) = (Actor::from(system()), change.now_ms);
                change.conversation().hand_over(Some(owner), Status::Open, "", &mut by, now_ms);
                self.follow(change);
            } else {
                self.resync(id);
            }
            Ok(())
        })
    }

    /// Tells visitors where they stand, and agents who waits, where that changed.
    async fn tell_queue(self: &Arc<Self>) {
        let changed = self.desk.lock().changes();
        let Some((length, waiting)) = changed else { return };
        let mut shown = Vec::new();
        for (id, position, wait_ms, is_new) in waiting {
            let Ok((head, last_seq)) = self.peek(id).await else { continue };
            if is_new && let Ok(slot) = self.conversation(id).await {
                self.announce(&slot, position, wait_ms);
            }
            let visitor = Party::visitor(&head.app, &head.visitor);
            let seen = self.shown(id, &head, last_seq, Side::Visitor);
            self.users.send(&visitor, &Out::shared(Kind::Conversation(seen)), None);
            if shown.len() < SHOWN {
                shown.push(self.shown(id, &head, last_seq, Side::Agent));
            }
        }
        let queue = v1::Queue { waiting: shown, length };
        self.users.send_to_agents(&Out::shared(Kind::Queue(queue)));
    }

    /// Where a waiting conversation stands, and how many milliseconds it may take; zeros when that
    /// is not known yet.
    pub(super) fn place(&self, id: ConversationId) -> (u32, u32) {
        let (position, wait_ms) = self.desk.lock().told.get(&id).copied().unwrap_or_default();
        let small = |wait_ms| u32::try_from(wait_ms).unwrap_or(u32::MAX);
        (u32::try_from(position).unwrap_or(u32::MAX), wait_ms.map_or(0, small))
    }

    fn announce(self: &Arc<Self>, slot: &Arc<Slot>, position: usize, wait_ms: Option<u64>) {
        let announced = self.change(slot, |change| {
            self.bot.queued(change, position, wait_ms);
            Ok(())
        });
        if let Err(refusal) = announced {
            tracing::warn!(%refusal, "a visitor was not told the place in the queue");
        }
    }
}

/// A waiting conversation: its place, its wait, and whether it has just come.
type Place = (ConversationId, usize, Option<u64>, bool);

impl State {
    /// An agent has a conversation, even one who is not at work: away, as long as none is connected.
    fn serve(&mut self, conversation: &str, agent: &str, now_ms: u64) {
        if !self.seats.contains_key(agent) {
            let seat = Seat { name: String::new(), online: false, gone_since_ms: now_ms };
            self.seats.insert(agent.to_owned(), seat);
            self.queue.arrive(agent, 0, BTreeSet::new(), now_ms);
        }
        self.queue.take(conversation, agent, now_ms);
    }

    /// Who waits now, if that differs from what was told.
    fn changes(&mut self) -> Option<(u32, Vec<Place>)> {
        let mut now = HashMap::new();
        let mut places = Vec::new();
        for (text, position, wait_ms) in self.queue.places() {
            let Some(id) = ConversationId::parse(text) else { continue };
            let known = self.told.get(&id);
            if known != Some(&(position, wait_ms)) || places.len() < SHOWN {
                places.push((id, position, wait_ms, known.is_none()));
            }
            now.insert(id, (position, wait_ms));
        }
        if now == self.told && !std::mem::take(&mut self.unseen) {
            return None;
        }
        let length = u32::try_from(now.len()).unwrap_or(u32::MAX);
        (self.told, self.unseen) = (now, false);
        Some((length, places))
    }
}
