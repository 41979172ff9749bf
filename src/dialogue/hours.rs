//! When human agents are at work: several periods a day, holidays and special days, in a time zone.
//!
//! Days and times are the zone's own, so a period follows its clocks when they change. The zones
//! are compiled in (`jiff` with its own database): nothing is read at run time.

use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::phrases;
use crate::intent::entity::date::calendar::Moment;
use crate::intent::knowledge::{Lang, Localized, localized};

/// How far ahead an opening is looked for.
const DAYS_AHEAD: i64 = 400;
const DAY_MINUTES: u16 = 24 * 60;

/// Business hours as they are written down.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HoursConfig {
    /// Name in the IANA time zone database, such as `Asia/Shanghai`.
    pub time_zone: String,
    /// The periods of each day of the week, such as `mon: ["09:00-12:00", "13:30-18:00"]`. A period
    /// may end at `24:00`, or on the next day (`22:00-02:00`). A day that is left out is closed.
    pub week: BTreeMap<Day, Vec<String>>,
    /// Holidays and other days that do not go by the week; of two for one day the later counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub special: Vec<SpecialDays>,
    /// What to say while nobody is at work; `{opening}` is when somebody is.
    #[serde(default, skip_serializing_if = "Localized::is_empty")]
    pub closed: Localized<String>,
}

/// A day of the week.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

/// Days that do not go by the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpecialDays {
    /// The day, such as `2027-02-17`.
    pub from: String,
    /// The last day, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The periods; none: closed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub periods: Vec<String>,
}

/// What is wrong with business hours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    /// No such time zone.
    #[error("there is no time zone {0:?}; write one of the IANA database, such as Asia/Shanghai")]
    TimeZone(String),
    /// Not a period.
    #[error("{0:?} is no period; write it like 09:00-18:00, at the most until 24:00")]
    Period(String),
    /// Two periods of a day share time.
    #[error("the periods {0:?} and {1:?} overlap; write them as one")]
    Overlap(String, String),
    /// Not a day.
    #[error("{0:?} is no day; write it like 2027-02-17")]
    Day(String),
    /// The last day is before the first.
    #[error("{to:?} is before {from:?}; swap them")]
    Backwards {
        /// The first day.
        from: String,
        /// The last day.
        to: String,
    },
}

/// Business hours, ready to be asked.
#[derive(Debug, Clone)]
pub struct Hours {
    zone: TimeZone,
    /// Monday first; none: always open.
    week: Option<[Vec<Period>; 7]>,
    special: Vec<(Date, Date, Vec<Period>)>,
    closed: Localized<String>,
}

/// Minutes of a day; an end beyond its last minute is on the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Period {
    from: u16,
    to: u16,
}

impl Hours {
    /// Somebody is always at work.
    pub fn always() -> Self {
        Self { zone: TimeZone::UTC, week: None, special: vec![], closed: Localized::new() }
    }

    /// Reads business hours.
    ///
    /// # Errors
    /// [`HoursError`] for the first thing that cannot be read.
    pub fn new(config: &HoursConfig) -> Result<Self, HoursError> {
        let HoursConfig { time_zone, week, special, closed } = config;
        let zone = TimeZone::get(time_zone).map_err(|_| HoursError::TimeZone(time_zone.clone()))?;
        let mut days: [Vec<Period>; 7] = Default::default();
        for (day, written) in week {
            days[*day as usize] = periods(written)?;
        }
        let special = special
            .iter()
            .map(|one| {
                let from = day(&one.from)?;
                let to = one.to.as_deref().map_or(Ok(from), day)?;
                if to < from {
                    let to = one.to.clone().unwrap_or_default();
                    return Err(HoursError::Backwards { from: one.from.clone(), to });
                }
                Ok((from, to, periods(&one.periods)?))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { zone, week: Some(days), special, closed: closed.clone() })
    }

    /// Whether somebody is at work at this Unix time.
    pub fn is_open(&self, now_ms: u64) -> bool {
        let Some(now) = self.local(now_ms) else { return self.week.is_none() };
        // Yesterday's last period may reach into today.
        self.week.is_none()
            || [now.date().yesterday().ok(), Some(now.date())]
                .into_iter()
                .flatten()
                .any(|date| self.opened(date).any(|(from, to)| from <= now_ms && now_ms < to))
    }

    /// The Unix time from which somebody is at work: `now_ms` when somebody is, none when nobody
    /// will be within a year.
    pub fn next_opening(&self, now_ms: u64) -> Option<u64> {
        if self.is_open(now_ms) {
            return Some(now_ms);
        }
        let today = self.local(now_ms)?.date();
        let days =
            (0..DAYS_AHEAD).map_while(|ahead| today.checked_add(Span::new().days(ahead)).ok());
        days.flat_map(|date| self.opened(date).map(|(from, _)| from).collect::<Vec<_>>())
            .find(|from| *from > now_ms)
    }

    /// What to say to a visitor who wants a human now.
    pub fn closed_text(&self, now_ms: u64, lang: Lang) -> String {
        let opening = self.next_opening(now_ms).and_then(|opening_ms| {
            let (now, opening) = (self.local(now_ms)?, self.local(opening_ms)?);
            let days = now.date().until(opening.date()).ok()?.get_days();
            Some(phrases::opening(opening, days, lang))
        });
        let own = localized(&self.closed, lang);
        match (own, opening) {
            (Some(text), Some(opening)) => text.replace("{opening}", &opening),
            (Some(text), None) if !text.contains("{opening}") => text.clone(),
            (_, opening) => phrases::closed(opening.as_deref(), lang),
        }
    }

    /// The shop's date and time.
    pub fn moment(&self, now_ms: u64) -> Moment {
        let local = self.local(now_ms).and_then(|local| Moment::parse(&local.to_string()));
        local.unwrap_or_else(|| Moment::of_unix(i64::try_from(now_ms / 1_000).unwrap_or(i64::MAX)))
    }

    fn local(&self, now_ms: u64) -> Option<DateTime> {
        let now = Timestamp::from_millisecond(i64::try_from(now_ms).ok()?).ok()?;
        Some(self.zone.to_datetime(now))
    }

    /// The periods of a day, as Unix times.
    fn opened(&self, date: Date) -> impl Iterator<Item = (u64, u64)> {
        let special = self.special.iter().rev().find(|(from, to, _)| (*from..=*to).contains(&date));
        let weekly = || {
            let day = date.weekday().to_monday_zero_offset() as usize;
            self.week.as_ref().map(|week| week[day].as_slice())
        };
        let periods = special.map(|(_, _, periods)| periods.as_slice()).or_else(weekly);
        periods.unwrap_or_default().iter().filter_map(move |period| {
            Some((self.unix_ms(date, period.from)?, self.unix_ms(date, period.to)?))
        })
    }

    /// A local time as Unix time. An hour that clocks skip is the one after, of one that they repeat
    /// the first counts.
    fn unix_ms(&self, date: Date, minute: u16) -> Option<u64> {
        let midnight = DateTime::from_parts(date, Time::midnight());
        let local = midnight.checked_add(Span::new().minutes(i64::from(minute))).ok()?;
        let instant = self.zone.to_ambiguous_timestamp(local).compatible().ok()?;
        u64::try_from(instant.as_millisecond()).ok()
    }
}

fn periods(written: &[String]) -> Result<Vec<Period>, HoursError> {
    let mut read = written
        .iter()
        .map(|one| Ok((period(one).ok_or_else(|| HoursError::Period(one.clone()))?, one)))
        .collect::<Result<Vec<_>, _>>()?;
    read.sort_by_key(|(period, _)| period.from);
    for pair in read.windows(2) {
        if pair[0].0.to > pair[1].0.from {
            return Err(HoursError::Overlap(pair[0].1.clone(), pair[1].1.clone()));
        }
    }
    Ok(read.into_iter().map(|(period, _)| period).collect())
}

fn period(written: &str) -> Option<Period> {
    let (from, to) = written.split_once(['-', '–'])?;
    let (from, to) = (minute(from)?, minute(to)?);
    let to = if to <= from { to + DAY_MINUTES } else { to };
    (from < DAY_MINUTES).then_some(Period { from, to })
}

/// `09:30`, `24:00` at the most.
fn minute(written: &str) -> Option<u16> {
    let (hour, minute) = written.trim().split_once(':')?;
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !(digits(hour) && digits(minute) && minute.len() == 2) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let all = hour.checked_mul(60)?.checked_add(minute)?;
    (minute < 60 && all <= DAY_MINUTES).then_some(all)
}

fn day(written: &str) -> Result<Date, HoursError> {
    written.parse().map_err(|_| HoursError::Day(written.to_owned()))
}
