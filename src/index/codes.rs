//! Rows as small integers, so that a scan or a walk reads a quarter or an eighth of the bytes.
//!
//! Sentence embeddings share a large common direction (cosines of random pairs average 0.84 for
//! multilingual-e5-small); taking the mean off first leaves the part that tells them apart, and the
//! few levels are spent on that. Codes only select candidates: who uses them ranks again in f32.

use crate::encoder::Embeddings;
use crate::kernels::{NIBBLE_BLOCK_BYTES, dot_f32, dot_i8, dot_nibble_rows};

/// Step of the 16-level uniform quantiser with the least error on normally distributed values, in
/// standard deviations (J. Max, "Quantizing for minimum distortion", IRE Trans. 1960, table II).
const NIBBLE_STEP: f32 = 0.335;

/// Rows of one call of the nibble kernel: their sums stay in the first-level cache.
pub(super) const SCAN_ROWS: usize = 256;

/// Mean of all rows, `(dimension,)`.
fn mean(vectors: &Embeddings) -> Vec<f32> {
    let mut sums = vec![0.0_f64; vectors.dimension()];
    for row in vectors.rows() {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += f64::from(value);
        }
    }
    let len = vectors.len().max(1) as f64;
    sums.into_iter().map(|sum| (sum / len) as f32).collect()
}

fn subtract(row: &[f32], mean: &[f32], out: &mut [f32]) {
    for ((out, value), mean) in out.iter_mut().zip(row).zip(mean) {
        *out = value - mean;
    }
}

/// Rounds to i8; what is out of range becomes the nearest end. By a cast, since `round` is a call
/// into the maths library on a processor of the x86-64 baseline.
fn to_i8(value: f32) -> i8 {
    ((value.clamp(-127.0, 127.0) + 127.5) as i16 - 127) as i8
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

/// Four bits a dimension with a scale for each row, for the scan.
pub(super) struct NibbleCodes {
    mean: Vec<f32>,
    /// Bytes of one row: half the dimension, padded to whole blocks; at least one block.
    row_bytes: usize,
    /// `(rows, row_bytes)`; the layout is that of [`dot_nibble_rows`].
    codes: Vec<u8>,
    /// Size of one step, by row.
    scales: Vec<f32>,
    /// `mean · (row - mean)`: the share of the mean in a similarity, by row.
    biases: Vec<f32>,
}

/// A query as the scan wants it.
pub(super) struct NibbleQuery {
    codes: Vec<i8>,
    scale: f32,
    /// Codes are unsigned: 7.5 steps too high on average, so 7.5 · Σ query is taken off each sum.
    offset: f32,
}

impl NibbleCodes {
    pub(super) fn new(vectors: &Embeddings) -> Self {
        let mean = mean(vectors);
        let row_bytes = vectors.dimension().div_ceil(2).max(1).next_multiple_of(NIBBLE_BLOCK_BYTES);
        let mut codes = vec![0_u8; row_bytes * vectors.len()];
        let mut scales = Vec::with_capacity(vectors.len());
        let mut biases = Vec::with_capacity(vectors.len());
        let mut centred = vec![0.0; vectors.dimension()];
        for (row, codes) in vectors.rows().zip(codes.chunks_exact_mut(row_bytes)) {
            subtract(row, &mean, &mut centred);
            biases.push(dot_f32(&mean, &centred));
            scales.push(encode_nibbles(&centred, codes));
        }
        Self { mean, row_bytes, codes, scales, biases }
    }

    pub(super) fn len(&self) -> usize {
        self.scales.len()
    }

    pub(super) fn query(&self, query: &[f32]) -> NibbleQuery {
        let mut centred = vec![0.0; query.len()];
        subtract(query, &self.mean, &mut centred);
        let scale = largest(&centred) / 127.0;
        let mut codes = vec![0_i8; 2 * self.row_bytes];
        if scale > 0.0 {
            for (code, value) in codes.iter_mut().zip(&centred) {
                *code = to_i8(value / scale);
            }
        }
        let sum: i32 = codes.iter().map(|&code| i32::from(code)).sum();
        NibbleQuery { codes, scale, offset: 7.5 * sum as f32 }
    }

    /// Scores of the rows from `first` on, as many as `scores` has room for: their similarity to
    /// the query up to a constant, with the error of the codes.
    pub(super) fn scores(&self, query: &NibbleQuery, first: usize, scores: &mut [f32]) {
        let rows = first..first + scores.len();
        let mut sums = [0_i32; SCAN_ROWS];
        let sums = &mut sums[..scores.len()];
        let bytes = rows.start * self.row_bytes..rows.end * self.row_bytes;
        dot_nibble_rows(&query.codes, &self.codes[bytes], sums);
        let weights = self.scales[rows.clone()].iter().zip(&self.biases[rows]);
        for ((score, &sum), (scale, bias)) in scores.iter_mut().zip(&*sums).zip(weights) {
            *score = (sum as f32 - query.offset) * (scale * query.scale) + bias;
        }
    }
}

/// Writes the codes of one centred row and returns the size of a step: the one that fits the row
/// best once its codes are chosen (least squares).
fn encode_nibbles(centred: &[f32], codes: &mut [u8]) -> f32 {
    let deviation = (dot_f32(centred, centred) / centred.len().max(1) as f32).sqrt();
    if deviation == 0.0 {
        return 0.0;
    }
    let (mut product, mut square) = (0.0, 0.0);
    let half = codes.len();
    let steps = 1.0 / (deviation * NIBBLE_STEP);
    for (position, value) in centred.iter().enumerate() {
        let code = (value * steps + 8.0).clamp(0.0, 15.0) as u8;
        codes[position % half] |= if position < half { code } else { code << 4 };
        let level = f32::from(code) - 7.5;
        product += value * level;
        square += level * level;
    }
    product / square
}

/// Eight bits a dimension with one scale for all rows, so that whole-number distances can be
/// compared between any two rows: for the graph.
pub(super) struct ByteCodes {
    mean: Vec<f32>,
    /// Levels a unit.
    levels: f32,
    dimension: usize,
    /// `(rows, dimension)`.
    codes: Vec<i8>,
    /// Squared length of each row, in squared steps.
    norms: Vec<i32>,
}

impl ByteCodes {
    pub(super) fn new(vectors: &Embeddings) -> Self {
        let mean = mean(vectors);
        let mut centred = vec![0.0; vectors.dimension()];
        let mut widest = 0.0_f32;
        for row in vectors.rows() {
            subtract(row, &mean, &mut centred);
            widest = widest.max(largest(&centred));
        }
        let levels = if widest > 0.0 { 127.0 / widest } else { 0.0 };
        let mut codes = Vec::with_capacity(vectors.values().len());
        let mut norms = Vec::with_capacity(vectors.len());
        for row in vectors.rows() {
            subtract(row, &mean, &mut centred);
            let start = codes.len();
            codes.extend(centred.iter().map(|value| to_i8(value * levels)));
            norms.push(dot_i8(&codes[start..], &codes[start..]));
        }
        Self { mean, levels, dimension: vectors.dimension(), codes, norms }
    }

    pub(super) fn len(&self) -> usize {
        self.norms.len()
    }

    pub(super) fn row(&self, id: u32) -> &[i8] {
        &self.codes[id as usize * self.dimension..][..self.dimension]
    }

    pub(super) fn query(&self, query: &[f32]) -> Vec<i8> {
        query.iter().zip(&self.mean).map(|(q, m)| to_i8((q - m) * self.levels)).collect()
    }

    /// Squared Euclidean distance of two rows, in squared steps; on unit vectors it orders as
    /// cosine similarity does, and the mean drops out of it.
    pub(super) fn distance(&self, a: u32, b: u32) -> i32 {
        let product = dot_i8(self.row(a), self.row(b));
        self.norms[a as usize] + self.norms[b as usize] - 2 * product
    }

    /// Squared distance of row `id` to a query less the query's own norm: enough to compare rows.
    pub(super) fn key(&self, query: &[i8], id: u32) -> i32 {
        self.norms[id as usize] - 2 * dot_i8(query, self.row(id))
    }
}
