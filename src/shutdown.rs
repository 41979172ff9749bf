//! How tasks are spawned and drained: stop accepting, finish what was accepted, then end.
//!
//! The only place that spawns tasks and knows signals. Everyone who runs for long holds a
//! [`Shutdown`] and watches [`Shutdown::begun`].

use std::io;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A handle on the end of the server; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    stop: CancellationToken,
    abort: CancellationToken,
    tasks: TaskTracker,
}

/// How the draining went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Tasks that did not finish in time and were dropped.
    pub dropped: usize,
}

impl Shutdown {
    /// A server that runs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts the shutdown. Calling it again does nothing.
    pub fn begin(&self) {
        self.stop.cancel();
    }

    /// Resolves when the shutdown has started; at once if it has.
    pub async fn begun(&self) {
        self.stop.cancelled().await;
    }

    /// Runs `task`, which [`Self::drain`] waits for.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let abort = self.abort.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = task => {}
                () = abort.cancelled() => {}
            }
        });
    }

    /// Makes `task`, which somebody else runs, one that [`Self::drain`] waits for.
    pub async fn track(&self, task: impl Future<Output = ()>) {
        let _counted = self.tasks.token();
        tokio::select! {
            () = task => {}
            () = self.abort.cancelled() => {}
        }
    }

    /// Waits until all tasks are done, at most for `timeout`, then drops the others.
    pub async fn drain(&self, timeout: Duration) -> Drained {
        self.begin();
        self.tasks.close();
        if tokio::time::timeout(timeout, self.tasks.wait()).await.is_ok() {
            return Drained { dropped: 0 };
        }
        let dropped = self.tasks.len();
        self.abort.cancel();
        self.tasks.wait().await;
        Drained { dropped }
    }

    /// Begins the shutdown on SIGTERM or SIGINT (Ctrl-C); a second one ends the process at once.
    ///
    /// # Errors
    /// When the operating system refuses to deliver signals.
    pub fn on_signals(&self) -> io::Result<()> {
        let mut signals = Signals::new()?;
        let shutdown = self.clone();
        // Not tracked: it must hear the second signal while the drain goes on.
        tokio::spawn(async move {
            signals.next().await;
            tracing::info!("stopping; a second signal ends at once");
            shutdown.begin();
            signals.next().await;
            tracing::warn!("a second signal: ending at once");
            std::process::exit(130);
        });
        Ok(())
    }
}

/// Requests to end.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Requests to end.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        // An error means that no signal will ever come.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_accepted_finishes() {
        let shutdown = Shutdown::new();
        let (done, finished) = tokio::sync::oneshot::channel();
        let watch = shutdown.clone();
        shutdown.spawn(async move {
            watch.begun().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            let _ = done.send(());
        });
        assert_eq!(shutdown.drain(Duration::from_secs(10)).await, Drained { dropped: 0 });
        assert!(finished.await.is_ok());
    }

    #[tokio::test]
    async fn what_does_not_finish_is_dropped() {
        let shutdown = Shutdown::new();
        shutdown.spawn(std::future::pending());
        assert_eq!(shutdown.drain(Duration::from_millis(20)).await, Drained { dropped: 1 });
    }
}
