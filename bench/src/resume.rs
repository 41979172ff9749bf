//! `kefu-bench resume`: all connections break, messages pile up, and all come back in one moment.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use kefu_proto::v1::body::Kind;
use kefu_proto::v1::{Body, Cursor, Send};
use prost::bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::account::{MessageId, Seqs};
use crate::client::{Connection, Device};
use crate::fleet::Fleet;
use crate::options::Resume;
use crate::process::{allow_sockets, cpu_seconds};
use crate::report::{histogram, percentiles, rounded};
use crate::run::{run_id, text_of};

/// Back-off of PROTOCOL.md.
const BACK_OFF: Duration = Duration::from_millis(500);
const MOST_BACK_OFF: Duration = Duration::from_secs(30);

/// A visitor whose device is away.
struct Away {
    number: usize,
    device: Device,
    /// The end of the log.
    last_seq: u64,
}

/// How a visitor came back.
struct Back {
    welcome_us: u64,
    caught_up_us: u64,
    tries: u32,
}

/// Runs it and reports.
pub(crate) async fn resume(options: &Resume) -> anyhow::Result<Value> {
    allow_sockets(options.connections)?;
    let fleet = Fleet::gather(&options.target, options.connections).await?;
    let preparing = stream::iter(0..options.connections)
        .map(|visitor| prepare(&fleet, options, visitor))
        .buffered(options.target.connect_concurrency);
    let away: Vec<(Away, Connection)> = preparing.try_collect().await?;
    // Sockets that were open until now break together, without a goodbye.
    let (away, open): (Vec<Away>, Vec<Connection>) = away.into_iter().unzip();
    drop(open);

    let cpu = || options.target.server_pid.map(cpu_seconds).transpose();
    let cpu_before = cpu()?;
    let begun = Instant::now();
    let patience = Duration::from_secs(options.patience.into());
    let server = Arc::new(fleet.server.clone());
    let last_error = Arc::new(Mutex::new(None));
    let mut coming = JoinSet::new();
    for visitor in away {
        let (server, last_error) = (server.clone(), last_error.clone());
        coming.spawn(async move {
            let back = async {
                let mut tries = 0;
                loop {
                    tries += 1;
                    match come_back(&server, &visitor, begun, tries).await {
                        Ok(back) => return back,
                        Err(error) => {
                            let mut last =
                                last_error.lock().unwrap_or_else(PoisonError::into_inner);
                            *last = Some(format!("{error:#}"));
                        }
                    }
                    sleep(back_off(tries)).await;
                }
            };
            timeout(patience, back).await.ok()
        });
    }
    let back: Vec<Back> = coming.join_all().await.into_iter().flatten().collect();
    let cpu_used = cpu()?.zip(cpu_before).map(|(after, before)| rounded(after - before));

    let (mut welcome, mut caught_up) = (histogram(), histogram());
    for one in &back {
        welcome.saturating_record(one.welcome_us);
        caught_up.saturating_record(one.caught_up_us);
    }
    let last_error = last_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(json!({
        "command": "resume",
        "settings": options,
        "caught_up": back.len(),
        "failed": options.connections - back.len(),
        "all_caught_up_s": rounded(caught_up.max() as f64 / 1e6),
        "until_welcome": percentiles(&welcome),
        "until_caught_up": percentiles(&caught_up),
        "tries": back.iter().map(|one| u64::from(one.tries)).sum::<u64>(),
        "last_error": last_error,
        "server_cpu_seconds": cpu_used,
    }))
}

/// Logs a device in and lets it say what its cursor, which stays at the first message, will have
/// missed; leaves the connection open.
async fn prepare(
    fleet: &Fleet,
    options: &Resume,
    visitor: usize,
) -> anyhow::Result<(Away, Connection)> {
    let mut device = fleet.device(visitor, 0);
    let (mut connection, _) = Connection::log_in(&fleet.server, visitor, &device).await?;
    let text = text_of(options.payload_bytes);
    let first = send(&mut connection, fleet.run, visitor, 0, &text).await?;
    device.cursors = vec![first.clone()];
    let mut last_seq = first.seq;
    for number in 1..=options.behind {
        last_seq = send(&mut connection, fleet.run, visitor, number, &text).await?.seq;
    }
    Ok((Away { number: visitor, device, last_seq }, connection))
}

/// Sends a message and waits for its ack.
async fn send(
    connection: &mut Connection,
    run: u32,
    visitor: usize,
    number: u32,
    text: &str,
) -> anyhow::Result<Cursor> {
    let id = MessageId { run, connection: visitor as u32, number, due_us: 0 };
    let client_msg_id = Bytes::copy_from_slice(&id.to_bytes());
    let send = Send { client_msg_id, text: text.to_owned(), ..Send::default() };
    connection.feed(&Body { kind: Some(Kind::Send(send)) }).await?;
    loop {
        match connection.next().await? {
            Kind::Ack(ack) => {
                let (conversation, log_epoch) = (ack.conversation, ack.log_epoch);
                return Ok(Cursor { conversation, seq: ack.seq, log_epoch });
            }
            Kind::Error(error) => bail!("a message was refused: {}", error.message),
            _ => {}
        }
    }
}

/// Connects with the cursor and applies what comes until nothing is missing.
async fn come_back(
    server: &crate::client::Server,
    visitor: &Away,
    begun: Instant,
    tries: u32,
) -> anyhow::Result<Back> {
    let (mut connection, _) = Connection::log_in(server, visitor.number, &visitor.device).await?;
    let welcome_us = begun.elapsed().as_micros() as u64;
    let cursor = visitor.device.cursors.first().context("prepare sets it")?;
    let mut seqs = Seqs::after(cursor.seq);
    while seqs.upto() < visitor.last_seq {
        // The first page comes unasked, the others one by one.
        let (conversation, messages, has_more) = match connection.next().await? {
            Kind::Range(page) => (page.conversation, page.messages, page.has_more),
            Kind::Deliver(new) => (new.conversation, new.messages, false),
            Kind::Error(error) => bail!("a request was refused: {}", error.message),
            _ => continue,
        };
        if conversation == cursor.conversation {
            messages.iter().for_each(|message| seqs.see(message.seq));
            if has_more {
                connection.ask(&conversation, seqs.upto()).await?;
            }
        }
    }
    Ok(Back { welcome_us, caught_up_us: begun.elapsed().as_micros() as u64, tries })
}

/// Full jitter: anything from nothing to the bound, which doubles with each try.
fn back_off(tries: u32) -> Duration {
    let most = BACK_OFF.saturating_mul(1 << (tries - 1).min(10)).min(MOST_BACK_OFF);
    most.mul_f64(f64::from(run_id()) / f64::from(u32::MAX))
}
