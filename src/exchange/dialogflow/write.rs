//! A knowledge base as an agent of Dialogflow ES, to be zipped and restored there.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::exchange::target::{Part, Target};
use crate::intent::knowledge::{
    EntityDefinition, EntityKind, EntityRule, EntityValue, Intent, Lang, Slot,
};

/// Intents of Dialogflow hold at most so many phrases.
const MAX_PHRASES: usize = 2_000;
/// Its own name for what no intent means.
const FALLBACK: &str = "Default Fallback Intent";

pub(in crate::exchange) fn write(target: &mut Target<'_>) -> Vec<(String, String)> {
    target.leave_parts(&[
        Part::Title,
        Part::Keywords,
        Part::NegativeExamples,
        Part::Confirm,
        Part::Action,
    ]);
    target.leave_unreachable();
    let mut files = vec![
        ("agent.json".to_owned(), pretty(&agent())),
        ("package.json".to_owned(), pretty(&json!({"version": "1.0.0"}))),
    ];
    target.knowledge.entities.iter().for_each(|one| entity(&mut files, one));
    for one in target.knowledge.intents.iter().filter(|one| !one.examples.is_empty()) {
        if one.examples.len() > MAX_PHRASES {
            let why = format!("dialogflow takes {MAX_PHRASES} phrases an intent");
            target.report.notes.push(format!("{:?} has {}, and {why}", one.id, one.examples.len()));
        }
        let file = file_name(&one.id);
        let own = intent(&one.id, &messages(one), &parameters(one, target));
        files.push((format!("intents/{file}.json"), pretty(&own)));
        let texts = one.examples.iter().map(|example| (example.lang, example.text.as_str()));
        phrases(&mut files, &one.id, texts);
    }
    if !target.out_of_scope.is_empty() {
        files.push((format!("intents/{FALLBACK}.json"), pretty(&intent(FALLBACK, &[], &[]))));
        let texts = target.out_of_scope.iter().map(|text| (Lang::of(text), text.as_str()));
        phrases(&mut files, FALLBACK, texts);
    }
    files
}

/// An entity's own file and its entries, which stand in both languages since ours have none.
fn entity(files: &mut Vec<(String, String)>, entity: &EntityDefinition) {
    let (entries, is_pattern): (Vec<Value>, bool) = match &entity.rule {
        EntityRule::Values(values) => (values.iter().map(entry).collect(), false),
        EntityRule::Pattern(pattern) => {
            (vec![json!({"value": pattern, "synonyms": [pattern]})], true)
        }
    };
    let file = file_name(&entity.name);
    let own = json!({
        "id": id("entity", &entity.name), "name": entity.name, "isOverridable": true,
        "isEnum": false, "isRegexp": is_pattern, "automatedExpansion": false,
        "allowFuzzyExtraction": false,
    });
    files.push((format!("entities/{file}.json"), pretty(&own)));
    let entries = pretty(&Value::Array(entries));
    for lang in [Lang::Zh, Lang::En] {
        files.push((format!("entities/{file}_entries_{}.json", tag(lang)), entries.clone()));
    }
}

/// The phrases of an intent, a file a language.
fn phrases<'a>(
    files: &mut Vec<(String, String)>,
    intent: &str,
    texts: impl Iterator<Item = (Lang, &'a str)>,
) {
    let mut by_language: BTreeMap<Lang, Vec<Value>> = BTreeMap::new();
    for (lang, text) in texts {
        by_language.entry(lang).or_default().push(phrase(intent, text, lang));
    }
    for (lang, phrases) in by_language {
        let path = format!("intents/{}_usersays_{}.json", file_name(intent), tag(lang));
        files.push((path, pretty(&Value::Array(phrases))));
    }
}

fn agent() -> Value {
    json!({
        "description": "", "language": "en", "supportedLanguages": ["zh-cn"], "shortDescription": "",
        "examples": "", "linkToDocs": "", "displayName": "kefu", "disableInteractionLogs": false,
        "disableStackdriverLogs": true, "defaultTimezone": "Asia/Shanghai", "isPrivate": true,
        "mlMinConfidence": 0.3, "customClassifierMode": "use.after", "enableOnePlatformApi": true,
        "onePlatformApiVersion": "v2", "webhook": {"available": false},
    })
}

fn intent(name: &str, messages: &[Value], parameters: &[Value]) -> Value {
    let is_fallback = name == FALLBACK;
    let action = if is_fallback { "input.unknown" } else { "" };
    json!({
        "id": id("intent", name), "name": name, "auto": true, "contexts": [], "priority": 500_000,
        "responses": [{
            "resetContexts": false, "action": action, "affectedContexts": [],
            "parameters": parameters, "messages": messages, "speech": [],
        }],
        "webhookUsed": false, "webhookForSlotFilling": false, "fallbackIntent": is_fallback,
        "events": [], "conditionalResponses": [], "condition": "", "conditionalFollowupEvents": [],
    })
}

fn messages(intent: &Intent) -> Vec<Value> {
    let spoken = intent.answers.iter().filter(|(_, texts)| !texts.is_empty());
    spoken
        .map(|(lang, texts)| {
            json!({"type": "0", "title": "", "textToSpeech": "", "lang": tag(*lang), "speech": texts, "condition": ""})
        })
        .collect()
}

fn parameters(intent: &Intent, target: &mut Target<'_>) -> Vec<Value> {
    let mut parameters = Vec::new();
    for slot in &intent.slots {
        let Some(data_type) = data_type(&slot.entity) else {
            let what = format!("slots of the entity {:?}", slot.entity.name());
            let place = target.place_of_intent(&intent.id);
            let advice = "define a pattern there, and use it";
            target.report.leave(what, place.as_ref(), "dialogflow has no such entity", advice);
            target.report.carried.slots -= 1;
            continue;
        };
        parameters.push(parameter(&intent.id, slot, &data_type));
    }
    parameters
}

fn parameter(intent: &str, slot: &Slot, data_type: &str) -> Value {
    let prompts: Vec<Value> =
        slot.prompt.iter().map(|(lang, text)| json!({"lang": tag(*lang), "value": text})).collect();
    json!({
        "id": id(intent, &slot.name), "name": slot.name, "required": slot.required,
        "dataType": data_type, "value": format!("${}", slot.name), "defaultValue": "",
        "isList": false, "prompts": prompts, "promptMessages": [], "noMatchPromptMessages": [],
        "noInputPromptMessages": [], "outputDialogContexts": [],
    })
}

/// The type of a parameter; the shop's order number is nothing that Dialogflow knows.
fn data_type(kind: &EntityKind) -> Option<String> {
    let system = match kind {
        EntityKind::OrderNumber => return None,
        EntityKind::Phone => "@sys.phone-number",
        EntityKind::Email => "@sys.email",
        EntityKind::Amount => "@sys.unit-currency",
        EntityKind::Date => "@sys.date",
        EntityKind::Text => "@sys.any",
        EntityKind::Custom(name) => return Some(format!("@{name}")),
    };
    Some(system.to_owned())
}

/// Dialogflow wants a value among its own synonyms.
fn entry(value: &EntityValue) -> Value {
    let spellings: Vec<&String> = std::iter::once(&value.value).chain(&value.synonyms).collect();
    json!({"value": value.value, "synonyms": spellings})
}

fn phrase(intent: &str, text: &str, lang: Lang) -> Value {
    json!({
        "id": id(intent, text), "data": [{"text": text, "userDefined": false}], "isTemplate": false,
        "count": 0, "lang": tag(lang), "updated": 0,
    })
}

fn tag(lang: Lang) -> &'static str {
    match lang {
        Lang::Zh => "zh-cn",
        Lang::En => "en",
    }
}

/// A name as a file name: ids of ours have `/` in them.
fn file_name(name: &str) -> String {
    name.replace('/', "_-_")
}

/// An identifier in the form of a UUID; the same for the same names, so that a second export
/// differs where the knowledge base does.
fn id(kind: &str, name: &str) -> String {
    let digest = Sha256::digest(format!("{kind}\n{name}"));
    let hex: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
