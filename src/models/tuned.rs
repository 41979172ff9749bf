//! Installs an encoder whose layers were tuned: the folder of the one it began with, with other
//! values in its weights and a card that says what it came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::install::{FILES, ModelCard, ModelDir, Staging};
use super::tensors::{Planned, TensorWriter};
use super::{ModelError, folder};
use crate::encoder::weights::WeightFile;

/// A tuned encoder that is to be installed.
pub struct TunedModel<'a> {
    /// What it was tuned from.
    pub base: &'a ModelDir,
    /// Its folder's name in the models folder.
    pub name: &'a str,
    /// For the card: on what and how.
    pub how: &'a str,
    /// Tensors by Hugging Face name, row-major; those of `base` stay where there is none.
    pub tensors: &'a BTreeMap<String, Vec<f32>>,
    /// Further files: name and content.
    pub extra: &'a [(&'a str, Vec<u8>)],
}

/// The name of the encoder that was tuned from `base`; `identity` is hex and says on what and how.
pub fn tuned_name(base: &ModelDir, identity: &str) -> String {
    // A tuned encoder that is tuned again is named by the one that all began with.
    let name = base.card.name.split("-tuned-").next().unwrap_or_default();
    format!("{name}-tuned-{}", identity.get(..8).unwrap_or(identity))
}

/// The tuned encoder of this name, if it is installed.
///
/// # Errors
/// [`ModelError::Damaged`] when its folder is not whole.
pub fn find_tuned(name: &str, models_dir: &Path) -> Result<Option<ModelDir>, ModelError> {
    let path = models_dir.join(name);
    if path.is_dir() { folder::open(&path).map(Some) } else { Ok(None) }
}

/// Writes the folder, whole or not at all. Each tensor keeps the number type it has in `base`.
///
/// # Errors
/// [`ModelError`]: `base` is damaged, a tensor has another size, or the disk refuses.
pub fn install_tuned(model: &TunedModel<'_>, models_dir: &Path) -> Result<ModelDir, ModelError> {
    let base = &model.base.path;
    let staging = Staging::new(&models_dir.join(model.name))?;
    for name in [FILES[0], FILES[1]] {
        let target = staging.path().join(name);
        std::fs::copy(base.join(name), &target).map_err(|e| ModelError::io(&target, e))?;
    }
    for (name, bytes) in model.extra {
        staging.write(name, bytes)?;
    }
    write_weights(model, &staging)?;
    staging.publish(ModelCard {
        name: model.name.to_owned(),
        tuned: true,
        source: format!("tuned from {}: {}", model.base.card.name, model.how),
        ..model.base.card.clone()
    })
}

fn write_weights(model: &TunedModel<'_>, staging: &Staging) -> Result<(), ModelError> {
    let path: PathBuf = model.base.path.join(FILES[2]);
    let refused = |reason: String| ModelError::Source { path: path.clone(), reason };
    let mut file = WeightFile::open(&path).map_err(|error| refused(error.to_string()))?;
    let names: Vec<(String, Vec<usize>)> =
        file.tensors().map(|(name, shape)| (name.to_owned(), shape.to_vec())).collect();
    let mut plan = Vec::with_capacity(names.len());
    for (name, shape) in &names {
        let dtype = file.dtype(name).ok_or_else(|| refused(format!("{name} is missing")))?;
        plan.push(Planned { name: name.clone(), dtype, shape: shape.clone() });
    }
    let out = staging.create(FILES[2])?;
    let target = staging.path().join(FILES[2]);
    let io = |error| ModelError::io(&target, error);
    let mut writer = TensorWriter::new(std::io::BufWriter::new(out), plan).map_err(io)?;
    let mut used = 0;
    for (name, shape) in &names {
        let plain = name.strip_prefix("bert.").unwrap_or(name);
        if let Some(values) = model.tensors.get(plain) {
            if values.len() != shape.iter().product::<usize>() {
                return Err(refused(format!("tensor {name} has another shape than was tuned")));
            }
            writer.write(values).map_err(io)?;
            used += 1;
            continue;
        }
        let values = file.f32(name, shape).map_err(|error| refused(error.to_string()))?;
        writer.write(&values).map_err(io)?;
    }
    if used != model.tensors.len() {
        return Err(refused("it lacks tensors that were tuned".to_owned()));
    }
    writer.finish().map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::{Encoder, SentenceEncoder};

    fn base() -> ModelDir {
        folder::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-bert"))
            .unwrap()
    }

    fn install(tensors: &[(&str, Vec<f32>)], models: &Path) -> Result<ModelDir, ModelError> {
        let base = base();
        let tensors = tensors.iter().map(|(name, values)| ((*name).to_owned(), values.clone()));
        let name = tuned_name(&base, "0123456789");
        let (how, tensors) = ("on nothing", &tensors.collect());
        let extra = &[("more.json", b"{}".to_vec())];
        install_tuned(&TunedModel { base: &base, name: &name, how, tensors, extra }, models)
    }

    #[test]
    fn a_tuned_model_loads_and_differs_where_it_was_tuned() {
        let models = tempfile::tempdir().unwrap();
        let name = "encoder.layer.1.output.dense.bias";
        let installed = install(&[(name, vec![0.5; 16])], models.path()).unwrap();
        assert_eq!(installed.card.name, "tiny-bert-tuned-01234567");
        assert!(installed.card.tuned && installed.spec().tuned && !base().spec().tuned);
        assert_eq!(installed.card.source, "tuned from tiny-bert: on nothing");
        assert_ne!(installed.card.identity(), base().card.identity());
        assert_eq!(std::fs::read(installed.path.join("more.json")).unwrap(), b"{}");
        let of = |model: &ModelDir| {
            SentenceEncoder::load(&model.spec()).unwrap().encode(&["退款"]).unwrap()
        };
        assert_ne!(of(&installed), of(&base()));
        let found = find_tuned("tiny-bert-tuned-01234567", models.path()).unwrap();
        assert_eq!(found, Some(installed.clone()));
        assert_eq!(find_tuned("tiny-bert-tuned-99999999", models.path()).unwrap(), None);
        assert_eq!(tuned_name(&installed, "abcdef0123"), "tiny-bert-tuned-abcdef01");
    }

    #[test]
    fn without_changes_it_answers_alike() {
        let models = tempfile::tempdir().unwrap();
        let installed = install(&[], models.path()).unwrap();
        let of = |model: &ModelDir| {
            SentenceEncoder::load(&model.spec()).unwrap().encode(&["退款", "ab ba"]).unwrap()
        };
        assert_eq!(of(&installed), of(&base()));
    }

    #[test]
    fn tensors_that_do_not_fit_leave_no_folder() {
        let models = tempfile::tempdir().unwrap();
        for (name, tensor) in [
            ("another size", ("encoder.layer.1.output.dense.bias", vec![0.5; 15])),
            ("unknown", ("encoder.layer.9.output.dense.bias", vec![0.5; 16])),
        ] {
            assert!(install(&[tensor], models.path()).is_err(), "{name}");
            assert_eq!(std::fs::read_dir(models.path()).unwrap().count(), 0, "{name}");
        }
    }
}
