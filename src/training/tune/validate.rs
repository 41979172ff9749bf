//! How good an encoder is in the middle of training: the share of validation rows whose nearest
//! intent, by the mean of some training rows, is the right one.

use super::{class_means, rows::dot};
use crate::encoder::{EncodeError, Encoder};
use crate::progress::Silent;
use crate::training::embed::{Known, embed};

/// Training rows an intent that its mean is taken of; more say little more and cost time.
const ROWS_AN_INTENT: usize = 20;

/// Rows to measure on.
pub struct Validation {
    /// Texts whose means stand for the intents, and theirs.
    means: (Vec<String>, Vec<u32>),
    /// Texts to measure on, and their intents.
    valid: (Vec<String>, Vec<u32>),
}

impl Validation {
    /// Both are normalised texts with their intents.
    pub fn new(train: (&[String], &[u32]), valid: (&[String], &[u32])) -> Self {
        let intents = train.1.iter().max().map_or(0, |most| *most as usize + 1);
        let mut counts = vec![0; intents];
        let mut means = (Vec::new(), Vec::new());
        for (text, label) in train.0.iter().zip(train.1) {
            if counts[*label as usize] < ROWS_AN_INTENT {
                counts[*label as usize] += 1;
                means.0.push(text.clone());
                means.1.push(*label);
            }
        }
        Self { means, valid: (valid.0.to_vec(), valid.1.to_vec()) }
    }

    /// The share that is right, 0 to 1.
    ///
    /// # Errors
    /// [`EncodeError`] when the encoder fails.
    pub fn measure(&self, encoder: &dyn Encoder) -> Result<f64, EncodeError> {
        let (texts, labels) = &self.means;
        let intents = labels.iter().max().map_or(0, |most| *most as usize + 1);
        let width = encoder.info().dimension;
        let rows = embed(encoder, texts, &Known::new(), &Silent)?;
        let means = class_means(rows.values(), labels, intents, width);
        let (texts, labels) = &self.valid;
        let rows = embed(encoder, texts, &Known::new(), &Silent)?;
        let right = rows.rows().zip(labels).filter(|(row, label)| {
            let near = means.chunks_exact(width).map(|mean| dot(row, mean)).enumerate();
            near.max_by(|a, b| a.1.total_cmp(&b.1)).is_some_and(|best| best.0 == **label as usize)
        });
        Ok(right.count() as f64 / labels.len().max(1) as f64)
    }
}
