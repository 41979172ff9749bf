//! The golden gate: does a model answer the golden set, and what did it lose?

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

use super::Outcome;
use crate::encoder::Embeddings;
use crate::intent::answer::{NeighborEvidence, Tier};
use crate::intent::engine::Engine;
use crate::intent::golden::{Expected, GoldenSentence};
use crate::intent::normalize::normalize;

/// What a failing golden sentence does to a new model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoldenRule {
    /// A model that loses a sentence is not used.
    Required,
    /// It is used, and what it lost is told.
    Warn,
    /// Nothing is judged.
    Off,
}

/// How a model answers the golden set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct GoldenReport {
    /// Sentences that are answered as they should be.
    pub passed: usize,
    /// Sentences that are not.
    pub failed: usize,
    /// Those that are not, in their order; `GET /model` shows the first 20.
    pub failures: Vec<GoldenFailure>,
}

/// A golden sentence that is not answered as it should be.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct GoldenFailure {
    /// The sentence.
    pub text: String,
    /// File within the knowledge base.
    pub file: String,
    /// Line in the file, from 1.
    pub line: u32,
    /// The right answer.
    pub expected: Expected,
    /// The tier that should answer; null for either.
    pub expected_tier: Option<Tier>,
    /// The answer.
    pub got: Outcome,
    /// The nearest example; null when keywords decided.
    pub nearest: Option<NeighborEvidence>,
}

/// The normalised texts of a golden set, to be embedded.
pub fn texts(golden: &[GoldenSentence]) -> Vec<String> {
    golden.iter().map(|one| normalize(&one.text).text().to_owned()).collect()
}

/// Judges an engine by a golden set whose embeddings are the rows of `embeddings`.
pub fn judge(engine: &Engine, golden: &[GoldenSentence], embeddings: &Embeddings) -> GoldenReport {
    let mut report = GoldenReport::default();
    for (at, sentence) in golden.iter().enumerate() {
        let text = normalize(&sentence.text);
        let verdict = engine.verdict(&text, embeddings.row(at));
        if sentence.is_met(&verdict, engine.knowledge()) {
            report.passed += 1;
            continue;
        }
        report.failed += 1;
        let answer = engine.answer(&sentence.text, &text, &verdict, 3, true);
        let why = answer.explanation.clone().unwrap_or_default();
        report.failures.push(GoldenFailure {
            text: sentence.text.clone(),
            file: sentence.file.clone(),
            line: sentence.line,
            expected: sentence.expected.clone(),
            expected_tier: sentence.tier,
            got: Outcome::from(answer),
            nearest: why.neighbors.into_iter().next(),
        });
    }
    report
}

impl GoldenReport {
    /// The failures that `before`, of the same golden set, does not have: what the model lost.
    pub fn lost_since(&self, before: &Self) -> Vec<&GoldenFailure> {
        let known: HashSet<&str> = before.failures.iter().map(|one| one.text.as_str()).collect();
        self.failures.iter().filter(|one| !known.contains(one.text.as_str())).collect()
    }

    /// The same with at most `most` failures told; the counts stay.
    pub fn cut(mut self, most: usize) -> Self {
        self.failures.truncate(most);
        self
    }
}

impl fmt::Display for GoldenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, file, line, expected, got, .. } = self;
        write!(f, "{file}:{line}: {text:?} should be {expected}")?;
        match self.expected_tier {
            Some(Tier::Keyword) => f.write_str(" by keyword")?,
            Some(Tier::Semantic | Tier::None) => f.write_str(" by meaning")?,
            None => {}
        }
        write!(f, ", is {got}")?;
        match &self.nearest {
            Some(near) => write!(
                f,
                "; nearest {:.2} {} {:?} {}:{}",
                near.similarity, near.intent, near.text, near.file, near.line
            ),
            None => Ok(()),
        }
    }
}
