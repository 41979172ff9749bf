//! The knowledge base on disk: `intents/*.yaml` in, a checked [`KnowledgeBase`] out.
//!
//! Called by the commands and the server. What an intent means is decided in `crate::intent`; here
//! is only how it is written down, and what to say when it is written wrongly.

pub(crate) mod check;
pub mod edit;
mod entities;
mod format;
mod golden;
mod hours;
mod places;
mod slots;
pub mod write;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::intent::knowledge::KnowledgeBase;
pub use format::json_schema;
pub use golden::{golden_json_schema, golden_path, is_golden, load_golden, parse_golden};
pub use hours::{load_hours, parse_hours};
pub use places::{IntentPlaces, Place, Places, RulePlaces};

/// Something wrong with a file of the knowledge base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable code; `KB001`, …, as `check` and `format` give them, `KG001`, … of the golden set.
    pub code: &'static str,
    /// The file as it was found.
    pub file: PathBuf,
    /// From 1.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { code, file, line, column, message } = self;
        write!(f, "{}:{line}:{column}: {code}: {message}", file.display())
    }
}

/// Why there is no knowledge base.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The folder or a file cannot be read.
    #[error("cannot read {}: {source}; name the folder that holds the intent files with --intents", path.display())]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No file to read.
    #[error("no *.yaml file in {}; put one there, intents/README.md shows how", .0.display())]
    Empty(PathBuf),
    /// Files that say something wrong, all of it.
    #[error("{}", lines(.0))]
    Findings(Vec<Finding>),
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n")
}

/// Reads all `*.yaml` and `*.yml` files of a folder, by ascending name; the golden set aside.
///
/// # Errors
/// [`LoadError`] with every finding of every file, not only the first file's.
pub fn load(folder: &Path) -> Result<KnowledgeBase, LoadError> {
    load_with_places(folder).map(|(knowledge, _)| knowledge)
}

/// [`load`], and where everything stands in the files.
///
/// # Errors
/// As [`load`].
pub fn load_with_places(folder: &Path) -> Result<(KnowledgeBase, Places), LoadError> {
    parse_with_places(&sources(folder)?).map_err(LoadError::Findings)
}

/// The topic files of a folder with their texts, by ascending name; the golden set is none of them.
///
/// # Errors
/// [`LoadError`] when the folder or a file cannot be read, or there is no file.
pub fn sources(folder: &Path) -> Result<Vec<(PathBuf, String)>, LoadError> {
    files(folder)?.into_iter().map(|path| Ok((path.clone(), read_text(&path)?))).collect()
}

fn read_text(path: &Path) -> Result<String, LoadError> {
    let text = std::fs::read(path).and_then(|bytes| {
        String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            std::io::Error::other(format!("byte {at} is not UTF-8; save it as UTF-8"))
        })
    });
    text.map_err(|source| LoadError::Read { path: path.to_owned(), source })
}

/// Parses and checks `(path, text)` pairs as one knowledge base. Examples carry the file name.
///
/// # Errors
/// All findings, by file and position.
pub fn parse(sources: &[(PathBuf, String)]) -> Result<KnowledgeBase, Vec<Finding>> {
    parse_with_places(sources).map(|(knowledge, _)| knowledge)
}

/// [`parse`], and where everything stands in the files.
///
/// # Errors
/// As [`parse`].
pub fn parse_with_places(
    sources: &[(PathBuf, String)],
) -> Result<(KnowledgeBase, Places), Vec<Finding>> {
    let mut findings = Vec::new();
    let mut entries = Vec::new();
    let mut entities = Vec::new();
    for (path, text) in sources {
        match format::read(path, text) {
            Ok(file) => {
                entries.extend(file.intents.into_iter().flatten().map(|entry| (path, entry)));
                entities.extend(file.entities.into_iter().map(|entry| (path, entry)));
            }
            Err(finding) => findings.push(finding),
        }
    }
    // A file that cannot be read may define what another one refers to.
    let complete = findings.is_empty();
    findings.extend(check::all(&entries));
    findings.extend(entities::all(&entities));
    if complete {
        findings.extend(entities::unknown(&entries, &entities));
        findings.extend(slots::never_given(&entries, &entities));
    }
    if !findings.is_empty() {
        findings.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        return Err(findings);
    }
    let (intents, places) =
        entries.into_iter().map(|(path, entry)| entry.into_intent(path)).unzip();
    let entities = entities.iter().map(|(_, entry)| entry.definition()).collect();
    Ok((KnowledgeBase { intents, entities }, Places { intents: places }))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let unreadable = |source| LoadError::Read { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let yaml = path.extension().is_some_and(|kind| kind == "yaml" || kind == "yml");
        if yaml && path.is_file() && !is_golden(&path) {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(LoadError::Empty(folder.to_owned()));
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::knowledge::{Action, Lang};

    const GOOD: &str = r#"
version: 1
topic: delivery
intents:
  - id: delivery_delay
    title: {zh: 快递延误, en: Delivery delay}
    answers: {zh: [马上查], en: [On it]}
    keywords:
      - any: [催快递]
    examples:
      zh:
        - 我的快递怎么还没到
      en:
        - "my parcel is late"
    slots:
      - {name: order_id, entity: order_number, required: true, prompt: {zh: 单号, en: number}}
    confirm: {zh: "查 {order_id} 吗"}
    action: {webhook: {url: "https://shop.example/x"}}
"#;

    fn one(text: &str) -> Result<KnowledgeBase, Vec<Finding>> {
        parse(&[(PathBuf::from("intents/a.yaml"), text.to_owned())])
    }

    #[test]
    fn reads_everything_with_its_lines() {
        let knowledge = one(GOOD).unwrap();
        let intent = &knowledge.intents[0];
        assert_eq!(intent.id, "delivery_delay");
        assert_eq!(intent.title[&Lang::En], "Delivery delay");
        let lines: Vec<_> =
            intent.examples.iter().map(|e| (e.lang, e.file.as_str(), e.line)).collect();
        assert_eq!(lines, [(Lang::Zh, "a.yaml", 12), (Lang::En, "a.yaml", 14)]);
        assert!(matches!(&intent.action, Action::Webhook(hook) if hook.url.ends_with("/x")));
    }

    /// Each row breaks the good file in one place.
    #[test]
    fn faults_are_found_at_their_place() {
        for (name, from, to, expected) in [
            ("unknown key", "    answers", "    answer", "intents/a.yaml:7:5: KB001"),
            ("wrong type", "[马上查]", "马上查", "intents/a.yaml:7:19: KB001"),
            ("unknown language", "{zh: 快递延误,", "{fr: x,", "intents/a.yaml:6:13: KB001"),
            ("broken syntax", "[催快递]", "[催快递", "KB001"),
            ("version", "version: 1", "version: 9", "intents/a.yaml:2:10: KB002"),
            (
                "malformed id",
                "id: delivery_delay",
                "id: Delivery Delay",
                "intents/a.yaml:5:9: KB003",
            ),
            ("empty example", "\"my parcel is late\"", "\" \"", "intents/a.yaml:14:11: KB005"),
            (
                "rule that cannot fire",
                "any: [催快递]",
                "not: [催快递]",
                "intents/a.yaml:9:9: KB006",
            ),
            ("unknown slot", "{order_id} 吗", "{order} 吗", "KB007"),
            ("webhook address", "https://", "ftp://", "KB008"),
            ("entity", "order_number", "ordernumber", "intents/a.yaml:16:34: KB010"),
            ("nothing in the file", &GOOD[GOOD.find("intents").unwrap()..], "", "2:10: KB001"),
        ] {
            assert!(GOOD.contains(from), "{name}");
            let findings = one(&GOOD.replacen(from, to, 1)).expect_err(name);
            assert_eq!(findings.len(), 1, "{name}: {findings:?}");
            let line = findings[0].to_string();
            assert!(line.contains(expected), "{name}: {line}");
            assert!(!line.contains('\n'), "{name}: {line}");
        }
    }

    const ENTITIES: &str = r#"
version: 1
entities:
  - name: courier
    values:
      - {value: 顺丰, synonyms: [sf express, 順豐]}
      - value: 中通
  - name: ticket
    pattern: "tk-[0-9]{6}"
"#;

    #[test]
    fn entities_stand_in_a_file_of_their_own() {
        let good = GOOD.replace("order_number", "ticket");
        let sources =
            [("a.yaml", good), ("b.yaml", ENTITIES.to_owned())].map(|(p, t)| (p.into(), t));
        let knowledge = parse(&sources).unwrap();
        assert_eq!(knowledge.intents[0].slots[0].entity.name(), "ticket");
        let names: Vec<_> = knowledge.entities.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["courier", "ticket"]);
        // An artifact carries them as JSON; one from before has none.
        let json = serde_json::to_string(&knowledge).unwrap();
        assert_eq!(serde_json::from_str::<KnowledgeBase>(&json).unwrap(), knowledge);
        let before: KnowledgeBase = serde_json::from_str(r#"{"intents": []}"#).unwrap();
        assert_eq!(before, KnowledgeBase::default());
    }

    #[test]
    fn faults_of_entities_are_found_at_their_place() {
        for (name, from, to, expected) in [
            ("bad regex", "{6}", "{6", "intents/a.yaml:9:14: KB011"),
            ("huge regex", "{6}", "{9999999}", "intents/a.yaml:9:14: KB011"),
            ("twice", "name: ticket", "name: courier", "intents/a.yaml:8:11: KB012"),
            ("built in", "name: ticket", "name: phone", "intents/a.yaml:8:11: KB012"),
            ("two meanings", "value: 中通", "value: SF Express", "intents/a.yaml:7:9: KB012"),
            ("malformed name", "name: ticket", "name: My Ticket", "intents/a.yaml:8:11: KB003"),
            ("invisible", "value: 中通", "value: ' '", "intents/a.yaml:7:9: KB013"),
            ("nothing to find", "    pattern: \"tk-[0-9]{6}\"", "", "intents/a.yaml:8:11: KB013"),
            ("unknown key", "synonyms", "synonym", "intents/a.yaml:6:21: KB001"),
        ] {
            assert!(ENTITIES.contains(from), "{name}");
            let findings = one(&ENTITIES.replacen(from, to, 1)).expect_err(name);
            assert_eq!(findings.len(), 1, "{name}: {findings:?}");
            let line = findings[0].to_string();
            assert!(line.contains(expected), "{name}: {line}");
            assert!(!line.contains('\n'), "{name}: {line}");
        }
    }

    #[test]
    fn all_files_are_reported_and_ids_are_unique_over_files() {
        let twice = [
            (PathBuf::from("a.yaml"), GOOD.to_owned()),
            (PathBuf::from("b.yaml"), GOOD.to_owned()),
            (PathBuf::from("c.yaml"), "version: [".to_owned()),
        ];
        let findings = parse(&twice).unwrap_err();
        let codes: Vec<_> = findings.iter().map(|f| (f.file.to_str().unwrap(), f.code)).collect();
        assert_eq!(codes, [("b.yaml", "KB004"), ("c.yaml", "KB001")]);
        assert!(findings[0].message.contains("a.yaml:5"), "{}", findings[0].message);
    }

    #[test]
    fn deep_and_huge_yaml_is_refused() {
        for text in ["[".repeat(20_000), format!("a: &a [x]\n{}", "b: [*a,*a]\n".repeat(50_000))] {
            assert_eq!(one(&text).unwrap_err()[0].code, "KB001");
        }
    }
}
