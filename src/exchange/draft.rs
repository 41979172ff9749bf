//! What a foreign project says, in its own names and with its places, before `assemble` makes a
//! knowledge base of it. Each format fills one.

use std::collections::HashMap;

use super::ids::is_out_of_scope;
use super::report::Report;
use super::{Fault, Format};
use crate::intent::knowledge::{EntityKind, Lang, Localized};
use crate::knowledge::Place;

/// Everything that was found so far.
pub(super) struct Draft {
    /// The language of every sentence, where the user said so.
    forced: Option<Lang>,
    pub(super) intents: Vec<DraftIntent>,
    intent_numbers: HashMap<String, usize>,
    pub(super) entities: Vec<DraftEntity>,
    entity_numbers: HashMap<String, usize>,
    pub(super) out_of_scope: Vec<Sentence>,
    pub(super) report: Report,
    pub(super) faults: Vec<Fault>,
}

/// An intent by its foreign name.
pub(super) struct DraftIntent {
    pub(super) name: String,
    pub(super) place: Place,
    /// The file it came from, where a project has several.
    pub(super) topic: String,
    pub(super) examples: Vec<Sentence>,
    pub(super) answers: Vec<Sentence>,
    pub(super) slots: Vec<DraftSlot>,
}

/// A sentence and where it stands.
pub(super) struct Sentence {
    pub(super) text: String,
    pub(super) lang: Lang,
    pub(super) place: Place,
}

/// A value that an intent asks for.
pub(super) struct DraftSlot {
    pub(super) name: String,
    pub(super) kind: SlotKind,
    pub(super) required: bool,
    pub(super) prompt: Localized<String>,
    pub(super) place: Place,
}

/// What fills a slot.
pub(super) enum SlotKind {
    BuiltIn(EntityKind),
    /// An entity by its foreign name.
    Named(String),
}

/// An entity by its foreign name.
pub(super) struct DraftEntity {
    pub(super) name: String,
    pub(super) place: Place,
    /// What a list or a lookup table says.
    pub(super) values: Vec<DraftValue>,
    pub(super) patterns: Vec<(String, Place)>,
    /// What mark-up in sentences shows.
    pub(super) seen: Vec<DraftValue>,
}

/// A value with other spellings, which may hold the value itself.
pub(super) struct DraftValue {
    pub(super) value: String,
    pub(super) synonyms: Vec<String>,
    pub(super) place: Place,
}

impl Draft {
    pub(super) fn new(format: Format, forced: Option<Lang>) -> Self {
        Self {
            forced,
            intents: Vec::new(),
            intent_numbers: HashMap::new(),
            entities: Vec::new(),
            entity_numbers: HashMap::new(),
            out_of_scope: Vec::new(),
            report: Report::new(format),
            faults: Vec::new(),
        }
    }

    /// The intent `name`; a new one where there is none yet.
    pub(super) fn intent(&mut self, name: &str, topic: &str, place: &Place) -> &mut DraftIntent {
        let next = self.intents.len();
        let at = *self.intent_numbers.entry(name.to_owned()).or_insert(next);
        if at == next {
            self.intents.push(DraftIntent {
                name: name.to_owned(),
                place: place.clone(),
                topic: topic.to_owned(),
                examples: Vec::new(),
                answers: Vec::new(),
                slots: Vec::new(),
            });
        }
        &mut self.intents[at]
    }

    /// Whether there is an intent `name`.
    pub(super) fn has_intent(&self, name: &str) -> bool {
        self.intent_numbers.contains_key(name)
    }

    /// The entity `name`; a new one where there is none yet.
    pub(super) fn entity(&mut self, name: &str, place: &Place) -> &mut DraftEntity {
        let next = self.entities.len();
        let at = *self.entity_numbers.entry(name.to_owned()).or_insert(next);
        if at == next {
            self.entities.push(DraftEntity {
                name: name.to_owned(),
                place: place.clone(),
                values: Vec::new(),
                patterns: Vec::new(),
                seen: Vec::new(),
            });
        }
        &mut self.entities[at]
    }

    /// Whether there is an entity `name`.
    pub(super) fn has_entity(&self, name: &str) -> bool {
        self.entity_numbers.contains_key(name)
    }

    /// An example of `intent`, or an out-of-scope sentence where the name says so. `tag` is the
    /// language that the file gives it, such as `zh-cn`.
    pub(super) fn example(
        &mut self,
        (intent, topic): (&str, &str),
        text: &str,
        tag: Option<&str>,
        place: Place,
    ) {
        let out_of_scope = is_out_of_scope(intent);
        if !out_of_scope {
            self.intent(intent, topic, &place);
        }
        let Some(lang) = self.lang(tag, text, &place) else { return };
        let sentence = Sentence { text: text.to_owned(), lang, place };
        if out_of_scope {
            self.out_of_scope.push(sentence);
        } else {
            let place = sentence.place.clone();
            self.intent(intent, topic, &place).examples.push(sentence);
        }
    }

    /// The language of a text: the user's word, else the file's, else by the script. None, and a
    /// line in the report, for languages that Kefu does not speak.
    pub(super) fn lang(&mut self, tag: Option<&str>, text: &str, place: &Place) -> Option<Lang> {
        if let Some(forced) = self.forced {
            return Some(forced);
        }
        let Some(tag) = tag.filter(|tag| !tag.is_empty()) else { return Some(Lang::of(text)) };
        let known = language(tag);
        if known.is_none() {
            self.report.leave(
                format!("texts in the language {tag:?}"),
                Some(place),
                "kefu speaks zh and en",
                "translate them, or name the language with --lang",
            );
        }
        known
    }

    /// Leaves one thing out.
    pub(super) fn leave(
        &mut self,
        what: impl Into<String>,
        place: &Place,
        why: &str,
        advice: &str,
    ) {
        self.report.leave(what, Some(place), why, advice);
    }
}

/// What a language tag (`zh-cn`, `en_US`) means here.
pub(super) fn language(tag: &str) -> Option<Lang> {
    let primary = tag.split(['-', '_']).next().unwrap_or_default();
    match primary.to_ascii_lowercase().as_str() {
        "zh" => Some(Lang::Zh),
        "en" => Some(Lang::En),
        _ => None,
    }
}
