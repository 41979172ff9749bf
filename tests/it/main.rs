//! The integration tests, as one binary: what the parts do together, with real files, processes
//! and sockets.

// Helpers outside test functions may unwrap as well: a failure there fails the test.
#![allow(clippy::unwrap_used, clippy::type_complexity)]

mod chat;
mod cli;
mod consent;
mod encoder;
mod exchange;
mod flips;
mod http;
mod hub;
mod lint;
mod models;
#[cfg(unix)]
mod package;
mod process;
mod reload;
mod review;
mod slots;
mod support;
mod tune;
