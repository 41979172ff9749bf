//! One string as a YAML scalar on one line, in the manner of its neighbours.

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
    // Some readers break lines at these, and a byte order mark may vanish.
    let odd =
        |c: char| c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    match style {
        Style::Plain if is_plain(text, in_flow) && !text.contains(odd) => text.to_owned(),
        Style::Single if !text.contains(odd) => format!("'{}'", text.replace('\'', "''")),
        Style::Plain | Style::Single | Style::Double => double(text, odd),
    }
}

fn double(text: &str, odd: impl Fn(char) -> bool) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if odd(c) => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
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
