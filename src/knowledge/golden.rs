//! `golden.yaml` of a knowledge base: sentences whose answers are settled, for the gate that a new
//! model must pass.
//!
//! It lies beside the topic files and is none of them. Here is how it is written down and what to
//! say when it is written wrongly; what a right answer is, `crate::intent::golden` decides.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::check::MAX_EXAMPLE_CHARS;
use super::format::{Located, syntax};
use super::{Finding, LoadError, read_text};
use crate::intent::answer::{Status, Tier};
use crate::intent::golden::{Expected, GoldenSentence};
use crate::intent::knowledge::Lang;
use crate::intent::normalize::normalize;

/// Its names in the folder; the first that is there is read.
pub(super) const NAMES: [&str; 2] = ["golden.yaml", "golden.yml"];
/// The most sentences: each is judged at every reload.
const MAX_SENTENCES: usize = 5_000;

/// The golden set: sentences whose answers a new model must not lose.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Kefu golden set")]
struct GoldenFile {
    /// Version of this format: 1.
    version: Located<u32>,
    /// The sentences.
    golden: Vec<GoldenEntry>,
}

/// A sentence and its answer: either `intent` or `status`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "GoldenSentence")]
struct GoldenEntry {
    /// What a visitor writes; no example of an intent, or it proves nothing.
    text: Located<String>,
    /// Its language; without it, told by the script.
    #[serde(default)]
    lang: Option<Lang>,
    /// Id of the intent that must be matched.
    #[serde(default)]
    intent: Option<Located<String>>,
    /// The answer where no intent may be matched.
    #[serde(default)]
    status: Option<StatusEntry>,
    /// The tier that must answer; without it, either.
    #[serde(default)]
    tier: Option<TierEntry>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "GoldenStatus")]
enum StatusEntry {
    /// None of the intents is meant.
    OutOfScope,
    /// Two or more intents may be meant, so the bot asks back.
    Ambiguous,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "GoldenTier")]
enum TierEntry {
    /// A strong keyword rule.
    Keyword,
    /// The encoder.
    Semantic,
}

/// True for the file of the golden set, which is no topic.
pub fn is_golden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| NAMES.iter().any(|known| name == *known))
}

/// Reads the golden set of a folder; a folder without one has none. `knows` tells the ids of the
/// intents that it may name.
///
/// # Errors
/// [`LoadError`] with every finding.
pub fn load_golden(
    folder: &Path,
    knows: impl Fn(&str) -> bool,
) -> Result<Vec<GoldenSentence>, LoadError> {
    let present = NAMES.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    let Some(path) = present else { return Ok(Vec::new()) };
    let text = read_text(&path)?;
    parse_golden(&path, &text, knows).map_err(LoadError::Findings)
}

/// Parses and checks the text of a golden set.
///
/// # Errors
/// All findings.
pub fn parse_golden(
    path: &Path,
    text: &str,
    knows: impl Fn(&str) -> bool,
) -> Result<Vec<GoldenSentence>, Vec<Finding>> {
    let file: GoldenFile =
        serde_saphyr::from_str(text).map_err(|error| vec![syntax(path, &error)])?;
    if file.version.value != 1 {
        let found = file.version.value;
        let message = format!("version {found} is unknown; this kefu reads version 1");
        return Err(vec![file.version.finding(path, "KB002", message)]);
    }
    if file.golden.len() > MAX_SENTENCES {
        let (count, most) = (file.golden.len(), MAX_SENTENCES);
        let message = format!("{count} golden sentences, at most {most} are judged; drop some");
        return Err(vec![file.golden[most].text.finding(path, "KG004", message)]);
    }
    let mut findings = Vec::new();
    let mut seen: HashMap<String, u64> = HashMap::new();
    for entry in &file.golden {
        findings.extend(entry.findings(path, &knows));
        let text = normalize(&entry.text.value).text().to_owned();
        if let Some(line) = seen.get(&text) {
            let message = format!("the sentence stands in line {line} already; drop one");
            findings.push(entry.text.finding(path, "KG002", message));
        } else {
            seen.insert(text, entry.text.line());
        }
    }
    if !findings.is_empty() {
        return Err(findings);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(file.golden.into_iter().map(|entry| entry.into_sentence(&name)).collect())
}

impl GoldenEntry {
    fn findings(&self, path: &Path, knows: impl Fn(&str) -> bool) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(intent) = &self.intent
            && !knows(&intent.value)
        {
            let message = format!(
                "no intent is called {:?}; correct the id, or drop the sentence",
                intent.value
            );
            findings.push(intent.finding(path, "KG001", message));
        }
        if normalize(&self.text.value).text().is_empty() {
            let message = "the sentence has no visible text; write one or drop it";
            findings.push(self.text.finding(path, "KG003", message.into()));
        } else if self.text.value.chars().nth(MAX_EXAMPLE_CHARS).is_some() {
            let message = format!("the sentence is longer than {MAX_EXAMPLE_CHARS} characters");
            findings.push(self.text.finding(path, "KG003", message));
        }
        if self.intent.is_some() == self.status.is_some() {
            let message = "the sentence must say what is right: either intent or status";
            findings.push(self.text.finding(path, "KG004", message.into()));
        }
        findings
    }

    fn into_sentence(self, file: &str) -> GoldenSentence {
        let line = u32::try_from(self.text.line()).unwrap_or(u32::MAX);
        let text = self.text.value;
        let expected = match (self.intent, self.status) {
            (Some(intent), _) => Expected::Intent(intent.value),
            (None, Some(StatusEntry::Ambiguous)) => Expected::Status(Status::Ambiguous),
            (None, _) => Expected::Status(Status::OutOfScope),
        };
        GoldenSentence {
            lang: self.lang.unwrap_or_else(|| Lang::of(&text)),
            text,
            expected,
            tier: self.tier.map(|tier| match tier {
                TierEntry::Keyword => Tier::Keyword,
                TierEntry::Semantic => Tier::Semantic,
            }),
            file: file.to_owned(),
            line,
        }
    }
}

/// The JSON Schema of a golden set, as committed in `intents/golden.schema.json`.
pub fn golden_json_schema() -> String {
    let schema = schemars::schema_for!(GoldenFile);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text.push('\n');
    text
}

/// The path that a golden set of `folder` has or would have.
pub fn golden_path(folder: &Path) -> PathBuf {
    let paths = NAMES.map(|name| folder.join(name));
    let present = paths.iter().find(|path| path.is_file());
    present.unwrap_or(&paths[0]).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
version: 1
golden:
  - {text: 钱什么时候退, intent: refund_status}
  - {text: where is my money, lang: en, intent: refund_status, tier: semantic}
  - {text: 你们招主播吗, status: out_of_scope}
  - text: 退换
    status: ambiguous
"#;

    fn parse(text: &str) -> Result<Vec<GoldenSentence>, Vec<Finding>> {
        parse_golden(Path::new("intents/golden.yaml"), text, |id| id == "refund_status")
    }

    #[test]
    fn sentences_are_read_with_their_lines() {
        let read = parse(GOOD).unwrap();
        let lines: Vec<_> = read.iter().map(|one| (one.line, one.lang)).collect();
        assert_eq!(lines, [(4, Lang::Zh), (5, Lang::En), (6, Lang::Zh), (7, Lang::Zh)]);
        assert_eq!(read[0].expected, Expected::Intent("refund_status".into()));
        assert_eq!((read[1].tier, read[0].tier), (Some(Tier::Semantic), None));
        assert_eq!(read[2].expected, Expected::Status(Status::OutOfScope));
        assert_eq!(read[3].expected, Expected::Status(Status::Ambiguous));
    }

    /// Each row breaks the good file in one place.
    #[test]
    fn faults_are_found_at_their_place() {
        for (name, from, to, expected) in [
            ("unknown key", "text: 退换", "txt: 退换", "KB001"),
            ("unknown status", "out_of_scope", "matched", "intents/golden.yaml:6:28: KB001"),
            ("version", "version: 1", "version: 2", "intents/golden.yaml:2:10: KB002"),
            (
                "unknown intent",
                "什么时候退, intent: refund_status",
                "什么时候退, intent: refund",
                "intents/golden.yaml:4:28: KG001",
            ),
            ("twice", "where is my money", "'钱什么时候退 '", "intents/golden.yaml:5:12: KG002"),
            ("nothing to read", "退换", "' '", "intents/golden.yaml:7:11: KG003"),
            ("nothing expected", ", status: out_of_scope", "", "intents/golden.yaml:6:12: KG004"),
            (
                "two things expected",
                "tier: semantic",
                "status: ambiguous",
                "intents/golden.yaml:5:12: KG004",
            ),
        ] {
            assert!(GOOD.contains(from), "{name}");
            let findings = parse(&GOOD.replacen(from, to, 1)).expect_err(name);
            assert_eq!(findings.len(), 1, "{name}: {findings:?}");
            let line = findings[0].to_string();
            assert!(line.contains(expected), "{name}: {line}");
        }
        let long = GOOD.replacen("退换", &"长".repeat(2_001), 1);
        assert_eq!(parse(&long).unwrap_err()[0].code, "KG003");
        let row = |n: usize| format!("  - {{text: s{n}, status: ambiguous}}\n");
        let many: String = (0..=MAX_SENTENCES).map(row).collect();
        let findings = parse(&format!("version: 1\ngolden:\n{many}")).unwrap_err();
        assert_eq!((findings[0].code, findings[0].line), ("KG004", 5_003));
    }

    #[test]
    fn the_committed_schema_is_the_one_of_the_types() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/intents/golden.schema.json");
        if std::env::var_os("KEFU_UPDATE_GOLDEN").is_some() {
            std::fs::write(path, golden_json_schema()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == golden_json_schema(),
            "intents/golden.schema.json is out of date: run the tests with KEFU_UPDATE_GOLDEN=1"
        );
    }

    #[test]
    fn the_bundled_set_names_bundled_intents_and_repeats_no_example() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("intents");
        let knowledge = super::super::load(&folder).unwrap();
        let golden = load_golden(&folder, |id| knowledge.position(id).is_some()).unwrap();
        assert!(golden.len() >= 50, "{}", golden.len());
        let taught: std::collections::HashSet<String> = knowledge
            .examples()
            .map(|(_, example)| normalize(&example.text).text().to_owned())
            .collect();
        for sentence in &golden {
            let text = normalize(&sentence.text).text().to_owned();
            assert!(!taught.contains(&text), "line {}: an example", sentence.line);
        }
    }
}
