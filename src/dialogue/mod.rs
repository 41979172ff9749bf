//! Dialogue: what the bot says next, as pure steps from a state and a message to the next state.
//!
//! No clock, no files, no network: the moment comes as an argument, the engine's verdict with the
//! message. In reading order: the state of a conversation, what happens to it, and the step; the
//! words of visitors that mean something here; the form of an intent's slots, how it is filled, and
//! what callers are told; the human side, who owns a conversation, when they work, who waits.

mod assign;
pub mod consent;
mod consent_prototypes;
mod consent_words;
pub mod event;
pub mod form;
pub mod hours;
pub mod meaning;
mod offer;
pub mod owner;
pub mod phrases;
pub mod queue;
mod reply;
pub mod report;
pub mod slots;
pub mod state;
pub mod step;
#[cfg(test)]
mod tests;
mod words;
