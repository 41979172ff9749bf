//! The built-in kind `order_number`.
//!
//! Shops number their orders in many ways. Bare, a code counts with 8 letters and digits or more, 6
//! digits among them; after words such as “订单号” or “order no.”, 6 with 5 digits are enough.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::{Candidate, Rank, after, before, compile, is_decimal};
use crate::intent::knowledge::EntityKind;

/// Letters and digits in up to six groups.
static CODE: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"(?-u:\b)(?:[a-z]{1,4}-)?[a-z]{0,8}[0-9][0-9a-z]{0,39}(?:-[0-9a-z]{0,20}[0-9][0-9a-z]{0,20}){0,4}(?-u:\b)",
    )
});

/// A code after the words that announce it. The first group is there when nothing but an order
/// number can follow.
static ANNOUNCED: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"(?x) (?: (订单编号|订单号码?|单号|(?-u:\b)order\ ?(?:number|num|no|id|\#))
             | 订单 | (?-u:\b)(?:order|no) | \# )
          [\ .:\#是为]{0,4} (?:is\ )?
          ((?-u:\b) [a-z0-9]{1,40} (?:-[a-z0-9]{1,20}){0,4}) (?-u:\b)",
    )
});

/// Fewest letters and digits of a code in groups: a date and a phone number have fewer.
const MIN_GROUPED: usize = 12;

/// Order numbers, in upper case.
pub(super) fn orders(text: &str, out: &mut Vec<Candidate>) {
    let mut push = |rank, span: Range<usize>| {
        let value = text[span.clone()].to_uppercase();
        out.push(Candidate::builtin(EntityKind::OrderNumber, rank, span, value));
    };
    for found in ANNOUNCED.captures_iter(text) {
        let code = found.get(2).expect("the group is not optional");
        let (all, digits) = count(code.as_str());
        if all >= 6 && digits >= 5 && !is_decimal(text, &code.range()) && !is_date(code.as_str()) {
            let certain = found.get(1).is_some();
            push(if certain { Rank::SureOrder } else { Rank::Order }, code.range());
        }
    }
    for found in CODE.find_iter(text) {
        let (all, digits) = count(found.as_str());
        let enough = if found.as_str().contains('-') { MIN_GROUPED } else { 8 };
        // A piece of an address (`…/item/100012043978.html`) or of a phone number.
        let piece = before(text, found.start()).is_some_and(|c| "/=_&?+@".contains(c))
            || after(text, found.end()).is_some_and(|c| "/_=@".contains(c));
        if all >= enough && digits >= 6 && !piece && !is_decimal(text, &found.range()) {
            push(Rank::Order, found.range());
        }
    }
}

/// Letters and digits, and digits.
fn count(code: &str) -> (usize, usize) {
    let all = code.bytes().filter(u8::is_ascii_alphanumeric).count();
    (all, code.bytes().filter(u8::is_ascii_digit).count())
}

/// `2026-11-05` is no order number, whatever stands before it.
pub(super) fn is_date(code: &str) -> bool {
    let lengths: Vec<usize> = code.split('-').map(str::len).collect();
    matches!(lengths[..], [4, 1..=2, 1..=2] | [1..=2, 1..=2, 4])
}
