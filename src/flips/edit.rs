//! How two knowledge bases differ: what an edit added, removed and moved.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::Serialize;
use utoipa::ToSchema;

use crate::intent::knowledge::{Example, KeywordRule, KnowledgeBase};

/// An edit in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Edit {
    /// Examples that are new.
    pub examples_added: usize,
    /// Examples that are gone.
    pub examples_removed: usize,
    /// Examples that stand under another intent.
    pub examples_moved: usize,
    /// Negative examples that are new.
    pub negatives_added: usize,
    /// Negative examples that are gone.
    pub negatives_removed: usize,
    /// Keyword rules that are new or changed.
    pub rules_added: usize,
    /// Keyword rules that are gone or were changed.
    pub rules_removed: usize,
    /// Intents that are new.
    pub intents_added: usize,
    /// Intents that are gone.
    pub intents_removed: usize,
}

/// What became of an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate<'a> {
    /// It is only there afterwards.
    Added,
    /// It was only there before.
    Removed,
    /// It stood under one intent and stands under another.
    Moved { from: &'a str, to: &'a str },
}

/// Both sides of an edit, ready to be asked.
pub(super) struct Edits<'a> {
    before: Side<'a>,
    after: Side<'a>,
}

/// A knowledge base by what is compared. Sentences are compared as written.
struct Side<'a> {
    /// The intents of each sentence.
    examples: HashMap<&'a str, BTreeSet<&'a str>>,
    negatives: HashMap<&'a str, Vec<&'a Example>>,
    rules: HashMap<&'a str, &'a [KeywordRule]>,
}

impl<'a> Side<'a> {
    fn new(knowledge: &'a KnowledgeBase) -> Self {
        let mut examples: HashMap<&str, BTreeSet<&str>> = HashMap::new();
        for (intent, example) in knowledge.examples() {
            let id = knowledge.intents[intent as usize].id.as_str();
            examples.entry(&example.text).or_default().insert(id);
        }
        let by_id = knowledge.intents.iter().map(|intent| (intent.id.as_str(), intent));
        let negatives =
            by_id.clone().map(|(id, known)| (id, known.negative_examples.iter().collect()));
        Self {
            examples,
            negatives: negatives.collect(),
            rules: by_id.map(|(id, known)| (id, known.keywords.as_slice())).collect(),
        }
    }

    fn has(&self, intent: &str, text: &str) -> bool {
        self.examples.get(text).is_some_and(|intents| intents.contains(intent))
    }

    /// Negative examples of `intent` that `other` does not have.
    fn negatives_beside(&self, other: &Self, intent: &str) -> Vec<&'a Example> {
        let list = |side: &Self| side.negatives.get(intent).cloned().unwrap_or_default();
        let known: HashSet<&str> = list(other).into_iter().map(|one| one.text.as_str()).collect();
        list(self).into_iter().filter(|one| !known.contains(one.text.as_str())).collect()
    }

    fn rules_beside(&self, other: &Self) -> usize {
        let count = |(intent, rules): (&&str, &&[KeywordRule])| {
            let known = other.rules.get(intent).copied().unwrap_or_default();
            rules.iter().filter(|rule| !known.contains(rule)).count()
        };
        self.rules.iter().map(count).sum()
    }

    fn intents_beside(&self, other: &Self) -> usize {
        self.rules.keys().filter(|intent| !other.rules.contains_key(*intent)).count()
    }
}

impl<'a> Edits<'a> {
    pub(super) fn new(before: &'a KnowledgeBase, after: &'a KnowledgeBase) -> Self {
        Self { before: Side::new(before), after: Side::new(after) }
    }

    pub(super) fn summary(&self) -> Edit {
        let (before, after) = (&self.before, &self.after);
        let mut edit = Edit {
            rules_added: after.rules_beside(before),
            rules_removed: before.rules_beside(after),
            intents_added: after.intents_beside(before),
            intents_removed: before.intents_beside(after),
            ..Edit::default()
        };
        let sides = [(after, before), (before, after)];
        let [added, removed] = sides.map(|(side, other)| {
            let lists = side.negatives.keys().map(|intent| side.negatives_beside(other, intent));
            lists.map(|list| list.len()).sum()
        });
        (edit.negatives_added, edit.negatives_removed) = (added, removed);
        let nowhere = BTreeSet::new();
        let texts: HashSet<&str> =
            before.examples.keys().chain(after.examples.keys()).copied().collect();
        for text in texts {
            let old = before.examples.get(text).unwrap_or(&nowhere);
            let new = after.examples.get(text).unwrap_or(&nowhere);
            let (gone, come) = (old.difference(new).count(), new.difference(old).count());
            edit.examples_moved += gone.min(come);
            edit.examples_removed += gone.saturating_sub(come);
            edit.examples_added += come.saturating_sub(gone);
        }
        edit
    }

    /// What the edit did to an example of `intent`; none when nothing.
    pub(super) fn fate(&self, intent: &str, text: &str) -> Option<Fate<'a>> {
        let (before, after) = (self.before.has(intent, text), self.after.has(intent, text));
        if before == after {
            return None;
        }
        let nowhere = BTreeSet::new();
        let old = self.before.examples.get(text).unwrap_or(&nowhere);
        let new = self.after.examples.get(text).unwrap_or(&nowhere);
        match (old.difference(new).copied().next(), new.difference(old).copied().next()) {
            (Some(from), Some(to)) => Some(Fate::Moved { from, to }),
            _ if after => Some(Fate::Added),
            _ => Some(Fate::Removed),
        }
    }

    /// Negative examples of `intent` that are new.
    pub(super) fn negatives_added(&self, intent: &str) -> Vec<&'a Example> {
        self.after.negatives_beside(&self.before, intent)
    }

    /// Negative examples of `intent` that are gone.
    pub(super) fn negatives_removed(&self, intent: &str) -> Vec<&'a Example> {
        self.before.negatives_beside(&self.after, intent)
    }

    pub(super) fn is_new_intent(&self, intent: &str) -> bool {
        !self.before.rules.contains_key(intent)
    }

    pub(super) fn is_gone_intent(&self, intent: &str) -> bool {
        !self.after.rules.contains_key(intent)
    }
}
