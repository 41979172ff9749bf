//! Labelled sentences from JSON Lines files: the layout that `train-intents eval` reads.
//!
//! A folder holds `train.jsonl`, `test.jsonl` and, where there are some, `valid.jsonl` and
//! `oos.jsonl` (out-of-scope sentences; their `split` says what they may be used for).

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::intent::knowledge::{Example, KnowledgeBase, Lang};

/// One labelled sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// As written.
    pub text: String,
    /// The label.
    pub intent: String,
    /// Said by the file, else told by the script.
    pub lang: Lang,
    /// Line in its file, from 1.
    pub line: u32,
}

/// A data set folder.
#[derive(Debug, Clone, Default)]
pub struct Dataset {
    /// To fit on.
    pub train: Vec<Row>,
    /// To fit thresholds on; empty when the folder has none.
    pub valid: Vec<Row>,
    /// To report on, once.
    pub test: Vec<Row>,
    /// Out of scope, to fit thresholds on (splits `train` and `valid`).
    pub oos_valid: Vec<Row>,
    /// Out of scope, to report on (split `test`).
    pub oos_test: Vec<Row>,
}

/// Why a data set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("{}:{line}:{column}: {reason}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
        /// What is wrong.
        reason: String,
    },
    /// A file without rows.
    #[error("{} has no rows; it needs lines like {{\"text\": \"…\", \"intent\": \"…\"}}", .0.display())]
    Empty(PathBuf),
}

#[derive(Deserialize)]
struct Line {
    text: String,
    intent: String,
    #[serde(default)]
    split: Option<String>,
    #[serde(default)]
    lang: Option<Lang>,
}

impl Dataset {
    /// Reads a folder; `train` names another training file, for few-shot samples (a path, else a
    /// name within the folder).
    ///
    /// # Errors
    /// [`DatasetError`] with the file and the line.
    pub fn read(folder: &Path, train: Option<&Path>) -> Result<Self, DatasetError> {
        let train_file = match train {
            Some(file) if file.exists() => file.to_owned(),
            Some(file) => folder.join(file),
            None => folder.join("train.jsonl"),
        };
        let optional = |name: &str| {
            let path = folder.join(name);
            if path.exists() { lines(&path) } else { Ok(Vec::new()) }
        };
        let mut dataset = Dataset {
            train: rows(&train_file)?,
            valid: optional("valid.jsonl")?.into_iter().map(|(row, _)| row).collect(),
            test: rows(&folder.join("test.jsonl"))?,
            ..Dataset::default()
        };
        for (row, split) in optional("oos.jsonl")? {
            match split.as_deref() {
                Some("train" | "valid") => dataset.oos_valid.push(row),
                _ => dataset.oos_test.push(row),
            }
        }
        Ok(dataset)
    }

    /// Makes the rows of `intent` out of scope: those of the test set to report on, the others to
    /// fit thresholds on.
    pub fn move_out_of_scope(&mut self, intent: &str) {
        let is_moved = |row: &mut Row| row.intent == intent;
        self.oos_valid.extend(self.train.extract_if(.., is_moved));
        self.oos_valid.extend(self.valid.extract_if(.., is_moved));
        self.oos_test.extend(self.test.extract_if(.., is_moved));
    }
}

/// Reads one file of rows.
///
/// # Errors
/// [`DatasetError`], also for a file without rows.
pub fn rows(path: &Path) -> Result<Vec<Row>, DatasetError> {
    let rows: Vec<Row> = lines(path)?.into_iter().map(|(row, _)| row).collect();
    if rows.is_empty() { Err(DatasetError::Empty(path.to_owned())) } else { Ok(rows) }
}

/// Reads the texts of a log: JSON lines with `text`, in their order; what else a line says does not
/// matter.
///
/// # Errors
/// [`DatasetError`], also for a file without lines.
pub fn texts(path: &Path) -> Result<Vec<String>, DatasetError> {
    #[derive(Deserialize)]
    struct Logged {
        text: String,
    }
    let log = read(path)?;
    let mut texts = Vec::new();
    for (number, line) in log.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let Logged { text } = serde_json::from_str(line).map_err(|error| DatasetError::Line {
            path: path.to_owned(),
            line: number + 1,
            column: error.column(),
            reason: format!("no message: {error}"),
        })?;
        texts.push(text);
    }
    if texts.is_empty() { Err(DatasetError::Empty(path.to_owned())) } else { Ok(texts) }
}

fn read(path: &Path) -> Result<String, DatasetError> {
    fs::read_to_string(path).map_err(|source| DatasetError::Read { path: path.to_owned(), source })
}

/// Rows with this intent are out of scope.
pub const OUT_OF_SCOPE: &str = "oos";

/// Reads the `*.jsonl` files of a training-data folder, by ascending name: rows of known intents
/// become examples of `knowledge`, rows of intent `oos` are returned. No folder, no rows.
///
/// # Errors
/// [`DatasetError`], also for a row whose intent the knowledge base does not have.
pub fn supplement(
    folder: &Path,
    knowledge: &mut KnowledgeBase,
) -> Result<Vec<String>, DatasetError> {
    let mut out_of_scope = Vec::new();
    for path in jsonl_files(folder)? {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for Row { text, intent, lang, line } in rows(&path)? {
            if intent == OUT_OF_SCOPE {
                out_of_scope.push(text);
            } else if let Some(at) = knowledge.position(&intent) {
                let example = Example { text, lang, file: file.clone(), line };
                knowledge.intents[at as usize].examples.push(example);
            } else {
                let reason = format!("no intent {intent:?} in the knowledge base; add it there");
                return Err(DatasetError::Line { path, line: line as usize, column: 1, reason });
            }
        }
    }
    Ok(out_of_scope)
}

/// The `*.jsonl` files of a folder, by ascending name; none when there is no folder.
///
/// # Errors
/// [`DatasetError::Read`].
pub fn jsonl_files(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let unreadable = |source| DatasetError::Read { path: folder.to_owned(), source };
    let entries = fs::read_dir(folder).map_err(unreadable)?;
    let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut files = paths.map_err(unreadable)?;
    files.retain(|path| path.extension().is_some_and(|kind| kind == "jsonl"));
    files.sort();
    Ok(files)
}

fn lines(path: &Path) -> Result<Vec<(Row, Option<String>)>, DatasetError> {
    let text = read(path)?;
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let refused = |column: usize, reason: String| DatasetError::Line {
            path: path.to_owned(),
            line: number + 1,
            column,
            reason,
        };
        let parsed: Line = serde_json::from_str(line)
            .map_err(|error| refused(error.column(), format!("not a row: {error}")))?;
        if parsed.intent.trim().is_empty() {
            return Err(refused(1, "the intent is empty; name it or drop the line".to_owned()));
        }
        let lang = parsed.lang.unwrap_or_else(|| Lang::of(&parsed.text));
        let line = u32::try_from(number + 1).unwrap_or(u32::MAX);
        rows.push((Row { text: parsed.text, intent: parsed.intent, lang, line }, parsed.split));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn splits_go_where_they_may_be_used() {
        let folder = folder(&[
            ("train.jsonl", "{\"text\":\"你好\",\"intent\":\"hi\"}\n\n"),
            ("test.jsonl", "{\"text\":\"hey\",\"intent\":\"hi\",\"extra\":1}\n"),
            (
                "oos.jsonl",
                "{\"text\":\"a\",\"intent\":\"oos\",\"split\":\"train\"}\n{\"text\":\"b\",\"intent\":\"oos\",\"split\":\"test\"}\n",
            ),
        ]);
        let data = Dataset::read(folder.path(), None).unwrap();
        assert_eq!((data.train[0].lang, data.test[0].lang), (Lang::Zh, Lang::En));
        assert_eq!((data.oos_valid.len(), data.oos_test.len()), (1, 1));
        assert!(data.valid.is_empty());
    }

    #[test]
    fn a_log_is_read_for_its_texts() {
        let log = "{\"text\":\"钱呢\",\"status\":\"ambiguous\"}\n\n{\"text\":\"\"}\n";
        let folder = folder(&[
            ("log.jsonl", log),
            ("bad.jsonl", "{\"text\":\"a\"}\n{}"),
            ("no.jsonl", "\n"),
        ]);
        let read = |name: &str| texts(&folder.path().join(name));
        assert_eq!(read("log.jsonl").unwrap(), ["钱呢", ""]);
        assert!(read("bad.jsonl").unwrap_err().to_string().contains("bad.jsonl:2:"));
        assert!(matches!(read("no.jsonl"), Err(DatasetError::Empty(_))));
    }

    #[test]
    fn bad_lines_are_named() {
        for (name, text, expected) in [
            ("not JSON", "{\"text\":\"a\",\"intent\":\"x\"}\nnope", "train.jsonl:2:"),
            ("missing field", "{\"text\":\"a\"}", "missing field `intent`"),
            ("empty intent", "{\"text\":\"a\",\"intent\":\" \"}", "the intent is empty"),
            ("no rows", "\n", "has no rows"),
        ] {
            let folder = folder(&[("train.jsonl", text), ("test.jsonl", text)]);
            let error = Dataset::read(folder.path(), None).unwrap_err().to_string();
            assert!(error.contains(expected), "{name}: {error}");
        }
    }
}
