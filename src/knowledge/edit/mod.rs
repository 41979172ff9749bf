//! Adds one example to a file of the knowledge base and leaves everything else of it as it is:
//! comments, blank lines, indentation, quotes, line ends.
//!
//! The text is not written anew from what it means: one piece is inserted, at a place that the
//! parser's positions give (`locate`). Then both texts are read, and the new one must mean the old
//! one and exactly this example more. A file in which that cannot be done (a shared anchor, a merge
//! key, an odd shape) is refused, with its line. The review queue calls this; [`replace`] puts the
//! new text in the file's place.

mod locate;
mod quote;
mod replace;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use self::replace::{ReplaceError, replace};
use super::format;
use crate::intent::knowledge::{EntityDefinition, Intent, Lang};
use crate::intent::normalize::normalize;
use crate::knowledge::check::MAX_EXAMPLE_CHARS;

/// A text with one example more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The whole new text.
    pub text: String,
    /// Where the example stands, from 1.
    pub line: u64,
}

/// Why an example is not added. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The example itself is no good.
    #[error("{0}")]
    Example(String),
    /// The file cannot be read as it is.
    #[error("the file has a fault at line {line}: {reason}; mend it first")]
    Faulty {
        /// From 1.
        line: u64,
        /// What the parser says.
        reason: String,
    },
    /// The intent is not in this file.
    #[error("there is no intent {0:?} in the file")]
    NoIntent(String),
    /// The file is written in a way in which adding a line would change more than that.
    #[error(
        "line {line} cannot be edited without touching more: {reason}; add the example by hand"
    )]
    Shape {
        /// From 1.
        line: u64,
        /// Why not.
        reason: &'static str,
    },
}

/// An example as it is written into a file: on one line, without spaces at its ends.
///
/// # Errors
/// [`EditError::Example`] for one without visible text and one that is too long.
pub fn one_line(example: &str) -> Result<String, EditError> {
    let spaced = |c: char| if c.is_control() { ' ' } else { c };
    let spaced: String = example.chars().map(spaced).collect();
    let line = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    if normalize(&line).text().is_empty() {
        return Err(EditError::Example("the example has no visible text; write one".to_owned()));
    }
    if line.chars().nth(MAX_EXAMPLE_CHARS).is_some() {
        let message = format!("the example is longer than {MAX_EXAMPLE_CHARS} characters");
        return Err(EditError::Example(message));
    }
    Ok(line)
}

/// `text` with `example` added to the examples of `intent` in the language `lang`.
///
/// # Errors
/// [`EditError`]; a text that comes back means what it meant, and this example more.
pub fn insert_example(
    text: &str,
    intent: &str,
    lang: Lang,
    example: &str,
) -> Result<Edited, EditError> {
    let example = one_line(example)?;
    let before = Meaning::of(text)?;
    let at = before.position(intent)?;
    let insertion = locate::insertion(text, at, lang, &example)?;
    let edited = format!("{}{}{}", &text[..insertion.at], insertion.text, &text[insertion.at..]);
    let shape = || {
        let line = text[..insertion.at].matches('\n').count() as u64 + 1;
        EditError::Shape { line, reason: "what stands there is shared or written in an odd way" }
    };
    let after = Meaning::of(&edited).map_err(|_| shape())?;
    let line = before.gained(&after, at, lang, &example).ok_or_else(shape)?;
    Ok(Edited { text: edited, line })
}

/// What a file says, without the places where it says it.
struct Meaning {
    intents: Vec<Intent>,
    entities: Vec<EntityDefinition>,
    /// Lines of the examples, intent by intent.
    lines: Vec<Vec<u32>>,
}

impl Meaning {
    fn of(text: &str) -> Result<Self, EditError> {
        let path = Path::new("");
        let file = format::read(path, text)
            .map_err(|finding| EditError::Faulty { line: finding.line, reason: finding.message })?;
        let entries = file.intents.into_iter().flatten();
        let mut intents: Vec<Intent> = entries.map(|entry| entry.into_intent(path).0).collect();
        let lines = intents.iter().map(|one| one.examples.iter().map(|e| e.line).collect());
        let lines = lines.collect();
        for intent in &mut intents {
            let all = intent.examples.iter_mut().chain(&mut intent.negative_examples);
            all.for_each(|example| example.line = 0);
        }
        let entities = file.entities.iter().map(|entry| entry.definition()).collect();
        Ok(Self { intents, entities, lines })
    }

    fn position(&self, id: &str) -> Result<usize, EditError> {
        let found = self.intents.iter().position(|intent| intent.id == id);
        found.ok_or_else(|| EditError::NoIntent(id.to_owned()))
    }

    /// The line of the example that `after` has more than this; none when there is any other
    /// difference.
    fn gained(&self, after: &Self, at: usize, lang: Lang, example: &str) -> Option<u64> {
        if self.entities != after.entities || self.intents.len() != after.intents.len() {
            return None;
        }
        let mut changed = after.intents[at].clone();
        let old = &self.intents[at].examples;
        let is_new = |n: &usize| {
            changed.examples.get(*n).is_some_and(|e| e.lang == lang && e.text == example)
                && old.get(*n) != changed.examples.get(*n)
        };
        let new = (0..changed.examples.len()).find(is_new)?;
        changed.examples.remove(new);
        let same = (0..self.intents.len()).all(|n| {
            let now = if n == at { &changed } else { &after.intents[n] };
            self.intents[n] == *now
        });
        same.then(|| after.lines[at][new].into())
    }
}
