//! Rasa 2.x and 3.x: training data (`nlu.rs`) and what of a domain fits (`domain.rs`), spread over
//! any number of YAML files. Stories, rules, forms and slots have no counterpart here.

mod domain;
mod markup;
mod nlu;
mod write;

use super::detect::is_old_rasa;
use super::draft::Draft;
use super::node::{At, Node, Reading, Value};
use super::{Fault, Source, yaml};
pub(super) use write::write;

/// Keys of a file that have no counterpart, and what to do about each.
const LEFT_OUT: [(&str, &str); 10] = [
    ("stories", "write answers, or a webhook"),
    ("rules", "write answers, or a webhook"),
    ("forms", "write slots with prompts"),
    ("slots", "write slots with prompts"),
    ("actions", "write a webhook"),
    ("e2e_actions", "write a webhook"),
    ("session_config", "nothing"),
    ("imports", "name the folder that holds all files"),
    ("test_cases", "write rows for train-intents eval"),
    ("flows", "write answers, or a webhook"),
];
/// Keys that are read in one of the passes below.
const READ: [&str; 5] = ["version", "nlu", "responses", "intents", "entities"];

pub(super) fn read(sources: &[Source], draft: &mut Draft) {
    let mut files = Vec::new();
    for source in sources {
        let mut reading = Reading::new(source);
        if is_old_rasa(source) {
            let reason = "this is training data of Rasa 1.x; make YAML of it first, with the command \
                          `rasa data convert nlu` of Rasa 2.8";
            reading.fault(At::START, reason);
        } else if source.extension() != "md" {
            match parse(source) {
                Ok(Some(node)) => files.push((source, node)),
                Ok(None) => draft.report.notes.push(format!(
                    "{} has no training data and was not read",
                    source.path.display()
                )),
                Err(fault) => reading.faults.push(fault),
            }
        }
        draft.faults.append(&mut reading.faults);
    }
    // What Rasa ties to no entity is settled when all entities are known, whichever file they are in.
    let mut loose = nlu::Loose::default();
    let pass = |draft: &mut Draft, step: &mut dyn FnMut(&mut Reading<'_>, &Node, &mut Draft)| {
        for (source, node) in &files {
            let mut reading = Reading::new(source);
            step(&mut reading, node, draft);
            draft.faults.append(&mut reading.faults);
            for place in reading.skipped {
                let why = "rasa skips them too";
                draft.leave("commented lines in examples", &place, why, "nothing");
            }
        }
    };
    pass(draft, &mut |reading, node, draft| {
        loose.learn_synonyms(reading, node);
        domain::entities(reading, node, draft);
    });
    pass(draft, &mut |reading, node, draft| {
        nlu::read(reading, node, &mut loose, draft);
        leave(reading, node, draft);
    });
    loose.settle(draft);
    pass(draft, &mut |reading, node, draft| {
        domain::responses(reading, node, draft);
        domain::intents(reading, node, draft);
    });
}

/// The file as a map; none for configurations and others without training data.
fn parse(source: &Source) -> Result<Option<Node>, Fault> {
    let fault = |at, reason| Fault { place: source.place(at), reason };
    if source.text.trim().is_empty() {
        let reason = "the file is empty; it needs nlu: with intents".to_owned();
        return Err(fault(At::START, reason));
    }
    let node = yaml::parse(&source.text).map_err(|(at, reason)| fault(at, reason))?;
    // A file of comments, as `rasa init` writes one.
    if node.value == Value::Null {
        return Ok(None);
    }
    if !matches!(node.value, Value::Map(_)) {
        let reason = format!("the file is {}, and must have keys such as nlu:", node.kind());
        return Err(fault(node.at, reason));
    }
    let is_known = |key: &str| READ[1..].contains(&key) || LEFT_OUT.iter().any(|row| row.0 == key);
    let is_training = node.fields().iter().any(|(key, _)| is_known(key));
    Ok(is_training.then_some(node))
}

/// Accounts for what a file has besides training data and answers.
fn leave(reading: &Reading<'_>, node: &Node, draft: &mut Draft) {
    for (key, value) in node.fields() {
        let place = reading.place(value.at);
        if let Some((key, advice)) = LEFT_OUT.iter().find(|row| row.0 == key) {
            let count = match &value.value {
                Value::Map(fields) => fields.len(),
                Value::List(entries) => entries.len(),
                Value::Null => 0,
                _ => 1,
            };
            for _ in 0..count {
                draft.leave(*key, &place, "kefu has nothing of this kind", advice);
            }
        } else if !READ.contains(&key.as_str()) {
            draft.leave(format!("the key {key:?}"), &place, "kefu does not know it", "nothing");
        }
    }
}
