//! Which value of a message goes into which slot. `docs/slots.md` has the rules with examples.

use super::form::Form;
use super::slots::{Event, Filled, Filling, Message};
use super::words;
use crate::intent::entity::date::calendar::Moment;
use crate::intent::entity::{Entity, EntitySource, answer_to};
use crate::intent::knowledge::EntityKind;

/// One message and what was made of it so far.
struct Assignment<'a> {
    form: &'a Form,
    filling: &'a mut Filling,
    message: &'a Message<'a>,
    now: Moment,
    /// The message takes something back.
    corrects: bool,
    /// Numbers of the slots that got a value, or one that was refused.
    touched: Vec<usize>,
    events: Vec<Event>,
}

/// Puts the values of `message` into the slots of `filling`, and says what changed.
pub(super) fn assign(
    form: &Form,
    filling: &mut Filling,
    message: &Message<'_>,
    now: Moment,
) -> Vec<Event> {
    let corrects = words::corrects(message.text);
    let (touched, events) = (Vec::new(), Vec::new());
    let mut work = Assignment { form, filling, message, now, corrects, touched, events };
    let asked = work.filling.asked.as_deref();
    let asked = asked.and_then(|name| form.slots.iter().position(|one| one.slot.name == name));
    let mut kinds: Vec<&EntityKind> = Vec::new();
    for one in &form.slots {
        if !kinds.contains(&&one.slot.entity) {
            kinds.push(&one.slot.entity);
        }
    }
    let bare = work.bare(asked);
    for kind in kinds.into_iter().filter(|kind| **kind != EntityKind::Text) {
        work.kind(kind, asked, bare.as_ref());
    }
    if let Some(slot) = asked.filter(|&slot| form.slots[slot].slot.entity == EntityKind::Text) {
        work.whole_message(slot);
    }
    work.events
}

impl Assignment<'_> {
    /// The values of one kind, over the slots of that kind.
    fn kind(&mut self, kind: &EntityKind, asked: Option<usize>, bare: Option<&Entity>) {
        let slots: Vec<usize> =
            (0..self.form.slots.len()).filter(|&at| self.entity(at) == kind).collect();
        let asked = asked.filter(|asked| slots.contains(asked));
        let message = self.message;
        let mut values: Vec<Entity> = message
            .entities
            .iter()
            .filter(|one| one.kind == *kind && !words::denies(message.text, one))
            .cloned()
            .collect();
        if values.is_empty() {
            values.extend(bare.filter(|one| one.kind == *kind).cloned());
        }
        // “not X, I mean Y”: what is said last counts.
        if self.corrects && values.len() > slots.len() {
            values.drain(..values.len() - slots.len());
        }
        // One value a slot, and several: “from the 5th to the 7th”.
        if slots.len() > 1 && values.len() >= slots.len() {
            for (slot, value) in slots.into_iter().zip(values) {
                if self.may_replace() || self.filling.value(self.name(slot)).is_none() {
                    self.put(slot, &value);
                }
            }
            return;
        }
        for value in values {
            if let Some(slot) = self.target(&slots, asked) {
                self.put(slot, &value);
            }
        }
    }

    /// A number that is a value only because of what is corrected, or of what was asked.
    fn bare(&self, asked: Option<usize>) -> Option<Entity> {
        let corrects = self.corrects && (asked.is_none() || self.filling.tries == 0);
        let corrected = self.filling.values.last().filter(|_| corrects).map(|one| &one.entity);
        let asked = asked.map(|slot| self.entity(slot));
        let Message { text, entities, .. } = *self.message;
        corrected.into_iter().chain(asked).find_map(|kind| {
            if entities.iter().any(|one| one.kind == *kind) {
                return None;
            }
            let answer = answer_to(kind, text, entities)?;
            (!words::denies(text, &answer) && !self.fits_elsewhere(&answer)).then_some(answer)
        })
    }

    /// True when the value was found as one of another slot's kind: asked for the order number, a
    /// mobile number is none where the form has a slot for it.
    fn fits_elsewhere(&self, value: &Entity) -> bool {
        self.message.entities.iter().any(|one| {
            let slot = self.form.slots.iter().any(|other| other.slot.entity == one.kind);
            one.start < value.end && value.start < one.end && slot
        })
    }

    /// The slot for the next value of a kind.
    fn target(&self, slots: &[usize], asked: Option<usize>) -> Option<usize> {
        let free = |slot: &usize| !self.touched.contains(slot);
        // The latest of those that have a value.
        let latest = || {
            let of = |name: &str| slots.iter().copied().find(|&slot| self.name(slot) == name);
            self.filling.values.iter().rev().filter_map(|one| of(&one.slot)).find(free)
        };
        let asked = asked.filter(free);
        // “no, …” right after a refused answer is about that answer.
        if self.corrects
            && (asked.is_none() || self.filling.tries == 0)
            && let Some(slot) = latest()
        {
            return Some(slot);
        }
        let empty = |slot: &usize| free(slot) && self.filling.value(self.name(*slot)).is_none();
        asked
            .or_else(|| slots.iter().copied().find(empty))
            .or_else(|| latest().filter(|_| self.may_replace()))
    }

    /// A new question and a text that was asked for may speak of other things; their values replace
    /// nothing.
    fn may_replace(&self) -> bool {
        let asked = self.filling.asked.as_deref().and_then(|name| self.form.slot(name));
        let for_text = asked.is_some_and(|slot| slot.entity == EntityKind::Text);
        self.corrects || !for_text && self.message.other_question(self.form).is_none()
    }

    /// A text slot takes all that was written, unless that is about something else.
    fn whole_message(&mut self, slot: usize) {
        let text = self.message.text.trim();
        let corrected = self.corrects && !self.events.is_empty();
        let elsewhere = words::questions(text) && self.message.other_question(self.form).is_some();
        let readable = text.contains(char::is_alphanumeric);
        if corrected || elsewhere || !readable || words::declines(text) {
            return;
        }
        let start = self.message.text.chars().take_while(|c| c.is_whitespace()).count();
        let value = Entity {
            kind: EntityKind::Text,
            text: text.to_owned(),
            start,
            end: start + text.chars().count(),
            value: text.to_owned(),
            source: EntitySource::Builtin,
        };
        self.put(slot, &value);
    }

    fn put(&mut self, slot: usize, found: &Entity) {
        self.touched.push(slot);
        let one = &self.form.slots[slot];
        let name = one.slot.name.clone();
        let before = self.filling.value(&name).map(|filled| filled.value.clone());
        let event = match one.check.accept(&one.slot.entity, &found.value, self.now) {
            Err(value) => Event::Refused { slot: name, value, text: found.text.clone() },
            Ok(value) if before.as_ref() == Some(&value) => return,
            Ok(value) => {
                self.filling.values.retain(|filled| filled.slot != name);
                self.filling.values.push(Filled {
                    slot: name.clone(),
                    entity: one.slot.entity.clone(),
                    value,
                    text: found.text.clone(),
                    start: Some(found.start),
                    end: Some(found.end),
                });
                match before {
                    Some(before) => Event::Replaced { slot: name, before },
                    None => Event::Filled { slot: name },
                }
            }
        };
        self.events.push(event);
    }

    fn entity(&self, slot: usize) -> &EntityKind {
        &self.form.slots[slot].slot.entity
    }

    fn name(&self, slot: usize) -> &str {
        &self.form.slots[slot].slot.name
    }
}
