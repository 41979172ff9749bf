//! A domain: answers whose name fits an intent, and the names of entities and intents.

use crate::exchange::draft::{Draft, Sentence};
use crate::exchange::ids::is_out_of_scope;
use crate::exchange::node::{Node, Reading, Value};
use crate::knowledge::Place;

/// The entities that the domain names, so that expressions find them.
pub(super) fn entities(reading: &mut Reading<'_>, file: &Node, draft: &mut Draft) {
    for entry in reading.list(file, "entities") {
        for (name, node) in names(entry) {
            let place = reading.place(node.at);
            draft.entity(name, &place);
            for key in ["roles", "groups"] {
                if node.has(key) {
                    let what = format!("roles and groups of the entity {name:?}");
                    let advice = "define an entity for each role";
                    draft.leave(what, &place, "kefu has nothing of this kind", advice);
                }
            }
        }
    }
}

/// The intents that the domain names and nobody gives examples for.
pub(super) fn intents(reading: &mut Reading<'_>, file: &Node, draft: &mut Draft) {
    let topic = reading.source.stem();
    for entry in reading.list(file, "intents") {
        for (name, node) in names(entry) {
            // A retrieval intent stands here by its first part.
            let is_retrieval = draft
                .intents
                .iter()
                .any(|one| one.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('/')));
            let place = reading.place(node.at);
            if !(is_retrieval || draft.has_intent(name) || is_out_of_scope(name)) {
                draft.intent(name, &topic, &place);
            }
            for (key, _) in node.fields() {
                draft.leave(
                    format!("{key:?} of intents"),
                    &place,
                    "kefu looks for all entities",
                    "nothing",
                );
            }
        }
    }
}

/// `utter_<intent>` becomes the answers of that intent.
pub(super) fn responses(reading: &mut Reading<'_>, file: &Node, draft: &mut Draft) {
    let Some(responses) = file.get("responses") else { return };
    if !matches!(responses.value, Value::Map(_)) {
        let reason = format!("\"responses\" is {}, and must have utter_… keys", responses.kind());
        return reading.fault(responses.at, reason);
    }
    for (name, variations) in responses.fields() {
        let place = reading.place(variations.at);
        let intent = name.strip_prefix("utter_").filter(|intent| draft.has_intent(intent));
        let Some(intent) = intent else {
            let advice = "copy the text into the answers of the intent that says it";
            draft.leave(format!("the response {name:?}"), &place, "no intent is called so", advice);
            continue;
        };
        for variation in variations.entries() {
            answer(&reading.place(variation.at), intent, variation, draft);
        }
    }
}

fn answer(place: &Place, intent: &str, variation: &Node, draft: &mut Draft) {
    for (key, _) in variation.fields() {
        if key != "text" {
            let why = "answers are texts";
            draft.leave(format!("{key:?} of responses"), place, why, "say it in the text");
        }
    }
    let text = variation.text().or_else(|| variation.get("text").and_then(Node::text));
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return };
    let Some(lang) = draft.lang(None, text, place) else { return };
    let sentence = Sentence { text: text.to_owned(), lang, place: place.clone() };
    draft.intent(intent, "", place).answers.push(sentence);
}

/// The names of an entry: a text, or the keys of a map with options.
fn names(entry: &Node) -> Vec<(&str, &Node)> {
    match entry.text() {
        Some(name) => vec![(name, entry)],
        None => entry.fields().iter().map(|(name, node)| (name.as_str(), node)).collect(),
    }
}
