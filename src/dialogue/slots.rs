//! Fills the slots of an intent, message by message: a pure step from a state and a message to the
//! next state and what to say.
//!
//! The state is plain data and is stored with the conversation. It may be older than the knowledge
//! base: what that no longer has is dropped, what is new is asked for. `docs/slots.md` has the
//! table of states and inputs; a test reads it.

use serde::{Deserialize, Serialize};

use super::assign::assign;
use super::form::Form;
use super::words;
use crate::intent::entity::Entity;
use crate::intent::entity::date::calendar::Moment;
use crate::intent::knowledge::{EntityKind, Lang, Slot};

/// Failed answers to one question, after which the bot gives up. A third wrong answer is no slip:
/// the visitor does not have the value, or the bot does not understand, and both are for a human.
pub const MAX_TRIES: u8 = 3;

/// How far a form is filled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filling {
    /// Id of the intent.
    pub intent: String,
    /// The values, in the order in which they came.
    #[serde(default)]
    pub values: Vec<Filled>,
    /// The slot that the bot asked for last.
    #[serde(default)]
    pub asked: Option<String>,
    /// Failed answers to that question.
    #[serde(default)]
    pub tries: u8,
    /// The language to speak.
    pub lang: Lang,
}

/// A slot's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filled {
    /// Name of the slot.
    pub slot: String,
    /// The kind of the value.
    pub entity: EntityKind,
    /// One spelling for all ways to write the same; a date is a day of the calendar.
    pub value: String,
    /// As the visitor wrote it.
    pub text: String,
    /// First character in the message that it came with; none when that is not known.
    #[serde(default)]
    pub start: Option<usize>,
    /// One past the last character.
    #[serde(default)]
    pub end: Option<usize>,
}

/// What the visitor wrote, and what the engine made of it.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The text as written.
    pub text: &'a str,
    /// The values in it.
    pub entities: &'a [Entity],
    /// The intent that the engine matched, if it matched one.
    pub matched: Option<&'a str>,
    /// The language to answer in; none: as the message shows, else as before.
    pub lang: Option<Lang>,
}

/// A step: the next state, what changed, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The next state.
    pub filling: Filling,
    /// What the message changed, in the order of the slots' kinds.
    pub events: Vec<Event>,
    /// What to do now.
    pub next: Next,
}

/// What a message did to a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The slot got its value.
    Filled {
        /// Which.
        slot: String,
    },
    /// The slot got another value.
    Replaced {
        /// Which.
        slot: String,
        /// The value that it had.
        before: String,
    },
    /// A value did not fulfil what the slot asks; the slot is as it was.
    Refused {
        /// Which.
        slot: String,
        /// The value as it was understood.
        value: String,
        /// As the visitor wrote it.
        text: String,
    },
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Ask for a slot.
    Ask {
        /// Which.
        slot: String,
        /// How.
        prompt: String,
    },
    /// The answer does not do: say why and ask again.
    Invalid {
        /// Which slot.
        slot: String,
        /// The value that was refused; none when the answer held none.
        value: Option<String>,
        /// What to say of it.
        message: Option<String>,
        /// How to ask again.
        prompt: String,
    },
    /// Every required slot has a valid value.
    Complete {
        /// The question before the action, if the intent asks one.
        confirm: Option<String>,
    },
    /// The visitor cannot answer: get a human.
    GiveUp {
        /// Which slot stays empty.
        slot: String,
    },
    /// The visitor wants nothing any more.
    Cancelled,
    /// The visitor asks something else; the form waits as it was.
    Digressed {
        /// What.
        intent: String,
    },
}

impl Filling {
    /// A form without any value.
    pub fn new(intent: &str, lang: Lang) -> Self {
        Self { intent: intent.to_owned(), values: Vec::new(), asked: None, tries: 0, lang }
    }

    /// The value of the slot `name`.
    pub fn value(&self, name: &str) -> Option<&Filled> {
        self.values.iter().find(|filled| filled.slot == name)
    }
}

impl Message<'_> {
    /// The intent of another form that the message is for.
    pub(super) fn other_question(&self, form: &Form) -> Option<&str> {
        self.matched.filter(|id| *id != form.intent())
    }
}

impl Form {
    /// Begins with the message that the intent was understood from: its values are taken, and the
    /// first that is missing is asked for.
    pub fn begin(&self, message: &Message<'_>, now: Moment) -> Turn {
        self.resume(Filling::new(self.intent(), Lang::of(message.text)), message, now)
    }

    /// Takes a message that answers no question: the first one, with values that are known from
    /// elsewhere, or one that changes something after all is filled.
    pub fn resume(&self, mut filling: Filling, message: &Message<'_>, now: Moment) -> Turn {
        filling.asked = None;
        filling.tries = 0;
        let mut events = self.mend(&mut filling, now);
        speak(&mut filling, message);
        // The message is of this form: it asks nothing else, whatever the engine matched.
        let message = Message { matched: None, ..*message };
        events.extend(assign(self, &mut filling, &message, now));
        let next = self.go_on(&mut filling, &events);
        Turn { filling, events, next }
    }

    /// Asks again, after something else came between; no message answers.
    pub fn ask_again(&self, mut filling: Filling, now: Moment) -> Turn {
        let events = self.mend(&mut filling, now);
        let next = self.go_on(&mut filling, &events);
        Turn { filling, events, next }
    }

    /// Takes the answer to a question.
    pub fn fill(&self, mut filling: Filling, message: &Message<'_>, now: Moment) -> Turn {
        let mut events = self.mend(&mut filling, now);
        // “取消” within a cancellation urges it on.
        if words::cancels(message.text) && !self.is_asked_by(message.text) {
            filling.asked = None;
            filling.tries = 0;
            return Turn { filling, events, next: Next::Cancelled };
        }
        speak(&mut filling, message);
        let assigned = assign(self, &mut filling, message, now);
        let progress = assigned.iter().any(|event| !matches!(event, Event::Refused { .. }));
        let asked = filling.asked.clone();
        let asked = asked.as_deref().and_then(|name| self.slot(name));
        let refused = asked.and_then(|slot| refusal(&assigned, &slot.name));
        let refused = refused.map(|(value, text)| (value.to_owned(), text.to_owned()));
        events.extend(assigned);
        let next = match (asked, message.other_question(self)) {
            (Some(slot), _) if refused.is_some() => {
                self.failed(&mut filling, slot, message, refused)
            }
            _ if progress => self.go_on(&mut filling, &events),
            (Some(slot), _) if words::declines(message.text) => {
                // Asked once more, with the words that may help; not twice.
                filling.tries = filling.tries.max(MAX_TRIES - 2);
                self.failed(&mut filling, slot, message, None)
            }
            (_, Some(intent)) => Next::Digressed { intent: intent.to_owned() },
            (Some(slot), None) => self.failed(&mut filling, slot, message, None),
            (None, None) => self.go_on(&mut filling, &events),
        };
        Turn { filling, events, next }
    }

    /// Drops what the form does not have, and values that do not fit any more; these count as
    /// refused.
    fn mend(&self, filling: &mut Filling, now: Moment) -> Vec<Event> {
        let mut refused = Vec::new();
        let mut kept: Vec<Filled> = Vec::new();
        for mut filled in std::mem::take(&mut filling.values) {
            let Some(one) = self.slots.iter().find(|one| one.slot.name == filled.slot) else {
                continue;
            };
            if one.slot.entity != filled.entity {
                continue;
            }
            let Filled { slot, text, .. } = &filled;
            match one.check.accept(&one.slot.entity, &filled.value, now) {
                Ok(value) => {
                    kept.retain(|known| known.slot != *slot);
                    filled.value = value;
                    kept.push(filled);
                }
                Err(value) => {
                    refused.push(Event::Refused { slot: slot.clone(), value, text: text.clone() });
                }
            }
        }
        filling.values = kept;
        if filling.asked.as_deref().is_none_or(|name| self.slot(name).is_none()) {
            filling.asked = None;
            filling.tries = 0;
        }
        filling.intent = self.intent().to_owned();
        refused
    }

    /// The answer did not do.
    fn failed(
        &self,
        filling: &mut Filling,
        slot: &Slot,
        message: &Message<'_>,
        refused: Option<(String, String)>,
    ) -> Next {
        // An optional value is not insisted on, and a value that is there stays.
        if !slot.required || filling.value(&slot.name).is_some() {
            return self.go_on(filling, &[]);
        }
        filling.tries = filling.tries.saturating_add(1);
        if filling.tries >= MAX_TRIES {
            filling.asked = None;
            filling.tries = 0;
            return Next::GiveUp { slot: slot.name.clone() };
        }
        let (value, text) = match refused {
            Some((value, text)) => (Some(value), text),
            None => (None, message.text.trim().to_owned()),
        };
        Next::Invalid {
            slot: slot.name.clone(),
            value,
            message: self.invalid(slot, &text, filling),
            prompt: self.prompt(slot, filling),
        }
    }

    /// Asks for what is missing: what was asked for already, else the first.
    fn go_on(&self, filling: &mut Filling, events: &[Event]) -> Next {
        let missing = self.missing(filling);
        let asked = filling.asked.as_deref();
        let again = missing.iter().find(|slot| Some(slot.name.as_str()) == asked);
        let Some(&slot) = again.or(missing.first()) else {
            filling.asked = None;
            filling.tries = 0;
            return Next::Complete { confirm: self.confirm(filling, filling.lang) };
        };
        if again.is_none() {
            filling.asked = Some(slot.name.clone());
            filling.tries = 0;
        }
        let prompt = self.prompt(slot, filling);
        match refusal(events, &slot.name) {
            Some((value, text)) => Next::Invalid {
                slot: slot.name.clone(),
                value: Some(value.to_owned()),
                message: self.invalid(slot, text, filling),
                prompt,
            },
            None => Next::Ask { slot: slot.name.clone(), prompt },
        }
    }
}

/// Value and text that the slot `name` refused.
fn refusal<'a>(events: &'a [Event], name: &str) -> Option<(&'a str, &'a str)> {
    events.iter().rev().find_map(|event| match event {
        Event::Refused { slot, value, text } if slot == name => {
            Some((value.as_str(), text.as_str()))
        }
        Event::Refused { .. } | Event::Filled { .. } | Event::Replaced { .. } => None,
    })
}

fn speak(filling: &mut Filling, message: &Message<'_>) {
    let shown = words::language(message.text, message.entities);
    filling.lang = message.lang.or(shown).unwrap_or(filling.lang);
}
