//! How long work tells what it is doing, without printing anything itself.
//!
//! Importing a model and training call [`Progress`]; the commands choose who listens.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Hears about the steps of long work, from one thread at a time.
pub trait Progress: Send + Sync {
    /// A step begins; `total_bytes` if it is known how much there is to do.
    fn start(&self, step: &str, total_bytes: Option<u64>);
    /// A step begins that is counted in things, not in bytes.
    fn start_items(&self, step: &str, total: u64);
    /// So many more bytes or things of the step are done.
    fn advance(&self, count: u64);
    /// The step is over.
    fn finish(&self);
    /// Something a person wants to know, such as a source that did not answer.
    fn note(&self, message: &str);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _step: &str, _total_bytes: Option<u64>) {}
    fn start_items(&self, _step: &str, _total: u64) {}
    fn advance(&self, _count: u64) {}
    fn finish(&self) {}
    fn note(&self, message: &str) {
        tracing::info!("{message}");
    }
}

/// A bar on standard error, drawn only when that is a terminal; notes also go to the log.
#[derive(Default)]
pub struct TerminalBar {
    bar: Mutex<Option<ProgressBar>>,
}

impl TerminalBar {
    fn show(&self, bar: ProgressBar, template: &str, step: &str) {
        bar.set_style(
            ProgressStyle::with_template(template).expect("the templates below are well-formed"),
        );
        bar.set_message(step.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
    }

    fn with(&self, f: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            f(bar);
        }
    }
}

impl Progress for TerminalBar {
    fn start(&self, step: &str, total_bytes: Option<u64>) {
        match total_bytes {
            Some(total) => self.show(
                ProgressBar::new(total),
                "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {eta}",
                step,
            ),
            None => self.show(ProgressBar::new_spinner(), "{spinner} {msg} {elapsed}", step),
        }
    }

    fn start_items(&self, step: &str, total: u64) {
        self.show(ProgressBar::new(total), "{msg} {wide_bar} {pos}/{len} {eta}", step);
    }

    fn advance(&self, count: u64) {
        self.with(|bar| bar.inc(count));
    }

    fn finish(&self) {
        self.with(ProgressBar::finish_and_clear);
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn note(&self, message: &str) {
        tracing::info!("{message}");
        self.with(|bar| bar.println(message));
    }
}
