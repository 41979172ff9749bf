//! Business hours across clock changes and holidays, and the queue of those who wait.

use std::collections::BTreeSet;

use crate::dialogue::hours::{Day, Hours, HoursConfig, HoursError, SpecialDays};
use crate::dialogue::queue::{Queue, Whom};
use crate::intent::knowledge::Lang;

fn hours(zone: &str, week: &[(Day, &[&str])], special: Vec<SpecialDays>) -> Hours {
    let owned = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
    let week = week.iter().map(|(day, periods)| (*day, owned(periods))).collect();
    let config = HoursConfig { time_zone: zone.into(), week, special, ..Default::default() };
    Hours::new(&config).unwrap()
}

fn special(from: &str, to: Option<&str>, periods: &[&str]) -> SpecialDays {
    let periods = periods.iter().map(|one| (*one).to_owned()).collect();
    SpecialDays { from: from.into(), to: to.map(str::to_owned), periods }
}

fn ms(moment: &str) -> u64 {
    moment.parse::<jiff::Timestamp>().unwrap().as_millisecond() as u64
}

#[test]
fn periods_holidays_and_midnight() {
    let days = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri];
    let mut week: Vec<(Day, &[&str])> =
        days.map(|day| (day, ["09:00-12:00", "13:30-18:00"].as_slice())).into();
    week.push((Day::Sat, &["22:00-02:00"]));
    let new_year = special("2027-02-15", Some("2027-02-19"), &[]);
    let one_of_them = special("2027-02-17", None, &["10:00-24:00"]);
    let hours = hours("Asia/Shanghai", &week, vec![new_year, one_of_them]);
    for (now, open, next) in [
        ("2026-11-25T08:59:59+08:00", false, Some("2026-11-25T09:00:00+08:00")),
        ("2026-11-25T09:00:00+08:00", true, Some("2026-11-25T09:00:00+08:00")),
        ("2026-11-25T12:00:00+08:00", false, Some("2026-11-25T13:30:00+08:00")),
        ("2026-11-25T18:00:00+08:00", false, Some("2026-11-26T09:00:00+08:00")),
        ("2026-11-29T01:59:59+08:00", true, Some("2026-11-29T01:59:59+08:00")),
        ("2026-11-29T02:00:00+08:00", false, Some("2026-11-30T09:00:00+08:00")),
        ("2027-02-15T10:00:00+08:00", false, Some("2027-02-17T10:00:00+08:00")),
        ("2027-02-17T23:59:59+08:00", true, Some("2027-02-17T23:59:59+08:00")),
        ("2027-02-18T00:00:00+08:00", false, Some("2027-02-20T22:00:00+08:00")),
    ] {
        assert_eq!(hours.is_open(ms(now)), open, "{now}");
        assert_eq!(hours.next_opening(ms(now)), next.map(ms), "{now}");
    }
}

/// The clocks of Berlin go forward on 2027-03-28 at 2:00, and back on 2027-10-31 at 3:00.
#[test]
fn periods_follow_the_clocks() {
    let hours = hours(
        "Europe/Berlin",
        &[(Day::Sun, &["01:00-04:00"]), (Day::Mon, &["09:00-17:00"])],
        vec![],
    );
    for (now, open) in [
        ("2027-03-28T00:00:00Z", true),
        ("2027-03-28T01:59:59Z", true),
        ("2027-03-28T02:00:00Z", false),
        ("2027-03-29T07:00:00Z", true),
        ("2027-03-22T07:00:00Z", false),
        ("2027-10-30T23:00:00Z", true),
        ("2027-10-31T02:59:59Z", true),
        ("2027-10-31T03:00:00Z", false),
        ("2027-11-01T08:00:00Z", true),
    ] {
        assert_eq!(hours.is_open(ms(now)), open, "{now}");
    }
    assert_eq!(hours.next_opening(ms("2027-03-28T02:00:00Z")), Some(ms("2027-03-29T07:00:00Z")));
    assert_eq!(hours.next_opening(ms("2027-10-31T03:00:00Z")), Some(ms("2027-11-01T08:00:00Z")));
}

#[test]
fn what_cannot_be_read_is_said() {
    let config = |zone: &str, periods: &[&str], special: Vec<SpecialDays>| {
        let periods = periods.iter().map(|one| (*one).to_owned()).collect();
        let week = [(Day::Mon, periods)].into();
        HoursConfig { time_zone: zone.into(), week, special, ..Default::default() }
    };
    let read = |config: &HoursConfig| Hours::new(config).unwrap_err();
    assert_eq!(read(&config("Mars/Base", &[], vec![])), HoursError::TimeZone("Mars/Base".into()));
    for bad in
        ["9-18", "09:00", "09:60-10:00", "24:00-25:00", "a-b", "09:00-18:00:00", "-1:00-2:00", ""]
    {
        assert_eq!(read(&config("UTC", &[bad], vec![])), HoursError::Period(bad.into()));
    }
    let overlap = read(&config("UTC", &["13:00-18:00", "09:00-13:30"], vec![]));
    assert_eq!(overlap, HoursError::Overlap("09:00-13:30".into(), "13:00-18:00".into()));
    for day in ["2027-2-30", "spring", "2027-02-30"] {
        let found = read(&config("UTC", &[], vec![special(day, None, &[])]));
        assert_eq!(found, HoursError::Day(day.into()));
    }
    let backwards = special("2027-02-19", Some("2027-02-15"), &[]);
    assert!(matches!(read(&config("UTC", &[], vec![backwards])), HoursError::Backwards { .. }));
    let yaml =
        r#"{"time_zone": "Asia/Shanghai", "week": {"mon": ["09:00-18:00"]}, "holidays": []}"#;
    assert!(serde_json::from_str::<HoursConfig>(yaml).is_err(), "a key that means nothing");
}

#[test]
fn the_opening_is_said() {
    let hours = hours("Asia/Shanghai", &[(Day::Thu, &["09:00-12:00", "13:30-18:00"])], vec![]);
    for (now, lang, part) in [
        ("2026-11-26T12:30:00+08:00", Lang::Zh, "今天 13:30"),
        ("2026-11-25T12:30:00+08:00", Lang::Zh, "明天 09:00"),
        ("2026-11-24T12:30:00+08:00", Lang::Zh, "11 月 26 日（周四）09:00"),
        ("2026-11-26T12:30:00+08:00", Lang::En, "today at 13:30"),
        ("2026-11-25T12:30:00+08:00", Lang::En, "tomorrow at 09:00"),
        ("2026-11-24T12:30:00+08:00", Lang::En, "on Thursday, 2026-11-26 at 09:00"),
    ] {
        let text = hours.closed_text(ms(now), lang);
        assert!(text.contains(part), "{text}");
    }
    let never = Hours::new(&HoursConfig { time_zone: "UTC".into(), ..Default::default() }).unwrap();
    assert_eq!(never.next_opening(0), None);
    assert!(never.closed_text(0, Lang::En).starts_with("Our agents are away."));
    let closed = [(Lang::Zh, "{opening}再来".to_owned())].into();
    let own = HoursConfig {
        time_zone: "UTC".into(),
        week: [(Day::Thu, vec!["00:00-01:00".into()])].into(),
        closed,
        ..Default::default()
    };
    let own = Hours::new(&own).unwrap();
    assert_eq!(own.closed_text(ms("2026-11-25T12:00:00Z"), Lang::En), "tomorrow at 00:00再来");
    assert!(Hours::always().is_open(u64::MAX) && Hours::always().next_opening(7) == Some(7));
}

fn groups(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|one| (*one).to_owned()).collect()
}

fn assign(queue: &mut Queue, now_ms: u64) -> String {
    let all = std::iter::from_fn(|| queue.assign(now_ms));
    all.map(|one| format!("{}>{}", one.conversation, one.agent)).collect::<Vec<_>>().join(" ")
}

#[test]
fn first_come_first_served() {
    let mut queue = Queue::default();
    assert_eq!(queue.enter("a", Whom::Anyone, 10), 1);
    assert_eq!(queue.enter("b", Whom::Anyone, 20), 2);
    assert_eq!(queue.enter("c", Whom::Anyone, 20), 3);
    assert_eq!(queue.enter("a", Whom::Anyone, 30), 1, "entering twice keeps the place");
    assert_eq!(assign(&mut queue, 40), "", "nobody is at work");
    queue.arrive("li", 1, groups(&[]), 41);
    queue.arrive("wang", 2, groups(&[]), 42);
    assert_eq!(assign(&mut queue, 50), "a>wang b>li c>wang", "most free first, then longest idle");
    assert!(queue.leave("b", 60) && !queue.leave("b", 60));
    queue.enter("d", Whom::Anyone, 70);
    queue.enter("e", Whom::Anyone, 71);
    queue.enter("f", Whom::Anyone, 72);
    assert_eq!(assign(&mut queue, 80), "d>li");
    assert!(queue.leave("e", 81), "whoever goes leaves no gap");
    assert_eq!(
        (queue.position("f"), queue.position("e"), queue.position("d")),
        (Some(1), None, None)
    );
    assert_eq!(queue.depart("wang"), ["a", "c"]);
    assert_eq!(queue.waiting().collect::<Vec<_>>(), ["a", "c", "f"], "back at their old places");
    let json = serde_json::to_string(&queue).unwrap();
    assert_eq!(serde_json::from_str::<Queue>(&json).unwrap(), queue);
}

#[test]
fn groups_and_transfers() {
    let mut queue = Queue::default();
    queue.arrive("li", 1, groups(&["refunds"]), 1);
    queue.arrive("wang", 1, groups(&["tech"]), 2);
    assert_eq!(queue.enter("a", Whom::Group("refunds".into()), 10), 1);
    assert_eq!(queue.enter("b", Whom::Group("refunds".into()), 11), 2);
    assert_eq!(queue.enter("c", Whom::Group("tech".into()), 12), 1, "another line");
    assert_eq!(assign(&mut queue, 20), "a>li c>wang", "who cannot be served holds nobody up");
    queue.transfer("c", Whom::Agent("li".into()), 30);
    assert_eq!(queue.position("c"), Some(2), "both need li, and b came before");
    assert_eq!(assign(&mut queue, 31), "");
    queue.finish("a", 40);
    assert_eq!(assign(&mut queue, 41), "b>li");
    queue.depart("li");
    queue.arrive("zhao", 3, groups(&[]), 50);
    assert_eq!(assign(&mut queue, 51), "b>zhao c>zhao", "whoever waits for one who left takes any");
    assert!(queue.take("b", "wang", 60) && !queue.take("b", "nobody", 61));
    assert_eq!(queue.served_by("wang").collect::<Vec<_>>(), ["b"]);
    assert_eq!(queue.served_by("zhao").collect::<Vec<_>>(), ["c"]);
}

#[test]
fn waits_are_estimated() {
    let mut queue = Queue::default();
    queue.arrive("li", 2, groups(&[]), 0);
    for (name, at) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
        queue.enter(name, Whom::Anyone, at);
    }
    assert_eq!(queue.wait_ms("a"), Some(0), "somebody is free");
    assign(&mut queue, 1_000);
    assert_eq!(queue.wait_ms("c"), None, "nothing to tell it from");
    queue.finish("a", 601_000);
    queue.finish("b", 1_201_000);
    assign(&mut queue, 1_201_000);
    queue.enter("e", Whom::Anyone, 1_300_000);
    assert_eq!(queue.wait_ms("e"), Some(450_000), "900 s on average, two at a time");
    assert_eq!(queue.wait_ms("nobody"), None);
    assert_eq!(queue.wait_ms("c"), None, "who is served does not wait");
}
