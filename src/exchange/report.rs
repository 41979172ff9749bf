//! What an import or an export carried over, and what it could not.
//!
//! Filled by the formats, written by `crate::cli`. The same things are counted together, so that a
//! project with a thousand roles has one line about roles.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::Serialize;

use super::Format;
use crate::intent::knowledge::{EntityRule, KnowledgeBase, Lang};
use crate::knowledge::Place;

/// So many shared sentences are shown to people.
const SHOWN: usize = 20;

/// The account of one import or export.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was read, or written.
    pub format: Format,
    /// What is there on the other side.
    pub carried: Counts,
    /// Sentences that stood twice in one intent, or twice out of scope, and are there once.
    pub duplicates: usize,
    /// Names that are no ids of ours, and the ids that they got.
    pub renamed: Vec<Renamed>,
    /// Sentences of several intents. All of them are kept.
    pub shared: Vec<Shared>,
    /// What is not on the other side.
    pub left_out: Vec<LeftOut>,
    /// What was guessed or not looked at.
    pub notes: Vec<String>,
    #[serde(skip)]
    known: HashMap<(String, String), usize>,
}

/// How many of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Intents.
    pub intents: usize,
    /// Examples by language.
    pub examples: BTreeMap<Lang, usize>,
    /// Answers.
    pub answers: usize,
    /// Slots.
    pub slots: usize,
    /// Entities, dictionaries and patterns.
    pub entities: usize,
    /// Values of dictionaries.
    pub values: usize,
    /// Out-of-scope sentences.
    pub out_of_scope: usize,
}

/// A name that became another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Renamed {
    /// `intent` or `entity`.
    pub kind: &'static str,
    /// The name in the other system.
    pub from: String,
    /// The id here.
    pub to: String,
}

/// A sentence of several intents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shared {
    /// As it stands at `place`.
    pub text: String,
    /// Whose: ids, `oos` for out of scope.
    pub intents: [String; 2],
    /// Where it stands the second time.
    pub place: Place,
}

/// Something that was not carried over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// What it is, in the words of its system.
    pub what: String,
    /// How many of them.
    pub count: usize,
    /// Where the first one stands; none for what stands nowhere in particular.
    pub place: Option<Place>,
    /// Why it is not there.
    pub why: String,
    /// What to do about it.
    pub advice: String,
}

impl Report {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            carried: Counts::default(),
            duplicates: 0,
            renamed: Vec::new(),
            shared: Vec::new(),
            left_out: Vec::new(),
            notes: Vec::new(),
            known: HashMap::new(),
        }
    }

    /// Counts one thing that is left out; with others that are the same for the same reason.
    pub(super) fn leave(
        &mut self,
        what: impl Into<String>,
        place: Option<&Place>,
        why: impl Into<String>,
        advice: impl Into<String>,
    ) {
        let key = (what.into(), why.into());
        if let Some(&at) = self.known.get(&key) {
            self.left_out[at].count += 1;
            return;
        }
        self.known.insert(key.clone(), self.left_out.len());
        let (what, why) = key;
        let place = place.cloned();
        self.left_out.push(LeftOut { what, count: 1, place, why, advice: advice.into() });
    }

    /// Counts what `knowledge` has.
    pub(super) fn count(&mut self, knowledge: &KnowledgeBase, out_of_scope: usize) {
        let intents = &knowledge.intents;
        let mut examples = BTreeMap::new();
        for (_, example) in knowledge.examples() {
            *examples.entry(example.lang).or_default() += 1;
        }
        let values = |rule: &EntityRule| match rule {
            EntityRule::Values(values) => values.len(),
            EntityRule::Pattern(_) => 0,
        };
        self.carried = Counts {
            intents: intents.len(),
            examples,
            answers: intents.iter().flat_map(|one| one.answers.values()).map(Vec::len).sum(),
            slots: intents.iter().map(|one| one.slots.len()).sum(),
            entities: knowledge.entities.len(),
            values: knowledge.entities.iter().map(|one| values(&one.rule)).sum(),
            out_of_scope,
        };
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_lang: Vec<String> =
            self.examples.iter().map(|(lang, count)| format!("{count} {lang}")).collect();
        let examples = self.examples.values().sum();
        write!(f, "{}, {}", plural(self.intents, "intent"), plural(examples, "example"))?;
        if by_lang.len() > 1 {
            write!(f, " ({})", by_lang.join(", "))?;
        }
        let rest = [
            (self.answers, "answer"),
            (self.slots, "slot"),
            (self.out_of_scope, "out-of-scope sentence"),
        ];
        for (count, word) in rest.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {}", plural(count, word))?;
        }
        match self.entities {
            0 => Ok(()),
            1 => write!(f, ", 1 entity ({})", plural(self.values, "value")),
            count => write!(f, ", {count} entities ({})", plural(self.values, "value")),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "carried over: {}", self.carried)?;
        if self.duplicates > 0 {
            writeln!(
                f,
                "dropped: {} that stood there already",
                plural(self.duplicates, "sentence")
            )?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))?;
        if !self.renamed.is_empty() {
            writeln!(f, "renamed:")?;
        }
        for Renamed { kind, from, to } in &self.renamed {
            writeln!(f, "  {kind} {from:?} is {to}")?;
        }
        if !self.shared.is_empty() {
            writeln!(f, "in two intents, kept in both; train-intents validate finds them again:")?;
        }
        for Shared { text, intents: [one, other], place } in self.shared.iter().take(SHOWN) {
            writeln!(f, "  {text:?} of {one} and {other}, {place}")?;
        }
        if self.shared.len() > SHOWN {
            writeln!(f, "  and {} more, which --json lists", self.shared.len() - SHOWN)?;
        }
        if self.left_out.is_empty() {
            return write!(f, "not carried over: nothing");
        }
        write!(f, "not carried over (count × what | first place | why | what to do):")?;
        for LeftOut { what, count, place, why, advice } in &self.left_out {
            let place = place.as_ref().map_or_else(|| "-".to_owned(), Place::to_string);
            write!(f, "\n  {count:>5} × {what} | {place} | {why} | {advice}")?;
        }
        Ok(())
    }
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_counted_together() {
        let mut report = Report::new(Format::Rasa);
        let place = |line| Place { file: "a.yml".into(), line, column: 1 };
        report.leave("stories", Some(&place(3)), "kefu has none", "write intents");
        report.leave("stories", Some(&place(9)), "kefu has none", "write intents");
        report.leave("rules", None, "kefu has none", "write intents");
        let text = report.to_string();
        assert!(
            text.contains("    2 × stories | a.yml:3:1 | kefu has none | write intents"),
            "{text}"
        );
        assert!(text.ends_with("    1 × rules | - | kefu has none | write intents"), "{text}");
    }

    #[test]
    fn nothing_left_out_says_so() {
        let text = Report::new(Format::Csv).to_string();
        assert_eq!(text, "carried over: 0 intents, 0 examples\nnot carried over: nothing");
    }
}
