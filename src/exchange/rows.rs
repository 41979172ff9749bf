//! Rows of sentence and intent: comma- or tab-separated with or without a header (RFC 4180), and
//! JSON Lines as `crate::training::dataset` reads them.

use std::collections::HashSet;

use super::draft::Draft;
use super::node::{At, Node, Reading, Value};
use super::target::{Part, Target};
use super::{Fault, Format, Source, json};
use crate::intent::knowledge::{Example, Lang};

/// Names of the columns, in lower case.
const TEXT: [&str; 8] =
    ["text", "utterance", "sentence", "query", "question", "message", "文本", "句子"];
const INTENT: [&str; 6] = ["intent", "label", "category", "class", "意图", "标签"];
const LANG: [&str; 3] = ["lang", "language", "语言"];
const SPLIT: [&str; 2] = ["split", "dataset"];

/// A row before it becomes an example.
struct Row<'a> {
    text: &'a str,
    intent: &'a str,
    lang: Option<&'a str>,
    split: Option<&'a str>,
}

/// Where the columns of a table are.
struct Columns {
    text: usize,
    intent: usize,
    lang: Option<usize>,
    split: Option<usize>,
    /// Those that mean nothing here, with their names.
    others: Vec<(usize, String)>,
}

pub(super) fn read(format: Format, sources: &[Source], draft: &mut Draft) {
    for source in sources {
        // The layout of `train-intents eval`: a folder with a file a split.
        let stem = source.stem();
        let split = (sources.len() > 1).then_some(stem.as_str());
        match format {
            Format::Jsonl => lines(source, split, draft),
            _ => table(format, source, split, draft),
        }
    }
}

/// One row as a line of JSON.
pub(super) fn line(text: &str, intent: &str, lang: Lang) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    format!(
        "{{\"text\": {}, \"intent\": {}, \"lang\": \"{lang}\"}}\n",
        quoted(text),
        quoted(intent)
    )
}

pub(super) fn write(format: Format, target: &mut Target<'_>) -> Vec<(String, String)> {
    target.leave_parts(&[
        Part::Title,
        Part::Answers,
        Part::Keywords,
        Part::NegativeExamples,
        Part::Slots,
        Part::Confirm,
        Part::Action,
    ]);
    target.leave_entities();
    target.leave_unreachable();
    let examples = target.intents().flat_map(|intent| {
        intent.examples.iter().map(|Example { text, lang, .. }| (text.as_str(), &*intent.id, *lang))
    });
    let beyond = target.out_of_scope.iter().map(|text| (text.as_str(), "oos", Lang::of(text)));
    let rows = examples.chain(beyond);
    let text = match format {
        Format::Jsonl => rows.map(|(text, intent, lang)| line(text, intent, lang)).collect(),
        _ => {
            let delimiter = if format == Format::Tsv { b'\t' } else { b',' };
            let mut out = csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
            let mut push = |row: [&str; 3]| out.write_record(row).expect("a Vec takes every write");
            push(["text", "intent", "lang"]);
            rows.for_each(|(text, intent, lang)| push([text, intent, &lang.to_string()]));
            let bytes = out.into_inner().expect("a Vec takes every write");
            String::from_utf8(bytes).expect("rows of text are text")
        }
    };
    vec![(String::new(), text)]
}

/// Takes one row, or says why not. Its split may keep it out: what a model is measured on must not
/// be learnt.
fn take(row: &Row<'_>, source: &Source, at: At, draft: &mut Draft) {
    let place = source.place(at);
    let mut fault = |reason: &str| {
        draft.faults.push(Fault { place: place.clone(), reason: reason.to_owned() });
    };
    if row.intent.trim().is_empty() {
        return fault("the intent is empty; name it or drop the row");
    }
    if row.text.trim().is_empty() {
        return fault("the text is empty; write it or drop the row");
    }
    let split = row.split.unwrap_or_default().to_lowercase();
    if matches!(split.as_str(), "test" | "valid" | "validation" | "dev") {
        let what = format!("rows of the split {split:?}");
        let why = "they are for measuring, and a model must not learn them";
        return draft.leave(what, &place, why, "give them to train-intents eval");
    }
    draft.example((row.intent.trim(), ""), row.text.trim(), row.lang, place);
}

fn lines(source: &Source, split: Option<&str>, draft: &mut Draft) {
    let mut reading = Reading::new(source);
    for (number, text) in source.text.lines().enumerate() {
        let line = number as u64 + 1;
        if text.trim().is_empty() {
            continue;
        }
        let node = match json::parse(text, line) {
            Ok(node) => node,
            Err((at, reason)) => {
                reading.fault(at, reason);
                continue;
            }
        };
        if !matches!(node.value, Value::Map(_)) {
            let wanted = "{\"text\": \"…\", \"intent\": \"…\"}";
            reading.fault(node.at, format!("this is {}, and must be {wanted}", node.kind()));
            continue;
        }
        let (text, intent) = (reading.text(&node, "text"), reading.text(&node, "intent"));
        let (Some(text), Some(intent)) = (text, intent) else { continue };
        let optional = |key| node.get(key).and_then(Node::text);
        let row = Row { text, intent, lang: optional("lang"), split: optional("split").or(split) };
        take(&row, source, At { line, column: 1 }, draft);
        for (key, field) in node.fields() {
            if !["text", "intent", "lang", "split"].contains(&key.as_str()) {
                let place = source.place(field.at);
                leave_column(draft, key, &place);
            }
        }
    }
    draft.faults.append(&mut reading.faults);
}

fn leave_column(draft: &mut Draft, name: &str, place: &crate::knowledge::Place) {
    let advice = "nothing, or keep the file";
    draft.leave(
        format!("fields {name:?}"),
        place,
        "rows have text, intent, lang and split",
        advice,
    );
}

fn table(format: Format, source: &Source, split: Option<&str>, draft: &mut Draft) {
    let fault =
        |line, reason: String| Fault { place: source.place(At { line, column: 1 }), reason };
    if let Some(line) = unclosed_quote(&source.text, delimiter(format, source)) {
        let reason = "a quoted field opens here and is never closed; close it, or double the quote";
        return draft.faults.push(fault(line, reason.to_owned()));
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter(format, source))
        .from_reader(source.text.as_bytes());
    let records: Vec<csv::StringRecord> = reader
        .records()
        .map(|one| one.expect("the text is UTF-8 and any row length is fine"))
        .collect();
    let line = |record: &csv::StringRecord| record.position().map_or(1, csv::Position::line);
    let Some(first) = records.first() else {
        let reason = "the file has no rows; it needs a text and an intent in each";
        return draft.faults.push(fault(1, reason.to_owned()));
    };
    let (columns, has_header) = match columns(first, &records) {
        Ok(found) => found,
        Err(reason) => return draft.faults.push(fault(line(first), reason)),
    };
    if !has_header {
        let note = "{}: no header; column {} is taken for the text, column {} for the intent";
        let values =
            [source.path.display().to_string(), number(columns.text), number(columns.intent)];
        let note = values.iter().fold(note.to_owned(), |note, one| note.replacen("{}", one, 1));
        draft.report.notes.push(note);
    }
    for record in records.iter().skip(usize::from(has_header)) {
        if record.len() != first.len() {
            let (found, wanted) = (record.len(), first.len());
            let reason = format!(
                "the row has {found} fields, and the first one has {wanted}; quote a field with a delimiter in it"
            );
            draft.faults.push(fault(line(record), reason));
            continue;
        }
        let at = At { line: line(record), column: 1 };
        let row = Row {
            text: &record[columns.text],
            intent: &record[columns.intent],
            lang: columns.lang.map(|column| record[column].trim()),
            split: columns.split.map(|column| record[column].trim()).or(split),
        };
        take(&row, source, at, draft);
        for (column, name) in &columns.others {
            if !record[*column].trim().is_empty() {
                leave_column(draft, name, &source.place(at));
            }
        }
    }
}

fn number(column: usize) -> String {
    (column + 1).to_string()
}

/// Tab, or what the first line has more of: spreadsheets write `;` where `,` is the decimal mark.
fn delimiter(format: Format, source: &Source) -> u8 {
    let first = source.text.lines().next().unwrap_or_default();
    let count = |delimiter| first.matches(delimiter).count();
    match format {
        Format::Tsv => b'\t',
        _ if count(';') > count(',') => b';',
        _ => b',',
    }
}

/// The columns, and whether the first row names them. Without names there must be two columns; the
/// one with fewer distinct texts holds the intents.
fn columns(
    first: &csv::StringRecord,
    records: &[csv::StringRecord],
) -> Result<(Columns, bool), String> {
    let find = |names: &[&str]| {
        first.iter().position(|cell| names.contains(&cell.trim().to_lowercase().as_str()))
    };
    let (text, intent) = (find(&TEXT), find(&INTENT));
    if let (Some(text), Some(intent)) = (text, intent) {
        let (lang, split) = (find(&LANG), find(&SPLIT));
        let known = [Some(text), Some(intent), lang, split];
        let others = first.iter().enumerate().filter(|(column, _)| !known.contains(&Some(*column)));
        let others = others.map(|(column, name)| (column, name.trim().to_owned())).collect();
        return Ok((Columns { text, intent, lang, split, others }, true));
    }
    if first.len() == 2 && records.len() > 1 {
        let distinct =
            |column| records.iter().filter_map(|one| one.get(column)).collect::<HashSet<_>>().len();
        if text.is_none() && intent.is_none() {
            let (text, intent) = if distinct(0) < distinct(1) { (1, 0) } else { (0, 1) };
            return Ok((Columns { text, intent, lang: None, split: None, others: vec![] }, false));
        }
    }
    let missing = match (text, intent) {
        (Some(_), None) => "the first row names a text column and none for the intent",
        (None, Some(_)) => "the first row names an intent column and none for the text",
        _ => "the first row names neither a text nor an intent column",
    };
    let (text, intent) = (TEXT[..4].join(", "), INTENT[..4].join(", "));
    Err(format!("{missing}; begin with a row that names one of {text} and one of {intent}"))
}

/// The line of a quote that opens a field and is never closed.
fn unclosed_quote(text: &str, delimiter: u8) -> Option<u64> {
    let (mut line, mut opened) = (1, None);
    let mut starts_field = true;
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        line += u64::from(byte == b'\n');
        match byte {
            b'"' if opened.is_some() => {
                if bytes.peek() == Some(&b'"') {
                    bytes.next();
                } else {
                    opened = None;
                }
            }
            b'"' if starts_field => opened = Some(line),
            _ => {}
        }
        starts_field = byte == delimiter || byte == b'\n' || byte == b'\r';
    }
    opened
}

#[cfg(test)]
mod tests;
