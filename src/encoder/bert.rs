//! BERT's forward pass (<https://arxiv.org/abs/1810.04805>) over packed rows.
//!
//! All tokens of all sequences stand in one `(tokens, hidden)` matrix without padding: the linear
//! layers run once over it, attention runs per sequence. candle supplies tensors and matrix
//! products; what lies between is in [`super::rowwise`]. Knows nothing of text or of threads: the
//! caller decides where it runs.

use candle_core::{CpuStorage, D, Device, Result, Storage, Tensor, bail};
use half::f16;
use half::slice::HalfFloatSliceExt;
use serde::Deserialize;

use super::rowwise::{AddBias, AddBiasGelu, AddLayerNorm, LayerNorm, ScaledSoftmax, attend_short};
use super::weights::{Dtype, WeightFile, WeightsError};

/// Up to this many tokens, attention in plain loops beats candle's products: each of those asks the
/// system for its number of cores again, which on Linux means reading `/proc/cpuinfo`.
const SHORT_SEQUENCE: usize = 64;

/// The fields of Hugging Face's `config.json` that shape a BERT encoder.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct BertConfig {
    /// Rows of the word table.
    pub(crate) vocab_size: usize,
    /// Width of a token's vector.
    pub(crate) hidden_size: usize,
    /// Number of layers.
    pub(crate) num_hidden_layers: usize,
    /// Attention heads a layer.
    pub(crate) num_attention_heads: usize,
    /// Width inside the feed-forward part.
    pub(crate) intermediate_size: usize,
    /// Rows of the position table: no sequence may be longer.
    pub(crate) max_position_embeddings: usize,
    /// Rows of the segment table; a sentence is segment 0.
    pub(crate) type_vocab_size: usize,
    /// Epsilon of the layer normalisations.
    pub(crate) layer_norm_eps: f32,
    /// Activation; only `gelu` (by the error function) is supported.
    pub(crate) hidden_act: String,
    /// Architecture; only `bert` is supported.
    pub(crate) model_type: String,
    /// Only `absolute` is supported, which is also the default.
    #[serde(default)]
    pub(crate) position_embedding_type: Option<String>,
}

impl BertConfig {
    /// What makes this config one that we can't run, if anything.
    pub(super) fn unsupported(&self) -> Option<String> {
        if self.model_type != "bert" {
            return Some(format!("model_type is {}, only bert is supported", self.model_type));
        }
        if self.hidden_act != "gelu" {
            return Some(format!("hidden_act is {}, only gelu is supported", self.hidden_act));
        }
        match self.position_embedding_type.as_deref() {
            None | Some("absolute") => {}
            Some(kind) => {
                return Some(format!(
                    "position_embedding_type is {kind}, only absolute is supported"
                ));
            }
        }
        let sides = [self.vocab_size, self.hidden_size, self.num_attention_heads];
        if sides.contains(&0) || !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Some("hidden_size is not a multiple of num_attention_heads".to_owned());
        }
        (self.max_position_embeddings < 3 || self.type_vocab_size == 0)
            .then(|| "max_position_embeddings or type_vocab_size is too small".to_owned())
    }
}

/// A loaded BERT encoder.
pub(super) struct Bert {
    config: BertConfig,
    words: WordTable,
    /// Position plus segment-0 vectors, `(max_position_embeddings, hidden)` row-major.
    positions: Vec<f32>,
    norm: LayerNorm,
    layers: Vec<Layer>,
}

/// The word embedding table as it lies in the file; rows are widened when they are looked up.
struct WordTable {
    dtype: Dtype,
    raw: Vec<u8>,
    rows: usize,
}

struct Layer {
    query_key_value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
}

/// `x * weight + bias`; the weight is stored `(inputs, outputs)`, which spares `gemm` from
/// repacking it on every call.
struct Linear {
    weight: Tensor,
    bias: Vec<f32>,
}

impl Bert {
    /// Loads the weights, one tensor at a time.
    ///
    /// # Errors
    /// [`WeightsError`] when the file can't be read or does not fit `config`.
    pub(super) fn load(
        config: BertConfig,
        file: &mut WeightFile,
    ) -> std::result::Result<Self, WeightsError> {
        let prefix =
            if file.contains("bert.embeddings.word_embeddings.weight") { "bert." } else { "" };
        let mut loader = Loader { file, prefix: prefix.to_owned() };
        let hidden = config.hidden_size;
        let name = loader.name("embeddings.word_embeddings.weight");
        let (dtype, raw) = loader.file.raw(&name, &[config.vocab_size, hidden])?;
        let words = WordTable { dtype, raw, rows: config.vocab_size };
        let shape = [config.max_position_embeddings, hidden];
        let mut positions = loader.values("embeddings.position_embeddings.weight", &shape)?;
        let shape = [config.type_vocab_size, hidden];
        let segments = loader.values("embeddings.token_type_embeddings.weight", &shape)?;
        for row in positions.chunks_exact_mut(hidden) {
            for (x, segment) in row.iter_mut().zip(&segments) {
                *x += segment;
            }
        }
        let norm = loader.norm("embeddings.LayerNorm", &config)?;
        let layers = (0..config.num_hidden_layers)
            .map(|index| loader.layer(index, &config))
            .collect::<std::result::Result<_, _>>()?;
        Ok(Self { config, words, positions, norm, layers })
    }

    /// The config the weights were loaded for.
    pub(super) fn config(&self) -> &BertConfig {
        &self.config
    }

    /// Last hidden states of all `sequences` of token ids, packed: `(sum of lengths, hidden)`.
    ///
    /// # Errors
    /// When an id lies outside the vocabulary, a sequence is empty or longer than
    /// `max_position_embeddings`, or candle fails.
    pub(super) fn forward(&self, sequences: &[&[u32]]) -> Result<Tensor> {
        let lengths: Vec<usize> = sequences.iter().map(|ids| ids.len()).collect();
        let rows = self.embed(sequences)?;
        let tokens = lengths.iter().sum::<usize>();
        let mut x = Tensor::from_vec(rows, (tokens, self.config.hidden_size), &Device::Cpu)?;
        for layer in &self.layers {
            let qkv = layer.query_key_value.product(&x)?;
            qkv.inplace_op1(&AddBias(&layer.query_key_value.bias))?;
            let context = self.attend(&qkv, &lengths)?;
            x = layer.attention_output.product_norm(&context, &x, &layer.attention_norm)?;
            let inner = layer.intermediate.product(&x)?;
            inner.inplace_op1(&AddBiasGelu(&layer.intermediate.bias))?;
            x = layer.output.product_norm(&inner, &x, &layer.output_norm)?;
        }
        Ok(x)
    }

    /// What goes into the first layer: `(sum of lengths, hidden)`, row-major.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub(super) fn embed(&self, sequences: &[&[u32]]) -> Result<Vec<f32>> {
        let hidden = self.config.hidden_size;
        let tokens: usize = sequences.iter().map(|ids| ids.len()).sum();
        let mut rows = vec![0_f32; tokens * hidden];
        let mut out = rows.chunks_exact_mut(hidden);
        for ids in sequences {
            if ids.is_empty() || ids.len() > self.config.max_position_embeddings {
                bail!("a sequence of {} tokens does not fit the model", ids.len());
            }
            for ((id, position), row) in
                ids.iter().zip(self.positions.chunks_exact(hidden)).zip(&mut out)
            {
                self.words.read_row(*id, row)?;
                for (x, around) in row.iter_mut().zip(position) {
                    *x += around;
                }
                self.norm.apply(row);
            }
        }
        Ok(rows)
    }

    /// Multi-head attention within each sequence: `(tokens, 3 * hidden)` to `(tokens, hidden)`.
    fn attend(&self, qkv: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let hidden = self.config.hidden_size;
        let tokens = lengths.iter().sum::<usize>();
        let mut context = vec![0_f32; tokens * hidden];
        let mut start = 0;
        for &length in lengths {
            let out = &mut context[start * hidden..(start + length) * hidden];
            if length <= SHORT_SEQUENCE {
                let heads = self.config.num_attention_heads;
                with_values(&qkv.narrow(0, start, length)?, |rows| {
                    attend_short(rows, heads, hidden, out);
                    Ok(())
                })?;
            } else {
                with_values(&self.attend_long(&qkv.narrow(0, start, length)?)?, |rows| {
                    out.copy_from_slice(rows);
                    Ok(())
                })?;
            }
            start += length;
        }
        Tensor::from_vec(context, (tokens, hidden), &Device::Cpu)
    }

    /// Attention of one sequence by matrix products: `(length, 3 * hidden)` to `(length, hidden)`.
    fn attend_long(&self, qkv: &Tensor) -> Result<Tensor> {
        let heads = self.config.num_attention_heads;
        let hidden = self.config.hidden_size;
        let (length, width) = (qkv.dim(0)?, hidden / heads);
        // Views only: (length, 3, heads, width) to three (heads, length, width).
        let block = qkv.reshape((length, 3, heads, width))?;
        let part = |index| block.narrow(1, index, 1)?.squeeze(1)?.transpose(0, 1);
        let (query, key, value): (Tensor, Tensor, Tensor) = (part(0)?, part(1)?, part(2)?);
        let scores = query.matmul(&key.transpose(D::Minus1, D::Minus2)?)?;
        let scale = 1.0 / (width as f32).sqrt();
        scores.inplace_op1(&ScaledSoftmax { scale, width: length })?;
        scores.matmul(&value)?.transpose(0, 1)?.reshape((length, hidden))
    }
}

impl WordTable {
    fn read_row(&self, id: u32, row: &mut [f32]) -> Result<()> {
        let id = id as usize;
        if id >= self.rows {
            bail!("token id {id} lies outside the vocabulary of {}", self.rows);
        }
        let bytes = row.len() * self.dtype.bytes();
        let raw = &self.raw[id * bytes..(id + 1) * bytes];
        match self.dtype {
            Dtype::F32 => {
                for (x, word) in row.iter_mut().zip(raw.as_chunks::<4>().0) {
                    *x = f32::from_le_bytes(*word);
                }
            }
            Dtype::F16 => {
                let words = raw.as_chunks::<2>().0.iter();
                let half: Vec<f16> = words.map(|word| f16::from_le_bytes(*word)).collect();
                half.convert_to_f32_slice(row);
            }
        }
        Ok(())
    }
}

impl Linear {
    fn product(&self, x: &Tensor) -> Result<Tensor> {
        x.matmul(&self.weight)
    }

    /// `layer_norm(x * weight + bias + residual)`.
    fn product_norm(&self, x: &Tensor, residual: &Tensor, norm: &LayerNorm) -> Result<Tensor> {
        let out = self.product(x)?;
        with_values(residual, |residual| {
            out.inplace_op1(&AddLayerNorm { residual, bias: &self.bias, norm })
        })?;
        Ok(out)
    }
}

/// Calls `f` with the values of a contiguous `f32` tensor, row-major, without copying them.
pub(crate) fn with_values<T>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => f(&values[start..end]),
        _ => bail!("expected a contiguous f32 tensor in main memory"),
    }
}

/// Reads tensors by the names that Hugging Face's `BertModel` gives them.
struct Loader<'a> {
    file: &'a mut WeightFile,
    prefix: String,
}

impl Loader<'_> {
    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn values(
        &mut self,
        name: &str,
        shape: &[usize],
    ) -> std::result::Result<Vec<f32>, WeightsError> {
        let name = self.name(name);
        self.file.f32(&name, shape)
    }

    fn norm(
        &mut self,
        name: &str,
        config: &BertConfig,
    ) -> std::result::Result<LayerNorm, WeightsError> {
        let shape = [config.hidden_size];
        Ok(LayerNorm {
            weight: self.values(&format!("{name}.weight"), &shape)?,
            bias: self.values(&format!("{name}.bias"), &shape)?,
            epsilon: config.layer_norm_eps,
        })
    }

    /// Several linear layers of the same `(outputs, inputs)` shape side by side as one.
    fn linear(
        &mut self,
        names: &[String],
        shape: [usize; 2],
    ) -> std::result::Result<Linear, WeightsError> {
        let [outputs, inputs] = shape;
        let width = outputs * names.len();
        let mut weight = vec![0_f32; inputs * width];
        let mut bias = Vec::with_capacity(width);
        for (index, name) in names.iter().enumerate() {
            let part = self.values(&format!("{name}.weight"), &shape)?;
            transpose_into(&part, shape, &mut weight[index * outputs..], width);
            bias.extend(self.values(&format!("{name}.bias"), &[outputs])?);
        }
        let weight = Tensor::from_vec(weight, (inputs, width), &Device::Cpu)
            .expect("the buffer was made for this shape");
        Ok(Linear { weight, bias })
    }

    fn layer(
        &mut self,
        index: usize,
        config: &BertConfig,
    ) -> std::result::Result<Layer, WeightsError> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let name = |part: &str| format!("encoder.layer.{index}.{part}");
        let qkv = ["query", "key", "value"].map(|part| name(&format!("attention.self.{part}")));
        Ok(Layer {
            query_key_value: self.linear(&qkv, [hidden, hidden])?,
            attention_output: self.linear(&[name("attention.output.dense")], [hidden, hidden])?,
            attention_norm: self.norm(&name("attention.output.LayerNorm"), config)?,
            intermediate: self.linear(&[name("intermediate.dense")], [inner, hidden])?,
            output: self.linear(&[name("output.dense")], [hidden, inner])?,
            output_norm: self.norm(&name("output.LayerNorm"), config)?,
        })
    }
}

/// Writes the transpose of `from` (`shape` rows by columns) to `to`, whose rows are `stride` long.
fn transpose_into(from: &[f32], shape: [usize; 2], to: &mut [f32], stride: usize) {
    /// A tile of both sides fits the first-level cache.
    const TILE: usize = 32;
    let [rows, columns] = shape;
    for row_tile in (0..rows).step_by(TILE) {
        for column_tile in (0..columns).step_by(TILE) {
            for column in column_tile..(column_tile + TILE).min(columns) {
                for row in row_tile..(row_tile + TILE).min(rows) {
                    to[column * stride + row] = from[row * columns + column];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_attention_agree() {
        let (length, hidden) = (13, 16);
        let mut state = 7_u32;
        let mut draw = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let rows: Vec<f32> = (0..length * 3 * hidden).map(|_| 3.0 * draw()).collect();
        let qkv = Tensor::from_vec(rows.clone(), (length, 3 * hidden), &Device::Cpu).unwrap();
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-bert");
        let config = std::fs::read(folder.join("config.json")).unwrap();
        let mut file = WeightFile::open(&folder.join("model.safetensors")).unwrap();
        let bert = Bert::load(serde_json::from_slice(&config).unwrap(), &mut file).unwrap();
        let mut short = vec![0.0; length * hidden];
        attend_short(&rows, bert.config.num_attention_heads, hidden, &mut short);
        with_values(&bert.attend_long(&qkv).unwrap(), |long| {
            for (a, b) in short.iter().zip(long) {
                assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
            Ok(())
        })
        .unwrap();
    }
}
