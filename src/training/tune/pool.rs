//! From token vectors to a sentence's unit-norm embedding, and the way back.

use super::rows::dot;
use crate::encoder::Pooling;

/// How token vectors become a sentence's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pool {
    pub(super) pooling: Pooling,
    /// Width of a vector.
    pub(super) width: usize,
}

impl Pool {
    /// One unit-norm row a sequence, and the length of each before it became 1.
    pub(super) fn forward(self, lengths: &[usize], rows: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let mut out = Vec::with_capacity(lengths.len() * self.width);
        let mut norms = Vec::with_capacity(lengths.len());
        let mut rest = rows;
        for length in lengths {
            let (own, later) = rest.split_at(length * self.width);
            rest = later;
            let mut vector = own[..self.width].to_vec();
            if self.pooling == Pooling::Mean {
                for row in own[self.width..].chunks_exact(self.width) {
                    vector.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                }
                vector.iter_mut().for_each(|value| *value /= *length as f32);
            }
            let norm = dot(&vector, &vector).sqrt().max(f32::MIN_POSITIVE);
            out.extend(vector.iter().map(|value| value / norm));
            norms.push(norm);
        }
        (out, norms)
    }

    /// The gradient of `rows` from that of the `embeddings`.
    pub(super) fn backward(
        self,
        lengths: &[usize],
        (embeddings, norms): (&[f32], &[f32]),
        d: &[f32],
        out: &mut [f32],
    ) {
        out.fill(0.0);
        let mut rest = out;
        let all = embeddings.chunks_exact(self.width).zip(d.chunks_exact(self.width));
        for ((length, norm), (embedding, d)) in lengths.iter().zip(norms).zip(all) {
            let (own, later) = rest.split_at_mut(length * self.width);
            rest = later;
            let along = dot(embedding, d);
            let (rows, share) = match self.pooling {
                Pooling::Mean => (*length, 1.0 / (norm * *length as f32)),
                Pooling::Cls => (1, 1.0 / norm),
            };
            for row in own.chunks_exact_mut(self.width).take(rows) {
                for ((value, d), e) in row.iter_mut().zip(d).zip(embedding) {
                    *value = (d - e * along) * share;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::tune::random::Random;

    #[test]
    fn the_way_back_follows_finite_differences() {
        let (width, lengths) = (5, [3, 1]);
        let mut random = Random::new(4);
        let rows = random.values(4 * width, 1.0);
        let weights = random.values(2 * width, 1.0);
        for pooling in [Pooling::Mean, Pooling::Cls] {
            let pool = Pool { pooling, width };
            let value = |rows: &[f32]| {
                let out = pool.forward(&lengths, rows).0;
                out.iter().zip(&weights).map(|(a, b)| f64::from(a * b)).sum::<f64>()
            };
            let (embeddings, norms) = pool.forward(&lengths, &rows);
            let mut d = vec![9.0; rows.len()];
            pool.backward(&lengths, (&embeddings, &norms), &weights, &mut d);
            for place in 0..rows.len() {
                let mut moved = rows.clone();
                moved[place] += 1e-2;
                let above = value(&moved);
                moved[place] -= 2e-2;
                let slope = (above - value(&moved)) / 2e-2;
                let found = f64::from(d[place]);
                assert!((found - slope).abs() < 1e-3, "{pooling:?} {place}: {found} {slope}");
            }
        }
    }
}
