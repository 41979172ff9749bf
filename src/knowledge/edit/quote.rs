//! One string as a YAML scalar on one line, in the manner of its neighbours.

use crate::knowledge::write::{is_shown, quoted};

/// How a neighbour is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Without quotes.
    Plain,
    /// `'…'`.
    Single,
    /// `"…"`.
    Double,
}

impl Style {
    /// The style of the scalar that begins `written`.
    pub(super) fn of(written: &str) -> Self {
        match written.as_bytes().first() {
            Some(b'"') => Self::Double,
            Some(b'\'') => Self::Single,
            _ => Self::Plain,
        }
    }
}

/// Writes `text`, which is one line, in this style if it can be, else in double quotes.
pub(super) fn scalar(text: &str, style: Style, in_flow: bool) -> String {
    let shown = text.chars().all(is_shown);
    match style {
        Style::Plain if shown && is_plain(text, in_flow) => text.to_owned(),
        Style::Single if shown => format!("'{}'", text.replace('\'', "''")),
        Style::Plain | Style::Single | Style::Double => quoted(text),
    }
}

/// True when `text` without quotes is read as this very string, by YAML 1.1 and 1.2 alike.
fn is_plain(text: &str, in_flow: bool) -> bool {
    let indicators = "-?:,[]{}#&*!|>'\"%@`=~<.+";
    let Some(first) = text.chars().next() else { return false };
    if indicators.contains(first) || text.trim() != text {
        return false;
    }
    if text.contains(": ") || text.contains(" #") || text.ends_with(':') {
        return false;
    }
    // Within brackets a colon may end a key.
    if in_flow && text.contains([',', '[', ']', '{', '}', ':']) {
        return false;
    }
    let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let numeric = |c: char| c.is_ascii_hexdigit() || "xo_.,:+-tz ".contains(c);
    let lower = text.to_ascii_lowercase();
    let number = first.is_ascii_digit() && lower.chars().all(numeric);
    !number && !words.contains(&lower.as_str())
}
