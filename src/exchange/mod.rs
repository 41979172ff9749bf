//! Knowledge bases of other systems: theirs to ours, ours to theirs, and an account of what did not
//! fit.
//!
//! Called by `train-intents import` and `export`. The conversions are pure: texts in, texts out. A
//! format fills a `draft::Draft`, `assemble` makes a knowledge base of it that
//! `crate::knowledge` accepts. Files are read and written in [`files`] only.

mod assemble;
mod clu;
mod detect;
mod dialogflow;
mod dictionary;
mod draft;
pub mod files;
mod ids;
mod json;
mod layout;
mod luis;
mod node;
mod rasa;
mod report;
mod rows;
mod target;
mod yaml;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::intent::knowledge::{KnowledgeBase, Lang};
use crate::knowledge::{self, Place};
pub use detect::detect;
pub use report::{Counts, LeftOut, Renamed, Report, Shared};
pub use target::{Exported, export};

/// The file of out-of-scope sentences.
pub const OUT_OF_SCOPE_FILE: &str = "oos.jsonl";

/// A system or a file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Rasa 2.x and 3.x: training data and domain in YAML.
    Rasa,
    /// Dialogflow ES: an exported agent.
    Dialogflow,
    /// LUIS: an exported app.
    Luis,
    /// Azure conversational language understanding: an exported project.
    Clu,
    /// Comma-separated rows.
    Csv,
    /// Tab-separated rows.
    Tsv,
    /// JSON Lines: rows as `train-intents eval` reads them.
    Jsonl,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Rasa => "rasa",
            Format::Dialogflow => "dialogflow",
            Format::Luis => "luis",
            Format::Clu => "clu",
            Format::Csv => "csv",
            Format::Tsv => "tsv",
            Format::Jsonl => "jsonl",
        })
    }
}

/// A text file of the other system, without its byte order mark.
#[derive(Debug, Clone)]
pub struct Source {
    /// As it was found.
    pub path: PathBuf,
    /// The whole of it.
    pub text: String,
}

impl Source {
    fn place(&self, at: node::At) -> Place {
        Place { file: self.path.clone(), line: at.line, column: at.column }
    }

    /// The file name without its last extension.
    fn stem(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The last extension, in lower case.
    fn extension(&self) -> String {
        self.path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
    }
}

/// Something wrong with a file of the other system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What is wrong and what to do.
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

/// A knowledge base made from another system's files.
#[derive(Debug, Clone)]
pub struct Imported {
    /// What `crate::knowledge` accepts; examples carry the place in the other system's files.
    pub knowledge: KnowledgeBase,
    /// The file that each intent came from, by its stem.
    topics: Vec<String>,
    /// Sentences that no intent means.
    pub out_of_scope: Vec<(String, Lang)>,
    /// What was carried over and what was not.
    pub report: Report,
}

/// Makes a knowledge base of `sources`, which lie in `root`. `lang` is the language of every
/// sentence, where the user knows better than file and script.
///
/// # Errors
/// Everything that is wrong with the files.
pub fn import(
    format: Format,
    root: &Path,
    sources: &[Source],
    lang: Option<Lang>,
) -> Result<Imported, Vec<Fault>> {
    let mut draft = draft::Draft::new(format, lang);
    match format {
        Format::Rasa => rasa::read(sources, &mut draft),
        Format::Dialogflow => dialogflow::read(sources, &mut draft),
        Format::Luis => luis::read(sources, &mut draft),
        Format::Clu => clu::read(sources, &mut draft),
        Format::Csv | Format::Tsv | Format::Jsonl => rows::read(format, sources, &mut draft),
    }
    let root = Place { file: root.to_owned(), line: 1, column: 1 };
    let imported = assemble::assemble(draft, &root)?;
    // What was made must be what our own reader takes; it knows limits that no format does.
    let files = imported.files();
    let yaml = files.iter().filter(|(name, _)| name.ends_with(".yaml"));
    let sources: Vec<(PathBuf, String)> =
        yaml.map(|(name, text)| (name.into(), text.clone())).collect();
    match knowledge::parse(&sources) {
        Ok(_) => Ok(imported),
        Err(findings) => Err(findings.into_iter().map(Fault::from).collect()),
    }
}

impl From<knowledge::Finding> for Fault {
    fn from(finding: knowledge::Finding) -> Self {
        let knowledge::Finding { code, file, line, column, message } = finding;
        let reason = format!("the file that this would make is wrong: {code}: {message}");
        Self { place: Place { file, line, column }, reason }
    }
}

#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod tests;
