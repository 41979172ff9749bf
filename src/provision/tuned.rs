//! From an encoder and labelled rows to a tuned encoder in the models folder, made once.

use std::path::Path;

use super::ProvisionError;
use crate::encoder::{Encoder, SentenceEncoder};
use crate::models::{self, ModelDir, TunedModel};
use crate::progress::Progress;
use crate::training::tune::{self, Job, TuneOptions, Validation};

/// Normalised texts and their intents.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// Normalised texts.
    pub texts: &'a [String],
    /// The intent of each, from 0.
    pub labels: &'a [u32],
}

impl<'a> Rows<'a> {
    fn iter(self) -> impl Iterator<Item = (&'a str, u32)> {
        self.texts.iter().map(String::as_str).zip(self.labels.iter().copied())
    }
}

/// What an encoder is tuned on.
#[derive(Debug, Clone, Copy)]
pub struct Lesson<'a> {
    /// To learn from.
    pub train: Rows<'a>,
    /// To choose the epoch on; may be empty.
    pub valid: Rows<'a>,
    /// How.
    pub options: &'a TuneOptions,
}

/// The encoder in `base`, loaded as `encoder`, tuned on `lesson`: taken from `models_dir` when it
/// was made before, else made and installed there. A run that was killed goes on where it was.
///
/// # Errors
/// [`ProvisionError`].
pub fn tuned(
    base: &ModelDir,
    encoder: &SentenceEncoder,
    lesson: Lesson<'_>,
    models_dir: &Path,
    progress: &dyn Progress,
) -> Result<ModelDir, ProvisionError> {
    let Lesson { train, valid, options } = lesson;
    let identity = tune::identity(&encoder.info().sha256, train.iter(), valid.iter(), options);
    let name = models::tuned_name(base, &identity);
    if let Some(model) = models::find_tuned(&name, models_dir)? {
        progress.note(&format!("using {}, tuned before", model.path.display()));
        return Ok(model);
    }
    std::fs::create_dir_all(models_dir)
        .map_err(|source| models::ModelError::Io { path: models_dir.to_owned(), source })?;
    // One name an encoder, so that checkpoints of abandoned runs do not pile up.
    let checkpoint = models_dir.join(format!(".tuning-{}.checkpoint", base.card.name));
    let job = Job {
        encoder,
        spec: &base.spec(),
        texts: train.texts,
        labels: train.labels,
        options,
        identity: &identity,
        checkpoint: Some(&checkpoint),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
    };
    let validation = Validation::new((train.texts, train.labels), (valid.texts, valid.labels));
    let mut measure = |encoder: &dyn Encoder| validation.measure(encoder);
    let validate = (!valid.texts.is_empty()).then_some(&mut measure as tune::Validate<'_>);
    let tuned = tune::tune(&job, validate, progress)?;
    let how = format!(
        "on {} rows, {}, options {}",
        train.texts.len(),
        tuned.summary,
        serde_json::to_string(options).expect("plain data is JSON")
    );
    let model = TunedModel { base, name: &name, how: &how, tensors: &tuned.tensors };
    Ok(models::install_tuned(&model, models_dir)?)
}
