//! Reports on disk: each file is written beside its name and then renamed, so that a reader never
//! sees half of one.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::compare::Comparison;
use super::evaluation::{Evaluation, FORMAT};
use super::{html, markdown};

/// Name of the file that `--compare` reads.
pub const JSON_FILE: &str = "report.json";

/// Why a report was neither read nor written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}; `eval --report DIR` writes one", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no report.
    #[error("{} is not a report: {source}; give a report.json", path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// Another version wrote the file.
    #[error("{} has report format {found}, this program reads {FORMAT}; make it again", path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes `report.json`, `report.md` and `report.html` into `folder`, which is made if need be.
///
/// # Errors
/// [`ReportError::Write`].
pub fn write(folder: &Path, evaluation: &Evaluation) -> Result<(), ReportError> {
    let mut json = serde_json::to_string_pretty(evaluation).map_err(|error| {
        ReportError::Write { path: folder.join(JSON_FILE), source: error.into() }
    })?;
    json.push('\n');
    put(folder, JSON_FILE, &json)?;
    put(folder, "report.md", &markdown::page(evaluation))?;
    put(folder, "report.html", &html::page(evaluation))
}

/// Writes `comparison.html` into `folder`, which is made if need be.
///
/// # Errors
/// [`ReportError::Write`].
pub fn write_comparison(
    folder: &Path,
    old: &Evaluation,
    new: &Evaluation,
) -> Result<(), ReportError> {
    put(folder, "comparison.html", &html::comparison(&Comparison::new(old, new), old, new))
}

/// Reads a `report.json`, named itself or by its folder.
///
/// # Errors
/// [`ReportError`].
pub fn read(path: &Path) -> Result<Evaluation, ReportError> {
    let path = if path.is_dir() { path.join(JSON_FILE) } else { path.to_owned() };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(ReportError::Read { path, source }),
    };
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    match serde_json::from_str(&text) {
        Ok(Head { format: FORMAT }) => {}
        Ok(Head { format: found }) => return Err(ReportError::Format { path, found }),
        Err(source) => return Err(ReportError::Parse { path, source }),
    }
    serde_json::from_str(&text).map_err(|source| ReportError::Parse { path, source })
}

fn put(folder: &Path, name: &str, text: &str) -> Result<(), ReportError> {
    let path = folder.join(name);
    let partial = folder.join(format!("{name}.partial"));
    let written = fs::create_dir_all(folder)
        .and_then(|()| fs::File::create(&partial))
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&partial, &path));
    written.map_err(|source| ReportError::Write { path, source })
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("new");
        let evaluation = sample::evaluation();
        write(&folder, &evaluation).unwrap();
        let again = read(&folder).unwrap();
        assert_eq!(again.confusions, evaluation.confusions);
        assert_eq!(again.figures.accuracy, evaluation.figures.accuracy);
        write_comparison(&folder, &again, &evaluation).unwrap();
        let mut names: Vec<String> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["comparison.html", "report.html", "report.json", "report.md"]);
    }

    #[test]
    fn other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        assert!(read(&path).unwrap_err().to_string().starts_with("cannot read"));
        for (text, expected) in [("{}", "is not a report"), ("{\"format\":9}", "format 9")] {
            fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
