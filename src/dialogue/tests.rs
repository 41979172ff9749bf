//! Conversations as tables, and what holds for all of them.

#[cfg(test)]
mod consent;
#[cfg(test)]
mod desk;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod random;
#[cfg(test)]
mod step;

use std::sync::LazyLock;

use proptest::prelude::*;

use super::form::{Form, Forms};
use super::report::SlotsReport;
use super::slots::{Event, Filled, Filling, MAX_TRIES, Message, Next, Turn};
use crate::intent::entity::date::calendar::Moment;
use crate::intent::entity::{Entity, Extractor};
use crate::intent::knowledge::{EntityKind, KnowledgeBase, Lang};
use crate::intent::normalize::normalize;
use crate::knowledge::parse;

const KNOWLEDGE: &str = r#"
version: 1
intents:
  - id: cancel
    keywords: [{exact: [取消, cancel]}]
    slots:
      - name: order
        entity: order_number
        required: true
        prompt: {zh: 订单号是多少, en: Which order}
        validate: {pattern: "[0-9]{6,14}"}
        invalid: {zh: "“{order}”不是订单号", en: "“{order}” is no order number"}
      - {name: phone, entity: phone, required: true, prompt: {zh: "订单 {order} 的手机号", en: "Phone for {order}"}}
      - {name: refund, entity: amount, prompt: {}, validate: {min: 0.01, max: 5000}}
      - {name: by, entity: courier, prompt: {zh: 哪家快递}}
    confirm: {zh: "取消 {order}，联系 {phone}？", en: "Cancel {order} and call {phone}?"}
  - id: window
    keywords: [{exact: [x2]}]
    slots:
      - {name: from, entity: date, required: true, prompt: {zh: 从哪天, en: From when}, validate: {min: today}}
      - {name: to, entity: date, required: true, prompt: {zh: 到哪天, en: Until when}, validate: {min: today, max: today+60d}}
    confirm: {zh: "{from} 到 {to}？"}
  - id: address
    keywords: [{exact: [x3]}]
    slots:
      - {name: order, entity: order_number, required: true, prompt: {zh: 单号}}
      - {name: address, entity: text, required: true, prompt: {zh: 新地址}, validate: {min_length: 4}, invalid: {zh: 地址太短}}
      - {name: phone, entity: phone, prompt: {zh: 电话}}
  - id: free
    keywords: [{exact: [x4]}]
    slots:
      - {name: note, entity: text, prompt: {zh: 备注}}
entities:
  - name: courier
    values: [{value: SF, synonyms: [顺丰]}]
"#;

static KNOWN: LazyLock<KnowledgeBase> =
    LazyLock::new(|| parse(&[("a.yaml".into(), KNOWLEDGE.to_owned())]).unwrap());
static FORMS: LazyLock<Forms> = LazyLock::new(|| Forms::new(&KNOWN).unwrap());
static EXTRACTOR: LazyLock<Extractor> = LazyLock::new(|| Extractor::new(&KNOWN).unwrap());

fn form(intent: &str) -> &'static Form {
    FORMS.get(intent).unwrap()
}

/// A Tuesday.
fn now() -> Moment {
    Moment::parse("2026-11-24T15:30").unwrap()
}

fn entities(text: &str) -> Vec<Entity> {
    EXTRACTOR.extract(text, &normalize(text))
}

/// One step; `text` is what the visitor wrote, with `@intent ` before it where the engine matched.
fn step(form: &Form, filling: Option<Filling>, said: &str) -> Turn {
    let (matched, text) = match said.strip_prefix('@').and_then(|rest| rest.split_once(' ')) {
        Some((intent, text)) => (Some(intent), text),
        None => (None, said),
    };
    let message = Message { text, entities: &entities(text), matched, lang: None };
    match filling {
        None => form.begin(&message, now()),
        Some(filling) => form.fill(filling, &message, now()),
    }
}

fn talk(intent: &str, said: &[&str]) -> Turn {
    let mut turn: Option<Turn> = None;
    for text in said {
        turn = Some(step(form(intent), turn.map(|turn| turn.filling), text));
    }
    turn.unwrap()
}

/// `slot=value …, what changed, what next`.
fn told(turn: &Turn) -> String {
    let form = form(&turn.filling.intent);
    let values = form.slots().filter_map(|slot| turn.filling.value(&slot.name));
    let mut parts: Vec<String> = values.map(|one| format!("{}={}", one.slot, one.value)).collect();
    parts.extend(turn.events.iter().filter_map(|event| match event {
        Event::Filled { .. } => None,
        Event::Replaced { slot, before } => Some(format!("({slot} was {before})")),
        Event::Refused { slot, value, .. } => Some(format!("({slot} not {value})")),
    }));
    parts.push(match &turn.next {
        Next::Ask { slot, .. } => format!("ask {slot}"),
        Next::Invalid { slot, .. } => format!("invalid {slot}"),
        Next::Complete { .. } => "complete".to_owned(),
        Next::GiveUp { slot } => format!("give up {slot}"),
        Next::Cancelled => "cancelled".to_owned(),
        Next::Digressed { intent } => format!("digressed {intent}"),
    });
    parts.join(" ")
}

#[test]
#[rustfmt::skip]
fn conversations() {
    let p = "13812345678";
    let rows: &[(&str, &str, &[&str], &str)] = &[
        ("nothing yet", "cancel", &["取消订单"], "ask order"),
        ("volunteered", "cancel", &["取消订单 20261103887421，顺丰发的"], "order=20261103887421 by=SF ask phone"),
        ("all at once", "cancel", &["cancel 20261103887421, call 13812345678"], "order=20261103887421 phone=+8613812345678 complete"),
        ("turn by turn", "cancel", &["取消订单", "20261103887421", p], "order=20261103887421 phone=+8613812345678 complete"),
        ("a bare short number", "cancel", &["cancel it please", "774310"], "order=774310 ask phone"),
        ("another slot first", "cancel", &["取消订单", p], "phone=+8613812345678 ask order"),
        ("the asked before another kind", "cancel", &["取消订单 20261103887421", "010-62345678"], "order=20261103887421 phone=+861062345678 complete"),
        ("surplus values stay out", "cancel", &["20261103887421 和 20261103887422"], "order=20261103887421 ask phone"),

        ("a volunteered value that does not fit", "cancel", &["cancel order KF-2026-5519"], "(order not KF-2026-5519) invalid order"),
        ("an answer that does not fit", "cancel", &["取消订单", "KF-2026-5519-01"], "(order not KF-2026-5519-01) invalid order"),
        ("an optional one that does not fit", "cancel", &["取消 20261103887421，退我 9000 元"], "order=20261103887421 (refund not CNY 9000.00) ask phone"),
        ("an answer without a value", "cancel", &["取消订单", "就是昨天那个"], "invalid order"),
        ("twice", "cancel", &["取消订单", "就是那个", "那个呀那个"], "invalid order"),
        ("three times", "cancel", &["取消订单", "就是那个", "那个呀那个", "哎呀"], "give up order"),
        ("three times, one refused", "cancel", &["cancel", "that one", "KF-2026-5519-01", "hm"], "give up order"),
        ("tries are of one question", "cancel", &["取消订单", "就是那个", "那个呀", "20261103887421", "啥", "嗯"], "order=20261103887421 invalid phone"),
        ("progress is no failed try", "cancel", &["取消订单", "就是那个", "那个呀", "顺丰发的", "哎呀"], "by=SF give up order"),

        ("I don't know", "cancel", &["取消订单", "不知道"], "invalid order"),
        ("I don't know, again", "cancel", &["cancel", "I don't know", "no idea"], "give up order"),
        ("I don't know, then a value", "cancel", &["cancel", "I don't have it", "20261103887421"], "order=20261103887421 ask phone"),
        ("never mind", "cancel", &["cancel my order", "never mind"], "cancelled"),
        ("算了", "cancel", &["取消订单 20261103887421", "算了吧"], "order=20261103887421 cancelled"),
        ("取消 urges a cancellation on", "cancel", &["取消订单", "取消！"], "invalid order"),
        ("算了 ends a cancellation", "cancel", &["取消订单", "@cancel 算了"], "cancelled"),
        ("取消 ends another form", "address", &["改地址", "@cancel 取消"], "cancelled"),

        ("another question", "cancel", &["取消订单", "@delay 我的快递怎么还没到"], "digressed delay"),
        ("the same intent is no other question", "cancel", &["取消订单", "@cancel 我要取消"], "invalid order"),
        ("a value in a question", "cancel", &["取消订单", "@delay 20261103887421 怎么还没到"], "order=20261103887421 ask phone"),
        ("a question replaces nothing", "cancel", &["取消订单 20261103887421", "@delay 20261103887422 怎么还没到"], "order=20261103887421 digressed delay"),
        ("back after a question", "cancel", &["取消订单", "@delay 怎么还没到", "20261103887421"], "order=20261103887421 ask phone"),

        ("不对，是", "cancel", &["取消订单 20261103887421", "不对，是20261103887422"], "order=20261103887422 (order was 20261103887421) ask phone"),
        ("no, it's", "cancel", &["cancel 20261103887421", "no, it's 20261103887422"], "order=20261103887422 (order was 20261103887421) ask phone"),
        ("a short number is corrected by another", "cancel", &["取消订单", "774310", "不对，是774311"], "order=774311 (order was 774310) ask phone"),
        ("a bare amount is corrected, not the order", "cancel", &["取消 20261103887421", "退我350元", "no, 3500"], "order=20261103887421 refund=3500.00 (refund was CNY 350.00) ask phone"),
        ("a second value", "cancel", &["取消订单 20261103887421", "20261103887422"], "order=20261103887422 (order was 20261103887421) ask phone"),
        ("not this but that", "cancel", &["取消 20261103887421", "不是20261103887421，是20261103887422"], "order=20261103887422 (order was 20261103887421) ask phone"),
        ("that, not this", "cancel", &["cancel 20261103887421", "it should be 20261103887422, not 20261103887421"], "order=20261103887422 (order was 20261103887421) ask phone"),
        ("not this", "cancel", &["取消订单", "不是774310"], "invalid order"),
        ("a question about two days replaces none", "window", &["从11月26日到11月28日", "@hours 11月26日和11月27日开门吗"], "from=2026-11-26 to=2026-11-28 digressed hours"),
        ("the same again", "cancel", &["取消 20261103887421", "不对，是20261103887421"], "order=20261103887421 invalid phone"),
        ("a correction that does not fit", "cancel", &["取消 20261103887421", "不对，是KF-2026-5519-01"], "order=20261103887421 (order not KF-2026-5519-01) invalid phone"),
        ("a correction of a refused answer", "cancel", &["取消订单", "KF-2026-5519-01", "写错了，20261103887421"], "order=20261103887421 ask phone"),
        ("after all is filled", "cancel", &["取消 20261103887421", p, "不对，订单是20261103887422"], "order=20261103887422 phone=+8613812345678 (order was 20261103887421) complete"),

        ("two of a kind, in their order", "window", &["从11月26日到11月28日"], "from=2026-11-26 to=2026-11-28 complete"),
        ("one of a kind: the first", "window", &["改到后天送"], "from=2026-11-26 ask to"),
        ("the asked of two", "window", &["后天", "大后天"], "from=2026-11-26 to=2026-11-27 complete"),
        ("a correction of the one before", "window", &["明天", "不对，是后天"], "from=2026-11-26 (from was 2026-11-25) ask to"),
        ("both anew", "window", &["明天", "不对，从11月26日到11月28日"], "from=2026-11-26 to=2026-11-28 (from was 2026-11-25) complete"),
        ("the latest of two", "window", &["从11月26日到11月28日", "actually November 29th"], "from=2026-11-26 to=2026-11-29 (to was 2026-11-28) complete"),
        ("a day in the past", "window", &["昨天"], "(from not 2026-11-23) invalid from"),
        ("a weekday is the next one", "window", &["monday"], "from=2026-11-30 ask to"),
        ("a week is whole", "window", &["下周", "next week"], "from=2026-W49 to=2026-W49 complete"),
        ("too late", "window", &["明天", "2027-06-01"], "from=2026-11-25 (to not 2027-06-01) invalid to"),

        ("a text only when asked", "free", &["帮我备注一下"], "complete"),
        ("a text takes all", "address", &["20261103887421", "杭州市文三路 88 号"], "order=20261103887421 address=杭州市文三路 88 号 complete"),
        ("a text and a value in it", "address", &["20261103887421", "文三路88号，13812345678"], "order=20261103887421 address=文三路88号，13812345678 phone=+8613812345678 complete"),
        ("a number in a text replaces nothing", "address", &["20261103887421", "文三路88号，门禁20261103887422"], "order=20261103887421 address=文三路88号，门禁20261103887422 complete"),
        ("a correction is no text", "address", &["20261103887421", "不对，订单是20261103887422"], "order=20261103887422 (order was 20261103887421) ask address"),
        ("a text like another intent", "address", &["20261103887421", "@delivery 送到公司前台去"], "order=20261103887421 address=送到公司前台去 complete"),
        ("a question is no text", "address", &["20261103887421", "@delay 我的快递怎么还没到？"], "order=20261103887421 digressed delay"),
        ("a text that is too short", "address", &["20261103887421", "公司"], "order=20261103887421 (address not 公司) invalid address"),
        ("nothing to read is no text", "address", &["20261103887421", "🙂🙂🙂🙂🙂"], "order=20261103887421 invalid address"),
        ("no text to give", "address", &["20261103887421", "不知道"], "order=20261103887421 invalid address"),
    ];
    let wrong: Vec<String> = rows
        .iter()
        .map(|(name, intent, said, expected)| (name, expected, told(&talk(intent, said))))
        .filter(|(_, expected, found)| *expected != found)
        .map(|(name, expected, found)| format!("{name}\n  expected: {expected}\n  found:    {found}"))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What the bot says, in the visitor's language.
#[test]
fn questions_speak_the_visitors_language() {
    let said = |turn: &Turn| match &turn.next {
        Next::Ask { prompt, .. } => prompt.clone(),
        Next::Invalid { message, prompt, .. } => {
            format!("{} / {prompt}", message.as_deref().unwrap_or("-"))
        }
        Next::Complete { confirm } => confirm.clone().unwrap_or_default(),
        next => format!("{next:?}"),
    };
    let rows: &[(&str, &str, &[&str], &str)] = &[
        ("Chinese", "cancel", &["取消订单"], "订单号是多少"),
        ("English", "cancel", &["cancel my order"], "Which order"),
        ("a value in it", "cancel", &["取消 20261103887421"], "订单 20261103887421 的手机号"),
        (
            "a number says no language",
            "cancel",
            &["取消订单", "20261103887421"],
            "订单 20261103887421 的手机号",
        ),
        (
            "the language may change",
            "cancel",
            &["取消订单", "it is 20261103887421"],
            "Phone for 20261103887421",
        ),
        (
            "what was refused",
            "cancel",
            &["取消订单", "KF-2026-5519-01"],
            "“KF-2026-5519-01”不是订单号 / 订单号是多少",
        ),
        (
            "what held no value",
            "cancel",
            &["cancel", "the red one"],
            "“the red one” is no order number / Which order",
        ),
        ("no message", "window", &["明天", "嗯嗯"], "- / 到哪天"),
        (
            "the other language",
            "window",
            &["from tomorrow to the 28th of november"],
            "2026-11-25 到 2026-11-28？",
        ),
        (
            "as it was written, or its value",
            "cancel",
            &["取消 20261103887421", "138 1234 5678"],
            "取消 20261103887421，联系 138 1234 5678？",
        ),
    ];
    for (name, intent, turns, expected) in rows {
        assert_eq!(said(&talk(intent, turns)), *expected, "{name}");
    }
    let long = talk("cancel", &["取消订单", &"长".repeat(500)]);
    assert!(said(&long).chars().count() < 100, "a message is quoted in part");
}

#[test]
fn an_answer_can_be_said_when_its_values_are_there() {
    let turn = talk("cancel", &["取消 20261103887421"]);
    let say = |text| form("cancel").say(text, &turn.filling);
    assert_eq!(say("{order} 已取消").as_deref(), Some("20261103887421 已取消"));
    assert_eq!(say("{order} 由 {by} 送"), None);
}

#[test]
fn values_lead_back_to_their_message() {
    let text = "😀 取消 ２０２６１１０３８８７４２１ 谢谢";
    let turn = talk("cancel", &[text]);
    let filled = turn.filling.value("order").unwrap();
    let chars: Vec<char> = text.chars().collect();
    let part: String = chars[filled.start.unwrap()..filled.end.unwrap()].iter().collect();
    assert_eq!((part.as_str(), filled.value.as_str()), (filled.text.as_str(), "20261103887421"));
    let address = talk("address", &["20261103887421", "  文三路 88 号\n"]);
    let filled = address.filling.value("address").unwrap();
    assert_eq!(
        (filled.text.as_str(), filled.start, filled.end),
        ("文三路 88 号", Some(2), Some(10))
    );
}

/// A state that is older than the knowledge base goes on.
#[test]
fn an_old_state_is_mended() {
    let old = r#"{"intent": "cancel", "lang": "zh", "asked": "gone", "tries": 2, "later": [1], "values": [
        {"slot": "gone", "entity": "text", "value": "x", "text": "x"},
        {"slot": "phone", "entity": "text", "value": "none", "text": "none"},
        {"slot": "order", "entity": "order_number", "value": "ABC", "text": "abc"},
        {"slot": "by", "entity": "courier", "value": "SF", "text": "顺丰"}]}"#;
    let old: Filling = serde_json::from_str(old).unwrap();
    let turn = step(form("cancel"), Some(old), "好的");
    assert_eq!(told(&turn), "by=SF (order not ABC) invalid order");
    assert_eq!((turn.filling.asked.as_deref(), turn.filling.tries), (Some("order"), 0));
    let bare: Filling = serde_json::from_str(r#"{"intent": "cancel", "lang": "en"}"#).unwrap();
    assert_eq!(told(&step(form("cancel"), Some(bare), "ok")), "ask order");
    // A day that has passed meanwhile is asked for again.
    let filling = talk("window", &["明天"]).filling;
    let message =
        Message { text: "后天", entities: &entities("后天"), matched: None, lang: None };
    let later = Moment::parse("2026-12-24").unwrap();
    let turn = form("window").fill(filling, &message, later);
    assert_eq!(told(&turn), "to=2026-12-26 (from not 2026-11-25) invalid from");
}

#[test]
fn callers_are_told() {
    let turn = talk("cancel", &["取消 20261103887421，退我9000元", "不对，20261103887422"]);
    let report = serde_json::to_value(SlotsReport::new(form("cancel"), &turn)).unwrap();
    assert_eq!(report["outcome"], "ask");
    assert_eq!(report["filled"][0]["value"], "20261103887422");
    assert_eq!(report["replaced"][0]["before"], "20261103887421");
    assert_eq!(report["missing"], serde_json::json!(["phone"]));
    assert_eq!(report["next"]["slot"], "phone");
    assert_eq!(report["complete"], false);
    let turn = talk("cancel", &["取消订单", "@delay 怎么还没到"]);
    let report = SlotsReport::new(form("cancel"), &turn);
    assert_eq!(report.next.map(|next| next.slot).as_deref(), Some("order"), "to be asked again");
    assert_eq!(report.outcome.name(), "digressed");
}

fn said() -> impl Strategy<Value = String> {
    let values = "[0-9]{5,14}|138[0-9]{8}|KF-2026-551[0-9]|[1-9]00元|顺丰|明天|后天|下周|11月2[0-9]日|friday";
    let words = "不对，|不是|no, |actually |取消|算了|不知道|skip|我的快递怎么还没到|@delay 怎么|@cancel |文三路88号| ";
    let part = prop_oneof![values, words, any::<String>()];
    proptest::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_value_is_lost_and_complete_means_complete(
        intent in prop_oneof![Just("cancel"), Just("window"), Just("address"), Just("free")],
        turns in proptest::collection::vec(said(), 1..9),
    ) {
        let form = form(intent);
        let mut filling: Option<Filling> = None;
        for text in &turns {
            let before: Vec<String> =
                filling.iter().flat_map(|old| &old.values).map(|one| one.slot.clone()).collect();
            let turn = step(form, filling.take(), text);
            for slot in before {
                prop_assert!(turn.filling.value(&slot).is_some(), "{slot} was lost by {text:?}");
            }
            let mut slots: Vec<&str> =
                turn.filling.values.iter().map(|one| one.slot.as_str()).collect();
            slots.sort_unstable();
            slots.dedup();
            prop_assert_eq!(slots.len(), turn.filling.values.len(), "one value a slot");
            prop_assert!(turn.filling.tries < MAX_TRIES);
            match &turn.next {
                Next::Complete { .. } => prop_assert!(form.missing(&turn.filling).is_empty()),
                Next::Ask { slot, .. } | Next::Invalid { slot, .. } => {
                    let missing = form.missing(&turn.filling);
                    prop_assert!(missing.iter().any(|one| one.name == *slot), "{slot}");
                    prop_assert_eq!(turn.filling.asked.as_ref(), Some(slot));
                }
                Next::GiveUp { .. } | Next::Cancelled => {
                    prop_assert_eq!(&turn.filling.asked, &None);
                }
                Next::Digressed { intent } => prop_assert_ne!(intent, form.intent()),
            }
            for one in &form.slots {
                if let Some(filled) = turn.filling.value(&one.slot.name) {
                    let again = one.check.accept(&one.slot.entity, &filled.value, now());
                    prop_assert_eq!(again.as_ref(), Ok(&filled.value), "valid, and stays so");
                }
            }
            let json = serde_json::to_string(&turn.filling).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Filling>(&json).unwrap(), &turn.filling);
            SlotsReport::new(form, &turn);
            filling = Some(turn.filling);
        }
    }

    /// A state may come from anywhere.
    #[test]
    fn any_state_is_taken(
        slot in "order|phone|from|to|gone", kind in "order_number|date|phone|x", value in any::<String>(),
        asked in proptest::option::of("order|phone|from|gone"), tries in any::<u8>(), text in said(),
    ) {
        let filled = Filled {
            slot, entity: EntityKind::from(kind), text: value.clone(), value, start: Some(9), end: None,
        };
        for form in [form("cancel"), form("window")] {
            let filling = Filling {
                asked: asked.clone(),
                tries,
                values: vec![filled.clone(), filled.clone()],
                ..Filling::new("other", Lang::Zh)
            };
            let turn = step(form, Some(filling), &text);
            prop_assert!(turn.filling.tries < MAX_TRIES || turn.filling.asked.is_some());
        }
    }
}
