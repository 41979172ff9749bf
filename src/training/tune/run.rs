//! The training loop: epochs of steps, checkpoints, the choice of an epoch, and the end.

use std::path::Path;
use std::time::Instant;

use super::checkpoint::{self, CheckpointError, Position, Saved};
use super::dropout::key;
use super::loss::{Loss, unit_rows};
use super::network::Network;
use super::optimizer::{AdamW, Group, Schedule};
use super::options::TuneOptions;
use super::sampler::Sampler;
use super::snapshot::Snapshot;
use super::team::{Batch, Judged, Team, Texts};
use super::{TuneError, Validate};
use crate::progress::Progress;

/// A training: what does not change.
pub(super) struct Run<'a> {
    pub(super) network: &'a Network<'a>,
    pub(super) texts: &'a Texts,
    pub(super) labels: &'a [u32],
    pub(super) options: &'a TuneOptions,
    /// The trainable layers as they were.
    pub(super) initial: &'a [f32],
    pub(super) identity: &'a str,
    pub(super) checkpoint: Option<&'a Path>,
    /// Ends after so many steps of this process, for tests.
    pub(super) stop_after: Option<u64>,
}

/// What changes.
struct State {
    position: Position,
    trained: Vec<f32>,
    classes: Vec<f32>,
    /// What is taken from each embedding before the losses; empty: nothing.
    centre: Vec<f32>,
    layers_adam: AdamW,
    classes_adam: AdamW,
    /// Weights of the best epoch so far.
    best: Vec<f32>,
}

/// What came out.
pub(super) struct Outcome {
    pub(super) position: Position,
    /// Parameters of the trainable layers.
    pub(super) trained: Vec<f32>,
    /// True when the time was over before the epochs were.
    pub(super) out_of_time: bool,
}

impl Run<'_> {
    /// Trains from the checkpoint, if there is one, or from `first`, which gives the intents' first
    /// vectors and the centre.
    /// `None` when [`Self::stop_after`] ended it.
    ///
    /// # Errors
    /// [`TuneError`].
    pub(super) fn go(
        &self,
        first: impl FnOnce(&mut Team) -> Result<(Vec<f32>, Vec<f32>), TuneError>,
        team: &mut Team,
        mut validate: Option<Validate<'_>>,
        progress: &dyn Progress,
    ) -> Result<Option<Outcome>, TuneError> {
        let options = self.options;
        let sampler = Sampler::new(self.labels, options.batch_rows, options.rows_an_intent);
        let epochs = options.epochs(self.labels.len());
        let a_epoch = sampler.batches() as u64;
        let steps = a_epoch * epochs as u64;
        let mut state = match self.resume(progress)? {
            Some(state) => state,
            None => {
                let (classes, centre) = first(team)?;
                self.begin(classes, centre)
            }
        };
        let begun = Instant::now();
        let before_s = state.position.seconds;
        let (mut saved, mut out_of_time, mut done) = (Instant::now(), false, 0);
        progress.start_items("tuning the encoder", steps);
        progress.advance(state.position.step);
        let TuneOptions { warm_up, decay, last_rate: last, .. } = *options;
        let schedule = Schedule { steps, warm_up, decay, last };
        while state.position.step < steps && !out_of_time {
            let epoch = (state.position.step / a_epoch) as usize;
            let batches = self.batches(&sampler, epoch, &state.classes);
            while state.position.step / a_epoch == epoch as u64 && !out_of_time {
                let rows = &batches[(state.position.step % a_epoch) as usize];
                state.position.step += 1;
                self.step(&mut state, rows, schedule, team)?;
                progress.advance(1);
                done += 1;
                state.position.seconds = before_s + begun.elapsed().as_secs_f64();
                out_of_time = state.position.seconds > options.minutes * 60.0;
                let over = state.position.step.is_multiple_of(a_epoch);
                if over {
                    self.end_epoch(&mut state, a_epoch, epochs, &mut validate, progress)?;
                }
                if saved.elapsed().as_secs_f64() >= options.checkpoint_s {
                    self.save(&state)?;
                    saved = Instant::now();
                }
                if self.stop_after == Some(done) {
                    self.save(&state)?;
                    progress.finish();
                    return Ok(None);
                }
                if over {
                    break;
                }
            }
        }
        progress.finish();
        let out_of_time = state.position.step < steps;
        let State { position, trained, best, .. } = state;
        let trained = if position.best.is_some() { best } else { self.average(&trained) };
        Ok(Some(Outcome { position, trained, out_of_time }))
    }

    fn begin(&self, classes: Vec<f32>, centre: Vec<f32>) -> State {
        let options = self.options;
        let shape = self.network.shape;
        let groups = shape.segments(self.network.first).into_iter().map(|segment| Group {
            range: segment.range,
            rate: options.layer_decay.powi((shape.layers - 1 - segment.layer) as i32),
            decay: if segment.decays { options.weight_decay } else { 0.0 },
        });
        let of_classes = vec![Group { range: 0..classes.len(), rate: 1.0, decay: 0.0 }];
        State {
            position: Position { identity: self.identity.to_owned(), ..Position::default() },
            trained: self.initial.to_vec(),
            layers_adam: AdamW::new(groups.collect()),
            classes_adam: AdamW::new(of_classes),
            classes,
            centre,
            best: Vec::new(),
        }
    }

    /// The state of the checkpoint; a damaged one is reported and not used.
    fn resume(&self, progress: &dyn Progress) -> Result<Option<State>, TuneError> {
        let Some(path) = self.checkpoint else { return Ok(None) };
        let refused = |reason: &str| {
            progress.note(&format!(
                "the checkpoint {} is damaged ({reason}); tuning begins anew",
                path.display()
            ));
        };
        let Saved { position, vectors } = match checkpoint::read(path, self.identity) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(CheckpointError::Damaged(reason)) => {
                refused(&reason);
                return Ok(None);
            }
            Err(CheckpointError::Io(source)) => return Err(self.unwritable(source)),
        };
        let Ok([trained, first, second, classes, of_classes, second_of_classes, centre, best]) =
            <[Vec<f32>; 8]>::try_from(vectors)
        else {
            refused("it has other vectors");
            return Ok(None);
        };
        let mut state = self.begin(classes, centre);
        let lengths = [&trained, &first, &second].map(Vec::len);
        if lengths != [state.trained.len(); 3] {
            refused("its vectors have other lengths");
            return Ok(None);
        }
        (state.trained, state.best, state.position) = (trained, best, position);
        (state.layers_adam.first, state.layers_adam.second) = (first, second);
        (state.classes_adam.first, state.classes_adam.second) = (of_classes, second_of_classes);
        progress.note(&format!("going on after step {}", state.position.step));
        Ok(Some(state))
    }

    fn save(&self, state: &State) -> Result<(), TuneError> {
        let Some(path) = self.checkpoint else { return Ok(()) };
        let vectors: [&[f32]; 8] = [
            &state.trained,
            &state.layers_adam.first,
            &state.layers_adam.second,
            &state.classes,
            &state.classes_adam.first,
            &state.classes_adam.second,
            &state.centre,
            &state.best,
        ];
        checkpoint::write(path, &state.position, &vectors).map_err(|source| self.unwritable(source))
    }

    fn unwritable(&self, source: std::io::Error) -> TuneError {
        let path = self.checkpoint.unwrap_or(Path::new("")).to_owned();
        TuneError::Checkpoint { path, source }
    }

    fn batches(&self, sampler: &Sampler<'_>, epoch: usize, classes: &[f32]) -> Vec<Vec<usize>> {
        if !self.options.hard_batches {
            return sampler.epoch(self.options.seed, epoch, None);
        }
        let width = self.network.shape.hidden;
        let (units, _) = unit_rows(classes, width);
        let near = |intent: u32| -> Vec<u32> {
            let own = &units[intent as usize * width..][..width];
            let mut others: Vec<(f32, u32)> = units
                .chunks_exact(width)
                .enumerate()
                .filter(|(at, _)| *at != intent as usize)
                .map(|(at, row)| (super::rows::dot(own, row), at as u32))
                .collect();
            others.sort_by(|a, b| b.0.total_cmp(&a.0));
            others.into_iter().map(|one| one.1).collect()
        };
        sampler.epoch(self.options.seed, epoch, Some(&near))
    }

    /// One step on `rows`; the position counts it already.
    fn step(
        &self,
        state: &mut State,
        rows: &[usize],
        schedule: Schedule,
        team: &mut Team,
    ) -> Result<(), TuneError> {
        let options = self.options;
        let loss = Loss {
            scale: options.scale,
            label_smoothing: options.label_smoothing,
            cross_entropy: options.cross_entropy,
            contrastive: options.contrastive,
            temperature: options.temperature,
        };
        let labels: Vec<u32> = rows.iter().map(|row| self.labels[*row]).collect();
        let number = state.position.step;
        let batch = Batch { texts: self.texts, rows, key: key(options.seed as u32, number as u32) };
        let mut d_classes = Vec::new();
        let value = team.step(self.network, &state.trained, batch, |embeddings| {
            let vectors = (state.classes.as_slice(), state.centre.as_slice());
            let found = loss.of(embeddings, &labels, vectors, self.network.shape.hidden);
            d_classes = found.d_classes;
            Judged { value: found.value, d_embeddings: found.d_embeddings }
        })?;
        let threads = team.threads();
        let (gradients, norm) = team.gradients();
        if !(value.is_finite() && norm.is_finite()) {
            return Err(TuneError::Diverged { step: number });
        }
        state.position.loss += value;
        let clip = (f64::from(options.max_gradient) / norm.max(1e-12)).min(1.0) as f32;
        let share = schedule.at(number);
        let numbers = (number, options.learning_rate * share, clip);
        state.layers_adam.update(&mut state.trained, gradients, numbers, threads);
        let numbers = (number, options.class_learning_rate * share, 1.0);
        state.classes_adam.update(&mut state.classes, &d_classes, numbers, 1);
        Ok(())
    }

    /// Measures the epoch, where there is something to measure it on, and keeps the best.
    fn end_epoch(
        &self,
        state: &mut State,
        steps: u64,
        epochs: usize,
        validate: &mut Option<Validate<'_>>,
        progress: &dyn Progress,
    ) -> Result<(), TuneError> {
        let epoch = state.position.losses.len();
        state.position.losses.push(state.position.loss / steps as f64);
        state.position.loss = 0.0;
        let loss = state.position.losses[epoch];
        let mut line = format!("epoch {} of {epochs}: loss {loss:.4}", epoch + 1);
        if let Some(validate) = validate {
            let weights = self.average(&state.trained);
            let score = validate(&Snapshot::new(self.network, &weights))?;
            line = format!("{line}, {:.2} % right on the validation rows", 100.0 * score);
            let best = state.position.best.map(|best| state.position.scores[best]);
            state.position.scores.push(score);
            if best.is_none_or(|best| score >= best) {
                state.position.best = Some(epoch);
                state.best = weights;
            }
        }
        progress.note(&format!("{line}, {:.0} s", state.position.seconds));
        Ok(())
    }

    /// The tuned weights, averaged with the initial ones.
    fn average(&self, trained: &[f32]) -> Vec<f32> {
        let share = self.options.tuned_share;
        if share == 1.0 {
            return trained.to_vec();
        }
        let pairs = self.initial.iter().zip(trained);
        pairs.map(|(initial, tuned)| initial + share * (tuned - initial)).collect()
    }
}
