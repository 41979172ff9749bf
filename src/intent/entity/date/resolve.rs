//! From what was written ("P1D", "--11-05") to days of the calendar, once somebody knows the day.
//!
//! Slots are filled with what comes out of here. What a year or a week leaves open gets every day
//! that may be meant, the nearest first; the slot's own bounds then choose.

use super::calendar::{Date, Moment, days_of};

/// What a value may mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The first day.
    pub first: Date,
    /// The last day; the first again, unless a week, a month or a year is meant.
    pub last: Date,
    /// ISO 8601: `2026-11-05`, `2026-11-05T15:00`, `2026-W45`, `2026-11`, `2026`; with TIMEX3's `-WE`
    /// for a weekend, and `TMO`, `TAF` … for parts of a day.
    pub value: String,
}

/// How long what is meant lasts.
#[derive(Debug, Clone, Copy)]
enum Span {
    Day(Date),
    Week(Date),
    Weekend(Date),
    Month(i32, u32),
    Year(i32),
}

/// All that `value`, in the format of [`super`], may mean at `now`, the likeliest first. Empty when
/// it is no such value.
///
/// A weekday is this week's, then the next one's, then the last one's; a date without its year or
/// month is the nearest, of two the later one.
pub fn resolve(value: &str, now: Moment) -> Vec<Resolved> {
    let (sign, unsigned) = match value.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, value),
    };
    if let Some(time) = unsigned.strip_prefix("PT") {
        return minutes(time).map(|count| at(now.plus_minutes(sign * count))).into_iter().collect();
    }
    let (day, time) = match value.split_once('T') {
        Some((day, time)) => (day, Some(time)),
        None => (value, None),
    };
    if time.is_some_and(|time| !is_time(time)) {
        return Vec::new();
    }
    let spans = match day {
        "" if time.is_some() => vec![Span::Day(now.date)],
        day => days(day, now.date),
    };
    spans.into_iter().filter_map(|one| one.told(time)).collect()
}

fn at(moment: Moment) -> Resolved {
    Resolved { first: moment.date, last: moment.date, value: moment.to_string() }
}

/// `15:00`, or a part of the day.
fn is_time(time: &str) -> bool {
    let clock = |(hour, minute): (&str, &str)| {
        hour.len() == 2
            && minute.len() == 2
            && small(hour).is_some_and(|hour| hour < 24)
            && small(minute).is_some_and(|minute| minute < 60)
    };
    matches!(time, "MO" | "MI" | "AF" | "EV" | "NI") || time.split_once(':').is_some_and(clock)
}

/// `30M`, `2H`.
fn minutes(time: &str) -> Option<i64> {
    if let Some(hours) = time.strip_suffix('H') {
        return small(hours).map(|hours| hours * 60);
    }
    small(time.strip_suffix('M')?)
}

fn days(value: &str, today: Date) -> Vec<Span> {
    if let Some(date) = Date::parse(value) {
        return vec![Span::Day(date)];
    }
    if let Some(weekday) = value.strip_prefix("-W-") {
        return [0, 1, -1].into_iter().filter_map(|weeks| of_week(weekday, weeks, today)).collect();
    }
    if let Some(day) = value.strip_prefix("---") {
        let Some(day) = small(day).and_then(|day| u32::try_from(day).ok()) else { return vec![] };
        // Two months around: there is always one that has a 31st.
        let dates = (-2..=2)
            .filter_map(|months| today.month_after(months))
            .filter_map(|(year, month)| Date::new(year, month, day).map(Span::Day));
        return nearest(dates.collect(), today);
    }
    if let Some(rest) = value.strip_prefix("--") {
        // A 29th of February may be some years away.
        let years = (-8..=8).filter_map(|years| of_year(rest, today.year() + years));
        return nearest(years.collect(), today);
    }
    let one = if let Some(offset) = value.strip_prefix("-P") {
        distance(offset, -1, today)
    } else if let Some(offset) = value.strip_prefix('P') {
        distance(offset, 1, today)
    } else {
        absolute(value)
    };
    one.into_iter().collect()
}

/// `2026`, `2026-11`, and what comes out of here: `2026-W48`, `2026-W48-WE`.
fn absolute(value: &str) -> Option<Span> {
    let (year, rest) = value.split_once('-').unwrap_or((value, ""));
    let year = i32::try_from(small(year).filter(|_| year.len() == 4)?).ok()?;
    let Some(week) = rest.strip_prefix('W') else {
        return if rest.is_empty() { Some(Span::Year(year)) } else { of_year(rest, year) };
    };
    let (week, weekend) = match week.strip_suffix("-WE") {
        Some(week) => (week, true),
        None => (week, false),
    };
    let week = small(week).filter(|week| (1..=53).contains(week))?;
    // The first week is that of the 4th of January.
    let fourth = Date::new(year, 1, 4)?;
    let monday = fourth.plus_days(1 - fourth.weekday() + 7 * (week - 1));
    Some(if weekend { Span::Weekend(monday.plus_days(5)) } else { Span::Week(monday) })
}

fn nearest(mut spans: Vec<Span>, today: Date) -> Vec<Span> {
    let first = |span: &Span| span.told(None).map_or(0, |told| told.first.number());
    spans.sort_by_key(|span| {
        let away = first(span) - today.number();
        let within = span.told(None).is_some_and(|told| told.first <= today && today <= told.last);
        (if within { 0 } else { away.abs() }, std::cmp::Reverse(away))
    });
    spans
}

/// `11` or `11-05` of a year.
fn of_year(rest: &str, year: i32) -> Option<Span> {
    let (month, day) = rest.split_once('-').unwrap_or((rest, ""));
    let month = u32::try_from(small(month)?).ok().filter(|month| (1..=12).contains(month))?;
    if day.is_empty() {
        return (0..=9999).contains(&year).then_some(Span::Month(year, month));
    }
    Date::new(year, month, u32::try_from(small(day)?).ok()?).map(Span::Day)
}

/// A weekday (1 to 7) or the weekend (`WE`) of the week so many weeks away.
fn of_week(weekday: &str, weeks: i64, today: Date) -> Option<Span> {
    let monday = today.plus_days(1 - today.weekday() + 7 * weeks);
    if weekday == "WE" {
        return Some(Span::Weekend(monday.plus_days(5)));
    }
    let day = small(weekday).filter(|day| (1..=7).contains(day))?;
    Some(Span::Day(monday.plus_days(day - 1)))
}

/// `1D`, `2W`, `1W-5`, `1M-05`, `1Y-11-05` and so on, from today.
fn distance(offset: &str, sign: i64, today: Date) -> Option<Span> {
    let at = offset.find(|c: char| !c.is_ascii_digit())?;
    let count = sign * small(&offset[..at])?;
    let unit = offset[at..].chars().next()?;
    let rest = &offset[at + unit.len_utf8()..];
    let rest = if rest.is_empty() { None } else { Some(rest.strip_prefix('-')?) };
    match (unit, rest) {
        ('D', None) => Some(Span::Day(today.plus_days(count))),
        ('W', None) => Some(Span::Week(today.plus_days(7 * count))),
        ('W', Some(weekday)) => of_week(weekday, count, today),
        ('M', rest) => {
            let (year, month) = today.month_after(count)?;
            match rest {
                None => Some(Span::Month(year, month)),
                Some(day) => {
                    let day = u32::try_from(small(day)?).ok()?;
                    Date::new(year, month, day).map(Span::Day)
                }
            }
        }
        ('Y', rest) => {
            let year = i32::try_from(i64::from(today.year()) + count).ok()?;
            match rest {
                None => (0..=9999).contains(&year).then_some(Span::Year(year)),
                Some(rest) => of_year(rest, year),
            }
        }
        _ => None,
    }
}

impl Span {
    fn told(self, time: Option<&str>) -> Option<Resolved> {
        let (first, last, mut value) = match self {
            Self::Day(date) => (date, date, date.to_string()),
            Self::Week(date) => {
                let monday = date.plus_days(1 - date.weekday());
                (monday, monday.plus_days(6), week(monday))
            }
            Self::Weekend(saturday) => {
                (saturday, saturday.plus_days(1), format!("{}-WE", week(saturday)))
            }
            Self::Month(year, month) => {
                let last = Date::new(year, month, days_of(year, month))?;
                (Date::new(year, month, 1)?, last, format!("{year:04}-{month:02}"))
            }
            Self::Year(year) => {
                (Date::new(year, 1, 1)?, Date::new(year, 12, 31)?, format!("{year:04}"))
            }
        };
        if let Some(time) = time {
            value.push('T');
            value.push_str(time);
        }
        Some(Resolved { first, last, value })
    }
}

/// The ISO week of a day: it belongs to the year of its Thursday.
fn week(date: Date) -> String {
    let thursday = date.plus_days(4 - date.weekday());
    let first = Date::new(thursday.year(), 1, 1).map_or(0, Date::number);
    format!("{:04}-W{:02}", thursday.year(), (thursday.number() - first) / 7 + 1)
}

/// A number of at most four digits.
fn small(digits: &str) -> Option<i64> {
    let plain = (1..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A Tuesday.
    const NOW: &str = "2026-11-24T15:30";

    fn all(value: &str) -> Vec<String> {
        let now = Moment::parse(NOW).unwrap();
        resolve(value, now).into_iter().map(|one| one.value).collect()
    }

    #[test]
    fn the_nearest_day_comes_first() {
        for (value, expected) in [
            ("2026-11-05", "2026-11-05"),
            ("2026-11", "2026-11"),
            ("2026", "2026"),
            ("--11-05", "2026-11-05"),
            ("--01-02", "2027-01-02"),
            ("--11", "2026-11"),
            ("---25", "2026-11-25"),
            ("---02", "2026-12-02"),
            ("---31", "2026-10-31"),
            ("P0D", "2026-11-24"),
            ("P1D", "2026-11-25"),
            ("-P3D", "2026-11-21"),
            ("P1DT15:00", "2026-11-25T15:00"),
            ("-P1DTEV", "2026-11-23TEV"),
            ("P2W", "2026-W50"),
            ("-W-5", "2026-11-27"),
            ("-W-1", "2026-11-23"),
            ("-W-WE", "2026-W48-WE"),
            ("P0W-WE", "2026-W48-WE"),
            ("-P1W", "2026-W47"),
            ("P0M", "2026-11"),
            ("P1Y", "2027"),
            ("-P1W-5", "2026-11-20"),
            ("P1M-05", "2026-12-05"),
            ("-P1Y-11-05", "2025-11-05"),
            ("-P1Y-11", "2025-11"),
            ("T15:00", "2026-11-24T15:00"),
            ("PT30M", "2026-11-24T16:00"),
            ("-PT16H", "2026-11-23T23:30"),
            ("--02-29", "2028-02-29"),
        ] {
            assert_eq!(all(value).first().map(String::as_str), Some(expected), "{value}");
        }
        assert_eq!(all("-W-5"), ["2026-11-27", "2026-12-04", "2026-11-20"]);
        assert_eq!(all("---25")[..2], ["2026-11-25", "2026-10-25"]);
        for value in [
            "", "x", "P", "PT", "P1", "-W-9", "--13", "P1Q", "P99999D", "---", "2026-13",
            "2026-W54", "T25:00", "T", "-T10:00",
        ] {
            assert_eq!(all(value), [""; 0], "{value}");
        }
    }

    proptest! {
        /// What a client sends back as a value may be anything.
        #[test]
        fn any_text_is_answered(value in "[-0-9PTWDMYHE年:]{0,12}", unix in any::<i64>()) {
            for found in resolve(&value, Moment::of_unix(unix)) {
                prop_assert!(found.first <= found.last, "{found:?}");
            }
        }

        /// A resolved day stays what it is, whatever day it is by then.
        #[test]
        fn resolved_days_stay(
            count in 0i64..999,
            unit in "[DWMY]|W-WE|W-3|DT15:00|DTEV",
            unix in 0i64..4_000_000_000,
        ) {
            let now = Moment::of_unix(unix);
            let once = resolve(&format!("P{count}{unit}"), now);
            prop_assert_eq!(once.len(), 1);
            prop_assert_eq!(resolve(&once[0].value, Moment::of_unix(0)), once);
        }
    }
}
