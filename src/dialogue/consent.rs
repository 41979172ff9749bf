//! Whether an answer means yes, no or neither, in Chinese and English: by its words, else by its
//! meaning.
//!
//! By words only where the whole message consists of them. “Yes, but to another address” is no yes:
//! whoever acts on it has acted wrongly, and a question too many costs less.

use serde::{Deserialize, Serialize};

pub use super::consent_prototypes::PROTOTYPES;
use super::consent_words::{Kind, TOKENS};
use super::words;
use crate::intent::normalize::normalize;

/// What an answer to a yes-or-no question means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// Yes.
    Yes,
    /// No.
    No,
    /// Neither, or both.
    Unclear,
}

/// Longer messages say more than yes or no, in characters.
const MAX_CHARS: usize = 40;

/// What the words say.
pub fn by_words(text: &str) -> Consent {
    by_words_about(text, |_| false)
}

/// What the words say about an action that `urges` knows: “取消” is no to anything, but for a
/// question whether to cancel it is no answer, and “好，取消” is yes.
pub(super) fn by_words_about(text: &str, urges: impl Fn(&str) -> bool) -> Consent {
    let whole = words::phrase(text);
    if whole.chars().count() > MAX_CHARS || normalize(text).text().contains('?') {
        return Consent::Unclear;
    }
    let short = unstretched(&whole);
    let Some(kinds) = kinds(&whole).or_else(|| kinds(&short)) else { return Consent::Unclear };
    let (mut yes, mut no, mut soft) = (false, false, false);
    for (kind, word) in kinds {
        match kind {
            Kind::Cancel if urges(word) => {}
            Kind::Yes => yes = true,
            Kind::Soft => soft = true,
            Kind::No | Kind::Cancel => no = true,
            Kind::Neither => return Consent::Unclear,
            Kind::Filler => {}
        }
    }
    match (yes, no) {
        (true, true) => Consent::Unclear,
        (false, true) => Consent::No,
        (true, false) => Consent::Yes,
        (false, false) if soft => Consent::Yes,
        (false, false) => Consent::Unclear,
    }
}

/// The words that the whole text consists of; none when there is anything else in it.
fn kinds(text: &str) -> Option<Vec<(Kind, &str)>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (kind, word) = match longest(text, rest) {
            Some(one) => one,
            None if is_between(first) => (Kind::Filler, &rest[..first.len_utf8()]),
            None => return None,
        };
        found.push((kind, word));
        rest = &rest[word.len()..];
    }
    Some(found)
}

/// The longest known word that `rest`, the end of `text`, begins with.
fn longest<'a>(text: &str, rest: &'a str) -> Option<(Kind, &'a str)> {
    let latin = |c: char| c.is_ascii_alphanumeric() || c == '\'';
    let before = text[..text.len() - rest.len()].chars().next_back();
    let mut best: Option<(Kind, &str)> = None;
    let known =
        TOKENS.iter().flat_map(|(kind, words)| words.iter().map(move |word| (*kind, *word)));
    let cancel = words::CANCEL.iter().map(|word| (Kind::Cancel, *word));
    for (kind, word) in known.chain(cancel) {
        let fits = rest.starts_with(word) && {
            let after = rest[word.len()..].chars().next();
            let inside = |c: Option<char>, edge: Option<char>| {
                edge.is_some_and(latin) && c.is_some_and(latin)
            };
            !inside(before, word.chars().next()) && !inside(after, word.chars().next_back())
        };
        if fits && best.is_none_or(|(_, known)| known.len() < word.len()) {
            best = Some((kind, &rest[..word.len()]));
        }
    }
    best
}

/// What may stand between words: spaces, punctuation, and what modifies an emoji.
fn is_between(c: char) -> bool {
    matches!(c, '\u{fe0f}' | '\u{200d}' | '♀' | '♂' | '\u{1f3fb}'..='\u{1f3ff}')
        || !c.is_alphanumeric() && words::phrase(&c.to_string()).is_empty()
}

/// “yesss” and “nooo” as they are spelt.
fn unstretched(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let run = chars[at..].iter().take_while(|c| **c == chars[at]).count();
        let kept = if run >= 3 { 1 } else { run };
        out.extend(std::iter::repeat_n(chars[at], kept));
        at += run;
    }
    out
}
