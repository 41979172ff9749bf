//! Training: from labelled sentences to an engine, and how good it is.
//!
//! Called by `train-intents` and by the server's first start.

pub mod build;
mod calibrate;
pub mod dataset;
pub mod embed;
pub mod embedding_cache;
pub mod fit;
mod heads;
pub mod held_out;
mod lbfgs;
pub mod learning_curve;
pub mod metrics;
pub mod report;
mod softmax;
mod thresholds;
pub mod tune;
