//! Calibration for a tuned encoder: on sentences that neither the heads nor the encoder saw.
//!
//! The embeddings of sentences that an encoder was tuned on lie closer together than those of new
//! ones, so cross-validating the heads over them would promise too much. Instead an encoder is
//! tuned on most of the examples, judges the rest, and what that teaches is kept for the encoder
//! that is tuned on all of them.

use super::calibrate::{self, Unseen};
use super::fit::{
    ENOUGH_OUT_OF_SCOPE, FitError, LabelledSet, Lesson, Model, Policy, folds, intent_groups,
};
use crate::intent::classifier::Calibration;

/// Fewest intents that the encoder is still taught when others are left out.
const FEWEST_TAUGHT: usize = 4;

/// Who learns what; numbers of examples.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Split {
    /// For the encoder and the heads to learn from.
    pub taught: Vec<usize>,
    /// Held out of the intents that are taught.
    pub held: Vec<usize>,
    /// All of the intents that are not taught, which stand for what is out of scope.
    pub left_out: Vec<usize>,
}

/// Holds out a fifth of the examples of each intent, and a fifth of the intents where too few
/// sentences that are really out of scope are known.
pub fn split(texts: &[String], labels: &[u32], out_of_scope: usize) -> Split {
    let intents = labels.iter().max().map_or(0, |most| *most as usize + 1);
    let examples =
        LabelledSet { texts: texts.to_vec(), labels: labels.to_vec(), ..LabelledSet::default() };
    let (folds, groups) = (folds(&examples, intents), intent_groups(intents));
    let leaves_out = out_of_scope < ENOUGH_OUT_OF_SCOPE
        && groups.iter().filter(|group| **group != 0).count() >= FEWEST_TAUGHT;
    let mut split = Split::default();
    for (row, label) in labels.iter().enumerate() {
        if leaves_out && groups[*label as usize] == 0 {
            split.left_out.push(row);
        } else if folds[row] == 0 {
            split.held.push(row);
        } else {
            split.taught.push(row);
        }
    }
    split
}

/// What a calibration is made of.
pub struct Sets {
    /// The examples that the encoder was tuned on.
    pub taught: LabelledSet,
    /// What the taught intents are called.
    pub names: LabelledSet,
    /// Other examples of the same intents.
    pub held: LabelledSet,
    /// Examples of other intents.
    pub left_out: LabelledSet,
    /// Sentences that no intent means.
    pub out_of_scope: LabelledSet,
}

/// The calibration by heads over `taught`; all sets are embedded by the encoder that was tuned on
/// `taught`. The keyword precision is left at 1: it is measured elsewhere.
///
/// # Errors
/// [`FitError`].
pub fn calibrate(sets: &Sets, policy: Policy) -> Result<Calibration, FitError> {
    let Sets { taught, names, held, left_out, out_of_scope } = sets;
    if taught.texts.is_empty() {
        return Err(FitError::NoExamples);
    }
    let labels = taught.labels.iter().chain(&held.labels);
    let intents = labels.max().map_or(0, |most| *most as usize + 1);
    let mut model = Model::fit(Lesson { intents, examples: taught, names, tuned: true })?;
    let mut unseen = Unseen::default();
    unseen.add_out_of_scope(model.judge_out_of_scope(out_of_scope)?);
    unseen.add_in_scope(model.evidence(held), &held.labels);
    unseen.add_left_out(Vec::new(), model.evidence(&left_out.first(held.texts.len())));
    calibrate::fit(&unseen, policy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::Embeddings;

    #[test]
    fn each_row_is_in_one_part_and_no_taught_intent_is_left_out() {
        let texts: Vec<String> = (0..200).map(|n| format!("sentence {n}")).collect();
        for (name, intents, out_of_scope, leaves_out) in [
            ("no out-of-scope sentences", 20, 0, true),
            ("enough of them", 20, 100, false),
            ("too few intents", 4, 0, false),
        ] {
            let labels: Vec<u32> = (0..200).map(|n| n % intents).collect();
            let Split { taught, held, left_out } = split(&texts, &labels, out_of_scope);
            assert_eq!(!left_out.is_empty(), leaves_out, "{name}");
            let mut all = [taught.clone(), held.clone(), left_out.clone()].concat();
            all.sort_unstable();
            assert_eq!(all, (0..200).collect::<Vec<_>>(), "{name}");
            let has = |rows: &[usize], label: u32| rows.iter().any(|row| labels[*row] == label);
            for label in 0..intents {
                assert_eq!(has(&taught, label), !has(&left_out, label), "{name} {label}");
                assert_eq!(has(&taught, label), has(&held, label), "{name} {label}");
            }
            assert!(taught.len() >= 3 * held.len(), "{name}");
        }
    }

    #[test]
    fn any_part_but_the_taught_one_may_be_empty() {
        let set = |rows: u32| {
            let one = |at: u32| if at.is_multiple_of(2) { [1.0, 0.0] } else { [0.0, 1.0] };
            LabelledSet {
                texts: (0..rows).map(|at| format!("sentence {at}")).collect(),
                embeddings: Embeddings::new(2, (0..rows).flat_map(one).collect()),
                labels: (0..rows).map(|at| at % 2).collect(),
            }
        };
        // An empty set has no embeddings, and so no dimension either.
        let part = |rows| if rows == 0 { LabelledSet::default() } else { set(rows) };
        for [taught, held, left_out, out_of_scope] in [[8, 4, 0, 0], [8, 0, 0, 0], [8, 4, 2, 2]] {
            let sets = Sets {
                taught: part(taught),
                names: part(0),
                held: part(held),
                left_out: part(left_out),
                out_of_scope: part(out_of_scope),
            };
            let fitted = calibrate(&sets, Policy::default()).unwrap();
            assert!(fitted.thresholds.in_scope.is_finite(), "{held} {left_out} {out_of_scope}");
        }
    }
}
