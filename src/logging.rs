//! Where log lines go and how they look. Called once, by the commands.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Sends log lines of `level` (or a filter such as `kefu=debug`) to standard error.
///
/// Standard output is left to what a command is asked for. A second call changes nothing.
pub fn start(format: LogFormat, level: &str) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match format {
        LogFormat::Human => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}
