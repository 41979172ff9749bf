//! `train-intents export`: a knowledge base in another system's format, with an account of what that
//! format has no place for.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{KnowledgeArgs, Outcome, Output};
use crate::exchange::files::{self, Existing};
use crate::exchange::{self, Format, Report};
use crate::knowledge;
use crate::training::dataset;

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// File to write, or folder for rasa and dialogflow; must not be there, or be an empty folder
    out: PathBuf,
    /// The format
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: To,
    #[command(flatten)]
    knowledge: KnowledgeArgs,
    /// Replace what is there already
    #[arg(long)]
    force: bool,
    /// Fail with exit code 1 when something was not carried over (the files are written)
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    /// Rasa 3.x: a folder with nlu.yml and domain.yml
    Rasa,
    /// Dialogflow ES: a folder, to be zipped and restored
    Dialogflow,
    /// Azure conversational language understanding: one JSON file
    Clu,
    /// Comma-separated rows
    Csv,
    /// Tab-separated rows
    Tsv,
    /// JSON Lines
    Jsonl,
}

/// What was done, as `--json` writes it.
#[derive(Serialize)]
struct Done {
    /// Files that were written.
    files: Vec<PathBuf>,
    /// Those of them that were there before.
    replaced: Vec<PathBuf>,
    #[serde(flatten)]
    report: Report,
}

pub(super) fn run(args: &ExportArgs, out: &mut Output) -> anyhow::Result<Outcome> {
    let (mut knowledge, places) = knowledge::load_with_places(&args.knowledge.intents)?;
    let out_of_scope = dataset::supplement(&args.knowledge.training_data, &mut knowledge)?;
    let exported = exchange::export(args.to.format(), &knowledge, &places, &out_of_scope);
    let existing = if args.force { Existing::Replace } else { Existing::Refuse };
    let (written, replaced) = match &exported.files[..] {
        [(name, text)] if name.is_empty() => {
            let is_replaced = files::write_single(&args.out, text, existing)?;
            let paths = vec![args.out.clone()];
            (paths.clone(), if is_replaced { paths } else { Vec::new() })
        }
        all => {
            let replaced = files::write_folder(&args.out, all, existing)?;
            (all.iter().map(|(name, _)| args.out.join(name)).collect(), replaced)
        }
    };
    let is_short = args.strict && !exported.report.left_out.is_empty();
    let done = Done { files: written, replaced, report: exported.report };
    out.write(&done, ToString::to_string)?;
    Ok(if is_short { Outcome::GateFailed } else { Outcome::Done })
}

impl To {
    fn format(self) -> Format {
        match self {
            To::Rasa => Format::Rasa,
            To::Dialogflow => Format::Dialogflow,
            To::Clu => Format::Clu,
            To::Csv => Format::Csv,
            To::Tsv => Format::Tsv,
            To::Jsonl => Format::Jsonl,
        }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let again = if self.replaced.is_empty() { "" } else { ", some of them again" };
        match &self.files[..] {
            [one] => writeln!(f, "wrote {}{again}", one.display())?,
            all => writeln!(f, "wrote {} files{again}", all.len())?,
        }
        write!(f, "{}", self.report)
    }
}
