//! Conversations against the real server process: what clients are promised, when everything goes
//! wrong that can.

mod adversity;
mod client;
mod commands;
mod crash;
mod damage;
mod frames;
mod http;
mod old_store;
mod place;
mod proxy;
mod resume;
mod writer;
