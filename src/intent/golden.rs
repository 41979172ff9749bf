//! The golden set: sentences whose answer is settled, and whether a verdict is that answer.
//!
//! `crate::knowledge` reads them from `golden.yaml`; `crate::flips` judges models by them.

use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Status, Tier};
use super::engine::Verdict;
use super::knowledge::{KnowledgeBase, Lang};

/// A sentence that a model must answer as it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoldenSentence {
    /// As written.
    pub text: String,
    /// Its language.
    pub lang: Lang,
    /// The right answer.
    pub expected: Expected,
    /// Which tier must answer; none: either.
    pub tier: Option<Tier>,
    /// File name within the knowledge base.
    pub file: String,
    /// Line in the file, from 1.
    pub line: u32,
}

/// The right answer to a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// This intent, matched.
    #[schema(example = "refund_status")]
    Intent(String),
    /// No intent: out of scope, or too close to call.
    Status(Status),
}

impl GoldenSentence {
    /// Whether `verdict` of a model of `knowledge` is the right answer.
    pub fn is_met(&self, verdict: &Verdict, knowledge: &KnowledgeBase) -> bool {
        self.expected.is_met(verdict, knowledge)
            && self.tier.is_none_or(|tier| tier == verdict.tier)
    }
}

impl Expected {
    /// Whether `verdict` of a model of `knowledge` is the right answer.
    pub fn is_met(&self, verdict: &Verdict, knowledge: &KnowledgeBase) -> bool {
        match self {
            Self::Intent(id) => {
                verdict.status == Status::Matched && first(verdict, knowledge) == Some(id)
            }
            Self::Status(status) => verdict.status == *status,
        }
    }

    /// How good `verdict` is: 3 right, 2 asked back with the right intent on offer, 1 not answered,
    /// 0 answered wrongly.
    pub fn grade(&self, verdict: &Verdict, knowledge: &KnowledgeBase) -> u8 {
        if self.is_met(verdict, knowledge) {
            return 3;
        }
        let offered = |id: &String| {
            let ranking = verdict.ranking.iter().take(verdict.candidates);
            ranking.into_iter().any(|one| knowledge.intents[one.0 as usize].id == *id)
        };
        match (verdict.status, self) {
            (Status::Matched, _) => 0,
            (Status::Ambiguous, Self::Intent(id)) if offered(id) => 2,
            (Status::Ambiguous | Status::OutOfScope, _) => 1,
        }
    }
}

fn first<'a>(verdict: &Verdict, knowledge: &'a KnowledgeBase) -> Option<&'a String> {
    verdict.ranking.first().map(|top| &knowledge.intents[top.0 as usize].id)
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Intent(id) => f.write_str(id),
            Self::Status(status) => write!(f, "{status}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::knowledge::Intent;

    fn verdict(status: Status, ranking: &[u32]) -> Verdict {
        let ranking = ranking.iter().map(|&intent| (intent, 0.4)).collect();
        let tier = Tier::Semantic;
        Verdict {
            status,
            tier,
            in_scope: None,
            ranking,
            candidates: if status == Status::Ambiguous { 3 } else { 0 },
            keywords: vec![],
            neighbors: vec![],
        }
    }

    #[test]
    fn answers_are_graded() {
        let named = |id: &str| Intent { id: id.to_owned(), ..Intent::default() };
        let intents = ["a", "b", "c", "d"].map(named).to_vec();
        let knowledge = KnowledgeBase { intents, ..KnowledgeBase::default() };
        let (a, none) = (Expected::Intent("a".into()), Expected::Status(Status::OutOfScope));
        let either = Expected::Status(Status::Ambiguous);
        for (name, expected, status, ranking, grade) in [
            ("right", &a, Status::Matched, [0, 1, 2, 3], 3),
            ("wrong", &a, Status::Matched, [1, 0, 2, 3], 0),
            ("on offer", &a, Status::Ambiguous, [1, 2, 0, 3], 2),
            ("not on offer", &a, Status::Ambiguous, [1, 2, 3, 0], 1),
            ("turned away", &a, Status::OutOfScope, [0, 1, 2, 3], 1),
            ("rightly turned away", &none, Status::OutOfScope, [0, 1, 2, 3], 3),
            ("asked back for nothing", &none, Status::Ambiguous, [0, 1, 2, 3], 1),
            ("answered for nothing", &none, Status::Matched, [0, 1, 2, 3], 0),
            ("rightly asked back", &either, Status::Ambiguous, [0, 1, 2, 3], 3),
            ("too sure", &either, Status::Matched, [0, 1, 2, 3], 0),
        ] {
            let verdict = verdict(status, &ranking);
            assert_eq!(expected.grade(&verdict, &knowledge), grade, "{name}");
            assert_eq!(expected.is_met(&verdict, &knowledge), grade == 3, "{name}");
        }
    }

    #[test]
    fn a_tier_may_be_wanted() {
        let sentence = |tier| GoldenSentence {
            text: "x".into(),
            lang: Lang::En,
            expected: Expected::Status(Status::OutOfScope),
            tier,
            file: "golden.yaml".into(),
            line: 1,
        };
        let verdict = verdict(Status::OutOfScope, &[]);
        let met = |tier| sentence(tier).is_met(&verdict, &KnowledgeBase::default());
        assert!(met(None) && met(Some(Tier::Semantic)) && !met(Some(Tier::Keyword)));
    }
}
