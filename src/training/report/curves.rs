//! The curves of an evaluation. Pure functions from judgements to points; shares are 0 to 1.

use serde::{Deserialize, Serialize};

use super::Judgement;
use crate::intent::answer::Status;

/// Bars of the confidence histogram.
const HISTOGRAM_BINS: usize = 20;
/// Bins of the reliability curve.
const RELIABILITY_BINS: usize = 10;
/// A curve keeps at most about this many points: more than a screen can show.
const CURVE_POINTS: usize = 200;

/// How many sentences have a confidence in `[from, to)`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct HistogramBin {
    /// Least confidence.
    pub from: f64,
    /// Bound of the confidence.
    pub to: f64,
    /// In-scope sentences whose top intent is right.
    pub right: usize,
    /// In-scope sentences whose top intent is wrong.
    pub wrong: usize,
    /// Out-of-scope sentences.
    pub out_of_scope: usize,
}

/// In-scope sentences of like confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Their mean confidence.
    pub confidence: f64,
    /// Share whose top intent is right.
    pub accuracy: f64,
    /// How many they are.
    pub sentences: usize,
}

/// A point of a curve, both 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Across.
    pub x: f64,
    /// Up.
    pub y: f64,
}

/// Counts by confidence.
pub(super) fn histogram(all: &[Judgement]) -> Vec<HistogramBin> {
    let width = 1.0 / HISTOGRAM_BINS as f64;
    let mut bins: Vec<HistogramBin> = (0..HISTOGRAM_BINS)
        .map(|bin| HistogramBin {
            from: bin as f64 * width,
            to: (bin + 1) as f64 * width,
            ..HistogramBin::default()
        })
        .collect();
    for one in all {
        let bin = &mut bins[bin_of(one.confidence, HISTOGRAM_BINS)];
        match one.truth {
            Some(truth) if truth == one.top => bin.right += 1,
            Some(_) => bin.wrong += 1,
            None => bin.out_of_scope += 1,
        }
    }
    bins
}

/// Accuracy by confidence, empty bins left out.
pub(super) fn reliability(in_scope: &[Judgement]) -> Vec<ReliabilityBin> {
    let mut sums = vec![(0usize, 0.0f64, 0usize); RELIABILITY_BINS];
    for one in in_scope {
        let bin = &mut sums[bin_of(one.confidence, RELIABILITY_BINS)];
        bin.0 += 1;
        bin.1 += f64::from(one.confidence);
        bin.2 += usize::from(one.truth == Some(one.top));
    }
    sums.into_iter()
        .filter(|bin| bin.0 > 0)
        .map(|(sentences, confidence, right)| ReliabilityBin {
            confidence: confidence / sentences as f64,
            accuracy: right as f64 / sentences as f64,
            sentences,
        })
        .collect()
}

/// Share of wrong answers (y) among the share of in-scope sentences (x) that are answered when
/// only the most confident are (El-Yaniv and Wiener 2010).
pub(super) fn risk_coverage(in_scope: &[Judgement]) -> Vec<CurvePoint> {
    let mut all: Vec<(f32, bool)> =
        in_scope.iter().map(|one| (one.confidence, one.truth == Some(one.top))).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut answered, mut wrong) = (0usize, 0usize);
    let mut points = Vec::new();
    for ties in all.chunk_by(|a, b| a.0 == b.0) {
        answered += ties.len();
        wrong += ties.iter().filter(|one| !one.1).count();
        let x = answered as f64 / all.len() as f64;
        points.push(CurvePoint { x, y: wrong as f64 / answered as f64 });
    }
    thin(&points)
}

/// Share of out-of-scope sentences found (y) by the share of in-scope sentences that are called
/// out of scope with them (x). Empty without out-of-scope sentences.
pub(super) fn out_of_scope(inside: &[Judgement], outside: &[Judgement]) -> Vec<CurvePoint> {
    if inside.is_empty() || outside.is_empty() {
        return Vec::new();
    }
    let mut all: Vec<(f32, bool)> = inside.iter().map(|one| (one.in_scope, true)).collect();
    all.extend(outside.iter().map(|one| (one.in_scope, false)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut lost, mut found) = (0usize, 0usize);
    let mut points = vec![CurvePoint { x: 0.0, y: 0.0 }];
    for ties in all.chunk_by(|a, b| a.0 == b.0) {
        lost += ties.iter().filter(|one| one.1).count();
        found += ties.iter().filter(|one| !one.1).count();
        let x = lost as f64 / inside.len() as f64;
        points.push(CurvePoint { x, y: found as f64 / outside.len() as f64 });
    }
    thin(&points)
}

/// Where the fitted thresholds stand on the risk-coverage curve: share called matched, share of
/// wrong ones among these.
pub(super) fn matched(in_scope: &[Judgement]) -> CurvePoint {
    let matched = in_scope.iter().filter(|one| one.status == Status::Matched);
    let (count, wrong) = matched.fold((0usize, 0usize), |(count, wrong), one| {
        (count + 1, wrong + usize::from(one.truth != Some(one.top)))
    });
    CurvePoint {
        x: count as f64 / in_scope.len().max(1) as f64,
        y: wrong as f64 / count.max(1) as f64,
    }
}

fn bin_of(share: f32, bins: usize) -> usize {
    // Saturates: below 0 is 0.
    ((share * bins as f32) as usize).min(bins - 1)
}

/// Keeps points evenly, the first and the last always.
fn thin(points: &[CurvePoint]) -> Vec<CurvePoint> {
    let every = points.len().div_ceil(CURVE_POINTS).max(1);
    let last = points.len().saturating_sub(1);
    let kept = points.iter().enumerate().filter(|(at, _)| at % every == 0 || *at == last);
    kept.map(|(_, point)| *point).collect()
}

#[cfg(test)]
mod tests {
    use super::super::sample::judgement;
    use super::*;

    #[test]
    fn histogram_counts_each_sentence_once() {
        let all = [
            judgement("", Some(0), 0, 1.0),
            judgement("", Some(0), 1, 0.97),
            judgement("", None, 0, 0.0),
        ];
        let bins = histogram(&all);
        assert_eq!((bins[19].right, bins[19].wrong, bins[0].out_of_scope), (1, 1, 1));
        assert_eq!(
            bins.iter().map(|bin| bin.right + bin.wrong + bin.out_of_scope).sum::<usize>(),
            3
        );
        assert_eq!(reliability(&all[..2])[0].accuracy, 0.5);
    }

    #[test]
    fn risk_grows_with_coverage() {
        let all = [
            judgement("", Some(0), 0, 0.9),
            judgement("", Some(0), 1, 0.2),
            judgement("", Some(1), 1, 0.8),
            judgement("", Some(1), 1, 0.2),
        ];
        let xy: Vec<(f64, f64)> = risk_coverage(&all).iter().map(|p| (p.x, p.y)).collect();
        assert_eq!(xy, [(0.25, 0.0), (0.5, 0.0), (1.0, 0.25)]);
        assert!(risk_coverage(&[]).is_empty());
    }

    #[test]
    fn out_of_scope_curve_ends_in_the_corner() {
        let inside = [judgement("", Some(0), 0, 0.9), judgement("", Some(0), 0, 0.4)];
        let outside = [judgement("", None, 0, 0.1), judgement("", None, 0, 0.4)];
        let xy: Vec<(f64, f64)> =
            out_of_scope(&inside, &outside).iter().map(|p| (p.x, p.y)).collect();
        assert_eq!(xy, [(0.0, 0.0), (0.0, 0.5), (0.5, 1.0), (1.0, 1.0)]);
    }

    #[test]
    fn long_curves_are_thinned() {
        let many: Vec<CurvePoint> =
            (0..5001).map(|n| CurvePoint { x: f64::from(n), y: 0.0 }).collect();
        let few = thin(&many);
        assert!(few.len() <= CURVE_POINTS + 1);
        assert_eq!((few[0].x, few[few.len() - 1].x), (0.0, 5000.0));
    }
}
