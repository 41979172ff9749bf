//! Intents: what a message means. Pure: no clock, no files, no network, no environment.
