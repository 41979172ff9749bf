//! Wakes the senders of an open loop when their messages are due.
//!
//! The runtime's timers count milliseconds, which would add as much to each latency; a sleeping
//! thread is late by some 50 microseconds. One serves all connections, since they send in turn.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;

use crate::run::{Pace, Run};

/// Rings until the window of the run is over; a closed loop needs nobody for that.
pub(crate) fn pace(run: Arc<Run>, bells: Vec<Arc<Notify>>) {
    let Pace::Open { every_us } = run.pace else { return };
    let step_us = every_us / bells.len() as f64;
    thread::spawn(move || {
        let mut turn = 0;
        loop {
            let now = run.now_us();
            if now >= run.window.end {
                return;
            }
            while turn as f64 * step_us <= now as f64 {
                bells[turn % bells.len()].notify_one();
                turn += 1;
            }
            // At the beginning `now` stays 0 until the run has begun.
            thread::sleep(Duration::from_micros((turn as f64 * step_us) as u64 - now));
        }
    });
}
