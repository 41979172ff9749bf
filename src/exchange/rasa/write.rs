//! A knowledge base as Rasa 3.x reads it: `nlu.yml` and `domain.yml`.

use std::collections::HashMap;
use std::fmt::Write;

use super::markup;
use crate::exchange::target::{Part, Target};
use crate::intent::knowledge::{EntityRule, Example, Lang};
use crate::intent::normalize::normalize;
use crate::knowledge::write::scalar;

/// The name that Rasa's own documentation gives such sentences.
const OUT_OF_SCOPE: &str = "out_of_scope";
const VERSION: &str = "version: \"3.1\"\n";

/// `nlu.yml` and `domain.yml`.
pub(in crate::exchange) fn write(target: &mut Target<'_>) -> Vec<(String, String)> {
    target.leave_parts(&[
        Part::Title,
        Part::Keywords,
        Part::NegativeExamples,
        Part::Slots,
        Part::Confirm,
        Part::Action,
    ]);
    target.leave_unreachable();
    let mut nlu = format!("{VERSION}nlu:\n");
    intents(&mut nlu, target);
    entities(&mut nlu, target);
    vec![("nlu.yml".to_owned(), nlu), ("domain.yml".to_owned(), domain(target))]
}

fn intents(out: &mut String, target: &mut Target<'_>) {
    let knowledge = target.knowledge;
    for intent in knowledge.intents.iter().filter(|one| !one.examples.is_empty()) {
        let mut texts = Vec::new();
        for example in &intent.examples {
            if example.lang != Lang::of(&example.text) {
                let why = "rasa has one language, and the script does not tell it";
                leave(
                    target,
                    "languages of examples",
                    example,
                    why,
                    "give --lang when it is read back",
                );
            }
            if markup::is_plain(&example.text) {
                texts.push(example.text.as_str());
            } else {
                let why = "rasa takes their brackets for entity mark-up";
                leave(target, "examples with brackets", example, why, "write them without");
                if let Some(count) = target.report.carried.examples.get_mut(&example.lang) {
                    *count -= 1;
                }
            }
        }
        examples(out, "intent", &intent.id, &texts);
    }
    let (plain, marked): (Vec<&str>, Vec<&str>) =
        target.out_of_scope.iter().map(String::as_str).partition(|text| markup::is_plain(text));
    for _ in &marked {
        let why = "rasa takes their brackets for entity mark-up";
        target.report.leave(
            "out-of-scope sentences with brackets",
            None,
            why,
            "write them without",
        );
    }
    target.report.carried.out_of_scope = plain.len();
    if !plain.is_empty() {
        examples(out, "intent", OUT_OF_SCOPE, &plain);
    }
}

fn leave(target: &mut Target<'_>, what: &str, example: &Example, why: &str, advice: &str) {
    let place = target.place_of(example);
    target.report.leave(what, Some(&place), why, advice);
}

/// Dictionaries as lookup tables with synonyms, patterns as regular expressions.
fn entities(out: &mut String, target: &mut Target<'_>) {
    // Synonyms are the same for all entities, so a spelling means one value.
    let mut meaning: HashMap<String, &str> = HashMap::new();
    let mut synonyms: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut tables = String::new();
    let knowledge = target.knowledge;
    let dictionaries = knowledge.entities.iter().filter_map(|entity| match &entity.rule {
        EntityRule::Values(values) => Some((entity, values)),
        EntityRule::Pattern(_) => None,
    });
    for (_, values) in dictionaries.clone() {
        for one in values {
            meaning.entry(normalize(&one.value).text().to_owned()).or_insert(&one.value);
        }
    }
    for (entity, values) in dictionaries {
        let mut table = Vec::new();
        for one in values {
            if !is_line(&one.value) {
                let what = format!("the value {:?} of the entity {:?}", one.value, entity.name);
                target.report.leave(what, None, "it is no line of text", "write it as one");
                continue;
            }
            table.push(one.value.as_str());
            for spelling in &one.synonyms {
                let normal = normalize(spelling).text().to_owned();
                let means = *meaning.entry(normal).or_insert(&one.value);
                if means != one.value || !is_line(spelling) {
                    let what = format!("the spelling {spelling:?} of the entity {:?}", entity.name);
                    let why = format!("rasa has one meaning for a spelling, here {means:?}");
                    target.report.leave(what, None, why, "mark it in examples");
                    continue;
                }
                table.push(spelling);
                match synonyms.iter_mut().find(|(value, _)| *value == one.value) {
                    Some((_, known)) if known.contains(&spelling.as_str()) => {}
                    Some((_, known)) => known.push(spelling),
                    None => synonyms.push((&one.value, vec![spelling])),
                }
            }
        }
        examples(&mut tables, "lookup", &entity.name, &table);
    }
    synonyms.iter().for_each(|(value, spellings)| examples(out, "synonym", value, spellings));
    for entity in &knowledge.entities {
        if let EntityRule::Pattern(pattern) = &entity.rule {
            examples(out, "regex", &entity.name, &[pattern.as_str()]);
        }
    }
    out.push_str(&tables);
}

fn domain(target: &mut Target<'_>) -> String {
    let mut out = format!("{VERSION}intents:\n");
    let mut names: Vec<&str> = target.intents().map(|intent| intent.id.as_str()).collect();
    if target.report.carried.out_of_scope > 0 {
        names.push(OUT_OF_SCOPE);
    }
    // A retrieval intent stands in the domain by its first part.
    let mut listed = Vec::new();
    for name in names {
        let first = name.split('/').next().unwrap_or(name);
        if !listed.contains(&first) {
            listed.push(first);
            line(&mut out, &format!("- {}", scalar(first)));
        }
    }
    if !target.knowledge.entities.is_empty() {
        out.push_str("entities:\n");
    }
    target
        .knowledge
        .entities
        .iter()
        .for_each(|one| line(&mut out, &format!("- {}", scalar(&one.name))));
    let mut header = "responses:\n";
    for intent in target.knowledge.intents.iter().filter(|one| !one.examples.is_empty()) {
        if intent.answers.values().all(Vec::is_empty) {
            continue;
        }
        line(&mut out, &format!("{header}  {}:", scalar(&format!("utter_{}", intent.id))));
        header = "";
        for text in intent.answers.values().flatten() {
            line(&mut out, &format!("  - text: {}", scalar(text)));
            if text.contains('{') {
                let why = "rasa takes them for slots";
                target.report.leave("braces in answers", None, why, "word the answer without them");
            }
        }
    }
    out
}

/// An item of `nlu:`. A block of lines where every text is one visible line, else a list (which
/// Rasa takes for intents only).
fn examples(out: &mut String, kind: &str, name: &str, texts: &[&str]) {
    line(out, &format!("- {kind}: {}", scalar(name)));
    if texts.iter().all(|text| is_line(text)) {
        line(out, "  examples: |");
        texts.iter().for_each(|text| line(out, &format!("    - {text}")));
    } else {
        line(out, "  examples:");
        texts.iter().for_each(|text| line(out, &format!("  - text: {}", scalar(text))));
    }
}

/// Whether a text is one line of a block as it is.
fn is_line(text: &str) -> bool {
    let odd = ['\u{2028}', '\u{2029}', '\u{feff}', '\u{fffe}', '\u{ffff}'];
    !text.chars().any(|c| c.is_control() || odd.contains(&c))
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("a String takes every write");
}
