//! A knowledge base as an agent of Dialogflow ES, to be zipped and restored there.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::exchange::target::{Part, Target};
use crate::intent::knowledge::{EntityKind, EntityRule, EntityValue, Intent, Lang, Slot};

/// Intents of Dialogflow hold at most so many phrases.
const MAX_PHRASES: usize = 2_000;

pub(in crate::exchange) fn write(target: &mut Target<'_>) -> Vec<(String, String)> {
    target.leave_parts(&[
        Part::Title,
        Part::Keywords,
        Part::NegativeExamples,
        Part::Confirm,
        Part::Action,
    ]);
    target.leave_unreachable();
    let knowledge = target.knowledge;
    let mut files = vec![
        ("agent.json".to_owned(), pretty(&agent())),
        ("package.json".to_owned(), pretty(&json!({"version": "1.0.0"}))),
    ];
    for entity in &knowledge.entities {
        let (values, is_pattern): (Vec<Value>, bool) = match &entity.rule {
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
        for tag in ["en", "zh-cn"] {
            let path = format!("entities/{file}_entries_{tag}.json");
            files.push((path, pretty(&Value::Array(values.clone()))));
        }
    }
    for intent in knowledge.intents.iter().filter(|one| !one.examples.is_empty()) {
        if intent.examples.len() > MAX_PHRASES {
            let note = format!(
                "{:?} has more than {MAX_PHRASES} phrases, which Dialogflow does not take",
                intent.id
            );
            target.report.notes.push(note);
        }
        let file = file_name(&intent.id);
        let own = self::intent(&intent.id, false, messages(intent), parameters(intent, target));
        files.push((format!("intents/{file}.json"), pretty(&own)));
        for lang in [Lang::Zh, Lang::En] {
            let of_lang = intent.examples.iter().filter(|one| one.lang == lang);
            let phrases: Vec<Value> =
                of_lang.map(|one| phrase(&intent.id, &one.text, lang)).collect();
            push_phrases(&mut files, &file, lang, phrases);
        }
    }
    if !target.out_of_scope.is_empty() {
        let name = "Default Fallback Intent";
        files.push((
            format!("intents/{name}.json"),
            pretty(&self::intent(name, true, vec![], vec![])),
        ));
        for lang in [Lang::Zh, Lang::En] {
            let of_lang = target.out_of_scope.iter().filter(|text| Lang::of(text) == lang);
            push_phrases(
                &mut files,
                name,
                lang,
                of_lang.map(|text| phrase(name, text, lang)).collect(),
            );
        }
    }
    files
}

fn push_phrases(files: &mut Vec<(String, String)>, file: &str, lang: Lang, phrases: Vec<Value>) {
    if !phrases.is_empty() {
        let path = format!("intents/{file}_usersays_{}.json", tag(lang));
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

fn intent(name: &str, is_fallback: bool, messages: Vec<Value>, parameters: Vec<Value>) -> Value {
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
