//! `kefu-bench idle`: logged-in connections that say nothing, and what they cost the server.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep};

use crate::client::Connection;
use crate::fleet::Fleet;
use crate::options::Idle;
use crate::process::{allow_sockets, resident_bytes};
use crate::report::rounded;

/// What a server frees soon after a handshake it has freed by then.
const SETTLE: Duration = Duration::from_secs(2);

/// Runs it and reports.
pub(crate) async fn idle(options: &Idle) -> anyhow::Result<Value> {
    allow_sockets(options.connections)?;
    let resident = || options.target.server_pid.map(resident_bytes).transpose();
    let fleet = Fleet::gather(&options.target, options.connections).await?;
    let before = resident()?;
    let begun = Instant::now();
    let mut held = JoinSet::new();
    for (number, (connection, welcome)) in fleet.log_in(0).await?.into_iter().enumerate() {
        let every = welcome.limits.map_or(0, |limits| limits.ping_every_ms);
        let every = Duration::from_millis(u64::from(every).max(1000));
        // Pings spread over the time between two of them.
        let first = every * number as u32 / options.connections as u32;
        held.spawn(hold(connection, Instant::now() + first, every));
    }
    let logged_in = begun.elapsed();
    sleep(SETTLE).await;
    let after = resident()?;
    sleep(Duration::from_secs(options.seconds.into())).await;
    let end = resident()?;
    let mut broken = Vec::new();
    while let Some(ended) = held.try_join_next() {
        broken.push(format!("{:#}", ended?));
    }
    let a_connection = |bytes: Option<u64>| {
        let grown = bytes?.saturating_sub(before?) as f64;
        Some((grown / options.connections as f64).round())
    };
    Ok(json!({
        "command": "idle",
        "settings": options,
        "logged_in_s": rounded(logged_in.as_secs_f64()),
        "server_resident_bytes_before": before,
        "server_resident_bytes": after,
        "bytes_per_connection": a_connection(after),
        "bytes_per_connection_at_end": a_connection(end),
        "broken_connections": broken.len(),
        "first_reason": broken.first(),
    }))
}

/// Shows life every so often; ends only with an error.
async fn hold(mut connection: Connection, first: Instant, every: Duration) -> anyhow::Error {
    let mut pings = interval_at(first, every);
    loop {
        let done = tokio::select! {
            kind = connection.next() => kind.map(drop),
            _ = pings.tick() => connection.ping().await,
        };
        if let Err(error) = done {
            return error;
        }
    }
}
