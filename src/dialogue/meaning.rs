//! Yes or no by meaning: a small classifier over embeddings, fitted on the prototypes.
//!
//! Ridge regression onto the three classes in its dual form, because there are fewer rows than
//! dimensions, over centred vectors: an encoder's cosines are squeezed, and what all answers have
//! in common says nothing. Its leave-one-out predictions come in closed form (Rifkin and Lippert,
//! “Notes on Regularized Least Squares”, 2007); the margins are fitted on them.

use super::consent::Consent;

const CLASSES: [Consent; 3] = [Consent::Yes, Consent::No, Consent::Unclear];
/// Ridge, relative to the mean squared length of the centred vectors.
const RIDGE: f64 = 0.3;
/// The share of the prototypes of other meanings that may be read as a yes, or as a no, when each is
/// left out. A wrong yes acts, a wrong no only has to be said again.
const FALSE_YES: f64 = 0.01;
const FALSE_NO: f64 = 0.03;
/// The least lead, however well the prototypes lie apart.
const LEAST_LEAD: f64 = 0.05;

/// Tells yes from no by an embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct Meaning {
    mean: Vec<f64>,
    /// One a class, in the order of `CLASSES`.
    weights: [Vec<f64>; 3],
    bias: [f64; 3],
    /// How far yes, and no, must lead.
    margins: [f64; 2],
}

impl Meaning {
    /// Fits on embeddings of equal length with what they mean; none when there are too few.
    pub fn fit(rows: &[(Consent, &[f32])]) -> Option<Self> {
        let width = rows.first()?.1.len();
        let enough = |class| rows.iter().filter(|row| row.0 == class).count() >= 2;
        if !CLASSES.into_iter().all(enough) || rows.iter().any(|row| row.1.len() != width) {
            return None;
        }
        let count = rows.len() as f64;
        let mean: Vec<f64> = (0..width)
            .map(|at| rows.iter().map(|row| f64::from(row.1[at])).sum::<f64>() / count)
            .collect();
        let centred: Vec<Vec<f64>> = rows
            .iter()
            .map(|row| row.1.iter().zip(&mean).map(|(one, mean)| f64::from(*one) - mean).collect())
            .collect();
        let mut gram: Vec<Vec<f64>> = centred
            .iter()
            .map(|one| centred.iter().map(|other| dot(one, other)).collect())
            .collect();
        let scale = (0..rows.len()).map(|at| gram[at][at]).sum::<f64>() / count;
        for (at, row) in gram.iter_mut().enumerate() {
            row[at] += RIDGE * scale.max(f64::MIN_POSITIVE);
        }
        let inverse = inverse(gram)?;
        let mut weights: [Vec<f64>; 3] = Default::default();
        let mut bias = [0.0; 3];
        let mut left_out = vec![[0.0; 3]; rows.len()];
        for (class, consent) in CLASSES.into_iter().enumerate() {
            let target: Vec<f64> =
                rows.iter().map(|row| if row.0 == consent { 1.0 } else { 0.0 }).collect();
            bias[class] = target.iter().sum::<f64>() / count;
            let target: Vec<f64> = target.iter().map(|one| one - bias[class]).collect();
            let dual: Vec<f64> = inverse.iter().map(|row| dot(row, &target)).collect();
            weights[class] = (0..width)
                .map(|at| centred.iter().zip(&dual).map(|(row, dual)| row[at] * dual).sum())
                .collect();
            for (at, scores) in left_out.iter_mut().enumerate() {
                scores[class] = bias[class] + target[at] - dual[at] / inverse[at][at];
            }
        }
        let margin = |class: usize, share: f64| {
            let wrong = rows.iter().zip(&left_out).filter(|(row, _)| row.0 != CLASSES[class]);
            let mut leads: Vec<f64> = wrong.map(|(_, scores)| lead(scores, class)).collect();
            leads.sort_by(|a, b| b.total_cmp(a));
            let allowed = (share * leads.len() as f64) as usize;
            leads[allowed.min(leads.len() - 1)].max(LEAST_LEAD)
        };
        let margins = [margin(0, FALSE_YES), margin(1, FALSE_NO)];
        Some(Self { mean, weights, bias, margins })
    }

    /// What the message with this embedding means.
    pub fn of(&self, embedding: &[f32]) -> Consent {
        if embedding.len() != self.mean.len() {
            return Consent::Unclear;
        }
        let centred: Vec<f64> =
            embedding.iter().zip(&self.mean).map(|(one, mean)| f64::from(*one) - mean).collect();
        let scores: [f64; 3] =
            std::array::from_fn(|class| self.bias[class] + dot(&self.weights[class], &centred));
        match [0, 1].map(|class| lead(&scores, class) > self.margins[class]) {
            [true, _] => Consent::Yes,
            [false, true] => Consent::No,
            [false, false] => Consent::Unclear,
        }
    }
}

/// How far a class is ahead of the best other one.
fn lead(scores: &[f64; 3], class: usize) -> f64 {
    let others = (0..3).filter(|other| *other != class).map(|other| scores[other]);
    scores[class] - others.fold(f64::NEG_INFINITY, f64::max)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The inverse of a positive definite matrix, by Gauss and Jordan; none when it has none.
fn inverse(mut matrix: Vec<Vec<f64>>) -> Option<Vec<Vec<f64>>> {
    let size = matrix.len();
    for (at, row) in matrix.iter_mut().enumerate() {
        row.extend((0..size).map(|column| if column == at { 1.0 } else { 0.0 }));
    }
    for at in 0..size {
        let pivot = matrix[at][at];
        if !(pivot.is_finite() && pivot > 0.0) {
            return None;
        }
        matrix[at].iter_mut().for_each(|one| *one /= pivot);
        let row = matrix[at].clone();
        for (_, other) in matrix.iter_mut().enumerate().filter(|(number, _)| *number != at) {
            let factor = other[at];
            other.iter_mut().zip(&row).for_each(|(one, row)| *one -= factor * row);
        }
    }
    Some(matrix.into_iter().map(|mut row| row.split_off(size)).collect())
}

#[cfg(test)]
mod tests {
    use super::super::consent::prototypes;
    use super::*;
    use crate::intent::normalize::normalize;
    use crate::intent::whitening::normalize_length;

    /// Pairs of characters, counted, of unit length: texts that share many lie close together.
    fn pairs(text: &str) -> Vec<f32> {
        let mut row = vec![0.0; 499];
        let chars: Vec<char> = normalize(text).text().chars().collect();
        for pair in chars.windows(2) {
            row[(pair[0] as usize * 31 + pair[1] as usize) % 499] += 1.0;
        }
        normalize_length(&mut row);
        row
    }

    #[test]
    fn a_weak_encoder_asks_rather_than_acts() {
        let rows: Vec<_> = prototypes().map(|(means, text)| (means, pairs(text))).collect();
        let rows: Vec<_> = rows.iter().map(|(means, row)| (*means, &row[..])).collect();
        let meaning = Meaning::fit(&rows).expect("the prototypes can be told apart");
        for class in CLASSES {
            let of_it = rows.iter().filter(|row| row.0 == class);
            let read = |one| of_it.clone().filter(|row| meaning.of(row.1) == one).count();
            assert!(read(class) > 5, "{class:?} is told");
            assert!(class == Consent::Yes || read(Consent::Yes) == 0, "{class:?} is no yes");
        }
    }
}
