//! `kefu.toml`: its values become the defaults of the flags, so that one parser serves both.
//!
//! Keys are the flags' names; `max-batch` and `max_batch` are the same key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// Read when no file is named.
const DEFAULT_FILE: &str = "kefu.toml";
/// Which file cannot be said in the file; the others are clap's own.
const NOT_KEYS: [&str; 3] = ["config", "help", "version"];

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {}: {source}; name a readable file with --config", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML.
    #[error("{}:{line}:{column}: {reason}; write `key = value` lines, see docs/configuration.md", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What the parser says.
        reason: String,
    },
    /// A key or a value is wrong.
    #[error("{}: {key}: {reason}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The key as it is written.
        key: String,
        /// What is wrong and what would be good.
        reason: String,
    },
}

/// The file's values as text, by option id.
pub(super) struct ConfigFile {
    path: PathBuf,
    values: BTreeMap<String, (String, String)>,
}

/// Reads the `named` file, or the default one if it is there.
pub(super) fn read(named: Option<&Path>) -> Result<Option<ConfigFile>, FileError> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text).map(Some),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError::Read { path: path.to_owned(), source }),
    }
}

/// Parses the file's text.
pub(super) fn parse(path: &Path, text: &str) -> Result<ConfigFile, FileError> {
    let table: Table = text.parse().map_err(|error| syntax(path, text, &error))?;
    let mut file = ConfigFile { path: path.to_owned(), values: BTreeMap::new() };
    for (key, value) in table {
        let id = key.replace('-', "_");
        let value = match value {
            Value::String(text) => text,
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
                return Err(file.wrong(&key, "use a string or a number"));
            }
        };
        if let Some((other, _)) = file.values.get(&id) {
            let reason = format!("{other} says the same; keep one of them");
            return Err(file.wrong(&key, reason));
        }
        file.values.insert(id, (key, value));
    }
    Ok(file)
}

impl ConfigFile {
    /// The `command` with this file's values as its defaults.
    ///
    /// # Errors
    /// When a key names no option, or the option refuses the value.
    pub(super) fn as_defaults(&self, command: &clap::Command) -> Result<clap::Command, FileError> {
        let mut filled = command.clone();
        for (id, (key, value)) in &self.values {
            let known = |arg: &&clap::Arg| arg.get_id() == id && !NOT_KEYS.contains(&id.as_str());
            let Some(arg) = command.get_arguments().find(known) else {
                return Err(self.wrong(key, format!("no such key; use one of {}", keys(command))));
            };
            // Checked alone first: clap's own complaint would blame a flag that nobody wrote.
            let alone = clap::Command::new("file").no_binary_name(true).arg(arg.clone());
            let flag = format!("--{}={value}", arg.get_long().unwrap_or_default());
            if let Err(error) = alone.try_get_matches_from([flag]) {
                let reason = std::error::Error::source(&error).map(ToString::to_string);
                let reason = reason.unwrap_or_else(|| "see --help for what it takes".to_owned());
                return Err(self.wrong(key, format!("{value:?} is not good; {reason}")));
            }
            filled = filled.mut_arg(id, |arg| arg.default_value(value.clone()));
        }
        Ok(filled)
    }

    fn wrong(&self, key: &str, reason: impl Into<String>) -> FileError {
        FileError::Key { path: self.path.clone(), key: key.to_owned(), reason: reason.into() }
    }
}

fn keys(command: &clap::Command) -> String {
    let ids = command.get_arguments().map(|arg| arg.get_id().as_str());
    ids.filter(|id| !NOT_KEYS.contains(id)).collect::<Vec<_>>().join(", ")
}

fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> FileError {
    let at = error.span().map_or(0, |span| span.start);
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let reason = error.message().replace('\n', ", ");
    FileError::Syntax { path: path.to_owned(), line, column, reason }
}
