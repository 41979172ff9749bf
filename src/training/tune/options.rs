//! Every number that shapes tuning, with its default and its reason.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Changes whenever the same options and rows give another encoder.
const TUNER_VERSION: u32 = 1;

/// With at most so many rows, twice the epochs pay; with more they double the time for a tenth of a
/// point (CLINC150's validation rows).
const FEW_ROWS: usize = 5_000;
const FEW_ROWS_EPOCHS: usize = 10;
const MANY_ROWS_EPOCHS: usize = 5;

/// How the learning rate falls after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// In a straight line.
    Linear,
    /// Along half a cosine (Loshchilov and Hutter 2017).
    Cosine,
}

/// How an encoder is tuned. [`TuneOptions::default`] is what was measured to be good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TuneOptions {
    /// Times each row is seen; `None`: 10 up to 5,000 rows, 5 above.
    pub epochs: Option<usize>,
    /// Stops after so many minutes with the best weights so far.
    pub minutes: f64,
    /// Seconds between checkpoints; changes nothing in the result.
    pub checkpoint_s: f64,
    /// Everything random follows from it.
    pub seed: u64,
    /// Layers that are trained, from the top; `None`: all. Below, nothing changes and each text is
    /// computed once. Word, position and segment tables are never trained.
    pub trainable_layers: Option<usize>,
    /// Rows a step.
    pub batch_rows: usize,
    /// Rows of an intent that are put into a batch together, so that the contrastive loss finds
    /// pairs; 1 mixes all rows alike.
    pub rows_an_intent: usize,
    /// Puts intents whose vectors are near into the same batches.
    pub hard_batches: bool,
    /// Largest learning rate of the layers.
    pub learning_rate: f32,
    /// Largest learning rate of the intents' vectors.
    pub class_learning_rate: f32,
    /// Each layer's rate is this many times that of the layer above it (Howard and Ruder 2018).
    pub layer_decay: f32,
    /// Decoupled weight decay of linear layers' weights (Loshchilov and Hutter 2019).
    pub weight_decay: f32,
    /// Share of the steps in which the rate rises from 0.
    pub warm_up: f32,
    /// How it falls afterwards.
    pub decay: Decay,
    /// The share of the largest rate that it falls to.
    pub last_rate: f32,
    /// Largest Euclidean norm of a gradient; longer ones are shortened to it.
    pub max_gradient: f32,
    /// Dropout of what linear layers put out; 0 to below 1.
    pub dropout: f32,
    /// Dropout of attention probabilities; 0 to below 1.
    pub attention_dropout: f32,
    /// Takes the mean of the embeddings as they were from each before both losses: sentence encoders
    /// put all sentences into a narrow cone, where cosines say little.
    pub centre: bool,
    /// Weight of the cross-entropy over the intents' vectors.
    pub cross_entropy: f32,
    /// Factor in front of its cosines.
    pub scale: f32,
    /// Share of its target that is spread over all intents.
    pub label_smoothing: f32,
    /// Weight of the supervised contrastive loss.
    pub contrastive: f32,
    /// Its temperature.
    pub temperature: f32,
    /// Share of the tuned weights in the result; the rest are the initial ones (Wortsman et al.
    /// 2022, <https://arxiv.org/abs/2109.01903>).
    pub tuned_share: f32,
    /// Keeps the epoch that is best on the validation rows, where there are any, not the last.
    pub choose_epoch: bool,
}

impl Default for TuneOptions {
    fn default() -> Self {
        Self {
            epochs: None,
            minutes: 45.0,
            checkpoint_s: 60.0,
            seed: 1,
            trainable_layers: None,
            batch_rows: 64,
            rows_an_intent: 1,
            hard_batches: false,
            learning_rate: 5e-5,
            class_learning_rate: 1e-3,
            layer_decay: 1.0,
            weight_decay: 0.01,
            warm_up: 0.1,
            decay: Decay::Linear,
            last_rate: 0.02,
            max_gradient: 1.0,
            dropout: 0.1,
            attention_dropout: 0.1,
            centre: true,
            cross_entropy: 1.0,
            scale: 10.0,
            label_smoothing: 0.0,
            contrastive: 0.5,
            temperature: 0.1,
            tuned_share: 1.0,
            choose_epoch: true,
        }
    }
}

impl TuneOptions {
    /// Epochs for so many rows.
    pub fn epochs(&self, rows: usize) -> usize {
        let usual = if rows > FEW_ROWS { MANY_ROWS_EPOCHS } else { FEW_ROWS_EPOCHS };
        self.epochs.unwrap_or(usual).max(1)
    }

    /// What makes these options unusable, if anything, and what would be good.
    pub fn refused(&self) -> Option<String> {
        let share = |name: &str, value: f32| {
            (!(0.0..1.0).contains(&value))
                .then(|| format!("{name} is {value}; give a number from 0 to below 1"))
        };
        let positive = |name: &str, value: f32| {
            (!(value > 0.0 && value.is_finite()))
                .then(|| format!("{name} is {value}; give a number above 0"))
        };
        let losses = self.cross_entropy + self.contrastive;
        let none = !(self.cross_entropy >= 0.0 && self.contrastive >= 0.0 && losses > 0.0);
        let whole = !(0.0..=1.0).contains(&self.tuned_share);
        share("dropout", self.dropout)
            .or_else(|| share("attention_dropout", self.attention_dropout))
            .or_else(|| share("label_smoothing", self.label_smoothing))
            .or_else(|| share("warm_up", self.warm_up))
            .or_else(|| share("last_rate", self.last_rate))
            .or_else(|| share("weight_decay", self.weight_decay))
            .or_else(|| positive("learning_rate", self.learning_rate))
            .or_else(|| positive("class_learning_rate", self.class_learning_rate))
            .or_else(|| positive("layer_decay", self.layer_decay))
            .or_else(|| positive("max_gradient", self.max_gradient))
            .or_else(|| positive("scale", self.scale))
            .or_else(|| positive("temperature", self.temperature))
            .or_else(|| positive("minutes", self.minutes as f32))
            .or_else(|| {
                (self.batch_rows < 2).then(|| "batch_rows is below 2; give 2 or more".to_owned())
            })
            .or_else(|| none.then(|| "no loss counts; give one a weight above 0".to_owned()))
            .or_else(|| {
                whole.then(|| {
                    format!("tuned_share is {}; give a number from 0 to 1", self.tuned_share)
                })
            })
    }
}

/// Lower-case hex SHA-256 over everything that a tuned encoder follows from. `encoder` is the hash
/// of the encoder it begins with, `valid` are the rows its epoch is chosen on.
pub fn identity<'a>(
    encoder: &str,
    rows: impl Iterator<Item = (&'a str, u32)>,
    valid: impl Iterator<Item = (&'a str, u32)>,
    options: &TuneOptions,
) -> String {
    let mut hash = Sha256::new();
    let checkpoint_s = TuneOptions::default().checkpoint_s;
    let options = TuneOptions { checkpoint_s, ..options.clone() };
    let options = serde_json::to_string(&options).expect("plain data is JSON");
    hash.update(format!("{TUNER_VERSION}\n{encoder}\n{options}\n"));
    for (text, label) in rows {
        hash.update(format!("{label} {text}\n"));
    }
    hash.update("valid\n");
    for (text, label) in valid {
        hash.update(format!("{label} {text}\n"));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_options_are_refused_by_name() {
        let good = TuneOptions::default();
        assert_eq!(good.refused(), None);
        for (options, expected) in [
            (TuneOptions { dropout: 1.0, ..good.clone() }, "dropout is 1;"),
            (TuneOptions { learning_rate: -1.0, ..good.clone() }, "learning_rate is -1;"),
            (TuneOptions { temperature: f32::NAN, ..good.clone() }, "temperature is NaN;"),
            (TuneOptions { batch_rows: 1, ..good.clone() }, "batch_rows is below 2"),
            (
                TuneOptions { cross_entropy: 0.0, contrastive: 0.0, ..good.clone() },
                "no loss counts",
            ),
            (TuneOptions { tuned_share: 1.5, ..good.clone() }, "tuned_share is 1.5;"),
        ] {
            let found = options.refused().unwrap_or_default();
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }

    #[test]
    fn identity_follows_rows_options_and_encoder() {
        let of = |encoder: &str, text: &str, label: u32, seed: u64| {
            let options = TuneOptions { seed, ..TuneOptions::default() };
            identity(encoder, [(text, label)].into_iter(), std::iter::empty(), &options)
        };
        let base = of("a", "x", 0, 1);
        assert_eq!(base, of("a", "x", 0, 1));
        for other in
            [of("b", "x", 0, 1), of("a", "y", 0, 1), of("a", "x", 1, 1), of("a", "x", 0, 2)]
        {
            assert_ne!(base, other);
        }
    }
}
