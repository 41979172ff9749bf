//! `kefu-bench load`: messages at a pace, and what became of each.

use std::sync::Arc;

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use kefu_proto::v1::Welcome;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::account::MessageId;
use crate::client::Connection;
use crate::fleet::{self, Fleet};
use crate::options::{Load, Peer};
use crate::pacer::pace;
use crate::process::{allow_sockets, cpu_seconds};
use crate::receiver::{Ends, Receiver};
use crate::report::{percentiles, rounded};
use crate::run::Run;
use crate::sender::Sender;

/// Logs that are read back at once.
const READERS: usize = 16;

/// Runs it and reports.
pub(crate) async fn load(options: &Load) -> anyhow::Result<Value> {
    allow_sockets(options.connections * (1 + options.fan_out))?;
    let (senders, receivers) = connect(options).await?;
    let run = Arc::new(Run::new(options));
    let ends = watch::Sender::new(Ends::default());

    let mut receiving = JoinSet::new();
    for receiver in receivers {
        let (run, ends) = (run.clone(), ends.subscribe());
        receiving.spawn(async move { receiver.drive(&run, ends).await });
    }
    let bells: Vec<Arc<Notify>> = senders.iter().map(|sender| sender.bell.clone()).collect();
    let mut sending = JoinSet::new();
    for sender in senders {
        let run = run.clone();
        sending.spawn(async move { sender.drive(&run).await });
    }
    pace(run.clone(), bells);
    let cpu = CpuUse::over(&run, options.target.server_pid).await?;
    let mut senders = sending.join_all().await;
    // They come as they end, and receivers know theirs by its place.
    senders.sort_unstable_by_key(|sender| sender.number);

    let logs = senders.iter_mut().map(|sender| std::mem::take(&mut sender.logs)).collect();
    let logs: Ends = Arc::new(logs);
    ends.send_replace(logs.clone());
    let behind = receiving.join_all().await.into_iter().filter(|reached| !reached).count();
    for (sender, logs) in senders.iter_mut().zip(&**logs) {
        sender.gaps = logs.missing();
    }

    let read = if run.echo {
        ReadBack::default()
    } else {
        read_back(options, &run, senders.iter_mut(), &logs).await?
    };
    Ok(report(options, &run, &cpu, &senders, behind, &read))
}

async fn connect(options: &Load) -> anyhow::Result<(Vec<Sender>, Vec<Receiver>)> {
    let sender = |(number, (connection, welcome)): (usize, (Connection, Welcome))| {
        Sender::new(number as u32, connection, &welcome)
    };
    if options.peer == Peer::Echo {
        let open = fleet::open(&options.target, options.connections).await?;
        let open = open.into_iter().map(|connection| (connection, Welcome::default()));
        return Ok((open.enumerate().map(sender).collect(), Vec::new()));
    }
    let fleet = Fleet::gather(&options.target, options.connections).await?;
    let senders = fleet.log_in(0).await?.into_iter().enumerate().map(sender).collect();
    let mut receivers = Vec::new();
    for device in 1..=options.fan_out {
        let open = fleet.log_in(device).await?.into_iter().enumerate();
        receivers.extend(
            open.map(|(visitor, (connection, welcome))| {
                Receiver::new(visitor, connection, &welcome)
            }),
        );
    }
    Ok((senders, receivers))
}

/// CPU seconds within the window.
struct CpuUse {
    server: Option<f64>,
    tool: f64,
}

impl CpuUse {
    async fn over(run: &Run, server: Option<u32>) -> anyhow::Result<Self> {
        let tool = std::process::id();
        let read = || -> anyhow::Result<_> {
            Ok((Instant::now(), server.map(cpu_seconds).transpose()?, cpu_seconds(tool)?))
        };
        sleep_until(run.at(run.window.start)).await;
        let (from, server_before, tool_before) = read()?;
        sleep_until(run.at(run.window.end)).await;
        let (to, server_after, tool_after) = read()?;
        // A busy tool looks a little late; what it saw is scaled to the window.
        let window = (run.window.end - run.window.start) as f64 / 1e6;
        let scale = window / (to - from).as_secs_f64();
        let server =
            server_after.zip(server_before).map(|(after, before)| (after - before) * scale);
        Ok(Self { server, tool: (tool_after - tool_before) * scale })
    }
}

/// What the logs said at the end.
#[derive(Default)]
struct ReadBack {
    visitors: u64,
    messages: u64,
    /// Acked and not in the log.
    lost: u64,
    /// In the log more than once.
    doubled: u64,
    /// Seqs that the log does not have.
    gaps: u64,
}

/// Reads whole logs of some visitors and looks for each message that was acked.
async fn read_back(
    options: &Load,
    run: &Run,
    senders: impl Iterator<Item = &mut Sender>,
    logs: &Ends,
) -> anyhow::Result<ReadBack> {
    let chosen = senders.zip(&***logs).take(options.read_back);
    let reading =
        chosen.filter(|(sender, _)| sender.connection.is_some()).map(|(sender, logs)| async move {
            let mut read = ReadBack { visitors: 1, ..ReadBack::default() };
            let mut found = vec![0u32; sender.acks.sent() as usize];
            for (conversation, _) in logs.iter() {
                let connection = sender.connection.as_mut().context("it was there before")?;
                read_log(connection, conversation, run, &mut found, &mut read).await?;
            }
            for (times, number) in found.into_iter().zip(0..) {
                read.lost += u64::from(times == 0 && sender.acks.is_acked(number));
                read.doubled += u64::from(times > 1);
            }
            anyhow::Ok(read)
        });
    let all: Vec<ReadBack> = stream::iter(reading).buffered(READERS).try_collect().await?;
    Ok(all.into_iter().fold(ReadBack::default(), |sum, one| ReadBack {
        visitors: sum.visitors + one.visitors,
        messages: sum.messages + one.messages,
        lost: sum.lost + one.lost,
        doubled: sum.doubled + one.doubled,
        gaps: sum.gaps + one.gaps,
    }))
}

async fn read_log(
    connection: &mut Connection,
    conversation: &str,
    run: &Run,
    found: &mut [u32],
    read: &mut ReadBack,
) -> anyhow::Result<()> {
    let mut upto = None;
    loop {
        let range = connection.pull(conversation, upto.unwrap_or(0)).await?;
        for message in &range.messages {
            // What retention removed is no gap.
            let wanted = upto.map_or(range.first_seq, |upto| upto + 1);
            read.gaps += message.seq.saturating_sub(wanted);
            upto = Some(message.seq);
            read.messages += 1;
            let id = MessageId::from_bytes(&message.client_msg_id).filter(|id| id.run == run.id);
            if let Some(times) = id.and_then(|id| found.get_mut(id.number as usize)) {
                *times += 1;
            }
        }
        if !range.has_more || range.messages.is_empty() {
            return Ok(());
        }
    }
}

fn report(
    options: &Load,
    run: &Run,
    cpu: &CpuUse,
    senders: &[Sender],
    behind: usize,
    read: &ReadBack,
) -> Value {
    let sum = |of: fn(&Sender) -> u64| senders.iter().map(of).sum::<u64>();
    let seconds = f64::from(options.seconds);
    let tally = run.tally();
    let a_second = |count: u64| rounded(count as f64 / seconds);
    json!({
        "command": "load",
        "settings": options,
        "sent": sum(|sender| sender.acks.sent().into()),
        "acked": sum(|sender| sender.acks.acked().into()),
        "refused": sum(|sender| sender.refused),
        "without_ack": sum(|sender| {
            u64::from(sender.acks.sent() - sender.acks.acked()).saturating_sub(sender.refused)
        }),
        "acked_twice": sum(|sender| sender.doubled),
        "gaps": sum(|sender| sender.gaps),
        "acked_in_window": tally.acked,
        "acked_per_second": a_second(tally.acked),
        "server_cpu_seconds": cpu.server.map(rounded),
        "acked_per_server_cpu_second":
            cpu.server.filter(|cpu| *cpu > 0.0).map(|cpu| (tally.acked as f64 / cpu).round()),
        "tool_cpu_share": rounded(cpu.tool / seconds),
        "latency": percentiles(&tally.latency_us),
        "delivered_in_window": tally.delivered,
        "delivered_per_second": a_second(tally.delivered),
        "delivery_latency": percentiles(&tally.delivery_us),
        "receivers_behind": behind,
        "broken_connections":
            senders.iter().filter(|sender| sender.connection.is_none()).count(),
        "errors": tally.errors,
        "read_back": {
            "visitors": read.visitors,
            "messages": read.messages,
            "lost": read.lost,
            "doubled": read.doubled,
            "gaps": read.gaps,
        },
    })
}
