//! The charts of one or of two evaluations: which axes, which points, which words.

use std::fmt::Write;

use super::chart::{Axis, Chart, Text};
use super::evaluation::Evaluation;

/// An evaluation in a chart. `class` is its colour and stroke in the style.
pub(super) struct Series<'a> {
    pub(super) name: &'a str,
    pub(super) class: &'static str,
    pub(super) of: &'a Evaluation,
}

/// All charts of the evaluations, each a `figure`; those without data are left out. The histogram
/// is of one evaluation only: two would hide each other.
pub(super) fn all(series: &[Series]) -> String {
    let mut page = String::new();
    if let [one] = series {
        page += &histogram(one.of);
    }
    page += &reliability(series);
    page += &risk_coverage(series);
    page += &out_of_scope(series);
    page += &learning_curve(series);
    page
}

fn figure(title: &str, chart: Chart, keys: &[(&str, String)], note: &str) -> String {
    let mut page = format!("<figure><h3>{title}</h3>{}<p class=\"keys\">", chart.finish());
    for (class, name) in keys {
        write!(page, "<span><i class=\"key {class}\"></i>{}</span> ", Text(name)).expect("string");
    }
    page + &format!("</p><figcaption>{note}</figcaption></figure>\n")
}

fn names<'a>(series: &[Series<'a>]) -> Vec<(&'a str, String)> {
    if series.len() < 2 {
        return Vec::new();
    }
    series.iter().map(|one| (one.class, one.name.to_owned())).collect()
}

fn histogram(of: &Evaluation) -> String {
    let count = |kind: fn(&super::curves::HistogramBin) -> usize| {
        of.histogram.iter().map(kind).sum::<usize>()
    };
    let kinds = [
        ("right", "right", count(|bin| bin.right)),
        ("wrong", "wrong intent", count(|bin| bin.wrong)),
        ("oos", "out of scope", count(|bin| bin.out_of_scope)),
    ];
    let parts = |bin: &super::curves::HistogramBin| [bin.right, bin.wrong, bin.out_of_scope];
    let share = |count: usize, all: usize| count as f64 / all.max(1) as f64;
    let most = of
        .histogram
        .iter()
        .flat_map(|bin| {
            (0..3).map(|kind| share(parts(bin)[kind], kinds[kind].2)).collect::<Vec<_>>()
        })
        .fold(0.05, f64::max);
    let title = "Confidence";
    let mut chart = Chart::new(
        title,
        Axis::percent("confidence of the top intent (%)", 0.0, 1.0),
        Axis::percent("share of its kind (%)", 0.0, most),
    );
    for bin in &of.histogram {
        let width = (bin.to - bin.from) / 3.6;
        for (kind, (class, name, all)) in kinds.iter().enumerate() {
            let from = bin.from + (kind as f64 + 0.3) * width;
            let count = parts(bin)[kind];
            let hover = format!(
                "{name}, {:.0}–{:.0} %: {count} sentences",
                100.0 * bin.from,
                100.0 * bin.to
            );
            chart.bar((from, from + width), share(count, *all), class, &hover);
        }
    }
    if let Some(limits) = of.figures.thresholds {
        let matched = f64::from(limits.matched);
        chart.upright(matched, &format!("matched from {:.1} %", 100.0 * matched));
    }
    let keys: Vec<(&str, String)> = kinds
        .iter()
        .filter(|kind| kind.2 > 0)
        .map(|(class, name, all)| (*class, format!("{name} ({all})")))
        .collect();
    figure(
        title,
        chart,
        &keys,
        "How confident the engine is in sentences of three kinds; each kind adds up to 100 %. \
         The dashed line is the threshold of “matched”. Good: blue right of it, the others left.",
    )
}

fn reliability(series: &[Series]) -> String {
    let title = "Reliability";
    let mut chart = Chart::new(
        title,
        Axis::percent("confidence of the top intent (%)", 0.0, 1.0),
        Axis::percent("right (%)", 0.0, 1.0),
    );
    chart.line([(0.0, 0.0), (1.0, 1.0)].into_iter(), "ideal");
    for one in series {
        let bins = &one.of.reliability;
        chart.line(bins.iter().map(|bin| (bin.confidence, bin.accuracy)), one.class);
        let all: usize = bins.iter().map(|bin| bin.sentences).sum();
        for bin in bins {
            let hover = format!(
                "{} sentences: confidence {:.0} %, right {:.0} %",
                bin.sentences,
                100.0 * bin.confidence,
                100.0 * bin.accuracy
            );
            let radius = 2.5 + 6.0 * (bin.sentences as f64 / all.max(1) as f64).sqrt();
            chart.dot((bin.confidence, bin.accuracy), radius, one.class, &hover);
        }
    }
    figure(
        title,
        chart,
        &names(series),
        "Of in-scope sentences with a confidence, how many are right; larger dots stand for more \
         sentences. Good: on the dashed diagonal. Above it the engine is too modest, below it too \
         sure.",
    )
}

fn risk_coverage(series: &[Series]) -> String {
    let risks = series.iter().flat_map(|one| one.of.risk_coverage.iter().map(|point| point.y));
    let title = "Risk and coverage";
    let mut chart = Chart::new(
        title,
        Axis::percent("in-scope sentences answered (%)", 0.0, 1.0),
        Axis::percent("wrong among the answered (%)", 0.0, risks.fold(0.004, f64::max)),
    );
    for one in series {
        chart.line(one.of.risk_coverage.iter().map(|point| (point.x, point.y)), one.class);
        let at = one.of.matched;
        let hover = format!(
            "at the fitted thresholds: {:.1} % answered, {:.1} % of these wrong",
            100.0 * at.x,
            100.0 * at.y
        );
        chart.dot((at.x, at.y), 5.0, one.class, &hover);
    }
    figure(
        title,
        chart,
        &names(series),
        "How often the answer is wrong if only the most confident share of the in-scope sentences \
         is answered. The dot is where the fitted thresholds stand. Good: low, and rising late.",
    )
}

fn out_of_scope(series: &[Series]) -> String {
    if series.iter().all(|one| one.of.out_of_scope.is_empty()) {
        return String::new();
    }
    // The rest of the axis is a flat line near 100 %.
    let enough = series.iter().filter_map(|one| {
        one.of.out_of_scope.iter().find(|point| point.y >= 0.99).map(|point| point.x)
    });
    let used = series.iter().map(|one| 1.5 * one.of.figures.in_scope_rejected);
    let end = enough.chain(used).fold(0.05, f64::max).min(1.0);
    let title = "Out-of-scope detection";
    let mut chart = Chart::new(
        title,
        Axis::percent("in-scope sentences rejected (%)", 0.0, end),
        Axis::percent("out-of-scope sentences found (%)", 0.0, 1.0),
    );
    for one in series {
        chart.line(one.of.out_of_scope.iter().map(|point| (point.x, point.y)), one.class);
        if let Some(recall) = one.of.figures.oos_recall {
            let lost = one.of.figures.in_scope_rejected;
            let hover = format!(
                "at the fitted threshold: {:.1} % found, {:.1} % of the in-scope sentences rejected",
                100.0 * recall,
                100.0 * lost
            );
            chart.dot((lost, recall), 5.0, one.class, &hover);
        }
    }
    figure(
        title,
        chart,
        &names(series),
        "What finding out-of-scope sentences costs in rejected in-scope ones (the ROC curve, its \
         left part). The dot is where the fitted threshold stands. Good: up and left.",
    )
}

fn learning_curve(series: &[Series]) -> String {
    let points = || series.iter().flat_map(|one| &one.of.figures.learning_curve);
    if points().next().is_none() {
        return String::new();
    }
    let most = points().map(|point| point.rows as f64).fold(1.0, f64::max);
    let least = points().map(|point| point.accuracy).fold(1.0, f64::min);
    let title = "Learning curve";
    let mut chart = Chart::new(
        title,
        Axis::count("training rows", most),
        Axis::percent("accuracy before rejection (%)", (least - 0.02).max(0.0), 1.0),
    );
    for one in series {
        let curve = &one.of.figures.learning_curve;
        chart.line(curve.iter().map(|point| (point.rows as f64, point.accuracy)), one.class);
        for point in curve {
            let at = (point.rows as f64, point.accuracy);
            let value = format!("{:.1}", 100.0 * point.accuracy);
            let hover = format!("{} rows ({} %): {value} % right", point.rows, point.percent);
            chart.dot(at, 4.0, one.class, &hover);
            if series.len() == 1 {
                chart.label(at, &value);
            }
        }
    }
    figure(
        title,
        chart,
        &names(series),
        "Accuracy after training on 10, 25, 50, 75 and 100 % of the rows of each intent. While it \
         still climbs at the right end, more examples help.",
    )
}
