//! What a slot asks of its value beyond the kind: `validate` in the knowledge base, compiled.
//!
//! `crate::knowledge` shows an editor the faults, `crate::dialogue` asks for each value. Which keys
//! a kind takes:
//!
//! | key | kinds | what of the value |
//! |---|---|---|
//! | `pattern`, `one_of` | all but `date` | the whole of it, upper and lower case alike |
//! | `min`, `max` | `amount` | the number, whatever its currency |
//! | `min`, `max` | `date` | every day that is meant |
//! | `min_length`, `max_length` | `text` | its characters |
//!
//! Bounds are part of what they bound.

use std::cmp::Ordering;

use regex::Regex;

use super::custom::{check_pattern, compile_pattern};
use super::date::calendar::{Date, Moment};
use super::date::resolve;
use super::number::Decimal;
use crate::intent::knowledge::{EntityKind, Validation};
use crate::intent::normalize::normalize;

/// No text can be longer than a message.
const MAX_LENGTH: u32 = 2_000;
/// Days that `today+30d` may be away.
const MAX_DAYS: i64 = 36_500;

/// A compiled [`Validation`] for one kind of values.
#[derive(Debug, Default)]
pub struct ValueCheck {
    pattern: Option<Regex>,
    /// Normalised.
    one_of: Vec<String>,
    min: Option<Bound>,
    max: Option<Bound>,
    min_length: Option<u32>,
    max_length: Option<u32>,
}

/// A key of `validate` that cannot hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckFault {
    /// Which key.
    pub key: &'static str,
    /// True when the kind does not take the key at all.
    pub misplaced: bool,
    /// What is wrong and what to do.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Amount(Decimal),
    Day(Date),
    /// Days from today.
    FromToday(i64),
}

impl Bound {
    fn parse(kind: &EntityKind, written: &str) -> Result<Self, &'static str> {
        if *kind == EntityKind::Amount {
            let digits = written.starts_with(|c: char| c.is_ascii_digit());
            let number = written.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            let amount = Decimal::parse(written).filter(|_| digits && number);
            return amount.map(Self::Amount).ok_or("write a number from 0, such as 0.01 or 5000");
        }
        let advice = "write a day such as 2026-11-05, today, today+30d or today-7d";
        let Some(days) = written.strip_prefix("today") else {
            return Date::parse(written).map(Self::Day).ok_or(advice);
        };
        if days.is_empty() {
            return Ok(Self::FromToday(0));
        }
        let count = days.strip_suffix('d').and_then(|days| days.parse::<i64>().ok());
        let signed = days.starts_with(['+', '-']);
        let near = count.filter(|days| signed && days.abs() <= MAX_DAYS);
        near.map(Self::FromToday).ok_or(advice)
    }

    /// How two bounds stand to each other; none when that depends on the day.
    fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Amount(a), Self::Amount(b)) => Some(a.cmp(&b)),
            (Self::Day(a), Self::Day(b)) => Some(a.cmp(&b)),
            (Self::FromToday(a), Self::FromToday(b)) => Some(a.cmp(&b)),
            _ => None,
        }
    }

    fn day(self, now: Moment) -> Option<Date> {
        match self {
            Self::Amount(_) => None,
            Self::Day(date) => Some(date),
            Self::FromToday(days) => Some(now.date.plus_days(days)),
        }
    }
}

impl ValueCheck {
    /// Compiles what a slot of this kind asks of its values.
    ///
    /// # Errors
    /// Every key that does not suit the kind or cannot hold, in the order of the table.
    pub fn new(kind: &EntityKind, rules: &Validation) -> Result<Self, Vec<CheckFault>> {
        let mut faults = misplaced(kind, rules);
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut fault = |key: &'static str, message: String| {
            faults.push(CheckFault { key, misplaced: false, message });
        };
        let mut check = Self {
            one_of: rules.one_of.iter().map(|one| normalize(one).text().to_owned()).collect(),
            min_length: rules.min_length,
            max_length: rules.max_length,
            ..Self::default()
        };
        match rules.pattern.as_deref().map(whole).transpose() {
            Ok(pattern) => check.pattern = pattern,
            Err(error) => {
                fault("pattern", format!("the pattern is no regular expression: {error}"));
            }
        }
        for (key, written, bound) in
            [("min", &rules.min, &mut check.min), ("max", &rules.max, &mut check.max)]
        {
            match written.as_ref().map(|written| Bound::parse(kind, written)).transpose() {
                Ok(parsed) => *bound = parsed,
                Err(advice) => {
                    let written = written.as_deref().unwrap_or_default();
                    fault(key, format!("{written:?} is no bound of {}; {advice}", kind.name()));
                }
            }
        }
        let crossed = check.min.zip(check.max).and_then(|(min, max)| min.compare(max));
        if crossed == Some(Ordering::Greater) {
            fault("max", "max is below min, so that no value fits; raise it".to_owned());
        }
        let (least, most) = (check.min_length.unwrap_or(0), check.max_length.unwrap_or(MAX_LENGTH));
        if most == 0 || most > MAX_LENGTH {
            fault("max_length", format!("max_length is {most}, write 1 to {MAX_LENGTH}"));
        } else if least > most {
            let key = if check.max_length.is_some() { "max_length" } else { "min_length" };
            fault(key, format!("no text has {least} characters or more and {most} at the most"));
        }
        if faults.is_empty() { Ok(check) } else { Err(faults) }
    }

    /// The value to keep when `value` fulfils everything: a date becomes a day of the calendar, of
    /// those that may be meant the first that fits; other values stay as they are.
    ///
    /// # Errors
    /// The value as it was understood, when it does not fit.
    pub fn accept(&self, kind: &EntityKind, value: &str, now: Moment) -> Result<String, String> {
        if *kind == EntityKind::Date {
            let meant = resolve(value, now);
            let fits = |one: &&super::date::Resolved| {
                let day = |bound: Option<Bound>| bound.and_then(|bound| bound.day(now));
                day(self.min).is_none_or(|min| one.first >= min)
                    && day(self.max).is_none_or(|max| one.last <= max)
            };
            if let Some(one) = meant.iter().find(fits) {
                return Ok(one.value.clone());
            }
            return Err(meant.first().map_or(value, |one| &one.value).to_owned());
        }
        if self.fits(kind, value) { Ok(value.to_owned()) } else { Err(value.to_owned()) }
    }

    fn fits(&self, kind: &EntityKind, value: &str) -> bool {
        let normal = normalize(value);
        // An amount is `CNY 350.00` or `350.00`.
        let number = value.rsplit(' ').next().and_then(Decimal::parse);
        let within = |bound: Option<Bound>, outside: Ordering| match (bound, number) {
            (Some(Bound::Amount(bound)), Some(number)) => number.cmp(&bound) != outside,
            (bound, _) => bound.is_none(),
        };
        let chars = || value.chars().count();
        let readable = match kind {
            EntityKind::Amount => number.is_some(),
            _ => normal.text().contains(char::is_alphanumeric),
        };
        readable
            && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(value))
            && (self.one_of.is_empty() || self.one_of.iter().any(|one| one == normal.text()))
            && within(self.min, Ordering::Less)
            && within(self.max, Ordering::Greater)
            && self.min_length.is_none_or(|least| chars() >= least as usize)
            && chars() <= self.max_length.unwrap_or(MAX_LENGTH) as usize
    }
}

/// The keys that a kind does not take.
fn misplaced(kind: &EntityKind, rules: &Validation) -> Vec<CheckFault> {
    use EntityKind::{Amount, Date, Text};
    let bounded = matches!(kind, Amount | Date);
    [
        ("pattern", rules.pattern.is_some(), *kind != Date, "every kind but date"),
        ("one_of", !rules.one_of.is_empty(), *kind != Date, "every kind but date"),
        ("min", rules.min.is_some(), bounded, "amount and date"),
        ("max", rules.max.is_some(), bounded, "amount and date"),
        ("min_length", rules.min_length.is_some(), *kind == Text, "text"),
        ("max_length", rules.max_length.is_some(), *kind == Text, "text"),
    ]
    .into_iter()
    .filter(|(_, written, suits, _)| *written && !suits)
    .map(|(key, _, _, kinds)| CheckFault {
        key,
        misplaced: true,
        message: format!("{key} is for {kinds}, this slot takes {}; drop it", kind.name()),
    })
    .collect()
}

/// The pattern, for the whole of a value.
fn whole(pattern: &str) -> Result<Regex, String> {
    // By itself first: `a)(b` would become a pattern between our brackets.
    check_pattern(pattern)?;
    compile_pattern(&format!("^(?:{pattern})$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(key: &str, value: &str) -> Validation {
        let text = || Some(value.to_owned());
        let mut rules = Validation::default();
        match key {
            "pattern" => rules.pattern = text(),
            "one_of" => rules.one_of = value.split('|').map(str::to_owned).collect(),
            "min" => rules.min = text(),
            "max" => rules.max = text(),
            "min_length" => rules.min_length = value.parse().ok(),
            "max_length" => rules.max_length = value.parse().ok(),
            other => panic!("{other}"),
        }
        rules
    }

    /// Each row: a kind, a rule, a value and what becomes of it.
    #[test]
    fn values_fit_or_not() {
        let now = Moment::parse("2026-11-24T15:30").unwrap();
        for (kind, key, rule, value, expected) in [
            ("order_number", "pattern", "[0-9]{8}", "12345678", Ok("12345678")),
            ("order_number", "pattern", "[0-9]{8}", "123456789", Err("123456789")),
            ("order_number", "pattern", "a|ab", "AB", Ok("AB")),
            ("email", "one_of", "a@b.cn|C@b.cn", "c@b.cn", Ok("c@b.cn")),
            ("email", "one_of", "a@b.cn", "c@b.cn", Err("c@b.cn")),
            ("courier", "one_of", "順豐", "顺丰", Ok("顺丰")),
            ("amount", "min", "0.01", "CNY 0.01", Ok("CNY 0.01")),
            ("amount", "min", "0.02", "CNY 0.01", Err("CNY 0.01")),
            ("amount", "max", "5000", "5000.00", Ok("5000.00")),
            ("amount", "max", "5000", "USD 5000.01", Err("USD 5000.01")),
            ("amount", "pattern", "CNY .*", "USD 5.00", Err("USD 5.00")),
            ("date", "min", "today", "P1D", Ok("2026-11-25")),
            ("date", "min", "today", "-P1D", Err("2026-11-23")),
            ("date", "min", "today", "-W-1", Ok("2026-11-30")),
            ("date", "max", "today", "--11-30", Ok("2025-11-30")),
            ("date", "max", "today+30d", "2026-12-24", Ok("2026-12-24")),
            ("date", "max", "today+30d", "P1M", Err("2026-12")),
            ("date", "max", "2026-12-31", "P1M", Ok("2026-12")),
            ("date", "min", "today-7d", "x", Err("x")),
            ("text", "min_length", "3", "文三路", Ok("文三路")),
            ("text", "min_length", "3", "三路", Err("三路")),
            ("text", "max_length", "3", "abcd", Err("abcd")),
            ("text", "max_length", "3", "🙂", Err("🙂")),
        ] {
            let kind = EntityKind::from(kind.to_owned());
            let check = ValueCheck::new(&kind, &rules(key, rule)).unwrap();
            let found = check.accept(&kind, value, now);
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(found, expected, "{} {key} {rule}: {value}", kind.name());
        }
    }

    #[test]
    fn what_cannot_hold_is_named() {
        for (kind, key, rule, misplaced, part) in [
            ("phone", "min", "1", true, "amount and date"),
            ("date", "pattern", "x", true, "every kind but date"),
            ("amount", "max_length", "5", true, "for text"),
            ("text", "pattern", "(", false, "unclosed group"),
            ("text", "pattern", "a)(b", false, "unopened group"),
            ("amount", "min", "-1", false, "from 0"),
            ("amount", "min", "today", false, "from 0"),
            ("amount", "max", "1e3", false, "from 0"),
            ("date", "max", "5", false, "today+30d"),
            ("date", "max", "today+30", false, "today+30d"),
            ("date", "max", "today30d", false, "today+30d"),
            ("date", "max", "2026-02-30", false, "today+30d"),
            ("text", "max_length", "0", false, "1 to 2000"),
            ("text", "max_length", "2001", false, "1 to 2000"),
            ("text", "min_length", "2001", false, "no text"),
        ] {
            let kind = EntityKind::from(kind.to_owned());
            let faults = ValueCheck::new(&kind, &rules(key, rule)).unwrap_err();
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert_eq!((faults[0].key, faults[0].misplaced), (key, misplaced), "{rule}");
            assert!(faults[0].message.contains(part), "{rule}: {}", faults[0].message);
        }
        for (min, max, fits) in [
            ("today", "today+30d", true),
            ("today+1d", "today", false),
            ("today", "2020-01-01", true),
            ("2026-11-05", "2026-11-04", false),
        ] {
            let rules = Validation { max: Some(max.to_owned()), ..rules("min", min) };
            assert_eq!(ValueCheck::new(&EntityKind::Date, &rules).is_ok(), fits, "{min} {max}");
        }
    }
}
