//! The built-in kind `date`: days and times of day, in Chinese and in English.
//!
//! The value says what was written, in the manner of ISO 8601 and its truncated forms; nothing is
//! filled in, because there is no clock here:
//!
//! | written | value |
//! |---|---|
//! | 2026-11-05, nov 5th 2026; 2026年11月; 2026年 | `2026-11-05`; `2026-11`; `2026` |
//! | 11月5日, 11/5, nov 5th; 11月; 5号 | `--11-05`; `--11`; `---05` |
//! | 今天, 明天, yesterday; 三天前, in two weeks | `P0D`, `P1D`, `-P1D`; `-P3D`, `P2W` |
//! | 半小时后, 10 minutes ago | `PT30M`, `-PT10M` |
//! | 周五, friday; 周末 | `-W-5`; `-W-WE` |
//! | 上周, this month, 明年 | `-P1W`, `P0M`, `P1Y` |
//! | 上周五, last friday; 下个月5号; 去年11月5日 | `-P1W-5`; `P1M-05`; `-P1Y-11-05` |
//! | 下午3点, at 3pm; 15:30 | `T15:00`; `T15:30` |
//! | 明天下午3点; 昨晚; tomorrow morning | `P1DT15:00`; `-P1DTEV`; `P1DTMO` |
//!
//! Parts of a day are TIMEX3's: `MO`, `MI`, `AF`, `EV`, `NI`. Slots need days of the calendar:
//! [`resolve`] makes them, given the moment.

pub mod calendar;
mod clock;
mod day;
mod resolve;

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use self::clock::Clock;
use self::day::Day;
pub use self::resolve::{Resolved, resolve};
use super::{Candidate, Rank, compile};
use crate::intent::knowledge::EntityKind;

/// A part of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Between midnight and morning.
    Small,
    Morning,
    Midday,
    Afternoon,
    Evening,
    Night,
}

impl Part {
    /// A Chinese or English word.
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "凌晨" => Part::Small,
            "清晨" | "早晨" | "早上" | "上午" | "早" | "morning" | "a.m" | "am" => {
                Part::Morning
            }
            "中午" => Part::Midday,
            "下午" | "afternoon" | "p.m" | "pm" => Part::Afternoon,
            "傍晚" | "晚上" | "晚" | "evening" | "tonight" => Part::Evening,
            "夜里" | "半夜" | "夜" | "night" => Part::Night,
            _ => return None,
        })
    }

    fn code(self) -> &'static str {
        match self {
            Part::Small | Part::Night => "NI",
            Part::Morning => "MO",
            Part::Midday => "MI",
            Part::Afternoon => "AF",
            Part::Evening => "EV",
        }
    }
}

/// A find with its bytes.
#[derive(Debug, Clone)]
struct Token {
    span: Range<usize>,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Day(Day),
    Clock(Clock),
    Part(Part),
}

/// A part of the day that may follow a day.
static PART: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"凌晨|清晨|早晨|早上|上午|中午|下午|傍晚|晚上|夜里|半夜|(?-u:\b)(?:morning|afternoon|evening|night)(?-u:\b)",
    )
});

/// What may stand between a day and a time of that day.
static DAY_TO_TIME: LazyLock<Regex> =
    LazyLock::new(|| compile("^ ?,? ?(?:的|at|around|by|in the|大概|大约|约|t)? ?$"));

/// ... and between a time and its day.
static TIME_TO_DAY: LazyLock<Regex> = LazyLock::new(|| compile("^(?: on)? ?$"));

/// Days and times; a day and a time of that day are one entity.
pub(super) fn dates(text: &str, out: &mut Vec<Candidate>) {
    let mut tokens = Vec::new();
    day::days(text, &mut tokens);
    clock::clocks(text, &mut tokens);
    for found in PART.find_iter(text) {
        if let Some(part) = Part::of(found.as_str()) {
            tokens.push(Token { span: found.range(), what: What::Part(part) });
        }
    }
    let mut whole: Option<Whole> = None;
    for token in longest(tokens) {
        let refused = match &mut whole {
            Some(whole) => whole.join(text, token),
            None => Some(token),
        };
        if let Some(token) = refused {
            out.extend(whole.take().map(Whole::finish));
            whole = Whole::begin(token);
        }
    }
    out.extend(whole.map(Whole::finish));
}

/// The tokens in order, the longest where they overlap.
fn longest(mut tokens: Vec<Token>) -> Vec<Token> {
    tokens.sort_by_key(|token| (std::cmp::Reverse(token.span.len()), token.span.start));
    let mut kept = std::collections::BTreeMap::<usize, Token>::new();
    for token in tokens {
        let last = kept.range(..token.span.end).next_back();
        if last.is_none_or(|(_, last)| last.span.end <= token.span.start) {
            kept.insert(token.span.start, token);
        }
    }
    kept.into_values().collect()
}

/// A day, a time, or both.
struct Whole {
    span: Range<usize>,
    day: Option<Day>,
    part: Option<Part>,
    clock: Option<Clock>,
}

impl Whole {
    /// A part of a day alone is no date.
    fn begin(token: Token) -> Option<Self> {
        let (day, clock) = match token.what {
            What::Day(day) => (Some(day), None),
            What::Clock(clock) => (None, Some(clock)),
            What::Part(_) => return None,
        };
        let part = day.as_ref().and_then(|day| day.part);
        Some(Self { span: token.span, day, part, clock })
    }

    /// Takes the next token, or gives it back.
    fn join(&mut self, text: &str, token: Token) -> Option<Token> {
        let Token { span, what } = token;
        let gap = &text[self.span.end..span.start];
        if gap.len() > 12 {
            return Some(Token { span, what });
        }
        match what {
            What::Part(part)
                if self.part.is_none()
                    && self.clock.is_none()
                    && self.day.as_ref().is_some_and(Day::takes_time)
                    && DAY_TO_TIME.is_match(gap) =>
            {
                self.part = Some(part);
            }
            What::Clock(clock)
                if self.clock.is_none()
                    && self.day.as_ref().is_some_and(Day::takes_time)
                    && DAY_TO_TIME.is_match(gap) =>
            {
                self.clock = Some(clock);
            }
            What::Day(day)
                if self.day.is_none() && day.takes_time() && TIME_TO_DAY.is_match(gap) =>
            {
                self.part = day.part;
                self.day = Some(day);
            }
            what => return Some(Token { span, what }),
        }
        self.span.end = span.end;
        None
    }

    fn finish(self) -> Candidate {
        let mut value = self.day.map_or(String::new(), |day| day.value);
        match (self.clock, self.part) {
            (Some(clock), part) => value.push_str(&clock.value(part)),
            (None, Some(part)) => value.push_str(&format!("T{}", part.code())),
            (None, None) => {}
        }
        Candidate::builtin(EntityKind::Date, Rank::Date, self.span, value)
    }
}
