//! The entities of the knowledge base: dictionaries and patterns.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex::{Regex, RegexBuilder};

use super::{Candidate, EntitySource, Rank};
use crate::intent::keyword::{ends_with_word, starts_with_word};
use crate::intent::knowledge::{EntityDefinition, EntityKind, EntityRule};
use crate::intent::normalize::normalize;

/// The most memory that one compiled pattern may take, in bytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// The knowledge base's entities cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum EntityError {
    /// The pattern of an entity is wrong.
    #[error("the pattern of the entity {name:?}: {source}")]
    Pattern {
        /// Whose.
        name: String,
        /// What is wrong.
        source: Box<regex::Error>,
    },
    /// The dictionaries cannot be compiled.
    #[error("the dictionaries cannot be compiled: {0}")]
    Dictionaries(#[from] aho_corasick::BuildError),
}

/// Compiled definitions.
#[derive(Debug)]
pub(super) struct Custom {
    kinds: Vec<EntityKind>,
    automaton: AhoCorasick,
    words: Vec<Word>,
    /// Number of the entity and its pattern.
    patterns: Vec<(u32, Regex)>,
}

/// One spelling in the automaton.
#[derive(Debug)]
struct Word {
    /// Whether a word character may not stand before / after it.
    bound_before: bool,
    bound_after: bool,
    /// Number of the entity, and the value.
    means: Vec<(u32, String)>,
}

impl Custom {
    pub(super) fn new(definitions: &[EntityDefinition]) -> Result<Self, EntityError> {
        let mut spellings: Vec<String> = Vec::new();
        let mut words: Vec<Word> = Vec::new();
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let mut patterns = Vec::new();
        for (entity, definition) in definitions.iter().enumerate() {
            let entity = entity as u32;
            let values = match &definition.rule {
                EntityRule::Values(values) => values,
                EntityRule::Pattern(pattern) => {
                    let pattern = build(pattern).map_err(|error| EntityError::Pattern {
                        name: definition.name.clone(),
                        source: Box::new(error),
                    })?;
                    patterns.push((entity, pattern));
                    continue;
                }
            };
            for value in values {
                for spelling in std::iter::once(&value.value).chain(&value.synonyms) {
                    let spelling = normalize(spelling).text().to_owned();
                    if spelling.is_empty() {
                        continue;
                    }
                    let number = *numbers.entry(spelling).or_insert_with_key(|spelling| {
                        spellings.push(spelling.clone());
                        words.push(Word {
                            bound_before: starts_with_word(spelling),
                            bound_after: ends_with_word(spelling),
                            means: Vec::new(),
                        });
                        words.len() - 1
                    });
                    let means = &mut words[number].means;
                    if means.iter().all(|known| known.0 != entity) {
                        means.push((entity, value.value.clone()));
                    }
                }
            }
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&spellings)?;
        let kinds = definitions.iter().map(|one| EntityKind::Custom(one.name.clone())).collect();
        Ok(Self { kinds, automaton, words, patterns })
    }

    pub(super) fn find(&self, text: &str, out: &mut Vec<Candidate>) {
        let mut push = |entity: u32, span, value, source| {
            let kind = self.kinds[entity as usize].clone();
            out.push(Candidate { kind, rank: Rank::Custom(entity), span, value, source });
        };
        for found in self.automaton.find_overlapping_iter(text) {
            let word = &self.words[found.pattern().as_usize()];
            if word.bound_before && ends_with_word(&text[..found.start()])
                || word.bound_after && starts_with_word(&text[found.end()..])
            {
                continue;
            }
            for (entity, value) in &word.means {
                push(*entity, found.range(), value.clone(), EntitySource::Dictionary);
            }
        }
        for (entity, pattern) in &self.patterns {
            for found in pattern.find_iter(text) {
                push(*entity, found.range(), found.as_str().to_owned(), EntitySource::Regex);
            }
        }
    }
}

/// Checks a pattern of the knowledge base.
///
/// # Errors
/// What is wrong with it, on one line.
pub fn check_pattern(pattern: &str) -> Result<(), String> {
    compile_pattern(pattern).map(drop)
}

/// Compiles a pattern of the knowledge base.
///
/// # Errors
/// What is wrong with it, on one line.
pub(super) fn compile_pattern(pattern: &str) -> Result<Regex, String> {
    let error = match build(pattern) {
        Ok(pattern) => return Ok(pattern),
        Err(regex::Error::CompiledTooBig(limit)) => {
            return Err(format!("it takes more than {limit} bytes when it is compiled"));
        }
        Err(error) => error.to_string(),
    };
    // The library draws the pattern with a mark below it and says what is wrong in the last line.
    let last = error.lines().last().unwrap_or_default();
    Err(last.trim_start_matches("error: ").to_owned())
}

/// The text is in lower case when patterns see it, so they do not look at the case.
fn build(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).case_insensitive(true).size_limit(MAX_PATTERN_BYTES).build()
}
