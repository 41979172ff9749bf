//! The real server on a port of its own, asked over real connections.

mod http;
mod support;
