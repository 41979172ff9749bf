//! The training command. Thin: arguments to `kefu::cli::train`, its outcome to an exit code.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use kefu::cli::train::{Cli, Outcome, run};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::GateFailed) => ExitCode::from(1),
        Err(error) => {
            // Nobody is left to tell when even this cannot be written.
            let _ = writeln!(std::io::stderr(), "train-intents: {error:#}");
            ExitCode::from(2)
        }
    }
}
