//! Built-in kinds that reach a person: phone numbers and mail addresses.

use std::sync::LazyLock;

use regex::Regex;

use super::{Candidate, Rank, before, compile, inside_code};
use crate::intent::knowledge::EntityKind;

/// A Chinese mobile number.
static MOBILE: LazyLock<Regex> = LazyLock::new(|| {
    compile(r"(?:(?:\+|00)?86[- ]?|(?-u:\b))(1[3-9][0-9](?:[- ]?[0-9]{4}){2})(?-u:\b)")
});

/// A Chinese landline: area code, number, extension.
static LANDLINE: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"(?x) (?: \(0(10|2[0-9]|[3-9][0-9]{2})\) \ ?
             | (?-u:\b)0(10|2[0-9]|[3-9][0-9]{2}) [-\ ]?
             | (?:\+|00)86 [-\ ]? \(?0?(10|2[0-9]|[3-9][0-9]{2})\)? [-\ ]? )
          ([2-9][0-9]{2,3}[-\ ]?[0-9]{4}) (?:(?:-|\ ?转\ ?|\ ?ext\.?\ ?)([0-9]{1,5}))? (?-u:\b)",
    )
});

/// 400 and 800 numbers.
static SERVICE: LazyLock<Regex> =
    LazyLock::new(|| compile(r"(?-u:\b)[48]00(?:[- ]?[0-9]){7}(?-u:\b)"));

/// North America: `(415) 555-2671`, `1-415-555-2671`.
static AMERICAN: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"(?:\+1[-. ]?|(?-u:\b)1[-. ]|)(?:\([2-9][0-9]{2}\) ?|(?-u:\b)[2-9][0-9]{2}[-. ])[2-9][0-9]{2}[-. ][0-9]{4}(?-u:\b)",
    )
});

/// ITU-T E.164: `+`, country code, number.
static INTERNATIONAL: LazyLock<Regex> = LazyLock::new(|| {
    compile(r"\+[1-9][0-9]{0,2}(?:[0-9]{5,12}|(?:[-. ]?\(?[0-9]{2,5}\)?){2,5})(?-u:\b)")
});

/// RFC 5321 without quotes and without Unicode.
static EMAIL: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"(?-u:\b)[a-z0-9][a-z0-9._%+-]{0,63}@(?:[a-z0-9][a-z0-9-]{0,62}\.){1,6}[a-z]{2,24}(?-u:\b)",
    )
});

/// Phone numbers: E.164 where the country is known (with RFC 3966's `;ext=`), the digits as dialled
/// for 400 and 800 numbers.
pub(super) fn phones(text: &str, out: &mut Vec<Candidate>) {
    let mut push = |span: std::ops::Range<usize>, value: String| {
        // A part of a longer number is no number.
        if !inside_code(text, &span) && before(text, span.start) != Some('+') {
            out.push(Candidate::builtin(EntityKind::Phone, Rank::Phone, span, value));
        }
    };
    for found in MOBILE.captures_iter(text) {
        let span = found.get_match().range();
        push(span, format!("+86{}", digits(&found[1])));
    }
    for found in LANDLINE.captures_iter(text) {
        let area = (1..=3).find_map(|group| found.get(group)).map_or("", |area| area.as_str());
        let number = digits(&found[4]);
        // Three-figure areas have eight digits.
        if area.len() == 3 || number.len() == 8 {
            let extension = found.get(5).map(|part| format!(";ext={}", part.as_str()));
            let extension = extension.unwrap_or_default();
            push(found.get_match().range(), format!("+86{area}{number}{extension}"));
        }
    }
    for found in SERVICE.find_iter(text) {
        push(found.range(), digits(found.as_str()));
    }
    for found in AMERICAN.find_iter(text) {
        let number = digits(found.as_str());
        push(found.range(), format!("+1{}", &number[number.len() - 10..]));
    }
    for found in INTERNATIONAL.find_iter(text) {
        let number = digits(found.as_str());
        if (8..=15).contains(&number.len()) {
            push(found.range(), format!("+{number}"));
        }
    }
}

/// Mail addresses, in lower case.
pub(super) fn emails(text: &str, out: &mut Vec<Candidate>) {
    for found in EMAIL.find_iter(text) {
        let value = found.as_str().to_owned();
        if !value.contains("..") {
            out.push(Candidate::builtin(EntityKind::Email, Rank::Email, found.range(), value));
        }
    }
}

fn digits(written: &str) -> String {
    written.chars().filter(char::is_ascii_digit).collect()
}
