//! Fits what tier 2 learns from the examples: the whitening and the two heads.

use candle_core::{Device, Tensor};

use super::softmax::{self, Features, FitOptions};
use crate::intent::evidence::{Heads, Negatives};
use crate::intent::head::LinearHead;
use crate::intent::lexical::Vocabulary;
use crate::intent::whitening::{Whitening, normalize_length};

/// How the heads are fitted; chosen on validation splits, few-shot and full.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe {
    /// Share of the spherical covariance in the shrunk within-class covariance (Ledoit and Wolf's
    /// idea with a fixed share: an encoder's within-class directions are much the same everywhere).
    shrinkage: f64,
    /// Of the dense head.
    head: FitOptions,
}

impl Recipe {
    /// For an encoder as it came, or for one that was `tuned` on the examples. Tuning pulls the
    /// examples of an intent together: how they still differ says nothing of other sentences, so
    /// nothing is whitened, and the dense head is held more tightly.
    pub(crate) fn of(tuned: bool) -> Self {
        let (shrinkage, penalty) = if tuned { (1.0, 3e-5) } else { (0.7, 3e-6) };
        Self { shrinkage, head: FitOptions { penalty, iterations: 60 } }
    }
}

/// The lexical head.
const LEXICAL: FitOptions = FitOptions { penalty: 3e-6, iterations: 60 };
/// Iterations of a refit: it starts beside its end, the nearer the less a few rows weigh among all.
const REFIT_ITERATIONS: usize = 20;
/// ... with many examples, where each iteration takes a tenth of a second.
const REFIT_ITERATIONS_MANY: usize = 8;
/// The scope head: few rows on one side, so held more tightly.
const SCOPE: FitOptions = FitOptions { penalty: 1e-3, iterations: 60 };
/// With fewer out-of-scope sentences, what they have in common is chance.
const MIN_OUT_OF_SCOPE: usize = 20;
/// So many examples show well enough what they have in common.
const ENOUGH_EXAMPLES: usize = 4_000;
/// From this many examples on, a lexical feature must occur twice.
const MANY_EXAMPLES: usize = 2_000;

/// Labelled sentences, ready to fit on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Labelled<'a> {
    /// Normalised texts.
    pub(crate) texts: &'a [&'a str],
    /// Unit-norm embeddings, row-major `(texts, dimension)`.
    pub(crate) embeddings: &'a [f32],
    /// Intent of each text.
    pub(crate) labels: &'a [u32],
}

impl Labelled<'_> {
    pub(crate) fn dimension(&self) -> usize {
        self.embeddings.len() / self.texts.len().max(1)
    }
}

/// Fits the heads, without negative examples and with a scope head that has no opinion; also
/// returns the whitened embeddings, row-major `(texts, dimension)`.
///
/// `names` are what the intents are called. They teach the heads like an example each, which counts
/// where there are few, and nothing else: they are no sentences, so they neither whiten nor vote.
///
/// # Errors
/// When a matrix product fails (out of memory).
pub(crate) fn fit(
    data: Labelled<'_>,
    names: Labelled<'_>,
    intents: usize,
    recipe: Recipe,
) -> candle_core::Result<(Heads, Vec<f32>)> {
    let (whitening, whitened) = whiten(data, intents, recipe)?;
    let rows = Taught::new(data, names, &whitening, &whitened)?;
    let features = Features::dense(&rows.whitened, data.dimension())?;
    let dense = softmax::fit(&features, &rows.labels, intents, None, recipe.head)?;
    let vocabulary = vocabulary(data, names);
    let features = lexical_features(&vocabulary, data, names);
    let lexical = softmax::fit(&features, &rows.labels, intents, None, LEXICAL)?;
    let (class_means, _) = class_means(&rows.whitened, &rows.labels, intents);
    let (negatives, scope) = (Negatives::default(), no_scope(data.dimension()));
    let heads = Heads { whitening, class_means, negatives, dense, vocabulary, lexical, scope };
    Ok((heads, whitened))
}

/// The rows of examples and names together.
struct Taught {
    whitened: Vec<f32>,
    labels: Vec<u32>,
}

impl Taught {
    fn new(
        data: Labelled<'_>,
        names: Labelled<'_>,
        whitening: &Whitening,
        whitened: &[f32],
    ) -> candle_core::Result<Self> {
        let named = whiten_rows(names.embeddings, whitening.mean(), whitening.inverse())?;
        let whitened = [whitened, &named].concat();
        Ok(Self { whitened, labels: [data.labels, names.labels].concat() })
    }
}

/// A scope head that says nothing.
fn no_scope(dimension: usize) -> LinearHead {
    LinearHead::from_parameters(vec![0.0; dimension + 1], 1)
}

/// Fits the scope head: balanced logistic regression of the whitened examples against whitened
/// `out_of_scope` sentences. Of too few of these nothing can be learnt: the head then says nothing.
///
/// # Errors
/// When a matrix product fails (out of memory).
pub(super) fn fit_scope(
    whitened: &[f32],
    out_of_scope: &[f32],
    whitening: &Whitening,
) -> candle_core::Result<LinearHead> {
    let dimension = whitening.dimension();
    let every = (whitened.len() / dimension).div_ceil(ENOUGH_EXAMPLES).max(1);
    let some: Vec<f32> = whitened.chunks(dimension).step_by(every).flatten().copied().collect();
    let whitened = &some[..];
    let (inside, outside) = (whitened.len() / dimension, out_of_scope.len() / dimension);
    if outside < MIN_OUT_OF_SCOPE {
        return Ok(no_scope(dimension));
    }
    let outer = whiten_rows(out_of_scope, whitening.mean(), whitening.inverse())?;
    let features = Features::dense(&[whitened, &outer].concat(), dimension)?;
    let labels: Vec<u32> = (0..inside + outside).map(|at| u32::from(at < inside)).collect();
    let share = |at| 0.5 / if at < inside { inside } else { outside } as f32;
    let shares: Vec<f32> = (0..inside + outside).map(share).collect();
    let head = softmax::fit(&features, &labels, 2, Some(&shares), SCOPE)?;
    let mut parameters: Vec<f32> =
        head.weights().as_chunks::<2>().0.iter().map(|[out, within]| within - out).collect();
    parameters.push(head.bias()[1] - head.bias()[0]);
    Ok(LinearHead::from_parameters(parameters, 1))
}

/// What heads were fitted before, and on what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Earlier<'a> {
    /// The heads.
    pub(crate) heads: &'a Heads,
    /// The number there of each intent of today; the same intents, perhaps in another order.
    pub(crate) intents: &'a [u32],
    /// The examples of then; their labels are today's numbers.
    pub(crate) data: Labelled<'a>,
    /// The names of then, likewise.
    pub(crate) names: Labelled<'a>,
}

/// Fits the heads as [`fit`] does, from where `earlier` ended: for data that differ in a few rows
/// it takes a part of the time. The scope head stays as it is.
///
/// # Errors
/// As [`fit`].
pub(crate) fn refit(
    data: Labelled<'_>,
    names: Labelled<'_>,
    earlier: Earlier<'_>,
    recipe: Recipe,
) -> candle_core::Result<(Heads, Vec<f32>)> {
    let Earlier { heads, intents, data: old, names: old_names } = earlier;
    let (whitening, whitened) = whiten(data, intents.len(), recipe)?;
    let rows = Taught::new(data, names, &whitening, &whitened)?;
    let many = data.texts.len() > MANY_EXAMPLES;
    let iterations = if many { REFIT_ITERATIONS_MANY } else { REFIT_ITERATIONS };
    let short = |options| FitOptions { iterations, ..options };

    let features = Features::dense(&rows.whitened, data.dimension())?;
    let old_whitened = whiten_rows(old.embeddings, whitening.mean(), whitening.inverse())?;
    let old_rows = Taught::new(old, old_names, &whitening, &old_whitened)?;
    let old_features = Features::dense(&old_rows.whitened, data.dimension())?;
    let same: Vec<Option<u32>> = (0..data.dimension() as u32).map(Some).collect();
    let start = heads.dense.rearranged(&same, intents);
    let dense = softmax::refit(
        &features,
        &rows.labels,
        start,
        (&old_features, &old_rows.labels),
        short(recipe.head),
    )?;

    let vocabulary = vocabulary(data, names);
    let features = lexical_features(&vocabulary, data, names);
    let old_features = lexical_features(&vocabulary, old, old_names);
    let start = heads.lexical.rearranged(&vocabulary.numbers_in(&heads.vocabulary), intents);
    let lexical = softmax::refit(
        &features,
        &rows.labels,
        start,
        (&old_features, &old_rows.labels),
        short(LEXICAL),
    )?;

    let (class_means, _) = class_means(&rows.whitened, &rows.labels, intents.len());
    let (negatives, scope) = (Negatives::default(), heads.scope.clone());
    let heads = Heads { whitening, class_means, negatives, dense, vocabulary, lexical, scope };
    Ok((heads, whitened))
}

fn vocabulary(data: Labelled<'_>, names: Labelled<'_>) -> Vocabulary {
    let min_documents = if data.texts.len() > MANY_EXAMPLES { 2 } else { 1 };
    Vocabulary::fit(data.texts.iter().chain(names.texts).copied(), min_documents)
}

fn lexical_features(vocabulary: &Vocabulary, data: Labelled<'_>, names: Labelled<'_>) -> Features {
    let texts = data.texts.iter().chain(names.texts);
    let rows = texts.map(|text| vocabulary.vectorize(text)).collect();
    Features::sparse(rows, vocabulary.len())
}

/// The whitening of the within-class covariance, and the whitened rows.
///
/// # Errors
/// When a matrix product fails (out of memory).
pub(super) fn whiten(
    data: Labelled<'_>,
    intents: usize,
    recipe: Recipe,
) -> candle_core::Result<(Whitening, Vec<f32>)> {
    let (rows, dimension) = (data.texts.len(), data.dimension());
    let (class_means, counts) = class_means(data.embeddings, data.labels, intents);
    let mut mean = vec![0.0f32; dimension];
    for row in data.embeddings.chunks_exact(dimension) {
        mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += value / rows as f32);
    }
    let classes = counts.iter().filter(|count| **count > 0.0).count();
    let mut deviations = data.embeddings.to_vec();
    for (row, &label) in deviations.chunks_exact_mut(dimension).zip(data.labels) {
        let class_mean = &class_means[label as usize * dimension..][..dimension];
        row.iter_mut().zip(class_mean).for_each(|(value, mean)| *value -= mean);
    }
    let deviations = Tensor::from_vec(deviations, (rows, dimension), &Device::Cpu)?;
    let scatter: Vec<f32> = deviations.t()?.matmul(&deviations)?.flatten_all()?.to_vec1()?;
    let covariance =
        shrink(&scatter, dimension, rows.saturating_sub(classes).max(1), recipe.shrinkage);
    let inverse = inverse_cholesky(covariance, dimension);

    let whitened = whiten_rows(data.embeddings, &mean, &inverse)?;
    let whitening = Whitening::new(mean, inverse)
        .ok_or_else(|| candle_core::Error::Msg("the embeddings are not finite".to_owned()))?;
    Ok((whitening, whitened))
}

/// Rows at once: unit((x − mean) · L⁻ᵀ).
fn whiten_rows(embeddings: &[f32], mean: &[f32], inverse: &[f32]) -> candle_core::Result<Vec<f32>> {
    let dimension = mean.len();
    let matrix = Tensor::from_slice(inverse, (dimension, dimension), &Device::Cpu)?;
    let mut centred = embeddings.to_vec();
    for row in centred.chunks_exact_mut(dimension) {
        row.iter_mut().zip(mean).for_each(|(value, mean)| *value -= mean);
    }
    let rows = centred.len() / dimension;
    let centred = Tensor::from_vec(centred, (rows, dimension), &Device::Cpu)?;
    let mut whitened: Vec<f32> = centred.matmul(&matrix.t()?)?.flatten_all()?.to_vec1()?;
    whitened.chunks_exact_mut(dimension).for_each(normalize_length);
    Ok(whitened)
}

/// Mean of each intent's rows, row-major `(intents, dimension)`, and their number. An intent
/// without rows has a zero mean.
fn class_means(values: &[f32], labels: &[u32], intents: usize) -> (Vec<f32>, Vec<f32>) {
    let dimension = values.len() / labels.len();
    let mut counts = vec![0.0f32; intents];
    let mut means = vec![0.0f32; intents * dimension];
    for (row, &label) in values.chunks_exact(dimension).zip(labels) {
        counts[label as usize] += 1.0;
        let mean = &mut means[label as usize * dimension..][..dimension];
        mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += value);
    }
    for (mean, count) in means.chunks_exact_mut(dimension).zip(&counts) {
        mean.iter_mut().for_each(|value| *value /= count.max(1.0));
    }
    (means, counts)
}

/// `(1 − s) · scatter / freedom + s · mean variance · I`, the identity for constant data.
fn shrink(scatter: &[f32], dimension: usize, freedom: usize, share: f64) -> Vec<f64> {
    let mut covariance: Vec<f64> =
        scatter.iter().map(|value| f64::from(*value) / freedom as f64).collect();
    let trace: f64 = (0..dimension).map(|i| covariance[i * dimension + i]).sum();
    let variance = trace / dimension as f64;
    let sphere = if variance > 1e-12 { share * variance } else { 1.0 };
    for (at, value) in covariance.iter_mut().enumerate() {
        *value *= 1.0 - share;
        if at % (dimension + 1) == 0 {
            *value += sphere;
        }
    }
    covariance
}

/// `L⁻¹` for `matrix = L Lᵀ` (Cholesky), lower triangular, row-major.
fn inverse_cholesky(mut matrix: Vec<f64>, n: usize) -> Vec<f32> {
    for column in 0..n {
        for row in column..n {
            let above: f64 =
                (0..column).map(|k| matrix[row * n + k] * matrix[column * n + k]).sum();
            let value = matrix[row * n + column] - above;
            matrix[row * n + column] = if row == column {
                value.max(1e-12).sqrt()
            } else {
                value / matrix[column * n + column]
            };
        }
    }
    let mut inverse = vec![0.0f64; n * n];
    for column in 0..n {
        inverse[column * n + column] = 1.0 / matrix[column * n + column];
        for row in column + 1..n {
            let sum: f64 =
                (column..row).map(|k| matrix[row * n + k] * inverse[k * n + column]).sum();
            inverse[row * n + column] = -sum / matrix[row * n + row];
        }
    }
    inverse.into_iter().map(|value| value as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_factor_whitens() {
        let matrix = vec![4.0, 2.0, 0.6, 2.0, 5.0, 1.0, 0.6, 1.0, 3.0];
        let inverse = inverse_cholesky(matrix.clone(), 3);
        // L⁻¹ M L⁻ᵀ is the identity.
        let at = |m: &[f64], r: usize, c: usize| m[r * 3 + c];
        for r in 0..3 {
            for c in 0..3 {
                let mut sum = 0.0;
                for i in 0..3 {
                    for j in 0..3 {
                        let (a, b) = (f64::from(inverse[r * 3 + i]), f64::from(inverse[c * 3 + j]));
                        sum += a * at(&matrix, i, j) * b;
                    }
                }
                assert!((sum - f64::from(u8::from(r == c))).abs() < 1e-5, "{r} {c}: {sum}");
            }
        }
    }

    #[test]
    fn batch_and_single_whitening_agree_and_one_example_is_enough() {
        for (rows, labels) in [
            (vec![1.0f32, 0.0, 0.0, 0.6, 0.8, 0.0, 0.0, 0.6, 0.8, 0.0, 0.0, 1.0], vec![0, 0, 1, 1]),
            (vec![0.0, 0.6, 0.8], vec![0]),
        ] {
            let texts = vec!["my order"; labels.len()];
            let data = Labelled { texts: &texts, embeddings: &rows, labels: &labels };
            let names = Labelled { texts: &[], embeddings: &[], labels: &[] };
            let (heads, whitened) = fit(data, names, 2, Recipe::of(false)).unwrap();
            for (row, batch) in rows.chunks_exact(3).zip(whitened.chunks_exact(3)) {
                for (a, b) in heads.whitening.apply(row).iter().zip(batch) {
                    assert!((a - b).abs() < 1e-4);
                }
            }
        }
    }
}
