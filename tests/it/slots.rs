//! Filling slots: the table of the docs, and conversations over HTTP.

use std::path::PathBuf;

use kefu::dialogue::form::{Form, Forms};
use kefu::dialogue::report::Outcome;
use kefu::dialogue::slots::{Filling, MAX_TRIES, Message, Next, Turn};
use kefu::intent::entity::Extractor;
use kefu::intent::entity::date::calendar::Moment;
use kefu::intent::knowledge::{KnowledgeBase, Lang};
use kefu::intent::normalize::normalize;
use serde_json::{Value, json};

use crate::support::{TINY_MODEL, TestServer, start_server_knowing};

const TABLE: &str = r#"
version: 1
intents:
  - id: cancel
    keywords: [{exact: [x]}]
    slots:
      - {name: order, entity: order_number, required: true, prompt: {zh: 单号}}
      - {name: phone, entity: phone, required: true, prompt: {zh: 电话}, validate: {pattern: '\+86.*'}}
      - {name: reason, entity: text, required: true, prompt: {zh: 原因}, validate: {min_length: 2}}
      - {name: by, entity: courier, prompt: {zh: 快递}, validate: {one_of: [顺丰]}}
entities:
  - name: courier
    values: [{value: 顺丰}, {value: 中通}]
"#;

fn known(yaml: &str) -> KnowledgeBase {
    kefu::knowledge::parse(&[(PathBuf::from("a.yaml"), yaml.to_owned())]).unwrap()
}

/// A state of the table, by its name there.
fn state(form: &Form, extractor: &Extractor, name: &str) -> Filling {
    let asked = |slot: &str, tries: u8, mut filling: Filling| {
        filling.asked = Some(slot.to_owned());
        filling.tries = tries;
        filling
    };
    let order = turn(form, extractor, Filling::new("cancel", Lang::Zh), "20261103887421").filling;
    let order = Filling { asked: None, ..order };
    let reason = || turn(form, extractor, asked("reason", 0, order.clone()), "买错了").filling;
    match name {
        "nothing asked" => order,
        "asked `phone`" => asked("phone", 0, order),
        "asked `phone`, third try" => asked("phone", MAX_TRIES - 1, order),
        "asked `reason`" => {
            let phone = turn(form, extractor, asked("phone", 0, order), "13812345678").filling;
            asked("reason", 0, phone)
        }
        "asked `by`" => asked("by", 0, reason()),
        other => panic!("docs/slots.md has a state that no test knows: {other}"),
    }
}

/// What the visitor writes, by its name in the table.
fn input(name: &str, state: &str) -> &'static str {
    let (text, by) = (state == "asked `reason`", state == "asked `by`");
    match name {
        "a value that fits" if text => "颜色不喜欢",
        "a value that fits" if by => "顺丰",
        "a value that fits" => "13812345678",
        "a value that does not fit" if text => "贵",
        "a value that does not fit" if by => "中通",
        "a value that does not fit" => "+1 415 555 2671",
        "a value of another slot" if by => "20261103887421 这个",
        "a value of another slot" => "顺丰",
        "a correction of `order`" => "不对，订单是20261103887422",
        "no value" if text => "🙂🙂",
        "no value" => "嗯嗯",
        "another question" => "我的快递怎么还没到",
        "I don't know" => "不知道",
        "cancel" => "算了",
        other => panic!("docs/slots.md has an input that no test knows: {other}"),
    }
}

fn turn(form: &Form, extractor: &Extractor, filling: Filling, text: &str) -> Turn {
    let entities = extractor.extract(text, &normalize(text));
    let matched = text.contains("怎么").then_some("delivery_delay");
    let message = Message { text, entities: &entities, matched, lang: None };
    form.fill(filling, &message, Moment::parse("2026-11-24").unwrap())
}

#[test]
fn the_table_of_the_docs_holds() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/slots.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let knowledge = known(TABLE);
    let (forms, extractor) = (Forms::new(&knowledge).unwrap(), Extractor::new(&knowledge).unwrap());
    let form = forms.get("cancel").unwrap();
    let table = docs.split("\n## ").find(|section| section.starts_with("The table")).unwrap();
    let mut rows = table
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<&str>>());
    let states = rows.next().unwrap();
    let mut seen = 0;
    for row in rows.skip(1) {
        assert_eq!(row.len(), states.len(), "{row:?}");
        for (state_name, expected) in states.iter().zip(&row).skip(1) {
            let filling = state(form, &extractor, state_name);
            let next = turn(form, &extractor, filling, input(row[0], state_name)).next;
            let slot = match &next {
                Next::Ask { slot, .. } | Next::Invalid { slot, .. } | Next::GiveUp { slot } => slot,
                Next::Complete { .. } | Next::Cancelled | Next::Digressed { .. } => "",
            };
            let found = format!("{} {slot}", Outcome::from(&next).name());
            assert_eq!(found.trim(), *expected, "{} / {state_name}", row[0]);
            seen += 1;
        }
    }
    assert_eq!(seen, 40, "eight inputs in five states");
}

const KNOWLEDGE: &str = r#"
version: 1
intents:
  - id: order_cancel
    keywords: [{any: [我要取消订单, cancel my order]}, {exact: [取消]}]
    examples:
      zh: [不想要了, 帮我撤单, 别发货了]
      en: [call it off please, do not ship it, stop the purchase]
    slots:
      - name: order_id
        entity: order_number
        required: true
        prompt: {zh: 请告诉我订单号。, en: "Which order?"}
        validate: {pattern: "[0-9]{6,14}"}
        invalid: {zh: "“{order_id}”不是订单号。", en: "“{order_id}” is no order number."}
      - {name: day, entity: date, required: true, prompt: {zh: 哪天取件？, en: "Pick up when?"}, validate: {min: today, max: today+7d}}
      - {name: color, entity: color, prompt: {}}
    confirm: {zh: "{day} 取走 {order_id}？", en: "Fetch {order_id} on {day}?"}
  - id: opening_hours
    keywords: [{any: [几点开门, opening hours]}]
    examples:
      zh: [几点上班, 周末营业吗, 客服时间]
      en: [when do you open, are you open on sunday, business hours]
entities:
  - name: color
    values: [{value: black, synonyms: [黑色]}]
"#;

/// Asks, and gives the answer's `slots` back.
fn ask(server: &TestServer, text: &str, slots: &Value) -> Value {
    let reply = server.post("/intent", json!({"text": text, "slots": slots}).to_string());
    assert_eq!(reply.status, 200, "{text}: {}", reply.body);
    reply.json()["slots"].clone()
}

/// What a caller sends with the next message: what the last answer said.
fn carried(slots: &Value) -> Value {
    let known: serde_json::Map<String, Value> = slots["filled"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let value = json!({"value": one["value"], "text": one["text"]});
            (one["name"].as_str().unwrap().to_owned(), value)
        })
        .collect();
    let mut next = json!({"intent": slots["intent"], "known": known, "tries": slots["tries"],
                          "now": "2026-11-24T09:00"});
    if let Some(asked) = slots["next"]["slot"].as_str() {
        next["asked"] = asked.into();
    }
    next["lang"] = slots["lang"].clone();
    next
}

#[test]
fn a_conversation_in_chinese() {
    let server = start_server_knowing(KNOWLEDGE);
    let slots = ask(&server, "我要取消订单，黑色那件", &json!({"now": "2026-11-24T09:00"}));
    assert_eq!(slots["next"], json!({"slot": "order_id", "prompt": "请告诉我订单号。"}));
    assert_eq!(slots["missing"], json!(["order_id", "day"]));
    assert_eq!(
        slots["filled"],
        json!([{"name": "color", "value": "black", "text": "黑色", "start": 7, "end": 9}])
    );

    let slots = ask(&server, "KF-2026-5519-01", &carried(&slots));
    assert_eq!((&slots["outcome"], &slots["tries"]), (&json!("invalid"), &json!(1)));
    assert_eq!(slots["invalid"][0]["message"], "“KF-2026-5519-01”不是订单号。");

    let slots = ask(&server, "现在几点开门", &carried(&slots));
    assert_eq!((&slots["outcome"], &slots["tries"]), (&json!("digressed"), &json!(1)));
    assert_eq!(slots["next"]["slot"], "order_id", "to be asked again");

    let slots = ask(&server, "774310", &carried(&slots));
    assert_eq!((&slots["outcome"], &slots["next"]["slot"]), (&json!("ask"), &json!("day")));

    let slots = ask(&server, "不对，是774311", &carried(&slots));
    let replaced = json!([{"name": "order_id", "before": "774310", "value": "774311"}]);
    assert_eq!(slots["replaced"], replaced);

    let slots = ask(&server, "周一", &carried(&slots));
    assert_eq!((&slots["complete"], &slots["next"]), (&json!(true), &json!(null)));
    assert_eq!(slots["confirm"], "2026-11-30 取走 774311？");
    assert_eq!(slots["filled"][1]["start"], 0);
    assert_eq!(slots["filled"][0]["start"], json!(null), "its message is not this one");
}

#[test]
fn a_conversation_in_english() {
    let server = start_server_knowing(KNOWLEDGE);
    let slots = ask(&server, "cancel my order 88120457", &json!({"now": "2026-11-24T09:00"}));
    assert_eq!(slots["next"]["prompt"], "Pick up when?");
    let slots = ask(&server, "last friday", &carried(&slots));
    assert_eq!(slots["invalid"][0]["value"], "2026-11-20");
    let slots = ask(&server, "I don't know", &carried(&slots));
    assert_eq!((&slots["outcome"], &slots["tries"]), (&json!("invalid"), &json!(2)));
    let again = ask(&server, "…", &carried(&slots));
    assert_eq!((&again["outcome"], &again["next"]), (&json!("give_up"), &json!(null)));
    let ended = ask(&server, "never mind", &carried(&slots));
    assert_eq!((&ended["outcome"], &ended["complete"]), (&json!("cancelled"), &json!(false)));
    let slots = ask(&server, "tomorrow", &carried(&slots));
    assert_eq!(slots["confirm"], "Fetch 88120457 on 2026-11-25?");
}

#[test]
fn slots_are_said_when_they_are_asked_for() {
    let server = start_server_knowing(KNOWLEDGE);
    let plain = server.post("/intent", json!({"text": "我要取消订单"}).to_string()).json();
    assert_eq!(plain["intent"], "order_cancel");
    assert_eq!(plain.get("slots"), None);
    assert_eq!(ask(&server, "opening hours", &json!({})), json!(null), "an intent without slots");
    let named = ask(&server, "opening hours", &json!({"intent": "opening_hours"}));
    assert_eq!((&named["complete"], &named["confirm"]), (&json!(true), &json!(null)));
    let named = ask(&server, "这个", &json!({"intent": "order_cancel"}));
    assert_eq!(named["next"]["slot"], "order_id", "a named intent need not match");
}

#[test]
fn bad_slots_are_refused() {
    let server = start_server_knowing(KNOWLEDGE);
    let long = "长".repeat(2_001);
    let rows = [
        ("an unknown intent", json!({"intent": "gone"}), "unknown_intent"),
        ("an unknown slot", json!({"intent": "order_cancel", "asked": "gone"}), "unknown_slot"),
        (
            "an unknown value",
            json!({"intent": "order_cancel", "known": {"gone": "x"}}),
            "unknown_slot",
        ),
        ("no intent", json!({"asked": "order_id"}), "invalid_request"),
        ("no intent for values", json!({"known": {"order_id": "774310"}}), "invalid_request"),
        ("an unknown field", json!({"intnet": "order_cancel"}), "invalid_request"),
        ("a wrong type", json!({"intent": 7}), "invalid_request"),
        ("a list", json!([]), "invalid_request"),
        ("a number as a value", json!({"known": {"order_id": 774310}}), "invalid_request"),
        ("too many tries", json!({"intent": "order_cancel", "tries": 3}), "invalid_request"),
        ("an unknown language", json!({"lang": "fr"}), "invalid_request"),
        ("no moment", json!({"now": "yesterday"}), "invalid_request"),
        (
            "a long value",
            json!({"intent": "order_cancel", "known": {"order_id": long}}),
            "text_too_long",
        ),
    ];
    for (name, slots, code) in rows {
        let reply = server.post("/intent", json!({"text": "取消", "slots": slots}).to_string());
        assert_eq!((reply.status, reply.code()), (422, json!(code)), "{name}: {}", reply.body);
        assert!(reply.body.len() < 1_000, "{name}: the answer repeats the input");
    }
}

#[test]
fn predict_shows_how_the_slots_begin() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("intents")).unwrap();
    std::fs::write(folder.path().join("intents/shop.yaml"), KNOWLEDGE).unwrap();
    let predict = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_train-intents"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("KEFU_") {
                command.env_remove(name);
            }
        }
        command.current_dir(folder.path()).env("KEFU_MODEL", TINY_MODEL);
        let output = command.args(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = predict(&["predict", "我要取消订单 88120457", "几点开门"]);
    assert!(said.contains("slot order_id: 88120457 (88120457)"), "{said}");
    assert!(said.contains("asks for day: 哪天取件？"), "{said}");
    assert_eq!(said.matches("asks for").count(), 1, "an intent without slots: {said}");
    let said = predict(&["--json", "predict", "cancel my order"]);
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(last["slots"]["next"], json!({"slot": "order_id", "prompt": "Which order?"}));
}
