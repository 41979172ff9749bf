//! Times of day.

use std::sync::LazyLock;

use regex::Regex;

use super::super::{after, before, compile, goes_on, number};
use super::{Part, Token, What};

/// A time as written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    hour: u64,
    minute: u64,
    part: Option<Part>,
}

/// `下午3点半`, `15:30`, `晚上 8:05`, `十点钟`, `15时30分`.
static CHINESE: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"(?x) (?:(凌晨|清晨|早晨|早上|上午|中午|下午|傍晚|晚上|夜里|半夜|晚|早)的?\ ?)?
          (?: (?-u:\b)([0-9]{1,2}):([0-9]{2})(?::[0-9]{2})?
            | ((?-u:\b)[0-9]{1,2}|[一二两三四五六七八九十]{1,3})\ ?(点钟|点|时)
              (?: (半) | (一|三)刻 | ([0-9]{1,2}|[零一二三四五六七八九十]{1,3})(分)? | (整) )? )",
    )
});

/// `3pm`, `10:30 a.m.`.
static ENGLISH: LazyLock<Regex> = LazyLock::new(|| {
    compile(r"(?-u:\b)([0-9]{1,2})(?::([0-9]{2}))? ?(a\.m|p\.m|am|pm)(?-u:\b)\.?")
});

/// `3 o'clock`, `noon`, `midnight`.
static WORDS: LazyLock<Regex> = LazyLock::new(|| {
    compile(r"(?-u:\b)(?:([0-9]{1,2}) ?o['’]?clock|(noon|midday)|midnight)(?-u:\b)")
});

pub(super) fn clocks(text: &str, out: &mut Vec<Token>) {
    let mut push = |span: std::ops::Range<usize>, hour: u64, minute: u64, part| {
        let follows = after(text, span.end).is_some_and(|c| c.is_ascii_digit());
        if hour <= 24 && minute < 60 && !follows && !goes_on(text, &span, ".:/") {
            out.push(Token { span, what: What::Clock(Clock { hour, minute, part }) });
        }
    };
    for found in CHINESE.captures_iter(text) {
        let mut span = found.get_match().range();
        let part = found.get(1).and_then(|part| Part::of(part.as_str()));
        // The 晚 of 昨晚8点 belongs to the day.
        if before(text, span.start).is_some_and(|c| "昨今明".contains(c))
            && let Some(hour) = found.get(2).or(found.get(4))
        {
            span.start = hour.start();
        }
        let group = |at: usize| found.get(at).map(|group| group.as_str());
        if let (Some(hour), Some(minute)) = (group(2), group(3)) {
            if let (Some(hour), Some(minute)) = (number::whole(hour), number::whole(minute)) {
                push(span, hour, minute, part);
            }
            continue;
        }
        let Some(written) = group(4) else { continue };
        let minute = match (group(6), group(7), group(8)) {
            (Some(_), ..) => Some(30),
            (_, Some(quarters), _) => number::whole(quarters).map(|quarters| quarters * 15),
            (.., Some(minute)) => number::whole(minute.trim_start_matches('零')).or(Some(0)),
            _ => Some(0),
        };
        // 三点五 is 3.5; 便宜一点 and 两点建议 are no times.
        let bare_minute = group(8).is_some_and(|minute| minute.chars().count() < 2);
        let o_clock = group(5) == Some("点");
        let said = [6, 7, 8, 10].iter().any(|&at| found.get(at).is_some()) || part.is_some();
        let other = after(text, span.end).is_some_and(|c| "建问原要意需疑理内击多".contains(c));
        if bare_minute && group(9).is_none()
            || o_clock && !said && (written == "一" || other)
            || group(5) == Some("时") && !said
        {
            continue;
        }
        if let (Some(hour), Some(minute)) = (number::whole(written), minute) {
            push(span, hour, minute, part);
        }
    }
    for found in ENGLISH.captures_iter(text) {
        let minute = found.get(2).map_or(Some(0), |minute| number::whole(minute.as_str()));
        let hour = number::whole(&found[1]).filter(|hour| (1..=12).contains(hour));
        if let (Some(hour), Some(minute)) = (hour, minute) {
            push(found.get_match().range(), hour, minute, Part::of(&found[3]));
        }
    }
    for found in WORDS.captures_iter(text) {
        let hour = match (found.get(1), found.get(2)) {
            (Some(hour), _) => number::whole(hour.as_str()),
            (None, Some(_)) => Some(12),
            (None, None) => Some(0),
        };
        if let Some(hour) = hour {
            push(found.get_match().range(), hour, 0, None);
        }
    }
}

impl Clock {
    /// `T15:00`; a `part` of the day named elsewhere helps a clock of twelve hours.
    pub(super) fn value(self, part: Option<Part>) -> String {
        let hour = match (self.part.or(part), self.hour) {
            (Some(Part::Small | Part::Morning), 12) => 0,
            (Some(Part::Evening | Part::Night), 12) => 24,
            (Some(Part::Afternoon | Part::Evening), hour @ 1..12) => hour + 12,
            (Some(Part::Midday), hour @ 1..=3) => hour + 12,
            (Some(Part::Night), hour @ 6..12) => hour + 12,
            (_, hour) => hour,
        };
        format!("T{hour:02}:{:02}", self.minute)
    }
}
