//! What of a search is pure: how texts are folded, the signature of a page of messages, and where a
//! text says what is searched for.
//!
//! Chinese has no spaces to cut at, so a signature holds single characters and pairs of neighbours: a
//! Bloom filter (Bloom 1970) that never denies what the page says. What it admits is verified against
//! the messages by [`Query::find`].

use std::collections::HashSet;

use kefu_proto::v1::{Kind, Message, User, message::Content};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::canonical_combining_class;

use super::id::ConversationId;
use super::party::Side;

/// Most messages of a page.
pub const PAGE: u64 = 64;
/// Longest text to search for, in characters.
pub const MAX_QUERY_CHARS: usize = 100;
/// Bits for each different gram: with [`HASHES`], one in a hundred is admitted wrongly.
const BITS: usize = 10;
const HASHES: u64 = 6;
/// Characters of a snippet on each side of what was found.
const AROUND: usize = 30;

/// A message that says what was searched for.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Where.
    pub conversation: ConversationId,
    /// Which message.
    pub seq: u64,
    /// When it was said.
    pub at_ms: u64,
    /// By whom.
    pub sender: User,
    /// The words around.
    pub snippet: Snippet,
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snippet {
    /// The piece.
    pub text: String,
    /// Where in it the match begins, in characters.
    pub from: usize,
    /// Where the match ends.
    pub to: usize,
}

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    folded: Vec<char>,
}

impl Query {
    /// Takes what somebody typed; none if that is nothing, or too long.
    pub fn new(text: &str) -> Option<Self> {
        let folded: Vec<char> = fold(text.trim()).map(|(folded, _)| folded).collect();
        (!folded.is_empty() && folded.len() <= MAX_QUERY_CHARS).then_some(Self { folded })
    }

    /// Whether a page with this signature may hold it.
    pub fn may_be_in(&self, signature: &[u8]) -> bool {
        let admits = |gram| bits(gram, signature.len()).all(|(at, bit)| signature[at] & bit != 0);
        !signature.is_empty()
            && match self.folded[..] {
                [one] => admits(single(one)),
                _ => self.folded.windows(2).all(|two| admits(pair(two[0], two[1]))),
            }
    }

    /// Where `text` says it first.
    pub fn find(&self, text: &str) -> Option<Snippet> {
        let (folded, sources): (Vec<char>, Vec<usize>) = fold(text).unzip();
        let at = folded.windows(self.folded.len()).position(|part| part == self.folded)?;
        let (from, last) = (sources[at], sources[at + self.folded.len() - 1]);
        // The character that folded to several belongs to the match as a whole.
        let to = sources[at..].iter().find(|source| **source > last).copied();
        let all: Vec<char> = text.chars().collect();
        let to = to.unwrap_or(all.len());
        let (begin, end) = (from.saturating_sub(AROUND), (to + AROUND).min(all.len()));
        let text = all[begin..end].iter().collect();
        Some(Snippet { text, from: from - begin, to: to - begin })
    }
}

/// The signature of texts.
pub fn signature<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut grams = HashSet::new();
    for text in texts {
        let folded: Vec<char> = fold(text).map(|(folded, _)| folded).collect();
        grams.extend(folded.iter().map(|one| single(*one)));
        grams.extend(folded.windows(2).map(|two| pair(two[0], two[1])));
    }
    let mut signature = vec![0; (grams.len() * BITS).div_ceil(8)];
    for gram in grams {
        for (at, bit) in bits(gram, signature.len()) {
            signature[at] |= bit;
        }
    }
    signature
}

/// What a message adds to a signature: its text, or the new text of an earlier one.
pub fn words(message: &Message) -> &str {
    match &message.content {
        Some(Content::Text(text)) => &text.text,
        Some(Content::Edited(edited)) => &edited.text,
        Some(Content::Recalled(_) | Content::Event(_)) | None => "",
    }
}

/// What a message says now to that side; empty if it was taken back.
pub fn says(message: &Message, side: Side) -> &str {
    match &message.content {
        Some(Content::Text(text)) if text.kind() != Kind::Note || side == Side::Agent => &text.text,
        _ => "",
    }
}

/// Lower case and compatibility forms (NFKC), a character and its marks at a time, each with the
/// place of the character in `text`.
fn fold(text: &str) -> impl Iterator<Item = (char, usize)> {
    let mut chars = text.chars().enumerate().peekable();
    std::iter::from_fn(move || {
        let (at, first) = chars.next()?;
        let mut cluster = String::from(first);
        while let Some((_, mark)) = chars.next_if(|(_, c)| canonical_combining_class(*c) != 0) {
            cluster.push(mark);
        }
        let folded: Vec<char> = cluster.nfkc().flat_map(char::to_lowercase).collect();
        Some(folded.into_iter().map(move |folded| (folded, at)))
    })
    .flatten()
}

fn single(one: char) -> u64 {
    mixed(u64::from(u32::from(one)))
}

fn pair(one: char, other: char) -> u64 {
    // Characters have 21 bits; the one in front of them tells pairs from single characters.
    mixed(1 << 63 | u64::from(u32::from(one)) << 32 | u64::from(u32::from(other)))
}

/// The finaliser of SplitMix64 (Steele et al. 2014). It is stored: it never changes.
fn mixed(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The bits of a gram in a signature of so many bytes, by double hashing.
fn bits(gram: u64, bytes: usize) -> impl Iterator<Item = (usize, u8)> {
    let (one, other) = (gram >> 32, gram & u64::from(u32::MAX) | 1);
    (0..HASHES).map(move |n| {
        let bit = (one + n * other) % (bytes as u64 * 8);
        ((bit / 8) as usize, 1 << (bit % 8))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_found_as_people_type_them() {
        let rows = [
            ("我的快递还没到", "快递", Some((2, 4))),
            ("我的快递还没到", "递", Some((3, 4))),
            ("我的快递还没到", "快递还没到", Some((2, 7))),
            ("我的快递还没到", "快没", None),
            ("Where is my ＯＲＤＥＲ 42?", "order 42", Some((12, 20))),
            ("Cafe\u{301} zu", "café", Some((0, 5))),
            ("㈱ 3月", "株", Some((0, 1))),
            ("STRASSE", "strasse", Some((0, 7))),
            ("no", "nothing", None),
        ];
        for (text, query, expected) in rows {
            let found = Query::new(query).unwrap().find(text);
            assert_eq!(found.map(|found| (found.from, found.to)), expected, "{query} in {text}");
        }
        assert_eq!(Query::new("  "), None);
        assert_eq!(Query::new(&"长".repeat(101)), None);
    }

    #[test]
    fn a_snippet_is_short_and_points_at_the_match() {
        let text = format!("{}退货{}", "前".repeat(100), "后".repeat(100));
        let Snippet { text, from, to } = Query::new("退货").unwrap().find(&text).unwrap();
        assert_eq!(text.chars().count(), 62);
        assert_eq!(text.chars().skip(from).take(to - from).collect::<String>(), "退货");
    }

    #[test]
    fn few_pages_are_admitted_wrongly() {
        let digits = |n: u32| {
            n.to_string()
                .bytes()
                .map(|d| char::from_u32(0x4e00 + u32::from(d) * 37 + n % 97).unwrap())
                .collect::<String>()
        };
        let texts: Vec<String> = (0..64).map(digits).collect();
        let signature = signature(texts.iter().map(String::as_str));
        let absent = (0..10_000u32).map(|n| char::from_u32(0x6000 + n).unwrap().to_string());
        let admitted = absent.filter(|c| Query::new(c).unwrap().may_be_in(&signature)).count();
        assert!(admitted < 300, "{admitted} of 10,000");
        assert!(!Query::new("x").unwrap().may_be_in(&[]));
    }

    proptest! {
        #[test]
        fn a_signature_denies_nothing_that_is_there(
            texts in prop::collection::vec("[a-zA-Z一-三退货 é\u{301}㈱Ａ]{0,12}", 1..6),
            at in any::<usize>(), from in 0usize..12, len in 1usize..6,
        ) {
            let part: String = texts[at % texts.len()].chars().skip(from).take(len).collect();
            if let Some(query) = Query::new(&part) && query.find(&texts[at % texts.len()]).is_some() {
                prop_assert!(query.may_be_in(&signature(texts.iter().map(String::as_str))));
            }
        }
    }
}
