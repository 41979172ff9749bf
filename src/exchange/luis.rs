//! LUIS: an exported app (`luis_schema_version` 3 to 7, one JSON file).

use super::draft::{Draft, DraftValue};
use super::node::{Node, Reading, Value};
use super::{Fault, Source, json};
use crate::knowledge::Place;

const NO_COUNTERPART: &str = "kefu has nothing of this kind";

/// Lists that have no counterpart, and what to do about each.
const LEFT_OUT: [(&str, &str, &str); 8] = [
    ("patterns", "patterns", "write a sentence for each"),
    ("patternAnyEntities", "pattern.any entities", "list their values under entities"),
    ("composites", "composite entities", "define an entity for each part"),
    ("hierarchicals", "hierarchical entities", "define an entity for each part"),
    ("phraselists", "phrase lists", "use their words in examples"),
    ("model_features", "phrase lists", "use their words in examples"),
    ("regex_features", "pattern features", "nothing"),
    ("bing_entities", "entities of an old version", "export the app from the current version"),
];

pub(super) fn read(sources: &[Source], draft: &mut Draft) {
    for source in sources {
        let app = match object(source, "luis_schema_version", "LUIS app") {
            Ok(app) => app,
            Err(fault) => {
                draft.faults.push(fault);
                continue;
            }
        };
        let mut reading = Reading::new(source);
        for intent in reading.list(&app, "intents") {
            if let Some(name) = reading.text(intent, "name") {
                let place = reading.place(intent.at);
                if !super::ids::is_out_of_scope(name) {
                    draft.intent(name, "", &place);
                }
                if intent.has("features") {
                    draft.leave("features of intents", &place, NO_COUNTERPART, "nothing");
                }
            }
        }
        entities(&mut reading, &app, draft);
        let culture = app.get("culture").and_then(Node::text);
        for utterance in reading.list(&app, "utterances") {
            self::utterance(&mut reading, utterance, culture, draft);
        }
        for (key, what, advice) in LEFT_OUT {
            for one in reading.list(&app, key) {
                draft.leave(what, &reading.place(one.at), NO_COUNTERPART, advice);
            }
        }
        draft.faults.append(&mut reading.faults);
    }
}

/// The object of a file that must have the key `mark`.
pub(super) fn object(source: &Source, mark: &str, what: &str) -> Result<Node, Fault> {
    let fault = |at, reason| Fault { place: source.place(at), reason };
    let node = json::parse(&source.text, 1).map_err(|(at, reason)| fault(at, reason))?;
    if !matches!(node.value, Value::Map(_)) {
        let reason = format!("the file is {}, and must be the object of a {what}", node.kind());
        return Err(fault(node.at, reason));
    }
    if node.get(mark).is_none() {
        let reason =
            format!("the file has no {mark:?}, so it is no {what}; name the format with --from");
        return Err(fault(node.at, reason));
    }
    Ok(node)
}

fn entities(reading: &mut Reading<'_>, app: &Node, draft: &mut Draft) {
    for list in reading.list(app, "closedLists") {
        let Some(name) = reading.text(list, "name") else { continue };
        let place = reading.place(list.at);
        draft.entity(name, &place);
        for value in reading.list(list, "subLists") {
            let Some(canonical) = reading.text(value, "canonicalForm") else { continue };
            let synonyms = reading.list(value, "list").iter().filter_map(Node::text);
            let synonyms = synonyms.map(str::to_owned).collect();
            let place = reading.place(value.at);
            let one = DraftValue { value: canonical.to_owned(), synonyms, place: place.clone() };
            draft.entity(name, &place).values.push(one);
        }
        roles(reading, list, name, draft);
    }
    for regex in reading.list(app, "regex_entities") {
        let (name, pattern) = (reading.text(regex, "name"), reading.text(regex, "regexPattern"));
        if let (Some(name), Some(pattern)) = (name, pattern) {
            let place = reading.place(regex.at);
            draft.entity(name, &place).patterns.push((pattern.to_owned(), place));
            roles(reading, regex, name, draft);
        }
    }
    for entity in reading.list(app, "entities") {
        if let Some(name) = reading.text(entity, "name") {
            let place = reading.place(entity.at);
            draft.entity(name, &place);
            roles(reading, entity, name, draft);
            for (key, what) in
                [("children", "parts of entities"), ("features", "features of entities")]
            {
                if entity.has(key) {
                    draft.leave(what, &place, NO_COUNTERPART, "define an entity for each part");
                }
            }
        }
    }
    for prebuilt in reading.list(app, "prebuiltEntities") {
        if let Some(name) = reading.text(prebuilt, "name") {
            let place = reading.place(prebuilt.at);
            if !is_built_in(name) {
                let what = format!("the prebuilt entity {name:?}");
                draft.leave(what, &place, "kefu has no such entity", "define a pattern for it");
            }
            roles(reading, prebuilt, name, draft);
        }
    }
}

/// Prebuilt entities that Kefu finds as well, under another name.
pub(super) fn is_built_in(name: &str) -> bool {
    let name = name.to_lowercase().replace(['.', '_', '-', ' '], "");
    ["datetimev2", "datetime", "email", "phonenumber", "money", "currency", "quantitycurrency"]
        .contains(&name.trim_start_matches("builtin"))
}

fn roles(reading: &Reading<'_>, node: &Node, name: &str, draft: &mut Draft) {
    if node.has("roles") {
        let what = format!("roles of the entity {name:?}");
        draft.leave(
            what,
            &reading.place(node.at),
            NO_COUNTERPART,
            "define an entity for each role",
        );
    }
}

fn utterance(reading: &mut Reading<'_>, node: &Node, culture: Option<&str>, draft: &mut Draft) {
    let (text, intent) = (reading.text(node, "text"), reading.text(node, "intent"));
    let (Some(text), Some(intent)) = (text, intent) else { return };
    let place = reading.place(node.at);
    for mark in reading.list(node, "entities") {
        let Some(entity) = reading.text(mark, "entity") else { continue };
        let range = (
            mark.get("startPos").and_then(Node::number),
            mark.get("endPos").and_then(Node::number),
        );
        let (Some(start), Some(end)) = range else {
            reading.fault(mark.at, "the entity has no startPos and endPos; export the app again");
            continue;
        };
        // Both are inclusive.
        match (end + 1).checked_sub(start).and_then(|length| utf16_slice(text, start, length)) {
            Some(value) => saw(entity, &value, &place, draft),
            None => reading.fault(mark.at, OUTSIDE),
        }
        for (key, what) in [("role", "roles in utterances"), ("children", "parts of entities")] {
            if mark.has(key) {
                draft.leave(what, &place, NO_COUNTERPART, "define an entity for each");
            }
        }
    }
    draft.example((intent, ""), text, culture, place);
}

pub(super) const OUTSIDE: &str = "the entity lies outside of its text; export the app again";

/// A marked value. Those of prebuilt entities are found without a list.
pub(super) fn saw(entity: &str, value: &str, place: &Place, draft: &mut Draft) {
    if draft.has_entity(entity) {
        let value = value.trim().to_owned();
        let seen = DraftValue { value, synonyms: Vec::new(), place: place.clone() };
        draft.entity(entity, place).seen.push(seen);
    } else if !is_built_in(entity) {
        let what = format!("marked values of the entity {entity:?}");
        let why = "it has no values of its own there";
        draft.leave(what, place, why, "list the values under entities");
    }
}

/// A part of a text by UTF-16 code units, as Azure counts; none outside of it or within a character.
pub(super) fn utf16_slice(text: &str, start: usize, length: usize) -> Option<String> {
    let units: Vec<u16> = text.encode_utf16().collect();
    String::from_utf16(units.get(start..start.checked_add(length)?)?).ok()
}
