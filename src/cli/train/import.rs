//! `train-intents import`: another system's training data becomes a knowledge base, with an account
//! of what did not fit. Nothing is written when the input has an error.

use std::fmt;
use std::path::PathBuf;

use anyhow::{anyhow, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{Outcome, Output};
use crate::exchange::files::{self, Existing, FileError};
use crate::exchange::{self, Fault, Format, OUT_OF_SCOPE_FILE, Report};
use crate::intent::knowledge::Lang;

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// File or folder to read; a zip archive is read as the folder that it holds
    path: PathBuf,
    /// What it is: `auto` tells it from the content
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    from: From,
    /// Folder for the knowledge base; must not be there, or be empty
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Language of every sentence; without it what the file says, else by the script
    #[arg(long, value_enum, value_name = "LANG")]
    lang: Option<LangArg>,
    /// File for out-of-scope sentences [default: oos.jsonl in the folder of --to]
    #[arg(long, value_name = "FILE")]
    out_of_scope: Option<PathBuf>,
    /// Write beside what is there already, and replace files of the same name
    #[arg(long)]
    force: bool,
    /// Fail with exit code 1 when something was not carried over (the files are written)
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum From {
    /// Whatever the content looks like
    #[default]
    Auto,
    /// Rasa 2.x or 3.x: YAML
    Rasa,
    /// Dialogflow ES: an exported agent
    Dialogflow,
    /// LUIS: an exported app
    Luis,
    /// Azure conversational language understanding: an exported project
    Clu,
    /// Comma-separated rows
    Csv,
    /// Tab-separated rows
    Tsv,
    /// JSON Lines
    Jsonl,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LangArg {
    /// Chinese
    Zh,
    /// English
    En,
}

/// What was done, as `--json` writes it.
#[derive(Serialize)]
struct Done {
    /// Whether the format was told from the content.
    detected: bool,
    /// Files that were written.
    files: Vec<PathBuf>,
    /// Those of them that were there before.
    replaced: Vec<PathBuf>,
    #[serde(flatten)]
    report: Report,
}

#[derive(Serialize)]
struct Refused {
    errors: Vec<Fault>,
}

pub(super) fn run(args: &ImportArgs, out: &mut Output) -> anyhow::Result<Outcome> {
    let mut found = files::read(&args.path)?;
    if !found.faults.is_empty() {
        return refuse(found.faults, args, out);
    }
    let format = match args.from.format() {
        Some(format) => format,
        None => exchange::detect(&found.sources)
            .map_err(|reason| anyhow!("{}: {reason}", args.path.display()))?,
    };
    let aside = found.keep(format);
    if found.sources.is_empty() {
        bail!(
            "{} has no file of the format {format}; name another with --from",
            args.path.display()
        );
    }
    let lang = args.lang.map(|lang| match lang {
        LangArg::Zh => Lang::Zh,
        LangArg::En => Lang::En,
    });
    let mut imported = match exchange::import(format, &args.path, &found.sources, lang) {
        Ok(imported) => imported,
        Err(faults) => return refuse(faults, args, out),
    };
    if aside > 0 {
        let note = format!("{aside} files of other kinds were not read");
        imported.report.notes.push(note);
    }
    let (written, replaced) = write(args, imported.files())?;
    let is_short = args.strict && !imported.report.left_out.is_empty();
    let detected = args.from == From::Auto;
    let done = Done { detected, files: written, replaced, report: imported.report };
    out.write(&done, ToString::to_string)?;
    Ok(if is_short { Outcome::GateFailed } else { Outcome::Done })
}

/// Writes the knowledge base, and the out-of-scope sentences where they are wanted. What stands in
/// the way is found before the first file.
fn write(
    args: &ImportArgs,
    mut all: Vec<(String, String)>,
) -> anyhow::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let beyond = args.out_of_scope.as_ref().and_then(|path| {
        let at = all.iter().position(|(name, _)| name == OUT_OF_SCOPE_FILE)?;
        Some((path, all.remove(at).1))
    });
    if let Some((path, _)) = &beyond
        && path.exists()
        && !args.force
    {
        return Err(FileError::Taken((*path).clone()).into());
    }
    let existing = if args.force { Existing::Join } else { Existing::Refuse };
    let mut replaced = files::write_folder(&args.to, &all, existing)?;
    let mut written: Vec<PathBuf> = all.iter().map(|(name, _)| args.to.join(name)).collect();
    if let Some((path, text)) = beyond {
        if files::write_single(path, &text, existing)? {
            replaced.push(path.clone());
        }
        written.push(path.clone());
    }
    Ok((written, replaced))
}

/// Says all faults.
fn refuse(errors: Vec<Fault>, args: &ImportArgs, out: &mut Output) -> anyhow::Result<Outcome> {
    let count = errors.len();
    out.write(&Refused { errors }, |refused| {
        refused.errors.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n")
    })?;
    let plural = if count == 1 { "" } else { "s" };
    bail!("{count} error{plural} in {}; nothing was written", args.path.display())
}

impl From {
    fn format(self) -> Option<Format> {
        Some(match self {
            From::Auto => return None,
            From::Rasa => Format::Rasa,
            From::Dialogflow => Format::Dialogflow,
            From::Luis => Format::Luis,
            From::Clu => Format::Clu,
            From::Csv => Format::Csv,
            From::Tsv => Format::Tsv,
            From::Jsonl => Format::Jsonl,
        })
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = if self.detected { " (told from the content)" } else { "" };
        writeln!(f, "read as {}{told}", self.report.format)?;
        for path in &self.files {
            let again = if self.replaced.contains(path) { " (replaced)" } else { "" };
            writeln!(f, "wrote {}{again}", path.display())?;
        }
        write!(f, "{}", self.report)
    }
}
