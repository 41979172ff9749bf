//! Conversations against the real server process: what clients are promised, when everything goes
//! wrong that can.

mod client;
mod crash;
mod place;
mod writer;
