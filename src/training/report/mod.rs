//! What an evaluation says: its figures here, the data of its pictures and its pages beside.
//!
//! Called by `train-intents eval`. Nothing here embeds or trains.

pub mod compare;
pub mod evaluation;
pub mod files;

mod chart;
mod curves;
mod html;
mod markdown;
mod matrix;
mod pictures;
#[cfg(test)]
mod sample;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::learning_curve::LearningPoint;
use super::metrics::{self, Judged, share};
use crate::intent::answer::{Status, Thresholds};
use crate::intent::classifier::Decision;

/// Bins of the calibration error, as is usual.
const CALIBRATION_BINS: usize = 15;

/// The one figure that is shown as a number from 0 to 1.
const AUROC: &str = "out-of-scope AUROC";

/// One decision and the truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The sentence as written.
    pub text: String,
    /// The true intent; none for an out-of-scope sentence.
    pub truth: Option<u32>,
    /// The most probable intent, before rejection.
    pub top: u32,
    /// Its probability.
    pub confidence: f32,
    /// Probability of being in scope.
    pub in_scope: f32,
    /// How many intents a "did you mean" offers; 0 unless the status is ambiguous.
    pub candidates: usize,
    /// Place of the true intent in the ranking, from 0; none where there is none.
    pub truth_rank: Option<usize>,
    /// What was decided.
    pub status: Status,
}

impl Judgement {
    /// Puts a decision beside the truth.
    pub fn new(text: &str, decision: &Decision, truth: Option<u32>) -> Self {
        let (top, confidence) = decision.ranking[0];
        let text = text.to_owned();
        let in_scope = decision.in_scope;
        let truth_rank =
            truth.and_then(|truth| decision.ranking.iter().position(|one| one.0 == truth));
        let (candidates, status) = (decision.candidates, decision.status);
        Self { text, truth, top, confidence, in_scope, candidates, truth_rank, status }
    }

    /// True when a "did you mean" offers the true intent.
    fn is_offered(&self) -> bool {
        self.truth_rank.is_some_and(|rank| rank < self.candidates)
    }
}

/// The figures of one evaluation. Shares are 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was measured.
    pub data: String,
    /// By which encoder.
    pub encoder: String,
    /// Where thresholds were fitted.
    pub thresholds_from: String,
    /// The fitted thresholds.
    pub thresholds: Option<Thresholds>,
    /// Rows by part.
    pub rows: BTreeMap<String, usize>,
    /// Number of intents.
    pub intents: usize,
    /// Share of in-scope sentences whose most probable intent is right, before rejection.
    pub accuracy: f64,
    /// The same, with sentences that were called out of scope counted as errors.
    pub accuracy_with_rejections: f64,
    /// Mean F1 of the intents, before rejection.
    pub macro_f1: f64,
    /// Share of in-scope sentences that were called out of scope.
    pub in_scope_rejected: f64,
    /// Share of in-scope sentences that were called ambiguous.
    pub in_scope_ambiguous: f64,
    /// Share of ambiguous in-scope sentences whose true intent is among the candidates; none without
    /// such sentences.
    #[serde(default)]
    pub ambiguous_covered: Option<f64>,
    /// Share of matched in-scope sentences that are right.
    pub matched_precision: f64,
    /// Expected calibration error of the confidence on in-scope sentences, 15 bins.
    pub calibration_error: f64,
    /// Share of out-of-scope sentences that were called so; none without such sentences.
    pub oos_recall: Option<f64>,
    /// Share of out-of-scope sentences that were called matched.
    pub oos_matched: Option<f64>,
    /// Area under the ROC curve of the in-scope probability.
    pub oos_auroc: Option<f64>,
    /// Intents with the most errors: truth, prediction, how often.
    pub most_confused: Vec<(String, String, usize)>,
    /// Seconds to encode all sentences that were not in the cache.
    pub encode_s: f64,
    /// Seconds to train.
    pub train_s: f64,
    /// Accuracy by the number of training rows; empty unless it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub learning_curve: Vec<LearningPoint>,
    /// Sentences with an intent that were measured.
    pub in_scope_sentences: usize,
    /// Out-of-scope sentences that were measured.
    pub out_of_scope_sentences: usize,
}

/// One figure with its name, to be shown in a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// What it is.
    pub name: &'static str,
    /// Its value; a share is 0 to 1.
    pub value: f64,
    /// True when more is better.
    pub more_is_better: bool,
    /// Number of sentences that the share is of; none where it is no share of sentences.
    pub of: Option<usize>,
}

impl Report {
    /// Computes all figures; names and times are the caller's to add.
    pub fn new(
        data: &str,
        intents: &[String],
        in_scope: &[Judgement],
        out_of_scope: &[Judgement],
    ) -> Self {
        let judged: Vec<Judged> = in_scope
            .iter()
            .filter_map(|one| {
                let (top, confidence) = (one.top, one.confidence);
                let accepted = one.status != Status::OutOfScope;
                Some(Judged { truth: one.truth?, top, confidence, accepted })
            })
            .collect();
        let called = |all: &[Judgement], status| share(all, |one| one.status == status);
        let some = |value: f64| (!out_of_scope.is_empty()).then_some(value);
        let of = |status| in_scope.iter().filter(move |one| one.status == status);
        let matched: Vec<&Judgement> = of(Status::Matched).collect();
        let ambiguous: Vec<&Judgement> = of(Status::Ambiguous).collect();
        let scores = |all: &[Judgement]| all.iter().map(|one| one.in_scope).collect::<Vec<_>>();
        Self {
            data: data.to_owned(),
            encoder: String::new(),
            thresholds_from: String::new(),
            thresholds: None,
            rows: BTreeMap::new(),
            intents: intents.len(),
            accuracy: metrics::accuracy(&judged),
            accuracy_with_rejections: metrics::accuracy_with_rejections(&judged),
            macro_f1: metrics::macro_f1(&judged, intents.len()),
            in_scope_rejected: called(in_scope, Status::OutOfScope),
            in_scope_ambiguous: called(in_scope, Status::Ambiguous),
            ambiguous_covered: (!ambiguous.is_empty())
                .then(|| share(&ambiguous, |one| one.is_offered())),
            matched_precision: share(&matched, |one| one.truth == Some(one.top)),
            calibration_error: metrics::expected_calibration_error(&judged, CALIBRATION_BINS),
            oos_recall: some(called(out_of_scope, Status::OutOfScope)),
            oos_matched: some(called(out_of_scope, Status::Matched)),
            oos_auroc: metrics::auroc(&scores(in_scope), &scores(out_of_scope)),
            most_confused: most_confused(&judged, intents),
            encode_s: 0.0,
            train_s: 0.0,
            learning_curve: Vec::new(),
            in_scope_sentences: in_scope.len(),
            out_of_scope_sentences: out_of_scope.len(),
        }
    }

    /// The figures in the order of every table.
    pub fn figures(&self) -> Vec<Figure> {
        let (inside, outside) = (self.in_scope_sentences, self.out_of_scope_sentences);
        let matched = 1.0 - self.in_scope_rejected - self.in_scope_ambiguous;
        let matched = (matched * inside as f64).round() as usize;
        let more = |name, value, of| Figure { name, value, more_is_better: true, of };
        let less = |name, value, of| Figure { name, value, more_is_better: false, of };
        let mut all = vec![
            more("accuracy of the top intent before rejection", self.accuracy, Some(inside)),
            more(
                "accuracy with rejections counted as errors",
                self.accuracy_with_rejections,
                Some(inside),
            ),
            more("macro-F1 before rejection", self.macro_f1, None),
            less("in-scope sentences called out of scope", self.in_scope_rejected, Some(inside)),
            less("in-scope sentences called ambiguous", self.in_scope_ambiguous, Some(inside)),
            more("right among those called matched", self.matched_precision, Some(matched)),
        ];
        let ambiguous = (self.in_scope_ambiguous * inside as f64).round() as usize;
        let name = "truth offered when ambiguous";
        all.extend(self.ambiguous_covered.map(|held| more(name, held, Some(ambiguous))));
        all.push(less("expected calibration error", self.calibration_error, None));
        if let (Some(recall), Some(wrong)) = (self.oos_recall, self.oos_matched) {
            all.push(more("out-of-scope recall", recall, Some(outside)));
            all.push(less("out-of-scope sentences called matched", wrong, Some(outside)));
        }
        all.extend(self.oos_auroc.map(|auroc| more(AUROC, auroc, None)));
        all
    }
}

fn most_confused(judged: &[Judged], intents: &[String]) -> Vec<(String, String, usize)> {
    let mut counts: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for one in judged.iter().filter(|one| one.top != one.truth) {
        *counts.entry((one.truth, one.top)).or_default() += 1;
    }
    let mut pairs: Vec<_> = counts.into_iter().collect();
    pairs.sort_by_key(|(pair, count)| (std::cmp::Reverse(*count), *pair));
    let name = |id: u32| intents[id as usize].clone();
    pairs.into_iter().take(5).map(|((a, b), count)| (name(a), name(b), count)).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<String> =
            self.rows.iter().map(|(name, count)| format!("{name} {count}")).collect();
        writeln!(
            f,
            "{} with {}: {} intents, rows: {}",
            self.data,
            self.encoder,
            self.intents,
            rows.join(", ")
        )?;
        writeln!(f, "thresholds from {}", self.thresholds_from)?;
        for Figure { name, value, .. } in self.figures() {
            if name == AUROC {
                writeln!(f, "  {name:<56}{value:>7.4}")?;
            } else {
                writeln!(f, "  {name:<56}{:>7.2} %", 100.0 * value)?;
            }
        }
        for (truth, top, count) in &self.most_confused {
            writeln!(f, "  {count} × {truth} taken for {top}")?;
        }
        for point in &self.learning_curve {
            writeln!(f, "  {} training rows: {:.2} %", point.rows, 100.0 * point.accuracy)?;
        }
        write!(f, "encoded in {:.1} s, trained in {:.1} s", self.encode_s, self.train_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(truth: Option<u32>, top: u32, in_scope: f32, status: Status) -> Judgement {
        let candidates = if status == Status::Ambiguous { 2 } else { 0 };
        let truth_rank = truth.map(|truth| usize::from(truth != top));
        let (text, confidence) = (String::new(), in_scope);
        Judgement { text, truth, top, confidence, in_scope, candidates, truth_rank, status }
    }

    #[test]
    fn figures() {
        let report = Report::new(
            "x",
            &["a".into(), "b".into()],
            &[
                one(Some(0), 0, 0.9, Status::Matched),
                one(Some(0), 1, 0.9, Status::Matched),
                one(Some(1), 1, 0.3, Status::OutOfScope),
                one(Some(1), 0, 0.6, Status::Ambiguous),
            ],
            &[one(None, 0, 0.1, Status::OutOfScope), one(None, 0, 0.5, Status::Matched)],
        );
        assert_eq!((report.accuracy, report.accuracy_with_rejections), (0.5, 0.25));
        assert_eq!(report.ambiguous_covered, Some(1.0));
        assert_eq!((report.in_scope_rejected, report.in_scope_ambiguous), (0.25, 0.25));
        assert_eq!((report.oos_recall, report.oos_matched), (Some(0.5), Some(0.5)));
        assert_eq!(report.matched_precision, 0.5);
        assert_eq!(report.oos_auroc, Some(7.0 / 8.0));
        assert_eq!(
            report.most_confused,
            [("a".into(), "b".into(), 1), ("b".into(), "a".into(), 1)]
        );
    }
}
