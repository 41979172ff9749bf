//! What goes out to a format and comes back is what it was.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::intent::knowledge::{EntityRule, EntityValue, Intent};

/// An entity as sets, so that the order of spellings does not matter.
type Entity = Result<BTreeMap<String, BTreeSet<String>>, String>;
/// What a round trip must keep, in no order.
type Essence = (BTreeMap<String, BTreeSet<String>>, BTreeMap<String, Entity>, BTreeSet<String>);

fn essence(knowledge: &KnowledgeBase, out_of_scope: &[String]) -> Essence {
    let texts = |one: &Intent| one.examples.iter().map(|example| example.text.clone()).collect();
    let reachable = knowledge.intents.iter().filter(|one| !one.examples.is_empty());
    let intents = reachable.map(|one| (one.id.clone(), texts(one))).collect();
    let value = |one: &EntityValue| (one.value.clone(), one.synonyms.iter().cloned().collect());
    let rule = |rule: &EntityRule| match rule {
        EntityRule::Values(values) => Ok(values.iter().map(value).collect()),
        EntityRule::Pattern(pattern) => Err(pattern.clone()),
    };
    let entities =
        knowledge.entities.iter().map(|one| (one.name.clone(), rule(&one.rule))).collect();
    (intents, entities, out_of_scope.iter().cloned().collect())
}

/// There and back; the essence that came back, and the report of the way there.
fn there_and_back(
    format: Format,
    knowledge: &KnowledgeBase,
    out_of_scope: &[String],
) -> (Essence, Report) {
    let exported = export(format, knowledge, &knowledge::Places::default(), out_of_scope);
    let source = |(name, text): (String, String)| {
        let name = if name.is_empty() { format!("out.{format}") } else { name };
        Source { path: Path::new("out").join(name), text }
    };
    let sources: Vec<Source> = exported.files.into_iter().map(source).collect();
    let back = import(format, "out".as_ref(), &sources, None);
    let back = back.unwrap_or_else(|faults| panic!("{format}: {faults:#?}"));
    let beyond: Vec<String> = back.out_of_scope.iter().map(|one| one.0.clone()).collect();
    (essence(&back.knowledge, &beyond), exported.report)
}

#[test]
fn the_bundled_knowledge_base_goes_there_and_back() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let knowledge = knowledge::load(&root.join("intents")).unwrap();
    let rows = std::fs::read_to_string(root.join("training-data/oos.jsonl")).unwrap();
    let row = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].clone();
    let beyond: Vec<String> = rows.lines().map(|line| row(line).as_str().unwrap().into()).collect();
    let whole = essence(&knowledge, &beyond);
    for format in
        [Format::Rasa, Format::Dialogflow, Format::Clu, Format::Csv, Format::Tsv, Format::Jsonl]
    {
        let (back, report) = there_and_back(format, &knowledge, &beyond);
        assert_eq!(back.0, whole.0, "{format}: intents and examples");
        let has_entities = matches!(format, Format::Rasa | Format::Dialogflow | Format::Clu);
        let wanted = if has_entities { whole.1.clone() } else { BTreeMap::new() };
        assert_eq!(back.1, wanted, "{format}: entities");
        assert_eq!(back.2, whole.2, "{format}: out of scope");
        assert!(report.left_out.iter().any(|one| one.what == "keyword rules"), "{format}");
    }
}

/// An intent a text, as an import would take it, and an entity of the first word.
fn knowledge_of(texts: &[String], word: Option<&String>) -> KnowledgeBase {
    let mut draft = draft::Draft::new(Format::Csv, None);
    let place = Place { file: "a".into(), line: 1, column: 1 };
    for (number, text) in texts.iter().enumerate() {
        draft.example((&format!("faq/i-{number}"), ""), text, None, place.clone());
    }
    if let Some(word) = word {
        let (value, synonyms) = (format!("v{word}v"), vec![format!("s{word}s")]);
        let one = draft::DraftValue { value, synonyms, place: place.clone() };
        draft.entity("thing", &place).values.push(one);
    }
    assemble::assemble(draft, &place).unwrap().knowledge
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// What a format can hold comes back; the rest is in the report.
    #[test]
    fn odd_texts_go_there_and_back(
        texts in prop::collection::vec("[a-z好,;\t\"'#:|>\\-{}()\\[\\]\n\\\\ \u{2028}👍]{0,10}x", 1..4),
        word in prop::option::of("[a-z好,\"'#:\\-{}\\[\\]\\\\ 👍]{0,6}"),
    ) {
        let texts: Vec<String> = texts.iter().map(|text| text.trim().to_owned()).collect();
        let knowledge = knowledge_of(&texts, word.as_ref());
        let whole = essence(&knowledge, &[]);
        for format in [Format::Dialogflow, Format::Clu, Format::Csv, Format::Tsv, Format::Jsonl] {
            let (back, report) = there_and_back(format, &knowledge, &[]);
            prop_assert_eq!(&back.0, &whole.0, "{}", format);
            if matches!(format, Format::Dialogflow | Format::Clu) {
                prop_assert_eq!(&back.1, &whole.1, "{}", format);
            }
            prop_assert!(!report.left_out.iter().any(|one| one.what.contains("examples")));
        }
        let exported = export(Format::Rasa, &knowledge, &knowledge::Places::default(), &[]);
        let lost: usize = exported.report.left_out.iter().filter(|one| one.what.contains("brackets")).map(|one| one.count).sum();
        if lost == 0 {
            let (back, _) = there_and_back(Format::Rasa, &knowledge, &[]);
            prop_assert_eq!(&back.0, &whole.0);
            prop_assert_eq!(&back.1, &whole.1);
        }
    }
}
