//! How the import tells what it is doing, without printing anything itself.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Hears about the steps of an import, from one thread at a time.
pub trait Progress: Send + Sync {
    /// A step begins; `total_bytes` if it is known how much there is to do.
    fn start(&self, step: &str, total_bytes: Option<u64>);
    /// So many more bytes of the step are done.
    fn advance(&self, bytes: u64);
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
    fn advance(&self, _bytes: u64) {}
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
    fn with(&self, f: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            f(bar);
        }
    }
}

impl Progress for TerminalBar {
    fn start(&self, step: &str, total_bytes: Option<u64>) {
        let (bar, template) = match total_bytes {
            Some(total) => (
                ProgressBar::new(total),
                "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {eta}",
            ),
            None => (ProgressBar::new_spinner(), "{spinner} {msg} {elapsed}"),
        };
        bar.set_style(
            ProgressStyle::with_template(template).expect("the templates above are well-formed"),
        );
        bar.set_message(step.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
    }

    fn advance(&self, bytes: u64) {
        self.with(|bar| bar.inc(bytes));
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
