//! Tier 2's decision: evidence to calibrated probabilities to a status.
//!
//! Two questions, each with a threshold that training fitted on held-out sentences: is the text in
//! scope at all, and is the best intent probable enough to answer without asking back?

use serde::{Deserialize, Serialize};

use super::answer::{Status, Thresholds};
use super::evidence::{Evidence, Heads, Negatives, OPINIONS};
use super::head::log_softmax;

/// Number of signals that tell in-scope from out-of-scope texts.
pub const SIGNALS: usize = 7;

/// What a weak or conflicting keyword rule adds to its intent's log-odds, and to those of being in
/// scope: a nudge between near candidates, no verdict.
const KEYWORD_LOG_ODDS: f32 = 1.0;

/// Everything that tier 2 learnt.
#[derive(Debug, Clone, PartialEq)]
pub struct Classifier {
    heads: Heads,
    calibration: Calibration,
}

/// What held-out sentences taught.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Weights of the opinions in the log-linear pool; their scale is the inverse temperature.
    pub fusion: [f32; OPINIONS],
    /// Probability of being in scope.
    pub acceptance: Acceptance,
    /// The limits of the decision.
    pub thresholds: Thresholds,
    /// How many intents a "did you mean" offers.
    pub candidates: usize,
    /// How often a strong keyword rule was right.
    pub keyword_precision: f32,
}

/// Logistic regression over standardised signals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Acceptance {
    /// Mean of each signal.
    pub means: [f32; SIGNALS],
    /// Standard deviation of each signal.
    pub scales: [f32; SIGNALS],
    /// Weight of each standardised signal.
    pub weights: [f32; SIGNALS],
    /// Log-odds of a text with average signals.
    pub bias: f32,
}

impl Acceptance {
    /// Log-odds of being in scope.
    pub fn log_odds(&self, signals: &[f32; SIGNALS]) -> f32 {
        let parts = (0..SIGNALS)
            .map(|s| self.weights[s] * (signals[s] - self.means[s]) / self.scales[s].max(1e-6));
        self.bias + parts.sum::<f32>()
    }
}

/// The signals of one text, each higher for texts in scope: how decided the opinions are (minus
/// the entropy), the peaks of both heads, how near the nearest example and the nearest intent are,
/// how much of the text is known vocabulary, and how little it is like known out-of-scope sentences.
pub fn signals(evidence: &Evidence, fused: &[f32]) -> [f32; SIGNALS] {
    [
        fused.iter().map(|log| log.exp() * log).sum(),
        evidence.dense_peak,
        evidence.lexical_peak,
        evidence.nearest,
        evidence.class_closeness,
        evidence.coverage,
        evidence.scope,
    ]
}

/// What tier 2 decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Matched, ambiguous or out of scope.
    pub status: Status,
    /// Probability of being in scope.
    pub in_scope: f32,
    /// All intents with their probabilities, most probable first; they sum to `in_scope`.
    pub ranking: Vec<(u32, f32)>,
    /// How many of the ranking a "did you mean" should offer; 0 unless the status is ambiguous.
    pub candidates: usize,
}

impl Classifier {
    /// Puts the learnt parts together.
    pub fn new(heads: Heads, calibration: Calibration) -> Self {
        Self { heads, calibration }
    }

    /// Number of intents.
    pub fn intents(&self) -> usize {
        self.heads.intents()
    }

    /// What was fitted to the examples.
    pub fn heads(&self) -> &Heads {
        &self.heads
    }

    /// What was fitted to held-out sentences.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// Whitens and takes the embeddings of negative examples, of the intents `labels`.
    pub fn set_negatives<'a>(
        &mut self,
        labels: &[u32],
        embeddings: impl Iterator<Item = &'a [f32]>,
    ) {
        let whitened = embeddings.flat_map(|row| self.heads.whitening.apply(row)).collect();
        self.heads.negatives = Negatives { intents: labels.to_vec(), vectors: whitened };
    }

    /// Takes how often a strong keyword rule is right.
    pub fn set_keyword_precision(&mut self, precision: f32) {
        self.calibration.keyword_precision = precision;
    }

    /// Decides about a normalised text with its `whitened` embedding. `votes` are its neighbours'
    /// intents and whitened cosines, most similar first; `hinted` the intents whose keyword rules
    /// fired without deciding.
    pub fn decide(
        &self,
        text: &str,
        whitened: &[f32],
        votes: &[(u32, f32)],
        hinted: &[u32],
    ) -> Decision {
        self.calibration.decide(&self.heads.evidence(text, whitened, votes), hinted)
    }
}

impl Calibration {
    /// Turns evidence into a decision.
    pub fn decide(&self, evidence: &Evidence, hinted: &[u32]) -> Decision {
        let mut fused = evidence.fuse(&self.fusion);
        let mut log_odds = self.acceptance.log_odds(&signals(evidence, &fused));
        if !hinted.is_empty() {
            log_odds += KEYWORD_LOG_ODDS;
            hinted.iter().for_each(|&intent| fused[intent as usize] += KEYWORD_LOG_ODDS);
            log_softmax(&mut fused);
        }
        let in_scope = 1.0 / (1.0 + (-log_odds).exp());
        let mut ranking: Vec<(u32, f32)> = fused
            .iter()
            .enumerate()
            .map(|(intent, log)| (intent as u32, log.exp() * in_scope))
            .collect();
        ranking.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let confidence = ranking.first().map_or(0.0, |top| top.1);
        let status = if in_scope < self.thresholds.in_scope {
            Status::OutOfScope
        } else if confidence < self.thresholds.matched {
            Status::Ambiguous
        } else {
            Status::Matched
        };
        let candidates = if status == Status::Ambiguous { self.candidates } else { 0 };
        Decision { status, in_scope, ranking, candidates }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calibration() -> Calibration {
        Calibration {
            fusion: [1.0, 0.5, 0.5],
            acceptance: Acceptance {
                means: [0.0; SIGNALS],
                scales: [1.0; SIGNALS],
                weights: [0.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0],
                bias: 0.0,
            },
            thresholds: Thresholds { in_scope: 0.5, matched: 0.5 },
            candidates: 3,
            keyword_precision: 0.9,
        }
    }

    fn evidence(dense: [f32; 3], nearest: f32) -> Evidence {
        let mut logs = dense.to_vec();
        log_softmax(&mut logs);
        let flat = vec![(1.0f32 / 3.0).ln(); 3];
        Evidence {
            opinions: [logs, flat.clone(), flat],
            dense_peak: 0.0,
            lexical_peak: 0.0,
            nearest,
            class_closeness: 0.0,
            coverage: 1.0,
            scope: 0.0,
        }
    }

    #[test]
    fn decision_table() {
        let calibration = calibration();
        for (name, dense, nearest, hinted, status, top) in [
            ("sure", [5.0, 0.0, 0.0], 0.9, vec![], Status::Matched, 0),
            ("torn", [1.0, 1.1, 0.0], 0.9, vec![], Status::Ambiguous, 1),
            ("far away", [5.0, 0.0, 0.0], -0.5, vec![], Status::OutOfScope, 0),
            ("a keyword tips the scales", [1.0, 1.1, 0.0], 0.9, vec![0], Status::Matched, 0),
            ("a keyword does not overrule", [5.0, 0.0, 0.0], 0.9, vec![2], Status::Matched, 0),
        ] {
            let decision = calibration.decide(&evidence(dense, nearest), &hinted);
            assert_eq!((decision.status, decision.ranking[0].0), (status, top), "{name}");
            let offered = if status == Status::Ambiguous { 3 } else { 0 };
            assert_eq!(decision.candidates, offered, "{name}");
            let total: f32 = decision.ranking.iter().map(|one| one.1).sum();
            assert!((total - decision.in_scope).abs() < 1e-5, "{name}");
        }
    }
}
