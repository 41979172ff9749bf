//! The options of tuning, shared by `build` and `eval`.

use clap::{Args, ValueEnum};

use crate::training::tune::{Place, TuneOptions};

/// Whether and how to tune the encoder.
#[derive(Debug, Clone, Args)]
pub(super) struct TuneArgs {
    /// Tune the encoder on the training rows first; takes minutes, see docs/tuning.md
    #[arg(long)]
    pub(super) tune: bool,
    /// Times each row is seen; fewer rows need more [default: 10 up to 5,000 rows, 5 above]
    #[arg(long, value_name = "N", requires = "tune")]
    tune_epochs: Option<usize>,
    /// Stop after so many minutes with the best weights so far [default: 45]
    #[arg(long, value_name = "MINUTES", requires = "tune")]
    tune_minutes: Option<f64>,
    /// Everything random follows from it [default: 1]
    #[arg(long, value_name = "SEED", requires = "tune")]
    tune_seed: Option<u64>,
    /// Train only so many layers, from the top; faster and weaker [default: all]
    #[arg(long, value_name = "N", requires = "tune")]
    tune_layers: Option<usize>,
    /// Where to train
    #[arg(long, value_name = "cpu|cuda", requires = "tune", default_value = "cpu")]
    tune_device: Device,
    /// Any other number of docs/tuning.md, such as learning_rate=3e-5; may be repeated
    #[arg(long = "tune-set", value_name = "NAME=VALUE", requires = "tune", value_parser = setting)]
    tune_set: Vec<(String, serde_json::Value)>,
}

/// Where layers are trained.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Device {
    /// All cores
    Cpu,
    /// The first NVIDIA card; needs a build with --features cuda
    Cuda,
}

impl TuneArgs {
    /// Where to train.
    pub(super) fn place(&self) -> Place {
        match self.tune_device {
            Device::Cpu => Place::Cpu,
            Device::Cuda => Place::Cuda,
        }
    }

    /// The options, or why they are none.
    pub(super) fn options(&self) -> anyhow::Result<TuneOptions> {
        let mut value = serde_json::to_value(TuneOptions::default())?;
        let all = value.as_object_mut().expect("a struct is an object");
        for (name, setting) in &self.tune_set {
            let known: Vec<&String> = all.keys().collect();
            anyhow::ensure!(
                all.contains_key(name),
                "--tune-set {name}: no such number; there are {known:?}"
            );
            all.insert(name.clone(), setting.clone());
        }
        let mut options: TuneOptions = serde_json::from_value(value)
            .map_err(|error| anyhow::anyhow!("--tune-set: {error}"))?;
        options.epochs = self.tune_epochs.or(options.epochs);
        options.minutes = self.tune_minutes.unwrap_or(options.minutes);
        options.seed = self.tune_seed.unwrap_or(options.seed);
        options.trainable_layers = self.tune_layers.or(options.trainable_layers);
        options
            .refused()
            .map_or(Ok(options), |reason| Err(anyhow::anyhow!("cannot tune: {reason}")))
    }
}

/// `NAME=VALUE`, the value as JSON or as a word.
fn setting(text: &str) -> Result<(String, serde_json::Value), String> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| "give NAME=VALUE, such as epochs=3".to_owned())?;
    let value =
        serde_json::from_str(value).unwrap_or_else(|_| serde_json::Value::String(value.to_owned()));
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        tune: TuneArgs,
    }

    fn options(line: &str) -> Result<TuneOptions, String> {
        let line = Line::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        line.tune.options().map_err(|error| error.to_string())
    }

    #[test]
    fn flags_and_settings_reach_the_options() {
        let found = options(
            "x --tune --tune-epochs 3 --tune-seed 9 --tune-layers 2 --tune-minutes 5 \
             --tune-set learning_rate=3e-5 --tune-set decay=cosine --tune-set hard_batches=true",
        )
        .unwrap();
        assert_eq!((found.epochs, found.seed, found.trainable_layers), (Some(3), 9, Some(2)));
        assert_eq!((found.minutes, found.learning_rate), (5.0, 3e-5));
        assert!(found.hard_batches && found.decay == crate::training::tune::Decay::Cosine);
        assert_eq!(options("x --tune").unwrap(), TuneOptions::default());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (line, expected) in [
            ("x --tune-epochs 3", "--tune"),
            ("x --tune --tune-set nonsense=3", "no such number"),
            ("x --tune --tune-set epochs", "give NAME=VALUE"),
            ("x --tune --tune-set decay=up", "unknown variant"),
            ("x --tune --tune-set dropout=1.5", "dropout is 1.5"),
            ("x --tune --tune-minutes 0", "minutes is 0"),
        ] {
            let error = options(line).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}
