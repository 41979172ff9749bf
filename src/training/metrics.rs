//! Figures of merit. Pure functions over predictions.

/// One judged prediction of an in-scope sentence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// The true class.
    pub truth: u32,
    /// The most probable class, before rejection.
    pub top: u32,
    /// Probability that `top` is right, 0 to 1.
    pub confidence: f32,
    /// True when the engine said "matched".
    pub accepted: bool,
}

/// Share of sentences whose top class is the true one, rejection aside. 0 without sentences.
pub fn accuracy(judged: &[Judged]) -> f64 {
    share(judged, |one| one.top == one.truth)
}

/// Share of sentences that were accepted and right: rejections count as errors.
pub fn accuracy_with_rejections(judged: &[Judged]) -> f64 {
    share(judged, |one| one.accepted && one.top == one.truth)
}

/// Share of `items` with the property; 0 without items.
pub fn share<T>(items: &[T], has: impl Fn(&T) -> bool) -> f64 {
    if items.is_empty() {
        return 0.0;
    }
    items.iter().filter(|item| has(item)).count() as f64 / items.len() as f64
}

/// Mean of the classes' F1 over the classes that occur as a truth or a prediction.
pub fn macro_f1(judged: &[Judged], classes: usize) -> f64 {
    let mut hits = vec![0u32; classes];
    let mut truths = vec![0u32; classes];
    let mut tops = vec![0u32; classes];
    for one in judged {
        truths[one.truth as usize] += 1;
        tops[one.top as usize] += 1;
        hits[one.top as usize] += u32::from(one.top == one.truth);
    }
    let scores: Vec<f64> = (0..classes)
        .filter(|&class| truths[class] + tops[class] > 0)
        .map(|class| 2.0 * f64::from(hits[class]) / f64::from(truths[class] + tops[class]))
        .collect();
    if scores.is_empty() { 0.0 } else { scores.iter().sum::<f64>() / scores.len() as f64 }
}

/// Area under the ROC curve: the probability that a random in-scope score is above a random
/// out-of-scope score, ties half (Mann–Whitney). None without both kinds.
pub fn auroc(in_scope: &[f32], out_of_scope: &[f32]) -> Option<f64> {
    if in_scope.is_empty() || out_of_scope.is_empty() {
        return None;
    }
    let mut all: Vec<(f32, bool)> = in_scope.iter().map(|&score| (score, true)).collect();
    all.extend(out_of_scope.iter().map(|&score| (score, false)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut rank_sum = 0.0;
    let mut before = 0usize;
    for ties in all.chunk_by(|a, b| a.0 == b.0) {
        let mean_rank = before as f64 + (ties.len() as f64 + 1.0) / 2.0;
        rank_sum += mean_rank * ties.iter().filter(|one| one.1).count() as f64;
        before += ties.len();
    }
    let (m, n) = (in_scope.len() as f64, out_of_scope.len() as f64);
    Some((rank_sum - m * (m + 1.0) / 2.0) / (m * n))
}

/// Expected calibration error over `bins` equal-width bins of confidence (Guo et al. 2017).
pub fn expected_calibration_error(judged: &[Judged], bins: usize) -> f64 {
    let mut sums = vec![(0usize, 0.0f64, 0.0f64); bins];
    for one in judged {
        let bin = ((one.confidence * bins as f32) as usize).min(bins - 1);
        sums[bin].0 += 1;
        sums[bin].1 += f64::from(one.confidence);
        sums[bin].2 += f64::from(u8::from(one.top == one.truth));
    }
    let total: usize = sums.iter().map(|bin| bin.0).sum();
    let gap: f64 = sums.iter().map(|(_, confidence, right)| (confidence - right).abs()).sum();
    if total == 0 { 0.0 } else { gap / total as f64 }
}

/// The 95 % interval of a share of `of` items (Wilson 1927); everything without items.
pub fn wilson_interval(share: f64, of: usize) -> (f64, f64) {
    const Z: f64 = 1.96;
    if of == 0 {
        return (0.0, 1.0);
    }
    let n = of as f64;
    let middle = share + Z * Z / (2.0 * n);
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let all = 1.0 + Z * Z / n;
    (((middle - half) / all).max(0.0), ((middle + half) / all).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(truth: u32, top: u32, confidence: f32, accepted: bool) -> Judged {
        Judged { truth, top, confidence, accepted }
    }

    #[test]
    fn accuracies() {
        let some = [
            judged(0, 0, 0.9, true),
            judged(0, 0, 0.4, false),
            judged(1, 0, 0.8, true),
            judged(1, 1, 0.9, true),
        ];
        assert_eq!(accuracy(&some), 0.75);
        assert_eq!(accuracy_with_rejections(&some), 0.5);
        assert_eq!(accuracy(&[]), 0.0);
        // Class 0: 2 hits of 2 truths and 3 predictions; class 1: 1 of 2 and 1; class 2 never occurs.
        assert!((macro_f1(&some, 3) - (4.0 / 5.0 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn intervals() {
        let (low, high) = wilson_interval(0.5, 100);
        assert!((low - 0.404).abs() < 5e-4 && (high - 0.596).abs() < 5e-4);
        assert_eq!(wilson_interval(0.0, 10).0, 0.0);
        assert_eq!(wilson_interval(0.0, 0), (0.0, 1.0));
    }

    #[test]
    fn auroc_table() {
        for (name, above, below, expected) in [
            ("apart", &[0.9, 0.8][..], &[0.1, 0.2][..], Some(1.0)),
            ("reversed", &[0.1], &[0.9], Some(0.0)),
            ("ties", &[0.5, 0.5], &[0.5], Some(0.5)),
            ("mixed", &[0.9, 0.3], &[0.5], Some(0.5)),
            ("one side", &[0.9], &[], None),
        ] {
            assert_eq!(auroc(above, below), expected, "{name}");
        }
    }

    #[test]
    fn calibration() {
        let sure_and_half_right = [judged(0, 0, 1.0, true), judged(0, 1, 1.0, true)];
        assert_eq!(expected_calibration_error(&sure_and_half_right, 10), 0.5);
        assert_eq!(expected_calibration_error(&[], 10), 0.0);
    }
}
