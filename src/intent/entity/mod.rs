//! Entities: the values in a message, such as an order number, with their place in the original.
//!
//! Built-in kinds, and what the knowledge base defines. All of them look at the normalised text
//! (full-width digits and traditional characters are no special case); what they find is led back
//! to the original. Where finds overlap the longest stays, then the one of the higher `Rank`.
//!
//! No clock: “tomorrow” is `P1D`, and whoever knows the day makes a date of it ([`date`] has the
//! format). Everything here takes time linear in the text, the shop's own patterns aside.

mod amount;
mod asked;
pub mod check;
mod contact;
mod custom;
pub mod date;
mod number;
mod order;

use std::collections::BTreeMap;
use std::ops::Range;

use regex::Regex;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::asked::answer_to;
use self::custom::Custom;
pub use self::custom::{EntityError, check_pattern};
use super::knowledge::{EntityKind, KnowledgeBase};
use super::normalize::{Normalized, normalize};

/// A value found in a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Entity {
    /// `order_number`, `phone`, `email`, `amount`, `date`, or the name of an entity of the
    /// knowledge base.
    #[schema(value_type = String, example = "phone")]
    pub kind: EntityKind,
    /// As the visitor wrote it.
    #[schema(example = "138 1234 5678")]
    pub text: String,
    /// First character in the original text, counted in Unicode scalar values from 0.
    pub start: usize,
    /// One past the last character.
    pub end: usize,
    /// One spelling for all ways to write the same; docs/http.md has the formats.
    #[schema(example = "+8613812345678")]
    pub value: String,
    /// Who found it.
    pub source: EntitySource,
}

/// Who found an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EntitySource {
    /// Kefu's own kinds.
    Builtin,
    /// A list of values in the knowledge base.
    Dictionary,
    /// A pattern in the knowledge base.
    Regex,
}

/// Finds the entities of a text.
#[derive(Debug)]
pub struct Extractor {
    custom: Custom,
}

/// Decides between equally long finds in the same place, the first before the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// The knowledge base's, in its order.
    Custom(u32),
    Email,
    /// After words that only an order number can follow.
    SureOrder,
    Phone,
    Amount,
    Order,
    Date,
}

/// A find, before overlaps are resolved.
#[derive(Debug, Clone)]
struct Candidate {
    kind: EntityKind,
    rank: Rank,
    /// Bytes of the normalised text.
    span: Range<usize>,
    value: String,
    source: EntitySource,
}

impl Candidate {
    fn builtin(kind: EntityKind, rank: Rank, span: Range<usize>, value: String) -> Self {
        Self { kind, rank, span, value, source: EntitySource::Builtin }
    }
}

impl Extractor {
    /// Compiles what the knowledge base defines.
    ///
    /// # Errors
    /// A pattern is no regular expression or too large, or the dictionaries are too large.
    pub fn new(knowledge: &KnowledgeBase) -> Result<Self, EntityError> {
        let extractor = Self { custom: Custom::new(&knowledge.entities)? };
        // Compiles the built-in patterns now, not within the first request.
        extractor.extract("", &normalize(""));
        Ok(extractor)
    }

    /// The entities of a text, in its order, without overlaps. `text` is `original`, normalised.
    pub fn extract(&self, original: &str, text: &Normalized) -> Vec<Entity> {
        let mut found = Vec::new();
        let normal = text.text();
        self.custom.find(normal, &mut found);
        contact::emails(normal, &mut found);
        contact::phones(normal, &mut found);
        order::orders(normal, &mut found);
        amount::amounts(normal, &mut found);
        date::dates(normal, &mut found);
        in_original(original, resolve(text, found))
    }
}

/// Keeps the best finds that do not overlap in the original text, and returns them in its order
/// with their bytes there.
fn resolve(text: &Normalized, found: Vec<Candidate>) -> BTreeMap<usize, (usize, Candidate)> {
    let mut found: Vec<(usize, Candidate)> = found
        .into_iter()
        .filter(|one| !one.span.is_empty())
        .map(|one| (text.text()[one.span.clone()].chars().count(), one))
        .collect();
    found.sort_by(|(a_len, a), (b_len, b)| {
        b_len.cmp(a_len).then(a.rank.cmp(&b.rank)).then(a.span.start.cmp(&b.span.start))
    });
    let mut kept: BTreeMap<usize, (usize, Candidate)> = BTreeMap::new();
    for (_, one) in found {
        // In the original: one character there (㏠) may have become several here.
        let bytes = text.original_span(one.span.clone());
        let free =
            kept.range(..bytes.end).next_back().is_none_or(|(_, last)| last.0 <= bytes.start);
        if free && !bytes.is_empty() {
            kept.insert(bytes.start, (bytes.end, one));
        }
    }
    kept
}

fn in_original(original: &str, kept: BTreeMap<usize, (usize, Candidate)>) -> Vec<Entity> {
    let (mut at, mut chars) = (0, 0);
    kept.into_iter()
        .map(|(start_byte, (end_byte, one))| {
            let start = chars + original[at..start_byte].chars().count();
            let text = &original[start_byte..end_byte];
            let end = start + text.chars().count();
            (at, chars) = (end_byte, end);
            let Candidate { kind, value, source, .. } = one;
            Entity { kind, text: text.to_owned(), start, end, value, source }
        })
        .collect()
}

/// One of the patterns in this module. They use `(?-u:\b)`: Unicode's `\b` never stands between a
/// Chinese character and a digit.
fn compile(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the built-in patterns are regular expressions, tests use each")
}

/// The character before the byte `at`.
fn before(text: &str, at: usize) -> Option<char> {
    text.get(..at)?.chars().next_back()
}

/// The character at the byte `at`.
fn after(text: &str, at: usize) -> Option<char> {
    text.get(at..)?.chars().next()
}

/// True when the digits at an end of `span` go on beyond one of `marks`.
fn goes_on(text: &str, span: &Range<usize>, marks: &str) -> bool {
    let mark = |c: &char| marks.contains(*c);
    let digit = |c: char| c.is_ascii_digit();
    let left = before(text, span.start).filter(mark);
    let right = after(text, span.end).filter(mark);
    after(text, span.start).is_some_and(digit)
        && left.is_some_and(|c| before(text, span.start - c.len_utf8()).is_some_and(digit))
        || before(text, span.end).is_some_and(digit)
            && right.is_some_and(|c| after(text, span.end + c.len_utf8()).is_some_and(digit))
}

/// `345678` of `12-345678` or of `0.345678`.
fn inside_code(text: &str, span: &Range<usize>) -> bool {
    goes_on(text, span, "-.")
}

/// `12345678` of `12345678.5`.
fn is_decimal(text: &str, span: &Range<usize>) -> bool {
    goes_on(text, span, ".")
}

#[cfg(test)]
mod tests;
