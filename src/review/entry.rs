//! What the queue holds: one redacted message, why somebody should look at it, and what became of it.
//!
//! Decides which answers are worth a look ([`reason`]). Pure; times come as arguments.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::intent::answer::{Alternative, Answer, Status, Thresholds, Tier};
use crate::intent::knowledge::Lang;
use crate::intent::normalize::normalize;

/// How many alternatives an entry keeps, and so how many an answer must have for [`reason`].
pub const ALTERNATIVES: usize = 3;

/// A match this little above the threshold would have been ambiguous with a slightly different wording.
/// Training lets at most 5 % of all matches be wrong (`training::calibrate`); those near the threshold
/// carry nearly all of them.
const NEAR_THRESHOLD: f32 = 0.10;
/// Two intents this close are told apart by little. Both are probabilities, so the second one is then
/// not far from the first in being meant.
const NEAR_SECOND: f32 = 0.20;

/// Why a message is in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Somebody said what was meant.
    Corrected,
    /// The bot had to ask back.
    Ambiguous,
    /// No intent was found.
    OutOfScope,
    /// The bot answered and was not sure.
    LowMargin,
}

impl Reason {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Corrected, "corrected"),
        (Self::Ambiguous, "ambiguous"),
        (Self::OutOfScope, "out_of_scope"),
        (Self::LowMargin, "low_margin"),
    ];
}

/// Whether an editor should look at a message that was answered so, and why. `answer` has at least
/// [`ALTERNATIVES`] alternatives, if there are so many.
///
/// A text without a letter teaches nothing, and a keyword's answer has no margin.
pub fn reason(text: &str, answer: &Answer, thresholds: Thresholds) -> Option<Reason> {
    if !text.chars().any(char::is_alphabetic) {
        return None;
    }
    match (answer.status, answer.tier) {
        (Status::Ambiguous, _) => Some(Reason::Ambiguous),
        (Status::OutOfScope, _) => Some(Reason::OutOfScope),
        (Status::Matched, Tier::Keyword | Tier::None) => None,
        (Status::Matched, Tier::Semantic) => {
            let second = answer.alternatives.get(1).map_or(0.0, |one| one.confidence);
            let low = answer.confidence < thresholds.matched + NEAR_THRESHOLD
                || answer.confidence - second < NEAR_SECOND;
            low.then_some(Reason::LowMargin)
        }
    }
}

/// A message that was seen, its text already redacted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Redacted.
    pub text: String,
    /// Why it is kept.
    pub reason: Reason,
    /// What the engine said; none when nobody asked it.
    pub status: Option<Status>,
    /// The most probable intents.
    pub alternatives: Vec<Alternative>,
    /// Version of the model that answered.
    pub model: String,
    /// What somebody said was meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction: Option<Correction>,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
}

/// What somebody said was meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Correction {
    /// Id of the intent, or `oos`.
    #[schema(example = "delivery_delay")]
    pub intent: String,
    /// Who said so, in the caller's words.
    #[schema(example = "visitor")]
    pub source: Option<String>,
}

/// One message of the queue, however often it was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// Follows from the text.
    #[schema(example = "5f2c1d0a9b8e7f60")]
    pub id: String,
    /// As it was first written, redacted.
    pub text: String,
    /// `zh` or `en`.
    #[schema(value_type = String, example = "zh")]
    pub lang: Lang,
    /// Why it is here.
    pub reason: Reason,
    /// What the engine said last; null when nobody asked it.
    pub answer: Option<Status>,
    /// The most probable intents of the last answer, most probable first.
    pub alternatives: Vec<Alternative>,
    /// What somebody said was meant.
    pub correction: Option<Correction>,
    /// Version of the model that answered last.
    pub model: String,
    /// Unix milliseconds.
    pub first_seen_ms: u64,
    /// Unix milliseconds.
    pub last_seen_ms: u64,
    /// How often it was seen.
    pub count: u64,
    /// What became of it.
    pub resolution: Option<Resolution>,
}

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Resolution {
    /// Accepted or dismissed.
    pub verdict: Verdict,
    /// Unix milliseconds.
    pub at_ms: u64,
    /// Version of the model in use then.
    pub model: String,
}

/// What an editor decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Verdict {
    /// It is an example now.
    Accepted {
        /// Id of the intent, or `oos`.
        intent: String,
        /// File of the knowledge base or of the training data.
        file: String,
        /// Line of the file at the time, from 1.
        line: u64,
    },
    /// It teaches nothing.
    Dismissed {
        /// Why, in the editor's words.
        reason: Option<String>,
    },
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryStatus {
    /// Somebody should look.
    Open,
    /// It is an example now.
    Accepted,
    /// It teaches nothing.
    Dismissed,
}

/// The id of a redacted text: equal for texts that normalise to the same.
pub fn id_of(redacted: &str) -> String {
    let digest = Sha256::digest(normalize(redacted).text());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

impl Entry {
    /// A message that was seen for the first time.
    pub(super) fn first(id: String, seen: Seen) -> Self {
        let Seen { text, reason, status, alternatives, model, correction, at_ms } = seen;
        Self {
            id,
            lang: Lang::of(&text),
            text,
            reason,
            answer: status,
            alternatives,
            correction,
            model,
            first_seen_ms: at_ms,
            last_seen_ms: at_ms,
            count: 1,
            resolution: None,
        }
    }

    /// The message was seen again. What was decided about it stands, unless the example that it
    /// became did not help a later model, or somebody says now that it means something else.
    pub(super) fn again(&mut self, seen: Seen) {
        let reopened = match self.resolution.as_ref().map(|one| (&one.verdict, &one.model)) {
            Some((Verdict::Accepted { intent, .. }, model)) => match &seen.correction {
                Some(correction) => correction.intent != *intent,
                None => seen.model != *model && seen.model != self.model,
            },
            Some((Verdict::Dismissed { .. }, _)) => seen.correction.is_some(),
            None => false,
        };
        if reopened {
            self.resolution = None;
        }
        let Seen { reason, status, alternatives, model, correction, at_ms, .. } = seen;
        // A correction says more than any later answer of the engine.
        if correction.is_some() || self.correction.is_none() {
            self.reason = reason;
        }
        if status.is_some() {
            (self.answer, self.alternatives, self.model) = (status, alternatives, model);
        }
        self.correction = correction.or(self.correction.take());
        self.last_seen_ms = self.last_seen_ms.max(at_ms);
        self.count = self.count.saturating_add(1);
    }

    /// Where it stands.
    pub fn status(&self) -> EntryStatus {
        match self.resolution.as_ref().map(|one| &one.verdict) {
            None => EntryStatus::Open,
            Some(Verdict::Accepted { .. }) => EntryStatus::Accepted,
            Some(Verdict::Dismissed { .. }) => EntryStatus::Dismissed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: Status, tier: Tier, confidences: &[f32]) -> Answer {
        let one = |(at, confidence): (usize, &f32)| Alternative {
            intent: format!("intent_{at}"),
            confidence: *confidence,
        };
        Answer {
            status,
            intent: None,
            confidence: confidences.first().copied().unwrap_or(0.0),
            tier,
            alternatives: confidences.iter().enumerate().map(one).collect(),
            candidates: Vec::new(),
            entities: vec![],
            explanation: None,
        }
    }

    #[test]
    fn which_answers_are_worth_a_look() {
        use Status::{Ambiguous, Matched, OutOfScope};
        let thresholds = Thresholds { in_scope: 0.3, matched: 0.6 };
        for (name, text, status, tier, confidences, wanted) in [
            ("sure", "退款", Matched, Tier::Semantic, &[0.95, 0.02][..], None),
            (
                "near the threshold",
                "退款",
                Matched,
                Tier::Semantic,
                &[0.65, 0.1],
                Some(Reason::LowMargin),
            ),
            (
                "near the second",
                "退款",
                Matched,
                Tier::Semantic,
                &[0.55, 0.4],
                Some(Reason::LowMargin),
            ),
            ("alone", "退款", Matched, Tier::Semantic, &[0.9], None),
            ("a keyword", "退款", Matched, Tier::Keyword, &[0.61], None),
            ("torn", "退款", Ambiguous, Tier::Semantic, &[0.4, 0.3], Some(Reason::Ambiguous)),
            ("elsewhere", "weather", OutOfScope, Tier::Semantic, &[0.1], Some(Reason::OutOfScope)),
            ("no letters", "12 34", OutOfScope, Tier::Semantic, &[0.1], None),
            ("nothing to read", "😀", OutOfScope, Tier::None, &[], None),
        ] {
            assert_eq!(
                reason(text, &answer(status, tier, confidences), thresholds),
                wanted,
                "{name}"
            );
        }
    }

    #[test]
    fn an_id_follows_from_the_normalised_text() {
        assert_eq!(id_of("我要 退款！！"), id_of("我要  退款!"));
        assert_ne!(id_of("我要退款"), id_of("我要退货"));
        assert_eq!(id_of("").len(), 16);
    }
}
