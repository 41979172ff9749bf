//! Intents: what a message means. Pure: no clock, no files, no network, no environment.
//!
//! In reading order: what is asked and answered, the two tiers, and the engine that joins them.

pub mod answer;
pub mod classifier;
pub mod engine;
pub mod entity;
pub mod evidence;
pub mod golden;
pub mod head;
pub mod keyword;
pub mod knowledge;
pub mod lexical;
pub mod normalize;
pub mod whitening;
