//! Builds an intent model from a knowledge base.

use std::sync::Arc;

use super::embed::{Known, embed};
use super::fit::{self, Earlier, FitError, Fitted, LabelledSet, Lesson, Material, Policy};
use crate::artifact::{Identity, Model};
use crate::encoder::{Embeddings, EncodeError, Encoder};
use crate::intent::classifier::Calibration;
use crate::intent::engine::{Engine, EngineError};
use crate::intent::keyword::{KeywordOutcome, KeywordTier};
use crate::intent::knowledge::{Example, KnowledgeBase};
use crate::intent::normalize::normalize;
use crate::progress::Progress;

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The encoder failed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Nothing could be fitted.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// The parts do not fit together.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What is known before a build, and what is wanted of it.
#[derive(Default)]
pub struct Given<'a> {
    /// A model of the same encoder and normaliser, whose embeddings are taken where texts are equal.
    pub earlier: Option<&'a Model>,
    /// The calibration of a tuned encoder: cross-validation over sentences that it was tuned on
    /// would promise too much.
    pub calibration: Option<Calibration>,
    /// What the thresholds are to guarantee, where they are fitted here.
    pub policy: Policy,
}

/// Builds a model. `out_of_scope` are sentences that no intent means, as written.
///
/// # Errors
/// [`BuildError`].
pub fn build(
    knowledge: KnowledgeBase,
    out_of_scope: &[String],
    encoder: &dyn Encoder,
    given: Given<'_>,
    progress: &dyn Progress,
) -> Result<Model, BuildError> {
    let identity = Identity::new(encoder.info(), &knowledge, out_of_scope);
    let known = given.earlier.map(known_embeddings).unwrap_or_default();
    let sentences = Sentences::embed(&knowledge, out_of_scope, encoder, &known, progress)?;
    let lesson = sentences.lesson(&knowledge, encoder);
    let (none, out_of_scope) = (LabelledSet::default(), &sentences.out_of_scope);
    let fitted = match given.calibration {
        Some(calibration) => fit::fit_calibrated(lesson, out_of_scope, calibration, progress)?,
        None => fit::fit(Material { lesson, valid: &none, out_of_scope }, given.policy, progress)?,
    };
    let index = Arc::clone(&fitted.index);
    let engine = assemble(knowledge, fitted, &sentences)?;
    Ok(Model { identity, engine, index, embeddings: sentences.embeddings })
}

/// An engine for `knowledge` as it would be after a build, from `earlier` of the same encoder and
/// normaliser: in a part of the time when a few examples differ, and for looking at only, since it
/// keeps the calibration of `earlier` (weights of the opinions, probability of being in scope,
/// thresholds). It is no [`Model`]: it must not be saved as one.
///
/// # Errors
/// [`BuildError`].
pub fn preview(
    knowledge: KnowledgeBase,
    encoder: &dyn Encoder,
    earlier: &Model,
    progress: &dyn Progress,
) -> Result<Engine, BuildError> {
    let known = known_embeddings(earlier);
    let sentences = Sentences::embed(&knowledge, &[], encoder, &known, progress)?;
    let before = earlier.engine.knowledge();
    let same = same_intents(&knowledge, before);
    // The label that each example of then has now; only asked for where the intents are the same.
    let number = |intent: u32| knowledge.position(&before.intents[intent as usize].id);
    let labels = before.examples().map(|(intent, _)| number(intent).unwrap_or(0)).collect();
    let all = Texts::of(before);
    let (examples, names) = (all.examples.len(), all.names.len());
    let known = LabelledSet {
        texts: all.into_vec(),
        embeddings: earlier.embeddings.clone(),
        labels: Vec::new(),
    };
    let end = known.texts.len();
    let called = names_of(before).map(|(intent, _)| number(intent).unwrap_or(0)).collect();
    let earlier = Earlier {
        classifier: earlier.engine.classifier(),
        examples: &known.range(0..examples, labels),
        names: &known.range(end - names..end, called),
        intents: same.as_deref(),
    };
    let fitted = fit::refit(sentences.lesson(&knowledge, encoder), &earlier)?;
    assemble(knowledge, fitted, &sentences)
}

/// The number in `before` of each intent of `knowledge`; none unless both have the same intents.
fn same_intents(knowledge: &KnowledgeBase, before: &KnowledgeBase) -> Option<Vec<u32>> {
    let numbers: Option<Vec<u32>> =
        knowledge.intents.iter().map(|intent| before.position(&intent.id)).collect();
    numbers.filter(|all| all.len() == before.intents.len())
}

/// All sentences of a knowledge base, normalised and embedded.
struct Sentences {
    examples: LabelledSet,
    negatives: LabelledSet,
    names: LabelledSet,
    out_of_scope: LabelledSet,
    /// What a model keeps, in the order of [`Texts`].
    embeddings: Embeddings,
}

/// The normalised texts whose embeddings a model keeps, in this order.
struct Texts {
    examples: Vec<String>,
    negatives: Vec<String>,
    names: Vec<String>,
}

impl Texts {
    fn of(knowledge: &KnowledgeBase) -> Self {
        Self {
            examples: texts_of(knowledge.examples().map(|(_, example)| example)),
            negatives: texts_of(negatives_of(knowledge).map(|(_, example)| example)),
            names: names_of(knowledge).map(|(_, name)| name).collect(),
        }
    }

    fn into_vec(self) -> Vec<String> {
        [self.examples, self.negatives, self.names].concat()
    }
}

impl Sentences {
    fn embed(
        knowledge: &KnowledgeBase,
        out_of_scope: &[String],
        encoder: &dyn Encoder,
        known: &Known,
        progress: &dyn Progress,
    ) -> Result<Self, EncodeError> {
        // One call for all, so that one bar counts them all; then apart again.
        let texts = Texts::of(knowledge);
        let first = texts.examples.len();
        let second = first + texts.negatives.len();
        let third = second + texts.names.len();
        let mut texts = texts.into_vec();
        texts.extend(out_of_scope.iter().map(|text| normalize(text).text().to_owned()));
        let embeddings = embed(encoder, &texts, known, progress)?;
        let all = LabelledSet { texts, embeddings, labels: Vec::new() };
        let end = all.texts.len();
        let labels = knowledge.examples().map(|(intent, _)| intent).collect();
        let of_negatives = negatives_of(knowledge).map(|(intent, _)| intent).collect();
        let of_names = names_of(knowledge).map(|(intent, _)| intent).collect();
        Ok(Self {
            examples: all.range(0..first, labels),
            negatives: all.range(first..second, of_negatives),
            names: all.range(second..third, of_names),
            out_of_scope: all.range(third..end, Vec::new()),
            embeddings: all.range(0..third, Vec::new()).embeddings,
        })
    }
}

impl Sentences {
    fn lesson(&self, knowledge: &KnowledgeBase, encoder: &dyn Encoder) -> Lesson<'_> {
        Lesson {
            intents: knowledge.intents.len(),
            examples: &self.examples,
            names: &self.names,
            tuned: encoder.info().tuned,
        }
    }
}

fn assemble(
    knowledge: KnowledgeBase,
    mut fitted: Fitted,
    sentences: &Sentences,
) -> Result<Engine, BuildError> {
    let negatives = &sentences.negatives;
    fitted.classifier.set_negatives(&negatives.labels, negatives.embeddings.rows());
    fitted.classifier.set_keyword_precision(keyword_precision(&knowledge)?);
    let Fitted { classifier, index, vectors, .. } = fitted;
    Ok(Engine::new(knowledge, index as _, vectors, classifier)?)
}

fn negatives_of(knowledge: &KnowledgeBase) -> impl Iterator<Item = (u32, &Example)> {
    knowledge.intents.iter().enumerate().flat_map(|(intent, known)| {
        known.negative_examples.iter().map(move |example| (intent as u32, example))
    })
}

/// What the intents are called, normalised, with the number of the intent.
pub fn names_of(knowledge: &KnowledgeBase) -> impl Iterator<Item = (u32, String)> {
    knowledge.intents.iter().enumerate().flat_map(|(intent, known)| {
        let titles: Vec<String> = known.title.values().cloned().collect();
        let names = fit::intent_names(&known.id, &titles);
        names.into_iter().map(move |name| (intent as u32, name))
    })
}

fn texts_of<'a>(examples: impl Iterator<Item = &'a Example>) -> Vec<String> {
    examples.map(|example| normalize(&example.text).text().to_owned()).collect()
}

/// What an earlier model knows, by normalised text.
fn known_embeddings(model: &Model) -> Known {
    let texts = Texts::of(model.engine.knowledge()).into_vec();
    texts.into_iter().zip(model.embeddings.rows().map(<[f32]>::to_vec)).collect()
}

/// How often tier 1's answers are right on the examples, by Laplace's rule of succession.
fn keyword_precision(knowledge: &KnowledgeBase) -> Result<f32, EngineError> {
    let tier = KeywordTier::new(knowledge)?;
    let (mut right, mut answers) = (0u32, 0u32);
    for (intent, example) in knowledge.examples() {
        if let KeywordOutcome::Answer(found) = tier.evaluate(normalize(&example.text).text()) {
            answers += 1;
            right += u32::from(found.intent == intent);
        }
    }
    Ok((right + 1) as f32 / (answers + 2) as f32)
}

impl LabelledSet {
    fn range(&self, rows: std::ops::Range<usize>, labels: Vec<u32>) -> Self {
        let dimension = self.embeddings.dimension();
        let values =
            self.embeddings.values()[rows.start * dimension..rows.end * dimension].to_vec();
        Self {
            texts: self.texts[rows].to_vec(),
            embeddings: Embeddings::new(dimension, values),
            labels,
        }
    }
}
