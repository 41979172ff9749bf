//! Intents: what a message means. Pure: no clock, no files, no network, no environment.

pub mod answer;
pub mod keyword;
pub mod knowledge;
pub mod normalize;
