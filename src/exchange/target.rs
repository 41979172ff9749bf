//! What exports have in common: the parts of a knowledge base that a format has no place for.

use super::report::Report;
use super::{Format, clu, dialogflow, rasa, rows};
use crate::intent::knowledge::{Action, Example, Intent, KnowledgeBase};
use crate::knowledge::{Place, Places};

/// Files of another system, with what did not fit.
#[derive(Debug)]
pub struct Exported {
    /// Path within the folder, and text. A format of a single file has one, with an empty path.
    pub files: Vec<(String, String)>,
    /// What was carried over and what was not.
    pub report: Report,
}

/// Files of `format` with what `knowledge` and the out-of-scope sentences say.
///
/// # Panics
/// For [`Format::Luis`], which nobody can be asked to write: the service has ended.
pub fn export(
    format: Format,
    knowledge: &KnowledgeBase,
    places: &Places,
    out_of_scope: &[String],
) -> Exported {
    let mut report = Report::new(format);
    report.count(knowledge, out_of_scope.len());
    let mut target = Target { knowledge, places, out_of_scope, report };
    let files = match format {
        Format::Rasa => rasa::write(&mut target),
        Format::Dialogflow => dialogflow::write(&mut target),
        Format::Clu => clu::write(&mut target),
        Format::Csv | Format::Tsv | Format::Jsonl => rows::write(format, &mut target),
        Format::Luis => unreachable!("the command line offers no export to LUIS"),
    };
    Exported { files, report: target.report }
}

/// What an export reads, and its account.
pub(super) struct Target<'a> {
    pub(super) knowledge: &'a KnowledgeBase,
    pub(super) places: &'a Places,
    pub(super) out_of_scope: &'a [String],
    pub(super) report: Report,
}

/// Parts of an intent that a format may have no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Title,
    Answers,
    Keywords,
    NegativeExamples,
    Slots,
    Confirm,
    Action,
}

impl Target<'_> {
    /// Accounts for the parts that the format has no room for.
    pub(super) fn leave_parts(&mut self, parts: &[Part]) {
        for intent in &self.knowledge.intents {
            let place = self.place_of_intent(&intent.id);
            for &part in parts {
                let (what, count) = part.of(intent);
                for _ in 0..count {
                    let why = format!("{} has no place for them", self.report.format);
                    self.report.leave(what, place.as_ref(), why, part.advice());
                }
            }
        }
        let carried = &mut self.report.carried;
        if parts.contains(&Part::Answers) {
            carried.answers = 0;
        }
        if parts.contains(&Part::Slots) {
            carried.slots = 0;
        }
    }

    /// Accounts for intents without examples, which no other system can find.
    pub(super) fn leave_unreachable(&mut self) {
        for intent in &self.knowledge.intents {
            if intent.examples.is_empty() {
                let place = self.place_of_intent(&intent.id);
                let what = format!("the intent {:?}", intent.id);
                let why = "it lives by keywords alone and has no examples";
                self.report.leave(what, place.as_ref(), why, "write examples for it");
                self.report.carried.intents -= 1;
            }
        }
    }

    /// Accounts for entities, where the format has none.
    pub(super) fn leave_entities(&mut self) {
        for entity in &self.knowledge.entities {
            let why = format!("{} has no entities", self.report.format);
            let advice = "copy them into the other system by hand";
            self.report.leave(format!("the entity {:?}", entity.name), None, why, advice);
        }
        (self.report.carried.entities, self.report.carried.values) = (0, 0);
    }

    /// Where an example stands; its file as the knowledge base knows it.
    pub(super) fn place_of(&self, example: &Example) -> Place {
        Place { file: example.file.clone().into(), line: example.line.into(), column: 1 }
    }

    /// Where the intent `id` stands.
    pub(super) fn place_of_intent(&self, id: &str) -> Option<Place> {
        let number = self.knowledge.position(id)?;
        self.places.intents.get(number as usize).map(|known| known.id.clone())
    }

    /// The intents that have examples.
    pub(super) fn intents(&self) -> impl Iterator<Item = &Intent> {
        self.knowledge.intents.iter().filter(|intent| !intent.examples.is_empty())
    }
}

impl Part {
    /// What it is called in a report, and how many of them an intent has.
    fn of(self, intent: &Intent) -> (&'static str, usize) {
        match self {
            Part::Title => ("titles", intent.title.len()),
            Part::Answers => ("answers", intent.answers.values().map(Vec::len).sum()),
            Part::Keywords => ("keyword rules", intent.keywords.len()),
            Part::NegativeExamples => ("negative examples", intent.negative_examples.len()),
            Part::Slots => ("slots", intent.slots.len()),
            Part::Confirm => ("confirmation questions", intent.confirm.len()),
            Part::Action => match intent.action {
                Action::Reply => ("replies", 0),
                Action::Handoff => ("hand-offs to a person", 1),
                Action::Webhook(_) => ("webhooks", 1),
            },
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Part::Title => "nothing; the id is the name",
            Part::Answers => "write them in the other system",
            Part::Keywords => "keep their words in examples",
            Part::NegativeExamples => "nothing; they are examples of no intent",
            Part::Slots | Part::Confirm | Part::Action => "build it in the other system",
        }
    }
}
