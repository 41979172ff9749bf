//! The same layers in candle's own operations with its automatic differentiation.
//!
//! What the hand-written way back is tested against, and what runs on devices other than the CPU,
//! where plain loops cannot. Sequences are padded to the longest; what is dropped is the same.

use candle_core::{D, Device, Result, Tensor, Var};

use super::dropout::Dropout;
use super::layer::Pass;
use super::layout::{Affine, Layer};
use super::rows::Masks;
use crate::encoder::Pooling;

/// Added to the scores of padding before the softmax.
const PADDING: f32 = -1e9;

/// A batch on a device.
pub(super) struct Composed<'a> {
    pub(super) pass: Pass<'a>,
    pub(super) pooling: Pooling,
    /// Number of the first trainable layer.
    pub(super) first: usize,
    /// Dropout of the input, when the lowest layer is trained.
    pub(super) drops_input: bool,
    pub(super) device: &'a Device,
}

/// Embeddings that remember how they came to be.
pub(super) struct Graph {
    layers: Vec<Layer<Var>>,
    /// `(sequences, hidden)`, unit-norm.
    pub(super) embeddings: Tensor,
}

impl Composed<'_> {
    fn longest(&self) -> usize {
        self.pass.lengths.iter().copied().max().unwrap_or(0)
    }

    /// Packed rows of `width` values as `(sequences, longest, width)`, the rest filled with `fill`.
    fn padded(&self, rows: &[f32], width: usize, fill: f32) -> Result<Tensor> {
        let (count, longest) = (self.pass.lengths.len(), self.longest());
        let mut out = vec![fill; count * longest * width];
        let mut rest = rows;
        for (own, length) in out.chunks_exact_mut(longest * width).zip(self.pass.lengths) {
            let (row, later) = rest.split_at(length * width);
            own[..row.len()].copy_from_slice(row);
            rest = later;
        }
        Tensor::from_vec(out, (count, longest, width), self.device)
    }

    /// The factors of dropout at a place, `(sequences, longest, hidden)`.
    fn factors(&self, masks: Masks<'_>) -> Result<Tensor> {
        let width = self.pass.shape.hidden;
        let mut rows = vec![1.0; self.pass.tokens.len() * width];
        masks.apply(&mut rows, width);
        self.padded(&rows, width, 0.0)
    }

    /// The factors of attention dropout, `(sequences, heads, longest, longest)`.
    fn attention_factors(&self, masks: Masks<'_>) -> Result<Tensor> {
        let (heads, longest) = (self.pass.shape.heads, self.longest());
        let mut out = vec![0.0; self.pass.lengths.len() * heads * longest * longest];
        let mut token = 0;
        for (sequence, length) in self.pass.lengths.iter().enumerate() {
            for row in 0..*length {
                for head in 0..heads {
                    let at = ((sequence * heads + head) * longest + row) * longest;
                    masks.fill_from(token, head * length, &mut out[at..at + length]);
                }
                token += 1;
            }
        }
        let shape = (self.pass.lengths.len(), heads, longest, longest);
        Tensor::from_vec(out, shape, self.device)
    }

    /// Embeddings of the batch whose packed input is `rows`.
    ///
    /// # Errors
    /// When candle or the device fails.
    pub(super) fn forward(&self, trained: &[f32], rows: &[f32]) -> Result<Graph> {
        let shape = self.pass.shape;
        let padding: Vec<f32> = vec![0.0; self.pass.tokens.len()];
        let (count, longest) = (self.pass.lengths.len(), self.longest());
        let mask = self.padded(&padding, 1, PADDING)?.reshape((count, 1, 1, longest))?;
        let mut x = self.padded(rows, shape.hidden, 0.0)?;
        if self.drops_input {
            x = (x * self.factors(self.pass.input_masks())?)?;
        }
        let mut layers = Vec::new();
        for index in 0..shape.layers - self.first {
            let layer = self.variables(&shape.layer(trained, index))?;
            x = self.layer(self.first + index, &layer, &x, &mask)?;
            layers.push(layer);
        }
        let pooled = match self.pooling {
            Pooling::Cls => x.narrow(1, 0, 1)?.squeeze(1)?,
            Pooling::Mean => {
                let ones = vec![1.0; self.pass.tokens.len()];
                let own = self.padded(&ones, 1, 0.0)?;
                let sums = x.broadcast_mul(&own)?.sum(1)?;
                sums.broadcast_div(&own.sum(1)?)?
            }
        };
        let norms = pooled.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
        Ok(Graph { layers, embeddings: pooled.broadcast_div(&norms)? })
    }

    fn variables(&self, layer: &Layer<&[f32]>) -> Result<Layer<Var>> {
        let part = |part: &Affine<&[f32]>| -> Result<Affine<Var>> {
            let (values, outputs) = (part.weight, part.bias.len());
            let weight = if values.len() == outputs {
                Tensor::from_slice(values, outputs, self.device)?
            } else {
                Tensor::from_slice(values, (values.len() / outputs, outputs), self.device)?
            };
            let bias = Tensor::from_slice(part.bias, outputs, self.device)?;
            Ok(Affine { weight: Var::from_tensor(&weight)?, bias: Var::from_tensor(&bias)? })
        };
        Ok(Layer {
            query_key_value: part(&layer.query_key_value)?,
            attention: part(&layer.attention)?,
            attention_norm: part(&layer.attention_norm)?,
            inner: part(&layer.inner)?,
            output: part(&layer.output)?,
            output_norm: part(&layer.output_norm)?,
        })
    }

    fn layer(&self, index: usize, layer: &Layer<Var>, x: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let (count, longest, hidden) = x.dims3()?;
        let heads = self.pass.shape.heads;
        let width = hidden / heads;
        let dropout = (self.pass.dropout, self.pass.attention_dropout);
        // (sequences, longest, 3, heads, width) to three (sequences, heads, longest, width).
        let qkv = linear(x, &layer.query_key_value)?.reshape((count, longest, 3, heads, width))?;
        let part = |which| qkv.narrow(2, which, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
        let (query, key, value): (Tensor, Tensor, Tensor) = (part(0)?, part(1)?, part(2)?);
        let scores = (query.matmul(&key.t()?)? * (1.0 / (width as f64).sqrt()))?;
        let mut shares = softmax(&scores.broadcast_add(mask)?)?;
        if dropout.1 != Dropout::off() {
            let masks = self.pass.masks(dropout.1, index, 0);
            shares = (shares * self.attention_factors(masks)?)?;
        }
        let context = shares.matmul(&value)?.transpose(1, 2)?.reshape((count, longest, hidden))?;
        let dropped = |out: Tensor, site| -> Result<Tensor> {
            if dropout.0 == Dropout::off() {
                return Ok(out);
            }
            out * self.factors(self.pass.masks(dropout.0, index, site))?
        };
        let out = dropped(linear(&context, &layer.attention)?, 1)?;
        let middle = self.norm(&(out + x)?, &layer.attention_norm)?;
        let inner = linear(&middle, &layer.inner)?.gelu_erf()?;
        let out = dropped(linear(&inner, &layer.output)?, 2)?;
        self.norm(&(out + middle)?, &layer.output_norm)
    }

    fn norm(&self, x: &Tensor, norm: &Affine<Var>) -> Result<Tensor> {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let deviation = (variance + f64::from(self.pass.shape.epsilon))?.sqrt()?;
        let normalized = centred.broadcast_div(&deviation)?;
        normalized.broadcast_mul(&norm.weight)?.broadcast_add(&norm.bias)
    }
}

impl Graph {
    /// Adds to `gradients`, laid out as the trainable layers, from the gradient of the embeddings.
    ///
    /// # Errors
    /// When candle or the device fails.
    pub(super) fn backward(
        &self,
        pass: &Pass<'_>,
        d_embeddings: &[f32],
        gradients: &mut [f32],
    ) -> Result<()> {
        let d = Tensor::from_slice(d_embeddings, self.embeddings.dims(), self.embeddings.device())?;
        let found = (&self.embeddings * d)?.sum_all()?.backward()?;
        let add = |var: &Var, out: &mut [f32]| -> Result<()> {
            let Some(gradient) = found.get(var) else { return Ok(()) };
            let values = gradient.flatten_all()?.to_vec1::<f32>()?;
            out.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            Ok(())
        };
        for (index, layer) in self.layers.iter().enumerate() {
            let out = pass.shape.layer_mut(gradients, index);
            for (var, out) in layer.parts().into_iter().zip(out.into_parts()) {
                add(&var.weight, out.weight)?;
                add(&var.bias, out.bias)?;
            }
        }
        Ok(())
    }
}

fn linear(x: &Tensor, part: &Affine<Var>) -> Result<Tensor> {
    let (count, longest, inputs) = x.dims3()?;
    let rows = x.reshape((count * longest, inputs))?.matmul(&part.weight)?;
    rows.broadcast_add(&part.bias)?.reshape((count, longest, ()))
}

/// Softmax over the last dimension, in operations that can be differentiated.
fn softmax(x: &Tensor) -> Result<Tensor> {
    let max = x.max_keepdim(D::Minus1)?.detach();
    let powers = x.broadcast_sub(&max)?.exp()?;
    powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::encoder::{Encoder, ModelSpec, SentenceEncoder};
    use crate::training::tune::network::{Chunk, Network, Rates, Worker};
    use crate::training::tune::random::Random;

    fn tiny(pooling: Pooling) -> (ModelSpec, SentenceEncoder) {
        let spec = ModelSpec {
            name: "tiny".to_owned(),
            dir: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-bert"),
            sha256: "tiny".to_owned(),
            pooling,
            query_prefix: String::new(),
            max_tokens: 32,
            tuned: false,
        };
        let encoder = SentenceEncoder::load(&spec).unwrap();
        (spec, encoder)
    }

    const TEXTS: [&str; 4] = ["我的快递怎么还没到", "退款", "ab ba, a?", "query: 我的 退款 ab"];

    #[test]
    fn without_dropout_embeddings_are_those_of_the_encoder() {
        for pooling in [Pooling::Mean, Pooling::Cls] {
            let (spec, encoder) = tiny(pooling);
            let expected = encoder.encode(&TEXTS).unwrap();
            for first in [0, 1, 2] {
                let rates = Rates { hidden: 0.5, attention: 0.5 };
                let (network, trained) = Network::load(&encoder, &spec, first, rates).unwrap();
                let found = network.encode(&trained, &TEXTS, &mut Worker::default()).unwrap();
                for (a, b) in found.iter().zip(expected.values()) {
                    assert!((a - b).abs() < 1e-5, "{pooling:?} {first}: {a} {b}");
                }
            }
        }
    }

    #[test]
    fn the_way_back_is_that_of_automatic_differentiation() {
        for (pooling, first, rate) in [
            (Pooling::Mean, 0, 0.0),
            (Pooling::Cls, 0, 0.0),
            (Pooling::Mean, 1, 0.0),
            (Pooling::Mean, 0, 0.2),
            (Pooling::Cls, 1, 0.2),
        ] {
            let (spec, encoder) = tiny(pooling);
            let rates = Rates { hidden: rate, attention: rate };
            let (network, trained) = Network::load(&encoder, &spec, first, rates).unwrap();
            let ids = TEXTS.map(|text| encoder.token_ids(text).unwrap());
            let chunk = || Chunk {
                ids: ids.iter().map(Vec::as_slice).collect(),
                kept: None,
                keys: (rate > 0.0).then(|| vec![11, 12, 13, 14]),
            };
            let d = Random::new(5).values(TEXTS.len() * 16, 1.0);

            let mut worker = Worker::default();
            let embeddings = network.forward(&trained, &chunk(), &mut worker).unwrap().to_vec();
            let mut gradients = vec![7.0; trained.len()];
            network.backward(&trained, &d, (&mut gradients, false), &mut worker, rate > 0.0);

            let mut expected = vec![0.0; trained.len()];
            let slow = network.composed(
                &trained,
                &chunk(),
                (&mut Worker::default(), &Device::Cpu),
                |found| {
                    for (a, b) in embeddings.iter().zip(found) {
                        assert!((a - b).abs() < 1e-5, "{pooling:?} {first} {rate}: {a} {b}");
                    }
                    d.clone()
                },
                &mut expected,
            );
            slow.unwrap();
            let largest = expected.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
            assert!(largest > 1e-2, "a gradient that says nothing");
            for (place, (a, b)) in gradients.iter().zip(&expected).enumerate() {
                assert!(
                    (a - b).abs() < 1e-4 * largest.max(1.0),
                    "{pooling:?} {first} {rate}: {place} of {}: {a} {b}",
                    gradients.len()
                );
            }

            // Added on top, everything doubles.
            network.backward(&trained, &d, (&mut gradients, true), &mut worker, rate > 0.0);
            for (a, b) in gradients.iter().zip(&expected) {
                assert!((a - 2.0 * b).abs() < 2e-4 * largest.max(1.0), "{a} {b}");
            }
        }
    }
}
