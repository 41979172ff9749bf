//! A linear map that makes sentence embeddings comparable: centred, within-class covariance made
//! the identity, unit-norm.
//!
//! Raw cosines of a sentence encoder are squeezed (two random sentences of multilingual-e5-small
//! have 0.84); after whitening, directions in which sentences of one intent differ weigh little
//! and directions that tell intents apart weigh much, as in linear discriminant analysis.

use crate::kernels::dot_f32;

/// `unit(L⁻¹ (x − mean))`, where `L Lᵀ` is the shrunk within-class covariance.
#[derive(Debug, Clone, PartialEq)]
pub struct Whitening {
    mean: Vec<f32>,
    /// `L⁻¹`, lower triangular, row-major `(dimension, dimension)`.
    inverse: Vec<f32>,
}

impl Whitening {
    /// Wraps a fitted map; none when the sizes do not fit or a value is not finite.
    pub fn new(mean: Vec<f32>, inverse: Vec<f32>) -> Option<Self> {
        let fits = !mean.is_empty() && inverse.len() == mean.len() * mean.len();
        let finite = mean.iter().chain(&inverse).all(|value| value.is_finite());
        (fits && finite).then_some(Self { mean, inverse })
    }

    /// Length of a vector.
    pub fn dimension(&self) -> usize {
        self.mean.len()
    }

    /// The mean that is subtracted, `(dimension)`.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The matrix, row-major `(dimension, dimension)`.
    pub fn inverse(&self) -> &[f32] {
        &self.inverse
    }

    /// Maps one embedding to a unit-norm vector.
    pub fn apply(&self, embedding: &[f32]) -> Vec<f32> {
        let centred: Vec<f32> = embedding.iter().zip(&self.mean).map(|(x, m)| x - m).collect();
        let rows = self.inverse.chunks_exact(self.mean.len()).enumerate();
        let mut mapped: Vec<f32> =
            rows.map(|(at, row)| dot_f32(&row[..=at], &centred[..=at])).collect();
        normalize_length(&mut mapped);
        mapped
    }
}

/// Scales to unit length; a vector without a direction becomes the first axis.
pub fn normalize_length(vector: &mut [f32]) {
    let length = dot(vector, vector).sqrt();
    if length > 1e-12 {
        vector.iter_mut().for_each(|value| *value /= length);
    } else if let Some(first) = vector.first_mut() {
        *first = 1.0;
    }
}

/// Dot product in eight lanes, so that the compiler may vectorise it.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f32 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a8.zip(b8) {
        for lane in 0..8 {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    lanes.iter().sum::<f32>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_to_unit_length() {
        let map = Whitening::new(vec![1.0, 0.0], vec![2.0, 0.0, 1.0, 1.0]).unwrap();
        // x − mean = (3, 4): rows give 6 and 7.
        let mapped = map.apply(&[4.0, 4.0]);
        let length = 85.0f32.sqrt();
        assert!((mapped[0] - 6.0 / length).abs() < 1e-6 && (mapped[1] - 7.0 / length).abs() < 1e-6);
        assert_eq!(map.apply(&[1.0, 0.0]), [1.0, 0.0]);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        assert!(Whitening::new(vec![], vec![]).is_none());
        assert!(Whitening::new(vec![0.0], vec![1.0, 2.0]).is_none());
        assert!(Whitening::new(vec![f32::NAN], vec![1.0]).is_none());
    }

    #[test]
    fn dot_counts_every_element() {
        for n in 0..40usize {
            let ones = vec![1.0; n];
            assert_eq!(dot(&ones, &ones), n as f32);
        }
    }
}
