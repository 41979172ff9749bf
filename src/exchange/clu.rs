//! Azure conversational language understanding (CLU): an exported project, one JSON file.

use serde_json::{Value, json};

use super::draft::{Draft, DraftValue};
use super::luis::{OUTSIDE, is_built_in, object, saw, utf16_slice};
use super::node::{Node, Reading};
use super::target::{Part, Target};
use super::{Source, ids};
use crate::intent::knowledge::{EntityRule, EntityValue, Lang};

const NO_COUNTERPART: &str = "kefu has nothing of this kind";
/// CLU's own name for out of scope.
const NONE: &str = "None";

pub(super) fn read(sources: &[Source], draft: &mut Draft) {
    for source in sources {
        let project = match object(source, "projectFileVersion", "CLU project") {
            Ok(project) => project,
            Err(fault) => {
                draft.faults.push(fault);
                continue;
            }
        };
        let mut reading = Reading::new(source);
        match project.get("assets") {
            Some(assets) => {
                let metadata = project.get("metadata");
                let language = metadata.and_then(|data| data.get("language")).and_then(Node::text);
                self::assets(&mut reading, assets, language, draft);
            }
            None => {
                let reason = "the project has no \"assets\"; export it with its data";
                reading.fault(project.at, reason);
            }
        }
        draft.faults.append(&mut reading.faults);
    }
}

fn assets(reading: &mut Reading<'_>, assets: &Node, language: Option<&str>, draft: &mut Draft) {
    for intent in reading.list(assets, "intents") {
        if let Some(name) = reading.text(intent, "category") {
            let place = reading.place(intent.at);
            if !ids::is_out_of_scope(name) {
                draft.intent(name, "", &place);
            }
            if intent.has("orchestration") {
                let advice = "import the project that it leads to";
                draft.leave("ways to other projects", &place, NO_COUNTERPART, advice);
            }
        }
    }
    for entity in reading.list(assets, "entities") {
        self::entity(reading, entity, draft);
    }
    for utterance in reading.list(assets, "utterances") {
        self::utterance(reading, utterance, language, draft);
    }
}

fn entity(reading: &mut Reading<'_>, node: &Node, draft: &mut Draft) {
    let Some(name) = reading.text(node, "category") else { return };
    let place = reading.place(node.at);
    // One that is prebuilt and nothing else has no values of its own.
    if !node.has("prebuilts") || node.has("list") || node.has("regex") {
        draft.entity(name, &place);
    }
    if let Some(list) = node.get("list") {
        for value in reading.list(list, "sublists") {
            let Some(key) = reading.text(value, "listKey") else { continue };
            let mut synonyms = Vec::new();
            for by_language in reading.list(value, "synonyms") {
                let values = reading.list(by_language, "values").iter().filter_map(Node::text);
                synonyms.extend(values.map(str::to_owned));
            }
            let place = reading.place(value.at);
            let one = DraftValue { value: key.to_owned(), synonyms, place: place.clone() };
            draft.entity(name, &place).values.push(one);
        }
    }
    if let Some(regex) = node.get("regex") {
        for expression in reading.list(regex, "expressions") {
            let Some(pattern) = reading.text(expression, "regexPattern") else { continue };
            let place = reading.place(expression.at);
            draft.entity(name, &place).patterns.push((pattern.to_owned(), place));
        }
    }
    for prebuilt in reading.list(node, "prebuilts") {
        let Some(category) = reading.text(prebuilt, "category") else { continue };
        if !is_built_in(category) {
            let what = format!("the prebuilt entity {category:?}");
            let advice = "define a pattern for it";
            draft.leave(what, &reading.place(prebuilt.at), "kefu has no such entity", advice);
        }
    }
    if node.has("requiredComponents") {
        draft.leave("required components of entities", &place, NO_COUNTERPART, "nothing");
    }
}

fn utterance(reading: &mut Reading<'_>, node: &Node, language: Option<&str>, draft: &mut Draft) {
    let (text, intent) = (reading.text(node, "text"), reading.text(node, "intent"));
    let (Some(text), Some(intent)) = (text, intent) else { return };
    let place = reading.place(node.at);
    let dataset = node.get("dataset").and_then(Node::text).unwrap_or_default();
    if dataset.eq_ignore_ascii_case("test") {
        let why = "they are for measuring, and a model must not learn them";
        let advice = "give them to train-intents eval";
        return draft.leave("utterances of the test set", &place, why, advice);
    }
    for mark in reading.list(node, "entities") {
        let Some(entity) = reading.text(mark, "category") else { continue };
        let range =
            (mark.get("offset").and_then(Node::number), mark.get("length").and_then(Node::number));
        let (Some(offset), Some(length)) = range else {
            reading.fault(mark.at, "the entity has no offset and length; export the project again");
            continue;
        };
        match utf16_slice(text, offset, length) {
            Some(value) => saw(entity, &value, &place, draft),
            None => reading.fault(mark.at, OUTSIDE),
        }
    }
    let tag = node.get("language").and_then(Node::text).or(language);
    draft.example((intent, ""), text, tag, place);
}

/// A project of one file, to be imported there.
pub(super) fn write(target: &mut Target<'_>) -> Vec<(String, String)> {
    target.leave_parts(&[
        Part::Title,
        Part::Answers,
        Part::Keywords,
        Part::NegativeExamples,
        Part::Slots,
        Part::Confirm,
        Part::Action,
    ]);
    target.leave_unreachable();
    let mut intents: Vec<Value> =
        target.intents().map(|intent| json!({"category": intent.id})).collect();
    intents.push(json!({"category": NONE}));
    let utterance = |text: &str, intent: &str, lang: Lang| {
        json!({
            "text": text, "intent": intent, "language": tag(lang), "dataset": "Train", "entities": [],
        })
    };
    let examples = target.intents().flat_map(|intent| {
        let row =
            |one: &crate::intent::knowledge::Example| utterance(&one.text, &intent.id, one.lang);
        intent.examples.iter().map(row).collect::<Vec<_>>()
    });
    let beyond = target.out_of_scope.iter().map(|text| utterance(text, NONE, Lang::of(text)));
    let utterances: Vec<Value> = examples.chain(beyond).collect();
    let entities: Vec<Value> = target
        .knowledge
        .entities
        .iter()
        .map(|entity| match &entity.rule {
            EntityRule::Values(values) => {
                let lists: Vec<Value> = values.iter().map(sublist).collect();
                json!({
                    "category": entity.name, "compositionSetting": "combineComponents",
                    "list": {"sublists": lists},
                })
            }
            EntityRule::Pattern(pattern) => {
                let expression = |lang| {
                    json!({"regexKey": tag(lang), "language": tag(lang), "regexPattern": pattern})
                };
                let expressions = [expression(Lang::Zh), expression(Lang::En)];
                json!({
                    "category": entity.name, "compositionSetting": "combineComponents",
                    "regex": {"expressions": expressions},
                })
            }
        })
        .collect();
    let project = json!({
        "projectFileVersion": "2023-04-01", "stringIndexType": "Utf16CodeUnit",
        "metadata": {
            "projectKind": "Conversation", "settings": {"confidenceThreshold": 0.0},
            "projectName": "kefu", "multilingual": true, "description": "", "language": "en-us",
        },
        "assets": {
            "projectKind": "Conversation", "intents": intents, "entities": entities,
            "utterances": utterances,
        },
    });
    vec![(String::new(), format!("{project:#}\n"))]
}

/// A value; its spellings by the language of their script, itself among them.
fn sublist(value: &EntityValue) -> Value {
    let spellings = || std::iter::once(&value.value).chain(&value.synonyms);
    let of = |lang| -> Vec<&String> { spellings().filter(|text| Lang::of(text) == lang).collect() };
    let lists: Vec<Value> = [Lang::Zh, Lang::En]
        .into_iter()
        .filter(|lang| !of(*lang).is_empty())
        .map(|lang| json!({"language": tag(lang), "values": of(lang)}))
        .collect();
    json!({"listKey": value.value, "synonyms": lists})
}

fn tag(lang: Lang) -> &'static str {
    match lang {
        Lang::Zh => "zh-hans",
        Lang::En => "en-us",
    }
}
