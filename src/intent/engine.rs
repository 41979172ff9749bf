//! The two tiers as pure steps; whoever calls them encodes in between.
//!
//! [`Engine::first_tier`] settles what keywords settle; for the rest the caller embeds the
//! normalised text and asks [`Engine::second_tier`]. [`Engine::answer`] puts a verdict into words.

use std::ops::Range;
use std::sync::Arc;

use super::answer::{
    Alternative, Answer, Explanation, KeywordEvidence, NeighborEvidence, Status, TextSpan, Tier,
};
use super::classifier::Classifier;
use super::entity::check::{CheckFault, ValueCheck};
use super::entity::{EntityError, Extractor};
use super::keyword::{KeywordMatch, KeywordOutcome, KeywordTier};
use super::knowledge::{Example, KnowledgeBase};
use super::normalize::Normalized;
use crate::encoder::Embeddings;
use crate::index::{Neighbor, VectorIndex};

/// How many neighbours vote and explain.
pub const NEIGHBORS: usize = 20;

/// A model, ready to answer.
pub struct Engine {
    knowledge: KnowledgeBase,
    keywords: KeywordTier,
    extractor: Extractor,
    /// `(intent, position among its examples)` of each vector in the index.
    examples: Vec<(u32, u32)>,
    index: Arc<dyn VectorIndex>,
    /// The whitened vectors in the index.
    vectors: Arc<Embeddings>,
    classifier: Classifier,
}

/// What the engine decided, in numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Matched, ambiguous or out of scope.
    pub status: Status,
    /// Who decided.
    pub tier: Tier,
    /// Probability of being in scope; none unless tier 2 decided.
    pub in_scope: Option<f32>,
    /// All intents with their probabilities, most probable first.
    pub ranking: Vec<(u32, f32)>,
    /// How many of the ranking a "did you mean" offers; 0 unless the status is ambiguous.
    pub candidates: usize,
    /// Keyword rules that fired.
    pub keywords: Vec<KeywordMatch>,
    /// The nearest examples.
    pub neighbors: Vec<Neighbor>,
}

impl Verdict {
    fn nothing() -> Self {
        Self {
            status: Status::OutOfScope,
            tier: Tier::None,
            in_scope: None,
            ranking: Vec::new(),
            candidates: 0,
            keywords: Vec::new(),
            neighbors: Vec::new(),
        }
    }

    /// Probability of the first intent of the ranking; 0 without one.
    pub fn confidence(&self) -> f32 {
        self.ranking.first().map_or(0.0, |top| top.1)
    }
}

/// What tier 1 leaves to do.
#[derive(Debug, Clone, PartialEq)]
pub enum FirstTier {
    /// Decided.
    Settled(Verdict),
    /// Embed the text and ask tier 2, with these matches as evidence.
    Open(Vec<KeywordMatch>),
}

impl Engine {
    /// Puts a model together. `index` searches `vectors`, the whitened examples in the order of
    /// [`KnowledgeBase::examples`].
    ///
    /// # Errors
    /// [`EngineError`] when the parts do not fit together.
    pub fn new(
        knowledge: KnowledgeBase,
        index: Arc<dyn VectorIndex>,
        vectors: Arc<Embeddings>,
        classifier: Classifier,
    ) -> Result<Self, EngineError> {
        let examples: Vec<(u32, u32)> = knowledge
            .intents
            .iter()
            .enumerate()
            .flat_map(|(intent, known)| {
                (0..known.examples.len()).map(move |at| (intent as u32, at as u32))
            })
            .collect();
        if examples.len() != index.len() {
            return Err(EngineError::Vectors { examples: examples.len(), vectors: index.len() });
        }
        if classifier.intents() != knowledge.intents.len() {
            let (model, knowledge) = (classifier.intents(), knowledge.intents.len());
            return Err(EngineError::Intents { model, knowledge });
        }
        let keywords = KeywordTier::new(&knowledge)?;
        let extractor = Extractor::new(&knowledge)?;
        check_slots(&knowledge)?;
        Ok(Self { knowledge, keywords, extractor, examples, index, vectors, classifier })
    }

    /// What it was trained on.
    pub fn knowledge(&self) -> &KnowledgeBase {
        &self.knowledge
    }

    /// The trained part of tier 2.
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// The whitened examples, row by row.
    pub fn vectors(&self) -> &Embeddings {
        &self.vectors
    }

    /// Tier 1: settles strong keywords, and texts without a letter or a digit.
    pub fn first_tier(&self, text: &Normalized) -> FirstTier {
        let outcome = self.keywords.evaluate(text.text());
        if let KeywordOutcome::Answer(found) = outcome {
            return FirstTier::Settled(Verdict {
                status: Status::Matched,
                tier: Tier::Keyword,
                in_scope: None,
                ranking: vec![(found.intent, self.classifier.calibration().keyword_precision)],
                candidates: 0,
                keywords: vec![found],
                neighbors: Vec::new(),
            });
        }
        if !text.text().contains(char::is_alphanumeric) {
            return FirstTier::Settled(Verdict::nothing());
        }
        match outcome {
            KeywordOutcome::Evidence(found) => FirstTier::Open(found),
            _ => FirstTier::Open(Vec::new()),
        }
    }

    /// Tier 2: decides by the unit-norm `embedding` of the text, with tier 1's evidence.
    pub fn second_tier(
        &self,
        text: &Normalized,
        evidence: Vec<KeywordMatch>,
        embedding: &[f32],
    ) -> Verdict {
        let whitened = self.classifier.heads().whitening.apply(embedding);
        let neighbors = self.index.search(&whitened, NEIGHBORS);
        let votes: Vec<(u32, f32)> = neighbors
            .iter()
            .map(|neighbor| (self.examples[neighbor.id as usize].0, neighbor.similarity))
            .collect();
        let hinted: Vec<u32> = evidence.iter().map(|found| found.intent).collect();
        let decision = self.classifier.decide(text.text(), &whitened, &votes, &hinted);
        Verdict {
            status: decision.status,
            tier: Tier::Semantic,
            in_scope: Some(decision.in_scope),
            ranking: decision.ranking,
            candidates: decision.candidates,
            keywords: evidence,
            neighbors,
        }
    }

    /// Both tiers: what is decided about a text whose unit-norm `embedding` is known.
    pub fn verdict(&self, text: &Normalized, embedding: &[f32]) -> Verdict {
        match self.first_tier(text) {
            FirstTier::Settled(verdict) => verdict,
            FirstTier::Open(evidence) => self.second_tier(text, evidence, embedding),
        }
    }

    /// A verdict in words: names for numbers, at most `top_k` alternatives, the entities, and the
    /// explanation without its times when `explain` is set. `original` is the text before normalisation.
    pub fn answer(
        &self,
        original: &str,
        text: &Normalized,
        verdict: &Verdict,
        top_k: usize,
        explain: bool,
    ) -> Answer {
        let name = |intent: u32| self.knowledge.intents[intent as usize].id.clone();
        let top = verdict.ranking.first();
        Answer {
            status: verdict.status,
            intent: top.filter(|_| verdict.status == Status::Matched).map(|top| name(top.0)),
            confidence: verdict.confidence(),
            tier: verdict.tier,
            alternatives: verdict
                .ranking
                .iter()
                .take(top_k)
                .map(|&(intent, confidence)| Alternative { intent: name(intent), confidence })
                .collect(),
            candidates: verdict
                .ranking
                .iter()
                .take(verdict.candidates)
                .map(|&(intent, _)| name(intent))
                .collect(),
            entities: self.extractor.extract(original, text),
            explanation: explain.then(|| self.explain(original, text, verdict)),
        }
    }

    fn explain(&self, original: &str, text: &Normalized, verdict: &Verdict) -> Explanation {
        let keywords = verdict.keywords.iter().map(|found| KeywordEvidence {
            intent: self.knowledge.intents[found.intent as usize].id.clone(),
            strong: found.strong,
            spans: found.spans.iter().map(|span| text_span(original, text, span)).collect(),
        });
        let neighbors = verdict.neighbors.iter().map(|neighbor| {
            let (intent, example) = self.example(neighbor.id);
            NeighborEvidence {
                intent: intent.to_owned(),
                text: example.text.clone(),
                file: example.file.clone(),
                line: example.line,
                similarity: neighbor.similarity,
            }
        });
        Explanation {
            normalized: text.text().to_owned(),
            keywords: keywords.collect(),
            neighbors: neighbors.collect(),
            in_scope: verdict.in_scope,
            thresholds: verdict.in_scope.map(|_| self.classifier.calibration().thresholds),
            steps: Default::default(),
        }
    }

    fn example(&self, vector: u32) -> (&str, &Example) {
        let (intent, at) = self.examples[vector as usize];
        let intent = &self.knowledge.intents[intent as usize];
        (&intent.id, &intent.examples[at as usize])
    }
}

/// What slots ask of their values compiles; dialogue relies on it.
fn check_slots(knowledge: &KnowledgeBase) -> Result<(), EngineError> {
    for slot in knowledge.intents.iter().flat_map(|intent| &intent.slots) {
        let rules = slot.validate.clone().unwrap_or_default();
        ValueCheck::new(&slot.entity, &rules)
            .map_err(|faults| EngineError::Slot { name: slot.name.clone(), faults })?;
    }
    Ok(())
}

/// A span of the normalised text as characters of the original.
fn text_span(original: &str, text: &Normalized, span: &Range<usize>) -> TextSpan {
    let bytes = text.original_span(span.clone());
    let start = original[..bytes.start].chars().count();
    let part = &original[bytes];
    TextSpan { start, end: start + part.chars().count(), text: part.to_owned() }
}

/// The parts of a model do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Not one vector an example.
    #[error("{examples} examples but {vectors} vectors; build the model anew")]
    Vectors {
        /// In the knowledge base.
        examples: usize,
        /// In the index.
        vectors: usize,
    },
    /// The classifier knows other intents.
    #[error("a classifier for {model} intents but {knowledge} intents; build the model anew")]
    Intents {
        /// In the classifier.
        model: usize,
        /// In the knowledge base.
        knowledge: usize,
    },
    /// The keywords cannot be compiled.
    #[error("the keywords cannot be compiled: {0}")]
    Keywords(#[from] aho_corasick::BuildError),
    /// The entities cannot be compiled.
    #[error(transparent)]
    Entities(#[from] EntityError),
    /// What a slot asks of its values cannot be compiled.
    #[error("the slot {name:?}: {}", .faults.first().map_or("", |fault| &fault.message))]
    Slot {
        /// Which slot.
        name: String,
        /// What is wrong.
        faults: Vec<CheckFault>,
    },
}
