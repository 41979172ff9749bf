//! Limited-memory BFGS for smooth convex functions (Nocedal and Wright 2006, algorithms 7.4, 7.5).

use std::collections::VecDeque;

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    /// At most so many iterations.
    pub(super) iterations: usize,
    /// Stop when no gradient element is larger.
    pub(super) gradient_tolerance: f32,
    /// Stop when an iteration gains less than this share of the value.
    pub(super) value_tolerance: f64,
}

/// Pairs of steps and gradient changes that are remembered.
const HISTORY: usize = 8;
/// Share of the expected decrease that a step must bring (Armijo).
const SUFFICIENT: f64 = 1e-4;

struct Pair {
    step: Vec<f32>,
    change: Vec<f32>,
    /// 1 / ⟨change, step⟩
    rho: f64,
}

/// Minimises `f` from `x`; `f` returns the value and writes the gradient.
pub(super) fn minimize(
    mut x: Vec<f32>,
    options: Options,
    mut f: impl FnMut(&[f32], &mut [f32]) -> f64,
) -> Vec<f32> {
    let mut gradient = vec![0.0; x.len()];
    let mut value = f(&x, &mut gradient);
    let mut pairs: VecDeque<Pair> = VecDeque::with_capacity(HISTORY);
    for _ in 0..options.iterations {
        let largest = gradient.iter().fold(0.0f32, |most, g| most.max(g.abs()));
        if largest <= options.gradient_tolerance {
            break;
        }
        let mut direction = descent_direction(&gradient, &pairs);
        let mut slope = dot(&direction, &gradient);
        if slope >= 0.0 {
            // Rounding spoilt the history: fall back to steepest descent.
            pairs.clear();
            direction = gradient.iter().map(|g| -g).collect();
            slope = dot(&direction, &gradient);
        }
        let mut length =
            if pairs.is_empty() { (1.0 / dot(&gradient, &gradient).sqrt()).min(1.0) } else { 1.0 };
        let mut next_gradient = vec![0.0; x.len()];
        let accepted = loop {
            let next: Vec<f32> =
                x.iter().zip(&direction).map(|(x, d)| x + length as f32 * d).collect();
            let next_value = f(&next, &mut next_gradient);
            if next_value <= value + SUFFICIENT * length * slope {
                break Some((next, next_value));
            }
            length *= 0.5;
            if length < 1e-10 {
                break None;
            }
        };
        let Some((next, next_value)) = accepted else { break };
        let step: Vec<f32> = next.iter().zip(&x).map(|(a, b)| a - b).collect();
        let change: Vec<f32> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let curvature = dot(&change, &step);
        if curvature > 1e-12 {
            if pairs.len() == HISTORY {
                pairs.pop_front();
            }
            pairs.push_back(Pair { step, change, rho: 1.0 / curvature });
        }
        let gain = value - next_value;
        (x, gradient, value) = (next, next_gradient, next_value);
        if gain <= options.value_tolerance * value.abs().max(1e-12) {
            break;
        }
    }
    x
}

/// The two-loop recursion: minus the inverse Hessian's estimate times the gradient.
fn descent_direction(gradient: &[f32], pairs: &VecDeque<Pair>) -> Vec<f32> {
    let mut q: Vec<f32> = gradient.iter().map(|g| -g).collect();
    let mut alphas = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let alpha = pair.rho * dot(&pair.step, &q);
        add_scaled(&mut q, -alpha, &pair.change);
        alphas.push(alpha);
    }
    if let Some(last) = pairs.back() {
        let scale = (1.0 / (last.rho * dot(&last.change, &last.change))) as f32;
        q.iter_mut().for_each(|value| *value *= scale);
    }
    for (pair, alpha) in pairs.iter().zip(alphas.into_iter().rev()) {
        let beta = pair.rho * dot(&pair.change, &q);
        add_scaled(&mut q, alpha - beta, &pair.step);
    }
    q
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let blocks = a.chunks(1024).zip(b.chunks(1024));
    blocks.map(|(a, b)| f64::from(crate::intent::whitening::dot(a, b))).sum()
}

fn add_scaled(target: &mut [f32], scale: f64, source: &[f32]) {
    for (t, s) in target.iter_mut().zip(source) {
        *t += scale as f32 * s;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: Options =
        Options { iterations: 200, gradient_tolerance: 1e-6, value_tolerance: 0.0 };

    #[test]
    fn finds_the_minimum_of_a_stretched_bowl() {
        let found = minimize(vec![5.0; 30], OPTIONS, |x, gradient| {
            let mut value = 0.0;
            for (i, (x, g)) in x.iter().zip(gradient).enumerate() {
                let weight = (i * i + 1) as f32;
                let off = x - i as f32;
                *g = 2.0 * weight * off;
                value += f64::from(weight * off * off);
            }
            value
        });
        for (i, x) in found.iter().enumerate() {
            assert!((x - i as f32).abs() < 1e-3, "{i}: {x}");
        }
    }

    #[test]
    fn stops_where_it_starts_when_that_is_the_minimum() {
        let mut calls = 0;
        let found = minimize(vec![0.0; 3], OPTIONS, |x, gradient| {
            calls += 1;
            gradient.copy_from_slice(x);
            f64::from(x.iter().map(|x| x * x).sum::<f32>())
        });
        assert_eq!((found, calls), (vec![0.0; 3], 1));
    }
}
