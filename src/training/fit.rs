//! Fits a whole classifier: heads on the examples, calibration on sentences they did not see.
//!
//! Unseen sentences come from a validation set when there is one, else from cross-validation.
//! Out-of-scope ones are real where there are enough, else the sentences of intents that a model
//! was not taught (leave-intents-out).

use std::sync::Arc;

use rayon::prelude::*;

use super::calibrate::{self, Unseen};
use super::heads::{self, Labelled, Recipe};
pub use super::thresholds::{Policy, PolicyError};
use crate::encoder::Embeddings;
use crate::index::{Index, IndexError, IndexKind, VectorIndex};
use crate::intent::classifier::{Calibration, Classifier, Decision};
use crate::intent::engine::NEIGHBORS;
use crate::intent::evidence::{Evidence, Heads};
use crate::intent::normalize::normalize;
use crate::progress::Progress;

/// Parts of the examples, of which each is held out once.
const FOLDS: usize = 5;
/// With more examples than this, two of the parts tell enough.
const MANY_EXAMPLES: usize = 5_000;
/// With so many real out-of-scope sentences, no intents need be left out.
pub(super) const ENOUGH_OUT_OF_SCOPE: usize = 100;

/// Sentences with labels, normalised and embedded.
#[derive(Debug, Clone, Default)]
pub struct LabelledSet {
    /// Normalised texts.
    pub texts: Vec<String>,
    /// Their embeddings, row by row.
    pub embeddings: Embeddings,
    /// Intent of each; empty for out-of-scope sentences.
    pub labels: Vec<u32>,
}

/// A fitted classifier and its examples' vectors.
pub struct Fitted {
    /// The classifier.
    pub classifier: Classifier,
    /// The index over the whitened examples, in their order.
    pub index: Arc<Index>,
    /// The whitened examples.
    pub vectors: Arc<Embeddings>,
    /// The intent of each.
    labels: Vec<u32>,
}

impl Fitted {
    /// What the classifier says about each row.
    pub fn decide(&self, rows: &LabelledSet) -> Vec<Decision> {
        let heads = self.classifier.heads();
        evidence(heads, &self.index, &self.labels, rows)
            .iter()
            .map(|evidence| self.classifier.calibration().decide(evidence, &[]))
            .collect()
    }
}

/// Why nothing could be fitted.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// No sentences.
    #[error("there are no examples to learn from; add some to the intents")]
    NoExamples,
    /// A matrix product failed.
    #[error("training failed: {0}; it may need more memory")]
    Numeric(#[from] candle_core::Error),
    /// The examples cannot be indexed.
    #[error("the examples cannot be indexed: {0}")]
    Index(#[from] IndexError),
    /// No threshold can be told for the wanted rate.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// What heads learn from.
#[derive(Debug, Clone, Copy)]
pub struct Lesson<'a> {
    /// Number of intents.
    pub intents: usize,
    /// Sentences.
    pub examples: &'a LabelledSet,
    /// What the intents are called, see [`intent_names`]; may be empty.
    pub names: &'a LabelledSet,
    /// True when the encoder was tuned on these examples.
    pub tuned: bool,
}

/// What is fitted on. All but the examples may be empty.
#[derive(Debug, Clone, Copy)]
pub struct Material<'a> {
    /// To learn from.
    pub lesson: Lesson<'a>,
    /// Sentences to calibrate on; without them, parts of the examples are held out.
    pub valid: &'a LabelledSet,
    /// Sentences that no intent means.
    pub out_of_scope: &'a LabelledSet,
}

/// What an intent `id` with these `titles` is called, normalised: nothing that has no letter.
pub fn intent_names(id: &str, titles: &[String]) -> Vec<String> {
    let words = id.replace(|c: char| !c.is_alphanumeric(), " ");
    let mut names: Vec<String> =
        titles.iter().chain([&words]).map(|name| normalize(name).text().to_owned()).collect();
    names.retain(|name| name.contains(char::is_alphabetic));
    names.sort_unstable();
    names.dedup();
    names
}

/// Fits on `material`, with thresholds by `policy`.
///
/// # Errors
/// [`FitError`].
pub fn fit(
    material: Material<'_>,
    policy: Policy,
    progress: &dyn Progress,
) -> Result<Fitted, FitError> {
    let Material { lesson, valid, out_of_scope } = material;
    let Lesson { intents, examples, .. } = lesson;
    if examples.texts.is_empty() {
        return Err(FitError::NoExamples);
    }
    let folds = folds(examples, intents);
    let rounds = if examples.texts.len() > MANY_EXAMPLES { 2 } else { FOLDS };
    let seen_rounds = if valid.texts.is_empty() { rounds } else { 0 };
    let enough = out_of_scope.texts.len() >= ENOUGH_OUT_OF_SCOPE;
    let left_out_rounds = if enough { 0 } else { rounds };
    progress.start_items("training", (1 + seen_rounds + left_out_rounds) as u64);
    let mut unseen = Unseen::default();

    for round in 0..seen_rounds {
        let held = |at: usize| folds[at] == round;
        let (taught, rows) = (examples.only(|at| !held(at)), examples.only(held));
        if taught.texts.is_empty() || rows.texts.is_empty() {
            continue;
        }
        let mut model = Model::fit(Lesson { examples: &taught, ..lesson })?;
        model.learn_scope(out_of_scope)?;
        unseen.add_in_scope(model.evidence(&rows), &rows.labels);
        progress.advance(1);
    }
    let groups = intent_groups(intents);
    for round in 0..left_out_rounds {
        progress.advance(1);
        let left_out = |at: usize| groups[examples.labels[at] as usize] == round;
        let held = |at: usize| folds[at] == (round + 2) % FOLDS;
        let taught = examples.only(|at| !left_out(at) && !held(at));
        let (known, unknown) =
            (examples.only(|at| !left_out(at) && held(at)), examples.only(left_out));
        if taught.texts.is_empty() || known.texts.is_empty() || unknown.texts.is_empty() {
            continue;
        }
        let mut model = Model::fit(Lesson { examples: &taught, ..lesson })?;
        model.learn_scope(out_of_scope)?;
        let unknown = unknown.first(known.texts.len());
        unseen.add_left_out(model.evidence(&known), model.evidence(&unknown));
    }
    let mut model = Model::fit(lesson)?;
    unseen.add_out_of_scope(model.judge_out_of_scope(out_of_scope)?);
    if !valid.texts.is_empty() {
        unseen.add_in_scope(model.evidence(valid), &valid.labels);
    }
    let calibration = calibrate::fit(&unseen, policy)?;
    progress.advance(1);
    progress.finish();
    Ok(model.finish(calibration))
}

/// Fits on `lesson` and `out_of_scope` sentences with a calibration that is known.
///
/// # Errors
/// [`FitError`].
pub fn fit_calibrated(
    lesson: Lesson<'_>,
    out_of_scope: &LabelledSet,
    calibration: Calibration,
    progress: &dyn Progress,
) -> Result<Fitted, FitError> {
    if lesson.examples.texts.is_empty() {
        return Err(FitError::NoExamples);
    }
    progress.start_items("training", 1);
    let mut model = Model::fit(lesson)?;
    model.learn_scope(out_of_scope)?;
    progress.finish();
    Ok(model.finish(calibration))
}

/// An earlier classifier and the examples that it was fitted on.
pub struct Earlier<'a> {
    /// The classifier.
    pub classifier: &'a Classifier,
    /// Its examples; their labels are the numbers that their intents have now.
    pub examples: &'a LabelledSet,
    /// What its intents were called, likewise.
    pub names: &'a LabelledSet,
    /// The number there of each intent of today. None when the intents are not the same.
    pub intents: Option<&'a [u32]>,
}

/// Fits on `lesson` with the calibration of `earlier`: what nothing unseen was asked about. With the
/// same intents the heads start from the earlier ones.
///
/// # Errors
/// [`FitError`].
pub fn refit(lesson: Lesson<'_>, earlier: &Earlier<'_>) -> Result<Fitted, FitError> {
    let Lesson { intents, examples, names, tuned } = lesson;
    if examples.texts.is_empty() {
        return Err(FitError::NoExamples);
    }
    let (texts, called) = (examples.texts(), names.texts());
    let (data, named) = (examples.labelled(&texts), names.labelled(&called));
    let recipe = Recipe::of(tuned);
    let (heads, whitened) = match earlier.intents {
        Some(intents) => {
            let (texts, called) = (earlier.examples.texts(), earlier.names.texts());
            let old = earlier.examples.labelled(&texts);
            let (heads, names) = (earlier.classifier.heads(), earlier.names.labelled(&called));
            let earlier = heads::Earlier { heads, intents, data: old, names };
            heads::refit(data, named, earlier, recipe)?
        }
        None => heads::fit(data, named, intents, recipe)?,
    };
    let model = Model::new(heads, whitened, examples)?;
    Ok(model.finish(earlier.classifier.calibration().clone()))
}

/// The whitened rows of `examples` over `intents` intents, as [`fit`] makes them.
///
/// # Errors
/// [`FitError`].
pub fn whiten(examples: &LabelledSet, intents: usize) -> Result<Embeddings, FitError> {
    if examples.texts.is_empty() {
        return Err(FitError::NoExamples);
    }
    let texts = examples.texts();
    let (_, whitened) = heads::whiten(examples.labelled(&texts), intents, Recipe::of(false))?;
    Ok(Embeddings::new(examples.embeddings.dimension(), whitened))
}

/// Heads and index, before calibration.
pub(super) struct Model {
    heads: Heads,
    vectors: Arc<Embeddings>,
    index: Arc<Index>,
    labels: Vec<u32>,
}

impl Model {
    pub(super) fn fit(lesson: Lesson<'_>) -> Result<Self, FitError> {
        let Lesson { intents, examples, names, tuned } = lesson;
        let (texts, called) = (examples.texts(), names.texts());
        let (data, names) = (examples.labelled(&texts), names.labelled(&called));
        let (heads, whitened) = heads::fit(data, names, intents, Recipe::of(tuned))?;
        Self::new(heads, whitened, examples)
    }

    /// The evidence about each sentence, by a scope head that does not know it; then the scope head
    /// learns them all.
    pub(super) fn judge_out_of_scope(
        &mut self,
        out_of_scope: &LabelledSet,
    ) -> Result<Vec<Evidence>, FitError> {
        let mut judged = Vec::with_capacity(out_of_scope.texts.len());
        for fold in 0..FOLDS {
            let is_held = |at: usize| fnv1a(&out_of_scope.texts[at]) % FOLDS as u64 == fold as u64;
            let held = out_of_scope.only(is_held);
            if !held.texts.is_empty() {
                self.learn_scope(&out_of_scope.only(|at| !is_held(at)))?;
                judged.extend(self.evidence(&held));
            }
        }
        self.learn_scope(out_of_scope)?;
        Ok(judged)
    }

    pub(super) fn learn_scope(&mut self, out_of_scope: &LabelledSet) -> Result<(), FitError> {
        let (inside, outside) = (self.vectors.values(), out_of_scope.embeddings.values());
        self.heads.scope = heads::fit_scope(inside, outside, &self.heads.whitening)?;
        Ok(())
    }

    fn new(heads: Heads, whitened: Vec<f32>, examples: &LabelledSet) -> Result<Self, FitError> {
        let vectors = Arc::new(Embeddings::new(examples.embeddings.dimension(), whitened));
        let kind = IndexKind::choose(vectors.len());
        let index = Arc::new(Index::build(Arc::clone(&vectors), kind)?);
        Ok(Self { heads, vectors, index, labels: examples.labels.clone() })
    }

    pub(super) fn evidence(&self, rows: &LabelledSet) -> Vec<Evidence> {
        evidence(&self.heads, &self.index, &self.labels, rows)
    }

    fn finish(self, calibration: Calibration) -> Fitted {
        let classifier = Classifier::new(self.heads, calibration);
        Fitted { classifier, index: self.index, vectors: self.vectors, labels: self.labels }
    }
}

/// The evidence about each row; `labels` are the intents of the vectors in the index.
fn evidence(heads: &Heads, index: &Index, labels: &[u32], rows: &LabelledSet) -> Vec<Evidence> {
    let one = |at: usize| {
        let whitened = heads.whitening.apply(rows.embeddings.row(at));
        let votes: Vec<(u32, f32)> = index
            .search(&whitened, NEIGHBORS)
            .into_iter()
            .map(|near| (labels[near.id as usize], near.similarity))
            .collect();
        heads.evidence(&rows.texts[at], &whitened, &votes)
    };
    (0..rows.texts.len()).into_par_iter().map(one).collect()
}

impl LabelledSet {
    fn texts(&self) -> Vec<&str> {
        self.texts.iter().map(String::as_str).collect()
    }

    /// The set with its [`Self::texts`], to fit on.
    fn labelled<'a>(&'a self, texts: &'a [&'a str]) -> Labelled<'a> {
        Labelled { texts, embeddings: self.embeddings.values(), labels: &self.labels }
    }

    /// The rows whose number is wanted.
    pub(super) fn only(&self, wanted: impl Fn(usize) -> bool) -> Self {
        let rows: Vec<usize> = (0..self.texts.len()).filter(|&at| wanted(at)).collect();
        self.pick(&rows)
    }

    /// At most `count` rows, evenly spread.
    pub(super) fn first(&self, count: usize) -> Self {
        let every = self.texts.len().div_ceil(count.max(1)).max(1);
        self.only(|at| at % every == 0)
    }

    fn pick(&self, rows: &[usize]) -> Self {
        if rows.is_empty() {
            // Also of a set that has no embeddings and so no dimension.
            return Self::default();
        }
        let mut values = Vec::with_capacity(rows.len() * self.embeddings.dimension());
        rows.iter().for_each(|&at| values.extend_from_slice(self.embeddings.row(at)));
        Self {
            texts: rows.iter().map(|&at| self.texts[at].clone()).collect(),
            embeddings: Embeddings::new(self.embeddings.dimension(), values),
            labels: rows.iter().filter_map(|&at| self.labels.get(at).copied()).collect(),
        }
    }
}

/// The fold of each example: stratified by intent, scattered by the text's hash, so that what one
/// person wrote in a row does not stay together, and the same on every machine.
pub(super) fn folds(examples: &LabelledSet, intents: usize) -> Vec<usize> {
    let mut by_intent: Vec<Vec<(u64, usize)>> = vec![Vec::new(); intents];
    for (at, (text, &label)) in examples.texts.iter().zip(&examples.labels).enumerate() {
        by_intent[label as usize].push((fnv1a(text), at));
    }
    let mut folds = vec![0; examples.texts.len()];
    for (intent, rows) in by_intent.iter_mut().enumerate() {
        rows.sort_unstable();
        for (rank, &(_, at)) in rows.iter().enumerate() {
            folds[at] = (rank + intent) % FOLDS;
        }
    }
    folds
}

/// The round in which each intent is left out.
pub(super) fn intent_groups(intents: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..intents).collect();
    order.sort_by_key(|intent| fnv1a(&intent.to_string()));
    let mut groups = vec![0; intents];
    for (rank, intent) in order.into_iter().enumerate() {
        groups[intent] = rank % FOLDS;
    }
    groups
}

/// Fowler, Noll and Vo's 64-bit hash.
pub(super) fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
