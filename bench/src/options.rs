//! The command line. What a run was told is printed with its results, so all of it can be
//! serialized.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

/// Load on a Kefu server over WebSocket.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Print one line of JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send messages and time their acks
    Load(Load),
    /// Hold logged-in connections that say nothing, and see what they cost the server
    Idle(Idle),
    /// Break all connections, let messages pile up, and connect all again at once
    Resume(Resume),
    /// Answer each WebSocket message with itself: the peer that ratios are measured against
    EchoServer(Echo),
}

/// Whom to connect to, and how.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Target {
    /// The server's WebSocket
    #[arg(long, default_value = "ws://127.0.0.1:8811/ws")]
    pub(crate) url: String,
    /// App of the visitors
    #[arg(long, default_value = "default")]
    pub(crate) app_id: String,
    /// Where anonymous visitors get a token [default: /v1/visitors of the server]
    #[arg(long)]
    pub(crate) token_url: Option<String>,
    /// Take visitors' tokens from a file, one a line, instead of asking for them
    #[arg(long)]
    pub(crate) tokens: Option<PathBuf>,
    /// Requests for tokens at once
    #[arg(long, default_value_t = 16, value_parser = at_least_one)]
    pub(crate) token_concurrency: usize,
    /// Connect from so many addresses 127.0.0.1, 127.0.0.2, …: one has ports for about 28,000
    /// connections
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=250))]
    pub(crate) source_addresses: u8,
    /// Handshakes at once
    #[arg(long, default_value_t = 128, value_parser = at_least_one)]
    pub(crate) connect_concurrency: usize,
    /// Process of the server, to read its CPU time and memory from /proc
    #[arg(long)]
    pub(crate) server_pid: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Peer {
    /// A Kefu server: Hello, then messages that are acked
    Kefu,
    /// `kefu-bench echo-server`: the same bytes come back
    Echo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ack {
    Durable,
    Any,
}

#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Load {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) target: Target,
    #[arg(long, value_enum, default_value_t = Peer::Kefu)]
    pub(crate) peer: Peer,
    /// Visitors, each with one connection that sends
    #[arg(long, default_value_t = 1000, value_parser = at_least_one)]
    pub(crate) connections: usize,
    /// Closed loop: messages of a connection without an ack at any time
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    pub(crate) in_flight: usize,
    /// Open loop: messages a second in all, sent when they are due whether or not acks came;
    /// latency counts from the moment when a message was due
    #[arg(long, conflicts_with = "in_flight", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
    /// Bytes of a message's text
    #[arg(long, default_value_t = 100)]
    pub(crate) payload_bytes: usize,
    /// Seconds that are measured
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) seconds: u32,
    /// Seconds of load before
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(..=600))]
    pub(crate) warmup: u32,
    /// Seconds to wait for the last acks
    #[arg(long, default_value_t = 10)]
    pub(crate) drain: u32,
    /// Further devices of each visitor, which only receive
    #[arg(long, visible_alias = "receivers", default_value_t = 0)]
    pub(crate) fan_out: usize,
    /// What the server was started to ack: after fsync, or before; stands in the report
    #[arg(long, value_enum, default_value_t = Ack::Durable)]
    pub(crate) ack: Ack,
    /// Read back the whole log of so many visitors at the end, and look for each message
    #[arg(long, default_value_t = 100)]
    pub(crate) read_back: usize,
}

#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Idle {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) target: Target,
    /// Connections, each of a visitor of its own
    #[arg(long, default_value_t = 1000, value_parser = at_least_one)]
    pub(crate) connections: usize,
    /// Seconds to hold them
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u32,
}

#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Resume {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) target: Target,
    /// Visitors
    #[arg(long, default_value_t = 1000, value_parser = at_least_one)]
    pub(crate) connections: usize,
    /// Messages that each missed
    #[arg(long, default_value_t = 10)]
    pub(crate) behind: u32,
    /// Bytes of a message's text
    #[arg(long, default_value_t = 100)]
    pub(crate) payload_bytes: usize,
    /// Seconds after which a visitor that has not caught up counts as failed
    #[arg(long, default_value_t = 60)]
    pub(crate) patience: u32,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Echo {
    #[arg(long, default_value_t = 8812)]
    pub(crate) port: u16,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a whole number from 1 on is needed".to_owned()),
        Ok(number) => Ok(number),
    }
}
