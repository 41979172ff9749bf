//! What the entities of a knowledge base must fulfil beyond their types.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::Finding;
use super::check::is_id;
use super::format::{EntityEntry, IntentEntry, Located};
use crate::intent::entity::check_pattern;
use crate::intent::knowledge::EntityKind;
use crate::intent::normalize::normalize;

/// Checks the entities of all files together.
pub(super) fn all(entries: &[(&PathBuf, EntityEntry)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen: HashMap<&str, (&Path, u64)> = HashMap::new();
    for (path, entry) in entries {
        findings.extend(one(path, entry));
        let name = entry.name.value.as_str();
        let taken = if EntityKind::BUILT_IN.iter().any(|kind| kind.name() == name) {
            Some("is built in".to_owned())
        } else {
            seen.get(name)
                .map(|(file, line)| format!("stands in {}:{line} already", file.display()))
        };
        if let Some(taken) = taken {
            let message = format!("entity {name:?} {taken}; rename one");
            findings.push(entry.name.finding(path, "KB012", message));
        } else {
            seen.insert(name, (path, entry.name.line()));
        }
    }
    findings
}

/// The slots whose entity nobody defines.
pub(super) fn unknown(
    intents: &[(&PathBuf, IntentEntry)],
    entities: &[(&PathBuf, EntityEntry)],
) -> Vec<Finding> {
    let known: HashSet<&str> =
        entities.iter().map(|(_, entry)| entry.name.value.as_str()).collect();
    let mut findings = Vec::new();
    for (path, intent) in intents {
        for slot in &intent.slots {
            if let EntityKind::Custom(name) = &slot.entity.value
                && !known.contains(name.as_str())
            {
                let built_in = EntityKind::BUILT_IN.map(|kind| kind.name().to_owned()).join(", ");
                let message = format!(
                    "no entity is called {name:?}; define it under entities, or use one of {built_in}"
                );
                findings.push(slot.entity.finding(path, "KB010", message));
            }
        }
    }
    findings
}

fn one(path: &Path, entry: &EntityEntry) -> Vec<Finding> {
    let mut findings = Vec::new();
    let name = &entry.name;
    if !is_id(&name.value) {
        let message = format!(
            "the name {:?} is malformed; use lower-case letters, digits, '_', '-' and '/'",
            name.value
        );
        findings.push(name.finding(path, "KB003", message));
    }
    match &entry.pattern {
        Some(pattern) => {
            if let Err(error) = check_pattern(&pattern.value) {
                let message = format!("the pattern is no regular expression: {error}");
                findings.push(pattern.finding(path, "KB011", message));
            }
            if !entry.values.is_empty() {
                let message = "the entity has values and a pattern; keep one of them";
                findings.push(pattern.finding(path, "KB013", message.into()));
            }
        }
        None if entry.values.is_empty() => {
            let message = "the entity has neither values nor a pattern, so it cannot be found";
            findings.push(name.finding(path, "KB013", message.into()));
        }
        None => findings.extend(dictionary(path, &entry.values)),
    }
    findings
}

/// Every spelling is visible and means one value.
fn dictionary(
    path: &Path,
    values: &[Located<crate::intent::knowledge::EntityValue>],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut meaning: HashMap<String, &str> = HashMap::new();
    for entry in values {
        let value = entry.value.value.as_str();
        for spelling in std::iter::once(&entry.value.value).chain(&entry.value.synonyms) {
            let normal = normalize(spelling).text().to_owned();
            if normal.is_empty() {
                let message = "a spelling has no visible text; write one or drop it";
                findings.push(entry.finding(path, "KB013", message.into()));
                continue;
            }
            let other = *meaning.entry(normal).or_insert(value);
            if other != value {
                let message =
                    format!("{spelling:?} means both {other:?} and {value:?}; drop it from one");
                findings.push(entry.finding(path, "KB012", message));
            }
        }
    }
    findings
}
