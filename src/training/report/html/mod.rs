//! `report.html` and `comparison.html`: one self-contained page each, without scripts.
//!
//! Sentences, names of intents and paths are what anyone wrote: all go through [`Text`]. The pages
//! also forbid themselves scripts and everything from elsewhere.

mod comparison;

use std::fmt::Write;

pub(super) use comparison::comparison;

use super::chart::Text;
use super::evaluation::{Confusion, Evaluation, IntentFigures, Mistake};
use super::pictures::{self, Series};
use super::{AUROC, Figure, Report, matrix};
use crate::intent::answer::Status;
use crate::training::metrics::wilson_interval;

/// Pairs whose sentences are shown without asking.
const OPEN_PAIRS: usize = 5;
/// Pairs that are shown without asking.
const FIRST_PAIRS: usize = 20;
/// Pairs that are listed at all; the JSON file has the rest.
const LISTED_PAIRS: usize = 200;
/// Intents shown without asking.
const OPEN_INTENTS: usize = 15;

/// A share of `of` sentences in percent, with as many digits as so many sentences bear.
pub(super) fn percent(share: Option<f64>, of: usize) -> String {
    let digits = if of < 100 { 0 } else { 1 };
    share.map_or("–".to_owned(), |share| format!("{:.digits$}", 100.0 * share))
}

/// A figure with its unit and, for a share of sentences, its 95 % interval.
pub(super) fn shown(figure: &Figure) -> (String, String) {
    if figure.name == AUROC {
        return (format!("{:.3}", figure.value), String::new());
    }
    let value = format!("{} %", percent(Some(figure.value), figure.of.unwrap_or(usize::MAX)));
    let interval = figure.of.map_or(String::new(), |of| {
        let (low, high) = wilson_interval(figure.value, of);
        format!("{}–{} %", percent(Some(low), of), percent(Some(high), of))
    });
    (value, interval)
}

/// What a decision is called.
pub(super) fn status_name(status: Status) -> &'static str {
    match status {
        Status::Matched => "matched",
        Status::Ambiguous => "ambiguous",
        Status::OutOfScope => "called out of scope",
    }
}

/// The page of one evaluation.
pub(super) fn page(of: &Evaluation) -> String {
    let series = [Series { name: "", class: "new", of }];
    let body = [
        head(&of.figures),
        tiles(&of.figures),
        format!("<h2>Pictures</h2><div class=\"charts\">{}</div>", pictures::all(&series)),
        pairs(of),
        "<h2>Confusion matrix</h2><p class=\"faint\">Rows: what was meant. Columns: the top \
         intent, before rejection. Blue: right. Orange: wrong, deeper for a larger share of the \
         row. Intents that are confused stand together. Point at a cell for names and counts.</p>"
            .to_owned(),
        matrix::maps(of),
        intents(of),
        listed("Out-of-scope sentences that were answered", &of.wrongly_answered),
        listed("In-scope sentences that were called out of scope", &of.wrongly_rejected),
        figures(&of.figures),
    ];
    document(&format!("Evaluation of {}", of.figures.data), &body.join("\n"))
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{}</title><style>\n{}</style></head><body>\n{body}\n\
         <p class=\"faint\">Made by train-intents {}. What each figure means: docs/evaluation.md.</p>\n\
         </body></html>\n",
        Text(title),
        include_str!("style.css"),
        env!("CARGO_PKG_VERSION")
    )
}

fn head(of: &Report) -> String {
    let rows: Vec<String> = of.rows.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let limits = of.thresholds.map_or(String::new(), |limits| {
        format!(
            " (in scope from {:.1} %, matched from {:.1} %)",
            100.0 * limits.in_scope,
            100.0 * limits.matched
        )
    });
    format!(
        "<h1>Evaluation of {}</h1><p class=\"faint\">Encoder {}. {} intents. Rows: {}. Thresholds \
         from {}{limits}. Encoded in {:.1} s, trained in {:.1} s.</p>",
        Text(&of.data),
        Text(&of.encoder),
        of.intents,
        Text(&rows.join(", ")),
        Text(&of.thresholds_from),
        of.encode_s,
        of.train_s
    )
}

fn tiles(of: &Report) -> String {
    let mut page = "<div class=\"tiles\">".to_owned();
    let mut tile = |name: &str, value: String| {
        write!(page, "<div><b>{value}</b><span>{name}</span></div>").expect("string");
    };
    let inside = of.in_scope_sentences;
    let share = |value: f64, of: usize| format!("{} %", percent(Some(value), of));
    tile("top intent right", share(of.accuracy, inside));
    tile("macro-F1", share(of.macro_f1, inside));
    tile("right among matched", share(of.matched_precision, inside));
    tile("in-scope rejected", share(of.in_scope_rejected, inside));
    if let Some(recall) = of.oos_recall {
        tile("out-of-scope found", share(recall, of.out_of_scope_sentences));
    }
    tile("calibration error", share(of.calibration_error, inside));
    page + "</div>"
}

fn figures(of: &Report) -> String {
    let mut page = "<h2>All figures</h2><table><tr><th>Figure</th><th>Value</th>\
                    <th>95 % interval</th></tr>"
        .to_owned();
    for figure in of.figures() {
        let (value, interval) = shown(&figure);
        write!(page, "<tr><td>{}</td><td>{value}</td><td>{interval}</td></tr>", figure.name)
            .expect("string");
    }
    page + "</table>"
}

fn sentences(mistakes: &[Mistake], with_intents: bool) -> String {
    let mut page = "<ul>".to_owned();
    for one in mistakes {
        let truth = one.truth.as_deref().map_or(String::new(), |truth| format!("meant {truth}, "));
        let names = if with_intents {
            format!("{truth}top intent {}, ", one.predicted)
        } else {
            String::new()
        };
        write!(
            page,
            "<li><span dir=\"auto\">{}</span> <span class=\"faint\">{}{:.0} %, {}</span></li>",
            Text(&one.text),
            Text(&names),
            100.0 * one.confidence,
            status_name(one.status)
        )
        .expect("string");
    }
    page + "</ul>"
}

fn pairs(of: &Evaluation) -> String {
    let mut page = "<h2>Most confused intents</h2>".to_owned();
    if of.confusions.is_empty() {
        return page + "<p>None: every top intent is right.</p>";
    }
    page += "<p class=\"faint\">What was meant → the top intent, before rejection; then the \
             sentences with their confidence and what was decided.</p>";
    let listed = &of.confusions[..of.confusions.len().min(LISTED_PAIRS)];
    let (first, rest) = listed.split_at(listed.len().min(FIRST_PAIRS));
    page += &pair_list(first, OPEN_PAIRS);
    if !rest.is_empty() {
        write!(page, "<details><summary>{} more pairs</summary>", rest.len()).expect("string");
        page += &pair_list(rest, rest.len());
        page += "</details>";
    }
    let left = of.confusions.len() - listed.len();
    if left > 0 {
        write!(page, "<p class=\"faint\">{left} more pairs are in report.json.</p>")
            .expect("string");
    }
    page
}

/// Pairs with their sentences, those of the first `open` unfolded.
fn pair_list(pairs: &[Confusion], open: usize) -> String {
    let mut page = String::new();
    for (rank, pair) in pairs.iter().enumerate() {
        let open = if rank < open { " open" } else { "" };
        write!(
            page,
            "<details{open}><summary><b>{} ×</b> {} → {}</summary>{}</details>",
            pair.count,
            Text(&pair.truth),
            Text(&pair.predicted),
            sentences(&pair.sentences, false)
        )
        .expect("string");
    }
    page
}

fn intents(of: &Evaluation) -> String {
    let all = of.worst_first();
    let (first, rest) = all.split_at(all.len().min(OPEN_INTENTS));
    let mut page = format!(
        "<h2>Intents</h2><p class=\"faint\">Before rejection, in percent, the lowest F1 first. \
         Prec.: precision. Rejected: called out of scope.</p>{}",
        intent_table(first)
    );
    if !rest.is_empty() {
        write!(page, "<details><summary>{} more intents</summary>", rest.len()).expect("string");
        page += &intent_table(rest);
        page += "</details>";
    }
    page
}

fn intent_table(all: &[&IntentFigures]) -> String {
    let mut page = "<table><tr><th>Intent</th><th>Rows</th><th>Prec.</th><th>Recall</th>\
                    <th>F1</th><th>Rejected</th></tr>"
        .to_owned();
    for one in all {
        write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            Text(&one.intent),
            one.sentences,
            percent(one.precision, one.predicted),
            percent(one.recall, one.sentences),
            percent(one.f1, one.sentences),
            percent(one.rejected, one.sentences)
        )
        .expect("string");
    }
    page + "</table>"
}

fn listed(title: &str, mistakes: &[Mistake]) -> String {
    if mistakes.is_empty() {
        return String::new();
    }
    format!(
        "<h2>{title}</h2><details><summary>{} sentences{}</summary>{}</details>",
        mistakes.len(),
        if mistakes.len() == 50 { ", the clearest mistakes" } else { "" },
        sentences(mistakes, true)
    )
}

#[cfg(test)]
mod tests {
    use super::super::compare::Comparison;
    use super::super::sample;
    use super::*;

    #[test]
    fn pages_hold_no_foreign_markup() {
        let one = sample::evaluation();
        let both = comparison(&Comparison::new(&one, &one), &one, &one);
        for page in [page(&one), both] {
            assert!(!page.contains("<script") && !page.contains("'查'"));
            assert!(page.contains("&lt;script&gt;alert(&#39;查&#39;)"));
            assert!(!page.contains("http://") && !page.contains("https://"));
            for element in ["svg", "details", "table", "figure", "div", "p", "span"] {
                let opened = page.matches(&format!("<{element}>")).count()
                    + page.matches(&format!("<{element} ")).count();
                assert_eq!(opened, page.matches(&format!("</{element}>")).count(), "{element}");
            }
        }
    }

    #[test]
    fn page_shows_sentences_and_figures() {
        let page = page(&sample::evaluation());
        for expected in
            ["包裹丢了要退款", "查物流 → refund", "AUROC", "Reliability", "95 % interval"]
        {
            assert!(page.contains(expected), "{expected}");
        }
        assert!(!page.contains("Learning curve"));
    }

    #[test]
    fn digits_follow_the_number_of_sentences() {
        assert_eq!(percent(Some(0.9567), 30), "96");
        assert_eq!(percent(Some(0.9567), 4500), "95.7");
        assert_eq!(percent(None, 30), "–");
    }
}
