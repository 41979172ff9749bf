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
    let rate = given.policy.max_false_accept;
    let identity = Identity::new(encoder.info(), &knowledge, out_of_scope, rate);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::EncoderInfo;
    use crate::intent::knowledge::{Intent, Lang};
    use crate::progress::Silent;

    const DIMENSION: usize = 24;
    const INTENTS: usize = 6;

    /// Embeds a text as the sum of directions, one a word.
    struct WordSums(EncoderInfo);

    impl Encoder for WordSums {
        fn info(&self) -> &EncoderInfo {
            &self.0
        }

        fn encode(&self, texts: &[&str]) -> Result<Embeddings, EncodeError> {
            let row = |text: &&str| {
                let mut row = vec![0.3; DIMENSION];
                for word in text.split(' ') {
                    let mut bits = fit::fnv1a(word);
                    for value in &mut row {
                        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        *value += (bits >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
                    }
                }
                crate::intent::whitening::normalize_length(&mut row);
                row
            };
            Ok(Embeddings::new(DIMENSION, texts.iter().flat_map(row).collect()))
        }
    }

    fn encoder() -> WordSums {
        let (name, sha256) = ("word-sums".to_owned(), String::new());
        WordSums(EncoderInfo { name, sha256, dimension: DIMENSION, max_tokens: 8, tuned: false })
    }

    fn sentence(intent: usize, at: usize) -> String {
        let shared = |n: usize| format!("w{}", (at * 7 + intent * 3 + n * 5) % 40);
        format!("{} i{intent}x{} {} i{intent}x{}", shared(1), at % 5, shared(2), (at + 2) % 7)
    }

    fn example(text: String) -> Example {
        Example { text, lang: Lang::En, file: "a.yaml".into(), line: 1 }
    }

    fn knowledge() -> KnowledgeBase {
        let intent = |number: usize| Intent {
            id: format!("intent_{number}"),
            examples: (0..30).map(|at| example(sentence(number, at))).collect(),
            ..Intent::default()
        };
        KnowledgeBase { intents: (0..INTENTS).map(intent).collect(), ..KnowledgeBase::default() }
    }

    /// Statuses, first intents and probabilities of all intents, by their ids.
    fn answers(engine: &Engine) -> Vec<Vec<(String, f32)>> {
        let encoder = encoder();
        let probes = (0..INTENTS).flat_map(|intent| (100..110).map(move |at| (intent, at)));
        let mut all = Vec::new();
        for (intent, at) in probes {
            let text = sentence(intent, at);
            let rows = encoder.encode(&[&text]).unwrap();
            let verdict = engine.verdict(&normalize(&text), rows.row(0));
            let id = |intent: u32| engine.knowledge().intents[intent as usize].id.clone();
            let mut ranking: Vec<_> =
                verdict.ranking.iter().map(|one| (id(one.0), one.1)).collect();
            ranking.sort_by(|a, b| a.0.cmp(&b.0));
            all.push(ranking);
        }
        all
    }

    fn largest_difference(one: &Engine, other: &Engine) -> f32 {
        let pairs = answers(one).into_iter().flatten().zip(answers(other).into_iter().flatten());
        pairs.fold(0.0, |most, (a, b)| {
            assert_eq!(a.0, b.0);
            most.max((a.1 - b.1).abs())
        })
    }

    /// A preview of what a build would make, with the calibration of before, against the build with
    /// that calibration.
    #[test]
    fn a_preview_is_nearly_what_a_build_makes() {
        let encoder = encoder();
        let model = build(knowledge(), &[], &encoder, Given::default(), &Silent).unwrap();
        let same = preview(knowledge(), &encoder, &model, &Silent).unwrap();
        assert!(largest_difference(&model.engine, &same) < 1e-5, "no edit, no difference");
        let mut turned = knowledge();
        turned.intents.reverse();
        let turned = preview(turned, &encoder, &model, &Silent).unwrap();
        assert!(largest_difference(&model.engine, &turned) < 1e-4, "another order of intents");

        type Edit = fn(&mut KnowledgeBase);
        let edits: [(&str, Edit); 4] = [
            ("added", |kb| kb.intents[2].examples.push(example("w1 brandnew i2x9 w4".into()))),
            ("removed", |kb| drop(kb.intents[2].examples.remove(4))),
            ("moved", |kb| {
                let moved = kb.intents[2].examples.remove(4);
                kb.intents[3].examples.push(moved);
            }),
            ("an intent less", |kb| drop(kb.intents.pop())),
        ];
        for (name, edit) in edits {
            let mut edited = knowledge();
            edit(&mut edited);
            let quick = preview(edited.clone(), &encoder, &model, &Silent).unwrap();
            let given = || Given { earlier: Some(&model), ..Given::default() };
            let whole = build(edited.clone(), &[], &encoder, given(), &Silent).unwrap();
            // The same heads under the old calibration.
            let heads = whole.engine.classifier().heads().clone();
            let old = model.engine.classifier().calibration().clone();
            let classifier = crate::intent::classifier::Classifier::new(heads, old);
            let vectors = Arc::new(whole.engine.vectors().clone());
            let whole =
                Engine::new(edited, Arc::clone(&whole.index) as _, vectors, classifier).unwrap();
            let off = largest_difference(&quick, &whole);
            assert!(off < 0.05, "{name}: {off}");
        }
    }
}
