//! Slots in files, good and bad.

use std::path::PathBuf;

use crate::intent::knowledge::{KnowledgeBase, Lang};
use crate::knowledge::{Finding, parse};

const GOOD: &str = r#"
version: 1
intents:
  - id: delivery_date
    answers: {zh: [好的], en: ["Done, {day}"]}
    examples: {zh: [改天送]}
    slots:
      - name: order_id
        entity: order_number
        required: true
        prompt: {zh: 单号, en: Which order}
        validate: {pattern: "[0-9]{8}"}
        invalid: {zh: "{order_id} 不对", en: "{order_id} is none"}
      - name: day
        entity: date
        required: true
        prompt: {zh: "{order_id} 哪天送", en: Which day}
        validate: {min: today, max: today+30d}
      - name: fee
        entity: amount
        prompt: {zh: 运费}
        validate: {min: 0.01, max: 5000, one_of: [CNY 5.00, "10.00"]}
      - name: note
        entity: text
        prompt: {}
        validate: {min_length: 2, max_length: 40}
      - name: by
        entity: courier
        prompt: {}
        validate: {one_of: [顺丰]}
    confirm: {zh: "{order_id} {day}？"}
entities:
  - name: courier
    values: [{value: 顺丰, synonyms: [sf]}, {value: 中通}]
"#;

fn one(text: &str) -> Result<KnowledgeBase, Vec<Finding>> {
    parse(&[(PathBuf::from("intents/a.yaml"), text.to_owned())])
}

#[test]
fn slots_are_read_whole() {
    let knowledge = one(GOOD).unwrap();
    let slots = &knowledge.intents[0].slots;
    assert_eq!(slots[0].invalid[&Lang::En], "{order_id} is none");
    let rules = |slot: usize| slots[slot].validate.clone().unwrap();
    assert_eq!(rules(0).pattern.as_deref(), Some("[0-9]{8}"));
    assert_eq!(rules(1).max.as_deref(), Some("today+30d"));
    assert_eq!((rules(2).min.as_deref(), rules(2).max.as_deref()), (Some("0.01"), Some("5000")));
    assert_eq!((rules(3).min_length, rules(3).max_length), (Some(2), Some(40)));
    // An artifact carries them as JSON; one from before has neither.
    let json = serde_json::to_string(&knowledge).unwrap();
    assert_eq!(serde_json::from_str::<KnowledgeBase>(&json).unwrap(), knowledge);
    let before = r#"{"name": "n", "entity": "text", "required": true, "prompt": {"zh": "?"}}"#;
    let slot: crate::intent::knowledge::Slot = serde_json::from_str(before).unwrap();
    assert_eq!((slot.validate, slot.invalid.len()), (None, 0));
}

/// Each row breaks the good file in one place.
#[test]
fn faults_are_found_at_their_place() {
    for (name, from, to, expected) in [
        ("malformed name", "name: fee", "name: The Fee", "19:15: KB003: the slot"),
        ("twice", "name: fee", "name: day", "19:15: KB014: the slot \"day\" stands in line 14"),
        ("min on an own entity", "one_of: [顺丰]", "min: 1", "30:25: KB015: min is for amount"),
        ("pattern on a date", "{min: today, max: today+30d}", "{pattern: x}", "18:29: KB015"),
        ("length of an amount", "one_of: [CNY 5.00, \"10.00\"]", "max_length: 3", "KB015"),
        ("unknown key", "max_length: 40", "maxlength: 40", "26:35: KB001"),
        ("wrong type", "max_length: 40", "max_length: x", "26:47: KB001"),
        ("no bound", "min: today", "min: [1]", "KB001: invalid type"),
        ("bad regex", "[0-9]{8}", "[0-9", "12:29: KB016: the pattern is no regular expression"),
        ("brackets of ours", "[0-9]{8}", "a)(b", "12:29: KB016"),
        ("no amount", "min: 0.01", "min: -1", "22:25: KB016: \"-1\" is no bound of amount"),
        ("no day", "max: today+30d", "max: tomorrow", "18:37: KB016"),
        ("min above max", "min: 0.01", "min: 5000.5", "22:38: KB016: max is below min"),
        ("days crossed", "min: today,", "min: today+31d,", "KB016: max is below min"),
        ("lengths crossed", "min_length: 2", "min_length: 41", "26:48: KB016"),
        ("asks nothing", "{pattern: \"[0-9]{8}\"}", "{}", "12:19: KB016: validate asks nothing"),
        ("never an amount", "\"10.00\"", "ten", "22:61: KB016: \"ten\" is no value of amount"),
        ("a synonym", "[顺丰]}", "[sf]}", "30:29: KB016: \"sf\" is no value of courier"),
        ("unknown entity", "entity: courier", "entity: colour", "28:17: KB010"),
        ("no prompt in a language", "en: Which day", "", "14:15: KB017: the slot \"day\""),
        ("no prompt", "{zh: \"{order_id} 哪天送\", en: Which day}", "{}", "in zh, en"),
        ("unknown in confirm", "{day}？", "{date}？", "31:19: KB007: {date}"),
        ("unknown in an answer", "Done, {day}", "Done, {date}", "5:30: KB007"),
        ("unknown in a prompt", "{order_id} 哪天送", "{order} 哪天送", "17:22: KB007"),
        ("optional in confirm", "{day}？", "{fee}？", "31:19: KB018: {fee} may have no value"),
        ("later in a prompt", "zh: 单号", "zh: \"{day}\"", "11:22: KB018: {day}"),
        ("itself in a prompt", "zh: 单号", "zh: \"{order_id}\"", "11:22: KB018"),
    ] {
        assert!(GOOD.contains(from), "{name}");
        let findings = one(&GOOD.replacen(from, to, 1)).expect_err(name);
        assert_eq!(findings.len(), 1, "{name}: {findings:?}");
        let line = findings[0].to_string();
        assert!(line.contains(expected), "{name}: {line}");
        assert!(!line.contains('\n'), "{name}: {line}");
    }
}
