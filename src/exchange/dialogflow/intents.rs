//! An intent of Dialogflow: training phrases, responses, parameters; and what it has besides.

use std::collections::btree_map::Entry;

use super::{Files, NO_COUNTERPART, built_in};
use crate::exchange::draft::{Draft, DraftSlot, DraftValue, Sentence, SlotKind};
use crate::exchange::node::{Node, Reading, Value};
use crate::intent::knowledge::Localized;

/// Out-of-scope sentences of fallback intents go under this name, whatever the intent is called.
const FALLBACK: &str = "fallback";

pub(super) fn read(stem: &str, files: &Files<'_>, draft: &mut Draft) {
    let mut name = stem.to_owned();
    let mut is_fallback = false;
    match &files.own {
        Some((source, node)) => {
            let mut reading = Reading::new(source);
            name = reading.text(node, "name").unwrap_or(stem).to_owned();
            is_fallback = node.is_set("fallbackIntent");
            leave(&reading, node, draft);
            if !is_fallback {
                draft.intent(&name, "", &reading.place(node.at));
            }
            for response in reading.list(node, "responses") {
                parts(&mut reading, &name, is_fallback, response, draft);
            }
            draft.faults.append(&mut reading.faults);
        }
        None => {
            let note = format!("the intent {name:?} has phrases and no file of its own");
            draft.report.notes.push(note);
        }
    }
    let target = if is_fallback { FALLBACK } else { &name };
    for (lang, source, phrases_of) in &files.by_language {
        let mut reading = Reading::new(source);
        for phrase in phrases_of.entries() {
            self::phrase(&mut reading, target, lang, phrase, draft);
        }
        draft.faults.append(&mut reading.faults);
    }
}

/// What changes a conversation there and has no counterpart here.
fn leave(reading: &Reading<'_>, node: &Node, draft: &mut Draft) {
    let fields = [
        ("contexts", "input contexts", "word the examples so that they stand alone"),
        ("events", "events", "nothing, or send a message in their place"),
        ("parentId", "follow-up intents' places in a conversation", "use confirm for yes and no"),
        ("webhookUsed", "webhook calls", "give the intent a webhook as its action"),
        ("condition", "conditions", "nothing"),
    ];
    for (key, what, advice) in fields.into_iter().filter(|row| node.has(row.0)) {
        let at = node.get(key).map_or(node.at, |field| field.at);
        draft.leave(what, &reading.place(at), NO_COUNTERPART, advice);
    }
}

fn parts(
    reading: &mut Reading<'_>,
    name: &str,
    is_fallback: bool,
    response: &Node,
    draft: &mut Draft,
) {
    for (key, what) in [("affectedContexts", "output contexts"), ("action", "action names")] {
        if let Some(field) = response.get(key).filter(|_| response.has(key)) {
            draft.leave(what, &reading.place(field.at), NO_COUNTERPART, "nothing");
        }
    }
    for message in reading.list(response, "messages") {
        let place = reading.place(message.at);
        let speech: Vec<&str> = match message.get("speech") {
            Some(Node { value: Value::List(texts), .. }) => {
                texts.iter().filter_map(Node::text).collect()
            }
            Some(text) => text.text().into_iter().collect(),
            None => {
                draft.leave("rich messages", &place, "answers are texts", "say it in an answer");
                continue;
            }
        };
        let tag = message.get("lang").and_then(Node::text);
        for text in speech.into_iter().filter(|text| !text.trim().is_empty()) {
            if is_fallback {
                let why = "kefu says its own words when it does not understand";
                draft.leave("responses of fallback intents", &place, why, "nothing");
                continue;
            }
            if has_placeholder(text) {
                let why = "answers have no placeholders, so $ and # stay as they are";
                draft.leave(
                    "placeholders in responses",
                    &place,
                    why,
                    "word the answer without them",
                );
            }
            if let Some(lang) = draft.lang(tag, text, &place) {
                let text = text.to_owned();
                let sentence = Sentence { text, lang, place: place.clone() };
                draft.intent(name, "", &place).answers.push(sentence);
            }
        }
    }
    for parameter in reading.list(response, "parameters") {
        if let Some(slot) = slot(reading, parameter, draft) {
            let place = slot.place.clone();
            if is_fallback {
                draft.leave("parameters of fallback intents", &place, NO_COUNTERPART, "nothing");
            } else {
                draft.intent(name, "", &place).slots.push(slot);
            }
        }
    }
}

fn slot(reading: &mut Reading<'_>, parameter: &Node, draft: &mut Draft) -> Option<DraftSlot> {
    let name = reading.text(parameter, "name")?.to_owned();
    let place = reading.place(parameter.at);
    let data_type = parameter.get("dataType").and_then(Node::text).unwrap_or_default();
    let kind = match (built_in(data_type), data_type.strip_prefix('@')) {
        (Some(kind), _) => SlotKind::BuiltIn(kind),
        (None, Some(entity)) if draft.has_entity(entity) => SlotKind::Named(entity.to_owned()),
        _ => {
            let what = format!("parameters of the type {data_type:?}");
            let advice = "define an entity for it, and add the slot by hand";
            draft.leave(what, &place, "kefu has no such entity", advice);
            return None;
        }
    };
    let extras = [
        ("isList", "lists of values in parameters"),
        ("defaultValue", "default values of parameters"),
    ];
    for (_, what) in extras.into_iter().filter(|(key, _)| parameter.has(key)) {
        draft.leave(what, &place, NO_COUNTERPART, "nothing");
    }
    let mut prompt = Localized::new();
    for one in reading.list(parameter, "prompts") {
        let Some(text) = reading.text(one, "value") else { continue };
        let place = reading.place(one.at);
        let tag = one.get("lang").and_then(Node::text);
        let Some(lang) = draft.lang(tag, text, &place) else { continue };
        match prompt.entry(lang) {
            Entry::Vacant(free) => {
                free.insert(text.to_owned());
            }
            Entry::Occupied(_) => {
                let why = "a slot has one a language";
                draft.leave("further prompts of a parameter", &place, why, "nothing");
            }
        }
    }
    let required = parameter.is_set("required");
    Some(DraftSlot { name, kind, required, prompt, place })
}

/// Whether a response names a parameter: `$name`, `#context.name`.
fn has_placeholder(text: &str) -> bool {
    let names =
        |mark| text.split(mark).skip(1).filter(|rest: &&str| rest.starts_with(char::is_alphabetic));
    let is_of_context =
        |rest: &str| rest.split(char::is_whitespace).next().is_some_and(|word| word.contains('.'));
    names('$').next().is_some() || names('#').any(is_of_context)
}

/// A training phrase: its parts joined, and what they are marked as.
fn phrase(reading: &mut Reading<'_>, intent: &str, lang: &str, phrase: &Node, draft: &mut Draft) {
    let place = reading.place(phrase.at);
    if phrase.is_set("isTemplate") {
        let why = "kefu learns from sentences, and this is a template";
        return draft.leave("template phrases", &place, why, "write a sentence for each");
    }
    let mut text = String::new();
    for part in reading.list(phrase, "data") {
        let Some(piece) = part.get("text").and_then(Node::text) else {
            reading.fault(part.at, "the part of a phrase has no text; export the agent again");
            continue;
        };
        text.push_str(piece);
        let meta = part.get("meta").and_then(Node::text).unwrap_or_default();
        match meta.strip_prefix('@') {
            Some(entity) if draft.has_entity(entity) => {
                let value = piece.trim().to_owned();
                let seen = DraftValue { value, synonyms: vec![], place: place.clone() };
                draft.entity(entity, &place).seen.push(seen);
            }
            Some(entity) if built_in(meta).is_none() && entity != "sys.ignore" => {
                let what = format!("marks of {meta:?} in phrases");
                let advice = "define an entity with its values";
                draft.leave(what, &place, "kefu has no such entity", advice);
            }
            _ => {}
        }
    }
    if text.trim().is_empty() {
        return reading.fault(phrase.at, "the phrase has no text; write it or drop it");
    }
    draft.example((intent, ""), text.trim(), Some(lang), place);
}
