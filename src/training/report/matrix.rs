//! The confusion matrix as heat maps: all intents without labels, and the most confused ones with.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt::Write;

use super::chart::{Text, shortened};
use super::evaluation::Evaluation;

/// Intents in the map with labels; more would not be legible.
const LABELLED: usize = 36;
/// Pixels of a labelled cell, of a row's label and of a column's.
const CELL: usize = 16;
const ROW_LABEL: usize = 168;
const COLUMN_LABEL: usize = 132;
/// Letters of a label.
const LETTERS: usize = 26;

/// Counts by true and predicted intent, the intents in an order that puts confused ones together.
struct Matrix {
    names: Vec<String>,
    sentences: Vec<usize>,
    counts: HashMap<(usize, usize), usize>,
    order: Vec<usize>,
    mistaken: Vec<usize>,
}

impl Matrix {
    fn new(of: &Evaluation) -> Self {
        let numbers: HashMap<&str, usize> =
            of.intents.iter().enumerate().map(|(at, one)| (one.intent.as_str(), at)).collect();
        let mut counts = HashMap::new();
        let mut mistaken = vec![0; of.intents.len()];
        for pair in &of.confusions {
            let ends = (numbers.get(pair.truth.as_str()), numbers.get(pair.predicted.as_str()));
            if let (Some(&truth), Some(&top)) = ends {
                counts.insert((truth, top), pair.count);
                mistaken[truth] += pair.count;
                mistaken[top] += pair.count;
            }
        }
        let order = order(&counts, &mistaken);
        for (at, one) in of.intents.iter().enumerate().filter(|(_, one)| one.right > 0) {
            counts.insert((at, at), one.right);
        }
        let names = of.intents.iter().map(|one| one.intent.clone()).collect();
        let sentences = of.intents.iter().map(|one| one.sentences).collect();
        Self { names, sentences, counts, order, mistaken }
    }
}

/// Starts at the intent with the most mistakes and goes on to the one most confused with the last.
fn order(counts: &HashMap<(usize, usize), usize>, mistaken: &[usize]) -> Vec<usize> {
    let between = |a: usize, b: usize| {
        counts.get(&(a, b)).copied().unwrap_or(0) + counts.get(&(b, a)).copied().unwrap_or(0)
    };
    let mut left: Vec<usize> = (0..mistaken.len()).collect();
    left.sort_by_key(|&intent| Reverse(mistaken[intent]));
    let mut order: Vec<usize> = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let near = order.last().and_then(|&last| {
            (0..left.len())
                .filter(|&at| between(last, left[at]) > 0)
                .max_by_key(|&at| (between(last, left[at]), Reverse(at)))
        });
        order.push(left.remove(near.unwrap_or(0)));
    }
    order
}

/// Both maps, or the one with labels where it shows all intents.
pub(super) fn maps(of: &Evaluation) -> String {
    let matrix = Matrix::new(of);
    let mut ranked = matrix.order.clone();
    ranked.sort_by_key(|&intent| Reverse(matrix.mistaken[intent]));
    ranked.truncate(LABELLED);
    if matrix.order.len() > LABELLED {
        ranked.retain(|&intent| matrix.mistaken[intent] > 0);
    }
    let shown: Vec<usize> =
        matrix.order.iter().copied().filter(|intent| ranked.contains(intent)).collect();
    let mut page = String::new();
    if shown.len() < matrix.order.len() {
        write!(
            page,
            "<h3>All {} intents</h3><div class=\"map all\">{}</div>",
            matrix.order.len(),
            map(&matrix, &matrix.order, false)
        )
        .expect("string");
        write!(page, "<h3>The {} most confused intents</h3>", shown.len()).expect("string");
    }
    let wide = ROW_LABEL + CELL * shown.len();
    page + &format!(
        "<div class=\"map\" tabindex=\"0\"><div style=\"width:{wide}px\">{}</div></div>",
        map(&matrix, &shown, true)
    )
}

fn map(matrix: &Matrix, shown: &[usize], labelled: bool) -> String {
    let (cell, left, top) = if labelled { (CELL, ROW_LABEL, COLUMN_LABEL) } else { (4, 0, 0) };
    let size = cell * shown.len();
    let mut svg = format!(
        "<svg role=\"img\" aria-label=\"Confusion matrix\" viewBox=\"0 0 {} {}\"><rect class=\"ground\" x=\"{left}\" y=\"{top}\" width=\"{size}\" height=\"{size}\"/>",
        left + size,
        top + size
    );
    for (row, &truth) in shown.iter().enumerate() {
        if labelled {
            labels(&mut svg, &matrix.names[truth], row);
            guides(&mut svg, row, size);
        }
        for (column, &predicted) in shown.iter().enumerate() {
            let Some(&count) = matrix.counts.get(&(truth, predicted)) else { continue };
            let share = count as f64 / matrix.sentences[truth].max(1) as f64;
            let (class, depth) = if truth == predicted {
                ("right", 0.15 + 0.55 * share)
            } else {
                // A single mistake is seen; a third of an intent is full colour.
                ("wrong", (0.35 + 2.0 * share).min(1.0))
            };
            let (x, y) = (left + cell * column, top + cell * row);
            write!(
                svg,
                "<rect class=\"{class}\" fill-opacity=\"{depth:.2}\" x=\"{x}\" y=\"{y}\" width=\"{cell}\" height=\"{cell}\"><title>{} → {}: {count} of {}</title></rect>",
                Text(&matrix.names[truth]),
                Text(&matrix.names[predicted]),
                matrix.sentences[truth]
            )
            .expect("string");
            if labelled && truth != predicted {
                let (x, y) = (x + cell / 2, y + cell - 5);
                write!(svg, "<text class=\"cell\" x=\"{x}\" y=\"{y}\">{count}</text>")
                    .expect("string");
            }
        }
    }
    svg + "</svg>"
}

/// Thin lines that lead the eye from a label to its cells.
fn guides(svg: &mut String, at: usize, size: usize) {
    let (x, y) = (ROW_LABEL + CELL * at, COLUMN_LABEL + CELL * at);
    let (right, bottom) = (ROW_LABEL + size, COLUMN_LABEL + size);
    write!(
        svg,
        "<path class=\"guide\" d=\"M{ROW_LABEL} {y}H{right}M{x} {COLUMN_LABEL}V{bottom}\"/>"
    )
    .expect("string");
}

fn labels(svg: &mut String, name: &str, at: usize) {
    let (row, column) = (COLUMN_LABEL + CELL * at + CELL - 4, ROW_LABEL + CELL * at + CELL - 4);
    let short = shortened(name, LETTERS);
    let columns = shortened(name, LETTERS - 8);
    write!(
        svg,
        "<text x=\"{}\" y=\"{row}\" text-anchor=\"end\"><title>{name}</title>{short}</text><text transform=\"translate({column} {}) rotate(-90)\"><title>{name}</title>{columns}</text>",
        ROW_LABEL - 5,
        COLUMN_LABEL - 5,
        name = Text(name),
        short = Text(&short),
        columns = Text(&columns)
    )
    .expect("string");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confused_intents_stand_together() {
        let counts = HashMap::from([((0, 3), 5), ((3, 1), 1), ((2, 4), 4)]);
        assert_eq!(order(&counts, &[5, 1, 4, 6, 4, 0]), [3, 0, 2, 4, 1, 5]);
    }

    #[test]
    fn many_intents_get_a_map_without_labels_too() {
        let mut all = super::super::sample::evaluation();
        assert!(!maps(&all).contains("All 3 intents"));
        let one = all.intents[0].clone();
        all.intents.extend((0..150).map(|n| {
            let mut other = one.clone();
            other.intent = format!("intent {n}");
            other
        }));
        let page = maps(&all);
        assert!(page.contains("All 153 intents") && page.contains("The 3 most confused intents"));
    }
}
