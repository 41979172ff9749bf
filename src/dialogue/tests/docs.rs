//! The tables of `docs/dialogue.md`, held to what `step` does.

use super::kit::{Talk, found};
use crate::dialogue::consent::Consent;
use crate::dialogue::event::{ActionOutcome, Event, Understanding};
use crate::dialogue::state::{Phase, Timer, Work};

const DOCS: &str = include_str!("../../../docs/dialogue.md");

/// The table after the heading `title`: the names of its columns, and its rows.
fn table(title: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let after = DOCS.split_once(&format!("## {title}\n")).expect(title).1;
    let lines = after.lines().skip_while(|line| !line.starts_with('|'));
    let mut rows = lines.take_while(|line| line.starts_with('|')).map(|line| {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    });
    let heads = rows.next().expect("a table has a head").split_off(1);
    (heads, rows.skip(1).collect())
}

/// Compares a table with what is found for each column and row; shows how it should be.
fn hold(title: &str, found: impl Fn(&str, &str) -> String) {
    let (columns, rows) = table(title);
    assert!(!rows.is_empty() && !columns.is_empty(), "{title}");
    let (mut wrong, mut right) = (Vec::new(), String::new());
    for row in &rows {
        right.push_str(&format!("| {} |", row[0]));
        for (column, cell) in columns.iter().zip(&row[1..]) {
            let is = found(column, &row[0]);
            right.push_str(&format!(" {is} |"));
            if is != *cell {
                wrong.push(format!("{} in {column}: {cell}, but is {is}", row[0]));
            }
        }
        right.push('\n');
    }
    assert!(wrong.is_empty(), "{title}\n{}\n\n{right}", wrong.join("\n"));
}

fn talk(said: &[&str]) -> Talk {
    let mut talk = Talk::new();
    for text in said {
        talk.says(text);
    }
    talk
}

fn state(name: &str) -> Talk {
    let mut talk = match name {
        "idle" => talk(&[]),
        "waiting_reply" => talk(&[]).writes("@shipping 运费").clone(),
        "processing: reading" => {
            let mut talk = state("waiting_reply");
            talk.on(Event::UnderstandingStarted { seq: talk.seq() }).clone()
        }
        "processing: acting" => talk(&["@close 注销", "是"]),
        "waiting_confirm: slot" => talk(&["@cancel 取消订单"]),
        "waiting_confirm: action" => talk(&["@close 注销"]),
        "waiting_confirm: which" => talk(&["~close 那个"]),
        "in the queue" => talk(&[]).on(Event::Queued).clone(),
        "with an agent" => talk(&[]).on(Event::TakenOver { agent: "li".into() }).clone(),
        other => panic!("no test knows the state {other}"),
    };
    talk.effects.clear();
    talk
}

fn happens(talk: &mut Talk, event: &str) {
    let id = match &talk.state.phase {
        Phase::Processing(Work::Acting { id, .. }) => *id,
        Phase::Idle
        | Phase::WaitingReply(_)
        | Phase::Processing(Work::Understanding(_))
        | Phase::WaitingConfirm(_) => 0,
    };
    let seq = talk.seq();
    match event {
        "a message" => talk.writes("运费多少"),
        "“是”" => talk.writes("是"),
        "“不是”" => talk.writes("不是"),
        "reading begins" => talk.on(Event::UnderstandingStarted { seq }),
        "understood" => talk.on(Event::Understood { seq, found: found("@shipping 运费") }),
        "reading failed" => talk.on(Event::UnderstandingFailed { seq }),
        "reading failed twice" => {
            talk.on(Event::UnderstandingFailed { seq }).on(Event::UnderstandingFailed { seq })
        }
        "action done" => talk.on(Event::ActionDone { id, outcome: ActionOutcome::Replied(vec![]) }),
        "action failed" => talk.on(Event::ActionDone { id, outcome: ActionOutcome::Failed }),
        "time is up" => talk.waits(1_800_000),
        "time is up twice" => {
            talk.waits(1_800_000);
            talk.effects.clear();
            talk.waits(1_800_000)
        }
        "place in the queue" => talk.on(Event::QueueJoined { position: 1, wait_ms: None }),
        "queued" => talk.on(Event::Queued),
        "taken over" => talk.on(Event::TakenOver { agent: "wang".into() }),
        "resumed" => talk.on(Event::Resumed),
        other => panic!("no test knows the event {other}"),
    };
}

#[test]
fn states_and_events() {
    hold("States and events", |column, row| {
        let mut talk = state(column);
        let before = (talk.state.phase.name(), talk.state.ownership.clone());
        happens(&mut talk, row);
        let after = (talk.state.phase.name(), talk.state.ownership.clone());
        if talk.told().ends_with(": –") && before == after { "–".into() } else { talk.told() }
    });
}

#[test]
fn understood_by_open_question() {
    hold("What an understood message does", |column, row| {
        let mut talk = match column {
            "nothing asked" => talk(&[]),
            "after a failure" => talk(&["天气"]),
            "slot asked" => talk(&["@cancel 取消订单"]),
            "action asked" => talk(&["@cancel 取消订单 20261103887421"]),
            "action asked twice" => talk(&["@cancel 取消订单 20261103887421", "嗯这个嘛"]),
            "which asked" => talk(&["~close 那个"]),
            other => panic!("no test knows the column {other}"),
        };
        let text = match row {
            "matched, only answers" => "@shipping 运费多少",
            "matched, needs a slot" => "@track 查物流",
            "matched, needs a yes" => "@close 注销",
            "matched, acts at once" => "@track 查物流20261103887499",
            "matched, for a human" => "@human 转人工",
            "ambiguous" => "~shipping,close 那个",
            "out of scope" | "yes by meaning" | "no by meaning" => "如此甚合我意",
            "nothing to read" => "🙂",
            "calls it off" => "算了",
            "a value that fits" => "20261103887422",
            other => panic!("no test knows the row {other}"),
        };
        let meaning = match row {
            "yes by meaning" => Some(Consent::Yes),
            "no by meaning" => Some(Consent::No),
            _ => None,
        };
        let found = Understanding { meaning, ..found(text) };
        talk.writes(text);
        if talk.told() == "waiting_reply: understand" {
            talk.on(Event::Understood { seq: talk.seq(), found });
        }
        talk.told()
    });
}

#[test]
fn timers() {
    let (_, rows) = table("Timers");
    let minutes = |timer: Timer| match timer.after_ms() {
        ms if ms % 60_000 == 0 => format!("{} min", ms / 60_000),
        ms => format!("{} s", ms / 1000),
    };
    let known = [
        ("processing", Timer::Processing),
        ("confirm", Timer::Confirm),
        ("question", Timer::Question),
    ];
    let expected: Vec<(String, String)> =
        known.map(|(name, timer)| (format!("`{name}`"), minutes(timer))).into();
    let found: Vec<(String, String)> =
        rows.iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!(found, expected);
}
