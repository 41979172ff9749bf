//! Kefu: customer service with an understanding of its own.
//!
//! Read top-down: the domain first (`intent`), then the ports it stands on (`encoder`, `index`),
//! then what feeds it. Imports run one way; `tests/tidy.rs` holds the rules.

pub mod intent;

pub mod encoder;
pub mod index;
pub mod kernels;

pub mod artifact;
pub mod knowledge;
pub mod models;
pub mod progress;
pub mod training;
pub mod understand;
