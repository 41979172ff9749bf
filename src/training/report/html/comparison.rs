//! The page of two evaluations: charts on top of each other, and what changed.

use std::fmt::Write;

use super::super::chart::Text;
use super::super::compare::{Comparison, ConfusionChange, IntentChange};
use super::super::evaluation::Evaluation;
use super::super::pictures::{self, Series};
use super::{document, percent};
use crate::training::metrics::wilson_interval;

/// Changes listed in either direction.
const CHANGES: usize = 15;

/// The page of two evaluations.
pub(in crate::training::report) fn comparison(
    both: &Comparison,
    old: &Evaluation,
    new: &Evaluation,
) -> String {
    let series = [
        Series { name: "old", class: "old", of: old },
        Series { name: "new", class: "new", of: new },
    ];
    let mut page = format!(
        "<h1>Two evaluations</h1><p><i class=\"key old\"></i>Old: {}, thresholds from {}.<br>\
         <i class=\"key new\"></i>New: {}, thresholds from {}.</p>",
        Text(&both.old),
        Text(&old.figures.thresholds_from),
        Text(&both.new),
        Text(&new.figures.thresholds_from)
    );
    if !Comparison::is_fair(old, new) {
        page += "<p class=\"worse\"><b>Not the same sentences or intents: differences may come \
                 from the data.</b></p>";
    }
    page += "<h2>Figures</h2><table><tr><th>Figure</th><th>Old</th><th>New</th>\
             <th>Change</th></tr>";
    for one in &both.figures {
        let (change, better) = one.change();
        let class = better.map_or("", |better| if better { "better" } else { "worse" });
        let arrow = better.map_or("", |better| if better { " ✓" } else { " ✗" });
        write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"{class}\">{change}{arrow}</td></tr>",
            one.name,
            one.show(one.old),
            one.show(one.new)
        )
        .expect("string");
    }
    let of = old.figures.in_scope_sentences.min(new.figures.in_scope_sentences);
    let (low, high) = wilson_interval(new.figures.accuracy, of);
    write!(
        page,
        "</table><p class=\"faint\">Changes in percentage points; ✓ better, ✗ worse. With {of} \
         sentences the new accuracy lies between {} and {} % (95 %): smaller changes may be \
         chance.</p><h2>Pictures</h2><div class=\"charts\">{}</div>",
        percent(Some(low), of),
        percent(Some(high), of),
        pictures::all(&series)
    )
    .expect("string");
    page += &intent_changes(&both.intents);
    page += &confusion_changes(&both.confusions);
    document("Two evaluations", &page)
}

fn intent_changes(all: &[IntentChange]) -> String {
    let table = |title: &str, some: &[&IntentChange]| {
        let mut page = format!("<div><h3>{title}</h3>");
        if some.is_empty() {
            return page + "<p class=\"faint\">None.</p></div>";
        }
        page += "<table><tr><th>Intent</th><th>Old F1</th><th>New F1</th></tr>";
        for one in some {
            let (old, new) = (percent(one.old, 0), percent(one.new, 0));
            write!(page, "<tr><td>{}</td><td>{old}</td><td>{new}</td></tr>", Text(&one.intent))
                .expect("string");
        }
        page + "</table></div>"
    };
    let value = |f1: Option<f64>| f1.unwrap_or(0.0);
    let (gains, losses): (Vec<_>, Vec<_>) =
        all.iter().partition(|one| value(one.new) > value(one.old));
    let losses: Vec<&IntentChange> = losses.into_iter().take(CHANGES).collect();
    let gains: Vec<&IntentChange> = gains.into_iter().rev().take(CHANGES).collect();
    format!(
        "<h2>Intents</h2><p class=\"faint\">F1 before rejection, in percent; at most {CHANGES} \
         each.</p><div class=\"columns\">{}{}</div>",
        table("Lost", &losses),
        table("Gained", &gains)
    )
}

fn confusion_changes(all: &[ConfusionChange]) -> String {
    let list = |title: &str, some: &[&ConfusionChange]| {
        let mut page = format!("<div><h3>{title}</h3>");
        if some.is_empty() {
            return page + "<p class=\"faint\">None.</p></div>";
        }
        page += "<table><tr><th>Meant → top intent</th><th>Old</th><th>New</th></tr>";
        for ConfusionChange { truth, predicted, old, new } in some {
            let (truth, predicted) = (Text(truth), Text(predicted));
            write!(page, "<tr><td>{truth} → {predicted}</td><td>{old}</td><td>{new}</td></tr>")
                .expect("string");
        }
        page + "</table></div>"
    };
    let (more, less): (Vec<_>, Vec<_>) = all.iter().partition(|one| one.new > one.old);
    let more: Vec<&ConfusionChange> = more.into_iter().take(CHANGES).collect();
    let less: Vec<&ConfusionChange> = less.into_iter().rev().take(CHANGES).collect();
    format!(
        "<h2>Confused pairs</h2><p class=\"faint\">Number of sentences; at most {CHANGES} \
         each.</p><div class=\"columns\">{}{}</div>",
        list("More often", &more),
        list("Less often", &less)
    )
}
