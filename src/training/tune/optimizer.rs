//! AdamW (Loshchilov and Hutter 2019, <https://arxiv.org/abs/1711.05101>) over flat vectors, and
//! the learning rate's schedule.

use std::ops::Range;
use std::thread;

use super::options::Decay;
use crate::kernels::widest;

const FIRST_DECAY: f32 = 0.9;
const SECOND_DECAY: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// Parameters that are treated alike.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// Where they lie.
    pub(super) range: Range<usize>,
    /// Their learning rate, as a multiple of the step's.
    pub(super) rate: f32,
    /// Their weight decay.
    pub(super) decay: f32,
}

/// The moments of the gradient and how parameters are treated.
pub(super) struct AdamW {
    /// Side by side and without gaps.
    groups: Vec<Group>,
    pub(super) first: Vec<f32>,
    pub(super) second: Vec<f32>,
}

/// Numbers of one step.
#[derive(Debug, Clone, Copy)]
struct Step {
    rate: f32,
    decay: f32,
    /// What each gradient is multiplied by.
    clip: f32,
    first_correction: f32,
    second_correction: f32,
}

impl AdamW {
    pub(super) fn new(groups: Vec<Group>) -> Self {
        let size = groups.last().map_or(0, |group| group.range.end);
        Self { groups, first: vec![0.0; size], second: vec![0.0; size] }
    }

    /// Takes step number `step`, from 1, on so many threads. `clip` multiplies the gradients.
    pub(super) fn update(
        &mut self,
        values: &mut [f32],
        gradients: &[f32],
        (step, rate, clip): (u64, f32, f32),
        threads: usize,
    ) {
        let power = i32::try_from(step).unwrap_or(i32::MAX);
        let first_correction = 1.0 / (1.0 - FIRST_DECAY.powi(power));
        let second_correction = 1.0 / (1.0 - SECOND_DECAY.powi(power));
        let part = values.len().div_ceil(threads.max(1)).max(1);
        let groups = &self.groups;
        let moments = self.first.chunks_mut(part).zip(self.second.chunks_mut(part));
        let parts = values.chunks_mut(part).zip(gradients.chunks(part)).zip(moments);
        thread::scope(|scope| {
            for (index, ((values, gradients), (first, second))) in parts.enumerate() {
                let mut work = move || {
                    let begin = index * part;
                    for group in groups {
                        let from = group.range.start.clamp(begin, begin + values.len()) - begin;
                        let to = group.range.end.clamp(begin, begin + values.len()) - begin;
                        let moments = (&mut first[from..to], &mut second[from..to]);
                        Step {
                            rate: rate * group.rate,
                            decay: group.decay,
                            clip,
                            first_correction,
                            second_correction,
                        }
                        .apply(
                            &mut values[from..to],
                            &gradients[from..to],
                            moments,
                        );
                    }
                };
                if threads > 1 {
                    scope.spawn(work);
                } else {
                    work();
                }
            }
        });
    }
}

impl Step {
    fn apply(
        self,
        values: &mut [f32],
        gradients: &[f32],
        (first, second): (&mut [f32], &mut [f32]),
    ) {
        let keep = 1.0 - self.rate * self.decay;
        let rate = self.rate * self.first_correction;
        let root = self.second_correction.sqrt();
        widest(|| {
            let moments = first.iter_mut().zip(second);
            for ((value, gradient), (first, second)) in
                values.iter_mut().zip(gradients).zip(moments)
            {
                let gradient = gradient * self.clip;
                *first = FIRST_DECAY * *first + (1.0 - FIRST_DECAY) * gradient;
                *second = SECOND_DECAY * *second + (1.0 - SECOND_DECAY) * gradient * gradient;
                *value = *value * keep - rate * *first / (second.sqrt() * root + EPSILON);
            }
        });
    }
}

/// The learning rate's course over a training.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    pub(super) steps: u64,
    /// Share of the steps in which the rate rises.
    pub(super) warm_up: f32,
    pub(super) decay: Decay,
    /// The share of the largest rate that it falls to.
    pub(super) last: f32,
}

impl Schedule {
    /// The share of the largest rate at step number `step`, from 1.
    pub(super) fn at(self, step: u64) -> f32 {
        let warm_up = (self.steps as f32 * self.warm_up).ceil();
        let step = step as f32;
        if step <= warm_up {
            return step / warm_up;
        }
        // The last step still moves: it is one before the end.
        let gone = (step - warm_up) / (self.steps as f32 - warm_up + 1.0);
        let left = match self.decay {
            Decay::Linear => (1.0 - gone).max(0.0),
            Decay::Cosine => 0.5 * (1.0 + (std::f32::consts::PI * gone.min(1.0)).cos()),
        };
        self.last + (1.0 - self.last) * left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_that_of_the_paper_and_the_same_on_more_threads() {
        let groups = || {
            vec![
                Group { range: 0..3, rate: 1.0, decay: 0.1 },
                Group { range: 3..5, rate: 0.5, decay: 0.0 },
            ]
        };
        let gradients = [[0.3_f32, -0.2, 0.0, 4.0, 1.0], [0.1, -0.4, 0.5, -1.0, 2.0]];
        let run = |threads| {
            let mut adam = AdamW::new(groups());
            let mut values = vec![1.0_f32, -2.0, 3.0, 0.5, -0.5];
            for (step, gradient) in gradients.iter().enumerate() {
                adam.update(&mut values, gradient, (step as u64 + 1, 0.01, 0.5), threads);
            }
            values
        };
        let mut expected = [1.0_f64, -2.0, 3.0, 0.5, -0.5];
        for (at, value) in expected.iter_mut().enumerate() {
            let (rate, decay) = if at < 3 { (0.01, 0.1) } else { (0.005, 0.0) };
            let (mut first, mut second) = (0.0_f64, 0.0_f64);
            for (step, gradient) in gradients.iter().enumerate() {
                let gradient = f64::from(gradient[at]) * 0.5;
                first = 0.9 * first + 0.1 * gradient;
                second = 0.999 * second + 0.001 * gradient * gradient;
                let power = step as i32 + 1;
                let mean = first / (1.0 - 0.9_f64.powi(power));
                let spread = second / (1.0 - 0.999_f64.powi(power));
                *value -= rate * (mean / (spread.sqrt() + 1e-8) + decay * *value);
            }
        }
        for (found, expected) in run(1).iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} {expected}");
        }
        assert_eq!(run(1), run(2));
        assert_eq!(run(1), run(7));
    }

    #[test]
    fn the_rate_rises_and_falls() {
        for decay in [Decay::Linear, Decay::Cosine] {
            let schedule = Schedule { steps: 100, warm_up: 0.1, decay, last: 0.0 };
            assert!((schedule.at(5) - 0.5).abs() < 1e-6);
            assert!((schedule.at(10) - 1.0).abs() < 1e-6);
            let course: Vec<f32> = (10..=100).map(|step| schedule.at(step)).collect();
            assert!(course.is_sorted_by(|a, b| a > b));
            assert!(schedule.at(100) > 0.0 && schedule.at(101) < 1e-6);
        }
        let schedule = Schedule { steps: 4, warm_up: 0.0, decay: Decay::Linear, last: 0.0 };
        assert_eq!(schedule.at(1), 0.8);
        assert_eq!(Schedule { last: 0.5, ..schedule }.at(5), 0.5);
    }
}
