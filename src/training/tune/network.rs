//! The encoder as training sees it: frozen parts below, trainable layers above, pooling on top.
//!
//! Word, position and segment tables and the lowest layers are frozen: no gradient reaches them,
//! nothing is dropped there, and a text's values at their upper edge are always the same, so that
//! they can be kept between epochs.

use std::ops::Range;

use candle_core::Device;

use super::composed::Composed;
use super::dropout::{Dropout, key};
use super::layer::{Pass, Scratch, Step, Tape, sized};
use super::layout::Shape;
use super::pool::Pool;
use crate::encoder::weights::{WeightFile, WeightsError};
use crate::encoder::{EncodeError, Encoder, ModelSpec, SentenceEncoder};

/// The unchanging part of an encoder in training.
pub(super) struct Network<'a> {
    encoder: &'a SentenceEncoder,
    pub(super) shape: Shape,
    pool: Pool,
    /// The first layer that is trained.
    pub(super) first: usize,
    /// The layers below.
    frozen: Vec<f32>,
    dropout: Dropout,
    attention_dropout: Dropout,
}

/// Rates of dropout in the trainable layers, 0 to below 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    /// Of what linear layers put out.
    pub(super) hidden: f32,
    /// Of attention probabilities.
    pub(super) attention: f32,
}

/// Sequences that go through the network together.
pub(super) struct Chunk<'a> {
    /// Token ids of each sequence.
    pub(super) ids: Vec<&'a [u32]>,
    /// Values at the upper edge of the frozen part, if they were kept.
    pub(super) kept: Option<Vec<&'a [f32]>>,
    /// Dropout key of each sequence; `None` drops nothing.
    pub(super) keys: Option<Vec<u32>>,
}

/// The room that one thread needs.
#[derive(Default)]
pub(super) struct Worker {
    /// Input of each trainable layer, and the output of the last.
    states: Vec<Vec<f32>>,
    tapes: Vec<Tape>,
    scratch: Scratch,
    lengths: Vec<usize>,
    tokens: Vec<u32>,
    norms: Vec<f32>,
    embeddings: Vec<f32>,
    d: Vec<f32>,
}

impl<'a> Network<'a> {
    /// Reads the layers of `encoder`, which was loaded from `spec`; also returns the parameters of
    /// those from `first` on.
    ///
    /// # Errors
    /// [`WeightsError`] when the file can't be read any more.
    pub(super) fn load(
        encoder: &'a SentenceEncoder,
        spec: &ModelSpec,
        first: usize,
        rates: Rates,
    ) -> Result<(Self, Vec<f32>), WeightsError> {
        let config = encoder.config();
        let shape = Shape {
            hidden: config.hidden_size,
            inner: config.intermediate_size,
            heads: config.num_attention_heads,
            layers: config.num_hidden_layers,
            epsilon: config.layer_norm_eps,
        };
        let mut file = WeightFile::open(&spec.dir.join("model.safetensors"))?;
        let mut frozen = shape.read(&mut file)?;
        let first = first.min(shape.layers);
        let trained = frozen.split_off(first * shape.layer_len());
        let pool = Pool { pooling: encoder.pooling(), width: shape.hidden };
        let (dropout, attention_dropout) =
            (Dropout::new(rates.hidden), Dropout::new(rates.attention));
        Ok((Self { encoder, shape, pool, first, frozen, dropout, attention_dropout }, trained))
    }

    /// All layers as tensors by name; `trained` are the parameters of those from `first` on.
    pub(super) fn tensors(&self, trained: &[f32]) -> std::collections::BTreeMap<String, Vec<f32>> {
        let mut all = self.frozen.clone();
        all.extend_from_slice(trained);
        self.shape.tensors(&all)
    }

    fn pass<'b>(&self, lengths: &'b [usize], tokens: &'b [u32], drops: bool) -> Pass<'b> {
        let rate = |dropout| if drops { dropout } else { Dropout::off() };
        Pass {
            shape: self.shape,
            lengths,
            tokens,
            dropout: rate(self.dropout),
            attention_dropout: rate(self.attention_dropout),
        }
    }

    /// The packed values of `ids` at the upper edge of the frozen part.
    ///
    /// # Errors
    /// [`EncodeError`] when a sequence does not fit the model.
    pub(super) fn frozen_part(
        &self,
        ids: &[&[u32]],
        worker: &mut Worker,
    ) -> Result<Vec<f32>, EncodeError> {
        let mut rows = self.encoder.token_rows(ids)?;
        let lengths: Vec<usize> = ids.iter().map(|ids| ids.len()).collect();
        let tokens = vec![0; lengths.iter().sum()];
        let pass = self.pass(&lengths, &tokens, false);
        let mut tape = Tape::default();
        let mut out = Vec::new();
        for index in 0..self.first {
            let weights = self.shape.layer(&self.frozen, index);
            let step = Step { index, weights: &weights, input: &rows };
            pass.forward(step, (&mut tape, &mut worker.scratch), &mut out);
            std::mem::swap(&mut rows, &mut out);
        }
        Ok(rows)
    }

    /// Lays out a chunk: its values at the upper edge of the frozen part, lengths and keys.
    fn take(&self, chunk: &Chunk<'_>, worker: &mut Worker) -> Result<(), EncodeError> {
        let rows = match &chunk.kept {
            Some(kept) => kept.concat(),
            None => self.frozen_part(&chunk.ids, worker)?,
        };
        worker.states.resize_with(worker.states.len().max(1), Vec::new);
        worker.states[0] = rows;
        worker.lengths = chunk.ids.iter().map(|ids| ids.len()).collect();
        worker.tokens.clear();
        for (at, length) in worker.lengths.iter().enumerate() {
            let own = chunk.keys.as_ref().map_or(0, |keys| keys[at]);
            worker.tokens.extend((0..*length as u32).map(|token| key(own, token)));
        }
        Ok(())
    }

    /// Forward and back by candle's own operations on `device`: `loss` gets the embeddings and says
    /// their gradient; adds to `gradients`.
    ///
    /// # Errors
    /// [`EncodeError`] when a sequence does not fit the model, or the device fails.
    pub(super) fn composed(
        &self,
        trained: &[f32],
        chunk: &Chunk<'_>,
        (worker, device): (&mut Worker, &Device),
        loss: impl FnOnce(&[f32]) -> Vec<f32>,
        gradients: &mut [f32],
    ) -> Result<(), EncodeError> {
        self.take(chunk, worker)?;
        let drops = chunk.keys.is_some();
        let pass = self.pass(&worker.lengths, &worker.tokens, drops);
        let composed = Composed {
            pass,
            pooling: self.pool.pooling,
            first: self.first,
            drops_input: self.first == 0 && drops,
            device,
        };
        let work = || {
            let graph = composed.forward(trained, &worker.states[0])?;
            let embeddings = graph.embeddings.flatten_all()?.to_vec1::<f32>()?;
            graph.backward(&composed.pass, &loss(&embeddings), gradients)
        };
        work().map_err(|error: candle_core::Error| EncodeError {
            encoder: self.info().name.clone(),
            reason: error.to_string().lines().next().unwrap_or_default().to_owned(),
        })
    }

    /// Unit-norm embeddings of a chunk, row-major. `trained` are the trainable layers' parameters.
    ///
    /// # Errors
    /// [`EncodeError`] when a sequence does not fit the model.
    pub(super) fn forward<'w>(
        &self,
        trained: &[f32],
        chunk: &Chunk<'_>,
        worker: &'w mut Worker,
    ) -> Result<&'w [f32], EncodeError> {
        let layers = self.shape.layers - self.first;
        worker.states.resize_with(layers + 1, Vec::new);
        worker.tapes.resize_with(layers, Tape::default);
        self.take(chunk, worker)?;
        let pass = self.pass(&worker.lengths, &worker.tokens, chunk.keys.is_some());
        if self.first == 0 && chunk.keys.is_some() {
            pass.input_masks().apply(&mut worker.states[0], self.shape.hidden);
        }
        for layer in 0..layers {
            let (below, above) = worker.states.split_at_mut(layer + 1);
            let weights = self.shape.layer(trained, layer);
            let room = (&mut worker.tapes[layer], &mut worker.scratch);
            let index = self.first + layer;
            let step = Step { index, weights: &weights, input: &below[layer] };
            pass.forward(step, room, &mut above[0]);
        }
        (worker.embeddings, worker.norms) =
            self.pool.forward(&worker.lengths, &worker.states[layers]);
        Ok(&worker.embeddings)
    }

    /// The way back of the chunk that `worker` saw last: from the gradient of its embeddings to
    /// those of the trainable layers, which are written to `gradients`, or added with `add`.
    pub(super) fn backward(
        &self,
        trained: &[f32],
        d_embeddings: &[f32],
        gradients: (&mut [f32], bool),
        worker: &mut Worker,
        drops: bool,
    ) {
        let Worker { states, tapes, scratch, lengths, tokens, norms, embeddings, d } = worker;
        let pass = self.pass(lengths, tokens, drops);
        let layers = tapes.len();
        let d = sized(d, tokens.len() * self.shape.hidden);
        self.pool.backward(lengths, (embeddings, norms), d_embeddings, d);
        let (gradients, add) = gradients;
        for layer in (0..layers).rev() {
            let weights = self.shape.layer(trained, layer);
            let mut own = self.shape.layer_mut(gradients, layer);
            let room = (&tapes[layer], &mut *scratch);
            let index = self.first + layer;
            let step = Step { index, weights: &weights, input: &states[layer] };
            pass.backward(step, room, (&mut own, add), d);
        }
    }

    /// Embeddings of texts, on the caller's thread; for measuring, nothing is dropped.
    ///
    /// # Errors
    /// [`EncodeError`] when the tokenizer fails.
    pub(super) fn encode(
        &self,
        trained: &[f32],
        texts: &[&str],
        worker: &mut Worker,
    ) -> Result<Vec<f32>, EncodeError> {
        let ids: Vec<Vec<u32>> =
            texts.iter().map(|text| self.encoder.token_ids(text)).collect::<Result<_, _>>()?;
        let mut out = Vec::with_capacity(texts.len() * self.shape.hidden);
        for range in chunks(&ids) {
            let ids = ids[range].iter().map(Vec::as_slice).collect();
            let chunk = Chunk { ids, kept: None, keys: None };
            out.extend_from_slice(self.forward(trained, &chunk, worker)?);
        }
        Ok(out)
    }

    /// Name and limits of the encoder.
    pub(super) fn info(&self) -> &crate::encoder::EncoderInfo {
        self.encoder.info()
    }
}

/// Tokens that go through the network together: a layer of multilingual-e5-small keeps 25 kB a
/// token for its way back, so that this many are 300 MB in all.
const MAX_TOKENS: usize = 1_024;

/// Cuts sequences into runs of at most [`MAX_TOKENS`] tokens, one sequence at least.
pub(super) fn chunks<T: AsRef<[u32]>>(sequences: &[T]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut start, mut tokens) = (0, 0);
    for (at, ids) in sequences.iter().enumerate() {
        let length = ids.as_ref().len();
        if at > start && tokens + length > MAX_TOKENS {
            ranges.push(start..at);
            (start, tokens) = (at, 0);
        }
        tokens += length;
    }
    if start < sequences.len() {
        ranges.push(start..sequences.len());
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_bounded_and_whole() {
        let lengths = [10, 2_000, 900, 124, 1, 1];
        let sequences: Vec<Vec<u32>> = lengths.iter().map(|length| vec![0; *length]).collect();
        assert_eq!(chunks(&sequences), [0..1, 1..2, 2..4, 4..6]);
        assert!(chunks::<Vec<u32>>(&[]).is_empty());
    }
}
