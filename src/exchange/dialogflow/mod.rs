//! Dialogflow ES: an agent as its export has it, unpacked. `agent.json`, `intents/X.json` with
//! `intents/X_usersays_en.json`, `entities/Y.json` with `entities/Y_entries_en.json`.

mod intents;
mod write;

use std::collections::BTreeMap;

use super::draft::{Draft, DraftValue};
use super::node::{At, Node, Reading, Value};
use super::{Fault, Source, json};
use crate::intent::knowledge::EntityKind;
pub(super) use write::write;

const NO_COUNTERPART: &str = "kefu has nothing of this kind";

/// What a system entity is here.
fn built_in(name: &str) -> Option<EntityKind> {
    match name {
        "@sys.date" | "@sys.date-time" | "@sys.time" | "@sys.date-period" | "@sys.time-period" => {
            Some(EntityKind::Date)
        }
        "@sys.phone-number" => Some(EntityKind::Phone),
        "@sys.email" => Some(EntityKind::Email),
        "@sys.unit-currency" => Some(EntityKind::Amount),
        "@sys.any" => Some(EntityKind::Text),
        _ => None,
    }
}

/// An intent or an entity: its own file and one a language.
#[derive(Default)]
struct Files<'a> {
    own: Option<(&'a Source, Node)>,
    by_language: Vec<(String, &'a Source, Node)>,
}

pub(super) fn read(sources: &[Source], draft: &mut Draft) {
    let (mut intents, mut entities) = (BTreeMap::new(), BTreeMap::new());
    for source in sources {
        let node = match json::parse(&source.text, 1) {
            Ok(node) => node,
            Err((at, reason)) => {
                draft.faults.push(Fault { place: source.place(at), reason });
                continue;
            }
        };
        let folder = source.path.parent().and_then(|folder| folder.file_name());
        let stem = source.stem();
        match folder.unwrap_or_default().to_str().unwrap_or_default() {
            "intents" => sort_in(&mut intents, &stem, "_usersays_", source, node, draft),
            "entities" => sort_in(&mut entities, &stem, "_entries_", source, node, draft),
            _ if stem == "agent" => agent(source, &node, draft),
            _ if stem == "package" => {}
            _ => {
                let note =
                    format!("{} is no part of an agent and was not read", source.path.display());
                draft.report.notes.push(note);
            }
        }
    }
    for (stem, files) in &entities {
        entity(stem, files, draft);
    }
    for (stem, files) in &intents {
        intents::read(stem, files, draft);
    }
}

/// Puts a file with those of its intent or entity, and checks that it is an object or, for a
/// language, a list.
fn sort_in<'a>(
    all: &mut BTreeMap<String, Files<'a>>,
    stem: &str,
    mark: &str,
    source: &'a Source,
    node: Node,
    draft: &mut Draft,
) {
    let by_language = stem.rsplit_once(mark);
    let fits = match by_language {
        Some(_) => matches!(node.value, Value::List(_)),
        None => matches!(node.value, Value::Map(_)),
    };
    if !fits {
        let wanted = if by_language.is_some() { "a list" } else { "an object" };
        let reason = format!("the file is {}, and must be {wanted}", node.kind());
        draft.faults.push(Fault { place: source.place(node.at), reason });
        return;
    }
    match by_language {
        Some((name, lang)) => {
            all.entry(name.to_owned()).or_default().by_language.push((
                lang.to_owned(),
                source,
                node,
            ));
        }
        None => all.entry(stem.to_owned()).or_default().own = Some((source, node)),
    }
}

/// The settings that change what a visitor gets.
fn agent(source: &Source, node: &Node, draft: &mut Draft) {
    if let Some(webhook) = node.get("webhook").filter(|webhook| webhook.is_set("available")) {
        let place = source.place(webhook.at);
        draft.leave(
            "the webhook of the agent",
            &place,
            NO_COUNTERPART,
            "give an intent a webhook as its action",
        );
    }
}

fn entity(stem: &str, files: &Files<'_>, draft: &mut Draft) {
    let mut name = stem.to_owned();
    let (mut is_pattern, mut place) = (false, None);
    if let Some((source, node)) = &files.own {
        let mut reading = Reading::new(source);
        name = reading.text(node, "name").unwrap_or(stem).to_owned();
        is_pattern = node.is_set("isRegexp");
        let at = reading.place(node.at);
        let flags = [
            ("automatedExpansion", "automated expansion of entities"),
            ("allowFuzzyExtraction", "fuzzy matching of entities"),
        ];
        for (_, what) in flags.into_iter().filter(|(key, _)| node.is_set(key)) {
            draft.leave(
                what,
                &at,
                "dictionaries match as they are written",
                "list further spellings",
            );
        }
        place = Some(at);
        draft.faults.append(&mut reading.faults);
    }
    let first = files.by_language.first().map(|(_, source, _)| source.place(At::START));
    let Some(place) = place.or(first) else { return };
    draft.entity(&name, &place);
    for (_, source, entries) in &files.by_language {
        let mut reading = Reading::new(source);
        for entry in entries.entries() {
            let Some(value) = reading.text(entry, "value") else { continue };
            let place = reading.place(entry.at);
            let synonyms: Vec<String> = reading
                .list(entry, "synonyms")
                .iter()
                .filter_map(|one| one.text().map(str::to_owned))
                .collect();
            if is_pattern {
                draft.entity(&name, &place).patterns.push((value.to_owned(), place));
            } else if synonyms.iter().any(|one| one.contains('@') && one.contains(':')) {
                let what = format!("values of the entity {name:?} that are made of others");
                draft.leave(what, &place, NO_COUNTERPART, "list the values themselves");
            } else {
                let value = value.to_owned();
                draft.entity(&name, &place).values.push(DraftValue { value, synonyms, place });
            }
        }
        draft.faults.append(&mut reading.faults);
    }
}
