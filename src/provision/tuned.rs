//! From an encoder and labelled rows to a tuned encoder in the models folder, made once.
//!
//! Without validation rows an encoder is tuned twice: first on most of the rows, for a calibration on
//! the rest (`training/held_out.rs`), then on all of them. The calibration is kept in the folder of
//! the tuned encoder, and whoever builds an intent model on that encoder takes it from there.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ProvisionError;
use crate::artifact::hex;
use crate::encoder::{Embeddings, Encoder, SentenceEncoder};
use crate::intent::classifier::Calibration;
use crate::models::{self, ModelDir, ModelError, TunedModel};
use crate::progress::Progress;
use crate::training::embed::{Known, embed};
use crate::training::fit::{FitError, LabelledSet, Policy};
use crate::training::held_out::{self, Sets};
use crate::training::tune::{self, Job, Place, TuneOptions, Validation};

/// Name of the calibration's file in the folder of a tuned encoder.
const CALIBRATION: &str = "calibration.json";

/// Normalised texts and their intents.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// Normalised texts.
    pub texts: &'a [String],
    /// The intent of each, from 0.
    pub labels: &'a [u32],
}

/// What an encoder is tuned on.
#[derive(Debug, Clone, Copy)]
pub struct Lesson<'a> {
    /// To learn from.
    pub train: Rows<'a>,
    /// What the intents are called: rows to learn from that are never held out.
    pub names: Rows<'a>,
    /// To choose the epoch on; may be empty.
    pub valid: Rows<'a>,
    /// Normalised texts that no intent means, for the calibration where `valid` is empty.
    pub out_of_scope: &'a [String],
    /// What the thresholds of such a calibration guarantee.
    pub policy: Policy,
    /// How.
    pub options: &'a TuneOptions,
    /// Where.
    pub place: Place,
}

/// A tuned encoder.
pub struct Tuned {
    /// Where it lies.
    pub folder: ModelDir,
    /// It, loaded.
    pub encoder: SentenceEncoder,
    /// For heads over the rows it was tuned on; `None` when there were validation rows.
    pub calibration: Option<Calibration>,
}

/// A calibration on its way, so that a killed run need not make it again.
#[derive(Serialize, Deserialize)]
struct Kept {
    identity: String,
    calibration: Calibration,
}

/// The encoder that a lesson begins with.
struct Teacher<'a> {
    base: &'a ModelDir,
    encoder: &'a SentenceEncoder,
    lesson: Lesson<'a>,
    models_dir: &'a Path,
    progress: &'a dyn Progress,
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
) -> Result<Tuned, ProvisionError> {
    std::fs::create_dir_all(models_dir).map_err(|source| io(models_dir, source))?;
    let teacher = Teacher { base, encoder, lesson, models_dir, progress };
    let all = lesson.train.with(lesson.names);
    let identity = teacher.identity(all.rows());
    let name = models::tuned_name(base, &identity);
    let folder = match models::find_tuned(&name, models_dir)? {
        Some(folder) => {
            progress.note(&format!("using {}, tuned before", folder.path.display()));
            folder
        }
        None => teacher.make(&name, &identity, all.rows())?,
    };
    let encoder = SentenceEncoder::load(&folder.spec())?;
    let calibration = if lesson.valid.texts.is_empty() { calibration(&folder.path)? } else { None };
    Ok(Tuned { folder, encoder, calibration })
}

/// The calibration of the tuned encoder in this folder; `None` when there is none, as in the folder
/// of any other encoder.
///
/// # Errors
/// [`ModelError::Damaged`] when it is unreadable.
pub(super) fn calibration(folder: &Path) -> Result<Option<Calibration>, ModelError> {
    let path = folder.join(CALIBRATION);
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = std::fs::read(&path).map_err(|source| io(&path, source))?;
    serde_json::from_slice(&bytes).map(Some).map_err(|error| ModelError::Damaged {
        path: folder.to_owned(),
        reason: format!("{CALIBRATION} is unreadable ({error})"),
    })
}

impl Teacher<'_> {
    fn identity(&self, train: Rows<'_>) -> String {
        let Lesson { valid, options, policy, .. } = self.lesson;
        let identity =
            tune::identity(&self.encoder.info().sha256, train.iter(), valid.iter(), options);
        // The calibration lies beside the encoder, so other thresholds are another encoder.
        match policy.max_false_accept.filter(|_| valid.texts.is_empty()) {
            Some(rate) => hex(&Sha256::digest(format!("{identity} {rate}"))),
            None => identity,
        }
    }

    /// A hidden file beside the models; one name an encoder, so that what abandoned runs leave does
    /// not pile up.
    fn hidden(&self, what: &str) -> PathBuf {
        self.models_dir.join(format!(".tuning-{}.{what}", self.base.card.name))
    }

    fn make(&self, name: &str, identity: &str, rows: Rows<'_>) -> Result<ModelDir, ProvisionError> {
        let kept = self.hidden("calibration");
        let mut extra = Vec::new();
        if self.lesson.valid.texts.is_empty() {
            let calibration = self.calibration(identity, &kept)?;
            let bytes = serde_json::to_vec_pretty(&calibration).expect("plain data is JSON");
            extra.push((CALIBRATION, bytes));
        }
        let tuned = self.tune(rows, identity)?;
        let how = format!(
            "on {} rows, {}, options {}",
            self.lesson.train.texts.len(),
            tuned.summary,
            serde_json::to_string(self.lesson.options).expect("plain data is JSON")
        );
        let base = self.base;
        let model = TunedModel { base, name, how: &how, tensors: &tuned.tensors, extra: &extra };
        let folder = models::install_tuned(&model, self.models_dir)?;
        // One that stays is of no use to any other run.
        let _ = std::fs::remove_file(kept);
        Ok(folder)
    }

    fn tune(&self, train: Rows<'_>, identity: &str) -> Result<tune::Tuned, ProvisionError> {
        let Lesson { valid, options, place, .. } = self.lesson;
        let checkpoint = self.hidden("checkpoint");
        let job = Job {
            encoder: self.encoder,
            spec: &self.base.spec(),
            texts: train.texts,
            labels: train.labels,
            options,
            identity,
            checkpoint: Some(&checkpoint),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            place,
        };
        let validation = Validation::new((train.texts, train.labels), (valid.texts, valid.labels));
        let mut measure = |encoder: &dyn Encoder| validation.measure(encoder);
        let validate = (!valid.texts.is_empty()).then_some(&mut measure as tune::Validate<'_>);
        Ok(tune::tune(&job, validate, self.progress)?)
    }

    /// What an encoder that is tuned on most of the rows teaches about the rest.
    fn calibration(&self, identity: &str, kept: &Path) -> Result<Calibration, ProvisionError> {
        let earlier = std::fs::read(kept).ok();
        let earlier = earlier.and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
        if let Some(earlier) = earlier.filter(|earlier| earlier.identity == identity) {
            return Ok(earlier.calibration);
        }
        self.progress.note("tuning on most of the rows first, to calibrate on the rest");
        let Lesson { train, names, out_of_scope, policy, .. } = self.lesson;
        let split = held_out::split(train.texts, train.labels, out_of_scope.len());
        let [taught, held, left_out] =
            [&split.taught, &split.held, &split.left_out].map(|numbers| train.pick(numbers));
        let known = |row: &usize| taught.labels.contains(&names.labels[*row]);
        let names = names.pick(&(0..names.texts.len()).filter(known).collect::<Vec<_>>());
        let all = taught.rows().with(names.rows());
        let tuned = self.tune(all.rows(), &self.identity(all.rows()))?;
        // Loaded as it will be, numbers rounded to the file's type.
        let folder = tempfile::Builder::new()
            .prefix(".calibrating-")
            .tempdir_in(self.models_dir)
            .map_err(|source| io(self.models_dir, source))?;
        let base = self.base;
        let tensors = &tuned.tensors;
        let model = TunedModel { base, name: "encoder", how: "", tensors, extra: &[] };
        let encoder = SentenceEncoder::load(&models::install_tuned(&model, folder.path())?.spec())?;
        let embedded = |set: LabelledSet| -> Result<LabelledSet, ProvisionError> {
            let embeddings = if set.texts.is_empty() {
                Embeddings::default()
            } else {
                embed(&encoder, &set.texts, &Known::new(), self.progress)?
            };
            Ok(LabelledSet { embeddings, ..set })
        };
        let unmeant = LabelledSet { texts: out_of_scope.to_vec(), ..LabelledSet::default() };
        let sets = Sets {
            taught: embedded(taught)?,
            names: embedded(names)?,
            held: embedded(held)?,
            left_out: embedded(left_out)?,
            out_of_scope: embedded(unmeant)?,
        };
        let calibration = held_out::calibrate(&sets, policy)?;
        self.keep(kept, Kept { identity: identity.to_owned(), calibration })
    }

    fn keep(&self, path: &Path, kept: Kept) -> Result<Calibration, ProvisionError> {
        let bytes = serde_json::to_vec(&kept).expect("plain data is JSON");
        let mut file = tempfile::NamedTempFile::new_in(self.models_dir)
            .map_err(|source| io(self.models_dir, source))?;
        std::io::Write::write_all(&mut file, &bytes).map_err(|source| io(path, source))?;
        file.as_file().sync_all().map_err(|source| io(path, source))?;
        file.persist(path).map_err(|error| io(path, error.error))?;
        Ok(kept.calibration)
    }
}

impl<'a> Rows<'a> {
    fn iter(self) -> impl Iterator<Item = (&'a str, u32)> {
        self.texts.iter().map(String::as_str).zip(self.labels.iter().copied())
    }

    /// These rows and `others` after them.
    fn with(self, others: Self) -> LabelledSet {
        let texts = [self.texts, others.texts].concat();
        LabelledSet { texts, labels: [self.labels, others.labels].concat(), ..Default::default() }
    }

    fn pick(self, numbers: &[usize]) -> LabelledSet {
        LabelledSet {
            texts: numbers.iter().map(|row| self.texts[*row].clone()).collect(),
            labels: numbers.iter().map(|row| self.labels[*row]).collect(),
            ..LabelledSet::default()
        }
    }
}

impl LabelledSet {
    /// The texts and labels.
    pub fn rows(&self) -> Rows<'_> {
        Rows { texts: &self.texts, labels: &self.labels }
    }
}

fn io(path: &Path, source: std::io::Error) -> ModelError {
    ModelError::Io { path: path.to_owned(), source }
}

impl From<crate::encoder::EncodeError> for ProvisionError {
    fn from(error: crate::encoder::EncodeError) -> Self {
        Self::Build(error.into())
    }
}

impl From<FitError> for ProvisionError {
    fn from(error: FitError) -> Self {
        Self::Build(error.into())
    }
}
