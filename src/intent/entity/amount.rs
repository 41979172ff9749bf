//! The built-in kind `amount`: money with its currency, `CNY 350.00`; without one, `350.00`.

use std::ops::Range;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::number::{DIGITS, Decimal, HAN, WORDS, chinese_unit};
use super::{Candidate, Rank, after, before, compile};
use crate::intent::keyword::is_han;
use crate::intent::knowledge::EntityKind;

/// `¥350`, `USD 1,299.00`, `人民币350元`.
static BEFORE: LazyLock<Regex> = LazyLock::new(|| {
    compile(&format!(
        r"(us\$|hk\$|nt\$|[¥$€£]|(?-u:\b)(?:rmb|cny|usd|eur|gbp|hkd|jpy)|人民币|美元|美金) ?({DIGITS})([千万亿kw])?(?: ?(?:元|块钱|块|rmb))?"
    ))
});

/// `350元`, `三百五十块`, `30 bucks`, `twenty dollars`, `1.5万元`.
static AFTER: LazyLock<Regex> = LazyLock::new(|| {
    compile(&format!(
        r"(?:(?-u:\b)({DIGITS})([百千万亿kw]?万?)|({HAN})|(?-u:\b)({WORDS})) ?(?:(元人民币|人民币|元|圆|块钱|美元|美金|欧元|英镑|港币|港元|日元|€)|((?:rmb|cny|yuan|usd|dollars?|bucks?|eur|euros?|gbp|quid|hkd|jpy|yen|cents?)(?-u:\b)))"
    ))
});

/// `3块5`, `三块五毛`, `五毛`, `3元5角2分`, `三块半`, `350块`.
static PIECES: LazyLock<Regex> = LazyLock::new(|| {
    let one = "(?:[0-9]|[一二两三四五六七八九])";
    compile(&format!(
        r"(?:(?:(?-u:\b)({DIGITS})([百千万]?)|({HAN}))[块元](?:(半)|({one})[毛角]?(?:({one})分)?)?|(?:(?-u:\b)([0-9])|([一二两三四五六七八九]))[毛角](?:({one})分)?)(钱)?"
    ))
});

/// A price without a currency: grouped thousands, or exactly two decimals.
static BARE: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"(?-u:\b)(?:[0-9]{1,3}(?:,[0-9]{3}){1,4}(?:\.[0-9]{2})?|[0-9]{1,12}\.[0-9]{2})(?-u:\b)",
    )
});

/// A number after a word for money.
static ANNOUNCED: LazyLock<Regex> = LazyLock::new(|| {
    compile(&format!(
        r"(?:金额|总额|总价|价格|售价|(?-u:\b)(?:amount|total|price|paid))(?: ?[:是为=] ?| (?:is|was|of) | )?(?-u:\b)({DIGITS})([千万]?)"
    ))
});

/// What may follow an amount in the same clause; another character may be what is counted.
const PARTICLES: &str = "的多吧呢吗啊呀嘛";

/// Amounts of money.
pub(super) fn amounts(text: &str, out: &mut Vec<Candidate>) {
    let mut push = |span: Range<usize>, value: Decimal, currency: &str| {
        // 几十块
        let vague = before(text, span.start).is_some_and(|c| "几数".contains(c));
        if vague || in_longer_number(text, &span) {
            return;
        }
        let value =
            if currency.is_empty() { value.to_string() } else { format!("{currency} {value}") };
        out.push(Candidate::builtin(EntityKind::Amount, Rank::Amount, span, value));
    };
    for found in BEFORE.captures_iter(text) {
        if let Some(value) = scaled(&found, 2, 3) {
            push(found.get_match().range(), value, currency(&found[1]));
        }
    }
    for found in AFTER.captures_iter(text) {
        let value = scaled(&found, 1, 2)
            .or_else(|| Decimal::parse(found.get(3).or(found.get(4))?.as_str()));
        let unit = found.get(5).or(found.get(6)).map_or("", |unit| unit.as_str());
        let other_word = unit == "元" && next_in(text, found.get_match().end(), "素宵旦桥");
        if let Some(value) = value.filter(|_| !other_word) {
            let value = if unit.starts_with("cent") { value.over(100) } else { value };
            push(found.get_match().range(), value, currency(unit));
        }
    }
    for found in PIECES.captures_iter(text) {
        if let Some(value) = pieces(text, &found) {
            push(found.get_match().range(), value, "CNY");
        }
    }
    for found in BARE.find_iter(text) {
        if let Some(value) = Decimal::parse(found.as_str())
            && stands_alone(text, found.start(), found.end())
        {
            push(found.range(), value, "");
        }
    }
    for found in ANNOUNCED.captures_iter(text) {
        let end = found.get_match().end();
        if let (Some(number), Some(value)) = (found.get(1), scaled(&found, 1, 2))
            && stands_alone(text, number.start(), end)
        {
            push(number.start()..end, value, "");
        }
    }
}

/// The number in group `number`, times the Chinese unit in group `scale`.
fn scaled(found: &Captures<'_>, number: usize, scale: usize) -> Option<Decimal> {
    let value = Decimal::parse(found.get(number)?.as_str())?;
    let scale = found.get(scale).map_or("", |scale| scale.as_str());
    Some(scale.chars().filter_map(chinese_unit).fold(value, Decimal::times))
}

/// Yuan, jiao and fen.
fn pieces(text: &str, found: &Captures<'_>) -> Option<Decimal> {
    let number = |group: usize| {
        found.get(group).map_or(Some(Decimal::whole(0)), |part| Decimal::parse(part.as_str()))
    };
    let yuan = match found.get(3) {
        Some(han) => Decimal::parse(han.as_str())?,
        None => scaled(found, 1, 2).unwrap_or(Decimal::whole(0)),
    };
    let half = if found.get(4).is_some() { Decimal::whole(5) } else { number(5)? };
    let jiao = half.plus(number(7)?).plus(number(8)?);
    let fen = number(6)?.plus(number(9)?);
    let end = found.get_match().end();
    let plain = found.get(10).is_none() && jiao == Decimal::whole(0) && fen == Decimal::whole(0);
    // The 3 of 5元3件 counts something else.
    let counted = found.get(5).is_some()
        && !found.get_match().as_str().ends_with(['毛', '角', '分', '钱'])
        && after(text, end).is_some_and(is_han)
        && !next_in(text, end, PARTICLES);
    if counted {
        return None;
    }
    // A small number and 块 also counts pieces (两块肥皂) and means “together” (一块).
    if plain
        && (yuan == Decimal::whole(1)
            || yuan < Decimal::whole(10)
                && after(text, end).is_some_and(is_han)
                && !next_in(text, end, PARTICLES))
    {
        return None;
    }
    if next_in(text, end, "素宵旦桥衣巾毯绒线笔形洲落") {
        return None;
    }
    Some(yuan.plus(jiao.over(10)).plus(fen.over(100)))
}

/// False for a version, a measure and a share: `v2.10`, `12.50kg`, `99.95%`.
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let rest = text[end..].trim_start();
    let unit = rest.starts_with(|c: char| {
        "%℃°:/".contains(c) || "公斤克米升折倍寸码分秒小时天度点次个件号元块月日年万千".contains(c)
    });
    let measures = [
        "kg", "g ", "mg", "cm", "mm", "km", "m ", "ml", "l ", "lb", "oz", "gb", "mb", "inch",
        "pts", "point", "am", "pm",
    ];
    let measure = measures.iter().any(|unit| rest.starts_with(unit) || rest == unit.trim());
    let head = text[..start].trim_end_matches([' ', ':']);
    let version = ["version", "ver", "v", "版本", "ios", "android", "firmware"]
        .iter()
        .any(|word| head.ends_with(word));
    !unit && !measure && !version
}

/// `2.350` of `1.2.350`, `350` of `350.5.1`.
fn in_longer_number(text: &str, span: &Range<usize>) -> bool {
    let (start, end) = (span.start, span.end);
    let digit_before = |at: usize| before(text, at).is_some_and(|c| c.is_ascii_alphanumeric());
    let dotted_before = text[..start].ends_with('.') && digit_before(start - 1);
    let digit = |at: usize| after(text, at).is_some_and(|c| c.is_ascii_digit());
    let ends_in_digit = digit_before(end);
    dotted_before
        || ends_in_digit && (digit(end) || text[end..].starts_with(['.', ',']) && digit(end + 1))
        || ends_in_digit && after(text, end).is_some_and(|c| c.is_ascii_alphabetic())
}

fn next_in(text: &str, end: usize, set: &str) -> bool {
    after(text, end).is_some_and(|c| set.contains(c))
}

/// ISO 4217.
fn currency(written: &str) -> &'static str {
    match written {
        "$" | "us$" | "usd" | "美元" | "美金" => "USD",
        "€" | "eur" | "euro" | "euros" | "欧元" => "EUR",
        "£" | "gbp" | "quid" | "英镑" => "GBP",
        "hk$" | "hkd" | "港币" | "港元" => "HKD",
        "nt$" => "TWD",
        "jpy" | "yen" | "日元" => "JPY",
        _ if written.starts_with(['d', 'b', 'c']) && written != "cny" => "USD",
        _ => "CNY",
    }
}
