//! From a [`Draft`] to a knowledge base that `crate::knowledge` accepts: ids, duplicates, limits.
//! What the format allows and ours does not goes into the report here, once for all formats.

use std::collections::{HashMap, HashSet};

use super::dictionary::{self, Definitions};
use super::draft::{Draft, DraftIntent, DraftSlot, Sentence, SlotKind};
use super::ids;
use super::report::{Renamed, Report, Shared};
use super::{Fault, Imported};
use crate::intent::knowledge::{
    Action, EntityKind, Example, Intent, KnowledgeBase, Lang, Localized, Slot,
};
use crate::intent::normalize::normalize;
use crate::knowledge::Place;
use crate::knowledge::check::placeholders;

/// The longest example, in characters, as `crate::knowledge` checks it.
const MAX_EXAMPLE_CHARS: usize = 2_000;
/// Rows with this label are out of scope, so no intent may be called so.
const OUT_OF_SCOPE: &str = "oos";

/// Makes the knowledge base.
///
/// # Errors
/// Every fault that the format found.
pub(super) fn assemble(draft: Draft, root: &Place) -> Result<Imported, Vec<Fault>> {
    let Draft { intents, entities, out_of_scope, mut report, faults, .. } = draft;
    if !faults.is_empty() {
        return Err(faults);
    }
    let Definitions { entities, kinds } = dictionary::define(entities, &mut report);
    let mut intents: Vec<(DraftIntent, Vec<Example>)> = intents
        .into_iter()
        .map(|mut draft| {
            let examples = examples(std::mem::take(&mut draft.examples), &mut report);
            (draft, examples)
        })
        .collect();
    intents.retain(|(draft, examples)| {
        if examples.is_empty() {
            report.leave(
                format!("the intent {:?}", draft.name),
                Some(&draft.place),
                "it has no examples, so nothing could reach it",
                "write examples for it, or forget it",
            );
        }
        !examples.is_empty()
    });
    let out_of_scope = sentences(out_of_scope, &mut report);
    if intents.is_empty() {
        let reason = "there is no example of an intent in here; name another file or format";
        return Err(vec![Fault { place: root.clone(), reason: reason.to_owned() }]);
    }
    let names: Vec<&str> = intents.iter().map(|(draft, _)| draft.name.as_str()).collect();
    let ids = ids::all(&names, "intent", &[OUT_OF_SCOPE]);
    shared(&ids, &intents, &out_of_scope, &mut report);
    let (mut topics, mut made) = (Vec::new(), Vec::new());
    for ((draft, examples), id) in intents.into_iter().zip(ids) {
        topics.push(draft.topic.clone());
        made.push(intent(draft, id, examples, &kinds, &mut report));
    }
    let knowledge = KnowledgeBase { intents: made, entities };
    report.count(&knowledge, out_of_scope.len());
    let out_of_scope = out_of_scope.into_iter().map(|one| (one.text, one.lang)).collect();
    Ok(Imported { knowledge, topics, out_of_scope, report })
}

/// Sentences that show something, are not too long and stand there once.
fn sentences(sentences: Vec<Sentence>, report: &mut Report) -> Vec<Sentence> {
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    for one in sentences {
        let normal = normalize(&one.text).text().to_owned();
        if normal.is_empty() {
            let why = "there is nothing to read in them";
            report.leave("sentences", Some(&one.place), why, "write them, or drop them");
        } else if one.text.chars().nth(MAX_EXAMPLE_CHARS).is_some() {
            let why = format!("they are longer than {MAX_EXAMPLE_CHARS} characters");
            report.leave("sentences", Some(&one.place), why, "shorten them");
        } else if seen.insert(normal) {
            kept.push(one);
        } else {
            report.duplicates += 1;
        }
    }
    kept
}

/// The examples of one intent, by language as the file will have them.
fn examples(drafts: Vec<Sentence>, report: &mut Report) -> Vec<Example> {
    let mut kept = sentences(drafts, report);
    kept.sort_by_key(|one| one.lang);
    let example = |one: Sentence| Example {
        text: one.text,
        lang: one.lang,
        file: one.place.file.to_string_lossy().into_owned(),
        line: u32::try_from(one.place.line).unwrap_or(u32::MAX),
    };
    kept.into_iter().map(example).collect()
}

/// Tells of sentences that stand in two intents, or in one and out of scope.
fn shared(
    ids: &[String],
    intents: &[(DraftIntent, Vec<Example>)],
    out_of_scope: &[Sentence],
    report: &mut Report,
) {
    let mut first: HashMap<String, &str> = HashMap::new();
    let mut look = |text: &str, id, place: &dyn Fn() -> Place| {
        let owner = *first.entry(normalize(text).text().to_owned()).or_insert(id);
        if owner != id {
            let intents = [owner.to_owned(), id.to_owned()];
            report.shared.push(Shared { text: text.to_owned(), intents, place: place() });
        }
    };
    for (id, (_, examples)) in ids.iter().zip(intents) {
        for one in examples {
            let place =
                || Place { file: one.file.clone().into(), line: one.line.into(), column: 1 };
            look(&one.text, id, &place);
        }
    }
    for one in out_of_scope {
        look(&one.text, OUT_OF_SCOPE, &|| one.place.clone());
    }
}

fn intent(
    draft: DraftIntent,
    id: String,
    examples: Vec<Example>,
    kinds: &HashMap<String, EntityKind>,
    report: &mut Report,
) -> Intent {
    let mut title = Localized::new();
    if id != draft.name {
        title.insert(Lang::of(&draft.name), draft.name.clone());
        report.renamed.push(Renamed { kind: "intent", from: draft.name, to: id.clone() });
    }
    let names: Vec<String> = draft.slots.iter().map(|slot| slot.name.clone()).collect();
    let mut answers: Localized<Vec<String>> = Localized::new();
    for Sentence { text, lang, place } in draft.answers {
        let text = known_placeholders(text, &names, &place, report);
        let texts = answers.entry(lang).or_default();
        if !text.trim().is_empty() && !texts.contains(&text) {
            texts.push(text);
        }
    }
    answers.retain(|_, texts| !texts.is_empty());
    let slots = draft.slots.into_iter().filter_map(|one| slot(one, kinds, report)).collect();
    Intent {
        id,
        title,
        answers,
        keywords: Vec::new(),
        examples,
        negative_examples: Vec::new(),
        slots,
        confirm: Localized::new(),
        action: Action::Reply,
    }
}

/// `text` with parentheses for braces when it names something that is no slot of its intent: a
/// knowledge base with such an answer would be wrong.
fn known_placeholders(
    text: String,
    slots: &[String],
    place: &Place,
    report: &mut Report,
) -> String {
    if placeholders(&text).all(|name| slots.iter().any(|slot| slot == name)) {
        return text;
    }
    let why = "they name no slot of the intent, so parentheses stand for the braces";
    let advice = "add the slot, or word the answer without them";
    report.leave("placeholders in responses", Some(place), why, advice);
    text.replace('{', "(").replace('}', ")")
}

fn slot(
    draft: DraftSlot,
    kinds: &HashMap<String, EntityKind>,
    report: &mut Report,
) -> Option<Slot> {
    let entity = match draft.kind {
        SlotKind::BuiltIn(kind) => kind,
        SlotKind::Named(name) => match kinds.get(&name) {
            Some(kind) => kind.clone(),
            None => {
                report.leave(
                    format!("the parameter {:?}", draft.name),
                    Some(&draft.place),
                    format!("its entity {name:?} was not carried over"),
                    "define the entity, and add the slot by hand",
                );
                return None;
            }
        },
    };
    let DraftSlot { name, required, prompt, .. } = draft;
    let (validate, invalid) = (None, Localized::new());
    Some(Slot { name, entity, required, prompt, validate, invalid })
}
