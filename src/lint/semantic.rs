//! Rules about meaning: near-duplicates, suspect labels, intents that overlap.
//!
//! Each example is judged by all others, as if it were not there (leave one out): by its
//! neighbours, and by the means of the intents. What it is called then is compared with its label
//! (confident learning: Northcutt, Jiang and Chuang, arXiv 1911.00068).

use std::sync::Arc;

use rayon::prelude::*;

use super::codes::{OVERLAP, SUSPECT_LABEL};
use super::corpus::{Corpus, letters, likeness};
use super::sentences::near_duplicate;
use super::{Finding, LintError};
use crate::encoder::Embeddings;
use crate::index::{Index, IndexKind, VectorIndex};
use crate::intent::whitening::dot;

/// Neighbours that are asked about an example.
const NEIGHBORS: usize = 24;
/// Temperature of the neighbours' vote, as in the engine.
const VOTE_TEMPERATURE: f32 = 0.1;
/// Temperature of the closeness to the intents' means.
const MEAN_TEMPERATURE: f32 = 0.08;

// The limits below are set on the bundled knowledge base, clean and with seeded faults
// (tests/it/lint.rs): between the nearest pair that is right and the farthest that is seeded.

/// Sentences at least so near by meaning ...
const NEAR_COSINE: f32 = 0.76;
/// ... and written at least so much alike say the same.
const NEAR_LIKENESS: f32 = 0.6;
/// Without likeness in writing, only such nearness says the same.
const SAME_COSINE: f32 = 0.82;

/// A label is suspect when the others give it at most this probability ...
const SUSPECT_OWN: f32 = 0.01;
/// ... and another intent at least this.
const SUSPECT_OTHER: f32 = 0.35;

/// An intent with fewer examples has too few to be judged by.
const JUDGED: usize = 5;

/// Two intents overlap when of the probability that they give to either, each gives at least this
/// share to the other. 0.5 is chance.
const OVERLAP_SHARE: f32 = 0.35;

/// Unit-norm vectors of the examples, `(examples, dimension)`.
#[derive(Debug, Clone)]
pub struct Vectors {
    /// Whitened, so that what tells intents apart weighs most.
    pub whitened: Arc<Embeddings>,
}

pub(super) fn check(corpus: &Corpus<'_>, vectors: &Vectors) -> Result<Vec<Finding>, LintError> {
    let whitened = &vectors.whitened;
    assert_eq!(whitened.len(), corpus.examples.len(), "a vector for each example");
    if whitened.is_empty() {
        return Ok(Vec::new());
    }
    let index = Index::build(Arc::clone(whitened), IndexKind::choose(whitened.len()))?;
    let neighbors: Vec<Vec<(usize, f32)>> = (0..whitened.len())
        .into_par_iter()
        .map(|at| {
            let found = index.search(whitened.row(at), NEIGHBORS + 1).into_iter();
            found.map(|near| (near.id as usize, near.similarity)).filter(|n| n.0 != at).collect()
        })
        .collect();
    let opinions = opinions(corpus, whitened, &neighbors);
    let mut findings = near_duplicates(corpus, &neighbors);
    findings.extend(suspect_labels(corpus, &opinions, &neighbors));
    findings.extend(overlaps(corpus, &opinions));
    Ok(findings)
}

fn near_duplicates(corpus: &Corpus<'_>, neighbors: &[Vec<(usize, f32)>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, near) in neighbors.iter().enumerate() {
        let sentence = &corpus.examples[at];
        let same = near.iter().find(|&&(other, cosine)| {
            let other = &corpus.examples[other];
            other.intent != sentence.intent
                && letters(&other.text) != letters(&sentence.text)
                && (cosine >= SAME_COSINE
                    || cosine >= NEAR_COSINE
                        && likeness(&sentence.text, &other.text) >= NEAR_LIKENESS)
        });
        // The pair is told once, at its later sentence.
        if let Some(&(other, _)) = same.filter(|&&(other, _)| other < at) {
            findings.push(near_duplicate(corpus, sentence, &corpus.examples[other]));
        }
    }
    findings
}

/// The probabilities of all intents for each example, by all other examples.
fn opinions(
    corpus: &Corpus<'_>,
    whitened: &Embeddings,
    neighbors: &[Vec<(usize, f32)>],
) -> Vec<Vec<f32>> {
    let (intents, dimension) = (corpus.knowledge.intents.len(), whitened.dimension());
    let mut sums = vec![vec![0.0f32; dimension]; intents];
    for (sentence, row) in corpus.examples.iter().zip(whitened.rows()) {
        sums[sentence.intent].iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    let one = |at: usize| {
        let (own, row) = (corpus.examples[at].intent, whitened.row(at));
        let mut without = sums[own].clone();
        without.iter_mut().zip(row).for_each(|(sum, value)| *sum -= value);
        let closeness = |intent: usize| {
            let sum = if intent == own { &without } else { &sums[intent] };
            let length = dot(sum, sum).sqrt();
            if length > 1e-6 { dot(sum, row) / length } else { -1.0 }
        };
        let mut means: Vec<f32> =
            (0..intents).map(|intent| closeness(intent) / MEAN_TEMPERATURE).collect();
        softmax(&mut means);
        let votes = vote(&neighbors[at], corpus, intents);
        means.iter().zip(votes).map(|(mean, vote)| (mean + vote) / 2.0).collect()
    };
    (0..whitened.len()).into_par_iter().map(one).collect()
}

fn vote(near: &[(usize, f32)], corpus: &Corpus<'_>, intents: usize) -> Vec<f32> {
    let mut weights: Vec<f32> = near.iter().map(|(_, cosine)| cosine / VOTE_TEMPERATURE).collect();
    softmax(&mut weights);
    let mut shares = vec![0.0; intents];
    for (&(other, _), weight) in near.iter().zip(weights) {
        shares[corpus.examples[other].intent] += weight;
    }
    shares
}

fn softmax(logits: &mut [f32]) {
    crate::intent::head::log_softmax(logits);
    logits.iter_mut().for_each(|log| *log = log.exp());
}

fn best(opinion: &[f32]) -> usize {
    (0..opinion.len()).max_by(|&a, &b| opinion[a].total_cmp(&opinion[b])).unwrap_or(0)
}

fn suspect_labels(
    corpus: &Corpus<'_>,
    opinions: &[Vec<f32>],
    neighbors: &[Vec<(usize, f32)>],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, (sentence, opinion)) in corpus.examples.iter().zip(opinions).enumerate() {
        let other = best(opinion);
        let (own, most) = (opinion[sentence.intent], opinion[other]);
        let judged = corpus.knowledge.intents[sentence.intent].examples.len() >= JUDGED;
        if !judged || own > SUSPECT_OWN || most < SUSPECT_OTHER {
            continue;
        }
        let nearest = neighbors[at].iter().find(|near| corpus.examples[near.0].intent == other);
        let related: Vec<_> =
            nearest.map(|near| corpus.examples[near.0].place.clone()).into_iter().collect();
        findings.push(Finding {
            rule: SUSPECT_LABEL,
            place: sentence.place.clone(),
            related,
            message: format!(
                "{:?} is an example of {:?} and looks like one of {:?} ({:.0} %); \
                 move it there, or drop it if a colleague could not place it either",
                sentence.written,
                corpus.id(sentence.intent),
                corpus.id(other),
                most * 100.0
            ),
        });
    }
    findings
}

fn overlaps(corpus: &Corpus<'_>, opinions: &[Vec<f32>]) -> Vec<Finding> {
    let intents = corpus.knowledge.intents.len();
    let mut lost = vec![0.0f32; intents * intents];
    for (sentence, opinion) in corpus.examples.iter().zip(opinions) {
        let row = &mut lost[sentence.intent * intents..][..intents];
        row.iter_mut().zip(opinion).for_each(|(lost, share)| *lost += share);
    }
    let mut findings = Vec::new();
    for later in 0..intents {
        for earlier in 0..later {
            let share = |from: usize, to: usize| {
                let (kept, lost) = (lost[from * intents + from], lost[from * intents + to]);
                lost / (kept + lost).max(f32::MIN_POSITIVE)
            };
            let (a, b) = (share(earlier, later), share(later, earlier));
            let judged = |at: usize| corpus.knowledge.intents[at].examples.len() >= JUDGED;
            if !judged(earlier) || !judged(later) || a.min(b) < OVERLAP_SHARE {
                continue;
            }
            let place = &corpus.intent_places(earlier).id;
            findings.push(Finding {
                rule: OVERLAP,
                place: corpus.intent_places(later).id.clone(),
                related: vec![place.clone()],
                message: format!(
                    "{:?} cannot be told from {:?} in {place}: between the two, its examples look \
                     {:.0} % like that one's, and those {:.0} % like its own; join them, or write \
                     examples that differ",
                    corpus.id(later),
                    corpus.id(earlier),
                    b * 100.0,
                    a * 100.0
                ),
            });
        }
    }
    findings
}
