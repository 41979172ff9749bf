//! Where the parts of a knowledge base stand in its files, for findings about them.
//!
//! Kept beside the knowledge base and not in it: moving a line must not make another model.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::intent::knowledge::Localized;

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// The file as it was found.
    pub file: PathBuf,
    /// From 1.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// The places of a whole knowledge base, intent by intent.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// In the order of the knowledge base.
    pub intents: Vec<IntentPlaces>,
}

/// The places of one intent; each list in the order of the intent's own.
#[derive(Debug, Clone)]
pub struct IntentPlaces {
    /// The id.
    pub id: Place,
    /// The answers.
    pub answers: Localized<Vec<Place>>,
    /// The keywords, rule by rule.
    pub keywords: Vec<RulePlaces>,
    /// The examples. Rows of the training data, which follow them in the intent, have none.
    pub examples: Vec<Place>,
    /// The negative examples.
    pub negative_examples: Vec<Place>,
    /// The confirmation questions.
    pub confirm: Localized<Place>,
}

/// The places of one rule's keywords.
#[derive(Debug, Clone)]
pub struct RulePlaces {
    /// Of `any`.
    pub any: Vec<Place>,
    /// Of `all`.
    pub all: Vec<Place>,
    /// Of `not`.
    pub not: Vec<Place>,
    /// Of `exact`.
    pub exact: Vec<Place>,
}
