//! Where each parameter of BERT's layers lies in one flat vector, and its Hugging Face name.
//!
//! One vector makes the optimiser, the sum of gradients and the checkpoint plain loops. Weights
//! are stored `(inputs, outputs)`, the transpose of the file's order, as the products read them;
//! query, key and value stand side by side as one matrix.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::encoder::weights::{WeightFile, WeightsError};

/// What shapes the layers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    /// Width of a token's vector.
    pub(super) hidden: usize,
    /// Width inside the feed-forward part.
    pub(super) inner: usize,
    /// Attention heads.
    pub(super) heads: usize,
    /// Number of layers.
    pub(super) layers: usize,
    /// Added to variances before their root.
    pub(super) epsilon: f32,
}

/// A weight and a bias, or the scale and shift of a layer norm.
#[derive(Debug)]
pub(super) struct Affine<T> {
    pub(super) weight: T,
    pub(super) bias: T,
}

/// The parameters of a layer, or their gradients.
#[derive(Debug)]
pub(super) struct Layer<T> {
    pub(super) query_key_value: Affine<T>,
    pub(super) attention: Affine<T>,
    pub(super) attention_norm: Affine<T>,
    pub(super) inner: Affine<T>,
    pub(super) output: Affine<T>,
    pub(super) output_norm: Affine<T>,
}

/// A run of parameters that the optimiser treats alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// Place in the flat vector.
    pub(super) range: Range<usize>,
    /// The layer they belong to.
    pub(super) layer: usize,
    /// True for the weights of linear layers, which decay.
    pub(super) decays: bool,
}

/// A tensor of the file and its place.
struct Slot {
    name: String,
    /// `(outputs, inputs)`, or `(outputs)`.
    shape: Vec<usize>,
    at: usize,
    stride: usize,
}

impl Shape {
    /// Lengths of weight and bias of the six parts, in order.
    fn parts(self) -> [(usize, usize); 6] {
        let (hidden, inner) = (self.hidden, self.inner);
        let norm = (hidden, hidden);
        [
            (3 * hidden * hidden, 3 * hidden),
            (hidden * hidden, hidden),
            norm,
            (hidden * inner, inner),
            (inner * hidden, hidden),
            norm,
        ]
    }

    /// Parameters of one layer.
    pub(super) fn layer_len(self) -> usize {
        self.parts().iter().map(|(weight, bias)| weight + bias).sum()
    }

    /// Layer `index` of a vector of whole layers.
    pub(super) fn layer(self, values: &[f32], index: usize) -> Layer<&[f32]> {
        let mut rest = &values[index * self.layer_len()..][..self.layer_len()];
        Layer::of(self.parts(), |length| {
            let (part, later) = rest.split_at(length);
            rest = later;
            part
        })
    }

    /// The same to write to.
    pub(super) fn layer_mut(self, values: &mut [f32], index: usize) -> Layer<&mut [f32]> {
        let mut rest = &mut values[index * self.layer_len()..][..self.layer_len()];
        Layer::of(self.parts(), |length| {
            let (part, later) = std::mem::take(&mut rest).split_at_mut(length);
            rest = later;
            part
        })
    }

    /// The segments of `layers` whole layers that begin with number `first`.
    pub(super) fn segments(self, first: usize) -> Vec<Segment> {
        let mut at = 0;
        let mut segments = Vec::new();
        for layer in first..self.layers {
            for (part, (weight, bias)) in self.parts().into_iter().enumerate() {
                let decays = part != 2 && part != 5;
                segments.push(Segment { range: at..at + weight, layer, decays });
                segments.push(Segment {
                    range: at + weight..at + weight + bias,
                    layer,
                    decays: false,
                });
                at += weight + bias;
            }
        }
        segments
    }

    fn slots(self, layer: usize) -> Vec<Slot> {
        let (hidden, inner) = (self.hidden, self.inner);
        let mut slots = Vec::new();
        let mut at = layer * self.layer_len();
        let mut add = |names: &[&str], inputs: Option<usize>, outputs: usize| {
            let stride = outputs * names.len();
            let weight = inputs.unwrap_or(1) * stride;
            for (index, name) in names.iter().enumerate() {
                let name = format!("encoder.layer.{layer}.{name}");
                let shape = inputs.map_or(vec![outputs], |inputs| vec![outputs, inputs]);
                let start = at + index * outputs;
                slots.push(Slot { name: format!("{name}.weight"), shape, at: start, stride });
                let bias = (format!("{name}.bias"), vec![outputs], at + weight + index * outputs);
                slots.push(Slot { name: bias.0, shape: bias.1, at: bias.2, stride });
            }
            at += weight + stride;
        };
        let qkv = ["attention.self.query", "attention.self.key", "attention.self.value"];
        add(&qkv, Some(hidden), hidden);
        add(&["attention.output.dense"], Some(hidden), hidden);
        add(&["attention.output.LayerNorm"], None, hidden);
        add(&["intermediate.dense"], Some(hidden), inner);
        add(&["output.dense"], Some(inner), hidden);
        add(&["output.LayerNorm"], None, hidden);
        slots
    }

    /// Reads all layers of a file.
    ///
    /// # Errors
    /// [`WeightsError`] when the file can't be read or does not fit.
    pub(super) fn read(self, file: &mut WeightFile) -> Result<Vec<f32>, WeightsError> {
        let prefix = prefix(file);
        let mut values = vec![0.0; self.layers * self.layer_len()];
        for slot in (0..self.layers).flat_map(|layer| self.slots(layer)) {
            let tensor = file.f32(&format!("{prefix}{}", slot.name), &slot.shape)?;
            slot.put(&tensor, &mut values);
        }
        Ok(values)
    }

    /// The tensors of all layers by name, in the file's order of values.
    pub(super) fn tensors(self, values: &[f32]) -> BTreeMap<String, Vec<f32>> {
        let slots = (0..self.layers).flat_map(|layer| self.slots(layer));
        slots.map(|slot| (slot.name.clone(), slot.get(values))).collect()
    }
}

/// What stands before the names in files of whole models.
fn prefix(file: &WeightFile) -> &'static str {
    if file.contains("bert.embeddings.word_embeddings.weight") { "bert." } else { "" }
}

impl Slot {
    fn sides(&self) -> (usize, usize) {
        (self.shape[0], self.shape.get(1).copied().unwrap_or(1))
    }

    fn put(&self, tensor: &[f32], values: &mut [f32]) {
        let (outputs, inputs) = self.sides();
        for input in 0..inputs {
            let row = &mut values[self.at + input * self.stride..][..outputs];
            for (output, value) in row.iter_mut().enumerate() {
                *value = tensor[output * inputs + input];
            }
        }
    }

    fn get(&self, values: &[f32]) -> Vec<f32> {
        let (outputs, inputs) = self.sides();
        let mut tensor = vec![0.0; outputs * inputs];
        for input in 0..inputs {
            let row = &values[self.at + input * self.stride..][..outputs];
            for (output, value) in row.iter().enumerate() {
                tensor[output * inputs + input] = *value;
            }
        }
        tensor
    }
}

impl<T> Layer<T> {
    /// The six parts in order.
    pub(super) fn parts(&self) -> [&Affine<T>; 6] {
        let Self { query_key_value, attention, attention_norm, inner, output, output_norm } = self;
        [query_key_value, attention, attention_norm, inner, output, output_norm]
    }

    /// The same by value.
    pub(super) fn into_parts(self) -> [Affine<T>; 6] {
        let Self { query_key_value, attention, attention_norm, inner, output, output_norm } = self;
        [query_key_value, attention, attention_norm, inner, output, output_norm]
    }

    fn of(parts: [(usize, usize); 6], mut take: impl FnMut(usize) -> T) -> Self {
        let mut parts = parts.into_iter();
        let mut next = || {
            let (weight, bias) = parts.next().expect("there are six parts");
            let weight = take(weight);
            Affine { weight, bias: take(bias) }
        };
        Self {
            query_key_value: next(),
            attention: next(),
            attention_norm: next(),
            inner: next(),
            output: next(),
            output_norm: next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_read_is_given_back_under_the_same_names() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-bert");
        let mut file = WeightFile::open(&folder.join("model.safetensors")).unwrap();
        let shape = Shape { hidden: 16, inner: 32, heads: 4, layers: 2, epsilon: 1e-12 };
        let values = shape.read(&mut file).unwrap();
        assert!(values.iter().all(|value| *value != 0.0), "a place that nothing was read into");
        let tensors = shape.tensors(&values);
        let known: Vec<(String, Vec<usize>)> =
            file.tensors().map(|(name, shape)| (name.to_owned(), shape.to_vec())).collect();
        let own: Vec<_> = known.iter().filter(|(name, _)| name.contains("layer.")).collect();
        assert_eq!(own.len(), tensors.len());
        for (name, shape) in own {
            assert_eq!(file.f32(name, shape).unwrap(), tensors[name.as_str()], "{name}");
        }
    }

    #[test]
    fn segments_cover_the_trainable_layers_and_only_linear_weights_decay() {
        let shape = Shape { hidden: 4, inner: 8, heads: 2, layers: 3, epsilon: 1e-12 };
        let segments = shape.segments(1);
        let mut end = 0;
        for segment in &segments {
            assert_eq!(segment.range.start, end);
            end = segment.range.end;
        }
        assert_eq!(end, 2 * shape.layer_len());
        let decaying: usize =
            segments.iter().filter(|one| one.decays).map(|one| one.range.len()).sum();
        assert_eq!(decaying, 2 * (4 * 4 * 4 + 2 * 4 * 8));
        assert_eq!((segments[0].layer, segments.last().map(|one| one.layer)), (1, Some(2)));
    }
}
