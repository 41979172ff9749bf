//! Multi-head attention of training, forward and backward, within each sequence of a batch.
//!
//! Sequences of customers' messages have a dozen tokens, so that plain loops beat calls of matrix
//! products; rows of scores are padded to whole registers. Nothing is padded between sequences.

use super::rows::{Masks, dot};
use crate::encoder::rowwise::exp_of_negative;
use crate::kernels::widest;

/// Scores a row are padded to a multiple of this many.
const LANES: usize = 16;

/// The shape of a call.
#[derive(Clone, Copy)]
pub(super) struct Attention<'a> {
    /// Attention heads.
    pub(super) heads: usize,
    /// Width of a token's vector.
    pub(super) hidden: usize,
    /// Tokens of each sequence.
    pub(super) lengths: &'a [usize],
    /// Dropout of the probabilities.
    pub(super) masks: Masks<'a>,
}

/// One head of one sequence within the packed rows.
#[derive(Clone, Copy)]
struct Head {
    /// First token of the sequence.
    start: usize,
    /// Its tokens.
    length: usize,
    /// `length`, padded.
    padded: usize,
    /// Number of the head.
    number: usize,
    /// Width of a head.
    width: usize,
    /// Width of a token's vector.
    hidden: usize,
    /// Where its probabilities begin.
    at: usize,
}

impl Head {
    /// The place of the query (0), key (1) or value (2) of a token.
    fn place(&self, token: usize, which: usize) -> std::ops::Range<usize> {
        let from = ((self.start + token) * 3 + which) * self.hidden + self.number * self.width;
        from..from + self.width
    }

    fn context(&self, token: usize) -> std::ops::Range<usize> {
        let from = (self.start + token) * self.hidden + self.number * self.width;
        from..from + self.width
    }

    fn row(&self, token: usize) -> std::ops::Range<usize> {
        let from = self.at + token * self.padded;
        from..from + self.padded
    }

    /// Writes keys or values transposed and padded: `(width, padded)`.
    fn transpose(&self, qkv: &[f32], which: usize, out: &mut Vec<f32>) {
        out.clear();
        out.resize(self.width * self.padded, 0.0);
        for token in 0..self.length {
            for (index, value) in qkv[self.place(token, which)].iter().enumerate() {
                out[index * self.padded + token] = *value;
            }
        }
    }
}

impl Attention<'_> {
    /// Calls `work` with each head of each sequence, in order.
    fn each(&self, mut work: impl FnMut(Head)) {
        let width = self.hidden / self.heads;
        let (mut start, mut at) = (0, 0);
        for &length in self.lengths {
            let padded = length.next_multiple_of(LANES);
            for number in 0..self.heads {
                work(Head { start, length, padded, number, width, hidden: self.hidden, at });
                at += length * padded;
            }
            start += length;
        }
    }

    /// Values that the probabilities of all sequences take.
    fn size(&self) -> usize {
        let one = |length: &usize| self.heads * length * length.next_multiple_of(LANES);
        self.lengths.iter().map(one).sum()
    }

    fn scale(&self) -> f32 {
        1.0 / ((self.hidden / self.heads) as f32).sqrt()
    }

    /// `qkv` `(tokens, 3 * hidden)` to `context` `(tokens, hidden)`; keeps the probabilities, before
    /// dropout, for the way back.
    pub(super) fn forward(&self, qkv: &[f32], kept: &mut Vec<f32>, context: &mut [f32]) {
        kept.clear();
        kept.resize(self.size(), 0.0);
        context.fill(0.0);
        let scale = self.scale();
        let (mut keys, mut factors) = (Vec::new(), Vec::new());
        widest(|| {
            self.each(|head| {
                head.transpose(qkv, 1, &mut keys);
                factors.resize(head.length, 0.0);
                for token in 0..head.length {
                    let row = &mut kept[head.row(token)];
                    combine(&qkv[head.place(token, 0)], &keys, row);
                    softmax(&mut row[..head.length], scale);
                    row[head.length..].fill(0.0);
                    self.fill(head, token, &mut factors);
                    let out = &mut context[head.context(token)];
                    for (other, (share, factor)) in
                        row[..head.length].iter().zip(&factors).enumerate()
                    {
                        add_scaled(share * factor, &qkv[head.place(other, 2)], out);
                    }
                }
            });
        });
    }

    /// The way back: `d_context` to `d_qkv`, which is overwritten.
    pub(super) fn backward(&self, qkv: &[f32], kept: &[f32], d_context: &[f32], d_qkv: &mut [f32]) {
        d_qkv.fill(0.0);
        let scale = self.scale();
        let (mut values, mut factors, mut slopes) = (Vec::new(), Vec::new(), Vec::new());
        widest(|| {
            self.each(|head| {
                head.transpose(qkv, 2, &mut values);
                factors.resize(head.length, 0.0);
                slopes.resize(head.padded, 0.0);
                for token in 0..head.length {
                    let shares = &kept[head.row(token)][..head.length];
                    let d_out = &d_context[head.context(token)];
                    combine(d_out, &values, &mut slopes[..head.padded]);
                    let slopes = &mut slopes[..head.length];
                    self.fill(head, token, &mut factors);
                    for (other, ((slope, share), factor)) in
                        slopes.iter_mut().zip(shares).zip(&factors).enumerate()
                    {
                        add_scaled(share * factor, d_out, &mut d_qkv[head.place(other, 2)]);
                        *slope *= factor;
                    }
                    let mean = dot(slopes, shares);
                    for (other, (slope, share)) in slopes.iter().zip(shares).enumerate() {
                        let slope = share * (slope - mean) * scale;
                        let (query, key) = (head.place(token, 0), head.place(other, 1));
                        add_scaled(slope, &qkv[key.clone()], &mut d_qkv[query.clone()]);
                        add_scaled(slope, &qkv[query], &mut d_qkv[key]);
                    }
                }
            });
        });
    }

    /// The dropout factors of one row of probabilities: one stream a token over all heads, so that
    /// no two heads drop alike.
    #[inline]
    fn fill(&self, head: Head, token: usize, factors: &mut [f32]) {
        self.masks.fill_from(head.start + token, head.number * head.length, factors);
    }
}

/// `out = Σ weights[i] * rows[i]` over rows as long as `out`, a multiple of [`LANES`].
#[inline]
fn combine(weights: &[f32], rows: &[f32], out: &mut [f32]) {
    let width = out.len();
    for (block, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let mut lanes = [0.0_f32; LANES];
        for (weight, row) in weights.iter().zip(rows.chunks_exact(width)) {
            let row = &row.as_chunks::<LANES>().0[block];
            lanes.iter_mut().zip(row).for_each(|(lane, value)| *lane += weight * value);
        }
        *out = lanes;
    }
}

#[inline]
fn add_scaled(factor: f32, row: &[f32], out: &mut [f32]) {
    out.iter_mut().zip(row).for_each(|(sum, value)| *sum += factor * value);
}

/// `softmax(row * scale)` in place.
#[inline]
fn softmax(row: &mut [f32], scale: f32) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for value in row.iter_mut() {
        *value = exp_of_negative((*value - max) * scale);
    }
    let factor = 1.0 / row.iter().sum::<f32>();
    row.iter_mut().for_each(|value| *value *= factor);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::tune::dropout::Dropout;
    use crate::training::tune::random::Random;

    #[test]
    fn the_way_back_follows_finite_differences() {
        let (heads, hidden, lengths) = (2, 6, [3, 1, 17]);
        let count: usize = lengths.iter().sum();
        let mut random = Random::new(3);
        let qkv = random.values(count * 3 * hidden, 1.0);
        let weights = random.values(count * hidden, 1.0);
        let tokens: Vec<u32> = (0..count as u32).collect();
        for rate in [0.0, 0.3] {
            let masks = Masks { dropout: Dropout::new(rate), tokens: &tokens, site: 2 };
            let attention = Attention { heads, hidden, lengths: &lengths, masks };
            let forward = |qkv: &[f32]| {
                let (mut kept, mut context) = (Vec::new(), vec![0.0; count * hidden]);
                attention.forward(qkv, &mut kept, &mut context);
                let value: f64 = context.iter().zip(&weights).map(|(a, b)| f64::from(a * b)).sum();
                (value, kept)
            };
            let mut d_qkv = vec![9.0; qkv.len()];
            attention.backward(&qkv, &forward(&qkv).1, &weights, &mut d_qkv);
            for place in 0..qkv.len() {
                let mut moved = qkv.clone();
                moved[place] += 1e-2;
                let above = forward(&moved).0;
                moved[place] -= 2e-2;
                let slope = (above - forward(&moved).0) / 2e-2;
                let found = f64::from(d_qkv[place]);
                assert!((found - slope).abs() < 1e-3, "{rate} {place}: {found} {slope}");
            }
        }
    }
}
