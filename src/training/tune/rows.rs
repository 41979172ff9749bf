//! The arithmetic between the matrix products of training, forward and backward, row by row.
//!
//! Each pair is tested against finite differences here, and the whole model against candle's
//! automatic differentiation in `composed.rs`. All functions run on the caller's thread.

use super::dropout::{Dropout, key};
use super::layout::Affine;
use crate::encoder::rowwise::{erf, exp_of_negative};
use crate::kernels::widest;

/// Lanes of the sums: one AVX-512 register, and enough independent additions for narrower ones.
const LANES: usize = 16;

/// Dropout of the rows of a batch at one place of the model.
#[derive(Clone, Copy)]
pub(super) struct Masks<'a> {
    /// How much is dropped.
    pub(super) dropout: Dropout,
    /// The key of each token.
    pub(super) tokens: &'a [u32],
    /// The place in the model.
    pub(super) site: u32,
}

impl Masks<'_> {
    /// The factors of a whole row.
    #[inline]
    fn fill(&self, token: usize, factors: &mut [f32]) {
        self.fill_from(token, 0, factors);
    }

    /// The factors of the part of a row that begins at `first`.
    #[inline]
    pub(super) fn fill_from(&self, token: usize, first: usize, factors: &mut [f32]) {
        self.dropout.fill(key(self.tokens[token], self.site), first, factors);
    }

    /// Multiplies each row in place.
    pub(super) fn apply(&self, rows: &mut [f32], width: usize) {
        let mut factors = vec![0.0; width];
        widest(|| {
            for (token, row) in rows.chunks_exact_mut(width).enumerate() {
                self.fill(token, &mut factors);
                row.iter_mut().zip(&factors).for_each(|(value, factor)| *value *= factor);
            }
        });
    }
}

/// What a layer norm keeps for its way back.
#[derive(Debug, Default)]
pub(super) struct NormTape {
    /// The normalised rows, before scale and shift.
    normalized: Vec<f32>,
    /// One over the standard deviation of each row.
    scales: Vec<f32>,
}

/// What comes together in front of a layer norm.
pub(super) struct AddNorm<'a> {
    /// Bias of the product that came before.
    pub(super) bias: &'a [f32],
    /// Dropout of that product.
    pub(super) masks: Masks<'a>,
    /// What flows around the product.
    pub(super) residual: &'a [f32],
    /// Scale and shift of the norm.
    pub(super) norm: &'a Affine<&'a [f32]>,
    /// Added to the variance.
    pub(super) epsilon: f32,
}

impl AddNorm<'_> {
    /// `out = layer_norm(dropout(product + bias) + residual)` for each row; `product` is used up.
    pub(super) fn forward(&self, product: &mut [f32], tape: &mut NormTape, out: &mut [f32]) {
        let width = self.bias.len();
        tape.normalized.resize(product.len(), 0.0);
        tape.scales.resize(product.len() / width, 0.0);
        let mut factors = vec![0.0; width];
        widest(|| {
            let rows = product.chunks_exact_mut(width).zip(self.residual.chunks_exact(width));
            let kept = tape.normalized.chunks_exact_mut(width).zip(&mut tape.scales);
            let all = rows.zip(kept).zip(out.chunks_exact_mut(width)).enumerate();
            for (token, (((row, residual), (normalized, scale)), out)) in all {
                self.masks.fill(token, &mut factors);
                let around = residual.iter().zip(&factors);
                for ((value, bias), (residual, factor)) in row.iter_mut().zip(self.bias).zip(around)
                {
                    *value = (*value + bias) * factor + residual;
                }
                let mean = sum(row) / width as f32;
                row.iter_mut().for_each(|value| *value -= mean);
                *scale = 1.0 / (dot(row, row) / width as f32 + self.epsilon).sqrt();
                let shape = self.norm.weight.iter().zip(self.norm.bias);
                let values = row.iter().zip(normalized).zip(out);
                for (((value, normalized), out), (weight, bias)) in values.zip(shape) {
                    *normalized = value * *scale;
                    *out = *normalized * weight + bias;
                }
            }
        });
    }

    /// The way back: `d` is the gradient of `out` and becomes that of the residual; `product` gets
    /// that of the product. Adds to the gradients of the bias and of the norm.
    pub(super) fn backward(
        &self,
        tape: &NormTape,
        d: &mut [f32],
        product: &mut [f32],
        d_bias: &mut [f32],
        d_norm: &mut Affine<&mut [f32]>,
    ) {
        let width = self.bias.len();
        let mut factors = vec![0.0; width];
        widest(|| {
            let kept = tape.normalized.chunks_exact(width).zip(&tape.scales);
            let rows = d.chunks_exact_mut(width).zip(product.chunks_exact_mut(width));
            for (token, ((d, product), (normalized, scale))) in rows.zip(kept).enumerate() {
                self.masks.fill(token, &mut factors);
                let sums = d_norm.weight.iter_mut().zip(d_norm.bias.iter_mut());
                let values = d.iter_mut().zip(normalized).zip(self.norm.weight);
                for (((d, normalized), weight), (d_weight, d_shift)) in values.zip(sums) {
                    *d_weight += *d * normalized;
                    *d_shift += *d;
                    *d *= weight;
                }
                let mean = sum(d) / width as f32;
                let slope = dot(d, normalized) / width as f32;
                let around = factors.iter().zip(normalized).zip(d_bias.iter_mut());
                let values = d.iter_mut().zip(product.iter_mut());
                for ((d, product), ((factor, normalized), d_bias)) in values.zip(around) {
                    *d = (*d - mean - normalized * slope) * scale;
                    *product = *d * factor;
                    *d_bias += *product;
                }
            }
        });
    }
}

/// `inner += bias; out = gelu(inner)` for each row; GELU by the error function
/// (<https://arxiv.org/abs/1606.08415>).
pub(super) fn gelu_forward(inner: &mut [f32], bias: &[f32], out: &mut [f32]) {
    widest(|| {
        let rows = inner.chunks_exact_mut(bias.len()).zip(out.chunks_exact_mut(bias.len()));
        for (row, out) in rows {
            for ((value, bias), out) in row.iter_mut().zip(bias).zip(out) {
                *value += bias;
                *out = *value * normal_share(*value);
            }
        }
    });
}

/// The way back: `d` becomes the gradient of `inner`; adds to that of the bias.
pub(super) fn gelu_backward(inner: &[f32], d: &mut [f32], d_bias: &mut [f32]) {
    /// One over the root of two pi.
    const DENSITY: f32 = 0.398_942_3;
    let width = d_bias.len();
    widest(|| {
        for (row, d) in inner.chunks_exact(width).zip(d.chunks_exact_mut(width)) {
            for ((value, d), d_bias) in row.iter().zip(d).zip(d_bias.iter_mut()) {
                let density = DENSITY * exp_of_negative(-0.5 * value * value);
                *d *= normal_share(*value) + value * density;
                *d_bias += *d;
            }
        }
    });
}

/// The share of the normal distribution below `x`.
#[inline]
fn normal_share(x: f32) -> f32 {
    0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// Adds `bias` to each row.
pub(super) fn add_bias(rows: &mut [f32], bias: &[f32]) {
    widest(|| {
        for row in rows.chunks_exact_mut(bias.len()) {
            row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
        }
    });
}

/// Adds the sum of the rows to `sums`.
pub(super) fn add_rows(rows: &[f32], sums: &mut [f32]) {
    widest(|| {
        for row in rows.chunks_exact(sums.len()) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
    });
}

/// The sum of the values, in lanes, so that it becomes vector code.
#[inline]
pub(super) fn sum(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0_f32; LANES];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, value)| *lane += value);
    }
    lanes.iter().sum::<f32>() + rest.iter().sum::<f32>()
}

/// The dot product, in lanes.
#[inline]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [0.0_f32; LANES];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (a, b))| *lane += a * b);
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::tune::random::Random;

    const WIDTH: usize = 19;

    /// Compares `analytic` with the differences of `value` around `at`.
    fn check(name: &str, at: &[f32], analytic: &[f32], mut value: impl FnMut(&[f32]) -> f64) {
        for place in 0..at.len() {
            let mut moved = at.to_vec();
            moved[place] = at[place] + 1e-2;
            let above = value(&moved);
            moved[place] = at[place] - 1e-2;
            let slope = (above - value(&moved)) / 2e-2;
            let found = f64::from(analytic[place]);
            assert!(
                (found - slope).abs() < 2e-3 + 0.01 * slope.abs(),
                "{name} {place}: {found} {slope}"
            );
        }
    }

    /// A fixed weighing of the outputs, whose gradient is the weights.
    fn weigh(out: &[f32], weights: &[f32]) -> f64 {
        out.iter().zip(weights).map(|(a, b)| f64::from(a * b)).sum()
    }

    #[test]
    fn gelu_follows_finite_differences() {
        let mut random = Random::new(1);
        let (bias, inner) = (random.values(WIDTH, 1.0), random.values(3 * WIDTH, 2.0));
        let weights = random.values(3 * WIDTH, 1.0);
        let forward = |inner: &[f32], bias: &[f32]| {
            let (mut inner, mut out) = (inner.to_vec(), vec![0.0; inner.len()]);
            gelu_forward(&mut inner, bias, &mut out);
            (inner, out)
        };
        let mut d = weights.clone();
        let mut d_bias = vec![0.0; WIDTH];
        gelu_backward(&forward(&inner, &bias).0, &mut d, &mut d_bias);
        check("inner", &inner, &d, |inner| weigh(&forward(inner, &bias).1, &weights));
        check("bias", &bias, &d_bias, |bias| weigh(&forward(&inner, bias).1, &weights));
    }

    #[test]
    fn the_norm_with_dropout_follows_finite_differences() {
        let mut random = Random::new(2);
        let [product, residual, weights] = [0; 3].map(|_| random.values(3 * WIDTH, 1.0));
        let [bias, scale, shift] = [0; 3].map(|_| random.values(WIDTH, 1.0));
        let tokens = [5, 6, 7];
        let masks = Masks { dropout: Dropout::new(0.2), tokens: &tokens, site: 1 };
        let run = |product: &[f32], residual: &[f32], vectors: [&[f32]; 3]| {
            let [bias, scale, shift] = vectors;
            let norm = Affine { weight: scale, bias: shift };
            let step = AddNorm { bias, masks, residual, norm: &norm, epsilon: 1e-5 };
            let (mut tape, mut out) = (NormTape::default(), vec![0.0; product.len()]);
            step.forward(&mut product.to_vec(), &mut tape, &mut out);
            let (mut d, mut d_product) = (weights.clone(), vec![0.0; out.len()]);
            let mut sums = [vec![0.0; WIDTH], vec![0.0; WIDTH], vec![0.0; WIDTH]];
            let [d_bias, d_weight, d_shift] = &mut sums;
            let mut d_norm = Affine { weight: &mut d_weight[..], bias: &mut d_shift[..] };
            step.backward(&tape, &mut d, &mut d_product, d_bias, &mut d_norm);
            (weigh(&out, &weights), d, d_product, sums)
        };
        let vectors = [&bias[..], &scale[..], &shift[..]];
        let (_, d, d_product, sums) = run(&product, &residual, vectors);
        check("product", &product, &d_product, |moved| run(moved, &residual, vectors).0);
        check("residual", &residual, &d, |moved| run(&product, moved, vectors).0);
        for (place, name) in ["bias", "scale", "shift"].into_iter().enumerate() {
            check(name, vectors[place], &sums[place], |moved| {
                let mut all = vectors;
                all[place] = moved;
                run(&product, &residual, all).0
            });
        }
    }
}
