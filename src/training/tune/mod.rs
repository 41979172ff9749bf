//! Tunes a sentence encoder on labelled rows, so that sentences of one intent lie together.
//!
//! Called by `train-intents build --tune` and `eval --tune`. [`tune`] takes normalised texts with
//! labels and gives new weights; it knows neither where they are installed nor what is fitted on
//! top. The arithmetic is ours, forward and backward, on all cores (`team.rs`); it is checked against
//! candle's automatic differentiation.

mod attention;
mod checkpoint;
mod composed;
mod dropout;
mod layer;
mod layout;
mod loss;
mod network;
mod optimizer;
mod options;
mod place;
mod pool;
mod random;
mod rows;
mod run;
mod sampler;
mod snapshot;
mod team;
#[cfg(test)]
mod tests;
mod validate;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::encoder::{EncodeError, Encoder, ModelSpec, SentenceEncoder, WeightsError};
use crate::progress::Progress;
use network::{Network, Rates};
use run::Run;
use team::{Team, Texts};

pub use options::{Decay, TuneOptions, identity};
pub use place::Place;
pub use validate::Validation;

/// Bytes that the values of the frozen layers may take between epochs; with more they are computed
/// again.
const MAX_KEPT_BYTES: usize = 1 << 30;

/// Measures an encoder on validation rows: the share that is right.
pub type Validate<'a> = &'a mut dyn FnMut(&dyn Encoder) -> Result<f64, EncodeError>;

/// What is tuned on what.
pub struct Job<'a> {
    /// The encoder to begin with.
    pub encoder: &'a SentenceEncoder,
    /// What it was loaded from.
    pub spec: &'a ModelSpec,
    /// Normalised texts.
    pub texts: &'a [String],
    /// The intent of each, from 0.
    pub labels: &'a [u32],
    /// How.
    pub options: &'a TuneOptions,
    /// [`identity`] of all of it: a checkpoint of another one is not used.
    pub identity: &'a str,
    /// Where the checkpoint lies; it is removed at the end. `None` keeps none.
    pub checkpoint: Option<&'a Path>,
    /// Threads; results are the same for the same number.
    pub threads: usize,
    /// Where the layers are trained.
    pub place: Place,
}

/// A tuned encoder's weights.
pub struct Tuned {
    /// The tensors of all layers by Hugging Face name, row-major; the tables did not change.
    pub tensors: BTreeMap<String, Vec<f32>>,
    /// How it went.
    pub summary: Summary,
}

/// How a tuning went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Epochs that were planned.
    pub epochs: usize,
    /// The epoch whose weights were kept, from 1, when validation chose it.
    pub chosen_epoch: Option<usize>,
    /// Mean loss of each epoch.
    pub losses: Vec<f64>,
    /// Share of validation rows that was right after each epoch.
    pub scores: Vec<f64>,
    /// True when the time was over before the epochs were.
    pub out_of_time: bool,
    /// Seconds of all processes that worked on it.
    pub seconds: f64,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} of {} epochs", self.losses.len(), self.epochs)?;
        if let Some(chosen) = self.chosen_epoch {
            write!(out, ", the weights after epoch {chosen}")?;
        }
        if self.out_of_time { write!(out, ", ended by the time limit") } else { Ok(()) }
    }
}

/// Why there is no tuned encoder.
#[derive(Debug, thiserror::Error)]
pub enum TuneError {
    /// Nothing to learn from.
    #[error("tuning needs examples of two intents at least; add some, or leave --tune out")]
    TooFewIntents,
    /// An option.
    #[error("cannot tune: {0}")]
    Options(String),
    /// The encoder failed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The encoder's weights cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// There is no such device.
    #[error(
        "cannot tune on the graphics card: {reason}; take --tune-device cpu, or a build with --features cuda on a machine with one"
    )]
    Device {
        /// Why.
        reason: String,
    },
    /// The loss is not a number.
    #[error("tuning diverged at step {step}; lower the learning rate")]
    Diverged {
        /// From 1.
        step: u64,
    },
    /// The checkpoint cannot be written or read.
    #[error("cannot use the checkpoint {}: {source}; check its folder and the free space", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// Tunes. `validate` measures each epoch; the best one's weights are kept.
///
/// # Errors
/// [`TuneError`].
pub fn tune(
    job: &Job<'_>,
    validate: Option<Validate<'_>>,
    progress: &dyn Progress,
) -> Result<Tuned, TuneError> {
    let tuned = tune_some(job, validate, None, progress)?;
    Ok(tuned.expect("only a limit of steps ends tuning early"))
}

/// [`tune`] that ends after so many steps, as a crash would; `None` when it did.
fn tune_some(
    job: &Job<'_>,
    validate: Option<Validate<'_>>,
    stop_after: Option<u64>,
    progress: &dyn Progress,
) -> Result<Option<Tuned>, TuneError> {
    let options = job.options;
    if let Some(reason) = options.refused() {
        return Err(TuneError::Options(reason));
    }
    let labels = numbered(job.labels);
    let intents = labels.iter().max().map_or(0, |most| *most as usize + 1);
    if intents < 2 {
        return Err(TuneError::TooFewIntents);
    }
    let layers = job.encoder.config().num_hidden_layers;
    let first = layers.saturating_sub(options.trainable_layers.unwrap_or(layers));
    let rates = Rates { hidden: options.dropout, attention: options.attention_dropout };
    let (network, initial) = Network::load(job.encoder, job.spec, first, rates)?;
    let mut team = Team::new(job.threads, &job.place.device()?);
    let ids = job.texts.iter().map(|text| job.encoder.token_ids(text));
    let mut texts = Texts { ids: ids.collect::<Result<_, _>>()?, kept: None };
    let tokens: usize = texts.ids.iter().map(Vec::len).sum();
    if first > 0 && tokens * network.shape.hidden * size_of::<f32>() <= MAX_KEPT_BYTES {
        texts.kept = Some(team.frozen_parts(&network, &texts.ids, progress)?);
    }
    let run = Run {
        network: &network,
        texts: &texts,
        labels: &labels,
        options,
        initial: &initial,
        identity: job.identity,
        checkpoint: job.checkpoint,
        stop_after,
    };
    let first = |team: &mut Team| {
        let width = network.shape.hidden;
        let mut embeddings = team.embeddings(&network, &initial, &texts, progress)?;
        let mut centre = Vec::new();
        if options.centre {
            centre = vec![0.0; width];
            rows::add_rows(&embeddings, &mut centre);
            centre.iter_mut().for_each(|value| *value /= labels.len() as f32);
            embeddings = loss::centred(&embeddings, &centre).0;
        }
        Ok((class_means(&embeddings, &labels, intents, width), centre))
    };
    let validate = validate.filter(|_| options.choose_epoch);
    let Some(outcome) = run.go(first, &mut team, validate, progress)? else {
        return Ok(None);
    };
    if let Some(path) = job.checkpoint {
        checkpoint::remove(path);
    }
    let position = outcome.position;
    let summary = Summary {
        epochs: options.epochs(job.labels.len()),
        chosen_epoch: position.best.map(|best| best + 1),
        losses: position.losses,
        scores: position.scores,
        out_of_time: outcome.out_of_time,
        seconds: position.seconds,
    };
    Ok(Some(Tuned { tensors: network.tensors(&outcome.trained), summary }))
}

/// The labels numbered without gaps, in order.
fn numbered(labels: &[u32]) -> Vec<u32> {
    let mut known = labels.to_vec();
    known.sort_unstable();
    known.dedup();
    labels.iter().map(|label| known.partition_point(|one| one < label) as u32).collect()
}

/// The mean embedding of each intent, `(intents, width)`; that of an intent without rows is the
/// first unit vector, which nothing is near to.
fn class_means(embeddings: &[f32], labels: &[u32], intents: usize, width: usize) -> Vec<f32> {
    let mut sums = vec![0.0; intents * width];
    for (row, label) in embeddings.chunks_exact(width).zip(labels) {
        let sum = &mut sums[*label as usize * width..][..width];
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    let (mut units, lengths) = loss::unit_rows(&sums, width);
    for (row, length) in units.chunks_exact_mut(width).zip(lengths) {
        if length < 1e-3 {
            row.fill(0.0);
            row[0] = 1.0;
        }
    }
    units
}
