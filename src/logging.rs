//! Where log lines go and how they look. Called once, by the commands.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Sends log lines of `level` (or a filter such as `kefu=debug`) to standard error.
///
/// Standard output is left to what a command is asked for. A second call changes nothing.
pub fn start(format: LogFormat, level: &str) {
    // What the libraries below the store tell of their files is nobody's daily news.
    let filter = format!("fjall=warn,lsm_tree=warn,{level}");
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let started = match format {
        LogFormat::Human => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).try_init(),
    };
    if started.is_ok() && format == LogFormat::Json {
        // Whoever collects JSON lines should get a panic as one, too.
        std::panic::set_hook(Box::new(log_panic));
    }
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let reason = panic.payload_as_str().unwrap_or("no message");
    let backtrace = Backtrace::capture();
    let backtrace =
        (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(place, reason, backtrace, "panicked");
}
