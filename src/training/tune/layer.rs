//! One transformer layer of BERT (<https://arxiv.org/abs/1810.04805>), forward and backward, over
//! packed rows: all tokens of a batch stand in one matrix without padding.
//!
//! The way back is written out: four products forward, eight backward, and loops between them. What
//! candle's automatic differentiation says to the same layer is compared in `composed.rs`.

use super::attention::Attention;
use super::dropout::Dropout;
use super::layout::{Layer, Shape};
use super::rows::{AddNorm, Masks, NormTape, add_bias, add_rows, gelu_backward, gelu_forward};
use crate::kernels::product::{Matrix, product};

/// Places of a layer where values are dropped.
const SITES: u32 = 3;

/// What all layers of a pass have in common.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) shape: Shape,
    /// Tokens of each sequence.
    pub(super) lengths: &'a [usize],
    /// The dropout key of each token.
    pub(super) tokens: &'a [u32],
    /// Dropout of what the linear layers put out.
    pub(super) dropout: Dropout,
    /// Dropout of attention probabilities.
    pub(super) attention_dropout: Dropout,
}

/// A layer at work.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    /// Its number, from 0.
    pub(super) index: usize,
    pub(super) weights: &'a Layer<&'a [f32]>,
    /// `(tokens, hidden)`.
    pub(super) input: &'a [f32],
}

/// What a layer keeps for its way back.
#[derive(Default)]
pub(super) struct Tape {
    query_key_value: Vec<f32>,
    probabilities: Vec<f32>,
    context: Vec<f32>,
    attention_norm: NormTape,
    /// Between the two halves, `(tokens, hidden)`.
    middle: Vec<f32>,
    /// Before GELU, `(tokens, inner)`.
    inner: Vec<f32>,
    /// After GELU.
    activated: Vec<f32>,
    output_norm: NormTape,
}

/// Room for what is not kept.
#[derive(Default)]
pub(super) struct Scratch {
    product: Vec<f32>,
    narrow: Vec<f32>,
    wide: Vec<f32>,
    d_qkv: Vec<f32>,
}

impl Pass<'_> {
    fn tokens(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn attention(&self, layer: usize) -> Attention<'_> {
        let masks = self.masks(self.attention_dropout, layer, 0);
        Attention {
            heads: self.shape.heads,
            hidden: self.shape.hidden,
            lengths: self.lengths,
            masks,
        }
    }

    /// Dropout at a place of a layer: 0 attention, 1 its output, 2 the layer's output.
    pub(super) fn masks(&self, dropout: Dropout, layer: usize, site: u32) -> Masks<'_> {
        // Site 0 of all is the place before the first layer.
        let site = 1 + layer as u32 * SITES + site;
        Masks { dropout, tokens: self.tokens, site }
    }

    /// Dropout of the embedding table's output.
    pub(super) fn input_masks(&self) -> Masks<'_> {
        Masks { dropout: self.dropout, tokens: self.tokens, site: 0 }
    }

    /// The output of a layer.
    pub(super) fn forward(
        &self,
        step: Step<'_>,
        room: (&mut Tape, &mut Scratch),
        out: &mut Vec<f32>,
    ) {
        let Step { index, weights, input } = step;
        let Shape { hidden, inner, epsilon, .. } = self.shape;
        let tokens = self.tokens();
        let (tape, scratch) = room;
        let qkv = sized(&mut tape.query_key_value, tokens * 3 * hidden);
        linear(input, weights.query_key_value.weight, hidden, qkv);
        add_bias(qkv, weights.query_key_value.bias);
        let context = sized(&mut tape.context, tokens * hidden);
        self.attention(index).forward(qkv, &mut tape.probabilities, context);

        let work = sized(&mut scratch.product, tokens * hidden);
        linear(context, weights.attention.weight, hidden, work);
        let middle = sized(&mut tape.middle, tokens * hidden);
        let step = AddNorm {
            bias: weights.attention.bias,
            masks: self.masks(self.dropout, index, 1),
            residual: input,
            norm: &weights.attention_norm,
            epsilon,
        };
        step.forward(work, &mut tape.attention_norm, middle);

        let wide = sized(&mut tape.inner, tokens * inner);
        linear(middle, weights.inner.weight, hidden, wide);
        let activated = sized(&mut tape.activated, tokens * inner);
        gelu_forward(wide, weights.inner.bias, activated);
        linear(activated, weights.output.weight, inner, work);
        let step = AddNorm {
            bias: weights.output.bias,
            masks: self.masks(self.dropout, index, 2),
            residual: middle,
            norm: &weights.output_norm,
            epsilon,
        };
        step.forward(work, &mut tape.output_norm, sized(out, tokens * hidden));
    }

    /// The way back: `d` is the gradient of the output and becomes that of the input. Gradients of
    /// the parameters are written to `gradients`, or added with `add`.
    pub(super) fn backward(
        &self,
        step: Step<'_>,
        room: (&Tape, &mut Scratch),
        gradients: (&mut Layer<&mut [f32]>, bool),
        d: &mut [f32],
    ) {
        let Step { index, weights, input } = step;
        let Shape { hidden, inner, epsilon, .. } = self.shape;
        let tokens = self.tokens();
        let (tape, scratch) = room;
        let (gradients, add) = gradients;
        if !add {
            gradients.clear_vectors();
        }
        // The feed-forward half.
        let narrow = sized(&mut scratch.narrow, tokens * hidden);
        let step = AddNorm {
            bias: weights.output.bias,
            masks: self.masks(self.dropout, index, 2),
            residual: &tape.middle,
            norm: &weights.output_norm,
            epsilon,
        };
        let norm = &mut gradients.output_norm;
        step.backward(&tape.output_norm, d, narrow, gradients.output.bias, norm);
        weight_gradient(&tape.activated, narrow, (inner, hidden), add, gradients.output.weight);
        let wide = sized(&mut scratch.wide, tokens * inner);
        input_gradient(narrow, weights.output.weight, hidden, false, wide);
        gelu_backward(&tape.inner, wide, gradients.inner.bias);
        weight_gradient(&tape.middle, wide, (hidden, inner), add, gradients.inner.weight);
        input_gradient(wide, weights.inner.weight, inner, true, d);
        // The attention half.
        let step = AddNorm {
            bias: weights.attention.bias,
            masks: self.masks(self.dropout, index, 1),
            residual: input,
            norm: &weights.attention_norm,
            epsilon,
        };
        let norm = &mut gradients.attention_norm;
        step.backward(&tape.attention_norm, d, narrow, gradients.attention.bias, norm);
        let sides = (hidden, hidden);
        weight_gradient(&tape.context, narrow, sides, add, gradients.attention.weight);
        let d_context = sized(&mut scratch.product, tokens * hidden);
        input_gradient(narrow, weights.attention.weight, hidden, false, d_context);
        let d_qkv = sized(&mut scratch.d_qkv, tokens * 3 * hidden);
        let kept = &tape.probabilities;
        self.attention(index).backward(&tape.query_key_value, kept, d_context, d_qkv);
        add_rows(d_qkv, gradients.query_key_value.bias);
        let sides = (hidden, 3 * hidden);
        weight_gradient(input, d_qkv, sides, add, gradients.query_key_value.weight);
        input_gradient(d_qkv, weights.query_key_value.weight, 3 * hidden, true, d);
    }
}

impl Layer<&mut [f32]> {
    /// Sets the gradients of biases and norms to zero: these are always added to.
    fn clear_vectors(&mut self) {
        self.attention_norm.weight.fill(0.0);
        self.output_norm.weight.fill(0.0);
        for part in [
            &mut self.query_key_value,
            &mut self.attention,
            &mut self.attention_norm,
            &mut self.inner,
            &mut self.output,
            &mut self.output_norm,
        ] {
            part.bias.fill(0.0);
        }
    }
}

/// `out = rows · weight`; `weight` is `(inputs, outputs)`.
fn linear(rows: &[f32], weight: &[f32], inputs: usize, out: &mut [f32]) {
    let outputs = weight.len() / inputs;
    product(Matrix::new(rows, inputs), Matrix::new(weight, outputs), false, out);
}

/// `out = d · weightᵀ`, or added.
fn input_gradient(d: &[f32], weight: &[f32], outputs: usize, add: bool, out: &mut [f32]) {
    product(Matrix::new(d, outputs), Matrix::new(weight, outputs).transposed(), add, out);
}

/// `out = rowsᵀ · d`, or added.
fn weight_gradient(rows: &[f32], d: &[f32], sides: (usize, usize), add: bool, out: &mut [f32]) {
    let (inputs, outputs) = sides;
    product(Matrix::new(rows, inputs).transposed(), Matrix::new(d, outputs), add, out);
}

/// `buffer` at this length; what it holds is to be overwritten.
pub(super) fn sized(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    buffer.resize(length, 0.0);
    buffer
}
