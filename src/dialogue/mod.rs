//! Dialogue: what the bot says next, as pure steps from a state and a message to the next state.
//!
//! No clock, no files, no network: the moment comes as an argument, the engine's verdict with the
//! message. In reading order: the words of visitors that mean something here, the form of an
//! intent's slots, how it is filled, and what callers are told.

mod assign;
pub mod form;
pub mod report;
pub mod slots;
#[cfg(test)]
mod tests;
mod words;
