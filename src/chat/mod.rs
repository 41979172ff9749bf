//! Conversations as a log: what may be appended to it, and what a session may ask.
//!
//! Pure: no store, no clock, no socket. Times and ids come in as arguments; what is to be written
//! goes out as entries, and `crate::hub` makes them durable. In reading order: who takes part, how a
//! conversation is named and stored, how it grows, and what a session may say.

pub mod check;
pub mod conversation;
pub mod id;
pub mod keys;
pub mod party;
pub mod record;
pub mod refusal;
pub mod request;
pub mod search;
pub mod session;
