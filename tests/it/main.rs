//! The integration tests, as one binary: what the parts do together, with real files and sockets.

mod encoder;
mod hub;
mod models;
