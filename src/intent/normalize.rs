//! Normalises text the same way everywhere: training, keywords and queries.
//!
//! Unicode NFKC, lower case, traditional to simplified Chinese (character by character, OpenCC's
//! table), control characters as spaces, invisible format characters dropped, runs of white space
//! and of one punctuation mark collapsed, ends trimmed. NFKC also turns full-width Latin letters,
//! digits and punctuation into half-width ones. An offset map leads back to the original text.

use std::ops::Range;
use std::sync::LazyLock;

use ferrous_opencc::OpenCC;
use ferrous_opencc::config::BuiltinConfig;
use unicode_normalization::char::{canonical_combining_class, decompose_compatible};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// Changes whenever [`normalize`] changes its answer for any input; artifacts carry it.
///
/// A test holds it: it hashes the answer for every character and fails when a dependency's new
/// tables changed one.
pub const NORMALIZER_VERSION: &str = "1";

/// A normalised text and the way back to the original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normalized {
    text: String,
    /// One entry a normalised character, ascending; empty when the text was normal already.
    pieces: Vec<Piece>,
}

/// Where one normalised character came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    /// Byte offset in the normalised text.
    at: u32,
    /// Byte range in the original.
    start: u32,
    end: u32,
}

impl Normalized {
    /// The normalised text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The byte range of the original text that became the normalised byte range `span`.
    ///
    /// Both ends are character boundaries of the original. An empty or reversed span gives an
    /// empty range at its start; a span beyond the end is cut to the text.
    pub fn original_span(&self, span: Range<usize>) -> Range<usize> {
        let end = span.end.min(self.text.len());
        let start = span.start.min(end);
        if self.pieces.is_empty() {
            return start..end;
        }
        let first = self.piece_at(start);
        if start == end {
            return first.start as usize..first.start as usize;
        }
        first.start as usize..self.piece_at(end - 1).end as usize
    }

    fn piece_at(&self, offset: usize) -> Piece {
        let after = self.pieces.partition_point(|piece| piece.at as usize <= offset);
        self.pieces[after.saturating_sub(1)]
    }
}

/// Normalises `input`. Idempotent: normalising the answer again changes nothing.
///
/// # Panics
/// Never; inputs of 4 GiB and more are cut at 4 GiB (every edge limits text far below).
pub fn normalize(input: &str) -> Normalized {
    let input = &input[..input.floor_char_boundary(u32::MAX as usize)];
    if is_plain(input) {
        return Normalized { text: input.to_owned(), pieces: Vec::new() };
    }
    let mut output = Collapser::with_capacity(input.len());
    let mut cluster = String::new();
    let mut source = 0..0;
    for (at, written) in input.char_indices() {
        let Some(c) = visible(written) else { continue };
        if !cluster.is_empty() && starts_cluster(c) {
            output.push_cluster(&mut cluster, source.clone());
        }
        if cluster.is_empty() {
            source.start = at;
        }
        source.end = at + written.len_utf8();
        cluster.push(c);
    }
    output.push_cluster(&mut cluster, source);
    output.finish()
}

/// True for text that [`normalize`] would return as it is: the common case of simple ASCII.
fn is_plain(input: &str) -> bool {
    let bytes = input.as_bytes();
    let mut previous = b' ';
    for &byte in bytes {
        let plain = match byte {
            b' ' => previous != b' ',
            b'a'..=b'z' | b'0'..=b'9' => true,
            b'!'..=b'~' => !byte.is_ascii_uppercase() && byte != previous,
            _ => false,
        };
        if !plain {
            return false;
        }
        previous = byte;
    }
    previous != b' '
}

/// Control characters become spaces, invisible format characters vanish.
fn visible(c: char) -> Option<char> {
    if c >= ' ' && c < '\u{7f}' || is_unified_ideograph(c) {
        return Some(c);
    }
    match c.general_category() {
        GeneralCategory::Control => Some(' '),
        GeneralCategory::Format => None,
        // Variation selectors pick a glyph, not a meaning.
        _ if matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}') => None,
        _ => Some(c),
    }
}

/// True when normalisation never joins `c` with what stands before it (the "boundary before" of
/// UAX #15 and ICU).
fn starts_cluster(c: char) -> bool {
    if c.is_ascii() || is_unified_ideograph(c) || half_width(c).is_some() {
        return true;
    }
    let mut first = None;
    decompose_compatible(c, |part| {
        first.get_or_insert(part);
    });
    let first = first.unwrap_or(c);
    canonical_combining_class(first) == 0
        && is_nfkc_quick(std::iter::once(first)) == IsNormalized::Yes
}

/// Han ideographs that NFKC leaves alone (the compatibility blocks are not among them).
fn is_unified_ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}')
}

/// The ASCII character that a full-width one becomes by NFKC.
fn half_width(c: char) -> Option<char> {
    matches!(c, '\u{ff01}'..='\u{ff5e}').then(|| char::from((c as u32 - 0xfee0) as u8))
}

/// Collects normalised characters, collapsing runs on the way.
struct Collapser {
    text: String,
    pieces: Vec<Piece>,
    previous: char,
}

impl Collapser {
    fn with_capacity(bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            pieces: Vec::with_capacity(bytes / 2),
            previous: ' ',
        }
    }

    /// Normalises one cluster that came from the bytes `source`, and empties it.
    fn push_cluster(&mut self, cluster: &mut String, source: Range<usize>) {
        let mut chars = cluster.chars();
        match (chars.next(), chars.next()) {
            (None, _) => return,
            (Some(c), None) if c.is_ascii() => self.push(c.to_ascii_lowercase(), &source),
            (Some(c), None) if is_unified_ideograph(c) => self.push(simplify(c), &source),
            (Some(c), None) if let Some(half) = half_width(c) => {
                self.push(half.to_ascii_lowercase(), &source);
            }
            _ => fold(cluster).chars().for_each(|c| self.push(c, &source)),
        }
        cluster.clear();
    }

    fn push(&mut self, c: char, source: &Range<usize>) {
        let c = if c.is_whitespace() { ' ' } else { c };
        if c == self.previous && (c == ' ' || is_punctuation(c)) {
            // The collapsed run stays one piece of the original.
            if let Some(last) = self.pieces.last_mut() {
                last.end = source.end as u32;
            }
            return;
        }
        self.previous = c;
        let at = self.text.len() as u32;
        self.pieces.push(Piece { at, start: source.start as u32, end: source.end as u32 });
        self.text.push(c);
    }

    fn finish(mut self) -> Normalized {
        if self.text.ends_with(' ') {
            self.text.pop();
            self.pieces.pop();
        }
        Normalized { text: self.text, pieces: self.pieces }
    }
}

/// NFKC, lower case and simplification of one cluster, to the fixed point.
fn fold(cluster: &str) -> String {
    let mut current: String = cluster.nfkc().collect();
    // Lower case and simplification may each undo the normal form once; three rounds settle every
    // character of Unicode (a test goes through them all).
    for _ in 0..4 {
        let next: String =
            current.chars().flat_map(char::to_lowercase).map(simplify).nfkc().collect();
        if next == current {
            break;
        }
        current = next;
    }
    current
}

/// Punctuation and symbols in the sense of Unicode's general category P, and the tilde, which
/// Chinese writers repeat like punctuation.
pub(crate) fn is_punctuation(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_punctuation();
    }
    if is_unified_ideograph(c) {
        return false;
    }
    c.general_category_group() == GeneralCategoryGroup::Punctuation
}

/// The simplified form of a traditional character, else the character itself.
fn simplify(c: char) -> char {
    match c {
        '\u{3400}'..='\u{9fff}' => SIMPLIFIED[c as usize - 0x3400],
        _ => c,
    }
}

/// U+3400 to U+9FFF in simplified form.
static SIMPLIFIED: LazyLock<Box<[char]>> = LazyLock::new(|| {
    let opencc = OpenCC::from_config(BuiltinConfig::T2s)
        .expect("the dictionaries are compiled into the crate");
    let once = |c: char| {
        let mut answer = [0; 4];
        let converted = opencc.convert(c.encode_utf8(&mut answer));
        let mut chars = converted.chars();
        match (chars.next(), chars.next()) {
            (Some(simple), None) if is_unified_ideograph(simple) => simple,
            _ => c,
        }
    };
    ('\u{3400}'..='\u{9fff}')
        .map(|c| {
            // A few entries lead to a character that has an entry of its own.
            let simple = once(c);
            once(simple)
        })
        .collect()
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn table() {
        for (name, input, expected) in [
            ("plain stays", "where is my order?", "where is my order?"),
            ("case", "Where IS my Order", "where is my order"),
            ("full width", "ＡＢＣ１２３，好！", "abc123,好!"),
            ("traditional", "請問我的訂單什麼時候發貨", "请问我的订单什么时候发货"),
            ("ideographic space and ends", "\u{3000}你好\u{3000}\u{3000}吗 ", "你好 吗"),
            ("repeated punctuation", "怎么还没到！！！？？", "怎么还没到!?"),
            ("ellipsis", "那个……", "那个."),
            ("digits and letters keep runs", "100000 aaa", "100000 aaa"),
            ("ligature and unit", "ﬁne 5㎏", "fine 5kg"),
            ("combining accent", "cafe\u{301} CAFÉ", "café café"),
            ("zero width and controls", "ab\u{200b}c\0d\r\n\te", "abc d e"),
            ("emoji keeps its base", "❤\u{fe0f}❤\u{fe0f}", "❤❤"),
            ("nothing visible", " \u{200b}\t ", ""),
            ("hangul jamo compose", "\u{1112}\u{1161}\u{11ab}", "한"),
            ("compatibility ideograph", "\u{f900}", "岂"),
        ] {
            assert_eq!(normalize(input).text(), expected, "{name}");
        }
    }

    #[test]
    fn spans_lead_back() {
        let input = "請問ＯＫ！！！ 5㎏";
        let normalized = normalize(input);
        assert_eq!(normalized.text(), "请问ok! 5kg");
        let back = |part: &str| {
            let at = normalized.text().find(part).unwrap();
            &input[normalized.original_span(at..at + part.len())]
        };
        assert_eq!(back("请问"), "請問");
        assert_eq!(back("ok"), "ＯＫ");
        assert_eq!(back("!"), "！！！");
        assert_eq!(back("k"), "Ｋ");
        assert_eq!(back("5kg"), "5㎏");
        assert_eq!(normalized.original_span(3..3), 3..3);
        assert_eq!(normalized.original_span(0..999), 0..input.len());
    }

    /// Every scalar value, alone: idempotent, and hashed so that a dependency's new tables cannot
    /// change answers without a new [`NORMALIZER_VERSION`].
    #[test]
    fn every_character_and_the_version() {
        let mut hash = Sha256::new();
        for c in '\0'..=char::MAX {
            let once = normalize(c.encode_utf8(&mut [0; 4]));
            assert_eq!(normalize(once.text()).text(), once.text(), "{c:?} U+{:04X}", c as u32);
            hash.update(once.text());
            hash.update([0]);
        }
        let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            (NORMALIZER_VERSION, digest.as_str()),
            ("1", "e71a087a2f37cfe2feb9ba760057d64b628a8d75044e9ff32107a164bbd4720b")
        );
    }

    fn nasty() -> impl Strategy<Value = String> {
        let pieces = prop_oneof![
            any::<char>().prop_map(String::from),
            "[a-zA-Z !?.。！，\u{3000}\u{301}\u{307}\u{345}\u{fe0f}\u{200d}臺灣國ﬁ㎏ǅΣςİẞ\u{1100}\u{1161}\u{11a8}´¨]{0,6}",
            proptest::collection::vec(any::<char>(), 0..8).prop_map(String::from_iter),
        ];
        proptest::collection::vec(pieces, 0..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn idempotent(input in nasty()) {
            let once = normalize(&input);
            let twice = normalize(once.text());
            prop_assert_eq!(twice.text(), once.text());
        }

        #[test]
        fn offsets_are_boundaries_in_order(input in nasty()) {
            let normalized = normalize(&input);
            let mut previous = 0..0;
            for (at, c) in normalized.text().char_indices() {
                let span = normalized.original_span(at..at + c.len_utf8());
                prop_assert!(input.get(span.clone()).is_some_and(|part| !part.is_empty()));
                prop_assert!(span.start >= previous.start && span.end >= previous.end);
                previous = span;
            }
            for start in 0..=normalized.text().len() {
                let span = normalized.original_span(start..normalized.text().len());
                prop_assert!(input.get(span).is_some());
            }
        }
    }
}
