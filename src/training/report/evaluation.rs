//! An evaluation in full: figures, intents, mistakes with their sentences, and curves. This is what
//! `report.json` holds, and all that the pages are made of.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::curves::{self, CurvePoint, HistogramBin, ReliabilityBin};
use super::{Judgement, Report};
use crate::intent::answer::Status;

/// Raised when a field changes its meaning or goes away.
pub const FORMAT: u32 = 1;
/// Sentences kept for a pair of intents.
const SENTENCES: usize = 20;
/// Sentences kept in the lists of what was wrongly answered and wrongly rejected.
const LISTED: usize = 50;

/// All that is known of one evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// [`FORMAT`].
    pub format: u32,
    /// The figures.
    pub figures: Report,
    /// Every intent, in the order of the model.
    pub intents: Vec<IntentFigures>,
    /// Pairs of intents that were confused, before rejection; the most frequent first.
    pub confusions: Vec<Confusion>,
    /// Out-of-scope sentences that were called matched, the most confident first, at most 50.
    pub wrongly_answered: Vec<Mistake>,
    /// In-scope sentences that were called out of scope, the least probable first, at most 50.
    pub wrongly_rejected: Vec<Mistake>,
    /// Counts by confidence.
    pub histogram: Vec<HistogramBin>,
    /// Accuracy by confidence.
    pub reliability: Vec<ReliabilityBin>,
    /// Coverage (x) and risk (y).
    pub risk_coverage: Vec<CurvePoint>,
    /// Where the fitted thresholds stand on it.
    pub matched: CurvePoint,
    /// In-scope sentences rejected (x) and out-of-scope sentences found (y).
    pub out_of_scope: Vec<CurvePoint>,
}

/// One intent, before rejection. Shares are 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IntentFigures {
    /// Its name.
    pub intent: String,
    /// Its sentences.
    pub sentences: usize,
    /// Those whose top intent it is.
    pub right: usize,
    /// All sentences whose top intent it is.
    pub predicted: usize,
    /// Share of `predicted` that is right; none without any.
    pub precision: Option<f64>,
    /// Share of `sentences` that is right; none without any.
    pub recall: Option<f64>,
    /// Their harmonic mean; none for an intent that was neither meant nor predicted.
    pub f1: Option<f64>,
    /// Share of `sentences` that was called out of scope; none without any.
    pub rejected: Option<f64>,
}

/// Sentences of one intent whose top intent is another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Confusion {
    /// The true intent.
    pub truth: String,
    /// The top intent.
    pub predicted: String,
    /// How many.
    pub count: usize,
    /// The sentences, the most confident first, at most 20.
    pub sentences: Vec<Mistake>,
}

/// A sentence and what was said of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mistake {
    /// The sentence.
    pub text: String,
    /// The true intent; none for an out-of-scope sentence.
    pub truth: Option<String>,
    /// The top intent.
    pub predicted: String,
    /// Its probability.
    pub confidence: f32,
    /// Probability of being in scope.
    pub in_scope: f32,
    /// What was decided.
    pub status: Status,
}

impl Evaluation {
    /// Gathers everything; `names` are the intents by their numbers.
    pub fn new(
        figures: Report,
        names: &[String],
        inside: &[Judgement],
        outside: &[Judgement],
    ) -> Self {
        let all: Vec<Judgement> = inside.iter().chain(outside).cloned().collect();
        let mut answered: Vec<&Judgement> =
            outside.iter().filter(|one| one.status == Status::Matched).collect();
        answered.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        let mut rejected: Vec<&Judgement> =
            inside.iter().filter(|one| one.status == Status::OutOfScope).collect();
        rejected.sort_by(|a, b| a.in_scope.total_cmp(&b.in_scope));
        Self {
            format: FORMAT,
            figures,
            intents: intent_figures(names, inside),
            confusions: confusions(names, inside),
            wrongly_answered: mistakes(names, &answered, LISTED),
            wrongly_rejected: mistakes(names, &rejected, LISTED),
            histogram: curves::histogram(&all),
            reliability: curves::reliability(inside),
            risk_coverage: curves::risk_coverage(inside),
            matched: curves::matched(inside),
            out_of_scope: curves::out_of_scope(inside, outside),
        }
    }

    /// The intents, the lowest F1 first; those that never occur last.
    pub(super) fn worst_first(&self) -> Vec<&IntentFigures> {
        let mut all: Vec<&IntentFigures> = self.intents.iter().collect();
        let score = |one: &IntentFigures| one.f1.unwrap_or(2.0);
        all.sort_by(|a, b| score(a).total_cmp(&score(b)).then_with(|| a.intent.cmp(&b.intent)));
        all
    }
}

fn intent_figures(names: &[String], inside: &[Judgement]) -> Vec<IntentFigures> {
    let mut counts = vec![[0usize; 4]; names.len()];
    for one in inside {
        let Some(truth) = one.truth else { continue };
        counts[truth as usize][0] += 1;
        counts[truth as usize][1] += usize::from(one.top == truth);
        counts[one.top as usize][2] += 1;
        counts[truth as usize][3] += usize::from(one.status == Status::OutOfScope);
    }
    let share = |part: usize, of: usize| (of > 0).then(|| part as f64 / of as f64);
    names
        .iter()
        .zip(counts)
        .map(|(intent, [sentences, right, predicted, rejected])| IntentFigures {
            intent: intent.clone(),
            sentences,
            right,
            predicted,
            precision: share(right, predicted),
            recall: share(right, sentences),
            f1: share(2 * right, sentences + predicted),
            rejected: share(rejected, sentences),
        })
        .collect()
}

fn confusions(names: &[String], inside: &[Judgement]) -> Vec<Confusion> {
    let mut pairs: BTreeMap<(u32, u32), Vec<&Judgement>> = BTreeMap::new();
    for one in inside {
        if let Some(truth) = one.truth.filter(|truth| *truth != one.top) {
            pairs.entry((truth, one.top)).or_default().push(one);
        }
    }
    let mut all: Vec<Confusion> = pairs
        .into_iter()
        .map(|((truth, top), mut sentences)| {
            sentences.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
            Confusion {
                truth: names[truth as usize].clone(),
                predicted: names[top as usize].clone(),
                count: sentences.len(),
                sentences: mistakes(names, &sentences, SENTENCES),
            }
        })
        .collect();
    all.sort_by_key(|pair| Reverse(pair.count));
    all
}

fn mistakes(names: &[String], judged: &[&Judgement], most: usize) -> Vec<Mistake> {
    let name = |intent: u32| names[intent as usize].clone();
    judged
        .iter()
        .take(most)
        .map(|one| Mistake {
            text: one.text.clone(),
            truth: one.truth.map(name),
            predicted: name(one.top),
            confidence: one.confidence,
            in_scope: one.in_scope,
            status: one.status,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::sample;

    #[test]
    fn mistakes_are_counted_and_quoted() {
        let all = sample::evaluation();
        assert_eq!(all.confusions.len(), 2);
        assert_eq!(all.confusions[0].sentences[0].text, "包裹丢了要退款");
        assert_eq!(all.wrongly_answered[0].text, sample::HOSTILE);
        assert_eq!(all.wrongly_rejected[0].text, "hello");
        let refund = &all.intents[1];
        assert_eq!((refund.sentences, refund.right, refund.predicted), (2, 1, 2));
        assert_eq!((refund.precision, refund.recall, refund.f1), (Some(0.5), Some(0.5), Some(0.5)));
    }
}
