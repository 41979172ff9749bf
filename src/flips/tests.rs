//! Flips of a small shop between two knowledge bases, with embeddings made by hand.

use std::sync::Arc;

use super::golden::{judge, texts};
use super::*;
use crate::index::{Index, IndexKind};
use crate::intent::answer::Thresholds;
use crate::intent::classifier::{Acceptance, Calibration, Classifier, SIGNALS};
use crate::intent::evidence::{Heads, Negatives};
use crate::intent::golden::GoldenSentence;
use crate::intent::head::LinearHead;
use crate::intent::knowledge::{Example, Intent, KeywordRule, KnowledgeBase, Lang};
use crate::intent::lexical::Vocabulary;
use crate::intent::whitening::{Whitening, normalize_length};

/// Axis of a text: what it is about. The encoder of these tests.
fn embedding(text: &str) -> Vec<f32> {
    let has = |words: &[&str]| f32::from(u8::from(words.iter().any(|word| text.contains(word))));
    let mut row = vec![has(&["refund", "money"]), has(&["parcel"]), has(&["late"]), 0.05];
    normalize_length(&mut row);
    row
}

fn embeddings(texts: &[String]) -> Embeddings {
    Embeddings::new(4, texts.iter().flat_map(|text| embedding(text)).collect())
}

fn intent(id: &str, examples: &[&str], keywords: &[&str]) -> Intent {
    let example = |(at, text): (usize, &&str)| Example {
        text: (*text).to_owned(),
        lang: Lang::En,
        file: format!("{id}.yaml"),
        line: at as u32 + 1,
    };
    let rule = KeywordRule {
        any: keywords.iter().map(|word| (*word).to_owned()).collect(),
        ..KeywordRule::default()
    };
    Intent {
        id: id.to_owned(),
        examples: examples.iter().enumerate().map(example).collect(),
        keywords: if keywords.is_empty() { vec![] } else { vec![rule] },
        ..Intent::default()
    }
}

/// An engine that only looks at the neighbours.
fn engine(intents: Vec<Intent>, matched: f32) -> Engine {
    let knowledge = KnowledgeBase { intents, ..KnowledgeBase::default() };
    let count = knowledge.intents.len();
    let rows: Vec<f32> = knowledge.examples().flat_map(|(_, one)| embedding(&one.text)).collect();
    let vectors = Arc::new(Embeddings::new(4, rows));
    let index = Index::build(Arc::clone(&vectors), IndexKind::Exact).unwrap();
    let identity = (0..16).map(|at| f32::from(u8::from(at % 5 == 0))).collect();
    let zeros = |rows: usize| LinearHead::new(vec![0.0; rows * count], vec![0.0; count]).unwrap();
    let vocabulary = Vocabulary::fit(["refund"], 1);
    let heads = Heads {
        whitening: Whitening::new(vec![0.0; 4], identity).unwrap(),
        class_means: vec![0.5; 4 * count],
        negatives: Negatives::default(),
        dense: zeros(4),
        lexical: zeros(vocabulary.len()),
        vocabulary,
        scope: LinearHead::new(vec![0.0; 4], vec![0.0]).unwrap(),
    };
    // Out of scope is what is near no example.
    let mut weights = [0.0; SIGNALS];
    weights[3] = 40.0;
    let acceptance =
        Acceptance { means: [0.7; SIGNALS], scales: [1.0; SIGNALS], weights, bias: 0.0 };
    let calibration = Calibration {
        fusion: [0.0, 0.0, 1.0],
        acceptance,
        thresholds: Thresholds { in_scope: 0.5, matched },
        candidates: 3,
        keyword_precision: 0.9,
    };
    Engine::new(knowledge, Arc::new(index), vectors, Classifier::new(heads, calibration)).unwrap()
}

fn shop() -> Vec<Intent> {
    vec![
        intent("refund", &["give me a refund"], &["my money back"]),
        intent("delay", &["the parcel is late"], &[]),
    ]
}

fn messages(rows: &[(&str, Option<&str>)]) -> Messages {
    Messages::new(rows.iter().map(|(text, intent)| Message {
        expected: intent.map(|id| match id {
            "oos" => Expected::Status(Status::OutOfScope),
            id => Expected::Intent(id.to_owned()),
        }),
        ..Message::plain(Source::HeldOut, (*text).to_owned())
    }))
}

fn compare(before: &Engine, after: &Engine, rows: &[(&str, Option<&str>)]) -> FlipReport {
    let messages = messages(rows);
    flips(before, after, &messages, &embeddings(&messages.texts()))
}

#[test]
fn equal_engines_flip_nothing() {
    let (before, after) = (engine(shop(), 0.5), engine(shop(), 0.5));
    let report = compare(&before, &after, &[("refund", Some("refund")), ("?!", None), ("", None)]);
    assert_eq!(report.total, Counts { messages: 3, ..Counts::default() });
    assert_eq!((report.flips, report.edit), (vec![], Edit::default()));
}

/// Each row changes the shop in one way and says what it does to one message.
#[test]
fn an_edit_flips_and_says_why() {
    type Change = fn(&mut Vec<Intent>);
    type Row = (&'static str, Change, &'static str, &'static str, FlipVerdict, CauseKind);
    let rows: [Row; 7] = [
        (
            "an example is added",
            |shop| shop[1] = intent("delay", &["the parcel is late", "the refund is late"], &[]),
            "late refund",
            "delay",
            FlipVerdict::Improved,
            CauseKind::ExampleAdded,
        ),
        (
            "an example is removed",
            |shop| shop[1] = intent("delay", &["tell me more"], &[]),
            "late parcel",
            "delay",
            FlipVerdict::Worsened,
            CauseKind::ExampleRemoved,
        ),
        (
            "an example is moved",
            |shop| {
                shop[0] = intent("refund", &["give me a refund", "the parcel is late"], &[]);
                shop[1] = intent("delay", &["tell me more"], &[]);
            },
            "late parcel",
            "delay",
            FlipVerdict::Worsened,
            CauseKind::ExampleMoved,
        ),
        (
            "a keyword is added",
            |shop| shop[1].keywords = intent("delay", &[], &["refund is late"]).keywords,
            "refund is late",
            "delay",
            FlipVerdict::Improved,
            CauseKind::KeywordAdded,
        ),
        (
            "a keyword is removed",
            |shop| shop[0].keywords.clear(),
            "my money back, parcel late",
            "delay",
            FlipVerdict::Improved,
            CauseKind::KeywordRemoved,
        ),
        (
            "an intent is added",
            |shop| shop.push(intent("where", &["my parcel"], &[])),
            "a parcel",
            "where",
            FlipVerdict::Improved,
            CauseKind::IntentAdded,
        ),
        (
            "an intent is removed",
            |shop| drop(shop.remove(1)),
            "late parcel",
            "delay",
            FlipVerdict::Worsened,
            CauseKind::IntentRemoved,
        ),
    ];
    for (name, change, text, expected, verdict, cause) in rows {
        let mut edited = shop();
        change(&mut edited);
        let (before, after) = (engine(shop(), 0.5), engine(edited, 0.5));
        let report = compare(&before, &after, &[(text, Some(expected))]);
        let [flip] = report.flips.as_slice() else { panic!("{name}: {report:?}") };
        assert_eq!(flip.verdict, verdict, "{name}: {flip}");
        assert_eq!(flip.why.causes[0].kind, cause, "{name}: {flip}");
        assert_ne!(report.edit, Edit::default(), "{name}");
        let other = compare(&after, &before, &[(text, Some(expected))]);
        assert_ne!(other.flips[0].verdict, verdict, "{name}, the other way round");
    }
}

#[test]
fn moved_thresholds_are_named() {
    let torn = || {
        vec![
            intent("refund", &["refund for a parcel"], &[]),
            intent("delay", &["a late parcel, refund"], &[]),
        ]
    };
    let (before, after) = (engine(torn(), 0.5), engine(torn(), 0.95));
    let report = compare(&before, &after, &[("refund for my parcel", None)]);
    let [flip] = report.flips.as_slice() else { panic!("{report:?}") };
    assert_eq!((flip.before.status, flip.after.status), (Status::Matched, Status::Ambiguous));
    assert_eq!(flip.why.causes[0].kind, CauseKind::Thresholds, "{flip}");
    assert_eq!(flip.verdict, FlipVerdict::Neutral, "nobody knows what is right");
}

#[test]
fn a_text_counts_once_by_its_first_source_and_the_worst_comes_first() {
    let golden = GoldenSentence {
        text: "Late parcel".into(),
        lang: Lang::En,
        expected: Expected::Intent("delay".into()),
        tier: None,
        file: "golden.yaml".into(),
        line: 3,
    };
    let rest = ["late  parcel", "a refund", "a parcel", "money"];
    let messages = Messages::new(
        std::iter::once(Message::from(&golden))
            .chain(rest.map(|text| Message::plain(Source::Logged, text.to_owned()))),
    );
    assert_eq!(messages.len(), 4);
    let edited = vec![
        intent("delay", &["about money"], &[]),
        intent("refund", &["the parcel is late", "a parcel"], &[]),
    ];
    let (before, after) = (engine(shop(), 0.5), engine(edited, 0.5));
    let mut report = flips(&before, &after, &messages, &embeddings(&messages.texts()));
    let counts = |source| report.sources.iter().find(|one| one.source == source).unwrap().counts;
    assert_eq!((counts(Source::Golden).worsened, counts(Source::Logged).messages), (1, 3));
    assert_eq!(report.flips[0].verdict, FlipVerdict::Worsened);
    assert_eq!(report.flips[0].line, Some(3));
    let refund = report.intents.iter().find(|one| one.intent == "refund").unwrap();
    assert_eq!((refund.gained, refund.lost), (2, 2), "{report}");
    assert_eq!(report.total.changed, 4);
    let said = report.to_string();
    assert!(said.contains("4 of 4 messages change: 1 worsened"), "{said}");
    let page = report.markdown("a | b <c>");
    assert!(
        page.contains("a \\| b &lt;c>") && page.contains("| worsened | \"Late parcel\""),
        "{page}"
    );
    report.cut(1);
    assert_eq!((report.flips.len(), report.left_out), (1, 3));
}

#[test]
fn the_golden_gate_tells_what_a_model_lost() {
    let sentence = |text: &str, id: &str, line| GoldenSentence {
        text: text.to_owned(),
        lang: Lang::En,
        expected: match id {
            "oos" => Expected::Status(Status::OutOfScope),
            id => Expected::Intent(id.to_owned()),
        },
        tier: None,
        file: "golden.yaml".into(),
        line,
    };
    let golden = [
        sentence("late parcel", "delay", 1),
        sentence("good weather", "oos", 2),
        sentence("refund", "delay", 3),
    ];
    let rows = embeddings(&texts(&golden));
    let edited = vec![
        intent("refund", &["give me a refund", "the parcel is late"], &[]),
        intent("delay", &["a parcel"], &[]),
    ];
    let before = judge(&engine(shop(), 0.5), &golden, &rows);
    let after = judge(&engine(edited, 0.5), &golden, &rows);
    assert_eq!((before.passed, before.failed, after.failed), (2, 1, 2));
    let lost = after.lost_since(&before);
    let lines: Vec<u32> = lost.iter().map(|one| one.line).collect();
    assert_eq!(lines, [1], "what failed already is no loss");
    let said = lost[0].to_string();
    assert!(said.starts_with("golden.yaml:1: \"late parcel\" should be delay, is matched refund"));
    assert!(said.contains("refund.yaml:2"), "{said}");
    assert_eq!(after.clone().cut(1).failures.len(), 1);
    assert_eq!(after.lost_since(&after), Vec::<&golden::GoldenFailure>::new());
}
