//! The limits of a decision: what is out of scope, what is matched, how many candidates are offered.
//!
//! Called by `super::calibrate` with sentences the heads never saw, once the probabilities are fitted.

use super::calibrate::Unseen;
use crate::intent::answer::{Status, Thresholds};
use crate::intent::classifier::Calibration;
use crate::intent::evidence::Evidence;

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
pub(super) const USUAL_CANDIDATES: usize = 3;
/// The truth should be among the candidates this often.
const CANDIDATES_HOLD: f64 = 0.95;
/// Fewer ambiguous sentences than this tell too little.
const ENOUGH_AMBIGUOUS: usize = 50;

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

/// The limits: the in-scope one keeps the most right answers and rejects the most out-of-scope
/// sentences within [`MAX_REJECTED`]; the matched one is the lowest within [`MAX_WRONG_MATCHES`].
pub(super) fn fit(
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
pub(super) fn fit_candidates(calibration: &Calibration, in_scope: &[(Evidence, u32)]) -> usize {
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
    use super::super::calibrate::tests::evidence;
    use super::*;
    use crate::intent::classifier::{Acceptance, SIGNALS};
    use crate::intent::evidence::OPINIONS;
    use crate::intent::head::log_softmax;

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
            fusion: [0.7, 0.35, 0.35],
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
