//! What the bot keeps of a conversation, in its head: the dialogue's state and what it promised.

use kefu_proto::v1::{DialogueState, Holder};
use serde::{Deserialize, Serialize};

use crate::chat::record::Head;
use crate::dialogue::event::Reason;
use crate::dialogue::owner::Owner;
use crate::dialogue::state::{Phase, PhaseName, State, Work};
use crate::intent::knowledge::Lang;

/// The timer of the dialogue's own deadline.
pub(super) const DEADLINE: u8 = 1;
/// The timer of a follow-up at the shop's opening.
pub(super) const FOLLOW_UP: u8 = 2;

/// All that the bot keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) dialogue: State,
    /// Why a human is to be called at the opening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) follow_up: Option<Reason>,
}

impl Kept {
    /// What `head` holds. Who owns the conversation, the head knows best.
    pub(super) fn of(head: &Head) -> Self {
        let mut kept = Self::read(head);
        kept.dialogue.ownership.pass(owner(head));
        kept
    }

    fn read(head: &Head) -> Self {
        if !head.dialogue_data.is_empty() {
            match serde_json::from_slice(&head.dialogue_data) {
                Ok(kept) => return kept,
                Err(error) => {
                    // Written by a version that is not known here: better anew than not at all.
                    let app = &head.app;
                    tracing::error!(app, %error, "a dialogue cannot be read; it begins anew");
                }
            }
        }
        let lang = if head.lang == "en" { Lang::En } else { Lang::Zh };
        Self { dialogue: State::new(lang), follow_up: None }
    }

    /// As it is stored.
    pub(super) fn write(&self) -> bytes::Bytes {
        serde_json::to_vec(self).expect("a state has string keys and finite numbers").into()
    }

    /// Whether the bot owes something.
    pub(super) fn owes(&self) -> bool {
        matches!(self.dialogue.phase, Phase::WaitingReply(_) | Phase::Processing(_))
    }

    /// Whether a message is there that nobody reads.
    pub(super) fn is_unread(&self) -> bool {
        matches!(self.dialogue.phase, Phase::WaitingReply(_))
    }

    /// Whether this action is waited for.
    pub(super) fn waits_for(&self, action: u64, intent: &str) -> bool {
        matches!(&self.dialogue.phase, Phase::Processing(Work::Acting { id, filling, .. })
            if *id == action && filling.intent == intent)
    }
}

fn owner(head: &Head) -> Owner {
    match (head.owner.holder(), &head.owner.agent) {
        (Holder::Bot, _) => Owner::Bot,
        (Holder::Agent, Some(agent)) => Owner::Agent(agent.id.clone()),
        (Holder::Agent | Holder::Queue | Holder::Nobody | Holder::Unspecified, _) => Owner::Queue,
    }
}

/// A state as visitors see it.
pub(super) fn shown(phase: PhaseName) -> DialogueState {
    match phase {
        PhaseName::Idle => DialogueState::Idle,
        PhaseName::WaitingReply => DialogueState::WaitingReply,
        PhaseName::Processing => DialogueState::Processing,
        PhaseName::WaitingConfirm => DialogueState::WaitingConfirm,
    }
}

/// Why a human is needed, as it stands in the log.
pub(super) fn code(reason: &Reason) -> &'static str {
    match reason {
        Reason::Asked { .. } => "asked",
        Reason::NotUnderstood => "not_understood",
        Reason::SlotGivenUp { .. } => "no_value",
        Reason::EngineFailed => "engine_failed",
        Reason::ActionFailed { .. } => "action_failed",
    }
}
