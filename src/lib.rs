//! Kefu: customer service with an understanding of its own.
//!
//! Read top-down: the domain first (`intent`), then the ports it stands on (`encoder`, `index`),
//! then what feeds it. Imports run one way; `tests/tidy.rs` holds the rules.

pub mod encoder;
pub mod index;
pub mod intent;
pub mod kernels;
pub mod knowledge;
pub mod training;
pub mod understand;
pub mod models;
