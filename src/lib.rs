//! Kefu: customer service with an understanding of its own.
//!
//! Read top-down: the domain (`intent`), the ports it stands on (`encoder`, `index`), what feeds
//! it (`knowledge`, `models`, `training`, `artifact`) and checks it (`lint`), where it meets the
//! clock (`understand`), and the edges (`http`, `cli`) that `server` puts together. Imports run one
//! way; `tests/tidy/` holds the rules, `ARCHITECTURE.md` is the map.

pub mod intent;

pub mod encoder;
pub mod index;
pub mod kernels;

pub mod artifact;
pub mod flips;
pub mod knowledge;
pub mod lint;
pub mod models;
pub mod progress;
pub mod training;

pub mod preview;
pub mod provision;
pub mod reload;
pub mod shadow;
pub mod understand;

pub mod cli;
pub mod config;
pub mod http;
pub mod logging;
pub mod server;
pub mod shutdown;
