//! Files of many shapes, each with one example more.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::intent::knowledge::KnowledgeBase;
use crate::knowledge::parse;

/// A shape: name, file, and the piece that is inserted to add `new one` in English to `a`.
type Row = (&'static str, &'static str, &'static str);

const HEAD: &str = "version: 1\n# top\nintents:\n";

/// Each begins with [`HEAD`] unless it has a version of its own.
const ROWS: &[Row] = &[
    (
        "block list",
        "  - id: a\n    examples:\n      en:\n        - x\n        - y\n",
        "\n        - new one",
    ),
    ("no indentation", "- id: a\n  examples:\n    en:\n    - x\n", "\n    - new one"),
    (
        "wide dash",
        "-   id: a\n    examples:\n        en:\n            -  x\n",
        "\n            -  new one",
    ),
    (
        "a comment on the last item",
        "- id: a\n  examples:\n    en:\n      - x # why\n  # end\n",
        "\n      - new one",
    ),
    (
        "comments between",
        "- id: a\n  examples:\n    en:\n      # first\n      - x\n\n      # second\n      - y\n\n# tail\n",
        "\n      - new one",
    ),
    (
        "another intent follows",
        "- id: a\n  examples:\n    en:\n      - x\n\n# of b\n- id: b\n  examples: {en: [q]}\n",
        "\n      - new one",
    ),
    (
        "answers follow",
        "- id: a\n  examples:\n    en:\n      - x\n  answers: {en: [hi]}\n",
        "\n      - new one",
    ),
    ("no line break at the end", "- id: a\n  examples:\n    en:\n      - x", "\n      - new one"),
    ("spaces at the end", "- id: a\n  examples:\n    en:\n      - x   \n", "\n      - new one"),
    ("double quotes", "- id: a\n  examples:\n    en:\n      - \"x\"\n", "\n      - \"new one\""),
    ("single quotes", "- id: a\n  examples:\n    en:\n      - 'it''s'\n", "\n      - 'new one'"),
    (
        "a sentence over two lines",
        "- id: a\n  examples:\n    en:\n      - x\n        and on\n",
        "\n      - new one",
    ),
    (
        "a quoted one over two lines",
        "- id: a\n  examples:\n    en:\n      - \"x\n         and on\"\n  answers: {en: [hi]}\n",
        "\n      - \"new one\"",
    ),
    (
        "a block scalar",
        "- id: a\n  examples:\n    en:\n      - |\n        x\n        # no comment\n\n  answers: {en: [hi]}\n",
        "\n      - new one",
    ),
    (
        "a folded scalar at the end",
        "- id: a\n  examples:\n    en:\n      - >-\n        x\n        y\n",
        "\n      - new one",
    ),
    (
        "an anchor on an item",
        "- id: a\n  examples:\n    en:\n      - &x x\n      - *x\n",
        "\n      - new one",
    ),
    (
        "an anchor on the list that nobody uses",
        "- id: a\n  examples:\n    en: &list\n      - x\n",
        "\n      - new one",
    ),
    (
        "Chinese before English",
        "- id: a\n  examples:\n    en:\n      - x\n    zh:\n      - 好\n",
        "\n      - new one",
    ),
    ("flow", "- id: a\n  examples: {zh: [好], en: [x, y]}\n", ", new one"),
    ("tight flow", "- id: a\n  examples: {en: [x,y]}\n", ",new one"),
    ("flow with a comma at the end", "- id: a\n  examples: {en: [x, y,]}\n", " new one,"),
    ("empty flow", "- id: a\n  examples: {zh: [好], en: []}\n", "new one"),
    (
        "flow, one a line",
        "- id: a\n  examples:\n    en: [\n      x,\n      y\n    ]\n",
        ",\n      new one",
    ),
    (
        "flow, one a line, comma",
        "- id: a\n  examples:\n    en: [\n      x, # a\n      y, # b\n    ]\n",
        "\n      new one,",
    ),
    (
        "flow, one a line, comment",
        "- id: a\n  examples:\n    en: [\n      x,\n      y # b\n    ]\n",
        "new one,\n      ",
    ),
    ("brackets in quotes", "- id: a\n  examples: {en: [\"x ] # y\"]}\n", ", \"new one\""),
    (
        "no English yet",
        "- id: a\n  examples:\n    zh:\n      - 好 # c\n  answers: {en: [hi]}\n",
        "\n    en:\n      - new one",
    ),
    (
        "no English yet, flow lists",
        "- id: a\n  examples:\n    zh: [好] # c\n",
        "\n    en: [new one]",
    ),
    ("no English yet, flow", "- id: a\n  examples: {zh: [好, ]}\n", ", en: [new one]"),
    ("no English yet, flow and comma", "- id: a\n  examples: {zh: [好],}\n", " en: [new one],"),
    ("no language yet", "- id: a\n  keywords: [{any: [k]}]\n  examples: {}\n", "en: [new one]"),
    (
        "no examples yet",
        "  - id: a\n    keywords:\n      - any: [k]\n\n    # tail\n  - id: b\n    examples: {en: [q]}\n",
        "\n    examples:\n      en:\n        - new one",
    ),
    (
        "no examples yet, at the end",
        "- keywords: [{any: [k]}]\n  id: a # c",
        "\n  examples:\n    en:\n      - new one",
    ),
    ("no examples yet, flow", "- {id: a, keywords: [{any: [k]}]}\n", ", examples: {en: [new one]}"),
    ("an explicit key", "- id: a\n  examples:\n    ? en\n    :\n      - x\n", "\n      - new one"),
    ("a tag", "- id: a\n  examples:\n    en: !!seq\n      - x\n", "\n      - new one"),
    (
        "one document with its marks",
        "---\nversion: 1\nintents:\n- id: a\n  examples:\n    en:\n    - x\n...\n",
        "\n    - new one",
    ),
    (
        "JSON",
        "{\"version\": 1, \"intents\": [{\"id\": \"a\", \"examples\": {\"en\": [\"x\", \"y\"]}}]}\n",
        ", \"new one\"",
    ),
    (
        "JSON without English",
        "{\"version\": 1, \"intents\": [{\"id\": \"a\", \"examples\": {\"zh\": [\"好\"]}}]}\n",
        ", \"en\": [\"new one\"]",
    ),
    (
        "JSON without examples",
        "{\"version\": 1, \"intents\": [{\"id\": \"a\", \"keywords\": [{\"any\": [\"k\"]}]}]}\n",
        ", \"examples\": {\"en\": [\"new one\"]}",
    ),
    (
        "a mark at the start",
        "\u{feff}version: 1\nintents:\n- id: a\n  examples:\n    en:\n    - 你好\n    - x\n",
        "\n    - new one",
    ),
];

fn whole(file: &str) -> String {
    if file.contains("version") { file.to_owned() } else { format!("{HEAD}{file}") }
}

fn knowledge(text: &str) -> KnowledgeBase {
    let mut knowledge = parse(&[(PathBuf::from("a.yaml"), text.to_owned())]).unwrap();
    for intent in &mut knowledge.intents {
        intent.examples.iter_mut().for_each(|example| example.line = 0);
    }
    knowledge
}

/// Checks an edit in every way that does not depend on how it was made; returns what came in.
fn inserted(before: &str, after: &Edited, id: &str, lang: Lang, example: &str) -> String {
    let text = &after.text;
    let same = before.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
    let more = text.len() - before.len();
    let splits = |at: &usize| {
        before.is_char_boundary(*at) && before.as_bytes()[*at..] == text.as_bytes()[at + more..]
    };
    let at = (0..=same).rev().find(splits);
    let at = at.unwrap_or_else(|| panic!("more than one piece changed:\n{before}\n{text}"));
    let (old, mut new) = (knowledge(before), knowledge(text));
    let intent = new.intents.iter_mut().find(|intent| intent.id == id).unwrap();
    let found = intent.examples.iter().rposition(|e| e.lang == lang && e.text == example).unwrap();
    intent.examples.remove(found);
    assert_eq!(old, new, "{text}");
    let line = text.lines().nth(after.line as usize - 1).unwrap();
    assert!(!line.trim().is_empty(), "line {} is empty", after.line);
    text[at..at + more].to_owned()
}

#[test]
fn one_example_goes_into_every_shape_and_nothing_else_changes() {
    for (name, file, piece) in ROWS {
        for (breaks, kind) in [("\n", "LF"), ("\r\n", "CRLF")] {
            let before = whole(file).replace('\n', breaks);
            let after = insert_example(&before, "a", Lang::En, "new one")
                .unwrap_or_else(|error| panic!("{name}, {kind}: {error}"));
            let got = inserted(&before, &after, "a", Lang::En, "new one");
            let piece = piece.replace('\n', breaks);
            // Where the neighbourhood repeats, the same edit can be told in several ways.
            let turned = |n: usize| format!("{}{}", &got[n..], &got[..n]);
            let same =
                (0..got.len()).filter(|n| got.is_char_boundary(*n)).any(|n| turned(n) == piece);
            assert!(same, "{name}, {kind}: {got:?} is not {piece:?}");
            let alone = after.text.replace("\r\n", "").contains('\n');
            assert!(kind == "LF" || !alone, "{name}: a lone line feed");
        }
    }
}

#[test]
fn what_would_change_more_is_refused() {
    let rows = [
        ("an alias", "- id: a\n  examples:\n    zh: &l [x]\n    en: *l\n", "alias"),
        (
            "a shared list",
            "- id: a\n  examples:\n    en: &l [x]\n- id: b\n  examples:\n    en: *l\n",
            "shared",
        ),
        ("a shared map", "- id: b\n  examples: &m {en: [x]}\n- id: a\n  examples: *m\n", "alias"),
        ("two documents", "- id: a\n  examples: {en: [x]}\n---\nversion: 1\n", "fault"),
        ("a fault", "- id: a\n  example: {en: [x]}\n", "line 5"),
        ("not there", "- id: b\n  examples: {en: [x]}\n", "no intent"),
    ];
    for (name, file, wanted) in rows {
        let text = format!("{HEAD}{file}");
        let error = insert_example(&text, "a", Lang::En, "new one").expect_err(name).to_string();
        assert!(error.contains(wanted) && !error.contains('\n'), "{name}: {error}");
    }
    for example in ["", " \n", "\u{200b}", &"长".repeat(2_001)] {
        let text = format!("{HEAD}- id: a\n  examples: {{en: [x]}}\n");
        let error = insert_example(&text, "a", Lang::En, example).unwrap_err();
        assert!(matches!(error, EditError::Example(_)), "{example:?}: {error}");
    }
}

#[test]
fn odd_sentences_are_read_back_as_they_are() {
    let odd = [
        "- x",
        "yes",
        "No",
        "null",
        "~",
        "12",
        "0x1f",
        "1e3",
        "12:30",
        "2026-11-05",
        "a: b",
        "a #b",
        "#1",
        "\"q\"",
        "it's",
        "\\",
        "a, b",
        "[x]",
        "{x}",
        "x:",
        "?",
        "? x",
        "*x",
        "&x",
        "!x",
        "%x",
        "@x",
        "`x`",
        "|",
        ">",
        "=",
        "<<",
        "...",
        "---",
        "😀",
        "退款：怎么办",
        "“好”",
        "a\u{feff}b",
        "a:b",
        "'",
        "\"",
        ".5",
        "+8",
    ];
    for (name, file, _) in ROWS {
        let before = whole(file);
        for example in odd {
            let after = insert_example(&before, "a", Lang::En, example)
                .unwrap_or_else(|error| panic!("{name}, {example}: {error}"));
            inserted(&before, &after, "a", Lang::En, example);
        }
    }
    let text = format!("{HEAD}- id: a\n  examples: {{en: [x]}}\n");
    let edited = insert_example(&text, "a", Lang::En, " two\n lines\t and\u{85}more ").unwrap();
    assert!(edited.text.contains(", two lines and more]"), "{}", edited.text);
}

#[test]
fn every_intent_of_the_bundled_files_takes_an_example() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("intents");
    let mut edits = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|kind| kind != "yaml") || crate::knowledge::is_golden(&path)
        {
            continue;
        }
        let before = std::fs::read_to_string(&path).unwrap();
        for intent in format::read(&path, &before).unwrap().intents.into_iter().flatten() {
            for lang in [Lang::Zh, Lang::En] {
                insert_example(&before, &intent.id.value, lang, "一句 new: one").unwrap();
                edits += 1;
            }
        }
    }
    assert!(edits >= 50, "{edits}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_sentence_goes_in_or_is_refused(row in 0..ROWS.len(), example in "\\PC{0,20}|[-:#,'\"\\[\\]{}& a1]{0,12}") {
        let before = whole(ROWS[row].1);
        match insert_example(&before, "a", Lang::Zh, &example) {
            Ok(after) => {
                let example = one_line(&example).unwrap();
                let found = knowledge(&after.text).intents[0].examples.iter()
                    .filter(|e| e.lang == Lang::Zh && e.text == example).count();
                prop_assert!(found >= 1);
                prop_assert_eq!(after.text.len() > before.len(), true);
            }
            Err(EditError::Example(_)) => prop_assert!(one_line(&example).is_err()),
            Err(error) => prop_assert!(false, "{}: {}", ROWS[row].0, error),
        }
    }
}
