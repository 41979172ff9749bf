//! Builds an intent model from a knowledge base.

use std::sync::Arc;

use super::embed::{Known, embed};
use super::fit::{self, FitError, LabelledSet};
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

/// What is known before a build.
#[derive(Default)]
pub struct Given<'a> {
    /// A model of the same encoder and normaliser, whose embeddings are taken where texts are equal.
    pub earlier: Option<&'a Model>,
    /// The calibration of a tuned encoder: cross-validation over sentences that it was tuned on
    /// would promise too much.
    pub calibration: Option<Calibration>,
}

/// Builds a model. `out_of_scope` are sentences that no intent means, as written; `earlier` is a
/// model of the same encoder and normaliser, whose embeddings are taken where texts are equal.
///
/// # Errors
/// [`BuildError`].
pub fn build(
    knowledge: KnowledgeBase,
    out_of_scope: &[String],
    encoder: &dyn Encoder,
    earlier: Option<&Model>,
    progress: &dyn Progress,
) -> Result<Model, BuildError> {
    build_with(knowledge, out_of_scope, encoder, Given { earlier, calibration: None }, progress)
}

/// [`build`] with all that may be known.
///
/// # Errors
/// [`BuildError`].
pub fn build_with(
    knowledge: KnowledgeBase,
    out_of_scope: &[String],
    encoder: &dyn Encoder,
    given: Given<'_>,
    progress: &dyn Progress,
) -> Result<Model, BuildError> {
    let identity = Identity::new(encoder.info(), &knowledge, out_of_scope);
    let known = given.earlier.map(known_embeddings).unwrap_or_default();
    // One call for all, so that one bar counts them all; then apart again.
    let examples = texts_of(knowledge.examples().map(|(_, example)| example));
    let negatives = texts_of(negatives_of(&knowledge).map(|(_, example)| example));
    let (first, second) = (examples.len(), examples.len() + negatives.len());
    let unmeant = out_of_scope.iter().map(|text| normalize(text).text().to_owned());
    let texts: Vec<String> = examples.into_iter().chain(negatives).chain(unmeant).collect();
    let embeddings = embed(encoder, &texts, &known, progress)?;
    let all = LabelledSet { texts, embeddings, labels: Vec::new() };
    let end = all.texts.len();
    let labels = knowledge.examples().map(|(intent, _)| intent).collect();
    let examples = all.range(0..first, labels);
    let labels = negatives_of(&knowledge).map(|(intent, _)| intent).collect();
    let negatives = all.range(first..second, labels);
    let out_of_scope = all.range(second..end, Vec::new());

    let intents = knowledge.intents.len();
    let none = LabelledSet::default();
    let mut fitted = match given.calibration {
        Some(calibration) => fit::fit_calibrated(&examples, intents, calibration, progress)?,
        None => fit::fit(&examples, intents, &none, &out_of_scope, progress)?,
    };
    fitted.classifier.set_negatives(&negatives.labels, negatives.embeddings.rows());
    fitted.classifier.set_keyword_precision(keyword_precision(&knowledge)?);
    let engine =
        Engine::new(knowledge, Arc::clone(&fitted.index) as _, fitted.vectors, fitted.classifier)?;
    let embeddings = all.range(0..second, Vec::new()).embeddings;
    Ok(Model { identity, engine, index: fitted.index, embeddings })
}

fn negatives_of(knowledge: &KnowledgeBase) -> impl Iterator<Item = (u32, &Example)> {
    knowledge.intents.iter().enumerate().flat_map(|(intent, known)| {
        known.negative_examples.iter().map(move |example| (intent as u32, example))
    })
}

fn texts_of<'a>(examples: impl Iterator<Item = &'a Example>) -> Vec<String> {
    examples.map(|example| normalize(&example.text).text().to_owned()).collect()
}

/// What an earlier model knows, by normalised text.
fn known_embeddings(model: &Model) -> Known {
    let knowledge = model.engine.knowledge();
    let texts = texts_of(knowledge.examples().chain(negatives_of(knowledge)).map(|one| one.1));
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
