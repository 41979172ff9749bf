//! What of a message may be kept: phone, card, identity and order numbers and mail addresses become
//! placeholders by rule, before anything is stored.
//!
//! The rules look at the normalised text, so full-width digits and hidden characters are no way
//! round them, and what they find is replaced in the original. Whatever the rules cannot name but has
//! seven digits or more, separated or not, becomes `<number>`: no longer run of digits is ever kept.
//! Dates and amounts stay. Names, street addresses and numbers in words are not found.
//!
//! Pure; the writer of the queue calls it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use crate::intent::entity::{Entity, Extractor};
use crate::intent::knowledge::{EntityKind, KnowledgeBase};
use crate::intent::normalize::{Normalized, normalize};

/// Fewest digits that are taken for somebody's number.
const MIN_DIGITS: usize = 7;
/// So many together are a telephone number, even if some of them could be a date.
const PHONE_DIGITS: usize = 11;
/// Marks between two digits that still belong together.
const MAX_MARKS: usize = 3;

/// What stands in the place of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Email,
    IdNumber,
    Card,
    Phone,
    OrderNumber,
    /// A long number that no rule knows.
    Number,
}

impl Part {
    fn placeholder(self) -> &'static str {
        match self {
            Part::Email => "<email>",
            Part::IdNumber => "<id_number>",
            Part::Card => "<card>",
            Part::Phone => "<phone>",
            Part::OrderNumber => "<order_number>",
            Part::Number => "<number>",
        }
    }
}

/// A Chinese identity number: region, birthday, sequence, check digit (GB 11643). The birthday must be
/// one; the check digit need not fit, for a number with a typing error is as personal.
static ID: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        "[1-9][0-9]{5}[- ]?(?:18|19|20)[0-9]{2}[- ]?(?:0[1-9]|1[0-2])[- ]?(?:0[1-9]|[12][0-9]|3[01])[- ]?[0-9]{3}[0-9x]",
    )
});
/// The one of before 1999: a year of two digits, no check digit.
static OLD_ID: LazyLock<Regex> = LazyLock::new(|| {
    pattern("[1-9][0-9]{5}[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}")
});
/// A passport or a travel permit: announced, or a Chinese passport's letter and eight digits.
static PASSPORT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        "(?:护照|通行证|passport)[^a-z0-9]{0,12}(?:(?:号码?|number|no)[^a-z0-9]{0,6})?([a-z]{0,2}[0-9]{6,9})|(?-u:\\b)(e[a-z]?[0-9]{7,8})(?-u:\\b)",
    )
});
/// Digits that may be a card's, if they pass Luhn's check or are called so.
static CARD: LazyLock<Regex> = LazyLock::new(|| pattern("[0-9]{13,19}"));
/// Written in groups as on the card itself: nothing else is, so no check digit is asked for.
static GROUPED_CARD: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        "[0-9]{4}[- ][0-9]{4}[- ][0-9]{4}[- ][0-9]{1,4}(?:[- ][0-9]{1,3})?|3[47][0-9]{2}[- ][0-9]{6}[- ][0-9]{5}",
    )
});
/// Words before a number that make it an order's, or a card's.
static ORDER_BEFORE: LazyLock<Regex> = LazyLock::new(|| {
    pattern("(?:单|单号|单号码|编号|order|order (?:number|num|no|id)|#)[^a-z0-9]{0,6}$")
});
static CARD_BEFORE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        "(?:卡|卡号|账号|帐号|账户|card|card (?:number|no)|account|account (?:number|no))[^a-z0-9]{0,6}$",
    )
});

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the patterns are regular expressions, tests use each")
}

/// Replaces what may not be kept.
#[derive(Debug)]
pub struct Redactor {
    extractor: Extractor,
}

impl Default for Redactor {
    fn default() -> Self {
        let nothing = KnowledgeBase::default();
        Self { extractor: Extractor::new(&nothing).expect("there is nothing to compile") }
    }
}

/// What is to be replaced: bytes of the original text, by their start.
#[derive(Default)]
struct Claims(BTreeMap<usize, (usize, Part)>);

impl Claims {
    fn is_free(&self, span: &Range<usize>) -> bool {
        self.0.range(..span.end).next_back().is_none_or(|(_, last)| last.0 <= span.start)
    }

    fn claim(&mut self, span: Range<usize>, part: Part) {
        if !span.is_empty() && self.is_free(&span) {
            self.0.insert(span.start, (span.end, part));
        }
    }
}

impl Redactor {
    /// `text` with placeholders for what may not be kept.
    pub fn redact(&self, text: &str) -> String {
        let normal = normalize(text);
        let entities = self.extractor.extract(text, &normal);
        let entities: Vec<_> = entities.into_iter().map(|one| (bytes(text, &one), one)).collect();
        let mut claims = Claims::default();
        let take = |kind: &EntityKind, part: Part, claims: &mut Claims| {
            for (span, _) in entities.iter().filter(|(_, one)| one.kind == *kind) {
                claims.claim(span.clone(), part);
            }
        };
        take(&EntityKind::Email, Part::Email, &mut claims);
        identities_and_cards(&normal, &mut claims);
        take(&EntityKind::Phone, Part::Phone, &mut claims);
        take(&EntityKind::OrderNumber, Part::OrderNumber, &mut claims);
        let harmless: Vec<Range<usize>> = entities
            .iter()
            .filter(|(_, one)| matches!(one.kind, EntityKind::Date | EntityKind::Amount))
            .map(|(span, _)| span.clone())
            .collect();
        sweep(&normal, &harmless, &mut claims);
        without_runs(replaced(text, &claims))
    }
}

/// The bytes of an entity, whose place is counted in characters.
fn bytes(text: &str, entity: &Entity) -> Range<usize> {
    let at = |chars: usize| text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at);
    at(entity.start)..at(entity.end)
}

fn identities_and_cards(normal: &Normalized, claims: &mut Claims) {
    let text = normal.text();
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let alone = |span: &Range<usize>| {
        !digit(text[..span.start].chars().next_back()) && !digit(text[span.end..].chars().next())
    };
    let called = |what: &Regex, span: &Range<usize>| what.is_match(&text[..span.start]);
    let mut claim = |span: Range<usize>, part: Part| {
        claims.claim(normal.original_span(span), part);
    };
    for found in ID.find_iter(text).chain(OLD_ID.find_iter(text)) {
        let span = found.range();
        if alone(&span) && !called(&ORDER_BEFORE, &span) && !luhn_of_amex(found.as_str()) {
            claim(span, Part::IdNumber);
        }
    }
    for found in PASSPORT.captures_iter(text) {
        let number = found.get(1).or(found.get(2)).expect("one of the groups matched");
        if alone(&number.range()) && !called(&ORDER_BEFORE, &number.range()) {
            claim(number.range(), Part::IdNumber);
        }
    }
    for found in GROUPED_CARD.find_iter(text).filter(|found| alone(&found.range())) {
        claim(found.range(), Part::Card);
    }
    for found in CARD.find_iter(text) {
        let span = found.range();
        // One number in ten passes the check by chance, so an order's must be let go.
        let card = called(&CARD_BEFORE, &span)
            || is_card_number(found.as_str()) && !called(&ORDER_BEFORE, &span);
        if alone(&span) && card {
            claim(span, Part::Card);
        }
    }
}

/// A card of fifteen digits looks like an old identity number now and then.
fn luhn_of_amex(number: &str) -> bool {
    number.len() == 15 && (number.starts_with("34") || number.starts_with("37")) && luhn(number)
}

/// Payment cards begin with 2 to 6 (ISO/IEC 7812-1) and pass Luhn's check.
fn is_card_number(digits: &str) -> bool {
    digits.starts_with(['2', '3', '4', '5', '6']) && luhn(digits)
}

/// The check digit of ISO/IEC 7812-1.
fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, byte)| match (at % 2, u32::from(byte - b'0')) {
            (0, digit) => digit,
            (_, digit) => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// A digit of any script, Han ones included.
fn is_digit(c: char) -> bool {
    c.is_numeric() || "〇零一二三四五六七八九幺".contains(c)
}

/// Claims the numbers that are left. What is wholly inside one of `harmless` counts only when it has
/// too many digits in a row.
fn sweep(normal: &Normalized, harmless: &[Range<usize>], claims: &mut Claims) {
    let mut number = Number::default();
    let mut found = Vec::new();
    for (at, c) in normal.text().char_indices() {
        let span = at..at + c.len_utf8();
        let taken = !claims.is_free(&normal.original_span(span.clone()));
        if !taken && is_digit(c) {
            let place = normal.original_span(span.clone());
            let counts =
                !harmless.iter().any(|one| one.start <= place.start && place.end <= one.end);
            number.push(span, counts);
        } else if taken || c.is_alphanumeric() || "<>".contains(c) || number.marks == MAX_MARKS {
            found.extend(std::mem::take(&mut number).finish());
        } else {
            number.mark();
        }
    }
    found.extend(number.finish());
    for span in found {
        claims.claim(normal.original_span(span), Part::Number);
    }
}

/// Digits on their way to be a number.
#[derive(Default)]
struct Number {
    span: Option<Range<usize>>,
    /// All digits, and those outside of dates and amounts.
    all: usize,
    digits: usize,
    /// Digits in a row at the end, and the longest row.
    row: usize,
    longest: usize,
    /// Marks after the last digit.
    marks: usize,
}

impl Number {
    fn push(&mut self, span: Range<usize>, counts: bool) {
        self.row = if self.marks == 0 { self.row + 1 } else { 1 };
        self.longest = self.longest.max(self.row);
        self.marks = 0;
        self.all += 1;
        self.digits += usize::from(counts);
        let start = self.span.as_ref().map_or(span.start, |known| known.start);
        self.span = Some(start..span.end);
    }

    fn mark(&mut self) {
        self.marks += 1;
    }

    fn finish(self) -> Option<Range<usize>> {
        let long = self.digits >= MIN_DIGITS
            || self.longest >= MIN_DIGITS
            || self.digits > 0 && self.all >= PHONE_DIGITS;
        self.span.filter(|_| long)
    }
}

fn replaced(text: &str, claims: &Claims) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (&start, &(end, part)) in &claims.0 {
        out.push_str(&text[at..start]);
        out.push_str(part.placeholder());
        at = end;
    }
    out.push_str(&text[at..]);
    out
}

/// The last line of defence: characters that count as numbers, in the original spelling, that the
/// normalised text had no digits for.
fn without_runs(text: String) -> String {
    let run = |text: &str| text.chars().take_while(|c| c.is_numeric()).count();
    if !text.char_indices().any(|(at, c)| c.is_numeric() && run(&text[at..]) >= MIN_DIGITS) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        let long = run(rest);
        let end = if long > 0 {
            rest.char_indices().nth(long).map_or(rest.len(), |(at, _)| at)
        } else {
            c.len_utf8()
        };
        let piece = &rest[..end];
        out.push_str(if long >= MIN_DIGITS { Part::Number.placeholder() } else { piece });
        rest = &rest[end..];
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn table() {
        let redactor = Redactor::default();
        for (name, text, wanted) in [
            ("mobile", "我的电话13812345678谢谢", "我的电话<phone>谢谢"),
            ("mobile, spaces", "打 138 1234 5678", "打 <phone>"),
            ("mobile, dashes, +86", "+86-138-1234-5678", "<phone>"),
            ("mobile, full width", "手机１３８１２３４５６７８", "手机<phone>"),
            ("mobile, hidden characters", "138\u{200b}1234\u{200b}5678", "<phone>"),
            ("mobile, odd marks", "138.1234.5678 或 138—1234—5678", "<number> 或 <number>"),
            ("mobile, digit by digit", "1 3 8 1 2 3 4 5 6 7 8", "<number>"),
            ("mobile in words", "幺三八一二三四五六七八", "<number>"),
            ("landline", "请打010-62345678", "请打<phone>"),
            ("landline, brackets", "(021) 5888 6666", "<phone>"),
            ("international", "call +44 20 7946 0958 please", "call <phone> please"),
            ("american", "(415) 555-2671", "<phone>"),
            ("card, Luhn", "卡 6222020200112233440 被扣了", "卡 <card> 被扣了"),
            ("card, Luhn, unannounced", "4111111111111111", "<card>"),
            ("card in groups", "4111 1111 1111 1112", "<card>"),
            ("card of 19 in groups", "6222-0202-0011-2233-441", "<card>"),
            ("card that is called so", "卡号：6222020200112233", "卡号：<card>"),
            ("amex", "3782 822463 10005 and 378282246310005", "<card> and <card>"),
            ("16 digits of nothing", "9999999999999999", "<order_number>"),
            ("identity", "身份证11010519491231002X", "身份证<id_number>"),
            ("identity, lower case x", "11010519491231002x办的", "<id_number>办的"),
            ("identity, wrong check digit", "110105194912310021", "<id_number>"),
            ("identity in groups", "110105 19491231 002X", "<id_number>"),
            ("identity of before 1999", "130503670401001", "<id_number>"),
            ("passport", "护照号 E12345678", "护照号 <id_number>"),
            ("passport, announced", "passport no. 123456789", "passport no. <id_number>"),
            ("mail", "写信到 Li.Lei@qq.com 吧", "写信到 <email> 吧"),
            ("mail of digits", "12345678@qq.com", "<email>"),
            ("order", "订单号 20261030998877 到哪了", "订单号 <order_number> 到哪了"),
            ("order that passes Luhn", "order no 4111111111111111", "order no <order_number>"),
            (
                "in an address",
                "看 shop.com/item/100012043978.html",
                "看 shop.com/item/<number>.html",
            ),
            ("Arabic digits", "٠١٢٣٤٥٦٧٨", "<number>"),
            ("circled", "①③⑧①②③④⑤⑥⑦⑧", "<phone>"),
            ("date", "2026-11-05 下单的", "2026-11-05 下单的"),
            ("date and time", "2026年11月5日 15:30", "2026年11月5日 15:30"),
            ("amount", "扣了 1,299,000.00 元", "扣了 1,299,000.00 元"),
            ("small numbers", "买3件 花了100块 等了7天", "买3件 花了100块 等了7天"),
            ("several", "13812345678 and a@b.cn", "<phone> and <email>"),
            ("nothing", "", ""),
        ] {
            assert_eq!(redactor.redact(text), wanted, "{name}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

        #[test]
        fn no_run_of_seven_digits_survives(text in "\\PC{0,30}|[0-9０-９一七٣①½㈠a-c @.+/—年月元:,\u{200b}-]{0,60}") {
            let redacted = Redactor::default().redact(&text);
            let mut row = 0;
            for c in redacted.chars() {
                row = if c.is_numeric() { row + 1 } else { 0 };
                prop_assert!(row < MIN_DIGITS, "{:?} became {:?}", text, redacted);
            }
            let mut row = 0;
            for c in normalize(&redacted).text().chars() {
                row = if c.is_ascii_digit() { row + 1 } else { 0 };
                prop_assert!(row < MIN_DIGITS, "{:?} became {:?}", text, redacted);
            }
        }

        #[test]
        fn a_mobile_number_never_survives_its_marks(
            digits in "1[3-9][0-9]{9}", marks in proptest::collection::vec("[- .·—_/]{0,2}", 10), word in "[天猫 a]{0,3}",
        ) {
            let marks = marks.into_iter().chain([String::new()]);
            let written: String = digits.chars().zip(marks).map(|(c, mark)| format!("{c}{mark}")).collect();
            let redacted = Redactor::default().redact(&format!("{word} {written} {word}"));
            let left = redacted.chars().filter(char::is_ascii_digit).count();
            prop_assert!(left < MIN_DIGITS, "{} became {}", written, redacted);
        }
    }
}
