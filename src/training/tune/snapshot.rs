//! The encoder as it is in the middle of training, behind the same port as a loaded one.

use std::sync::{Mutex, PoisonError};

use super::network::{Network, Worker};
use crate::encoder::{Embeddings, EncodeError, Encoder, EncoderInfo};

/// Weights at some step.
pub(super) struct Snapshot<'a> {
    network: &'a Network<'a>,
    trained: &'a [f32],
    /// Room of callers that are done.
    idle: Mutex<Vec<Worker>>,
}

impl<'a> Snapshot<'a> {
    pub(super) fn new(network: &'a Network<'a>, trained: &'a [f32]) -> Self {
        Self { network, trained, idle: Mutex::default() }
    }
}

impl Encoder for Snapshot<'_> {
    fn info(&self) -> &EncoderInfo {
        self.network.info()
    }

    fn encode(&self, texts: &[&str]) -> Result<Embeddings, EncodeError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut worker = idle.unwrap_or_default();
        let values = self.network.encode(self.trained, texts, &mut worker)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
        Ok(Embeddings::new(self.network.shape.hidden, values))
    }
}
