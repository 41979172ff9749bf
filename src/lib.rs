//! Kefu: customer service with an understanding of its own.
//!
//! Read top-down: the domain (`intent`, `dialogue`, `chat`), the ports it stands on (`encoder`, `index`,
//! `store`), what feeds it (`knowledge`, `models`, `training`, `artifact`), checks it (`lint`) and
//! brings it from other systems (`exchange`), who may do what (`identity`), where it meets the clock
//! (`understand`, `hub`), and the edges (`http`, `cli`) that `server` puts together. Imports run one
//! way; `tests/tidy/` holds the rules, `ARCHITECTURE.md` is the map.

pub mod chat;
pub mod dialogue;
pub mod intent;

pub mod encoder;
pub mod index;
pub mod kernels;
pub mod store;

pub mod artifact;
pub mod exchange;
pub mod flips;
pub mod knowledge;
pub mod lint;
pub mod models;
pub mod progress;
pub mod training;

pub mod bot;
pub mod hub;
pub mod identity;
pub mod preview;
pub mod provision;
pub mod reload;
pub mod review;
pub mod shadow;
pub mod understand;

pub mod cli;
pub mod clock;
pub mod config;
pub mod http;
pub mod logging;
pub mod operator;
pub mod server;
pub mod shutdown;
pub mod transport;
