//! Writes accepted messages where training finds them: into the intent's YAML file, or as a row of the
//! training data. Knows files and what may stand in them; the queue's thread calls it, one at a time.
//!
//! Nothing is written twice and nothing against what is there: a text that the intent has already is
//! told so, a text that means something else elsewhere is refused with its place.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::intent::knowledge::Lang;
use crate::intent::normalize::normalize;
use crate::knowledge::edit::{self, EditError, ReplaceError, insert_example, one_line};
use crate::knowledge::{self, Place};
use crate::training::dataset::{self, OUT_OF_SCOPE};

/// Where new out-of-scope rows go.
const OUT_OF_SCOPE_FILE: &str = "oos.jsonl";
/// How often an edit is made anew when somebody else wrote the file meanwhile.
const ATTEMPTS: usize = 3;

/// Where a knowledge base is written.
#[derive(Debug, Clone)]
pub struct Sources {
    /// `intents/`.
    pub intents: PathBuf,
    /// `training-data/`; made when the first row is written.
    pub training_data: PathBuf,
}

/// What is to be written.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The sentences.
    pub texts: Vec<String>,
    /// Id of the intent, or `oos`.
    pub intent: String,
    /// File of the training data for the rows, or the YAML file of the intent; none: as usual.
    pub file: Option<String>,
}

/// Where a sentence stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// As it is written there.
    pub text: String,
    /// Name of the file.
    pub file: String,
    /// From 1.
    pub line: u64,
    /// Whether it stood there before.
    pub already: bool,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The sentence or the file's name is no good.
    #[error("{0}")]
    Invalid(String),
    /// Nobody wrote such an intent.
    #[error(
        "there is no intent {0:?} in the knowledge base; GET /intents lists them, \"oos\" is for none of them"
    )]
    UnknownIntent(String),
    /// The sentence means something else already.
    #[error("{text:?} is {what} in {place}; change it there first")]
    Conflict {
        /// The sentence.
        text: String,
        /// What it is there.
        what: String,
        /// Where.
        place: String,
    },
    /// Somebody else writes the file.
    #[error("{} was changed meanwhile; look at it and try again", .0.display())]
    Changed(PathBuf),
    /// The files as they are cannot be used.
    #[error("the knowledge base has a fault, so nothing is added: {0}")]
    Faulty(String),
    /// The file has a shape that cannot be edited.
    #[error("{}: {source}", path.display())]
    Edit {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: EditError,
    },
    /// The system refuses.
    #[error("cannot write the knowledge base: {0}")]
    Io(String),
}

/// Everything that is written already: normalised text to what it is and where.
struct Written {
    all: HashMap<String, Vec<Meant>>,
    /// The YAML file of the wanted intent.
    file: Option<PathBuf>,
}

struct Meant {
    /// Id of the intent, or `oos`.
    intent: String,
    negative: bool,
    place: Place,
}

/// Writes the sentences that are not there yet. All of them or none, unless the system fails between
/// two sentences' files, which are one file.
///
/// # Errors
/// [`AcceptError`]; nothing was written then.
pub fn accept(sources: &Sources, wanted: &Wanted) -> Result<Vec<Placed>, AcceptError> {
    let mut attempt = 1;
    loop {
        match once(sources, wanted) {
            Err(AcceptError::Changed(_)) if attempt < ATTEMPTS => attempt += 1,
            done => return done,
        }
    }
}

fn once(sources: &Sources, wanted: &Wanted) -> Result<Vec<Placed>, AcceptError> {
    let invalid = |error: EditError| AcceptError::Invalid(error.to_string());
    let texts: Result<Vec<String>, _> = wanted.texts.iter().map(|text| one_line(text)).collect();
    let texts = texts.map_err(invalid)?;
    let written = Written::read(sources, &wanted.intent)?;
    let mut placed = Vec::new();
    for text in &texts {
        placed.push(written.place(text, &wanted.intent)?);
    }
    let mut new: Vec<&str> = Vec::new();
    for (text, place) in texts.iter().zip(&placed) {
        let same = |other: &&str| normalize(other).text() == normalize(text).text();
        if place.is_none() && !new.iter().any(same) {
            new.push(text);
        }
    }
    let target = written.target(sources, wanted)?;
    let lines = if new.is_empty() {
        Vec::new()
    } else if target.extension().is_some_and(|kind| kind == "jsonl") {
        append_rows(&target, &new, &wanted.intent)?
    } else {
        insert_examples(&target, &new, &wanted.intent)?
    };
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let new_place = |text: &str| {
        let same = |other: &&str| normalize(other).text() == normalize(text).text();
        let at = new.iter().position(same).unwrap_or_default();
        lines.get(at).copied().unwrap_or_default()
    };
    Ok(texts
        .iter()
        .zip(placed)
        .map(|(text, place)| match place {
            Some(place) => Placed {
                text: text.clone(),
                file: place.file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                line: place.line,
                already: true,
            },
            None => Placed {
                text: text.clone(),
                file: name.clone(),
                line: new_place(text),
                already: false,
            },
        })
        .collect())
}

impl Written {
    fn read(sources: &Sources, wanted: &str) -> Result<Self, AcceptError> {
        let faulty = |error: &dyn std::fmt::Display| {
            let said = error.to_string();
            AcceptError::Faulty(said.lines().next().unwrap_or_default().to_owned())
        };
        let (knowledge, places) =
            knowledge::load_with_places(&sources.intents).map_err(|error| faulty(&error))?;
        let mut written = Self { all: HashMap::new(), file: None };
        for (intent, at) in knowledge.intents.iter().zip(&places.intents) {
            if intent.id == wanted {
                written.file = Some(at.id.file.clone());
            }
            let examples = intent.examples.iter().zip(&at.examples).map(|pair| (pair, false));
            let negatives = intent.negative_examples.iter().zip(&at.negative_examples);
            for ((example, place), negative) in examples.chain(negatives.map(|pair| (pair, true))) {
                written.add(&example.text, &intent.id, negative, place.clone());
            }
        }
        if written.file.is_none() && wanted != OUT_OF_SCOPE {
            return Err(AcceptError::UnknownIntent(wanted.to_owned()));
        }
        for path in dataset::jsonl_files(&sources.training_data).map_err(|error| faulty(&error))? {
            for row in dataset::rows(&path).map_err(|error| faulty(&error))? {
                let place = Place { file: path.clone(), line: row.line.into(), column: 1 };
                written.add(&row.text, &row.intent, false, place);
            }
        }
        Ok(written)
    }

    fn add(&mut self, text: &str, intent: &str, negative: bool, place: Place) {
        let key = normalize(text).text().to_owned();
        let meant = Meant { intent: intent.to_owned(), negative, place };
        self.all.entry(key).or_default().push(meant);
    }

    /// Where `text` stands as an example of `intent`; none: nowhere yet.
    fn place(&self, text: &str, intent: &str) -> Result<Option<Place>, AcceptError> {
        let meant = self.all.get(normalize(text).text()).map(Vec::as_slice).unwrap_or_default();
        // What is no refund may well be a complaint: only the intent's own exception is in the way.
        let other = meant.iter().find(|one| (one.intent == intent) == one.negative);
        if let Some(Meant { intent: other, negative, place }) = other {
            let what = match (negative, other.as_str()) {
                (true, _) => format!("a negative example of {other:?}"),
                (false, OUT_OF_SCOPE) => "an out-of-scope row".to_owned(),
                (false, _) => format!("an example of {other:?}"),
            };
            let Place { file, line, .. } = place;
            let place = format!("{}:{line}", file.display());
            return Err(AcceptError::Conflict { text: text.to_owned(), what, place });
        }
        let own = meant.iter().find(|one| one.intent == intent && !one.negative);
        Ok(own.map(|one| one.place.clone()))
    }

    /// The file that new sentences go to.
    fn target(&self, sources: &Sources, wanted: &Wanted) -> Result<PathBuf, AcceptError> {
        let Some(name) = &wanted.file else {
            let usual = || sources.training_data.join(OUT_OF_SCOPE_FILE);
            return Ok(self.file.clone().unwrap_or_else(usual));
        };
        let own =
            self.file.as_ref().filter(|path| path.file_name().is_some_and(|own| own == &**name));
        if let Some(own) = own {
            return Ok(own.clone());
        }
        let plain = name.chars().all(|c| c.is_alphanumeric() || "._- ".contains(c));
        if plain && !name.starts_with('.') && name.ends_with(".jsonl") {
            return Ok(sources.training_data.join(name));
        }
        let own = self.file.as_ref().and_then(|path| path.file_name());
        let own = own.map(|name| format!("{}, or ", name.to_string_lossy())).unwrap_or_default();
        Err(AcceptError::Invalid(format!(
            "{:?} is not the intent's file; name {own}a *.jsonl of the training data, or leave it out",
            name.chars().take(60).collect::<String>()
        )))
    }
}

/// Adds examples to a YAML file; returns their lines.
fn insert_examples(path: &Path, texts: &[&str], intent: &str) -> Result<Vec<u64>, AcceptError> {
    let bytes = read(path)?;
    let before = String::from_utf8(bytes).map_err(|_| AcceptError::Changed(path.to_owned()))?;
    let mut after = before.clone();
    let mut lines = Vec::new();
    for text in texts {
        let edited = insert_example(&after, intent, Lang::of(text), text).map_err(|source| {
            match source {
                // It was fine a moment ago.
                EditError::Faulty { .. } | EditError::NoIntent(_) => {
                    AcceptError::Changed(path.to_owned())
                }
                source => AcceptError::Edit { path: path.to_owned(), source },
            }
        })?;
        // An example above another one moves it down.
        let added = (edited.text.lines().count() - after.lines().count()) as u64;
        for line in lines.iter_mut().filter(|line| **line >= edited.line) {
            *line += added;
        }
        lines.push(edited.line);
        after = edited.text;
    }
    replace(path, Some(before.as_bytes()), after.as_bytes())?;
    Ok(lines)
}

/// Adds rows to a JSON-lines file, which need not be there; returns their lines.
fn append_rows(path: &Path, texts: &[&str], intent: &str) -> Result<Vec<u64>, AcceptError> {
    let before = match read(path) {
        Ok(bytes) => Some(bytes),
        Err(_) if !path.exists() => {
            let folder = path.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(folder).map_err(|error| io_error(folder, &error))?;
            None
        }
        Err(error) => return Err(error),
    };
    let mut after = before.clone().unwrap_or_default();
    let line_break: &[u8] =
        if after.windows(2).any(|two| two == b"\r\n") { b"\r\n" } else { b"\n" };
    if after.last().is_some_and(|last| *last != b'\n') {
        after.extend(line_break);
    }
    let mut line = after.iter().filter(|byte| **byte == b'\n').count() as u64;
    let mut lines = Vec::new();
    for text in texts {
        let quoted = |text: &str| serde_json::to_string(text).expect("a string is JSON");
        let (text, intent, lang) = (quoted(text), quoted(intent), Lang::of(text));
        let row = format!("{{\"text\": {text}, \"intent\": {intent}, \"lang\": \"{lang}\"}}");
        after.extend(row.as_bytes());
        after.extend(line_break);
        line += 1;
        lines.push(line);
    }
    replace(path, before.as_deref(), &after)?;
    Ok(lines)
}

fn read(path: &Path) -> Result<Vec<u8>, AcceptError> {
    fs::read(path).map_err(|error| io_error(path, &error))
}

fn io_error(path: &Path, error: &io::Error) -> AcceptError {
    AcceptError::Io(format!("{}: {error}; check its permissions and the disk", path.display()))
}

fn replace(path: &Path, before: Option<&[u8]>, after: &[u8]) -> Result<(), AcceptError> {
    edit::replace(path, before, after).map_err(|error| match error {
        ReplaceError::Changed(path) => AcceptError::Changed(path),
        error @ ReplaceError::Io { .. } => AcceptError::Io(error.to_string()),
    })
}

#[cfg(test)]
mod tests;
