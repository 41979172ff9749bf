//! The evidence of tier 2: three opinions about a text, and signals of whether it is in scope.
//!
//! Training runs exactly this code on held-out rows to fit what `super::classifier` does with it.

use super::head::{LinearHead, log_softmax};
use super::lexical::Vocabulary;
use super::whitening::Whitening;
use crate::kernels::dot_f32;

/// Number of opinions: the dense head, the lexical head, the neighbours.
pub const OPINIONS: usize = 3;

/// Temperature of the neighbours' vote over whitened cosines.
const VOTE_TEMPERATURE: f32 = 0.1;
/// Share of the vote that is spread over all intents, so that no intent is impossible.
const VOTE_SMOOTHING: f32 = 0.05;

/// What is fitted to the examples, before anything is calibrated.
#[derive(Debug, Clone, PartialEq)]
pub struct Heads {
    /// Makes embeddings comparable.
    pub whitening: Whitening,
    /// Mean of each intent's whitened examples, row-major `(intents, dimension)`.
    pub class_means: Vec<f32>,
    /// Examples that sound like an intent and are not.
    pub negatives: Negatives,
    /// Over whitened embeddings.
    pub dense: LinearHead,
    /// Lexical features.
    pub vocabulary: Vocabulary,
    /// Over lexical features.
    pub lexical: LinearHead,
    /// One logit over whitened embeddings: examples against known out-of-scope sentences; all zero
    /// where too few of these are known.
    pub scope: LinearHead,
}

/// Negative examples: each takes back votes for its intent where it is among the neighbours.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Negatives {
    /// The intent of each.
    pub intents: Vec<u32>,
    /// Whitened, row-major `(negatives, dimension)`.
    pub vectors: Vec<f32>,
}

/// Opinions and signals about one text.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Log-probabilities over all intents, by opinion.
    pub opinions: [Vec<f32>; OPINIONS],
    /// Largest logit of the dense head.
    pub dense_peak: f32,
    /// Largest logit of the lexical head.
    pub lexical_peak: f32,
    /// Whitened cosine of the nearest example.
    pub nearest: f32,
    /// Minus the squared distance to the nearest intent's mean in the whitened space, where it is
    /// Mahalanobis' (Lee et al. 2018).
    pub class_closeness: f32,
    /// Share of the text that the vocabulary knows.
    pub coverage: f32,
    /// Logit of the scope head: above 0 like an example, below like a known out-of-scope sentence.
    pub scope: f32,
}

impl Heads {
    /// Number of intents.
    pub fn intents(&self) -> usize {
        self.dense.classes()
    }

    /// Opinions about a normalised text with its `whitened` embedding; `votes` are the intents and
    /// whitened cosines of its neighbours, most similar first.
    pub fn evidence(&self, text: &str, whitened: &[f32], votes: &[(u32, f32)]) -> Evidence {
        let mut dense = self.dense.dense_logits(whitened);
        let mut lexical = self.lexical.sparse_logits(&self.vocabulary.vectorize(text));
        let (dense_peak, lexical_peak) = (peak(&dense), peak(&lexical));
        log_softmax(&mut dense);
        log_softmax(&mut lexical);
        Evidence {
            opinions: [dense, lexical, vote(votes, &self.against(whitened, votes), self.intents())],
            dense_peak,
            lexical_peak,
            nearest: votes.first().map_or(0.0, |nearest| nearest.1),
            class_closeness: self.class_closeness(whitened),
            coverage: self.vocabulary.coverage(text),
            scope: self.scope.dense_logits(whitened)[0],
        }
    }
}

impl Heads {
    /// True when all parts speak of the same intents, features and dimension.
    pub fn is_consistent(&self) -> bool {
        let (intents, dimension) = (self.intents(), self.whitening.dimension());
        self.lexical.classes() == intents
            && self.lexical.features() == self.vocabulary.len()
            && self.dense.features() == dimension
            && (self.scope.classes(), self.scope.features()) == (1, dimension)
            && self.class_means.len() == intents * dimension
            && self.negatives.vectors.len() == self.negatives.intents.len() * dimension
            && self.negatives.intents.iter().all(|&intent| (intent as usize) < intents)
    }

    /// Intents and cosines of the negative examples that are as near as the neighbours.
    fn against(&self, whitened: &[f32], votes: &[(u32, f32)]) -> Vec<(u32, f32)> {
        let Some(&(_, farthest)) = votes.last() else { return Vec::new() };
        let Negatives { intents, vectors } = &self.negatives;
        let near = vectors.chunks_exact(whitened.len()).map(|vector| dot_f32(vector, whitened));
        intents.iter().copied().zip(near).filter(|one| one.1 >= farthest).collect()
    }

    /// The squared lengths count because means are shorter than 1. An intent without examples has no
    /// mean, which shows as zeros.
    fn class_closeness(&self, whitened: &[f32]) -> f32 {
        let length = dot_f32(whitened, whitened);
        let means = self.class_means.chunks_exact(whitened.len());
        let closeness = means.filter_map(|mean| {
            let own = dot_f32(mean, mean);
            (own > 0.0).then(|| 2.0 * dot_f32(whitened, mean) - own - length)
        });
        peak_of(closeness)
    }
}

/// Log-probabilities from the neighbours: a softmax over their cosines, summed by intent, less the
/// weight of the negative examples `against` an intent.
fn vote(votes: &[(u32, f32)], against: &[(u32, f32)], intents: usize) -> Vec<f32> {
    let mut shares = vec![0.0f32; intents];
    let nearest = votes.first().map_or(0.0, |nearest| nearest.1);
    let weight = |similarity: f32| ((similarity - nearest) / VOTE_TEMPERATURE).exp();
    let total: f32 = votes.iter().map(|vote| weight(vote.1)).sum();
    for &(intent, similarity) in votes {
        shares[intent as usize] += (1.0 - VOTE_SMOOTHING) * weight(similarity) / total;
    }
    for &(intent, similarity) in against {
        shares[intent as usize] -= weight(similarity) / total;
    }
    let floor = VOTE_SMOOTHING / intents as f32;
    shares.iter_mut().for_each(|share| *share = share.max(0.0) + floor);
    let sum: f32 = shares.iter().sum();
    shares.iter().map(|share| (share / sum).ln()).collect()
}

fn peak(logits: &[f32]) -> f32 {
    peak_of(logits.iter().copied())
}

fn peak_of(values: impl Iterator<Item = f32>) -> f32 {
    values.fold(f32::NEG_INFINITY, f32::max)
}

impl Evidence {
    /// The weighted sum of the opinions, as log-probabilities (a log-linear pool).
    pub fn fuse(&self, weights: &[f32; OPINIONS]) -> Vec<f32> {
        let mut fused: Vec<f32> = (0..self.opinions[0].len())
            .map(|intent| {
                let parts = self.opinions.iter().zip(weights);
                parts.map(|(opinion, weight)| opinion[intent] * weight).sum()
            })
            .collect();
        log_softmax(&mut fused);
        fused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_are_probabilities_and_near_neighbours_count_more() {
        for (name, votes, against, top) in [
            ("none", vec![], vec![], None),
            ("one", vec![(1, 0.5)], vec![], Some(1)),
            ("near beats many", vec![(2, 0.9), (0, 0.5), (0, 0.5), (0, 0.5)], vec![], Some(2)),
            ("many beat one as near", vec![(2, 0.9), (0, 0.89), (0, 0.89)], vec![], Some(0)),
            ("a negative takes votes back", vec![(2, 0.9), (1, 0.8)], vec![(2, 0.95)], Some(1)),
        ] {
            let logs = vote(&votes, &against, 3);
            let total: f32 = logs.iter().map(|log| log.exp()).sum();
            assert!((total - 1.0).abs() < 1e-5, "{name}");
            if let Some(top) = top {
                let best = (0..3).max_by(|&a, &b| logs[a].total_cmp(&logs[b])).unwrap();
                assert_eq!(best, top, "{name}");
            }
        }
    }
}
