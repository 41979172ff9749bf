//! How accuracy grows with the training rows: would more examples help?
//!
//! Called by `train-intents eval --learning-curve`; each point costs a fit.

use serde::{Deserialize, Serialize};

use super::fit::{self, FitError, Fitted, LabelledSet, Lesson, Material, Policy};
use super::metrics::share;
use crate::intent::answer::Status;
use crate::progress::Progress;

/// The shares of the training rows, in percent, that are tried besides all of them.
const PERCENT: [usize; 4] = [10, 25, 50, 75];

/// Accuracy after training on some of the rows. Shares are 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LearningPoint {
    /// Percent of the training rows.
    pub percent: usize,
    /// Number of training rows.
    pub rows: usize,
    /// Share of in-scope sentences whose most probable intent is right, before rejection.
    pub accuracy: f64,
    /// The same, with sentences that were called out of scope counted as errors.
    pub accuracy_with_rejections: f64,
}

/// What is taught, calibrated and measured on.
pub struct Sets<'a> {
    /// To fit on; the examples are taken in parts.
    pub material: Material<'a>,
    /// What the thresholds guarantee.
    pub policy: Policy,
    /// To measure on.
    pub test: &'a LabelledSet,
}

/// Fits on 10, 25, 50 and 75 % of the rows and measures; `whole` was fitted on all of them.
///
/// Rows are taken by intent and by the hash of their text: the same on every machine, and what a
/// smaller share holds, a larger one holds too. No intent loses all its rows.
///
/// # Errors
/// [`FitError`].
pub fn measure(
    sets: &Sets,
    whole: &Fitted,
    progress: &dyn Progress,
) -> Result<Vec<LearningPoint>, FitError> {
    let Sets { material, policy, test } = *sets;
    let Lesson { examples, intents, .. } = material.lesson;
    let ranks = ranks(examples, intents);
    let mut points = Vec::with_capacity(PERCENT.len() + 1);
    for percent in PERCENT {
        let some = examples.only(|at| {
            let (rank, of) = ranks[at];
            rank < (of * percent).div_ceil(100)
        });
        let lesson = Lesson { examples: &some, ..material.lesson };
        let fitted = fit::fit(Material { lesson, ..material }, policy, progress)?;
        points.push(point(percent, some.texts.len(), &fitted, test));
    }
    points.push(point(100, examples.texts.len(), whole, test));
    Ok(points)
}

fn point(percent: usize, rows: usize, fitted: &Fitted, test: &LabelledSet) -> LearningPoint {
    let judged: Vec<(bool, bool)> = fitted
        .decide(test)
        .iter()
        .zip(&test.labels)
        .map(|(made, label)| (made.ranking[0].0 == *label, made.status != Status::OutOfScope))
        .collect();
    LearningPoint {
        percent,
        rows,
        accuracy: share(&judged, |one| one.0),
        accuracy_with_rejections: share(&judged, |one| one.0 && one.1),
    }
}

/// For each row, its place among the rows of its intent and how many these are.
fn ranks(train: &LabelledSet, intents: usize) -> Vec<(usize, usize)> {
    let mut by_intent: Vec<Vec<(u64, usize)>> = vec![Vec::new(); intents];
    for (at, (text, &label)) in train.texts.iter().zip(&train.labels).enumerate() {
        by_intent[label as usize].push((fit::fnv1a(text), at));
    }
    let mut ranks = vec![(0, 0); train.texts.len()];
    for rows in &mut by_intent {
        rows.sort_unstable();
        for (rank, &(_, at)) in rows.iter().enumerate() {
            ranks[at] = (rank, rows.len());
        }
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_intent_keeps_rows_and_shares_are_nested() {
        let texts: Vec<String> = (0..22).map(|n| format!("sentence {n}")).collect();
        let labels = (0..22).map(|n| u32::from(n >= 20)).collect();
        let set = LabelledSet { texts, labels, ..LabelledSet::default() };
        let ranks = ranks(&set, 2);
        let taken = |percent: usize| -> Vec<usize> {
            (0..22).filter(|&at| ranks[at].0 < (ranks[at].1 * percent).div_ceil(100)).collect()
        };
        assert_eq!((taken(10).len(), taken(50).len(), taken(100).len()), (3, 11, 22));
        assert!(taken(10).iter().any(|&at| at >= 20));
        assert!(taken(10).iter().all(|at| taken(25).contains(at)));
    }
}
