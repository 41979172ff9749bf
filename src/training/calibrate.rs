//! Fits what turns evidence into probabilities, on sentences the heads never saw; the thresholds over
//! them are in `super::thresholds`.

use super::fit::FitError;
use super::lbfgs;
use super::softmax::{self, Features, FitOptions};
use super::thresholds::{self, Policy};
use crate::intent::answer::Thresholds;
use crate::intent::classifier::{Acceptance, Calibration, SIGNALS, signals};
use crate::intent::evidence::{Evidence, OPINIONS};

/// Where the opinions' weights start, and where few sentences leave them.
const USUAL_FUSION: [f32; OPINIONS] = [0.7, 0.35, 0.35];
/// How many sentences' worth of trust the usual weights have.
const USUAL_FUSION_WORTH: f64 = 2.0;
/// Share of messages that is out of scope where nothing is known of the traffic.
const OUT_OF_SCOPE_SHARE: f32 = 0.1;
/// With fewer unseen sentences in scope, leaving out intents teaches nothing.
const ENOUGH_IN_SCOPE: usize = 100;
const ACCEPTANCE: FitOptions = FitOptions { penalty: 1e-2, iterations: 200 };

/// Evidence about sentences that the heads at hand did not see.
#[derive(Default)]
pub(super) struct Unseen {
    pub(super) in_scope: Vec<(Evidence, u32)>,
    left_in: Vec<Evidence>,
    pub(super) left_out: Vec<Evidence>,
    pub(super) out_of_scope: Vec<Evidence>,
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
    // Few sentences and mere stand-ins for what is out of scope: weights would fit chance.
    let trusted = !unseen.out_of_scope.is_empty() || known.len() >= ENOUGH_IN_SCOPE;
    let acceptance = fit_acceptance(&known, if trusted { &unknown } else { &[] })?;
    let mut calibration = Calibration {
        fusion,
        acceptance,
        thresholds: Thresholds { in_scope: 0.5, matched: 0.5 },
        candidates: thresholds::USUAL_CANDIDATES,
        keyword_precision: 1.0,
    };
    if unseen.out_of_scope.is_empty() {
        calibration.acceptance.bias += confidence_shift(&calibration, &unseen.in_scope);
    }
    calibration.thresholds = thresholds::fit(&calibration, unseen, policy)?;
    calibration.candidates = thresholds::fit_candidates(&calibration, &unseen.in_scope);
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
        // One intent, one example each, or too few to trust: every signal counts alike.
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::intent::head::log_softmax;

    pub(crate) fn evidence(logits: [[f32; 2]; OPINIONS], nearest: f32) -> Evidence {
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
}
