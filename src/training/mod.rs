//! Training: from labelled sentences to an engine, and how good it is.
//!
//! Called by `train-intents` and by the server's first start. Everything here works on embeddings
//! that are there already, except [`build`], which asks the encoder for them.

pub mod dataset;
pub mod metrics;
