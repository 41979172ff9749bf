//! The `nlu:` list: intents with examples, synonyms, regular expressions, lookup tables.

use std::collections::{BTreeSet, HashMap};

use super::markup;
use crate::exchange::draft::{Draft, DraftValue};
use crate::exchange::ids::is_out_of_scope;
use crate::exchange::node::{At, Node, Reading, Value};
use crate::knowledge::Place;

/// What Rasa ties to names of no or of any entity, over all files.
#[derive(Default)]
pub(super) struct Loose {
    /// Canonical values in order, with their spellings.
    synonyms: Vec<DraftValue>,
    /// What a spelling in lower case means.
    meaning: HashMap<String, String>,
    /// Name, expression, place.
    regexes: Vec<(String, String, Place)>,
}

impl Loose {
    /// Learns the synonyms of a file, so that marked and listed spellings find their value.
    pub(super) fn learn_synonyms(&mut self, reading: &mut Reading<'_>, file: &Node) {
        let lines: Vec<&str> = reading.source.text.lines().collect();
        for item in file.get("nlu").map_or(&[][..], Node::entries) {
            if item.get("synonym").is_none() {
                continue;
            }
            let Some(value) = reading.text(item, "synonym") else { continue };
            let place = reading.place(item.at);
            let examples = examples(reading, &lines, item);
            let synonyms: Vec<String> = examples.into_iter().map(|one| one.text).collect();
            for spelling in &synonyms {
                let known = self.meaning.entry(spelling.to_lowercase());
                known.or_insert_with(|| value.to_owned());
            }
            self.synonyms.push(DraftValue { value: value.to_owned(), synonyms, place });
        }
    }

    /// Gives synonyms and expressions to the entities that they are for; the others go into the
    /// report.
    pub(super) fn settle(self, draft: &mut Draft) {
        for (name, pattern, place) in self.regexes {
            if draft.has_entity(&name) {
                draft.entity(&name, &place).patterns.push((pattern, place));
            } else {
                let why = "it is a feature of sentences, and no entity is called so";
                let advice = "nothing, or define an entity with the pattern";
                draft.leave(format!("the regex {name:?}"), &place, why, advice);
            }
        }
        let mut owners: HashMap<String, BTreeSet<usize>> = HashMap::new();
        for (number, entity) in draft.entities.iter().enumerate() {
            for one in entity.values.iter().chain(&entity.seen) {
                owners.entry(one.value.clone()).or_default().insert(number);
            }
        }
        for DraftValue { value, synonyms, place } in self.synonyms {
            let Some(entities) = owners.get(&value) else {
                draft.leave(
                    format!("the synonyms of {value:?}"),
                    &place,
                    "no entity has this value",
                    "add the value and its synonyms to an entity",
                );
                continue;
            };
            for &number in entities {
                let entity = &mut draft.entities[number];
                let list =
                    if entity.values.is_empty() { &mut entity.seen } else { &mut entity.values };
                let (value, synonyms) = (value.clone(), synonyms.clone());
                list.push(DraftValue { value, synonyms, place: place.clone() });
            }
        }
    }

    /// A spelling with the value that it means.
    fn value(&self, spelling: &str, place: Place) -> DraftValue {
        match self.meaning.get(&spelling.to_lowercase()) {
            Some(value) if value != spelling => {
                DraftValue { value: value.clone(), synonyms: vec![spelling.to_owned()], place }
            }
            _ => DraftValue { value: spelling.to_owned(), synonyms: Vec::new(), place },
        }
    }
}

/// Reads everything but synonyms.
pub(super) fn read(reading: &mut Reading<'_>, file: &Node, loose: &mut Loose, draft: &mut Draft) {
    let lines: Vec<&str> = reading.source.text.lines().collect();
    for item in reading.list(file, "nlu") {
        let kinds = ["intent", "synonym", "regex", "lookup"];
        let Some(kind) = kinds.into_iter().find(|kind| item.get(kind).is_some()) else {
            let reason = "an entry of nlu needs one of intent, synonym, regex and lookup";
            reading.fault(item.at, reason);
            continue;
        };
        for (key, value) in item.fields() {
            if key != kind && key != "examples" {
                let place = reading.place(value.at);
                draft.leave(format!("{key:?} of {kind}s"), &place, NO_COUNTERPART, "nothing");
            }
        }
        if kind == "synonym" {
            continue;
        }
        let Some(name) = reading.text(item, kind).map(|name| name.trim().to_owned()) else {
            continue;
        };
        let place = reading.place(item.at);
        let found = examples(reading, &lines, item);
        match kind {
            "intent" => intent(reading, (&name, &place), found, loose, draft),
            "regex" => loose.regexes.extend(
                found.into_iter().map(|one| (name.clone(), one.text, reading.place(one.at))),
            ),
            _ => {
                let values =
                    found.into_iter().map(|one| loose.value(&one.text, reading.place(one.at)));
                draft.entity(&name, &place).values.extend(values);
            }
        }
    }
}

const NO_COUNTERPART: &str = "kefu has nothing of this kind";

fn intent(
    reading: &mut Reading<'_>,
    (name, place): (&str, &Place),
    examples: Vec<Example>,
    loose: &Loose,
    draft: &mut Draft,
) {
    let topic = reading.source.stem();
    if examples.is_empty() && !is_out_of_scope(name) {
        draft.intent(name, &topic, place);
    }
    for Example { text, at, has_metadata } in examples {
        let place = reading.place(at);
        if has_metadata {
            draft.leave("metadata of examples", &place, NO_COUNTERPART, "nothing");
        }
        let (plain, marks) = match markup::read(&text) {
            Ok(read) => read,
            Err((character, reason)) => {
                reading.fault(At { column: at.column + character as u64, ..at }, reason);
                continue;
            }
        };
        for mark in marks {
            if mark.has_role {
                let what = format!("roles and groups of the entity {:?}", mark.entity);
                draft.leave(what, &place, NO_COUNTERPART, "define an entity for each role");
            }
            let value = match mark.value {
                Some(value) => {
                    DraftValue { value, synonyms: vec![mark.text], place: place.clone() }
                }
                None => loose.value(&mark.text, place.clone()),
            };
            draft.entity(&mark.entity, &place).seen.push(value);
        }
        draft.example((name, &topic), plain.trim(), None, place);
    }
}

/// One line of `examples`.
struct Example {
    text: String,
    at: At,
    has_metadata: bool,
}

/// The examples of an item: a block with a line each, or a list of texts or of maps with `text`.
fn examples(reading: &mut Reading<'_>, lines: &[&str], item: &Node) -> Vec<Example> {
    let Some(node) = item.get("examples") else { return Vec::new() };
    match &node.value {
        Value::Text(block) => block_examples(reading, lines, node.at, block),
        Value::List(entries) => {
            let mut found = Vec::new();
            for entry in entries {
                let text = if let Value::Map(_) = entry.value {
                    reading.text(entry, "text")
                } else {
                    entry.text()
                };
                if let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) {
                    let has_metadata = entry.has("metadata");
                    found.push(Example { text: text.to_owned(), at: entry.at, has_metadata });
                }
            }
            found
        }
        _ => {
            let reason = "examples must be a block of lines that begin with '- ', or a list";
            reading.fault(node.at, reason);
            Vec::new()
        }
    }
}

fn block_examples(
    reading: &mut Reading<'_>,
    lines: &[&str],
    block_at: At,
    block: &str,
) -> Vec<Example> {
    let mut found = Vec::new();
    let first_row = first_row(lines, block_at.line, block);
    for (number, line) in block.lines().enumerate() {
        let line = line.trim();
        let start = first_row.map_or(block_at, |first| {
            let row = first + number;
            let raw = lines.get(row - 1).copied().unwrap_or_default();
            let indent = raw.chars().take_while(|c| c.is_whitespace()).count() as u64;
            At { line: row as u64, column: indent + 1 }
        });
        let Some(text) = line.strip_prefix('-') else {
            if line.starts_with('#') {
                let place = reading.place(start);
                reading.skipped.push(place);
            } else if !line.is_empty() {
                reading
                    .fault(start, format!("{line:?} does not begin with '- '; put one before it"));
            }
            continue;
        };
        let space = text.chars().take_while(|c| c.is_whitespace()).count() as u64;
        let at = At { column: start.column + 1 + space, ..start };
        let text = text.trim().to_owned();
        if !text.is_empty() {
            found.push(Example { text, at, has_metadata: false });
        }
    }
    found
}

/// The row, from 1, of the first line of a block that the parser places at row `near`. None where
/// the text is no block, so that its lines are not those of the file.
fn first_row(lines: &[&str], near: u64, block: &str) -> Option<usize> {
    let blank = block.lines().take_while(|line| line.trim().is_empty()).count();
    let first = block.lines().nth(blank)?.trim();
    let near = usize::try_from(near).ok()?;
    let row = (near..=near + blank)
        .find(|row| lines.get(row - 1).is_some_and(|raw| raw.trim() == first))?;
    row.checked_sub(blank).filter(|row| *row > 0)
}
