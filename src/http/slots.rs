//! The `slots` part of `POST /intent`: filling slots turn by turn for a caller that keeps the state.
//!
//! Turns the request into a step of `crate::dialogue` and its outcome into JSON. Nothing is kept
//! here: what the answer says is filled, asked and tried comes back with the next message.

use std::collections::BTreeMap;

use serde::Deserialize;
use utoipa::ToSchema;

use super::error::{ApiError, ErrorCode};
use super::limits::Limits;
use crate::dialogue::form::{Form, Forms};
use crate::dialogue::report::SlotsReport;
use crate::dialogue::slots::{Filled, Filling, MAX_TRIES, Message};
use crate::intent::answer::Answer;
use crate::intent::entity::date::calendar::Moment;
use crate::intent::knowledge::Lang;
use crate::understand::utc_now;

/// What is known of the slots; `{}` with a first message.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SlotsRequest {
    /// The intent whose slots are filled; without it, the one that the text matches.
    #[schema(example = "order_cancel")]
    intent: Option<String>,
    /// The slot that the visitor was asked for: the text is the answer. Needs `intent`.
    #[schema(example = "order_id")]
    asked: Option<String>,
    /// The values that earlier answers had under `filled`, by slot. Needs `intent`.
    #[serde(default)]
    known: BTreeMap<String, Known>,
    /// As the last answer had it.
    #[serde(default)]
    #[schema(value_type = u8, minimum = 0, maximum = 2, default = 0)]
    tries: Tries,
    /// The language of the questions, `zh` or `en`; without it, the text's.
    #[schema(value_type = Option<String>, example = "zh")]
    lang: Option<Lang>,
    /// The visitor's date and time, for “tomorrow”: `2026-11-24T15:30`, seconds and offset are
    /// ignored; without it, the server's in UTC.
    #[schema(value_type = Option<String>, example = "2026-11-24T15:30")]
    now: Option<LocalTime>,
}

/// A value: itself, or with what the visitor wrote.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "a value of `known` is a string, or an object of value and text")]
enum Known {
    /// The value alone.
    Value(String),
    /// With what the visitor wrote, for questions that repeat it.
    Written(Written),
}

/// A value with what the visitor wrote.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    value: String,
    text: String,
}

/// Failed answers so far.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(try_from = "u64")]
struct Tries(u8);

impl TryFrom<u64> for Tries {
    type Error = String;

    fn try_from(count: u64) -> Result<Self, String> {
        match u8::try_from(count) {
            Ok(count) if count < MAX_TRIES => Ok(Self(count)),
            _ => Err(format!("tries is {count}, send what the last answer had")),
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct LocalTime(Moment);

impl TryFrom<String> for LocalTime {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let moment = Moment::parse(&written).map(Self);
        moment.ok_or_else(|| "now is no moment, send one such as 2026-11-24T15:30".to_owned())
    }
}

impl SlotsRequest {
    /// Refuses what needs no model to be refused.
    ///
    /// # Errors
    /// `text_too_long`, or `invalid_request` when the intent is missing.
    pub(super) fn check(&self, limits: &Limits) -> Result<(), ApiError> {
        for known in self.known.values() {
            let (value, text) = known.parts();
            limits.check_text(value, None)?;
            limits.check_text(text, None)?;
        }
        if self.intent.is_none() && (self.asked.is_some() || !self.known.is_empty()) {
            let message = "asked and known belong to an intent; send slots.intent";
            return Err(ApiError::invalid_field("slots.intent", message));
        }
        Ok(())
    }

    /// Fills the slots with the text and what the engine found in it. None when no intent is named,
    /// and none with slots matched.
    ///
    /// # Errors
    /// `unknown_intent` and `unknown_slot`: the knowledge base has changed, or never had them.
    pub(super) fn fill(
        self,
        text: &str,
        answer: &Answer,
        forms: &Forms,
    ) -> Result<Option<SlotsReport>, ApiError> {
        let matched = answer.intent.as_deref();
        let form = match &self.intent {
            Some(id) => forms.get(id).ok_or_else(|| unknown_intent(id))?,
            None => match matched.and_then(|id| forms.get(id)) {
                Some(form) if form.slots().next().is_some() => form,
                _ => return Ok(None),
            },
        };
        let entities = &answer.entities;
        let message = Message { text, entities, matched, lang: self.lang };
        let now = self.now.map_or_else(utc_now, |now| now.0);
        let answers = self.asked.is_some();
        let filling = self.filling(form, text)?;
        let turn = if answers {
            form.fill(filling, &message, now)
        } else {
            form.resume(filling, &message, now)
        };
        Ok(Some(SlotsReport::new(form, &turn)))
    }

    fn filling(self, form: &Form, text: &str) -> Result<Filling, ApiError> {
        let slot = |name: &str| form.slot(name).ok_or_else(|| unknown_slot(form, name));
        if let Some(asked) = &self.asked {
            slot(asked)?;
        }
        let values = self.known.into_iter().map(|(name, known)| {
            let entity = slot(&name)?.entity.clone();
            let (value, text) = known.parts();
            let (value, text) = (value.to_owned(), text.to_owned());
            Ok(Filled { slot: name, entity, value, text, start: None, end: None })
        });
        Ok(Filling {
            intent: form.intent().to_owned(),
            values: values.collect::<Result<_, ApiError>>()?,
            asked: self.asked,
            tries: self.tries.0,
            lang: self.lang.unwrap_or(Lang::of(text)),
        })
    }
}

impl Known {
    /// Value, and text.
    fn parts(&self) -> (&str, &str) {
        match self {
            Self::Value(value) => (value, value),
            Self::Written(Written { value, text }) => (value, text),
        }
    }
}

/// The first characters of a name that a client made up.
fn short(name: &str) -> String {
    name.chars().take(100).collect()
}

fn unknown_intent(id: &str) -> ApiError {
    let message = format!("there is no intent {:?}; GET /intents lists them", short(id));
    ApiError::new(ErrorCode::UnknownIntent, message)
}

fn unknown_slot(form: &Form, name: &str) -> ApiError {
    let known: Vec<&str> = form.slots().map(|slot| slot.name.as_str()).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let message =
        format!("the intent {:?} has no slot {:?}; it has {known}", form.intent(), short(name));
    ApiError::new(ErrorCode::UnknownSlot, message)
}
