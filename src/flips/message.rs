//! The messages that are compared: each text once, with the right answer where it is known.

use std::collections::HashSet;

use serde::Serialize;
use utoipa::ToSchema;

use crate::intent::answer::Tier;
use crate::intent::golden::{Expected, GoldenSentence};
use crate::intent::normalize::{Normalized, normalize};

/// Where a message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The golden set of the knowledge base.
    Golden,
    /// Labelled rows that nothing was fitted on.
    HeldOut,
    /// What visitors wrote.
    Logged,
    /// The request that asks.
    Sent,
}

/// A message to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it comes from.
    pub source: Source,
    /// As written.
    pub text: String,
    /// The right answer, where it is known.
    pub expected: Option<Expected>,
    /// The tier that must answer, where one must.
    pub tier: Option<Tier>,
    /// The file it stands in.
    pub file: Option<String>,
    /// Line in the file, from 1.
    pub line: Option<u32>,
}

impl Message {
    /// A message of which only the text is known.
    pub fn plain(source: Source, text: String) -> Self {
        Self { source, text, expected: None, tier: None, file: None, line: None }
    }
}

impl From<&GoldenSentence> for Message {
    fn from(sentence: &GoldenSentence) -> Self {
        Self {
            source: Source::Golden,
            text: sentence.text.clone(),
            expected: Some(sentence.expected.clone()),
            tier: sentence.tier,
            file: Some(sentence.file.clone()),
            line: Some(sentence.line),
        }
    }
}

/// Messages, each with its normalised text.
#[derive(Debug, Clone, Default)]
pub struct Messages(Vec<(Message, Normalized)>);

impl Messages {
    /// Takes messages in order; of those with the same normalised text the first counts.
    pub fn new(messages: impl IntoIterator<Item = Message>) -> Self {
        let mut seen = HashSet::new();
        let mut kept = Vec::new();
        for message in messages {
            let text = normalize(&message.text);
            if seen.insert(text.text().to_owned()) {
                kept.push((message, text));
            }
        }
        Self(kept)
    }

    /// The normalised texts, to be embedded.
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(|(_, text)| text.text().to_owned()).collect()
    }

    /// Number of messages.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True without messages.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(Message, Normalized)> {
        self.0.iter()
    }
}
