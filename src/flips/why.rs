//! Why a message flipped: the evidence before and afterwards, and what part of the edit shows in
//! it.
//!
//! A cause is named only where it can be seen: an example of the edit among the neighbours, a rule
//! that fires on one side only, limits that decide otherwise. Without one, the weights of the heads
//! moved.

use serde::Serialize;
use utoipa::ToSchema;

use super::edit::{Edits, Fate};
use crate::intent::answer::{
    Answer, Explanation, KeywordEvidence, NeighborEvidence, Status, Thresholds,
};
use crate::intent::knowledge::Example;

/// Neighbours that are shown a side.
const NEAREST: usize = 3;
/// Causes that are named at the most.
const CAUSES: usize = 5;

/// The evidence on both sides.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Why {
    /// The nearest examples before; empty when keywords decided.
    pub nearest_before: Vec<NeighborEvidence>,
    /// The nearest examples afterwards; empty when keywords decided.
    pub nearest_after: Vec<NeighborEvidence>,
    /// Keyword rules that fired before.
    pub keywords_before: Vec<KeywordEvidence>,
    /// Keyword rules that fire afterwards.
    pub keywords_after: Vec<KeywordEvidence>,
    /// The parts of the edit that show in the evidence; empty when only weights moved.
    pub causes: Vec<Cause>,
}

/// A part of the edit that shows in the evidence.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Cause {
    /// What the edit did.
    pub kind: CauseKind,
    /// To which intent; null for thresholds.
    pub intent: Option<String>,
    /// The intent that an example stood under before it was moved.
    pub from: Option<String>,
    /// The example, or the keywords that were found.
    pub text: Option<String>,
    /// File of the example.
    pub file: Option<String>,
    /// Line in the file, from 1.
    pub line: Option<u32>,
    /// Cosine similarity of the example and the message, -1 to 1.
    pub similarity: Option<f32>,
}

/// What an edit can do to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    /// An intent is new.
    IntentAdded,
    /// An intent is gone.
    IntentRemoved,
    /// A keyword rule fires only afterwards.
    KeywordAdded,
    /// A keyword rule fired only before.
    KeywordRemoved,
    /// A new example is among the nearest.
    ExampleAdded,
    /// An example that was among the nearest is gone.
    ExampleRemoved,
    /// An example among the nearest stands under another intent.
    ExampleMoved,
    /// An intent of the answers has a new negative example.
    NegativeAdded,
    /// An intent of the answers has lost a negative example.
    NegativeRemoved,
    /// The numbers would still give the old answer with the old thresholds.
    Thresholds,
}

/// Both answers must carry their explanation.
pub(super) fn explain(before: &Answer, after: &Answer, edits: &Edits<'_>) -> Why {
    let empty = Explanation::default();
    let old = before.explanation.as_ref().unwrap_or(&empty);
    let new = after.explanation.as_ref().unwrap_or(&empty);
    let mut causes = intent_causes(before, after, edits);
    causes.extend(keyword_causes(&old.keywords, &new.keywords));
    causes.extend(example_causes(&old.neighbors, &new.neighbors, edits));
    causes.extend(negative_causes(before, after, edits));
    causes.extend(threshold_cause(before, after, old.thresholds));
    causes.truncate(CAUSES);
    let nearest = |why: &Explanation| why.neighbors.iter().take(NEAREST).cloned().collect();
    Why {
        nearest_before: nearest(old),
        nearest_after: nearest(new),
        keywords_before: old.keywords.clone(),
        keywords_after: new.keywords.clone(),
        causes,
    }
}

impl Cause {
    fn of(kind: CauseKind, intent: &str) -> Self {
        Self { intent: Some(intent.to_owned()), ..Self::bare(kind) }
    }

    fn bare(kind: CauseKind) -> Self {
        Self {
            kind,
            intent: None,
            from: None,
            text: None,
            file: None,
            line: None,
            similarity: None,
        }
    }

    fn at(self, text: &str, file: &str, line: u32) -> Self {
        Self { text: Some(text.to_owned()), file: Some(file.to_owned()), line: Some(line), ..self }
    }
}

fn intent_causes(before: &Answer, after: &Answer, edits: &Edits<'_>) -> Vec<Cause> {
    let gone = before.intent.iter().filter(|id| edits.is_gone_intent(id));
    let new = after.intent.iter().filter(|id| edits.is_new_intent(id));
    gone.map(|id| Cause::of(CauseKind::IntentRemoved, id))
        .chain(new.map(|id| Cause::of(CauseKind::IntentAdded, id)))
        .collect()
}

fn keyword_causes(old: &[KeywordEvidence], new: &[KeywordEvidence]) -> Vec<Cause> {
    let beside = |one: &[KeywordEvidence], other: &[KeywordEvidence], kind| -> Vec<Cause> {
        one.iter()
            .filter(|rule| !other.contains(rule))
            .map(|rule| {
                let found: Vec<&str> = rule.spans.iter().map(|span| span.text.as_str()).collect();
                Cause { text: Some(found.join(" + ")), ..Cause::of(kind, &rule.intent) }
            })
            .collect()
    };
    let mut causes = beside(new, old, CauseKind::KeywordAdded);
    causes.extend(beside(old, new, CauseKind::KeywordRemoved));
    causes
}

fn example_causes(
    old: &[NeighborEvidence],
    new: &[NeighborEvidence],
    edits: &Edits<'_>,
) -> Vec<Cause> {
    let mut causes: Vec<Cause> = Vec::new();
    for near in new.iter().chain(old) {
        let cause = match edits.fate(&near.intent, &near.text) {
            None => continue,
            Some(Fate::Added) => Cause::of(CauseKind::ExampleAdded, &near.intent),
            Some(Fate::Removed) => Cause::of(CauseKind::ExampleRemoved, &near.intent),
            Some(Fate::Moved { from, to }) => {
                Cause { from: Some(from.to_owned()), ..Cause::of(CauseKind::ExampleMoved, to) }
            }
        };
        // A moved example is among the neighbours of both sides.
        if !causes.iter().any(|one| one.text.as_ref() == Some(&near.text) && one.kind == cause.kind)
        {
            let cause = cause.at(&near.text, &near.file, near.line);
            causes.push(Cause { similarity: Some(near.similarity), ..cause });
        }
    }
    causes.sort_by(|a, b| b.similarity.unwrap_or(0.0).total_cmp(&a.similarity.unwrap_or(0.0)));
    causes
}

fn negative_causes(before: &Answer, after: &Answer, edits: &Edits<'_>) -> Vec<Cause> {
    let of = |kind, intent: &str, list: Vec<&Example>| -> Vec<Cause> {
        let cause = |one: &Example| Cause::of(kind, intent).at(&one.text, &one.file, one.line);
        list.into_iter().map(cause).collect()
    };
    let mut intents: Vec<&str> = [before, after]
        .into_iter()
        .filter_map(|answer| Some(answer.alternatives.first()?.intent.as_str()))
        .collect();
    intents.dedup();
    let per_intent = |intent: &str| {
        let mut causes = of(CauseKind::NegativeAdded, intent, edits.negatives_added(intent));
        causes.extend(of(CauseKind::NegativeRemoved, intent, edits.negatives_removed(intent)));
        causes
    };
    intents.into_iter().flat_map(per_intent).collect()
}

/// Set when the new numbers under the old thresholds would give the old status.
fn threshold_cause(before: &Answer, after: &Answer, old: Option<Thresholds>) -> Option<Cause> {
    let in_scope = after.explanation.as_ref()?.in_scope?;
    let (old, new) = (old?, after.explanation.as_ref()?.thresholds?);
    let first = |answer: &Answer| answer.alternatives.first().map(|one| one.intent.clone());
    if old == new || first(before) != first(after) {
        return None;
    }
    let status = if in_scope < old.in_scope {
        Status::OutOfScope
    } else if after.confidence < old.matched {
        Status::Ambiguous
    } else {
        Status::Matched
    };
    let decided = status == before.status && status != after.status;
    let limits = format!(
        "in scope {:.3} → {:.3}, matched {:.3} → {:.3}",
        old.in_scope, new.in_scope, old.matched, new.matched
    );
    decided.then(|| Cause { text: Some(limits), ..Cause::bare(CauseKind::Thresholds) })
}
