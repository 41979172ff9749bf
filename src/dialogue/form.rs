//! The form of an intent: its slots, compiled, and what the bot says about them.
//!
//! Made once a model from its knowledge base. How a form is filled is `slots`' business.

use std::collections::HashMap;

use super::slots::{Filled, Filling};
use super::words;
use crate::intent::entity::check::{CheckFault, ValueCheck};
use crate::intent::knowledge::{
    EntityKind, Intent, KnowledgeBase, Lang, Localized, Slot, localized,
};

/// What stands in a question for a value that is not there.
const GAP: &str = "…";
/// Longest part of a visitor's message that an `invalid` message repeats, in characters.
const QUOTED_CHARS: usize = 60;

/// The forms of all intents, by id.
#[derive(Debug, Default)]
pub struct Forms(HashMap<String, Form>);

/// The slots of one intent, in their order.
#[derive(Debug)]
pub struct Form {
    intent: String,
    pub(super) slots: Vec<FormSlot>,
    confirm: Localized<String>,
    /// The phrases that ask for the intent as a whole message.
    phrases: Vec<String>,
}

#[derive(Debug)]
pub(super) struct FormSlot {
    pub(super) slot: Slot,
    pub(super) check: ValueCheck,
}

/// A slot's `validate` cannot be compiled; `train-intents validate` finds it first.
#[derive(Debug, thiserror::Error)]
#[error("the slot {slot:?} of the intent {intent:?}: {}", told(.faults))]
pub struct FormError {
    /// Whose.
    pub intent: String,
    /// Which.
    pub slot: String,
    /// What is wrong.
    pub faults: Vec<CheckFault>,
}

fn told(faults: &[CheckFault]) -> String {
    faults.iter().map(|fault| fault.message.as_str()).collect::<Vec<_>>().join("; ")
}

impl Forms {
    /// Compiles the slots of all intents.
    ///
    /// # Errors
    /// [`FormError`] for a knowledge base that was not checked.
    pub fn new(knowledge: &KnowledgeBase) -> Result<Self, FormError> {
        let form = |intent: &Intent| Ok((intent.id.clone(), Form::new(intent)?));
        Ok(Self(knowledge.intents.iter().map(form).collect::<Result<_, _>>()?))
    }

    /// The form of the intent `id`.
    pub fn get(&self, id: &str) -> Option<&Form> {
        self.0.get(id)
    }
}

impl Form {
    /// Compiles the slots of an intent.
    ///
    /// # Errors
    /// [`FormError`] for a knowledge base that was not checked.
    pub fn new(intent: &Intent) -> Result<Self, FormError> {
        let none = Default::default();
        let slot = |slot: &Slot| {
            let rules = slot.validate.as_ref().unwrap_or(&none);
            let check = ValueCheck::new(&slot.entity, rules).map_err(|faults| FormError {
                intent: intent.id.clone(),
                slot: slot.name.clone(),
                faults,
            })?;
            Ok(FormSlot { slot: slot.clone(), check })
        };
        Ok(Self {
            intent: intent.id.clone(),
            slots: intent.slots.iter().map(slot).collect::<Result<_, _>>()?,
            confirm: intent.confirm.clone(),
            phrases: intent
                .keywords
                .iter()
                .flat_map(|rule| &rule.exact)
                .map(|phrase| words::phrase(phrase))
                .collect(),
        })
    }

    /// Whose form it is.
    pub fn intent(&self) -> &str {
        &self.intent
    }

    /// The slots, in the order in which they are asked for.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().map(|one| &one.slot)
    }

    /// The slot `name`.
    pub fn slot(&self, name: &str) -> Option<&Slot> {
        self.slots().find(|slot| slot.name == name)
    }

    /// The required slots that have no value, in their order.
    pub fn missing(&self, filling: &Filling) -> Vec<&Slot> {
        self.slots().filter(|slot| slot.required && filling.value(&slot.name).is_none()).collect()
    }

    /// `text` with its placeholders filled; none when one of them has no value, so that of several
    /// answers one can be chosen that can be said.
    pub fn say(&self, text: &str, filling: &Filling) -> Option<String> {
        let (text, complete) = render(text, |name| self.spoken(name, filling));
        complete.then_some(text)
    }

    /// The question before the action, in `lang` or else in the other language; none when the
    /// intent asks none.
    pub fn confirm(&self, filling: &Filling, lang: Lang) -> Option<String> {
        localized(&self.confirm, lang).map(|text| self.fill_in(text, filling))
    }

    /// True when the whole message asks for this very intent: “取消” within a cancellation.
    pub(super) fn is_asked_by(&self, text: &str) -> bool {
        self.phrases.contains(&words::phrase(text))
    }

    /// How to ask for a slot; without a prompt in any language, the slot's name.
    pub(super) fn prompt(&self, slot: &Slot, filling: &Filling) -> String {
        let text = localized(&slot.prompt, filling.lang).unwrap_or(&slot.name);
        self.fill_in(text, filling)
    }

    /// What to say of `refused` before asking again. The slot's own placeholder is what was refused.
    pub(super) fn invalid(&self, slot: &Slot, refused: &str, filling: &Filling) -> Option<String> {
        let quoted: String = refused.chars().take(QUOTED_CHARS).collect();
        let quoted = if quoted.len() < refused.len() { format!("{quoted}{GAP}") } else { quoted };
        let text = localized(&slot.invalid, filling.lang)?;
        let spoken = |name: &str| {
            if name == slot.name { Some(quoted.as_str()) } else { self.spoken(name, filling) }
        };
        Some(render(text, spoken).0)
    }

    fn fill_in(&self, text: &str, filling: &Filling) -> String {
        render(text, |name| self.spoken(name, filling)).0
    }

    fn spoken<'a>(&self, name: &str, filling: &'a Filling) -> Option<&'a str> {
        let filled = filling.value(name)?;
        Some(spoken(&self.slot(name)?.entity, filled))
    }
}

/// The value as the bot says it: as the visitor wrote it, but for kinds whose value is clearer than
/// what was written (“明天” is a day, and a confirmation must say which).
fn spoken<'a>(kind: &EntityKind, filled: &'a Filled) -> &'a str {
    match kind {
        EntityKind::OrderNumber | EntityKind::Email | EntityKind::Amount | EntityKind::Date => {
            &filled.value
        }
        EntityKind::Phone | EntityKind::Text | EntityKind::Custom(_) => &filled.text,
    }
}

/// The text with `{name}` replaced, and whether every name had a value. A brace that no other
/// closes stays. Values are not looked at again: braces in them are the visitor's own.
fn render<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> (String, bool) {
    let (mut out, mut rest, mut complete) = (String::with_capacity(text.len()), text, true);
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            out.push('{');
            rest = after;
            continue;
        };
        let found = value(name.trim());
        complete &= found.is_some();
        out.push_str(found.unwrap_or(GAP));
        rest = behind;
    }
    out.push_str(rest);
    (out, complete)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders() {
        let value = |name: &str| (name == "order").then_some("{x}12");
        for (text, expected, complete) in [
            ("查 {order} 吗", "查 {x}12 吗", true),
            ("{ order }{order}", "{x}12{x}12", true),
            ("{date}", "…", false),
            ("a { b", "a { b", true),
            ("", "", true),
        ] {
            assert_eq!(render(text, value), (expected.to_owned(), complete), "{text}");
        }
    }
}
