//! Kefu: customer service with an understanding of its own.
//!
//! Read top-down: the domain first (`intent`), then the ports it stands on (`encoder`, `index`),
//! then the edge (`http`) and what puts them together (`server`).
//! Imports run one way; `tests/tidy.rs` holds the rules.

pub mod config;
pub mod encoder;
pub mod http;
pub mod index;
pub mod intent;
pub mod knowledge;
pub mod logging;
pub mod server;
pub mod shutdown;
pub mod understand;
