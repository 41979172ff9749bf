//! Where a conversation stands: plain data, stored with it.
//!
//! It outlives the process and the knowledge base that it was made with; `step` copes with intents
//! and slots that are gone. `docs/dialogue.md` explains the states.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::owner::Ownership;
use super::slots::Filling;
use crate::intent::entity::Entity;
use crate::intent::knowledge::Lang;

/// Messages that may wait while one is worked on; a visitor who sends more is told to wait.
pub const MAX_QUEUED: usize = 32;

/// Where a conversation stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Whose conversation it is.
    #[serde(default)]
    pub ownership: Ownership,
    /// One of the four states.
    #[serde(default)]
    pub phase: Phase,
    /// Messages that came while another was worked on, oldest first.
    #[serde(default)]
    pub queued: VecDeque<Said>,
    /// A form that waits until another question is answered.
    #[serde(default)]
    pub suspended: Option<Filling>,
    /// How many messages in a row the bot did not understand.
    #[serde(default)]
    pub misses: u8,
    /// The language to speak.
    pub lang: Lang,
    /// One past the last visitor message; what lies before is known.
    #[serde(default)]
    pub seen: u64,
    /// What happens by itself if nothing else does.
    #[serde(default)]
    pub deadline: Option<Deadline>,
}

/// The four states, each with what it needs to go on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing is open.
    #[default]
    Idle,
    /// A message waits for the engine.
    WaitingReply(Reading),
    /// The engine reads a message, or an action is on its way.
    Processing(Work),
    /// The bot has asked something and waits for the visitor.
    WaitingConfirm(Question),
}

/// The name of a state, as it is shown and logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseName {
    /// [`Phase::Idle`].
    Idle,
    /// [`Phase::WaitingReply`].
    WaitingReply,
    /// [`Phase::Processing`].
    Processing,
    /// [`Phase::WaitingConfirm`].
    WaitingConfirm,
}

/// A message of the visitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Its place in the conversation.
    pub seq: u64,
    /// The text as written.
    pub text: String,
}

/// A message that is being understood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Which.
    pub message: Said,
    /// The question that was open when it came.
    pub asked: Option<Question>,
    /// The engine failed at it once.
    #[serde(default)]
    pub retried: bool,
}

/// What the bot is busy with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// The engine reads a message.
    Understanding(Reading),
    /// An action is on its way.
    Acting {
        /// The action's id: the seq of the message that set it off.
        id: u64,
        /// Intent and values.
        filling: Filling,
        /// The visitor was asked for patience.
        #[serde(default)]
        waited: bool,
    },
}

/// What the bot asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// What about.
    pub about: About,
    /// The first message that may answer it: an earlier one was written before it was asked.
    pub from_seq: u64,
    /// Asked a second time, because the answer was unclear.
    #[serde(default)]
    pub again: bool,
}

/// What a question is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// A slot of a form.
    Slot(Filling),
    /// Whether to act.
    Action(Filling),
    /// Which of several intents was meant.
    Offer(Offer),
}

/// A “did you mean”.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// What the visitor wrote.
    pub message: Said,
    /// The values in it.
    #[serde(default)]
    pub entities: Vec<Entity>,
    /// Ids of the intents, most probable first.
    pub candidates: Vec<String>,
}

/// When something happens by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    /// What.
    pub timer: Timer,
    /// Unix time.
    pub at_ms: u64,
}

/// What can run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timer {
    /// The engine or an action takes too long.
    Processing,
    /// The visitor does not say yes or no.
    Confirm,
    /// The visitor does not answer another question.
    Question,
}

impl State {
    /// A new conversation, the bot's.
    pub fn new(lang: Lang) -> Self {
        Self {
            ownership: Ownership::default(),
            phase: Phase::Idle,
            queued: VecDeque::new(),
            suspended: None,
            misses: 0,
            lang,
            seen: 0,
            deadline: None,
        }
    }
}

impl Phase {
    /// Which of the four it is.
    pub fn name(&self) -> PhaseName {
        match self {
            Self::Idle => PhaseName::Idle,
            Self::WaitingReply(_) => PhaseName::WaitingReply,
            Self::Processing(_) => PhaseName::Processing,
            Self::WaitingConfirm(_) => PhaseName::WaitingConfirm,
        }
    }
}

impl PhaseName {
    /// The name in answers and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::WaitingReply => "waiting_reply",
            Self::Processing => "processing",
            Self::WaitingConfirm => "waiting_confirm",
        }
    }
}

impl Timer {
    /// How long it runs.
    pub fn after_ms(self) -> u64 {
        match self {
            Self::Processing => 15_000,
            Self::Confirm => 5 * 60_000,
            Self::Question => 30 * 60_000,
        }
    }
}

impl Question {
    /// Asked when the messages before `from_seq` were there already.
    pub fn new(about: About, from_seq: u64) -> Self {
        Self { about, from_seq, again: false }
    }

    /// How long it stays open.
    pub(super) fn timer(&self) -> Timer {
        match self.about {
            About::Action(_) => Timer::Confirm,
            About::Slot(_) | About::Offer(_) => Timer::Question,
        }
    }
}
