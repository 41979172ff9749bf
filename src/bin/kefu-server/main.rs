//! The server command: options in, a running server out.
//!
//! Thin on purpose: it reads the options, builds the engine, and hands both to `kefu::server`.
//! Exit codes: 0 for a clean end, 2 when options, model, artifact or address are not usable.

mod chat;
mod store;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use kefu::artifact;
use kefu::clock;
use kefu::config::{Build, Cli, Command, ConfigError, ModelsCommand, ServerOptions, model_options};
use kefu::encoder::{Encoder, EncoderPool, Memo, PoolOptions};
use kefu::http::AppState;
use kefu::http::auth::KeyDigest;
use kefu::logging;
use kefu::models::{self, ModelStatus};
use kefu::preview::{LoggedMessages, MessageSources, NoMessages, Previewer};
use kefu::progress::TerminalBar;
use kefu::provision;
use kefu::reload::Keeper;
use kefu::review::Review;
use kefu::review::desk::Desk;
use kefu::server::{self, App};
use kefu::shutdown::Shutdown;
use kefu::understand::Understander;

/// Messages are many small blocks that one thread makes and another frees.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const UNUSABLE: u8 = 2;
/// Sentences whose embeddings are kept for reloads and previews; about 15 MB.
const REMEMBERED: usize = 8_192;

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
        Some(Command::Backup { folder }) => store::backup(&cli.options, folder),
        Some(Command::Restore { folder }) => store::restore(&cli.options, folder),
        Some(Command::Check) => store::check(&cli.options),
        Some(Command::Password { login }) => store::password(&cli.options, login),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&format!("{error:#}")),
    }
}

/// Gets the encoder, and the intent model that fits the knowledge base.
fn build_understander(options: &ServerOptions) -> anyhow::Result<Understander> {
    let bar = TerminalBar::default();
    let sources = model_options(&options.models, &options.model_source);
    let encoder = provision::encoder(&options.model, &sources, &bar)?;
    let model = match &options.artifact {
        Some(path) => artifact::load(path, encoder.info())?,
        None => {
            let may_build = options.build == Build::Auto;
            provision::model(&options.folders(), &*encoder, may_build, &bar)?.0
        }
    };
    let pool_options = PoolOptions {
        threads: options.threads,
        capacity_texts: options.queue,
        ..PoolOptions::default()
    };
    let pool = EncoderPool::start(Arc::from(encoder), pool_options)?;
    Ok(Understander::new(Arc::new(model), pool))
}

/// The messages of the review queue, for previews.
struct Reviewed(Arc<Review>);

impl LoggedMessages for Reviewed {
    fn recent(&self, most: usize) -> Vec<String> {
        self.0.desk.recent_texts(most)
    }
}

/// Follows the knowledge base, unless the options name a fixed model or forbid training.
fn follow(options: &ServerOptions, understander: &Arc<Understander>, http: &mut AppState) {
    if options.artifact.is_some() || options.build == Build::Never {
        return;
    }
    let (folders, live) = (options.folders(), Arc::clone(understander));
    let encoder: Arc<dyn Encoder> =
        Arc::new(Memo::new(Arc::clone(understander.encoder()), REMEMBERED));
    let logged: Arc<dyn LoggedMessages> = match &http.review {
        Some(review) => Arc::new(Reviewed(Arc::clone(review))),
        None => Arc::new(NoMessages),
    };
    let sources = MessageSources { held_out: options.held_out.clone(), logged };
    let previewer =
        Previewer::new(folders.clone(), sources, Arc::clone(&live), Arc::clone(&encoder));
    http.previewer = Some(Arc::new(previewer));
    http.keeper = Keeper::start(folders, options.golden, live, encoder)
        .inspect_err(|error| tracing::warn!("{error}"))
        .ok();
}

/// `models list`.
fn list_models(options: &ServerOptions) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    for ModelStatus { known, installed } in models::list(&options.models) {
        let state = match installed {
            Some(Ok(_)) => "installed".to_owned(),
            Some(Err(reason)) => format!("unusable: {reason}"),
            None => "not installed".to_owned(),
        };
        let languages = known.languages.join(", ");
        writeln!(
            out,
            "{}: {state}; {languages}; {}; {}",
            known.name, known.license, known.description
        )?;
    }
    Ok(())
}

/// `models pull NAME`.
fn pull_model(options: &ServerOptions, name: &str) -> anyhow::Result<()> {
    let sources = model_options(&options.models, &options.model_source);
    let model = models::ensure(name, &sources, &TerminalBar::default())?;
    writeln!(std::io::stdout(), "{name} is in {}", model.path.display())?;
    Ok(())
}

#[tokio::main]
async fn serve(options: &ServerOptions) -> anyhow::Result<()> {
    // Each connection is an open file, and the usual limit is 1,024. Without more, fewer connect.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let reserved = server::reserve(options.address())?;
    let shutdown = Shutdown::new();
    // Before the engine, which takes long: a folder that another server has should be known before.
    let kept = chat::open_store(options).await?;
    let desk = options.review_options().map(|review| Desk::start(review, clock::system()));
    let desk = desk.transpose()?;
    // Before the engine: until then a signal just ends the process, as it should.
    let understander = tokio::task::block_in_place(|| build_understander(options))?;
    let understander = Arc::new(understander);
    shutdown.on_signals()?;
    let api_key = options.api_key.as_ref().map(|key| KeyDigest::of(key.reveal()));
    let mut http = AppState::new(Arc::clone(&understander), options.limits(), api_key);
    let review = desk.map(|desk| Review::new(desk, Arc::clone(&understander))).transpose()?;
    http.review = review.map(Arc::new);
    follow(options, &understander, &mut http);
    let review = http.review.clone();
    let conversations = chat::start(options, &kept, &understander, &shutdown).await?;
    http.door = Some(Arc::clone(&conversations.door));
    http.bot = Some(Arc::clone(&conversations.bot));
    let listener = reserved.listen()?;
    let address = listener.local_addr()?;
    http.operator = Some(Arc::new(kept.operator(options, address)?));
    conversations.show_first_start();
    writeln!(std::io::stdout(), "kefu-server is ready: http://{address}")?;
    let app = App { http, shutdown_timeout: options.shutdown_timeout() };
    server::run(listener, app, shutdown).await?;
    if let Some(review) = review {
        tokio::task::block_in_place(|| review.stop());
    }
    understander.stop().await;
    tokio::task::block_in_place(|| kept.close());
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
