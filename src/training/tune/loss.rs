//! The losses of tuning and their gradients with respect to unit-norm embeddings.
//!
//! Cross-entropy of a normalised softmax head: the logit of an intent is the cosine to its vector
//! times a scale (NormFace, Wang et al. 2017, <https://arxiv.org/abs/1704.06369>), with label
//! smoothing (Szegedy et al. 2016, <https://arxiv.org/abs/1512.00567>). Supervised contrastive loss
//! within the batch, `L_out` of Khosla et al. 2020 (<https://arxiv.org/abs/2004.11362>).

use super::rows::dot;
use crate::kernels::product::{Matrix, product};

/// The parts of the loss and how much each counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loss {
    /// Factor in front of the cosines of the softmax head.
    pub(super) scale: f32,
    /// Share of the target spread over all intents.
    pub(super) label_smoothing: f32,
    /// Weight of the cross-entropy.
    pub(super) cross_entropy: f32,
    /// Weight of the contrastive loss.
    pub(super) contrastive: f32,
    /// Temperature of the contrastive loss.
    pub(super) temperature: f32,
}

/// A loss with its gradients.
pub(super) struct Value {
    pub(super) value: f64,
    /// `(rows, width)`.
    pub(super) d_embeddings: Vec<f32>,
    /// `(intents, width)`.
    pub(super) d_classes: Vec<f32>,
}

impl Loss {
    /// The loss of `embeddings` `(labels.len(), width)` after `centre` was taken from each and its
    /// length made 1; an empty `centre` leaves them. `classes` are the intents' vectors, `(intents,
    /// width)`, of any length.
    pub(super) fn of(
        &self,
        embeddings: &[f32],
        labels: &[u32],
        (classes, centre): (&[f32], &[f32]),
        width: usize,
    ) -> Value {
        if centre.is_empty() {
            return self.of_units(embeddings, labels, classes, width);
        }
        let (units, lengths) = centred(embeddings, centre);
        let mut value = self.of_units(&units, labels, classes, width);
        let rows = value.d_embeddings.chunks_exact_mut(width).zip(units.chunks_exact(width));
        for ((d, unit), length) in rows.zip(lengths) {
            let along = dot(d, unit);
            d.iter_mut().zip(unit).for_each(|(d, unit)| *d = (*d - unit * along) / length);
        }
        value
    }

    fn of_units(&self, embeddings: &[f32], labels: &[u32], classes: &[f32], width: usize) -> Value {
        let mut sum = Value {
            value: 0.0,
            d_embeddings: vec![0.0; embeddings.len()],
            d_classes: vec![0.0; classes.len()],
        };
        if self.cross_entropy > 0.0 {
            self.add_cross_entropy(embeddings, labels, classes, width, &mut sum);
        }
        if self.contrastive > 0.0 {
            self.add_contrastive(embeddings, labels, width, &mut sum);
        }
        sum
    }

    fn add_cross_entropy(
        &self,
        embeddings: &[f32],
        labels: &[u32],
        classes: &[f32],
        width: usize,
        sum: &mut Value,
    ) {
        let intents = classes.len() / width;
        let (units, lengths) = unit_rows(classes, width);
        let mut logits = vec![0.0; labels.len() * intents];
        let units = Matrix::new(&units, width);
        product(Matrix::new(embeddings, width), units.transposed(), false, &mut logits);
        let (spread, share) =
            (self.label_smoothing / intents as f32, self.cross_entropy / labels.len() as f32);
        for (row, label) in logits.chunks_exact_mut(intents).zip(labels) {
            row.iter_mut().for_each(|logit| *logit *= self.scale);
            let log_sum = log_sum_exp(row.iter().copied());
            for (intent, logit) in row.iter_mut().enumerate() {
                let own = intent == *label as usize;
                let target = spread + if own { 1.0 - self.label_smoothing } else { 0.0 };
                sum.value -= f64::from(target * (*logit - log_sum) * share);
                // From here on the row holds the gradient of the cosines.
                *logit = ((*logit - log_sum).exp() - target) * share * self.scale;
            }
        }
        let slopes = Matrix::new(&logits, intents);
        product(slopes, units, true, &mut sum.d_embeddings);
        let mut d_units = vec![0.0; classes.len()];
        product(slopes.transposed(), Matrix::new(embeddings, width), false, &mut d_units);
        let rows = sum.d_classes.chunks_exact_mut(width).zip(d_units.chunks_exact(width));
        for ((out, d), (class, length)) in rows.zip(classes.chunks_exact(width).zip(lengths)) {
            let along = dot(class, d) / (length * length);
            for ((out, d), value) in out.iter_mut().zip(d).zip(class) {
                *out += (d - value * along) / length;
            }
        }
    }

    fn add_contrastive(&self, embeddings: &[f32], labels: &[u32], width: usize, sum: &mut Value) {
        let rows = labels.len();
        let all = Matrix::new(embeddings, width);
        let mut slopes = vec![0.0; rows * rows];
        product(all, all.transposed(), false, &mut slopes);
        let friends = |row: usize| {
            labels.iter().enumerate().filter(|(at, one)| *at != row && **one == labels[row]).count()
        };
        let counts: Vec<usize> = (0..rows).map(friends).collect();
        let anchors = counts.iter().filter(|count| **count > 0).count();
        let share = self.contrastive / anchors.max(1) as f32;
        for (row, values) in slopes.chunks_exact_mut(rows).enumerate() {
            if counts[row] == 0 {
                values.fill(0.0);
                continue;
            }
            values.iter_mut().for_each(|value| *value /= self.temperature);
            let others = values.iter().enumerate().filter(|(at, _)| *at != row);
            let log_sum = log_sum_exp(others.map(|(_, value)| *value));
            let one = 1.0 / counts[row] as f32;
            for (at, value) in values.iter_mut().enumerate() {
                let is_friend = at != row && labels[at] == labels[row];
                let target = if is_friend { one } else { 0.0 };
                sum.value -= f64::from(target * (*value - log_sum) * share);
                let probability = if at == row { 0.0 } else { (*value - log_sum).exp() };
                *value = (probability - target) * share / self.temperature;
            }
        }
        let slopes = Matrix::new(&slopes, rows);
        product(slopes, all, true, &mut sum.d_embeddings);
        product(slopes.transposed(), all, true, &mut sum.d_embeddings);
    }
}

/// Rows less `centre`, of length 1, and how long they were before that.
pub(super) fn centred(rows: &[f32], centre: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let mut moved = rows.to_vec();
    for row in moved.chunks_exact_mut(centre.len()) {
        row.iter_mut().zip(centre).for_each(|(value, mean)| *value -= mean);
    }
    unit_rows(&moved, centre.len())
}

/// Rows of length 1, and how long they were.
pub(super) fn unit_rows(rows: &[f32], width: usize) -> (Vec<f32>, Vec<f32>) {
    let mut units = rows.to_vec();
    let mut lengths = Vec::with_capacity(rows.len() / width);
    for row in units.chunks_exact_mut(width) {
        let length = dot(row, row).sqrt().max(1e-6);
        row.iter_mut().for_each(|value| *value /= length);
        lengths.push(length);
    }
    (units, lengths)
}

fn log_sum_exp(values: impl Iterator<Item = f32> + Clone) -> f32 {
    let max = values.clone().fold(f32::NEG_INFINITY, f32::max);
    max + values.map(|value| (value - max).exp()).sum::<f32>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::tune::random::Random;

    const WIDTH: usize = 6;
    const LABELS: [u32; 5] = [0, 1, 0, 2, 0];

    fn data() -> (Vec<f32>, Vec<f32>) {
        let mut random = Random::new(8);
        let embeddings = unit_rows(&random.values(LABELS.len() * WIDTH, 1.0), WIDTH).0;
        (embeddings, random.values(3 * WIDTH, 2.0))
    }

    #[test]
    fn gradients_follow_finite_differences() {
        let (embeddings, classes) = data();
        let base = Loss {
            scale: 5.0,
            label_smoothing: 0.1,
            cross_entropy: 0.0,
            contrastive: 0.0,
            temperature: 0.3,
        };
        for (name, loss) in [
            ("cross-entropy", Loss { cross_entropy: 0.7, ..base }),
            ("contrastive", Loss { contrastive: 0.6, ..base }),
            ("both", Loss { cross_entropy: 1.0, contrastive: 0.5, ..base }),
            ("centred", Loss { cross_entropy: 1.0, contrastive: 0.5, ..base }),
        ] {
            let centre = vec![0.1; if name == "centred" { WIDTH } else { 0 }];
            let found = loss.of(&embeddings, &LABELS, (&classes, &centre), WIDTH);
            let slope = |place: usize, in_classes: bool| {
                let value = |by: f32| {
                    let (mut embeddings, mut classes) = (embeddings.clone(), classes.clone());
                    let moved = if in_classes { &mut classes } else { &mut embeddings };
                    moved[place] += by;
                    loss.of(&embeddings, &LABELS, (&classes, &centre), WIDTH).value
                };
                (value(1e-2) - value(-1e-2)) / 2e-2
            };
            for (place, d) in found.d_embeddings.iter().enumerate() {
                let expected = slope(place, false);
                assert!((f64::from(*d) - expected).abs() < 3e-3, "{name} {place} {d} {expected}");
            }
            for (place, d) in found.d_classes.iter().enumerate() {
                let expected = slope(place, true);
                assert!((f64::from(*d) - expected).abs() < 3e-3, "{name} {place} {d} {expected}");
            }
        }
    }

    #[test]
    fn values_are_those_of_the_formulas() {
        let (embeddings, classes) = data();
        let cosine = |a: &[f32], b: &[f32]| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
        let loss = Loss {
            scale: 4.0,
            label_smoothing: 0.0,
            cross_entropy: 1.0,
            contrastive: 0.0,
            temperature: 0.5,
        };
        let mut expected = 0.0;
        for (row, label) in embeddings.chunks_exact(WIDTH).zip(LABELS) {
            let parts: Vec<f32> =
                classes.chunks_exact(WIDTH).map(|c| (4.0 * cosine(row, c)).exp()).collect();
            expected -= (parts[label as usize] / parts.iter().sum::<f32>()).ln() / 5.0;
        }
        let found = loss.of(&embeddings, &LABELS, (&classes, &[]), WIDTH).value;
        assert!((found - f64::from(expected)).abs() < 1e-5, "{found} {expected}");

        // Rows 0, 2 and 4 are friends; rows 1 and 3 have none and do not count.
        let loss = Loss { cross_entropy: 0.0, contrastive: 1.0, ..loss };
        let at = |row: usize| &embeddings[row * WIDTH..][..WIDTH];
        let mut expected = 0.0;
        for row in [0, 2, 4] {
            let near = |other: usize| (dot(at(row), at(other)) / 0.5).exp();
            let all: f32 = (0..5).filter(|other| *other != row).map(near).sum();
            for friend in [0, 2, 4].into_iter().filter(|friend| *friend != row) {
                expected -= (near(friend) / all).ln() / 2.0 / 3.0;
            }
        }
        let found = loss.of(&embeddings, &LABELS, (&classes, &[]), WIDTH).value;
        assert!((found - f64::from(expected)).abs() < 1e-5, "{found} {expected}");
    }

    #[test]
    fn a_batch_without_friends_has_no_contrastive_loss() {
        let (embeddings, classes) = data();
        let loss = Loss {
            scale: 4.0,
            label_smoothing: 0.0,
            cross_entropy: 0.0,
            contrastive: 1.0,
            temperature: 0.1,
        };
        let found = loss.of(&embeddings, &[0, 1, 2, 3, 4], (&classes, &[]), WIDTH);
        assert_eq!(found.value, 0.0);
        assert!(found.d_embeddings.iter().all(|d| *d == 0.0));
    }
}
