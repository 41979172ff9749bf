//! Fits what turns evidence into probabilities and thresholds, on sentences the heads never saw.

use super::fit::FitError;
use super::lbfgs;
use super::softmax::{self, Features, FitOptions};
use crate::intent::answer::{Status, Thresholds};
use crate::intent::classifier::{Acceptance, Calibration, SIGNALS, signals};
use crate::intent::evidence::{Evidence, OPINIONS};

/// Where the opinions' weights start, and where few sentences leave them.
const USUAL_FUSION: [f32; OPINIONS] = [0.7, 0.35, 0.35];
/// How many sentences' worth of trust the usual weights have.
const USUAL_FUSION_WORTH: f64 = 2.0;
/// Share of messages that is out of scope where nothing is known of the traffic.
const OUT_OF_SCOPE_SHARE: f32 = 0.1;
/// At most this share of unseen in-scope sentences is called out of scope.
const MAX_REJECTED: f64 = 0.05;
/// The same where no out-of-scope sentence is known: what stands in for them, sentences of intents
/// that were left out, is too much like the rest to turn visitors away for.
const MAX_REJECTED_FOR_STAND_INS: f64 = 0.02;
/// At most this share of unseen sentences that are called matched has another intent.
const MAX_WRONG_MATCHES: f64 = 0.05;
/// Bounds of the `matched` threshold: below, "did you mean" is the honest answer; above, it is a
/// nuisance.
const MATCHED_BOUNDS: (f32, f32) = (0.3, 0.8);
/// How many intents a "did you mean" offers: at least two, and no more than a person reads.
const CANDIDATES: std::ops::RangeInclusive<usize> = 2..=5;
/// Where nothing is known of ambiguous sentences.
const USUAL_CANDIDATES: usize = 3;
/// The truth should be among the candidates this often.
const CANDIDATES_HOLD: f64 = 0.95;
/// Fewer ambiguous sentences than this tell too little.
const ENOUGH_AMBIGUOUS: usize = 50;
const ACCEPTANCE: FitOptions = FitOptions { penalty: 1e-2, iterations: 200 };

/// What the thresholds are to guarantee.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Policy {
    /// At most this share of out-of-scope sentences may be accepted, 0 to 1, both exclusive. None:
    /// the threshold that catches most of them for the right answers it costs.
    pub max_false_accept: Option<f64>,
}

/// A policy cannot be kept.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// Too few sentences to tell such a small share from none.
    #[error(
        "a false-accept rate of {rate} takes at least {needed} out-of-scope sentences to fit, there \
         are {have}; add rows with intent \"oos\" to the training data, or allow a higher rate"
    )]
    TooFew {
        /// The wanted rate.
        rate: f64,
        /// So many sentences are needed.
        needed: usize,
        /// So many there are.
        have: usize,
    },
}

/// Evidence about sentences that the heads at hand did not see.
#[derive(Default)]
pub(super) struct Unseen {
    in_scope: Vec<(Evidence, u32)>,
    left_in: Vec<Evidence>,
    left_out: Vec<Evidence>,
    out_of_scope: Vec<Evidence>,
}

impl Unseen {
    /// Sentences of known intents, by heads that know all intents.
    pub(super) fn add_in_scope(&mut self, evidence: Vec<Evidence>, labels: &[u32]) {
        self.in_scope.extend(evidence.into_iter().zip(labels.iter().copied()));
    }

    /// Sentences of known and of unknown intents, by heads that were not taught some intents.
    pub(super) fn add_left_out(&mut self, known: Vec<Evidence>, unknown: Vec<Evidence>) {
        self.left_in.extend(known);
        self.left_out.extend(unknown);
    }

    /// Sentences that no intent means, by heads that know all intents.
    pub(super) fn add_out_of_scope(&mut self, evidence: Vec<Evidence>) {
        self.out_of_scope.extend(evidence);
    }
}

/// Fits the calibration. The keyword precision is left at 1: it is measured elsewhere.
///
/// # Errors
/// When the policy cannot be kept or a matrix product fails.
pub(super) fn fit(unseen: &Unseen, policy: Policy) -> Result<Calibration, FitError> {
    let fusion = fit_fusion(&unseen.in_scope);
    let signals_of = |evidence: &Evidence| signals(evidence, &evidence.fuse(&fusion));
    let in_scope: Vec<[f32; SIGNALS]> =
        unseen.in_scope.iter().map(|(evidence, _)| signals_of(evidence)).collect();
    let known: Vec<_> =
        unseen.left_in.iter().map(signals_of).chain(in_scope.iter().copied()).collect();
    let unknown: Vec<_> =
        unseen.left_out.iter().chain(&unseen.out_of_scope).map(signals_of).collect();
    let acceptance = fit_acceptance(&known, &unknown)?;
    let mut calibration = Calibration {
        fusion,
        acceptance,
        thresholds: Thresholds { in_scope: 0.5, matched: 0.5 },
        candidates: USUAL_CANDIDATES,
        keyword_precision: 1.0,
    };
    if unseen.out_of_scope.is_empty() {
        calibration.acceptance.bias += confidence_shift(&calibration, &unseen.in_scope);
    }
    calibration.thresholds = fit_thresholds(&calibration, unseen, policy)?;
    calibration.candidates = fit_candidates(&calibration, &unseen.in_scope);
    Ok(calibration)
}

/// The log-linear pool's weights: least cross-entropy, kept positive by fitting their logarithms.
fn fit_fusion(unseen: &[(Evidence, u32)]) -> [f32; OPINIONS] {
    if unseen.is_empty() {
        return USUAL_FUSION;
    }
    let count = unseen.len() as f64;
    let start = USUAL_FUSION.map(f32::ln).to_vec();
    let options =
        lbfgs::Options { iterations: 60, gradient_tolerance: 1e-6, value_tolerance: 1e-9 };
    let found = lbfgs::minimize(start, options, |logs, gradient| {
        let weights: [f32; OPINIONS] = std::array::from_fn(|opinion| logs[opinion].exp());
        let mut value = 0.0;
        let mut slopes = [0.0f64; OPINIONS];
        for (evidence, label) in unseen {
            let fused = evidence.fuse(&weights);
            value -= f64::from(fused[*label as usize]) / count;
            for (slope, opinion) in slopes.iter_mut().zip(&evidence.opinions) {
                let expected: f32 =
                    fused.iter().zip(opinion).map(|(log, own)| log.exp() * own).sum();
                *slope += f64::from(expected - opinion[*label as usize]) / count;
            }
        }
        let worth = USUAL_FUSION_WORTH / count;
        for opinion in 0..OPINIONS {
            let weight = f64::from(weights[opinion]);
            let off = weight - f64::from(USUAL_FUSION[opinion]);
            value += worth * off * off;
            gradient[opinion] = ((slopes[opinion] + 2.0 * worth * off) * weight) as f32;
        }
        value
    });
    std::array::from_fn(|opinion| found[opinion].exp())
}

/// Balanced logistic regression, its bias moved to the expected share of out-of-scope messages.
fn fit_acceptance(
    known: &[[f32; SIGNALS]],
    unknown: &[[f32; SIGNALS]],
) -> candle_core::Result<Acceptance> {
    let all: Vec<&[f32; SIGNALS]> = known.iter().chain(unknown).collect();
    let (means, scales) = moments(&all);
    let prior = ((1.0 - OUT_OF_SCOPE_SHARE) / OUT_OF_SCOPE_SHARE).ln();
    if known.is_empty() || unknown.is_empty() {
        // One intent, or one example each: every signal counts alike.
        return Ok(Acceptance { means, scales, weights: [0.5; SIGNALS], bias: prior });
    }
    let standardised: Vec<f32> =
        all.iter().flat_map(|row| (0..SIGNALS).map(|s| (row[s] - means[s]) / scales[s])).collect();
    let labels: Vec<u32> = (0..all.len()).map(|at| u32::from(at < known.len())).collect();
    let shares: Vec<f32> = (0..all.len())
        .map(|at| 0.5 / if at < known.len() { known.len() } else { unknown.len() } as f32)
        .collect();
    let features = Features::dense(&standardised, SIGNALS)?;
    let head = softmax::fit(&features, &labels, 2, Some(&shares), ACCEPTANCE)?;
    let weights = std::array::from_fn(|s| head.weights()[2 * s + 1] - head.weights()[2 * s]);
    Ok(Acceptance { means, scales, weights, bias: head.bias()[1] - head.bias()[0] + prior })
}

/// What to add to the log-odds of being in scope so that the mean confidence of unseen in-scope
/// sentences is the share that is right. Sentences of intents that were left out are nearer than
/// what visitors write off topic: as stand-ins they make the confidence of everything else too low.
fn confidence_shift(calibration: &Calibration, in_scope: &[(Evidence, u32)]) -> f32 {
    const STEPS: usize = 30;
    let rows: Vec<(f32, f32, bool)> = in_scope
        .iter()
        .map(|(evidence, label)| {
            let fused = evidence.fuse(&calibration.fusion);
            let log_odds = calibration.acceptance.log_odds(&signals(evidence, &fused));
            let best = (0..fused.len()).max_by(|&a, &b| fused[a].total_cmp(&fused[b]));
            let best = best.expect("there are intents where there are sentences of them");
            (log_odds, fused[best].exp(), best == *label as usize)
        })
        .collect();
    let right = rows.iter().filter(|row| row.2).count() as f32;
    let (mut low, mut high) = (0.0, 8.0);
    for _ in 0..STEPS {
        let shift = 0.5 * (low + high);
        let sum: f32 = rows.iter().map(|row| row.1 / (1.0 + (-row.0 - shift).exp())).sum();
        if sum < right { low = shift } else { high = shift }
    }
    low
}

fn moments(rows: &[&[f32; SIGNALS]]) -> ([f32; SIGNALS], [f32; SIGNALS]) {
    let count = rows.len().max(1) as f32;
    let means: [f32; SIGNALS] =
        std::array::from_fn(|s| rows.iter().map(|row| row[s]).sum::<f32>() / count);
    let scales = std::array::from_fn(|s| {
        let variance = rows.iter().map(|row| (row[s] - means[s]).powi(2)).sum::<f32>() / count;
        variance.sqrt().max(1e-3)
    });
    (means, scales)
}

/// The limits: the in-scope one keeps the most right answers and rejects the most out-of-scope
/// sentences within [`MAX_REJECTED`]; the matched one is the lowest within [`MAX_WRONG_MATCHES`].
fn fit_thresholds(
    calibration: &Calibration,
    unseen: &Unseen,
    policy: Policy,
) -> Result<Thresholds, PolicyError> {
    let decided: Vec<(f32, f32, bool)> = unseen
        .in_scope
        .iter()
        .map(|(evidence, label)| {
            let decision = calibration.decide(evidence, &[]);
            let (top, confidence) = decision.ranking[0];
            (decision.in_scope, confidence, top == *label)
        })
        .collect();
    let scope = |evidence: &Evidence| calibration.decide(evidence, &[]).in_scope;
    let negatives: Vec<f32> =
        if unseen.out_of_scope.is_empty() { &unseen.left_out } else { &unseen.out_of_scope }
            .iter()
            .map(scope)
            .collect();
    let most =
        if unseen.out_of_scope.is_empty() { MAX_REJECTED_FOR_STAND_INS } else { MAX_REJECTED };
    let in_scope = match policy.max_false_accept {
        Some(rate) => conformal_threshold(negatives, rate)?,
        None if decided.is_empty() => return Ok(calibration.thresholds),
        None => in_scope_threshold(&decided, negatives, most),
    };
    let mut accepted: Vec<(f32, bool)> =
        decided.iter().filter(|one| one.0 >= in_scope).map(|one| (one.1, one.2)).collect();
    Ok(Thresholds { in_scope, matched: matched_threshold(&mut accepted) })
}

/// The lowest threshold that a fresh out-of-scope sentence reaches with a probability of at most
/// `rate`: split conformal prediction (Vovk et al. 2005), which holds for any scores as long as the
/// fresh sentence is of the same kind as the `negatives`.
fn conformal_threshold(mut negatives: Vec<f32>, rate: f64) -> Result<f32, PolicyError> {
    let have = negatives.len();
    let rank = ((have as f64 + 1.0) * (1.0 - rate)).ceil() as usize;
    if rank > have {
        let needed = (1.0 / rate - 1.0).ceil() as usize;
        return Err(PolicyError::TooFew { rate, needed, have });
    }
    negatives.sort_by(f32::total_cmp);
    Ok(negatives[rank - 1].next_up())
}

/// The fewest candidates that hold the truth of an ambiguous sentence often enough. Where few were
/// ambiguous, the least sure of the accepted ones stand in for them.
fn fit_candidates(calibration: &Calibration, in_scope: &[(Evidence, u32)]) -> usize {
    let mut accepted: Vec<(f32, Status, usize)> = in_scope
        .iter()
        .filter_map(|(evidence, label)| {
            let made = calibration.decide(evidence, &[]);
            let rank = made.ranking.iter().position(|one| one.0 == *label)?;
            Some((made.ranking[0].1, made.status, rank))
        })
        .filter(|one| one.1 != Status::OutOfScope)
        .collect();
    accepted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let ambiguous = accepted.iter().filter(|one| one.1 == Status::Ambiguous).count();
    accepted.truncate(ambiguous.max(ENOUGH_AMBIGUOUS));
    if accepted.is_empty() {
        return USUAL_CANDIDATES;
    }
    let wanted = CANDIDATES_HOLD * accepted.len() as f64;
    let holds =
        |count: &usize| accepted.iter().filter(|one| one.2 < *count).count() as f64 >= wanted;
    CANDIDATES.clone().find(holds).unwrap_or(*CANDIDATES.end())
}

fn in_scope_threshold(
    decided: &[(f32, f32, bool)],
    mut negatives: Vec<f32>,
    max_rejected: f64,
) -> f32 {
    let mut positives: Vec<(f32, bool)> = decided.iter().map(|one| (one.0, one.2)).collect();
    positives.sort_by(|a, b| a.0.total_cmp(&b.0));
    negatives.sort_by(f32::total_cmp);
    let most = (positives.len() as f64 * max_rejected) as usize;
    let count = positives.len() as f64;
    let (mut best, mut best_gain) = (positives[0].0, f64::NEG_INFINITY);
    let mut lost = 0usize;
    for (rejected, &(score, right)) in positives.iter().enumerate().take(most + 1) {
        // Everything below `score` is rejected.
        let caught = negatives.partition_point(|negative| *negative < score);
        let share = if negatives.is_empty() { 0.0 } else { caught as f64 / negatives.len() as f64 };
        let gain = share - lost as f64 / count;
        if gain > best_gain || (negatives.is_empty() && rejected == most) {
            (best, best_gain) = (score, gain);
        }
        lost += usize::from(right);
    }
    best
}

fn matched_threshold(accepted: &mut [(f32, bool)]) -> f32 {
    accepted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut wrong, mut limit) = (0usize, MATCHED_BOUNDS.1);
    for (rank, &(confidence, right)) in accepted.iter().enumerate() {
        wrong += usize::from(!right);
        if wrong as f64 <= MAX_WRONG_MATCHES * (rank + 1) as f64 {
            limit = confidence;
        }
    }
    limit.clamp(MATCHED_BOUNDS.0, MATCHED_BOUNDS.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::head::log_softmax;

    fn evidence(logits: [[f32; 2]; OPINIONS], nearest: f32) -> Evidence {
        let opinions = logits.map(|row| {
            let mut row = row.to_vec();
            log_softmax(&mut row);
            row
        });
        Evidence {
            opinions,
            dense_peak: nearest,
            lexical_peak: 0.0,
            nearest,
            class_closeness: nearest,
            coverage: 1.0,
            scope: 0.0,
        }
    }

    #[test]
    fn the_opinion_that_is_right_gets_the_weight() {
        let rows: Vec<_> = (0..400u32)
            .map(|at| {
                let label = at % 2;
                let truth = if label == 0 { [1.0, -1.0] } else { [-1.0, 1.0] };
                let noise = if at % 4 < 2 { [1.0, -1.0] } else { [-1.0, 1.0] };
                (evidence([truth, noise, [0.0, 0.0]], 0.9), label)
            })
            .collect();
        let weights = fit_fusion(&rows);
        assert!(weights[0] > 1.0 && weights[1] < 0.1, "{weights:?}");
        assert_eq!(fit_fusion(&[]), USUAL_FUSION);
    }

    #[test]
    fn thresholds_separate_what_can_be_separated() {
        let mut unseen = Unseen::default();
        let near = |at: usize| 0.7 + 0.2 * (at as f32 / 100.0);
        for at in 0..100 {
            let sure = evidence([[3.0, 0.0]; OPINIONS], near(at));
            unseen.add_in_scope(vec![sure.clone()], &[0]);
            let far = evidence([[0.3, 0.0]; OPINIONS], near(at) - 0.5);
            unseen.add_left_out(vec![sure], vec![far]);
        }
        let calibration = fit(&unseen, Policy::default()).unwrap();
        let limit = calibration.thresholds.in_scope;
        let rejected = |evidence: &Evidence| calibration.decide(evidence, &[]).in_scope < limit;
        assert_eq!(unseen.in_scope.iter().filter(|one| rejected(&one.0)).count(), 0);
        assert_eq!(unseen.left_out.iter().filter(|one| rejected(one)).count(), 100);
    }

    #[test]
    fn a_false_accept_rate_is_kept_or_refused() {
        let scores: Vec<f32> = (1..=99).map(|at| at as f32 / 100.0).collect();
        for (rate, accepted) in [(0.05, 4), (0.01, 0), (0.5, 49)] {
            let limit = conformal_threshold(scores.clone(), rate).unwrap();
            assert_eq!(scores.iter().filter(|score| **score >= limit).count(), accepted, "{rate}");
        }
        let error = conformal_threshold(scores, 0.001).unwrap_err();
        assert_eq!(error, PolicyError::TooFew { rate: 0.001, needed: 999, have: 99 });
        assert!(error.to_string().contains("at least 999 out-of-scope sentences"), "{error}");
        assert!(conformal_threshold(Vec::new(), 0.5).is_err());
    }

    /// Sentences between two of four intents: the truth is the second or, one time in `every`, the
    /// fourth.
    fn torn(every: u32) -> (Calibration, Vec<(Evidence, u32)>) {
        let mut logits = vec![1.0, 0.9, 0.5, 0.4];
        log_softmax(&mut logits);
        let one = Evidence {
            opinions: [logits.clone(), logits.clone(), logits],
            ..evidence([[0.0; 2]; OPINIONS], 0.9)
        };
        let rows = (0..100).map(|at| (one.clone(), if at % every == 0 { 3 } else { 1 })).collect();
        let acceptance = Acceptance {
            means: [0.0; SIGNALS],
            scales: [1.0; SIGNALS],
            weights: [0.0; SIGNALS],
            bias: 4.0,
        };
        let calibration = Calibration {
            fusion: USUAL_FUSION,
            acceptance,
            thresholds: Thresholds { in_scope: 0.5, matched: 0.8 },
            candidates: USUAL_CANDIDATES,
            keyword_precision: 1.0,
        };
        (calibration, rows)
    }

    #[test]
    fn as_many_candidates_as_hold_the_truth() {
        let (calibration, rows) = torn(50);
        assert_eq!(fit_candidates(&calibration, &rows), 2);
        let (calibration, rows) = torn(5);
        assert_eq!(fit_candidates(&calibration, &rows), 4);
        assert_eq!(fit_candidates(&calibration, &[]), USUAL_CANDIDATES);
    }

    #[test]
    fn without_out_of_scope_sentences_the_mean_confidence_is_the_share_that_is_right() {
        let mut unseen = Unseen::default();
        for at in 0..200u32 {
            // Nine of ten are right, and all look rather like those of intents that were left out.
            let sure = evidence([[4.0, 0.0]; OPINIONS], 0.6 + 0.001 * at as f32);
            unseen.add_in_scope(vec![sure.clone()], &[u32::from(at % 10 == 0)]);
            unseen.add_left_out(vec![sure], vec![evidence([[4.0, 0.0]; OPINIONS], 0.65)]);
        }
        let calibration = fit(&unseen, Policy::default()).unwrap();
        let confidence = |one: &(Evidence, u32)| calibration.decide(&one.0, &[]).ranking[0].1;
        let mean = unseen.in_scope.iter().map(confidence).sum::<f32>() / 200.0;
        assert!((mean - 0.9).abs() < 0.02, "{mean}");
    }

    #[test]
    fn matched_threshold_table() {
        for (name, mut rows, expected) in [
            ("all right", vec![(0.9, true), (0.2, true)], 0.3),
            ("wrong below a half", vec![(0.9, true), (0.6, true), (0.5, false)], 0.6),
            ("all wrong", vec![(0.9, false)], 0.8),
            ("none", vec![], 0.8),
        ] {
            assert_eq!(matched_threshold(&mut rows), expected, "{name}");
        }
    }
}
