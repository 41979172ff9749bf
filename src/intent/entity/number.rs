//! Numbers as people write them: `1,299.00`, `三百五十`, `twenty five`.
//!
//! Used by amounts and by dates; knows no currency and no unit.

/// A number in digits, as a regular expression: thousands may be grouped by commas.
pub(super) const DIGITS: &str =
    r"(?:(?:[0-9]{1,3}(?:,[0-9]{3}){1,4}|[0-9]{1,12})(?:\.[0-9]{1,6})?)";

/// A whole number in Chinese, everyday or financial.
pub(super) const HAN: &str =
    "(?:[零〇一二两三四五六七八九十百千万亿壹贰叁肆伍陆柒捌玖拾佰仟]{1,12})";

/// A whole number in English words.
pub(super) const WORDS: &str = "(?:(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\
    thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|\
    seventy|eighty|ninety|an?|hundred|thousand)\
    (?:[ -](?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\
    thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|\
    seventy|eighty|ninety|hundred|thousand)){0,4})";

/// Parts of one in a [`Decimal`].
const ONE: u128 = 1_000_000;

/// A number from 0 with up to six decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Decimal(u128);

impl Decimal {
    /// A whole number.
    pub(super) fn whole(value: u64) -> Self {
        Self(u128::from(value) * ONE)
    }

    /// A number in any of the ways of this module.
    pub(super) fn parse(written: &str) -> Option<Self> {
        if written.starts_with(|c: char| c.is_ascii_digit()) {
            return Self::parse_digits(written);
        }
        whole(written).map(Self::whole)
    }

    fn parse_digits(written: &str) -> Option<Self> {
        let (whole, decimals) = written.split_once('.').unwrap_or((written, ""));
        let whole: u64 = whole.replace(',', "").parse().ok()?;
        let fraction: u128 = format!("{decimals:0<6}").get(..6)?.parse().ok()?;
        Some(Self(u128::from(whole) * ONE + fraction))
    }

    pub(super) fn times(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(u128::from(factor)))
    }

    pub(super) fn over(self, divisor: u64) -> Self {
        Self(self.0 / u128::from(divisor.max(1)))
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// At least two decimals, more only when they are not zero.
impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let decimals = format!("{:06}", self.0 % ONE);
        let kept = decimals.trim_end_matches('0').len().max(2);
        write!(f, "{}.{}", self.0 / ONE, &decimals[..kept])
    }
}

/// A whole number in digits, in Chinese or in English words.
pub(super) fn whole(written: &str) -> Option<u64> {
    match written.chars().next()? {
        c if c.is_ascii_digit() => written.parse().ok(),
        c if c.is_ascii_lowercase() => english(written),
        _ => chinese(written),
    }
}

fn chinese(written: &str) -> Option<u64> {
    let digits: Vec<u64> =
        written.chars().map(chinese_digit).collect::<Option<_>>().unwrap_or_default();
    if digits.len() > 1 {
        // A year or a code, digit by digit: 二〇二六.
        return digits.iter().try_fold(0u64, |sum, digit| sum.checked_mul(10)?.checked_add(*digit));
    }
    // The rest of a number that is none: 几百, 数千.
    if written.starts_with(|c| chinese_unit(c).is_some_and(|unit| unit > 10)) {
        return None;
    }
    let (mut total, mut section, mut digit, mut unit) = (0u64, 0u64, None, 1u64);
    for c in written.chars() {
        if let Some(value) = chinese_digit(c) {
            // A zero between breaks 一百零五 off the short form 一百五.
            unit = if value == 0 { 1 } else { unit };
            digit = Some(value);
            continue;
        }
        let scale = chinese_unit(c)?;
        if scale >= 10_000 {
            section = section.checked_add(digit.unwrap_or(0))?;
            total = match (total, section) {
                (0, 0) => return None,
                // 三万亿 counts 万 in 亿, 一亿两千万 does not.
                _ if total < scale => total.checked_add(section)?.checked_mul(scale)?,
                (_, 0) => return None,
                _ => total.checked_add(section.checked_mul(scale)?)?,
            };
            section = 0;
        } else {
            section = section.checked_add(digit.unwrap_or(1).checked_mul(scale)?)?;
        }
        digit = None;
        unit = scale;
    }
    // The short form: the last digit of 三百五 counts tens.
    let last = digit.unwrap_or(0).checked_mul(if unit >= 100 { unit / 10 } else { 1 })?;
    total.checked_add(section)?.checked_add(last)
}

fn chinese_digit(c: char) -> Option<u64> {
    Some(match c {
        '零' | '〇' => 0,
        '一' | '壹' => 1,
        '二' | '两' | '贰' => 2,
        '三' | '叁' => 3,
        '四' | '肆' => 4,
        '五' | '伍' => 5,
        '六' | '陆' => 6,
        '七' | '柒' => 7,
        '八' | '捌' => 8,
        '九' | '玖' => 9,
        _ => return None,
    })
}

/// 10, 100, … of a Chinese numeral.
pub(super) fn chinese_unit(c: char) -> Option<u64> {
    Some(match c {
        '十' | '拾' => 10,
        '百' | '佰' => 100,
        '千' | '仟' | 'k' => 1_000,
        '万' | 'w' => 10_000,
        '亿' => 100_000_000,
        _ => return None,
    })
}

fn english(written: &str) -> Option<u64> {
    const SMALL: [&str; 20] = [
        "a",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    const TENS: [&str; 8] =
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    let (mut total, mut part) = (0u64, 0u64);
    for word in written.split([' ', '-']) {
        if let Some(at) = SMALL.iter().position(|small| *small == word) {
            part = part.checked_add((at as u64).max(1))?;
        } else if let Some(at) = TENS.iter().position(|tens| *tens == word) {
            part = part.checked_add(20 + 10 * at as u64)?;
        } else {
            match word {
                "an" => part = part.checked_add(1)?,
                "hundred" => part = part.max(1).checked_mul(100)?,
                "thousand" => {
                    total = total.checked_add(part.max(1).checked_mul(1_000)?)?;
                    part = 0;
                }
                _ => return None,
            }
        }
    }
    total.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers() {
        for (written, expected) in [
            ("十", 10),
            ("十五", 15),
            ("三百五十", 350),
            ("三百五", 350),
            ("一百零五", 105),
            ("两千零五", 2_005),
            ("一万二", 12_000),
            ("十二万三千", 123_000),
            ("一亿两千万", 120_000_000),
            ("一万二千亿", 1_200_000_000_000),
            ("二〇二六", 2_026),
            ("叁佰伍拾", 350),
            ("零", 0),
            ("twenty five", 25),
            ("two hundred", 200),
            ("a hundred", 100),
            ("three thousand five hundred", 3_500),
            ("an", 1),
            ("42", 42),
        ] {
            assert_eq!(whole(written), Some(expected), "{written}");
        }
        assert_eq!(whole("亿亿亿亿亿亿亿亿亿亿亿亿"), None);
        assert_eq!(whole("order"), None);
        assert_eq!(whole("百"), None);
    }

    #[test]
    fn decimals_keep_at_least_two_places() {
        for (written, expected) in
            [("1,299.00", "1299.00"), ("3", "3.00"), ("0.5", "0.50"), ("1.2345", "1.2345")]
        {
            assert_eq!(Decimal::parse(written).unwrap().to_string(), expected);
        }
        assert_eq!(Decimal::parse("1.5").unwrap().times(10_000).to_string(), "15000.00");
    }
}
