//! Whole imports of the fixtures, and bad input.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::intent::knowledge::{EntityKind, EntityRule, EntityValue, Intent, Lang};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/exchange").join(name)
}

/// Reads a fixture as the command would.
fn read(format: Format, name: &str) -> Imported {
    let path = fixture(name);
    let mut found = files::read(&path).unwrap();
    assert_eq!(detect(&found.sources), Ok(format), "{name}");
    found.keep(format);
    import(format, &path, &found.sources, None).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

fn of<'a>(imported: &'a Imported, id: &str) -> &'a Intent {
    let intents = &imported.knowledge.intents;
    let ids: Vec<_> = intents.iter().map(|one| &one.id).collect();
    intents.iter().find(|one| one.id == id).unwrap_or_else(|| panic!("no {id} in {ids:?}"))
}

fn texts(intent: &Intent, lang: Lang) -> Vec<&str> {
    let of_lang = intent.examples.iter().filter(|one| one.lang == lang);
    of_lang.map(|one| one.text.as_str()).collect()
}

fn values<'a>(imported: &'a Imported, name: &str) -> &'a [EntityValue] {
    let found = imported.knowledge.entities.iter().find(|one| one.name == name);
    match found.map(|one| &one.rule) {
        Some(EntityRule::Values(values)) => values,
        other => panic!("{name}: {other:?}"),
    }
}

fn pattern<'a>(imported: &'a Imported, name: &str) -> &'a str {
    let found = imported.knowledge.entities.iter().find(|one| one.name == name);
    match found.map(|one| &one.rule) {
        Some(EntityRule::Pattern(pattern)) => pattern,
        other => panic!("{name}: {other:?}"),
    }
}

/// `count what` of each row that is left out.
fn left(report: &Report) -> BTreeSet<String> {
    report.left_out.iter().map(|one| format!("{} {}", one.count, one.what)).collect()
}

fn assert_left(report: &Report, wanted: &[&str]) {
    let wanted: BTreeSet<String> = wanted.iter().map(|&one| one.to_owned()).collect();
    assert_eq!(left(report), wanted);
}

#[test]
fn rasa_is_read_with_its_mark_up_and_answers() {
    let imported = read(Format::Rasa, "rasa");
    let city = values(&imported, "city");
    let spelled: Vec<&str> = city[0].synonyms.iter().map(String::as_str).collect();
    assert_eq!(
        (city[0].value.as_str(), spelled),
        ("Hangzhou", vec!["HZ", "杭州", "hang zhou", "杭州市"])
    );
    assert_eq!(city[1].value, "Chengdu");
    let method = values(&imported, "method");
    assert_eq!(method.len(), 2);
    assert_eq!((method[0].value.as_str(), method[0].synonyms[0].as_str()), ("express", "特快"));
    assert_eq!(pattern(&imported, "coupon_code"), r"[A-Z]+-\d{2}");
    let shipping = of(&imported, "ask_shipping_time");
    assert_eq!(texts(shipping, Lang::Zh), ["寄到杭州要几天"]);
    assert_eq!(texts(shipping, Lang::En)[1], "when does it reach HZ");
    assert_eq!(of(&imported, "greet").answers[&Lang::Zh], ["您好，请问有什么可以帮您？"]);
    assert_eq!(of(&imported, "faq/opening_hours").answers[&Lang::En].len(), 1);
    assert_eq!(imported.out_of_scope.len(), 2);
    let report = &imported.report;
    assert_eq!((report.duplicates, report.carried.intents), (1, 6));
    assert_eq!(report.shared[0].text, "when do you open");
    let renamed: Vec<&str> = report.renamed.iter().map(|one| one.from.as_str()).collect();
    assert_eq!(renamed, ["查询优惠券", "Return Item"]);
    assert_left(
        report,
        &[
            "1 commented lines in examples",
            "1 metadata of examples",
            "2 roles and groups of the entity \"city\"",
            "1 the synonyms of \"laptop\"",
            "1 the regex \"greeting_words\"",
            "1 the pattern \"(?=X)X-\\\\d{4}\" of the entity \"coupon_code\"",
            "1 marked values of the entity \"coupon_code\"",
            "1 the entity \"mood\"",
            "1 the intent \"nobody_says_this\"",
            "1 \"use_entities\" of intents",
            "1 \"buttons\" of responses",
            "1 placeholders in responses",
            "1 the response \"utter_goodbye\"",
            "2 stories",
            "1 rules",
            "1 forms",
            "1 slots",
        ],
    );
    assert!(report.notes.iter().any(|note| note.contains("config.yml")), "{:?}", report.notes);
    // Places lead to the line of the example.
    let roles = report.left_out.iter().find(|one| one.what.starts_with("roles")).unwrap();
    assert!(roles.place.as_ref().unwrap().file.ends_with("domain.yml"));
    let metadata = report.left_out.iter().find(|one| one.what.starts_with("metadata")).unwrap();
    assert_eq!(metadata.place.as_ref().unwrap().line, 19);
    let names: Vec<String> = imported.files().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["nlu.yaml", "tables.yaml", "entities.yaml", "oos.jsonl"]);
}

#[test]
fn dialogflow_is_read_with_its_languages_and_parameters() {
    let imported = read(Format::Dialogflow, "dialogflow");
    let welcome = of(&imported, "default_welcome_intent");
    assert_eq!(welcome.title[&Lang::En], "Default Welcome Intent");
    assert_eq!(welcome.answers[&Lang::En].len(), 2);
    assert_eq!(welcome.answers[&Lang::Zh], ["您好，这里是灯具店。"]);
    let booking = of(&imported, "book_delivery");
    assert_eq!(texts(booking, Lang::En)[0], "bring the arc lamp on friday");
    assert_eq!(texts(booking, Lang::Zh), ["周五把台灯送来"]);
    assert_eq!(booking.slots.len(), 2);
    assert_eq!((&booking.slots[0].entity, booking.slots[0].required), (&EntityKind::Date, true));
    assert_eq!(booking.slots[0].prompt[&Lang::Zh], "哪一天？");
    assert_eq!(booking.slots[1].entity, EntityKind::Custom("lamp".to_owned()));
    let lamp = values(&imported, "lamp");
    assert_eq!(lamp[0].synonyms, ["reading lamp", "台灯"]);
    assert_eq!(lamp[2].value, "arc lamp");
    assert_eq!(pattern(&imported, "serial"), "LMP-[0-9]{5}");
    assert_eq!(imported.out_of_scope.len(), 1);
    assert_left(
        &imported.report,
        &[
            "1 the webhook of the agent",
            "3 action names",
            "1 automated expansion of entities",
            "1 events",
            "1 further prompts of a parameter",
            "1 input contexts",
            "1 lists of values in parameters",
            "1 marks of \"@sys.geo-city\" in phrases",
            "1 output contexts",
            "1 parameters of the type \"@sys.geo-city\"",
            "1 placeholders in responses",
            "2 responses of fallback intents",
            "1 rich messages",
            "1 template phrases",
            "1 texts in the language \"fr\"",
            "1 webhook calls",
        ],
    );
}

#[test]
fn azure_is_read_by_utf_16_offsets() {
    let luis = read(Format::Luis, "azure/luis.json");
    assert_eq!(values(&luis, "room")[0].value, "kitchen");
    assert_eq!(values(&luis, "plant")[0].synonyms, ["boston fern", "蕨"]);
    assert_eq!(pattern(&luis, "pot_number"), "pot-[0-9]{3}");
    assert_eq!((of(&luis, "buy_plant").examples.len(), luis.out_of_scope.len()), (2, 1));
    assert_left(
        &luis.report,
        &[
            "1 patterns",
            "1 phrase lists",
            "1 roles of the entity \"Room\"",
            "1 the entity \"Odd\"",
            "1 the intent \"NeverUsed\"",
            "1 the pattern \"(a)\\\\1\" of the entity \"Odd\"",
            "1 the prebuilt entity \"temperature\"",
        ],
    );
    let clu = read(Format::Clu, "azure/clu.json");
    let rooms: Vec<&str> = values(&clu, "room").iter().map(|one| one.value.as_str()).collect();
    assert_eq!(rooms, ["kitchen", "阳台"]);
    assert_eq!(texts(of(&clu, "buy_plant"), Lang::Zh), ["给阳台来一盆蕨"]);
    assert_left(
        &clu.report,
        &[
            "1 marked values of the entity \"When\"",
            "1 the prebuilt entity \"Quantity.Temperature\"",
            "1 utterances of the test set",
        ],
    );
}

#[test]
fn rows_are_read_with_all_their_quirks() {
    let csv = read(Format::Csv, "rows/shop.csv");
    assert_eq!(texts(of(&csv, "opening_hours"), Lang::En), ["are you open, say, at nine?"]);
    assert_eq!(texts(of(&csv, "opening_hours_2"), Lang::En), ["the sign says \"closed\""]);
    assert_eq!((csv.report.duplicates, csv.out_of_scope.len()), (1, 1));
    assert_left(&csv.report, &["1 fields \"Source\""]);
    let tsv = read(Format::Tsv, "rows/shop.tsv");
    assert_eq!(tsv.report.carried.examples, BTreeMap::from([(Lang::Zh, 1), (Lang::En, 2)]));
    let jsonl = read(Format::Jsonl, "rows/shop.jsonl");
    assert_eq!((jsonl.report.carried.intents, jsonl.out_of_scope.len()), (2, 1));
    assert_left(&jsonl.report, &["1 rows of the split \"test\""]);
}

#[test]
fn the_user_knows_the_language_better_than_file_and_script() {
    for name in ["dialogflow", "azure/clu.json", "rasa", "rows/shop.csv"] {
        let path = fixture(name);
        let mut found = files::read(&path).unwrap();
        let format = detect(&found.sources).unwrap();
        found.keep(format);
        let imported = import(format, &path, &found.sources, Some(Lang::Zh)).unwrap();
        let langs: Vec<&Lang> = imported.report.carried.examples.keys().collect();
        assert_eq!(langs, [&Lang::Zh], "{name}");
        assert!(!left(&imported.report).iter().any(|one| one.contains("language")), "{name}");
    }
}

/// Faults of one file with this text.
fn faults(format: Format, name: &str, text: &str) -> Vec<String> {
    let source = Source { path: name.into(), text: text.to_owned() };
    let read = import(format, name.as_ref(), &[source], None);
    let faults = read.map(|imported| imported.report).unwrap_err();
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn bad_rasa_is_refused_where_it_is_wrong() {
    let nlu = |body: &str| format!("version: \"3.1\"\nnlu:\n{body}");
    for (name, text, expected) in [
        ("empty", String::new(), "a.yml:1:1: the file is empty"),
        ("no map", "- a\n".to_owned(), "a.yml:1:1: the file is a list"),
        ("no yaml", "nlu: [\n".to_owned(), "this is no YAML"),
        ("no list", nlu("  intent: a\n"), "a.yml:3:3: \"nlu\" is an object, and must be a list"),
        ("no kind", nlu("- intnet: a\n  examples: |\n    - b\n"), "a.yml:3:3: an entry of nlu"),
        (
            "no dash",
            nlu("- intent: a\n  examples: |\n    - b\n    c\n"),
            "a.yml:6:5: \"c\" does not begin",
        ),
        (
            "open bracket",
            nlu("- intent: a\n  examples: |\n\n    -  go to [x\n"),
            "a.yml:6:14: the bracket [ is never",
        ),
        (
            "open name",
            nlu("- intent: a\n  examples:\n  - text: go [x](y\n"),
            "the entity name is never closed",
        ),
        ("number", nlu("- intent: a\n  examples: {b: c}\n"), "a.yml:4:13: examples must be"),
        ("no examples", nlu("- intent: a\n"), "no example of an intent"),
        ("old", "## intent:a\n- b\n".to_owned(), "a.yml:1:1: this is training data of Rasa 1.x"),
    ] {
        let found = faults(Format::Rasa, "a.yml", &text);
        assert!(found.len() == 1 && found[0].contains(expected), "{name}: {found:?}");
    }
    let two = nlu("- intent: a\n  examples: |\n    - [b\n    - [c\n");
    assert_eq!(faults(Format::Rasa, "a.yml", &two).len(), 2, "all faults are said");
}

#[test]
fn bad_json_is_refused_where_it_is_wrong() {
    let luis = |body: &str| format!("{{\"luis_schema_version\": \"7.0.0\",\n{body}}}");
    let clu = |body: &str| format!("{{\"projectFileVersion\": \"1\",\n{body}}}");
    for (name, format, path, text, expected) in [
        (
            "cut",
            Format::Luis,
            "a.json",
            luis("\"intents\": [").replace('}', ""),
            "a.json:2:13: the file ends",
        ),
        ("a list", Format::Luis, "a.json", "[]".to_owned(), "a.json:1:1: the file is a list"),
        ("another", Format::Luis, "a.json", "{}".to_owned(), "it is no LUIS app"),
        ("another", Format::Clu, "a.json", "{\"a\": 1}".to_owned(), "it is no CLU project"),
        ("no assets", Format::Clu, "a.json", clu("\"b\": 1"), "has no \"assets\""),
        (
            "outside",
            Format::Luis,
            "a.json",
            luis(
                "\"utterances\": [{\"text\": \"ab\", \"intent\": \"i\", \"entities\": [{\"entity\": \"e\", \"startPos\": 1, \"endPos\": 2}]}]",
            ),
            "lies outside of its text",
        ),
        (
            "backwards",
            Format::Luis,
            "a.json",
            luis(
                "\"utterances\": [{\"text\": \"ab\", \"intent\": \"i\", \"entities\": [{\"entity\": \"e\", \"startPos\": 9, \"endPos\": 2}]}]",
            ),
            "lies outside of its text",
        ),
        (
            "no text",
            Format::Luis,
            "a.json",
            luis("\"utterances\": [{\"intent\": \"i\"}]"),
            "a.json:2:16: \"text\" is missing",
        ),
        (
            "not a list",
            Format::Luis,
            "a.json",
            luis("\"utterances\": 7"),
            "a.json:2:15: \"utterances\" is a number",
        ),
        (
            "agent's intent",
            Format::Dialogflow,
            "intents/a.json",
            "[]".to_owned(),
            "a.json:1:1: the file is a list",
        ),
        (
            "agent's phrases",
            Format::Dialogflow,
            "intents/a_usersays_en.json",
            "{}".to_owned(),
            "must be a list",
        ),
        (
            "agent's phrase",
            Format::Dialogflow,
            "intents/a_usersays_en.json",
            "[{\"data\": [{}]}]".to_owned(),
            "a_usersays_en.json:1:12: the part of a phrase has no text",
        ),
    ] {
        let found = faults(format, path, &text);
        assert!(found[0].contains(expected), "{name}: {found:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_lead_to_a_panic(
        text in "[\\[\\]{}\":,|>\\- \na-c好0-9@#'&*!%]{0,60}|\\{\"(luis_schema_version|projectFileVersion)\": 1, \"(utterances|intents|assets|entities)\": [\\[\\]{}\":, a-c0-9]{0,40}\\}",
        name in "(intents/|entities/)?[ab](_usersays_en|_entries_zh)?",
    ) {
        for format in [Format::Rasa, Format::Dialogflow, Format::Luis, Format::Clu, Format::Csv, Format::Tsv, Format::Jsonl] {
            let source = Source { path: format!("{name}.json").into(), text: text.clone() };
            let _ = detect(std::slice::from_ref(&source));
            let _ = import(format, "x".as_ref(), &[source], None);
        }
    }
}
