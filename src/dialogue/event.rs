//! What happens to a conversation, and what is to be done about it.
//!
//! Both are plain data, so that the log can keep them; `step` makes the one from the other, and the
//! shell around it talks to the engine, the webhook's outbox, the queue and the timers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::consent::Consent;
use super::state::{PhaseName, Said, Timer};
use crate::intent::answer::{Answer, Status, Tier};
use crate::intent::entity::Entity;

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The visitor wrote something.
    Message(Said),
    /// The engine has begun with a message.
    UnderstandingStarted {
        /// Which.
        seq: u64,
    },
    /// The engine has read a message.
    Understood {
        /// Which.
        seq: u64,
        /// What it says.
        found: Understanding,
    },
    /// The engine could not read a message.
    UnderstandingFailed {
        /// Which.
        seq: u64,
    },
    /// An action has ended, for good: retries are behind it.
    ActionDone {
        /// Which.
        id: u64,
        /// How.
        outcome: ActionOutcome,
    },
    /// A timer ran out.
    Timeout(Timer),
    /// The conversation was put into the queue from outside: the visitor pressed for a human, or an
    /// agent passed it on.
    Queued,
    /// The place of the conversation in the queue, worth telling the visitor.
    QueueJoined {
        /// 1 for the next.
        position: usize,
        /// How long it may take; none when that is not known.
        wait_ms: Option<u64>,
    },
    /// A human answers from here on.
    TakenOver {
        /// Who.
        agent: String,
    },
    /// The bot answers again: the matter is resolved, or was handed back.
    Resumed,
}

/// What the engine says about a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Understanding {
    /// Matched, ambiguous or out of scope.
    pub status: Status,
    /// The intent that matched.
    pub intent: Option<String>,
    /// How probable it is.
    pub confidence: f32,
    /// Which tier decided.
    pub tier: Tier,
    /// What to offer when it is ambiguous, most probable first.
    pub candidates: Vec<String>,
    /// The values in the text.
    pub entities: Vec<Entity>,
    /// Version of the model.
    pub model: String,
    /// Yes or no by meaning, where that was asked for.
    pub meaning: Option<Consent>,
}

/// How an action ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionOutcome {
    /// It is done; what the service wants said, or nothing: then the intent's answer is said.
    Replied(Vec<String>),
    /// It is not done.
    Failed,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Ask the engine about a message; `Understood` or `UnderstandingFailed` follows.
    Understand(Said),
    /// Say something to the visitor.
    Say(Say),
    /// Carry out an action; `ActionDone` follows.
    Act(Webhook),
    /// Put the conversation into the queue of the human agents; `QueueJoined` follows.
    HandOff {
        /// Why.
        reason: Reason,
    },
    /// A human is needed and none is at work: remember it for the opening. The bot goes on.
    FollowUp {
        /// Why.
        reason: Reason,
        /// Unix time of the opening; none when there is none in sight.
        from_ms: Option<u64>,
    },
    /// Send `Timeout` in a while; this replaces the timer that runs.
    SetTimer {
        /// Which.
        timer: Timer,
        /// When.
        after_ms: u64,
    },
    /// Let no timer run.
    ClearTimer,
}

/// Something to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Say {
    /// What it is.
    pub kind: SayKind,
    /// One message each.
    pub texts: Vec<String>,
    /// Quick replies: what the visitor would write.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// What a text of the bot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SayKind {
    /// An answer.
    Answer,
    /// A question for a slot.
    Ask,
    /// The question before an action.
    Confirm,
    /// Which of several was meant.
    DidYouMean,
    /// Nothing was understood.
    Fallback,
    /// What happens with the conversation.
    Notice,
}

/// An action of the shop's own service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// The same on every retry, and together with the intent unique in the conversation: the seq of
    /// the message behind it.
    pub id: u64,
    /// What for.
    pub intent: String,
    /// Where.
    pub url: String,
    /// The values by slot.
    pub slots: BTreeMap<String, String>,
}

/// Why a human is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The visitor asked for what only a human does.
    Asked {
        /// Id of the intent.
        intent: String,
    },
    /// The bot did not understand, twice in a row.
    NotUnderstood,
    /// The visitor cannot say what an action needs.
    SlotGivenUp {
        /// Id of the intent.
        intent: String,
        /// Name of the slot.
        slot: String,
    },
    /// The engine is broken or too slow.
    EngineFailed,
    /// The shop's service did not do it.
    ActionFailed {
        /// Id of the intent.
        intent: String,
    },
}

/// What the bot thought, for the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// What the engine said.
    Understood {
        /// Of which message.
        seq: u64,
        /// Matched, ambiguous or out of scope.
        status: Status,
        /// The intent that matched.
        intent: Option<String>,
        /// How probable it is.
        confidence: f32,
        /// Which tier decided.
        tier: Tier,
        /// Version of the model.
        model: String,
    },
    /// How an answer to a question was read.
    Consent {
        /// Which message.
        seq: u64,
        /// Yes, no or neither.
        verdict: Consent,
        /// By its words, else by its meaning.
        by_words: bool,
    },
    /// One of the candidates was chosen.
    Chosen {
        /// By which message.
        seq: u64,
        /// Id of the intent; none for none of them.
        intent: Option<String>,
    },
    /// A message, an answer or a timer came too late, or twice.
    Ignored {
        /// What.
        what: &'static str,
    },
    /// The state changed.
    Moved {
        /// From.
        from: PhaseName,
        /// To.
        to: PhaseName,
    },
}

impl Understanding {
    /// What `answer` says, given by the model of this version.
    pub fn new(answer: &Answer, model: &str, meaning: Option<Consent>) -> Self {
        Self {
            status: answer.status,
            intent: answer.intent.clone(),
            confidence: answer.confidence,
            tier: answer.tier,
            candidates: answer.candidates.clone(),
            entities: answer.entities.clone(),
            model: model.to_owned(),
            meaning,
        }
    }

    /// The intent, if one matched.
    pub(super) fn matched(&self) -> Option<&str> {
        self.intent.as_deref().filter(|_| self.status == Status::Matched)
    }
}
