//! What all connections of a load run share: its clock, its phases, and what is counted.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::{Instant, Sleep};

use crate::options::{Load, Peer};
use crate::report::histogram;

/// Time between the last handshake and the first message.
const BREATH: Duration = Duration::from_millis(200);

/// When a connection sends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// As soon as fewer than so many wait for an ack.
    Closed { in_flight: u32 },
    /// One every so many microseconds, whatever comes back.
    Open { every_us: f64 },
}

/// A run of `load`. Times are microseconds since `begin`.
pub(crate) struct Run {
    /// Random, part of each message's id.
    pub(crate) id: u32,
    pub(crate) begin: Instant,
    pub(crate) pace: Pace,
    pub(crate) connections: usize,
    pub(crate) text: String,
    pub(crate) echo: bool,
    /// What is measured; before it is warm-up, at its end the last message is sent.
    pub(crate) window: Range<u64>,
    /// When nobody waits for acks any longer.
    pub(crate) give_up_us: u64,
    tally: Mutex<Tally>,
}

/// What is counted as it happens.
pub(crate) struct Tally {
    /// From when a message was due to its ack, for messages due within the window.
    pub(crate) latency_us: Histogram<u64>,
    /// The same to its arrival at other devices.
    pub(crate) delivery_us: Histogram<u64>,
    /// Acks that came within the window.
    pub(crate) acked: u64,
    /// Messages that reached other devices within the window.
    pub(crate) delivered: u64,
    /// Errors of the server by code, and broken connections by reason.
    pub(crate) errors: BTreeMap<String, u64>,
}

impl Run {
    /// Begins in a moment.
    pub(crate) fn new(load: &Load) -> Self {
        let seconds = |count: u32| u64::from(count) * 1_000_000;
        let start = seconds(load.warmup);
        let end = start + seconds(load.seconds);
        let pace = match load.rate {
            Some(rate) => Pace::Open { every_us: load.connections as f64 * 1e6 / f64::from(rate) },
            None => Pace::Closed { in_flight: load.in_flight as u32 },
        };
        Self {
            id: run_id(),
            begin: Instant::now() + BREATH,
            pace,
            connections: load.connections,
            text: text_of(load.payload_bytes),
            echo: load.peer == Peer::Echo,
            window: start..end,
            give_up_us: end + seconds(load.drain),
            tally: Mutex::new(Tally {
                latency_us: histogram(),
                delivery_us: histogram(),
                acked: 0,
                delivered: 0,
                errors: BTreeMap::new(),
            }),
        }
    }

    pub(crate) fn now_us(&self) -> u64 {
        self.begin.elapsed().as_micros() as u64
    }

    pub(crate) fn at(&self, us: u64) -> Instant {
        self.begin + Duration::from_micros(us)
    }

    /// Sets a timer, if it is not set so already.
    pub(crate) fn set(&self, timer: Pin<&mut Sleep>, us: u64) {
        let at = self.at(us);
        if timer.deadline() != at {
            timer.reset(at);
        }
    }

    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        // Counters are whole after each change, so a panic elsewhere does not spoil them.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count_error(&self, what: &str) {
        *self.tally().errors.entry(what.to_owned()).or_default() += 1;
    }
}

/// Another number for each run.
pub(crate) fn run_id() -> u32 {
    RandomState::new().hash_one(std::process::id()) as u32
}

/// A text of so many bytes.
pub(crate) fn text_of(bytes: usize) -> String {
    "The parcel has not come yet, where is it? ".chars().cycle().take(bytes).collect()
}
