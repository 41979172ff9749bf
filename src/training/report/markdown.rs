//! `report.md`: the figures, the confused pairs and the intents as GitHub-flavoured Markdown.

use std::fmt::{self, Write};

use super::evaluation::Evaluation;
use super::html::{percent, shown, status_name};

/// Pairs that are listed; the JSON file has the rest.
const LISTED_PAIRS: usize = 30;
/// Sentences of each.
const SENTENCES: usize = 5;

/// A text on one line in which nothing is markup.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '&' | '#' | '!' | '$' => {
                write!(f, "\\{letter}")
            }
            // These would turn the order of the letters around them.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => f.write_char(' '),
            other if other.is_control() => f.write_char(' '),
            other => f.write_char(other),
        })
    }
}

/// The page of one evaluation.
pub(super) fn page(of: &Evaluation) -> String {
    let mut page = String::new();
    write(of, &mut page).expect("a string takes all");
    page
}

fn write(of: &Evaluation, page: &mut String) -> fmt::Result {
    let figures = &of.figures;
    writeln!(page, "# Evaluation of {}\n", Plain(&figures.data))?;
    let rows: Vec<String> =
        figures.rows.iter().map(|(name, count)| format!("{count} {name}")).collect();
    writeln!(
        page,
        "Encoder {}, {} intents. Rows: {}. Thresholds from {}.\n",
        Plain(&figures.encoder),
        figures.intents,
        rows.join(", "),
        Plain(&figures.thresholds_from)
    )?;
    writeln!(page, "| Figure | Value | 95 % interval |\n|---|---:|---:|")?;
    for figure in figures.figures() {
        let (value, interval) = shown(&figure);
        writeln!(page, "| {} | {value} | {interval} |", figure.name)?;
    }
    if !figures.learning_curve.is_empty() {
        writeln!(page, "\n## Learning curve\n\n| Training rows | Accuracy (%) |\n|---:|---:|")?;
        for point in &figures.learning_curve {
            writeln!(page, "| {} | {:.1} |", point.rows, 100.0 * point.accuracy)?;
        }
    }
    writeln!(page, "\n## Most confused intents\n")?;
    for pair in of.confusions.iter().take(LISTED_PAIRS) {
        let (truth, predicted) = (Plain(&pair.truth), Plain(&pair.predicted));
        writeln!(page, "- {} × {truth} → {predicted}", pair.count)?;
        for one in pair.sentences.iter().take(SENTENCES) {
            let (share, status) = (100.0 * one.confidence, status_name(one.status));
            writeln!(page, "  - {} ({share:.0} %, {status})", Plain(&one.text))?;
        }
    }
    writeln!(page, "\n## Intents\n\nBefore rejection, in percent, the lowest F1 first.\n")?;
    writeln!(page, "| Intent | Rows | Precision | Recall | F1 | Rejected |")?;
    writeln!(page, "|---|---:|---:|---:|---:|---:|")?;
    for one in of.worst_first() {
        writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} |",
            Plain(&one.intent),
            one.sentences,
            percent(one.precision, one.predicted),
            percent(one.recall, one.sentences),
            percent(one.f1, one.sentences),
            percent(one.rejected, one.sentences)
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn texts_stay_in_their_cells() {
        let page = page(&sample::evaluation());
        assert!(page.contains("查物流 → refund"));
        let unescaped = page.replace("\\<", "").replace("\\`", "").replace("\\*", "");
        assert!(!unescaped.contains(['<', '`', '*', '\u{202e}']), "{unescaped}");
        for line in page.lines().filter(|line| line.starts_with('|')) {
            let bars = line.matches('|').count() - line.matches("\\|").count();
            assert!(bars == 4 || bars == 7, "{line}");
        }
    }
}
