//! The integration tests, as one binary: what the parts do together, with real files and sockets.

// Helpers outside test functions may unwrap as well: a failure there fails the test.
#![allow(clippy::unwrap_used)]

mod encoder;
mod hub;
mod models;
#[cfg(unix)]
mod package;
