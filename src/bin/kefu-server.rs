//! The server command: options in, a running server out.
//!
//! Thin on purpose: it reads the options, builds the engine, and hands both to `kefu::server`.
//! Exit codes: 0 for a clean end, 2 when options, model, artifact or address are not usable.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use kefu::config::{Cli, Command, ConfigError, ModelsCommand, ServerOptions};
use kefu::http::AppState;
use kefu::http::auth::KeyDigest;
use kefu::intent::knowledge::KnowledgeBase;
use kefu::logging;
use kefu::server::{self, App};
use kefu::shutdown::Shutdown;
use kefu::understand::Understander;

const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::load(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    logging::start(cli.options.log, &cli.options.log_level);
    let done = match &cli.command {
        None => serve(&cli.options),
        Some(Command::Models(ModelsCommand::List)) => list_models(&cli.options),
        Some(Command::Models(ModelsCommand::Pull { name })) => pull_model(&cli.options, name),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&format!("{error:#}")),
    }
}

/// Builds the engine and what it knows.
fn build_understander(
    options: &ServerOptions,
) -> anyhow::Result<(Arc<Understander>, Arc<KnowledgeBase>)> {
    anyhow::bail!("the engine is not part of this build yet (model {})", options.model)
}

/// `models list`.
fn list_models(options: &ServerOptions) -> anyhow::Result<()> {
    anyhow::bail!("listing models in {} is not part of this build yet", options.models.display())
}

/// `models pull NAME`.
fn pull_model(options: &ServerOptions, name: &str) -> anyhow::Result<()> {
    let folder = options.models.display();
    anyhow::bail!("fetching {name} into {folder} is not part of this build yet")
}

#[tokio::main]
async fn serve(options: &ServerOptions) -> anyhow::Result<()> {
    let reserved = server::reserve(options.address())?;
    let shutdown = Shutdown::new();
    // Before the engine: until then a signal just ends the process, as it should.
    let (understander, knowledge) = tokio::task::block_in_place(|| build_understander(options))?;
    shutdown.on_signals()?;
    let api_key = options.api_key.as_ref().map(|key| KeyDigest::of(key.reveal()));
    let http = AppState::new(understander, knowledge, options.limits(), api_key);
    let listener = reserved.listen()?;
    let address = listener.local_addr()?;
    writeln!(std::io::stdout(), "kefu-server is ready: http://{address}")?;
    let app = App { http, shutdown_timeout: options.shutdown_timeout() };
    server::run(listener, app, shutdown).await?;
    Ok(())
}

/// Clap prints help, version and usage errors itself, and knows their exit codes (0 and 2).
fn refuse(error: &ConfigError) -> ExitCode {
    match error {
        ConfigError::Usage(usage) => {
            // Nobody is left to tell when even this cannot be printed.
            let _ = usage.print();
            ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(UNUSABLE))
        }
        ConfigError::File(_) | ConfigError::Conflict(_) => complain(&error.to_string()),
    }
}

/// One line to standard error.
fn complain(message: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "kefu-server: {message}");
    ExitCode::from(UNUSABLE)
}
