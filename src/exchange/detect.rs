//! Which format files are in, by what is in them first and by their names second.

use std::collections::BTreeSet;

use super::{Format, Source};

/// The format of all sources together.
///
/// # Errors
/// What stands in the way, and what to do.
pub fn detect(sources: &[Source]) -> Result<Format, String> {
    if sources.iter().any(is_dialogflow) {
        return Ok(Format::Dialogflow);
    }
    let mut found = BTreeSet::new();
    for source in sources {
        if is_kefu(source) {
            let file = source.path.display();
            return Err(format!("{file} is a Kefu knowledge base already; use it with --intents"));
        }
        found.extend(one(source));
    }
    let names: Vec<String> = found.iter().map(ToString::to_string).collect();
    match found.into_iter().collect::<Vec<_>>()[..] {
        [format] => Ok(format),
        [] => Err("the format cannot be told from the content; name it with --from".to_owned()),
        _ => Err(format!("the files look like {}; name one with --from", names.join(" and "))),
    }
}

/// Files that belong to `format`; the others are not looked at.
pub(super) fn belongs(source: &Source, format: Format) -> bool {
    let extension = source.extension();
    let of = |known: &[&str]| known.contains(&extension.as_str());
    match format {
        Format::Rasa => of(&["yml", "yaml", "md"]) || is_old_rasa(source),
        Format::Dialogflow | Format::Luis | Format::Clu => of(&["json"]),
        Format::Csv => of(&["csv"]),
        Format::Tsv => of(&["tsv", "tab"]),
        Format::Jsonl => of(&["jsonl", "ndjson"]),
    }
}

/// Training data of Rasa before version 2, in Markdown or JSON.
pub(super) fn is_old_rasa(source: &Source) -> bool {
    let old = ["## intent:", "## synonym:", "## regex:", "## lookup:"];
    let is_markdown = source.extension() != "json"
        && source.text.lines().any(|line| old.iter().any(|mark| line.starts_with(mark)));
    is_markdown || (source.extension() == "json" && has_key(source, "rasa_nlu_data"))
}

fn one(source: &Source) -> Option<Format> {
    let first = source.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    match source.extension().as_str() {
        _ if is_old_rasa(source) => Some(Format::Rasa),
        "json" if has_key(source, "luis_schema_version") => Some(Format::Luis),
        "json" if has_key(source, "projectFileVersion") => Some(Format::Clu),
        "json" => is_row(first).then_some(Format::Jsonl),
        "yml" | "yaml" => is_rasa(source).then_some(Format::Rasa),
        "jsonl" | "ndjson" => Some(Format::Jsonl),
        "csv" => Some(Format::Csv),
        "tsv" | "tab" => Some(Format::Tsv),
        "md" => None,
        _ if is_row(first) => Some(Format::Jsonl),
        _ if is_rasa(source) => Some(Format::Rasa),
        _ if first.contains('\t') => Some(Format::Tsv),
        _ if first.contains([',', ';']) => Some(Format::Csv),
        _ => None,
    }
}

fn is_dialogflow(source: &Source) -> bool {
    let name = source.path.file_name().unwrap_or_default().to_string_lossy();
    source.extension() == "json"
        && (name == "agent.json" || name.contains("_usersays_") || name.contains("_entries_"))
}

/// A line of JSON with a text.
fn is_row(line: &str) -> bool {
    let row = serde_json::from_str::<serde_json::Value>(line);
    row.is_ok_and(|row| row.get("text").is_some() && row.get("intent").is_some())
}

fn is_rasa(source: &Source) -> bool {
    let keys = ["nlu:", "responses:", "stories:", "rules:", "forms:", "slots:"];
    source.text.lines().any(|line| keys.iter().any(|key| line.starts_with(key)))
}

fn is_kefu(source: &Source) -> bool {
    let is_version = |line: &str| line.trim_end() == "version: 1";
    ["yml", "yaml"].contains(&source.extension().as_str())
        && source.text.lines().any(is_version)
        && source
            .text
            .lines()
            .any(|line| line.starts_with("intents:") || line.starts_with("entities:"))
}

fn has_key(source: &Source, key: &str) -> bool {
    source.text.contains(&format!("\"{key}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_apart() {
        type Row<'a> = (&'a [(&'a str, &'a str)], Result<Format, &'a str>);
        let rows: &[Row<'_>] = &[
            (&[("nlu.yml", "version: \"3.1\"\nnlu:\n- intent: a\n")], Ok(Format::Rasa)),
            (&[("d/nlu.md", "## intent:greet\n- hi\n")], Ok(Format::Rasa)),
            (&[("d.json", "{\"rasa_nlu_data\": {}}")], Ok(Format::Rasa)),
            (&[("a/agent.json", "{}"), ("a/intents/x.json", "{}")], Ok(Format::Dialogflow)),
            (&[("app.json", "{\"luis_schema_version\": \"7.0.0\"}")], Ok(Format::Luis)),
            (&[("p.json", "{\"projectFileVersion\": \"2023-04-01\"}")], Ok(Format::Clu)),
            (&[("a.csv", "x")], Ok(Format::Csv)),
            (&[("a.tsv", "x")], Ok(Format::Tsv)),
            (&[("a.jsonl", ""), ("b.jsonl", "")], Ok(Format::Jsonl)),
            (&[("rows", "{\"text\": \"a\", \"intent\": \"b\"}\n")], Ok(Format::Jsonl)),
            (&[("rows.txt", "a\tb\n")], Ok(Format::Tsv)),
            (&[("rows.txt", "\na,b\n")], Ok(Format::Csv)),
            (&[("a.csv", ""), ("README.md", "# Rows")], Ok(Format::Csv)),
            (&[("a.csv", ""), ("b.jsonl", "")], Err("csv and jsonl")),
            (&[("a.json", "{}")], Err("--from")),
            (&[("shop.yaml", "version: 1\ntopic: a\nintents:\n")], Err("a Kefu knowledge base")),
        ];
        for (files, expected) in rows {
            let source =
                |(path, text): &(&str, &str)| Source { path: path.into(), text: (*text).into() };
            let sources: Vec<Source> = files.iter().map(source).collect();
            match (detect(&sources), expected) {
                (Ok(found), Ok(wanted)) => assert_eq!(found, *wanted, "{files:?}"),
                (Err(reason), Err(wanted)) => {
                    assert!(reason.contains(wanted), "{files:?}: {reason}");
                }
                (found, _) => panic!("{files:?}: {found:?}"),
            }
        }
    }
}
