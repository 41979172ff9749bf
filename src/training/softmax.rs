//! Multinomial logistic regression: mean cross-entropy plus `penalty / 2 · ‖W‖²`, by L-BFGS.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::lbfgs;
use crate::intent::head::LinearHead;
use crate::intent::lexical::SparseRow;

/// How hard to fit.
#[derive(Debug, Clone, Copy)]
pub(super) struct FitOptions {
    /// L2 penalty on the weights (not on the bias), per mean cross-entropy.
    pub(super) penalty: f32,
    /// At most so many L-BFGS iterations.
    pub(super) iterations: usize,
}

/// Rows to fit on.
pub(super) enum Features {
    /// `(rows, width)` row-major.
    Dense { matrix: Tensor, rows: usize, width: usize },
    /// By row for the logits, by feature for the gradient.
    Sparse { rows: Vec<SparseRow>, by_feature: Vec<Vec<(u32, f32)>> },
}

impl Features {
    /// Dense rows, row-major `(values.len() / width, width)`.
    ///
    /// # Errors
    /// When the tensor cannot be made.
    pub(super) fn dense(values: &[f32], width: usize) -> candle_core::Result<Self> {
        let rows = values.len() / width;
        let matrix = Tensor::from_slice(values, (rows, width), &Device::Cpu)?;
        Ok(Self::Dense { matrix, rows, width })
    }

    /// Sparse rows over `width` features.
    pub(super) fn sparse(rows: Vec<SparseRow>, width: usize) -> Self {
        let mut by_feature = vec![Vec::new(); width];
        for (number, row) in rows.iter().enumerate() {
            for &(feature, weight) in row {
                by_feature[feature as usize].push((number as u32, weight));
            }
        }
        Self::Sparse { rows, by_feature }
    }

    fn rows(&self) -> usize {
        match self {
            Features::Dense { rows, .. } => *rows,
            Features::Sparse { rows, .. } => rows.len(),
        }
    }

    fn width(&self) -> usize {
        match self {
            Features::Dense { width, .. } => *width,
            Features::Sparse { by_feature, .. } => by_feature.len(),
        }
    }

    /// Logits `(rows, classes)` for weights `(width, classes)` and a bias `(classes)`.
    fn logits(&self, weights: &[f32], bias: &[f32]) -> candle_core::Result<Vec<f32>> {
        let classes = bias.len();
        match self {
            Features::Dense { matrix, width, .. } => {
                let weights = Tensor::from_slice(weights, (*width, classes), &Device::Cpu)?;
                let mut logits: Vec<f32> = matrix.matmul(&weights)?.flatten_all()?.to_vec1()?;
                for row in logits.chunks_exact_mut(classes) {
                    row.iter_mut().zip(bias).for_each(|(logit, bias)| *logit += bias);
                }
                Ok(logits)
            }
            Features::Sparse { rows, .. } => {
                let mut logits = vec![0.0; rows.len() * classes];
                logits.par_chunks_exact_mut(classes).zip(rows).for_each(|(logits, row)| {
                    logits.copy_from_slice(bias);
                    for &(feature, value) in row {
                        add_scaled(logits, value, row_of(weights, feature, classes));
                    }
                });
                Ok(logits)
            }
        }
    }

    /// Adds `Xᵀ · residuals` to `gradient`, `(width, classes)`.
    fn add_gradient(
        &self,
        residuals: Vec<f32>,
        classes: usize,
        gradient: &mut [f32],
    ) -> candle_core::Result<()> {
        match self {
            Features::Dense { matrix, rows, .. } => {
                let residuals = Tensor::from_vec(residuals, (*rows, classes), &Device::Cpu)?;
                let product: Vec<f32> = matrix.t()?.matmul(&residuals)?.flatten_all()?.to_vec1()?;
                add_scaled(gradient, 1.0, &product);
            }
            Features::Sparse { by_feature, .. } => {
                gradient.par_chunks_exact_mut(classes).zip(by_feature).for_each(|(sum, uses)| {
                    for &(row, value) in uses {
                        add_scaled(sum, value, row_of(&residuals, row, classes));
                    }
                });
            }
        }
        Ok(())
    }
}

/// Fits a head on `labels` below `classes`; `shares` are the rows' shares of the loss (they sum
/// to 1), none for equal shares.
///
/// # Errors
/// When a matrix product fails (out of memory).
pub(super) fn fit(
    features: &Features,
    labels: &[u32],
    classes: usize,
    shares: Option<&[f32]>,
    options: FitOptions,
) -> candle_core::Result<LinearHead> {
    let objective = Objective { features, labels, classes, shares, penalty: options.penalty };
    let limits = lbfgs::Options {
        iterations: options.iterations,
        gradient_tolerance: 1e-5,
        value_tolerance: 1e-9,
    };
    minimize(&objective, vec![0.0; objective.parameters()], &[], limits)
}

/// Fits a head from where an earlier fit ended: `start` are its weights and bias, and `before` the
/// rows that it was fitted on, in today's features and classes.
///
/// An earlier fit that was cut short lies beside its optimum. What is minimised is therefore the
/// loss on the new rows less its slope on the rows before, so that the start is the optimum for
/// the rows before: equal rows give equal weights, and other rows move them by what they say.
///
/// # Errors
/// When a matrix product fails (out of memory).
pub(super) fn refit(
    features: &Features,
    labels: &[u32],
    start: LinearHead,
    before: (&Features, &[u32]),
    options: FitOptions,
) -> candle_core::Result<LinearHead> {
    let classes = start.classes();
    let FitOptions { penalty, iterations } = options;
    let start = start.into_parameters();
    let old = Objective { features: before.0, labels: before.1, classes, shares: None, penalty };
    let mut slope = vec![0.0; start.len()];
    old.evaluate(&start, &mut slope)?;
    let objective = Objective { features, labels, classes, shares: None, penalty };
    // One row among thousands has a small slope: it decides how small is small enough.
    let limits = lbfgs::Options { iterations, gradient_tolerance: 1e-7, value_tolerance: 1e-9 };
    minimize(&objective, start, &slope, limits)
}

/// What is minimised.
struct Objective<'a> {
    features: &'a Features,
    labels: &'a [u32],
    classes: usize,
    shares: Option<&'a [f32]>,
    penalty: f32,
}

impl Objective<'_> {
    /// Number of parameters: weights `(width, classes)`, then a bias.
    fn parameters(&self) -> usize {
        (self.features.width() + 1) * self.classes
    }

    /// The value at `parameters`; writes the gradient.
    fn evaluate(&self, parameters: &[f32], gradient: &mut [f32]) -> candle_core::Result<f64> {
        let split = self.features.width() * self.classes;
        let equal = 1.0 / self.features.rows() as f32;
        let (weights, bias) = parameters.split_at(split);
        let (weight_gradient, bias_gradient) = gradient.split_at_mut(split);
        let mut residuals = self.features.logits(weights, bias)?;
        let loss = softmax_residuals(&mut residuals, self.labels, self.classes, |row| {
            self.shares.map_or(equal, |shares| shares[row])
        });
        bias_gradient.fill(0.0);
        residuals.chunks_exact(self.classes).for_each(|row| add_scaled(bias_gradient, 1.0, row));
        for (slot, weight) in weight_gradient.iter_mut().zip(weights) {
            *slot = self.penalty * weight;
        }
        self.features.add_gradient(residuals, self.classes, weight_gradient)?;
        let squares: f64 = weights
            .chunks(4096)
            .map(|part| f64::from(part.iter().map(|w| w * w).sum::<f32>()))
            .sum();
        Ok(loss + 0.5 * f64::from(self.penalty) * squares)
    }
}

/// Minimises the objective less `⟨slope, parameters⟩`; an empty slope is none.
fn minimize(
    objective: &Objective<'_>,
    start: Vec<f32>,
    slope: &[f32],
    limits: lbfgs::Options,
) -> candle_core::Result<LinearHead> {
    let mut failure = None;
    let found = lbfgs::minimize(start, limits, |parameters, gradient| {
        let value = objective.evaluate(parameters, gradient).unwrap_or_else(|error| {
            failure.get_or_insert(error);
            f64::NAN
        });
        gradient.iter_mut().zip(slope).for_each(|(slot, slope)| *slot -= slope);
        value - dot(slope, parameters)
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(LinearHead::from_parameters(found, objective.classes)),
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let blocks = a.chunks(1024).zip(b.chunks(1024));
    blocks.map(|(a, b)| f64::from(crate::intent::whitening::dot(a, b))).sum()
}

/// Turns logits into shared-out residuals `share · (softmax − onehot)`; returns the loss.
fn softmax_residuals(
    logits: &mut [f32],
    labels: &[u32],
    classes: usize,
    share: impl Fn(usize) -> f32 + Sync,
) -> f64 {
    logits
        .par_chunks_exact_mut(classes)
        .zip(labels)
        .enumerate()
        .map(|(number, (row, &label))| {
            let share = share(number);
            let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let right = row[label as usize] - most;
            let mut total = 0.0;
            for logit in row.iter_mut() {
                *logit = (*logit - most).exp();
                total += *logit;
            }
            row.iter_mut().for_each(|value| *value *= share / total);
            row[label as usize] -= share;
            f64::from(share) * f64::from(total.ln() - right)
        })
        .sum()
}

fn row_of(matrix: &[f32], row: u32, width: usize) -> &[f32] {
    &matrix[row as usize * width..][..width]
}

fn add_scaled(target: &mut [f32], scale: f32, source: &[f32]) {
    for (t, s) in target.iter_mut().zip(source) {
        *t += scale * s;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: FitOptions = FitOptions { penalty: 1e-4, iterations: 100 };

    #[test]
    fn separates_three_corners_densely_and_sparsely() {
        let points = [[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9], [-0.7, -0.7], [-0.8, -0.6]];
        let labels = [0, 0, 1, 1, 2, 2];
        let dense = Features::dense(points.as_flattened(), 2).unwrap();
        let rows = points.map(|[x, y]| vec![(0, x), (1, y)]).to_vec();
        let sparse = Features::sparse(rows, 2);
        let one = fit(&dense, &labels, 3, None, OPTIONS).unwrap();
        let other = fit(&sparse, &labels, 3, None, OPTIONS).unwrap();
        for (point, label) in points.iter().zip(labels) {
            let logits = one.dense_logits(point);
            let top = (0..3).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
            assert_eq!(top as u32, label);
            let same = other.sparse_logits(&[(0, point[0]), (1, point[1])]);
            for (a, b) in logits.iter().zip(same) {
                assert!((a - b).abs() < 0.05, "{a} {b}");
            }
        }
    }

    fn cloud(count: usize) -> (Vec<f32>, Vec<u32>) {
        let label = |at: usize| (at % 3) as u32;
        let value = |at: usize, axis: usize| {
            let centre = if axis == at % 3 { 1.0 } else { 0.0 };
            centre + 0.4 * ((at * 7 + axis * 13) % 11) as f32 / 11.0
        };
        let values = (0..count).flat_map(|at| (0..3).map(move |axis| value(at, axis))).collect();
        (values, (0..count).map(label).collect())
    }

    #[test]
    fn a_refit_on_the_same_rows_moves_nothing_and_on_other_rows_ends_where_a_fit_does() {
        let (values, labels) = cloud(60);
        let options = FitOptions { penalty: 1e-2, iterations: 200 };
        let old = Features::dense(&values[..3 * 59], 3).unwrap();
        let new = Features::dense(&values, 3).unwrap();
        let short = FitOptions { iterations: 3, ..options };
        let cut_short = fit(&old, &labels[..59], 3, None, short).unwrap();
        let same = refit(&old, &labels[..59], cut_short.clone(), (&old, &labels[..59]), options);
        assert_eq!(same.unwrap(), cut_short);

        let before = fit(&old, &labels[..59], 3, None, options).unwrap();
        let warm = refit(&new, &labels, before.clone(), (&old, &labels[..59]), options).unwrap();
        let cold = fit(&new, &labels, 3, None, options).unwrap();
        assert_ne!(warm, before);
        for row in values.chunks_exact(3) {
            for (a, b) in warm.dense_logits(row).iter().zip(cold.dense_logits(row)) {
                assert!((a - b).abs() < 0.02, "{a} {b}");
            }
        }
    }

    /// At the optimum of an unpenalised bias, mean predicted probability equals the class's share.
    #[test]
    fn the_bias_learns_the_prior() {
        let features = Features::sparse(vec![vec![]; 4], 1);
        let head = fit(&features, &[0, 0, 0, 1], 2, None, OPTIONS).unwrap();
        let logits = head.sparse_logits(&[]);
        let odds = (logits[0] - logits[1]).exp();
        assert!((odds - 3.0).abs() < 0.01, "{odds}");
    }
}
