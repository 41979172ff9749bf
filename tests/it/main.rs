//! The real server on a port of its own, asked over real connections.
#![allow(clippy::unwrap_used, clippy::type_complexity, reason = "a test that fails may panic")]

mod cli;
mod http;
mod support;
