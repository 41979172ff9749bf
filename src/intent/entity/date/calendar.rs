//! Days of the Gregorian calendar, and a moment as the caller's clock shows it. No clock here.
//!
//! Day numbers after Howard Hinnant, "chrono-compatible low-level date algorithms".

use std::fmt;

/// A day of the proleptic Gregorian calendar, in the years 0 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: i32,
    month: u8,
    day: u8,
}

/// A day and a minute of it, on the visitor's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    /// The day.
    pub date: Date,
    /// Minutes since its midnight, below 1440.
    pub minute: u16,
}

impl Date {
    /// The first and the last day that there are, as numbers of [`Self::number`].
    const FIRST: i64 = -719_528;
    const LAST: i64 = 2_932_896;

    /// The day, if the calendar has it.
    pub fn new(year: i32, month: u32, day: u32) -> Option<Self> {
        let fits = (0..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_of(year, month)).contains(&day);
        fits.then_some(Self { year, month: month as u8, day: day as u8 })
    }

    /// Reads `2026-11-05`.
    pub fn parse(written: &str) -> Option<Self> {
        let parts: Vec<u32> = numbers(written, '-')?;
        match (written.len(), &parts[..]) {
            (10, [year, month, day]) => Self::new(*year as i32, *month, *day),
            _ => None,
        }
    }

    /// The year, 0 to 9999.
    pub fn year(self) -> i32 {
        self.year
    }

    /// The month, 1 to 12.
    pub fn month(self) -> u32 {
        self.month.into()
    }

    /// Days since 1970-01-01.
    pub fn number(self) -> i64 {
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        let year = i64::from(self.year) - i64::from(month <= 2);
        let era = year.div_euclid(400);
        let of_era = year.rem_euclid(400);
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
    }

    /// The day of a number; the first or the last one beyond the ends.
    pub fn of_number(number: i64) -> Self {
        let days = number.clamp(Self::FIRST, Self::LAST) + 719_468;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        Self { year: year as i32, month: month as u8, day: day as u8 }
    }

    /// The day so many days later, or earlier.
    pub fn plus_days(self, days: i64) -> Self {
        Self::of_number(self.number().saturating_add(days))
    }

    /// 1 for Monday to 7 for Sunday.
    pub fn weekday(self) -> i64 {
        (self.number() + 3).rem_euclid(7) + 1
    }

    /// Year and month so many months later, or earlier; none beyond the calendar.
    pub fn month_after(self, months: i64) -> Option<(i32, u32)> {
        let all = i64::from(self.year) * 12 + i64::from(self.month) - 1;
        let all = all.checked_add(months)?;
        let year = i32::try_from(all.div_euclid(12)).ok()?;
        (0..=9999).contains(&year).then_some((year, all.rem_euclid(12) as u32 + 1))
    }
}

/// How many days a month has.
pub fn days_of(year: i32, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl Moment {
    /// Reads `2026-11-24`, `2026-11-24T15:30`, and RFC 3339; seconds and offset are not looked at,
    /// because the visitor's own clock counts.
    pub fn parse(written: &str) -> Option<Self> {
        let date = Date::parse(written.get(..10)?)?;
        let rest = written.get(10..)?;
        if rest.is_empty() {
            return Some(Self { date, minute: 0 });
        }
        let clock = rest.strip_prefix(['T', 't', ' '])?;
        let parts = numbers(clock.get(..5)?, ':')?;
        let more = clock[5..].chars().all(|c| c.is_ascii_digit() || ":.+-Zz".contains(c));
        match parts[..] {
            [hour @ 0..=23, minute @ 0..=59] if more => {
                Some(Self { date, minute: (hour * 60 + minute) as u16 })
            }
            _ => None,
        }
    }

    /// The moment of a Unix time, in UTC.
    pub fn of_unix(seconds: i64) -> Self {
        let date = Date::of_number(seconds.div_euclid(86_400));
        Self { date, minute: (seconds.rem_euclid(86_400) / 60) as u16 }
    }

    /// So many minutes later, or earlier.
    pub fn plus_minutes(self, minutes: i64) -> Self {
        let all = i64::from(self.minute).saturating_add(minutes);
        let date = self.date.plus_days(all.div_euclid(1440));
        Self { date, minute: all.rem_euclid(1440) as u16 }
    }
}

/// `2026-11-24T15:30`.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}T{:02}:{:02}", self.date, self.minute / 60, self.minute % 60)
    }
}

fn numbers(written: &str, between: char) -> Option<Vec<u32>> {
    let digits = |part: &str| {
        let plain = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| part.parse().ok()).flatten()
    };
    written.split(between).map(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_numbers_and_numbers_days() {
        for (written, number, weekday) in [
            ("1970-01-01", 0, 4),
            ("2000-02-29", 11_016, 2),
            ("2026-11-24", 20_781, 2),
            ("0000-01-01", Date::FIRST, 6),
            ("9999-12-31", Date::LAST, 5),
        ] {
            let date = Date::parse(written).unwrap();
            assert_eq!((date.number(), date.weekday()), (number, weekday), "{written}");
            assert_eq!(Date::of_number(number).to_string(), written);
        }
        for number in (Date::FIRST..=Date::LAST).step_by(97) {
            assert_eq!(Date::of_number(number).number(), number);
        }
        for written in ["2026-02-30", "2026-13-01", "2026-1-01", "26-01-01", "", "2026-11-05x"] {
            assert_eq!(Date::parse(written), None, "{written}");
        }
        let end = Date::parse("2026-11-24").unwrap();
        assert_eq!(end.plus_days(i64::MAX).to_string(), "9999-12-31");
        assert_eq!(end.month_after(-11), Some((2025, 12)));
        assert_eq!(end.month_after(i64::MAX), None);
    }

    #[test]
    fn moments() {
        for (written, read) in [
            ("2026-11-24", Some("2026-11-24T00:00")),
            ("2026-11-24T15:30", Some("2026-11-24T15:30")),
            ("2026-11-24 15:30", Some("2026-11-24T15:30")),
            ("2026-11-24T15:30:59.5+08:00", Some("2026-11-24T15:30")),
            ("2026-11-24T24:00", None),
            ("2026-11-24T15", None),
            ("2026-11-24T15:30x", None),
            ("二〇二六", None),
            ("", None),
        ] {
            let found = Moment::parse(written).map(|moment| moment.to_string());
            assert_eq!(found.as_deref(), read, "{written}");
        }
        assert_eq!(Moment::of_unix(-1).to_string(), "1969-12-31T23:59");
        let late = Moment::parse("2026-12-31T23:45").unwrap();
        assert_eq!(late.plus_minutes(30).to_string(), "2027-01-01T00:15");
    }
}
