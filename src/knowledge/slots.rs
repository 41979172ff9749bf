//! Slots in the files of the knowledge base: how they are written down, and what they must fulfil.
//!
//! What the keys of `validate` mean is decided in `crate::intent::entity::check`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer};

use super::Finding;
use super::check::{is_id, placeholders};
use super::format::{EntityEntry, IntentEntry, Located};
use crate::intent::entity::Extractor;
use crate::intent::entity::check::{CheckFault, ValueCheck};
use crate::intent::knowledge::{
    EntityDefinition, EntityKind, KnowledgeBase, Lang, Localized, Slot, Validation,
};
use crate::intent::normalize::normalize;

/// A value that an action needs.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Slot")]
pub(super) struct SlotEntry {
    /// Unique in its intent: lower-case letters, digits, `_`, `-`, `/`. `{name}` stands for the value
    /// in `confirm`, `answers`, `prompt` and `invalid`.
    pub(super) name: Located<String>,
    /// `order_number`, `phone`, `email`, `amount`, `date`, `text` (anything), or the name of an
    /// entry of `entities` in any file.
    #[schemars(extend("examples" = ["order_number", "phone", "email", "amount", "date", "text"]))]
    pub(super) entity: Located<EntityKind>,
    /// True when the action cannot go without it: it is asked for. Others are taken when the visitor
    /// says them.
    #[serde(default)]
    required: bool,
    /// How to ask for it, by language.
    pub(super) prompt: Localized<Located<String>>,
    /// What a value must fulfil.
    #[serde(default)]
    #[schemars(with = "Option<ValidationEntry>")]
    validate: Option<Located<ValidationEntry>>,
    /// What to say before asking again, by language; `{name}` of the slot itself is what was refused.
    #[serde(default)]
    pub(super) invalid: Localized<Located<String>>,
}

/// What a slot's value must fulfil, beyond its kind.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Validation")]
struct ValidationEntry {
    /// A regular expression (of Rust's `regex`) that the whole value matches, upper and lower case
    /// alike. For every kind but `date`.
    pattern: Option<Located<String>>,
    /// The values that there are. For every kind but `date`.
    #[serde(default)]
    one_of: Vec<Located<String>>,
    /// The least amount (a number), or the first day: `2026-11-05`, `today`, `today+30d`, `today-7d`.
    min: Option<Located<BoundEntry>>,
    /// The largest amount, or the last day.
    max: Option<Located<BoundEntry>>,
    /// Fewest characters of a `text`.
    min_length: Option<Located<u32>>,
    /// Most characters of a `text`.
    max_length: Option<Located<u32>>,
}

/// A number or a day, as written.
#[derive(Debug)]
struct BoundEntry(String);

impl<'de> Deserialize<'de> for BoundEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = BoundEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a day such as 2026-11-05, today or today+30d")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<BoundEntry, E> {
                Ok(BoundEntry(text.trim().to_owned()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<BoundEntry, E> {
                Ok(BoundEntry(number.to_string()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<BoundEntry, E> {
                Ok(BoundEntry(number.to_string()))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<BoundEntry, E> {
                Ok(BoundEntry(number.to_string()))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for BoundEntry {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Bound".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["number", "string"], "examples": [0.01, "today", "today+30d"]})
    }
}

impl SlotEntry {
    pub(super) fn into_slot(self) -> Slot {
        let Self { name, entity, required, prompt, validate, invalid } = self;
        let texts = |texts: Localized<Located<String>>| {
            texts.into_iter().map(|(lang, text)| (lang, text.value)).collect()
        };
        Slot {
            name: name.value,
            entity: entity.value,
            required,
            prompt: texts(prompt),
            validate: validate.map(|rules| rules.value.to_validation()),
            invalid: texts(invalid),
        }
    }
}

impl ValidationEntry {
    fn to_validation(&self) -> Validation {
        let bound =
            |bound: &Option<Located<BoundEntry>>| bound.as_ref().map(|one| one.value.0.clone());
        Validation {
            pattern: self.pattern.as_ref().map(|one| one.value.clone()),
            one_of: self.one_of.iter().map(|one| one.value.clone()).collect(),
            min: bound(&self.min),
            max: bound(&self.max),
            min_length: self.min_length.as_ref().map(|one| one.value),
            max_length: self.max_length.as_ref().map(|one| one.value),
        }
    }

    /// A finding at the key that a fault names.
    fn finding(&self, path: &Path, fault: CheckFault) -> Finding {
        let code = if fault.misplaced { "KB015" } else { "KB016" };
        let CheckFault { key, message, .. } = fault;
        match key {
            "pattern" => at(self.pattern.as_ref(), path, code, message),
            "one_of" => at(self.one_of.first(), path, code, message),
            "min" => at(self.min.as_ref(), path, code, message),
            "max" => at(self.max.as_ref(), path, code, message),
            "min_length" => at(self.min_length.as_ref(), path, code, message),
            _ => at(self.max_length.as_ref(), path, code, message),
        }
    }
}

fn at<T>(place: Option<&Located<T>>, path: &Path, code: &'static str, message: String) -> Finding {
    place.expect("a fault names a key that is written").finding(path, code, message)
}

/// Checks the slots of one intent, and the names in braces in all that it says.
pub(super) fn of_intent(path: &Path, intent: &IntentEntry) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen: HashMap<&str, u64> = HashMap::new();
    for slot in &intent.slots {
        let name = slot.name.value.as_str();
        if !is_id(name) {
            let message = format!(
                "the slot {name:?} is malformed; use lower-case letters, digits, '_', '-' and '/'"
            );
            findings.push(slot.name.finding(path, "KB003", message));
        }
        if let Some(line) = seen.insert(name, slot.name.line()) {
            let message = format!("the slot {name:?} stands in line {line} already; rename one");
            findings.push(slot.name.finding(path, "KB014", message));
        }
        findings.extend(prompts(path, intent, slot));
        if let Some(rules) = &slot.validate {
            findings.extend(validation(path, slot, rules));
        }
    }
    findings.extend(spoken(path, intent));
    findings
}

/// A required slot has a prompt in each language of the answers, and in one at least.
fn prompts(path: &Path, intent: &IntentEntry, slot: &SlotEntry) -> Option<Finding> {
    let answered = intent.answers.iter().filter(|(_, texts)| !texts.is_empty());
    let missing: Vec<String> = answered
        .map(|(lang, _)| *lang)
        .filter(|lang| !slot.prompt.contains_key(lang))
        .map(|lang: Lang| lang.to_string())
        .collect();
    if !slot.required || missing.is_empty() && !slot.prompt.is_empty() {
        return None;
    }
    let missing = if missing.is_empty() { "any language".to_owned() } else { missing.join(", ") };
    let message = format!(
        "the slot {:?} is required and has no prompt in {missing}; write how to ask for it",
        slot.name.value
    );
    Some(slot.name.finding(path, "KB017", message))
}

fn validation(path: &Path, slot: &SlotEntry, rules: &Located<ValidationEntry>) -> Vec<Finding> {
    let written = rules.value.to_validation();
    if written == Validation::default() {
        let message = "validate asks nothing; give it a key, or drop it";
        return vec![rules.finding(path, "KB016", message.into())];
    }
    let faults = ValueCheck::new(&slot.entity.value, &written).err().unwrap_or_default();
    faults.into_iter().map(|fault| rules.value.finding(path, fault)).collect()
}

/// The names in braces are slots, and have a value when the text is said.
fn spoken(path: &Path, intent: &IntentEntry) -> Vec<Finding> {
    let mut findings = Vec::new();
    let position = |name: &str| intent.slots.iter().position(|slot| slot.name.value == name);
    let mut check = |text: &Located<String>, filled: &dyn Fn(usize) -> bool, why: &str| {
        for name in placeholders(&text.value) {
            let (code, message) = match position(name) {
                None => ("KB007", format!("{{{name}}} is no slot of this intent; add it to slots")),
                Some(slot) if !filled(slot) => ("KB018", format!("{{{name}}} {why}")),
                Some(_) => continue,
            };
            findings.push(text.finding(path, code, message));
        }
    };
    let required = |slot: usize| intent.slots[slot].required;
    for text in intent.confirm.values() {
        let why = "may have no value when this is asked; make the slot required, or drop it here";
        check(text, &required, why);
    }
    for text in intent.answers.values().flatten() {
        check(text, &|_| true, "");
    }
    for (at, slot) in intent.slots.iter().enumerate() {
        let before = |other: usize| other < at && required(other);
        let why = "may have no value when this is asked; only required slots above it have one";
        for text in slot.prompt.values() {
            check(text, &before, why);
        }
        for text in slot.invalid.values() {
            check(text, &|other| other == at || before(other), why);
        }
    }
    findings
}

/// The values of `one_of` that the slot's entity can never give.
pub(super) fn never_given(
    intents: &[(&PathBuf, IntentEntry)],
    entities: &[(&PathBuf, EntityEntry)],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, intent) in intents {
        for slot in &intent.slots {
            let values = slot.validate.iter().flat_map(|rules| &rules.value.one_of);
            let kind = &slot.entity.value;
            for value in values {
                if gives(kind, entities, &value.value) == Some(false) {
                    let message = format!(
                        "{:?} is no value of {}; write one as answers carry it, or drop it",
                        value.value,
                        kind.name()
                    );
                    findings.push(value.finding(path, "KB016", message));
                }
            }
        }
    }
    findings
}

/// Whether a text that is `value` has it as a value of `kind`; none when the entity itself is at
/// fault.
fn gives(kind: &EntityKind, entities: &[(&PathBuf, EntityEntry)], value: &str) -> Option<bool> {
    static BUILT_IN: LazyLock<Extractor> = LazyLock::new(|| {
        Extractor::new(&KnowledgeBase::default()).expect("there is nothing to compile")
    });
    let own;
    let extractor = match kind {
        EntityKind::Text | EntityKind::Date => return Some(true),
        EntityKind::Custom(name) => {
            let entry = entities.iter().find(|(_, entry)| entry.name.value == *name)?;
            let definition: EntityDefinition = entry.1.definition();
            let knowledge = KnowledgeBase { intents: vec![], entities: vec![definition] };
            own = Extractor::new(&knowledge).ok()?;
            &own
        }
        _ => &*BUILT_IN,
    };
    let normal = normalize(value);
    let found = extractor.extract(value, &normal);
    let same = |found: &str| normalize(found).text() == normal.text();
    Some(found.iter().any(|one| one.kind == *kind && same(&one.value)))
}

#[cfg(test)]
mod tests;
