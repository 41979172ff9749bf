//! What the engine says about a message, and why.

use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

use super::entity::Entity;

/// How sure the engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, serde::Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// One intent, above the fitted threshold.
    Matched,
    /// One of a few intents: ask "did you mean" with the alternatives.
    Ambiguous,
    /// None of the known intents.
    OutOfScope,
}

impl Status {
    /// The name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Ambiguous => "ambiguous",
            Self::OutOfScope => "out_of_scope",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which tier decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// A strong keyword rule of exactly one intent.
    Keyword,
    /// The encoder, the head and the neighbours.
    Semantic,
    /// Nothing was asked: the message has no letter and no digit, and no keyword rule is for it.
    None,
}

/// The engine's answer to one message.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Answer {
    /// Matched, ambiguous or out of scope.
    pub status: Status,
    /// The intent that matched; null unless `status` is `matched`.
    #[schema(example = "delivery_delay")]
    pub intent: Option<String>,
    /// Calibrated probability, 0 to 1, that the first alternative is what the visitor meant.
    #[schema(example = 0.97)]
    pub confidence: f32,
    /// Which tier decided.
    pub tier: Tier,
    /// The most probable intents, most probable first, at most `top_k`. Never renormalised: the
    /// probabilities of all intents and of "none of them" sum to 1.
    pub alternatives: Vec<Alternative>,
    /// What to offer when `status` is `ambiguous`, most probable first; empty otherwise. Training
    /// fitted how many it takes to hold the right one, whatever `top_k` is.
    pub candidates: Vec<String>,
    /// The values in the text, in its order, without overlaps.
    pub entities: Vec<Entity>,
    /// Why, when it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
}

/// One intent that may be meant.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize, ToSchema)]
pub struct Alternative {
    /// Id of the intent.
    #[schema(example = "delivery_delay")]
    pub intent: String,
    /// Calibrated probability, 0 to 1.
    #[schema(example = 0.97)]
    pub confidence: f32,
}

/// Why the engine answered so.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Explanation {
    /// The text as the engine saw it.
    pub normalized: String,
    /// Keyword rules that fired.
    pub keywords: Vec<KeywordEvidence>,
    /// The nearest examples, most similar first; empty when tier 1 decided.
    pub neighbors: Vec<NeighborEvidence>,
    /// Probability, 0 to 1, that the text is in scope; null unless tier 2 decided.
    pub in_scope: Option<f32>,
    /// The thresholds that decided; null unless tier 2 did.
    pub thresholds: Option<Thresholds>,
    /// Microseconds a step.
    pub steps: Steps,
}

/// A keyword rule that fired.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct KeywordEvidence {
    /// Whose rule.
    pub intent: String,
    /// True when the rule is strong enough to answer alone.
    pub strong: bool,
    /// The keywords found.
    pub spans: Vec<TextSpan>,
}

/// A part of the original text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TextSpan {
    /// First character, counted in Unicode scalar values from 0.
    pub start: usize,
    /// One past the last character.
    pub end: usize,
    /// The characters themselves.
    pub text: String,
}

/// One near example.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NeighborEvidence {
    /// Whose example.
    pub intent: String,
    /// The example as written.
    pub text: String,
    /// File of the knowledge base.
    pub file: String,
    /// Line in the file, from 1.
    pub line: u32,
    /// Cosine similarity, -1 to 1.
    pub similarity: f32,
}

/// The limits that training fitted on held-out sentences.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, serde::Deserialize, ToSchema)]
pub struct Thresholds {
    /// A text whose probability of being in scope is below this is `out_of_scope`.
    pub in_scope: f32,
    /// An in-scope text whose confidence is at or above this is `matched`, else `ambiguous`.
    pub matched: f32,
}

/// Microseconds a step took; 0 for a step that was not taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Steps {
    /// Normalising.
    pub normalize_us: u64,
    /// Tier 1.
    pub keyword_us: u64,
    /// Waiting for the encoder and encoding.
    pub encode_us: u64,
    /// Neighbours, head and decision.
    pub decide_us: u64,
}
