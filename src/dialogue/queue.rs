//! Who waits for a human, in order, and which agent is next: plain data, first come, first served.
//!
//! The moment comes as an argument. Ties go the same way on every node, so that a replay ends in
//! the same queue.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

/// How many finished conversations the estimate looks back on.
const RECENT: usize = 20;

/// The visitors who wait, and the agents who serve.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// By the time of entering.
    waiting: Vec<Waiting>,
    agents: BTreeMap<String, Agent>,
    /// How long the last conversations took, in milliseconds, oldest first.
    recent: VecDeque<u64>,
}

/// A conversation that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    conversation: String,
    since_ms: u64,
    whom: Whom,
}

/// Who may serve a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whom {
    /// Any agent.
    #[default]
    Anyone,
    /// An agent of this skill group.
    Group(String),
    /// This agent.
    Agent(String),
}

/// A human agent at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Agent {
    /// Conversations at a time.
    capacity: usize,
    groups: BTreeSet<String>,
    serving: BTreeMap<String, Served>,
    /// When the agent last got or gave up a conversation.
    idle_since_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Served {
    waits_since_ms: u64,
    from_ms: u64,
}

/// Who gets which conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The conversation.
    pub conversation: String,
    /// The agent.
    pub agent: String,
}

impl Agent {
    fn free(&self) -> usize {
        self.capacity.saturating_sub(self.serving.len())
    }
}

impl Whom {
    fn is(&self, id: &str, agent: &Agent) -> bool {
        match self {
            Self::Anyone => true,
            Self::Group(group) => agent.groups.contains(group),
            Self::Agent(one) => one == id,
        }
    }
}

impl Queue {
    /// Puts a conversation at the end, and says its place; one that waits keeps its place.
    pub fn enter(&mut self, conversation: &str, whom: Whom, now_ms: u64) -> usize {
        if self.position(conversation).is_none() {
            self.give_up(conversation, now_ms);
            self.insert(Waiting { conversation: conversation.to_owned(), since_ms: now_ms, whom });
        }
        self.position(conversation).expect("it was just put there")
    }

    /// Takes a conversation out, whether it waits or is served; false when it did neither.
    pub fn leave(&mut self, conversation: &str, now_ms: u64) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|one| one.conversation != conversation);
        self.give_up(conversation, now_ms).is_some() || self.waiting.len() < before
    }

    /// The place of a conversation, 1 for the next; none when it does not wait.
    ///
    /// Only those before it count who may take an agent away from it.
    pub fn position(&self, conversation: &str) -> Option<usize> {
        let at = self.waiting.iter().position(|one| one.conversation == conversation)?;
        let whom = &self.waiting[at].whom;
        let rivals = self.waiting[..at].iter().filter(|one| match (&one.whom, whom) {
            (Whom::Anyone, _) | (_, Whom::Anyone) => true,
            (one, other) if one == other => true,
            _ => self.agents.iter().any(|(id, agent)| one.whom.is(id, agent) && whom.is(id, agent)),
        });
        Some(rivals.count() + 1)
    }

    /// How long a conversation still waits, from how long the last ones took and how many can be
    /// served at a time; none while there is nothing to tell it from.
    pub fn wait_ms(&self, conversation: &str) -> Option<u64> {
        let whom = &self.waiting.iter().find(|one| one.conversation == conversation)?.whom;
        self.wait_at(self.position(conversation)?, whom)
    }

    /// Everybody who waits, with place and wait, in order.
    pub fn places(&self) -> impl Iterator<Item = (&str, usize, Option<u64>)> {
        // Without wishes the place is the number in the line; else each has rivals of its own.
        let plain = self.waiting.iter().all(|one| one.whom == Whom::Anyone);
        self.waiting.iter().enumerate().map(move |(at, one)| {
            let name = one.conversation.as_str();
            let position = if plain { at + 1 } else { self.position(name).unwrap_or(at + 1) };
            (name, position, self.wait_at(position, &one.whom))
        })
    }

    fn wait_at(&self, position: usize, whom: &Whom) -> Option<u64> {
        let able = || self.agents.iter().filter(|(id, agent)| whom.is(id, agent));
        if able().any(|(_, agent)| agent.free() > 0) {
            return Some(0);
        }
        let seats = able().map(|(_, agent)| agent.capacity as u64).sum::<u64>();
        if seats == 0 || self.recent.is_empty() {
            return None;
        }
        let sum = self.recent.iter().fold(0u64, |sum, one| sum.saturating_add(*one));
        let mean = sum / self.recent.len() as u64;
        Some(mean.saturating_mul(position as u64) / seats)
    }

    /// The conversations that wait, the first first.
    pub fn waiting(&self) -> impl Iterator<Item = &str> {
        self.waiting.iter().map(|one| one.conversation.as_str())
    }

    /// The conversations that an agent serves.
    pub fn served_by(&self, agent: &str) -> impl Iterator<Item = &str> {
        self.agents.get(agent).into_iter().flat_map(|one| one.serving.keys().map(String::as_str))
    }

    /// An agent comes to work, or changes capacity or groups; what is served stays. A capacity of 0
    /// takes nothing new.
    pub fn arrive(&mut self, agent: &str, capacity: usize, groups: BTreeSet<String>, now_ms: u64) {
        let fresh = || Agent {
            capacity: 0,
            groups: BTreeSet::new(),
            serving: BTreeMap::new(),
            idle_since_ms: now_ms,
        };
        let agent = self.agents.entry(agent.to_owned()).or_insert_with(fresh);
        agent.capacity = capacity;
        agent.groups = groups;
    }

    /// An agent goes; what they served waits again, at the place of its first entering. The
    /// conversations that do are returned.
    pub fn depart(&mut self, agent: &str) -> Vec<String> {
        let Some(gone) = self.agents.remove(agent) else { return vec![] };
        for one in &mut self.waiting {
            if one.whom == Whom::Agent(agent.to_owned()) {
                one.whom = Whom::Anyone;
            }
        }
        let returned: Vec<String> = gone.serving.keys().cloned().collect();
        for (conversation, served) in gone.serving {
            let since_ms = served.waits_since_ms;
            self.insert(Waiting { conversation, since_ms, whom: Whom::Anyone });
        }
        returned
    }

    /// Gives the first who can be served to an agent with the most free capacity, of these to the
    /// one who has been without a change for longest, then by name. Call it until there is none.
    pub fn assign(&mut self, now_ms: u64) -> Option<Assignment> {
        let (at, agent) = self.waiting.iter().enumerate().find_map(|(at, one)| {
            let able =
                self.agents.iter().filter(|(id, agent)| agent.free() > 0 && one.whom.is(id, agent));
            let best = able.min_by_key(|(id, agent)| {
                (std::cmp::Reverse(agent.free()), agent.idle_since_ms, *id)
            });
            best.map(|(id, _)| (at, id.clone()))
        })?;
        let Waiting { conversation, since_ms, .. } = self.waiting.remove(at);
        self.serve(&agent, &conversation, since_ms, now_ms);
        Some(Assignment { conversation, agent })
    }

    /// An agent takes a conversation by hand, wherever it was, even beyond their capacity; false
    /// when the agent is not at work.
    pub fn take(&mut self, conversation: &str, agent: &str, now_ms: u64) -> bool {
        if !self.agents.contains_key(agent) {
            return false;
        }
        let since_ms = self.take_out(conversation, now_ms).unwrap_or(now_ms);
        self.serve(agent, conversation, since_ms, now_ms);
        true
    }

    /// Passes a conversation on; it waits at the place of its first entering.
    pub fn transfer(&mut self, conversation: &str, whom: Whom, now_ms: u64) {
        let since_ms = self.take_out(conversation, now_ms).unwrap_or(now_ms);
        self.insert(Waiting { conversation: conversation.to_owned(), since_ms, whom });
    }

    /// A conversation is resolved; how long it took goes into the estimates.
    pub fn finish(&mut self, conversation: &str, now_ms: u64) {
        if let Some(served) = self.give_up(conversation, now_ms) {
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(now_ms.saturating_sub(served.from_ms));
        }
    }

    fn serve(&mut self, agent: &str, conversation: &str, waits_since_ms: u64, now_ms: u64) {
        let Some(agent) = self.agents.get_mut(agent) else { return };
        agent.idle_since_ms = now_ms;
        let served = Served { waits_since_ms, from_ms: now_ms };
        agent.serving.insert(conversation.to_owned(), served);
    }

    /// Takes a conversation from whoever serves it.
    fn give_up(&mut self, conversation: &str, now_ms: u64) -> Option<Served> {
        self.agents.values_mut().find_map(|agent| {
            let served = agent.serving.remove(conversation)?;
            agent.idle_since_ms = now_ms;
            Some(served)
        })
    }

    /// Takes a conversation out of everything, and says since when it has waited.
    fn take_out(&mut self, conversation: &str, now_ms: u64) -> Option<u64> {
        if let Some(at) = self.waiting.iter().position(|one| one.conversation == conversation) {
            return Some(self.waiting.remove(at).since_ms);
        }
        self.give_up(conversation, now_ms).map(|served| served.waits_since_ms)
    }

    /// Behind those who have waited as long.
    fn insert(&mut self, one: Waiting) {
        let at = self.waiting.partition_point(|other| other.since_ms <= one.since_ms);
        self.waiting.insert(at, one);
    }
}
