//! The numbers of a model as one safetensors file.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::encoder::Embeddings;
use crate::intent::evidence::{Heads, Negatives};
use crate::intent::head::LinearHead;
use crate::intent::lexical::Vocabulary;
use crate::intent::whitening::Whitening;

/// Everything but the vocabulary's words and the calibration.
pub(super) struct Weights {
    pub(super) embeddings: Embeddings,
    pub(super) vectors: Embeddings,
    pub(super) heads: Heads,
}

/// Serialises; little-endian f32 (safetensors' format).
pub(super) fn to_bytes(embeddings: &Embeddings, vectors: &Embeddings, heads: &Heads) -> Vec<u8> {
    let dimension = embeddings.dimension();
    let intents = heads.intents();
    let negatives: Vec<f32> = heads.negatives.intents.iter().map(|&id| id as f32).collect();
    let parts: [(&str, &[f32], usize); 13] = [
        ("embeddings", embeddings.values(), dimension),
        ("vectors", vectors.values(), dimension),
        ("whitening.mean", heads.whitening.mean(), dimension),
        ("whitening.inverse", heads.whitening.inverse(), dimension),
        ("class_means", &heads.class_means, dimension),
        ("negatives.vectors", &heads.negatives.vectors, dimension),
        ("negatives.intents", &negatives, 1),
        ("dense.weights", heads.dense.weights(), intents),
        ("dense.bias", heads.dense.bias(), intents),
        ("lexical.weights", heads.lexical.weights(), intents),
        ("lexical.bias", heads.lexical.bias(), intents),
        ("scope.weights", heads.scope.weights(), 1),
        ("scope.bias", heads.scope.bias(), 1),
    ];
    let bytes: Vec<(&str, Vec<u8>, Vec<usize>)> = parts
        .into_iter()
        .map(|(name, values, width)| {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (name, bytes, vec![values.len() / width, width])
        })
        .collect();
    let views = bytes.iter().map(|(name, bytes, shape)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes)
            .expect("each part's bytes are four for each of its values");
        (*name, view)
    });
    safetensors::serialize(views, None).expect("the names are distinct and the sizes fit")
}

/// Reads what [`to_bytes`] wrote; the error says what does not fit.
pub(super) fn from_bytes(bytes: &[u8], vocabulary: Vocabulary) -> Result<Weights, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let mut parts: HashMap<String, (Vec<f32>, usize)> = HashMap::new();
    for (name, view) in file.tensors() {
        let [_, width] = view.shape() else { return Err(format!("{name} is no matrix")) };
        if view.dtype() != Dtype::F32 {
            return Err(format!("{name} is not f32"));
        }
        let (values, _) = view.data().as_chunks::<4>();
        let values = values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        parts.insert(name, (values, *width));
    }
    let mut take = |name: &str| parts.remove(name).ok_or_else(|| format!("{name} is missing"));
    let (embeddings, dimension) = take("embeddings")?;
    if dimension == 0 {
        return Err("the embeddings are empty".to_owned());
    }
    let mut of = |name: &'static str, wanted: usize| {
        let (values, width) = take(name)?;
        if width == wanted { Ok(values) } else { Err(format!("{name} has width {width}")) }
    };
    let vectors = of("vectors", dimension)?;
    let mean = of("whitening.mean", dimension)?;
    let whitening = Whitening::new(mean, of("whitening.inverse", dimension)?);
    let class_means = of("class_means", dimension)?;
    let intents = class_means.len() / dimension;
    let negative_vectors = of("negatives.vectors", dimension)?;
    let negatives = Negatives {
        intents: of("negatives.intents", 1)?.into_iter().map(|id| id as u32).collect(),
        vectors: negative_vectors,
    };
    let dense = LinearHead::new(of("dense.weights", intents)?, of("dense.bias", intents)?);
    let lexical = LinearHead::new(of("lexical.weights", intents)?, of("lexical.bias", intents)?);
    let scope = LinearHead::new(of("scope.weights", 1)?, of("scope.bias", 1)?);
    let (Some(whitening), Some(dense), Some(lexical), Some(scope)) =
        (whitening, dense, lexical, scope)
    else {
        return Err("a matrix has the wrong size or a value that is not finite".to_owned());
    };
    let heads = Heads { whitening, class_means, negatives, dense, vocabulary, lexical, scope };
    if !heads.is_consistent() {
        return Err("the matrices do not fit together".to_owned());
    }
    Ok(Weights {
        embeddings: Embeddings::new(dimension, embeddings),
        vectors: Embeddings::new(dimension, vectors),
        heads,
    })
}
