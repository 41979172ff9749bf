//! Days, weeks, months and years, and spans of time from now.

use std::ops::Range;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::super::{after, before, compile, goes_on, number};
use super::{Part, Token, What};

/// A day or a longer span as written.
#[derive(Debug, Clone)]
pub(super) struct Day {
    pub(super) value: String,
    pub(super) part: Option<Part>,
}

impl Day {
    /// True when a time of day may follow: not after “in two hours”, “last month”, “2026”.
    pub(super) fn takes_time(&self) -> bool {
        let value = &self.value;
        let long = value.starts_with(['P', '-']) && value.ends_with(['W', 'M', 'Y', 'H']);
        let year = value.len() == 4 || value.len() == 7 && !value.starts_with("--");
        !long && (value.contains(['P', 'W']) || !year)
    }
}

/// A pattern and what its match means; the group `it` is the entity, else the whole match.
struct Rule {
    pattern: Regex,
    read: fn(&Found<'_>) -> Option<Day>,
}

/// A match and its surroundings.
struct Found<'t> {
    text: &'t str,
    span: Range<usize>,
    groups: Captures<'t>,
}

impl<'t> Found<'t> {
    fn group(&self, name: &str) -> Option<&'t str> {
        self.groups.name(name).map(|group| group.as_str())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.group(name).and_then(number::whole)
    }

    fn next(&self) -> Option<char> {
        after(self.text, self.span.end)
    }
}

const NUMBER: &str = "(?:(?-u:\\b)[0-9]{1,2}|[一二两三四五六七八九十]{1,3})";
const TIMES: &str = "上上|上|这|本|下下|下";
const MONTH: &str = "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|\
    sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?";
const WEEKDAY: &str = "monday|tuesday|wednesday|thursday|friday|saturday|sunday";
const WEEKDAY_SHORT: &str = "mon|tues?|wed|thur?s?|fri|sat|sun";

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let rule = |pattern: &str, read| {
        let pattern = pattern
            .replace("<number>", NUMBER)
            .replace("<times>", TIMES)
            .replace("<month>", MONTH)
            .replace("<weekday>", WEEKDAY)
            .replace("<short>", WEEKDAY_SHORT)
            .replace("<words>", number::WORDS)
            .replace("<b>", r"(?-u:\b)");
        Rule { pattern: compile(&pattern), read }
    };
    vec![
        rule(
            "<b>(?P<y>(?:19|20)[0-9]{2})(?P<s1>[-/.])(?P<m>[0-9]{1,2})(?P<s2>[-/.])(?P<d>[0-9]{1,2})",
            iso,
        ),
        rule("<b>(?P<m>[0-9]{1,2})/(?P<d>[0-9]{1,2})(?:/(?P<y>(?:19|20)[0-9]{2}))?<b>", slashed),
        rule(
            "(?:(?:(?P<y><b>(?:19|20)[0-9]{2}|[一二〇零三四五六七八九]{4})年|(?P<ry>[前去今明后])年的?) ?)?\
             (?P<m><number>) ?月份?(?: ?(?P<d>[0-9]{1,2}|[一二三四五六七八九十]{1,3})(?: ?(?P<u>[日号]))?)?",
            chinese,
        ),
        rule("(?P<y><b>(?:19|20)[0-9]{2})年", |found| day(found.group("y")?)),
        rule("(?:(?P<t><times>)个?月的? ?)?(?P<d><number>) ?(?P<u>[日号])", day_of_month),
        rule("(?P<t><times>)个?月", |found| ago(times(found.group("t")?)?, "M", "")),
        rule("(?P<t>大前|前|去|今|本|明|后)年", |found| {
            ago(year(found.group("t")?)?, "Y", "")
        }),
        rule("(?:大?[前后]|[昨今明])天|[昨今明][日早晚夜]", near_day),
        rule("(?:(?P<t><times>)一?个?)?(?:周|星期|礼拜)(?P<d>[一二三四五六日天末1-7])", weekday),
        rule("(?P<t><times>)一?个?(?:周|星期|礼拜)", |found| {
            ago(times(found.group("t")?)?, "W", "")
        }),
        rule(
            "(?P<n><b>[0-9]{1,3}|[一二两三四五六七八九十百]{1,4}|半)(?P<g>个半|个)?\
             (?P<u>分钟|小时|钟头|天|日|周|星期|礼拜|月|年)[之以]?(?P<w>[前后])",
            offset,
        ),
        rule(
            "<b>(?P<m><month>)\\.? ?(?P<d>[0-9]{1,2})(?:st|nd|rd|th)?<b>(?:,? (?P<y>(?:19|20)[0-9]{2})<b>)?",
            english,
        ),
        rule(
            "<b>(?P<d>[0-9]{1,2})(?:st|nd|rd|th)? ?(?:of )?(?P<m><month>)<b>(?:,? (?P<y>(?:19|20)[0-9]{2})<b>)?",
            english,
        ),
        rule("<b>(?P<m><month>)\\.?,? (?P<y>(?:19|20)[0-9]{2})<b>", english),
        rule("<b>(?:in|since|until|during) (?P<it>(?P<m><month>))<b>", english),
        rule(
            "<b>(?:on|by|before|until|since|after) (?P<it>the (?P<d>[0-9]{1,2})(?:st|nd|rd|th))<b>",
            the_nth,
        ),
        rule(
            "<b>(?:day before yesterday|day after tomorrow|today|tonight|tomorrow|tmr|yesterday|last night|this (?:morning|afternoon|evening))<b>",
            near_english,
        ),
        rule(
            "<b>(?:(?P<t>last|this|next) (?:(?P<d><weekday>|<short>|weekend)|(?P<u>week|month|year))|(?P<bare><weekday>|weekend)|on (?P<it><short>))<b>",
            english_weekday,
        ),
        rule(
            "<b>(?:(?P<in>in) (?P<n>[0-9]{1,3}|<words>)|(?P<m>[0-9]{1,3}|<words>)) (?P<u>min(?:ute)?|hour|day|week|month|year)s?(?: (?P<w>ago|later|from now))?<b>",
            english_offset,
        ),
    ]
});

pub(super) fn days(text: &str, out: &mut Vec<Token>) {
    for rule in RULES.iter() {
        for groups in rule.pattern.captures_iter(text) {
            let span = groups.name("it").unwrap_or(groups.get_match()).range();
            let found = Found { text, span: span.clone(), groups };
            let digit = found.next().is_some_and(|c| c.is_ascii_digit());
            let part = before(text, span.end).is_some_and(|c| c.is_ascii_digit()) && digit;
            if !part
                && !goes_on(text, &span, "./:")
                && let Some(day) = (rule.read)(&found)
            {
                out.push(Token { span, what: What::Day(day) });
            }
        }
    }
}

fn day(value: impl Into<String>) -> Option<Day> {
    Some(Day { value: value.into(), part: None })
}

/// `count` units from now, then `rest`.
fn ago(count: i64, unit: &str, rest: &str) -> Option<Day> {
    let sign = if count < 0 { "-" } else { "" };
    let time = if matches!(unit, "H" | "MIN") { "T" } else { "" };
    day(format!("{sign}P{time}{}{}{rest}", count.abs(), &unit[..1]))
}

fn iso(found: &Found<'_>) -> Option<Day> {
    if found.group("s1") != found.group("s2") || goes_on(found.text, &found.span, "-") {
        return None;
    }
    calendar(Some(found.number("y")?), found.number("m")?, found.number("d"))
}

/// The American order; the other one when only that is a date.
fn slashed(found: &Found<'_>) -> Option<Day> {
    let (first, second) = (found.number("m")?, found.number("d")?);
    let address = |c: char| c == '/' || c == '.';
    if (first, second) == (24, 7)
        || before(found.text, found.span.start).is_some_and(address)
        || found.next() == Some('/')
    {
        return None;
    }
    let year = found.number("y");
    calendar(year, first, Some(second)).or_else(|| calendar(year, second, Some(first)))
}

fn chinese(found: &Found<'_>) -> Option<Day> {
    // 11月5个 names no day.
    let bare_day = found.group("d").is_some() && found.group("u").is_none();
    if bare_day && found.next().is_some_and(|c| crate::intent::keyword::is_han(c) || c == '.') {
        return None;
    }
    let (month, date) = (found.number("m")?, found.number("d"));
    if let Some(relative) = found.group("ry") {
        let rest = calendar(None, month, date)?;
        return ago(year(relative)?, "Y", &rest.value[1..]);
    }
    calendar(found.number("y"), month, date)
}

fn day_of_month(found: &Found<'_>) -> Option<Day> {
    let date = found.number("d").filter(|date| (1..=31).contains(date))?;
    if let Some(relative) = found.group("t") {
        return ago(times(relative)?, "M", &format!("-{date:02}"));
    }
    // 7日无理由 is a span; 5号楼, 3号线, 7号电池 and 尺码28号 are other numbers.
    let other = found.group("u") == Some("日")
        || found
            .next()
            .is_some_and(|c| "楼线店门电机码柜位员房桌窗车库仓单元球鞋衣床色".contains(c))
        || before(found.text, found.span.start)
            .is_some_and(|c| "型尺码编第月大小长短宽窄".contains(c));
    if other { None } else { day(format!("---{date:02}")) }
}

fn near_day(found: &Found<'_>) -> Option<Day> {
    let word = &found.text[found.span.clone()];
    let count = match word.chars().next()? {
        '大' if word.contains('前') => -3,
        '大' => 3,
        '前' => -2,
        '昨' => -1,
        '今' => 0,
        '明' => 1,
        _ => 2,
    };
    // 以后天天, 之前天气
    if matches!(word, "前天" | "后天")
        && before(found.text, found.span.start).is_some_and(|c| "以之".contains(c))
    {
        return None;
    }
    let part = word.chars().next_back().and_then(|c| Part::of(c.encode_utf8(&mut [0; 4])));
    ago(count, "D", "").map(|day| Day { part, ..day })
}

fn weekday(found: &Found<'_>) -> Option<Day> {
    let number = match found.group("d")? {
        "末" => "WE".to_owned(),
        "日" | "天" => "7".to_owned(),
        written => number::whole(written)?.to_string(),
    };
    if let Some(relative) = found.group("t") {
        return ago(times(relative)?, "W", &format!("-{number}"));
    }
    // 一周三次
    let counted = before(found.text, found.span.start)
        .is_some_and(|c| "一二两三四五六七八九十几半每个".contains(c) || c.is_ascii_digit());
    if counted { None } else { day(format!("-W-{number}")) }
}

fn offset(found: &Found<'_>) -> Option<Day> {
    let (unit, factor) = match (found.group("u")?, found.group("g")) {
        ("分钟", None) => ("MIN", 1),
        ("小时" | "钟头", _) => ("H", 1),
        ("天" | "日", None) => ("D", 1),
        ("周", None) | ("星期" | "礼拜", Some("个") | None) => ("W", 1),
        ("月", Some("个")) => ("M", 1),
        ("年", None) => ("Y", 1),
        _ => return None,
    };
    if before(found.text, found.span.start).is_some_and(|c| "几数".contains(c)) {
        return None;
    }
    let half = found.group("g") == Some("个半");
    let (count, unit) = match (found.group("n")?, unit) {
        ("半", "H") => (30, "MIN"),
        ("半", "D") => (12, "H"),
        ("半", "M") => (15, "D"),
        ("半", "Y") => (6, "M"),
        ("半", _) => return None,
        (written, "H") if half => (number::whole(written)? * 60 + 30, "MIN"),
        (written, unit) => (number::whole(written)? * factor, unit),
    };
    let count = i64::try_from(count).ok()?;
    ago(if found.group("w")? == "前" { -count } else { count }, unit, "")
}

fn english(found: &Found<'_>) -> Option<Day> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let month = found.group("m")?;
    let month = MONTHS.iter().position(|name| month.starts_with(name))? as u64 + 1;
    calendar(found.number("y"), month, found.number("d"))
}

/// Only at the end of a clause: “on the 2nd floor” is no date.
fn the_nth(found: &Found<'_>) -> Option<Day> {
    let rest = found.text[found.span.end..].trim_start();
    let date = found.number("d").filter(|date| (1..=31).contains(date))?;
    if rest.starts_with(char::is_alphanumeric) { None } else { day(format!("---{date:02}")) }
}

fn near_english(found: &Found<'_>) -> Option<Day> {
    let words = &found.text[found.span.clone()];
    let count = match words {
        "day before yesterday" => -2,
        "yesterday" | "last night" => -1,
        "tomorrow" | "tmr" => 1,
        "day after tomorrow" => 2,
        _ => 0,
    };
    let part = words.split(' ').next_back().and_then(Part::of);
    ago(count, "D", "").map(|day| Day { part, ..day })
}

fn english_weekday(found: &Found<'_>) -> Option<Day> {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let number = |name: &str| match name {
        "weekend" => Some("WE".to_owned()),
        _ => DAYS.iter().position(|day| name.starts_with(day)).map(|at| (at + 1).to_string()),
    };
    let count = match found.group("t") {
        Some("last") => -1,
        Some("next") => 1,
        Some(_) => 0,
        None => {
            let name = found.group("bare").or(found.group("it"))?;
            return day(format!("-W-{}", number(name)?));
        }
    };
    match (found.group("d"), found.group("u")) {
        (Some(name), _) => ago(count, "W", &format!("-{}", number(name)?)),
        (None, Some(unit)) => ago(count, &unit[..1].to_uppercase(), ""),
        (None, None) => None,
    }
}

fn english_offset(found: &Found<'_>) -> Option<Day> {
    let back = match (found.group("in"), found.group("w")) {
        (None, None) => return None,
        (_, Some("ago")) => -1,
        _ => 1,
    };
    let count = i64::try_from(found.number("n").or_else(|| found.number("m"))?).ok()?;
    let unit = found.group("u")?;
    let unit = if unit.starts_with("min") { "MIN".to_owned() } else { unit[..1].to_uppercase() };
    ago(back * count, &unit, "")
}

/// 上 is -1, 下下 is 2.
fn times(word: &str) -> Option<i64> {
    Some(match word {
        "上上" => -2,
        "上" => -1,
        "这" | "本" => 0,
        "下" => 1,
        "下下" => 2,
        _ => return None,
    })
}

/// 去 of 去年 is -1.
fn year(word: &str) -> Option<i64> {
    Some(match word {
        "大前" => -3,
        "前" => -2,
        "去" => -1,
        "今" | "本" => 0,
        "明" => 1,
        "后" => 2,
        _ => return None,
    })
}

/// A date of the Gregorian calendar, in the truncated form where there is no year or no day.
fn calendar(year: Option<u64>, month: u64, date: Option<u64>) -> Option<Day> {
    let leap = year.is_none_or(|y| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0));
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if date.is_some_and(|date| !(1..=days).contains(&date)) {
        return None;
    }
    let year = year.map_or("-".to_owned(), |year| year.to_string());
    let date = date.map_or(String::new(), |date| format!("-{date:02}"));
    day(format!("{year}-{month:02}{date}"))
}
