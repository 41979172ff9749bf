//! `kefu-bench`: load on a Kefu server over WebSocket, and what it makes of it.
//!
//! It reads options and starts one thread, so that it leaves the other cores to the server. What the
//! commands do stands in a file each; all of them speak to the server through `client.rs` only, and
//! know of it what PROTOCOL.md says. `docs/benchmarks.md` has commands and figures.

mod account;
mod client;
mod echo;
mod fleet;
mod idle;
mod load;
mod options;
mod pacer;
mod process;
mod receiver;
mod report;
mod resume;
mod run;
mod sender;
#[cfg(test)]
mod tests;
mod token;

use std::io::Write;
use std::net::Ipv4Addr;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use serde_json::Value;
use tokio::net::TcpListener;

use options::{Command, Options};

fn main() -> ExitCode {
    let options = Options::parse();
    let done = measure(&options.command).and_then(|report| {
        report::print(&report, options.json).context("the report cannot be written")
    });
    let Err(error) = done else { return ExitCode::SUCCESS };
    // Nobody is left to tell if this fails.
    let _ = writeln!(std::io::stderr(), "kefu-bench: {error:#}");
    ExitCode::FAILURE
}

fn measure(command: &Command) -> anyhow::Result<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Load(options) => load::load(options).await,
            Command::Idle(options) => idle::idle(options).await,
            Command::Resume(options) => resume::resume(options).await,
            Command::EchoServer(options) => {
                process::allow_all_sockets()?;
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))
                    .await
                    .with_context(|| format!("port {} cannot be had", options.port))?;
                echo::serve(listener).await?;
                Ok(Value::Null)
            }
        }
    })
}
