//! Two evaluations side by side: what got better, what got worse.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::AUROC;
use super::evaluation::Evaluation;

/// The differences of two evaluations.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// What the old one measured.
    pub old: String,
    /// What the new one measured.
    pub new: String,
    /// The figures, in the order of every table.
    pub figures: Vec<FigureChange>,
    /// Intents whose F1 differs or that only one has, the greatest loss first.
    pub intents: Vec<IntentChange>,
    /// Pairs that are confused more or less often, the greatest increase first.
    pub confusions: Vec<ConfusionChange>,
}

/// One figure of both; a share is 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FigureChange {
    /// What it is.
    pub name: &'static str,
    /// Its old value; none where it was not measured.
    pub old: Option<f64>,
    /// Its new value; none where it was not measured.
    pub new: Option<f64>,
    /// True when more is better.
    pub more_is_better: bool,
}

/// F1 of one intent in both, 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IntentChange {
    /// Its name.
    pub intent: String,
    /// Its old F1; none where it did not occur.
    pub old: Option<f64>,
    /// Its new F1; none where it does not occur.
    pub new: Option<f64>,
}

/// How often one pair is confused in both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConfusionChange {
    /// The true intent.
    pub truth: String,
    /// The top intent.
    pub predicted: String,
    /// How often it was.
    pub old: usize,
    /// How often it is.
    pub new: usize,
}

impl Comparison {
    /// Sets two evaluations beside each other.
    pub fn new(old: &Evaluation, new: &Evaluation) -> Self {
        let title = |of: &Evaluation| format!("{} with {}", of.figures.data, of.figures.encoder);
        Self {
            old: title(old),
            new: title(new),
            figures: figures(old, new),
            intents: intents(old, new),
            confusions: confusions(old, new),
        }
    }

    /// True when both measured as many sentences of as many intents: figures then compare.
    pub(super) fn is_fair(old: &Evaluation, new: &Evaluation) -> bool {
        let measured = |of: &Evaluation| {
            let figures = &of.figures;
            (figures.intents, figures.in_scope_sentences, figures.out_of_scope_sentences)
        };
        measured(old) == measured(new)
    }
}

impl FigureChange {
    /// A value as text: percent with two digits, AUROC with four.
    pub(super) fn show(&self, value: Option<f64>) -> String {
        match value {
            None => "–".to_owned(),
            Some(value) if self.name == AUROC => format!("{value:.4}"),
            Some(value) => format!("{:.2} %", 100.0 * value),
        }
    }

    /// The change as text, in percentage points, and whether it is for the better (none: no
    /// change).
    pub(super) fn change(&self) -> (String, Option<bool>) {
        let (Some(old), Some(new)) = (self.old, self.new) else { return ("–".to_owned(), None) };
        let change = new - old;
        let text = if self.name == AUROC {
            format!("{change:+.4}")
        } else {
            format!("{:+.2}", 100.0 * change)
        };
        let better = (change.abs() >= 5e-5).then_some((change > 0.0) == self.more_is_better);
        (text, better)
    }
}

impl IntentChange {
    fn change(&self) -> f64 {
        self.new.unwrap_or(0.0) - self.old.unwrap_or(0.0)
    }
}

fn figures(old: &Evaluation, new: &Evaluation) -> Vec<FigureChange> {
    let (before, after) = (old.figures.figures(), new.figures.figures());
    let mut names = after.clone();
    names.extend(before.iter().filter(|one| after.iter().all(|other| other.name != one.name)));
    let value =
        |of: &[super::Figure], name| of.iter().find(|one| one.name == name).map(|one| one.value);
    names
        .iter()
        .map(|one| FigureChange {
            name: one.name,
            old: value(&before, one.name),
            new: value(&after, one.name),
            more_is_better: one.more_is_better,
        })
        .collect()
}

fn intents(old: &Evaluation, new: &Evaluation) -> Vec<IntentChange> {
    let mut all: BTreeMap<&str, (Option<f64>, Option<f64>)> = BTreeMap::new();
    old.intents.iter().for_each(|one| all.entry(&one.intent).or_default().0 = one.f1);
    new.intents.iter().for_each(|one| all.entry(&one.intent).or_default().1 = one.f1);
    let mut changes: Vec<IntentChange> = all
        .into_iter()
        .filter(|(_, (old, new))| old != new)
        .map(|(intent, (old, new))| IntentChange { intent: intent.to_owned(), old, new })
        .collect();
    changes.sort_by(|a, b| a.change().total_cmp(&b.change()));
    changes
}

fn confusions(old: &Evaluation, new: &Evaluation) -> Vec<ConfusionChange> {
    let mut all: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
    for pair in &old.confusions {
        all.entry((&pair.truth, &pair.predicted)).or_default().0 = pair.count;
    }
    for pair in &new.confusions {
        all.entry((&pair.truth, &pair.predicted)).or_default().1 = pair.count;
    }
    let mut changes: Vec<ConfusionChange> = all
        .into_iter()
        .filter(|(_, (old, new))| old != new)
        .map(|((truth, predicted), (old, new))| ConfusionChange {
            truth: truth.to_owned(),
            predicted: predicted.to_owned(),
            old,
            new,
        })
        .collect();
    changes.sort_by_key(|one| Reverse(one.new as i64 - one.old as i64));
    changes
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old: {}\nnew: {}", self.old, self.new)?;
        writeln!(f, "  {:<46}{:>10}{:>10}{:>9}", "", "old", "new", "change")?;
        for one in &self.figures {
            let (old, new) = (one.show(one.old), one.show(one.new));
            let (change, better) = one.change();
            let verdict = better.map_or("", |better| if better { "  better" } else { "  worse" });
            writeln!(f, "  {:<46}{old:>10}{new:>10}{change:>9}{verdict}", one.name)?;
        }
        let more = self.confusions.iter().take(5).filter(|one| one.new > one.old);
        for one in more {
            let ConfusionChange { truth, predicted, old, new } = one;
            writeln!(f, "  more often, {old} → {new} ×: {truth} taken for {predicted}")?;
        }
        let less = self.confusions.iter().rev().take(5).filter(|one| one.new < one.old);
        for one in less {
            let ConfusionChange { truth, predicted, old, new } = one;
            writeln!(f, "  less often, {old} → {new} ×: {truth} taken for {predicted}")?;
        }
        write!(f, "{} intents have another F1 than before", self.intents.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn both_directions() {
        let old = sample::evaluation();
        let mut new = old.clone();
        new.figures.accuracy += 0.1;
        new.figures.calibration_error += 0.1;
        (new.figures.oos_recall, new.figures.oos_matched) = (None, None);
        new.confusions[0].count = 7;
        new.intents.remove(0);
        let both = Comparison::new(&old, &new);
        let change =
            |name: &str| both.figures.iter().find(|one| one.name == name).unwrap().change();
        assert_eq!(change("accuracy of the top intent before rejection").1, Some(true));
        assert_eq!(change("expected calibration error"), ("+10.00".to_owned(), Some(false)));
        assert_eq!(change("out-of-scope recall"), ("–".to_owned(), None));
        assert_eq!(change("macro-F1 before rejection").1, None);
        assert_eq!((both.intents.len(), both.confusions.len()), (1, 1));
        assert!(both.to_string().contains("1 → 7 ×: 查物流 taken for refund"), "{both}");
        assert_eq!(Comparison::new(&old, &old).intents.len(), 0);
    }
}
