//! A linear head: logits from features.

use super::lexical::SparseRow;

/// `logits = x · W + b`.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearHead {
    /// `(features, classes)` row-major.
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl LinearHead {
    /// Wraps weights `(features, classes)` and a bias `(classes)`; none when they do not fit or a
    /// value is not finite.
    pub fn new(weights: Vec<f32>, bias: Vec<f32>) -> Option<Self> {
        let fits = !bias.is_empty() && weights.len().is_multiple_of(bias.len());
        let finite = weights.iter().chain(&bias).all(|value| value.is_finite());
        (fits && finite).then_some(Self { weights, bias })
    }

    /// Takes weights and bias from one vector, the bias last.
    pub(crate) fn from_parameters(mut parameters: Vec<f32>, classes: usize) -> Self {
        let bias = parameters.split_off(parameters.len() - classes);
        Self { weights: parameters, bias }
    }

    /// Weights and bias as one vector, the bias last.
    pub(crate) fn into_parameters(self) -> Vec<f32> {
        let Self { mut weights, bias } = self;
        weights.extend(bias);
        weights
    }

    /// The same head with its rows and columns rearranged: feature `i` gets the weights of the
    /// feature `features[i]` (zeros for none), class `j` those of the class `classes[j]`.
    pub(crate) fn rearranged(&self, features: &[Option<u32>], classes: &[u32]) -> Self {
        let mut weights = Vec::with_capacity(features.len() * classes.len());
        for feature in features {
            match feature {
                Some(old) => {
                    let row = &self.weights[*old as usize * self.classes()..][..self.classes()];
                    weights.extend(classes.iter().map(|&class| row[class as usize]));
                }
                None => weights.resize(weights.len() + classes.len(), 0.0),
            }
        }
        let bias = classes.iter().map(|&class| self.bias[class as usize]).collect();
        Self { weights, bias }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.bias.len()
    }

    /// Number of features.
    pub fn features(&self) -> usize {
        self.weights.len() / self.bias.len()
    }

    /// The weights, `(features, classes)` row-major.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// The bias, `(classes)`.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// Logits of a dense row of [`Self::features`] values.
    pub fn dense_logits(&self, row: &[f32]) -> Vec<f32> {
        let numbered = row.iter().enumerate().map(|(feature, &value)| (feature as u32, value));
        self.logits(numbered)
    }

    /// Logits of a sparse row.
    pub fn sparse_logits(&self, row: &[SparseRowEntry]) -> Vec<f32> {
        self.logits(row.iter().copied())
    }

    fn logits(&self, row: impl Iterator<Item = SparseRowEntry>) -> Vec<f32> {
        let mut logits = self.bias.clone();
        let classes = logits.len();
        for (feature, value) in row {
            let weights = &self.weights[feature as usize * classes..][..classes];
            logits.iter_mut().zip(weights).for_each(|(logit, weight)| *logit += value * weight);
        }
        logits
    }
}

/// `(feature, value)`.
pub type SparseRowEntry = <SparseRow as IntoIterator>::Item;

/// Log of the softmax, in place.
pub fn log_softmax(logits: &mut [f32]) {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f32 = logits.iter().map(|logit| (logit - most).exp()).sum();
    let log_total = total.ln();
    logits.iter_mut().for_each(|logit| *logit = (*logit - most) - log_total);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_softmax_sums_to_one_even_for_large_logits() {
        let mut logits = [1000.0, 999.0, -1000.0];
        log_softmax(&mut logits);
        let total: f32 = logits.iter().map(|value| value.exp()).sum();
        assert!((total - 1.0).abs() < 1e-6 && logits[0] > logits[1]);
    }

    #[test]
    fn rows_and_columns_are_rearranged() {
        let head = LinearHead::new(vec![1.0, 2.0, 3.0, 4.0], vec![5.0, 6.0]).unwrap();
        let other = head.rearranged(&[Some(1), None, Some(0)], &[1, 0]);
        assert_eq!(other.weights(), [4.0, 3.0, 0.0, 0.0, 2.0, 1.0]);
        assert_eq!(other.bias(), [6.0, 5.0]);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        assert!(LinearHead::new(vec![1.0; 5], vec![0.0; 2]).is_none());
        assert!(LinearHead::new(vec![f32::INFINITY], vec![0.0]).is_none());
        assert!(LinearHead::new(vec![], vec![]).is_none());
    }
}
