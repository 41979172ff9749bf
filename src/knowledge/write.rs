//! Writes a knowledge base as YAML: the reverse of `format`, whole files only.
//!
//! Called by `crate::exchange`. It decides how things are laid out and quoted, and checks nothing:
//! what it is given comes back from [`super::parse`] as it was, but for files and lines.

use std::fmt::Write;

use crate::intent::knowledge::{
    Action, EntityDefinition, EntityRule, Example, Intent, KeywordRule, Lang, Localized, Slot,
    Validation,
};

/// Words that YAML readers of one version or another take for something else than text.
const RESERVED: [&str; 11] =
    ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"];

/// One file of the knowledge base. Examples stand by language, in their order otherwise.
pub fn file<'a>(
    topic: &str,
    intents: impl IntoIterator<Item = &'a Intent>,
    entities: &[EntityDefinition],
) -> String {
    let mut out = format!("version: 1\ntopic: {}\n", scalar(topic));
    let mut intents = intents.into_iter().peekable();
    if intents.peek().is_some() {
        out.push_str("intents:\n");
        intents.for_each(|one| intent(&mut out, one));
    }
    if !entities.is_empty() {
        out.push_str("entities:\n");
        entities.iter().for_each(|one| entity(&mut out, one));
    }
    out
}

/// One text as YAML writes it on one line, in block and flow context alike: as it is where no
/// reader could take it for something else, else in double quotes with escapes (YAML 1.2.2, 5.7).
pub(crate) fn scalar(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

fn is_plain(text: &str) -> bool {
    let harmless =
        |c: char| c.is_alphanumeric() || " _-'/.?!，。？！、；：（）《》“”‘’…".contains(c);
    text.chars().next().is_some_and(char::is_alphabetic)
        && !text.ends_with(' ')
        && text.chars().all(harmless)
        && !RESERVED.contains(&text.to_ascii_lowercase().as_str())
}

/// In double quotes, with escapes for what cannot stand as it is.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        let escaped = match c {
            '"' | '\\' => format!("\\{c}"),
            '\n' => "\\n".to_owned(),
            '\r' => "\\r".to_owned(),
            '\t' => "\\t".to_owned(),
            c if is_shown(c) => c.to_string(),
            c => match u32::from(c) {
                code @ ..=0xff => format!("\\x{code:02X}"),
                code @ ..=0xffff => format!("\\u{code:04X}"),
                code => format!("\\U{code:08X}"),
            },
        };
        out.push_str(&escaped);
    }
    out.push('"');
    out
}

/// False for what YAML does not allow as it is, breaks lines, or would hide from the reader's eyes.
pub(super) fn is_shown(c: char) -> bool {
    let noncharacter = u32::from(c) & 0xfffe == 0xfffe || ('\u{fdd0}'..='\u{fdef}').contains(&c);
    let hidden = matches!(
        c,
        '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    !(c.is_control() || noncharacter || hidden)
}

fn intent(out: &mut String, intent: &Intent) {
    line(out, 2, &format!("- id: {}", scalar(&intent.id)));
    texts(out, "title", &intent.title);
    lists(out, "answers", &intent.answers);
    if !intent.keywords.is_empty() {
        line(out, 4, "keywords:");
        intent.keywords.iter().for_each(|one| rule(out, one));
    }
    lists(out, "examples", &by_language(&intent.examples));
    lists(out, "negative_examples", &by_language(&intent.negative_examples));
    if !intent.slots.is_empty() {
        line(out, 4, "slots:");
        intent.slots.iter().for_each(|one| slot(out, one));
    }
    texts(out, "confirm", &intent.confirm);
    match &intent.action {
        Action::Reply => {}
        Action::Handoff => line(out, 4, "action: handoff"),
        Action::Webhook(hook) => {
            line(out, 4, &format!("action: {{webhook: {{url: {}}}}}", scalar(&hook.url)));
        }
    }
}

fn by_language(examples: &[Example]) -> Localized<Vec<String>> {
    let mut texts: Localized<Vec<String>> = Localized::new();
    for example in examples {
        texts.entry(example.lang).or_default().push(example.text.clone());
    }
    texts
}

fn texts(out: &mut String, key: &str, texts: &Localized<String>) {
    if !texts.is_empty() {
        line(out, 4, &format!("{key}:"));
    }
    for (lang, text) in texts {
        line(out, 6, &format!("{lang}: {}", scalar(text)));
    }
}

fn lists(out: &mut String, key: &str, lists: &Localized<Vec<String>>) {
    let lists: Vec<(&Lang, &Vec<String>)> =
        lists.iter().filter(|(_, texts)| !texts.is_empty()).collect();
    if !lists.is_empty() {
        line(out, 4, &format!("{key}:"));
    }
    for (lang, texts) in lists {
        line(out, 6, &format!("{lang}:"));
        texts.iter().for_each(|text| line(out, 8, &format!("- {}", scalar(text))));
    }
}

fn rule(out: &mut String, rule: &KeywordRule) {
    let lists =
        [("any", &rule.any), ("all", &rule.all), ("not", &rule.not), ("exact", &rule.exact)];
    let mut start = "- ";
    for (key, words) in lists.into_iter().filter(|(_, words)| !words.is_empty()) {
        line(out, 6, &format!("{start}{key}: {}", flow(words)));
        start = "  ";
    }
    if start == "- " {
        line(out, 6, "- {}");
    }
}

fn slot(out: &mut String, slot: &Slot) {
    line(out, 6, &format!("- name: {}", scalar(&slot.name)));
    line(out, 8, &format!("entity: {}", scalar(slot.entity.name())));
    if slot.required {
        line(out, 8, "required: true");
    }
    line(out, 8, &format!("prompt: {}", localized(&slot.prompt)));
    if let Some(rules) = &slot.validate {
        line(out, 8, &format!("validate: {}", validation(rules)));
    }
    if !slot.invalid.is_empty() {
        line(out, 8, &format!("invalid: {}", localized(&slot.invalid)));
    }
}

fn localized(texts: &Localized<String>) -> String {
    let texts: Vec<String> =
        texts.iter().map(|(lang, text)| format!("{lang}: {}", scalar(text))).collect();
    format!("{{{}}}", texts.join(", "))
}

fn validation(rules: &Validation) -> String {
    let Validation { pattern, one_of, min, max, min_length, max_length } = rules;
    let values = (!one_of.is_empty()).then(|| flow(one_of));
    let text = |value: &Option<String>| value.as_deref().map(scalar);
    let number = |value: &Option<u32>| value.map(|value| value.to_string());
    let all = [
        ("pattern", text(pattern)),
        ("one_of", values),
        ("min", text(min)),
        ("max", text(max)),
        ("min_length", number(min_length)),
        ("max_length", number(max_length)),
    ];
    let rules: Vec<String> =
        all.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}", value?))).collect();
    format!("{{{}}}", rules.join(", "))
}

fn entity(out: &mut String, entity: &EntityDefinition) {
    line(out, 2, &format!("- name: {}", scalar(&entity.name)));
    match &entity.rule {
        EntityRule::Pattern(pattern) => line(out, 4, &format!("pattern: {}", scalar(pattern))),
        EntityRule::Values(values) => {
            line(out, 4, "values:");
            for one in values {
                let value = scalar(&one.value);
                let row = if one.synonyms.is_empty() {
                    format!("- {{value: {value}}}")
                } else {
                    format!("- {{value: {value}, synonyms: {}}}", flow(&one.synonyms))
                };
                line(out, 6, &row);
            }
        }
    }
}

fn flow(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| scalar(word)).collect();
    format!("[{}]", words.join(", "))
}

fn line(out: &mut String, indent: usize, text: &str) {
    writeln!(out, "{:indent$}{text}", "").expect("a String takes every write");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::intent::knowledge::{EntityKind, EntityValue, KnowledgeBase, Webhook};
    use crate::knowledge;

    /// A knowledge base without the places of its examples.
    fn without_places(mut knowledge: KnowledgeBase) -> KnowledgeBase {
        for intent in &mut knowledge.intents {
            for one in intent.examples.iter_mut().chain(&mut intent.negative_examples) {
                (one.file, one.line) = (String::new(), 0);
            }
        }
        knowledge
    }

    fn read_back(knowledge: &KnowledgeBase) -> KnowledgeBase {
        let text = file("all", &knowledge.intents, &knowledge.entities);
        let read = knowledge::parse(&[("a.yaml".into(), text.clone())]);
        without_places(read.unwrap_or_else(|findings| panic!("{findings:#?}\n{text}")))
    }

    #[test]
    fn the_bundled_knowledge_base_comes_back_as_it_was() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("intents");
        let knowledge = without_places(knowledge::load(&folder).unwrap());
        assert_eq!(read_back(&knowledge), knowledge);
    }

    #[test]
    fn quotes_stand_where_they_must() {
        for (text, expected) in [
            ("my parcel is late", "my parcel is late"),
            ("我的快递呢？", "我的快递呢？"),
            ("it's late", "it's late"),
            ("", "\"\""),
            ("yes", "\"yes\""),
            ("OFF", "\"OFF\""),
            ("12", "\"12\""),
            ("-x", "\"-x\""),
            ("a: b", "\"a: b\""),
            ("a #b", "\"a #b\""),
            ("a, b", "\"a, b\""),
            ("[a]", "\"[a]\""),
            ("say \"hi\" \\o/", "\"say \\\"hi\\\" \\\\o/\""),
            ("two\nlines\t", "\"two\\nlines\\t\""),
            ("好\u{0}\u{85}\u{feff}\u{1fffe}", "\"好\\x00\\x85\\uFEFF\\U0001FFFE\""),
            ("👨\u{200d}👩 ok", "\"👨\u{200d}👩 ok\""),
            ("trailing ", "\"trailing \""),
        ] {
            assert_eq!(scalar(text), expected, "{text:?}");
        }
    }

    /// Everything that an intent can have, with the same text everywhere.
    fn full(text: &str) -> KnowledgeBase {
        let both = |text: &str| Localized::from([(Lang::Zh, text.to_owned())]);
        // Examples and spellings must show something.
        let seen = format!("x{text}");
        let example = |lang| Example { text: seen.clone(), lang, file: String::new(), line: 0 };
        // Braces would name a slot.
        let said = text.replace(['{', '}'], "");
        let slot = |name: &str, entity, validate| Slot {
            name: name.to_owned(),
            entity,
            required: false,
            prompt: both(&said),
            validate: Some(validate),
            invalid: both(&said),
        };
        let days = Validation {
            min: Some("2026-01-01".to_owned()),
            max: Some("today+30d".to_owned()),
            ..Validation::default()
        };
        let words = Validation {
            pattern: Some(regex::escape(text)),
            min_length: Some(1),
            max_length: Some(9),
            ..Validation::default()
        };
        let kinds = Validation { one_of: vec!["c".to_owned()], ..Validation::default() };
        let intent = Intent {
            id: "a/b-c_1".to_owned(),
            title: both(text),
            answers: Localized::from([(Lang::En, vec![said.clone(), "ok".to_owned()])]),
            keywords: vec![
                KeywordRule {
                    any: vec![seen.clone()],
                    not: vec![text.to_owned()],
                    ..Default::default()
                },
                KeywordRule { all: vec![seen.clone()], ..Default::default() },
                KeywordRule { exact: vec![seen.clone(), "b".to_owned()], ..Default::default() },
            ],
            examples: vec![example(Lang::Zh), example(Lang::En)],
            negative_examples: vec![example(Lang::En)],
            slots: vec![
                slot("day", EntityKind::Date, days),
                slot("words", EntityKind::Text, words),
                slot("which", EntityKind::Custom("kind".to_owned()), kinds),
            ],
            confirm: both(&said),
            action: Action::Webhook(Webhook { url: format!("https://shop.example/{text}") }),
        };
        let value =
            EntityValue { value: seen.clone(), synonyms: vec![seen.clone(), "b".to_owned()] };
        let bare = EntityValue { value: "c".to_owned(), synonyms: vec![] };
        let pattern = regex::escape(&seen);
        let entities = vec![
            EntityDefinition {
                name: "kind".to_owned(),
                rule: EntityRule::Values(if seen == "xb" || seen == "xc" {
                    vec![bare]
                } else {
                    vec![value, bare]
                }),
            },
            EntityDefinition { name: "mark".to_owned(), rule: EntityRule::Pattern(pattern) },
        ];
        KnowledgeBase { intents: vec![intent], entities }
    }

    #[test]
    fn a_handoff_and_an_intent_of_keywords_come_back() {
        let mut knowledge = full("好");
        knowledge.intents[0].action = Action::Handoff;
        knowledge.intents[0].examples.clear();
        assert_eq!(read_back(&knowledge), knowledge);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn any_text_survives(text in any::<String>()) {
            let knowledge = full(&text);
            prop_assert_eq!(read_back(&knowledge), knowledge);
        }

        #[test]
        fn troublesome_texts_survive(text in "([-?:,\\[\\]{}#&*!|>'\"%@`~= \\\\\t\r\n0-9a-eé好👍\u{0}\u{7f}\u{85}\u{a0}\u{200b}\u{2028}\u{feff}\u{fffe}]|true|yes|null|<<|---){0,12}") {
            let knowledge = full(&text);
            prop_assert_eq!(read_back(&knowledge), knowledge);
        }
    }
}
