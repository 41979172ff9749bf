//! The file format of the knowledge base as Rust types; the JSON Schema for editors is made from
//! them. Whatever a finding may point at is [`Located`].

use std::borrow::Cow;
use std::path::Path;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::Finding;
use super::places::{IntentPlaces, Place, RulePlaces};
use super::slots::SlotEntry;
use crate::intent::knowledge::{
    Action, EntityDefinition, EntityRule, EntityValue, Example, Intent, KeywordRule, Localized,
};

/// One file of the knowledge base: one topic.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Kefu knowledge base")]
pub(super) struct TopicFile {
    /// Version of this format: 1.
    pub(super) version: Located<u32>,
    /// What the file is about; for people.
    #[serde(default)]
    #[allow(dead_code, reason = "documents the file; nothing reads it")]
    topic: Option<String>,
    /// The intents; a file has these, entities, or both.
    #[serde(default)]
    #[schemars(with = "Vec<IntentEntry>")]
    pub(super) intents: Option<Vec<IntentEntry>>,
    /// What the shop calls things: values to find in messages, besides the built-in kinds.
    #[serde(default)]
    pub(super) entities: Vec<EntityEntry>,
}

/// A kind of entity: either `values` or `pattern`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Entity")]
pub(super) struct EntityEntry {
    /// Unique over all files: lower-case letters, digits, `_`, `-`, `/`. Slots refer to it.
    pub(super) name: Located<String>,
    /// A dictionary: values, each with other ways to say it.
    #[serde(default)]
    pub(super) values: Vec<Located<EntityValue>>,
    /// A regular expression (of Rust's `regex`) on the normalised text, upper and lower case alike.
    /// `\b` finds no boundary beside a Chinese character; `(?-u:\b)` does.
    pub(super) pattern: Option<Located<String>>,
}

impl EntityEntry {
    pub(super) fn definition(&self) -> EntityDefinition {
        let rule = match &self.pattern {
            Some(pattern) => EntityRule::Pattern(pattern.value.clone()),
            None => EntityRule::Values(self.values.iter().map(|one| one.value.clone()).collect()),
        };
        EntityDefinition { name: self.name.value.clone(), rule }
    }
}

/// One intent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Intent")]
pub(super) struct IntentEntry {
    /// Unique over all files: lower-case letters, digits, `_`, `-`, `/`.
    pub(super) id: Located<String>,
    /// Name for people, by language.
    #[serde(default)]
    title: Localized<String>,
    /// What the bot says, by language; one is chosen.
    #[serde(default)]
    pub(super) answers: Localized<Vec<Located<String>>>,
    /// Tier-1 rules: strict patterns that answer without the model.
    #[serde(default)]
    pub(super) keywords: Vec<Located<RuleEntry>>,
    /// What visitors write, by language.
    #[serde(default)]
    pub(super) examples: Localized<Vec<Located<String>>>,
    /// What sounds like this intent and is not, by language.
    #[serde(default)]
    pub(super) negative_examples: Localized<Vec<Located<String>>>,
    /// Values that the action needs.
    #[serde(default)]
    pub(super) slots: Vec<SlotEntry>,
    /// The question before the action, by language; without it the bot acts at once.
    #[serde(default)]
    pub(super) confirm: Localized<Located<String>>,
    /// `reply` (the default), `handoff`, or a webhook.
    #[serde(default)]
    pub(super) action: Action,
}

/// A tier-1 rule: fires when one of `any` (if there are some) and all of `all` are found and none
/// of `not`, or when the whole text is one of `exact`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "KeywordRule")]
pub(super) struct RuleEntry {
    /// At least one of these must occur.
    #[serde(default)]
    pub(super) any: Vec<Located<String>>,
    /// All of these must occur.
    #[serde(default)]
    pub(super) all: Vec<Located<String>>,
    /// None of these may occur.
    #[serde(default)]
    pub(super) not: Vec<Located<String>>,
    /// The whole message is one of these, punctuation at its ends aside.
    #[serde(default)]
    pub(super) exact: Vec<Located<String>>,
}

impl IntentEntry {
    /// The intent, and where its parts stand in the file `path`.
    pub(super) fn into_intent(self, path: &Path) -> (Intent, IntentPlaces) {
        let places = self.places(path);
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let sentences = |by_language: Localized<Vec<Located<String>>>| -> Vec<Example> {
            by_language
                .into_iter()
                .flat_map(|(lang, sentences)| sentences.into_iter().map(move |s| (lang, s)))
                .map(|(lang, sentence)| Example {
                    lang,
                    file: file.clone(),
                    line: u32::try_from(sentence.line()).unwrap_or(u32::MAX),
                    text: sentence.value,
                })
                .collect()
        };
        let intent = Intent {
            id: self.id.value,
            title: self.title,
            answers: self.answers.into_iter().map(|(lang, texts)| (lang, values(texts))).collect(),
            keywords: self.keywords.into_iter().map(|rule| rule.value.into_rule()).collect(),
            examples: sentences(self.examples),
            negative_examples: sentences(self.negative_examples),
            slots: self.slots.into_iter().map(SlotEntry::into_slot).collect(),
            confirm: self.confirm.into_iter().map(|(lang, text)| (lang, text.value)).collect(),
            action: self.action,
        };
        (intent, places)
    }

    fn places(&self, path: &Path) -> IntentPlaces {
        let place = |text: &Located<String>| text.place(path);
        let all = |texts: &[Located<String>]| texts.iter().map(place).collect();
        let in_order = |by_language: &Localized<Vec<Located<String>>>| {
            by_language.values().flatten().map(place).collect()
        };
        let rule = |rule: &Located<RuleEntry>| {
            let RuleEntry { any, all: every, not, exact } = &rule.value;
            RulePlaces { any: all(any), all: all(every), not: all(not), exact: all(exact) }
        };
        IntentPlaces {
            id: place(&self.id),
            answers: self.answers.iter().map(|(lang, texts)| (*lang, all(texts))).collect(),
            keywords: self.keywords.iter().map(rule).collect(),
            examples: in_order(&self.examples),
            negative_examples: in_order(&self.negative_examples),
            confirm: self.confirm.iter().map(|(lang, text)| (*lang, place(text))).collect(),
        }
    }
}

impl RuleEntry {
    fn into_rule(self) -> KeywordRule {
        let Self { any, all, not, exact } = self;
        KeywordRule { any: values(any), all: values(all), not: values(not), exact: values(exact) }
    }
}

fn values(texts: Vec<Located<String>>) -> Vec<String> {
    texts.into_iter().map(|text| text.value).collect()
}

/// A value that knows where it stands in its file.
#[derive(Debug, Deserialize)]
#[serde(from = "Spanned<T>", bound(deserialize = "T: Deserialize<'de>"))]
pub(super) struct Located<T> {
    pub(super) value: T,
    line: u64,
    column: u64,
}

impl<T> From<Spanned<T>> for Located<T> {
    fn from(spanned: Spanned<T>) -> Self {
        let at = spanned.referenced;
        Self { value: spanned.value, line: at.line(), column: at.column() }
    }
}

impl<T> Located<T> {
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    fn place(&self, path: &Path) -> Place {
        Place { file: path.to_owned(), line: self.line, column: self.column }
    }

    pub(super) fn finding(&self, path: &Path, code: &'static str, message: String) -> Finding {
        Finding { code, file: path.to_owned(), line: self.line, column: self.column, message }
    }
}

impl<T: JsonSchema> JsonSchema for Located<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
    }
}

/// Reads one file.
pub(super) fn read(path: &Path, text: &str) -> Result<TopicFile, Finding> {
    let file: TopicFile = serde_saphyr::from_str(text).map_err(|error| syntax(path, &error))?;
    if file.version.value != 1 {
        let found = file.version.value;
        let message = format!("version {found} is unknown; this kefu reads version 1");
        return Err(file.version.finding(path, "KB002", message));
    }
    if file.intents.is_none() && file.entities.is_empty() {
        let message = "the file has neither intents nor entities; add one of them";
        return Err(file.version.finding(path, "KB001", message.into()));
    }
    Ok(file)
}

/// What the parser says about a file that is not what its type wants.
pub(super) fn syntax(path: &Path, error: &serde_saphyr::Error) -> Finding {
    let at = error.location().unwrap_or(serde_saphyr::Location::UNKNOWN);
    Finding {
        code: "KB001",
        file: path.to_owned(),
        line: at.line().max(1),
        column: at.column().max(1),
        message: without_place(&error.without_snippet().to_string()),
    }
}

/// The parser's message on one line, without the place that the finding names already.
fn without_place(message: &str) -> String {
    let line = message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    match line.find(" at line ") {
        Some(at) => line[..at].to_owned(),
        None => line,
    }
}

/// The JSON Schema of a knowledge-base file, as committed in `intents/schema.json`.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(TopicFile);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_schema_is_the_one_of_the_types() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/intents/schema.json");
        if std::env::var_os("KEFU_UPDATE_GOLDEN").is_some() {
            std::fs::write(path, super::json_schema()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == super::json_schema(),
            "intents/schema.json is out of date: run the tests once with KEFU_UPDATE_GOLDEN=1"
        );
    }
}
