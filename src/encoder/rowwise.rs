//! The arithmetic between the matrix products, on plain slices and on the caller's thread.
//!
//! candle's own element-wise operations spread large inputs over a process-wide thread pool
//! (`candle_core::utils::barrier_pool`); an encoder call must stay on one thread, so these loops
//! are ours. They are branch-free so that the compiler turns them into vector code.

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, bail};

/// `x + bias` for each row, in place.
pub(crate) struct AddBias<'a>(pub(crate) &'a [f32]);

/// `gelu(x + bias)` for each row, in place; GELU by the error function, as BERT was trained.
pub(crate) struct AddBiasGelu<'a>(pub(crate) &'a [f32]);

/// `softmax(x * scale)` over each row of the given width, in place.
pub(crate) struct ScaledSoftmax {
    /// Factor in front of the logits.
    pub(crate) scale: f32,
    /// Values in one row.
    pub(crate) width: usize,
}

/// `layer_norm(x + bias + residual)` for each row, in place.
pub(crate) struct AddLayerNorm<'a> {
    /// What flows around the layer, as long as the input.
    pub(crate) residual: &'a [f32],
    /// Bias of the product that came before.
    pub(crate) bias: &'a [f32],
    /// Scale, shift and epsilon.
    pub(crate) norm: &'a LayerNorm,
}

/// Parameters of one layer normalisation (<https://arxiv.org/abs/1607.06450>).
#[derive(Debug, Clone)]
pub(crate) struct LayerNorm {
    /// Scale, one a column.
    pub(crate) weight: Vec<f32>,
    /// Shift, one a column.
    pub(crate) bias: Vec<f32>,
    /// Added to the variance.
    pub(crate) epsilon: f32,
}

impl LayerNorm {
    /// Normalises one row in place.
    pub(crate) fn apply(&self, row: &mut [f32]) {
        let count = row.len() as f32;
        let mean = row.iter().sum::<f32>() / count;
        let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / count;
        let scale = 1.0 / (variance + self.epsilon).sqrt();
        for ((x, weight), bias) in row.iter_mut().zip(&self.weight).zip(&self.bias) {
            *x = (*x - mean) * scale * weight + bias;
        }
    }
}

impl InplaceOp1 for AddBias<'_> {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        for row in values(storage, layout)?.chunks_exact_mut(self.0.len()) {
            for (x, bias) in row.iter_mut().zip(self.0) {
                *x += bias;
            }
        }
        Ok(())
    }
}

impl InplaceOp1 for AddBiasGelu<'_> {
    fn name(&self) -> &'static str {
        "add-bias-gelu"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        for row in values(storage, layout)?.chunks_exact_mut(self.0.len()) {
            for (x, bias) in row.iter_mut().zip(self.0) {
                *x = gelu(*x + bias);
            }
        }
        Ok(())
    }
}

impl InplaceOp1 for ScaledSoftmax {
    fn name(&self) -> &'static str {
        "scaled-softmax"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        for row in values(storage, layout)?.chunks_exact_mut(self.width) {
            softmax(row, self.scale);
        }
        Ok(())
    }
}

impl InplaceOp1 for AddLayerNorm<'_> {
    fn name(&self) -> &'static str {
        "add-layer-norm"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let width = self.bias.len();
        let rows = values(storage, layout)?.chunks_exact_mut(width);
        for (row, residual) in rows.zip(self.residual.chunks_exact(width)) {
            for ((x, bias), around) in row.iter_mut().zip(self.bias).zip(residual) {
                *x += bias + around;
            }
            self.norm.apply(row);
        }
        Ok(())
    }
}

/// Multi-head attention of one sequence: `rows` `(length, 3 * hidden)`, `out` `(length, hidden)`.
///
/// Inner loops run over keys, then over a head's width, both contiguous: keys are transposed first.
pub(crate) fn attend_short(rows: &[f32], heads: usize, hidden: usize, out: &mut [f32]) {
    let (length, width) = (out.len() / hidden, hidden / heads);
    let scale = 1.0 / (width as f32).sqrt();
    let mut keys = vec![0_f32; width * length];
    let mut scores = vec![0_f32; length];
    for head in 0..heads {
        let part = |token: usize, which: usize| {
            let start = (token * 3 + which) * hidden + head * width;
            &rows[start..start + width]
        };
        for token in 0..length {
            for (index, key) in part(token, 1).iter().enumerate() {
                keys[index * length + token] = *key;
            }
        }
        for token in 0..length {
            scores.fill(0.0);
            for (query, keys) in part(token, 0).iter().zip(keys.chunks_exact(length)) {
                for (score, key) in scores.iter_mut().zip(keys) {
                    *score += query * key;
                }
            }
            softmax(&mut scores, scale);
            let start = token * hidden + head * width;
            let context = &mut out[start..start + width];
            for (other, score) in scores.iter().enumerate() {
                for (sum, value) in context.iter_mut().zip(part(other, 2)) {
                    *sum += score * value;
                }
            }
        }
    }
}

/// `softmax(row * scale)` in place.
fn softmax(row: &mut [f32], scale: f32) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for x in row.iter_mut() {
        *x = exp_of_negative((*x - max) * scale);
    }
    let factor = 1.0 / row.iter().sum::<f32>();
    for x in row.iter_mut() {
        *x *= factor;
    }
}

/// The `f32` values of a contiguous tensor.
fn values<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("expected a contiguous f32 tensor"),
    }
}

/// GELU by the error function (<https://arxiv.org/abs/1606.08415>).
#[inline]
fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// The error function to within 4e-7: the rational approximation of Eigen and XLA,
/// odd polynomial over even polynomial on [-4, 4], beyond which `f32` cannot tell it from ±1.
#[inline]
pub(crate) fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let y = x * x;
    let mut top = -2.726_142e-10_f32;
    for term in [
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_5e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ] {
        top = top * y + term;
    }
    let mut bottom = -1.456_607_2e-5_f32;
    for term in [-2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2] {
        bottom = bottom * y + term;
    }
    x * top / bottom
}

/// `exp(x)` for `x <= 0` to a relative 3e-7 (Cephes' polynomial); exactly 0 below -87.
#[inline]
pub(crate) fn exp_of_negative(x: f32) -> f32 {
    /// Adding and subtracting it rounds to the nearest integer without a library call.
    const ROUND: f32 = 12_582_912.0;
    let bounded = x.max(-87.0);
    let shifted = bounded * std::f32::consts::LOG2_E + ROUND;
    let power = shifted - ROUND;
    let rest = bounded - power * 0.693_359_4 + power * 2.121_944_4e-4;
    let mut sum = 1.987_569_1e-4_f32;
    for term in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        sum = sum * rest + term;
    }
    let fraction = sum * rest * rest + rest + 1.0;
    // The low bits of `shifted` are the integer itself: no conversion, which costs more than all.
    let scale = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    if x < -87.0 { 0.0 } else { fraction * scale }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// erf by its Maclaurin series in f64; converges for |x| < 6.
    fn erf_by_series(x: f64) -> f64 {
        let (mut term, mut sum, mut n) = (x, x, 0.0_f64);
        while term.abs() > 1e-17 {
            n += 1.0;
            term *= -x * x / n;
            sum += term / (2.0 * n + 1.0);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn erf_follows_its_series() {
        for step in -500..=500 {
            let x = step as f32 / 100.0;
            let expected = erf_by_series(f64::from(x));
            assert!((f64::from(erf(x)) - expected).abs() < 5e-7, "{x}: {} {expected}", erf(x));
        }
    }

    #[test]
    fn exp_follows_the_library() {
        for step in 0..=8_699 {
            let x = -(step as f32) / 100.0;
            let expected = f64::from(x).exp();
            let relative = (f64::from(exp_of_negative(x)) - expected).abs() / expected;
            assert!(relative < 5e-7, "{x}: {relative}");
        }
        assert_eq!(exp_of_negative(-1e30), 0.0);
        assert_eq!(exp_of_negative(f32::NEG_INFINITY), 0.0);
    }

    #[test]
    fn layer_norm_gives_zero_mean_and_unit_variance() {
        let norm = LayerNorm { weight: vec![1.0; 4], bias: vec![0.0; 4], epsilon: 0.0 };
        let mut row = [1.0, 2.0, 3.0, 4.0];
        norm.apply(&mut row);
        assert!(row.iter().sum::<f32>().abs() < 1e-6);
        assert!((row.iter().map(|x| x * x).sum::<f32>() - 4.0).abs() < 1e-5);
    }
}
