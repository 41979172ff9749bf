//! How far a form is filled, as callers over HTTP and the command line read it.

use serde::Serialize;
use utoipa::ToSchema;

use super::form::Form;
use super::slots::{Event, Next, Turn};

/// How far the slots of an intent are filled, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SlotsReport {
    /// Whose slots.
    #[schema(example = "order_cancel")]
    pub intent: String,
    /// What to do next.
    pub outcome: Outcome,
    /// The values that are there, in the order of the slots.
    pub filled: Vec<FilledSlot>,
    /// The values that this message changed.
    pub replaced: Vec<ReplacedSlot>,
    /// The values that do not do; with a null `value`, an answer that holds none.
    pub invalid: Vec<InvalidSlot>,
    /// The required slots without a value, in the order in which they are asked for.
    #[schema(example = json!(["order_id"]))]
    pub missing: Vec<String>,
    /// The question to ask; null when there is none.
    pub next: Option<Question>,
    /// Failed answers to that question; send it back with the next message.
    pub tries: u8,
    /// Whether every required slot has a valid value.
    pub complete: bool,
    /// The question before the action, when all is there and the intent asks one.
    #[schema(example = "确定要取消订单 20261103887421 吗？")]
    pub confirm: Option<String>,
    /// The language of the questions, `zh` or `en`; send it back with the next message.
    #[schema(example = "zh")]
    pub lang: String,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Ask `next`.
    Ask,
    /// Say the message in `invalid`, and ask `next` again.
    Invalid,
    /// Ask `confirm` if it is there, then act.
    Complete,
    /// Get a human: the visitor cannot say it.
    GiveUp,
    /// Drop the matter: the visitor wants nothing any more.
    Cancelled,
    /// Answer the other question, `intent` of the answer; then `next` may be asked again.
    Digressed,
}

impl Outcome {
    /// The name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Invalid => "invalid",
            Self::Complete => "complete",
            Self::GiveUp => "give_up",
            Self::Cancelled => "cancelled",
            Self::Digressed => "digressed",
        }
    }
}

impl From<&Next> for Outcome {
    fn from(next: &Next) -> Self {
        match next {
            Next::Ask { .. } => Self::Ask,
            Next::Invalid { .. } => Self::Invalid,
            Next::Complete { .. } => Self::Complete,
            Next::GiveUp { .. } => Self::GiveUp,
            Next::Cancelled => Self::Cancelled,
            Next::Digressed { .. } => Self::Digressed,
        }
    }
}

/// A slot with its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FilledSlot {
    /// Name of the slot.
    #[schema(example = "order_id")]
    pub name: String,
    /// One spelling for all ways to write the same; a date is a day of the calendar.
    #[schema(example = "20261103887421")]
    pub value: String,
    /// As the visitor wrote it.
    pub text: String,
    /// First character in this text, counted in Unicode scalar values from 0; null for a value that
    /// was known before.
    pub start: Option<usize>,
    /// One past the last character.
    pub end: Option<usize>,
}

/// A slot whose value this message changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReplacedSlot {
    /// Name of the slot.
    pub name: String,
    /// The value that it had.
    pub before: String,
    /// The value that it has.
    pub value: String,
}

/// A value that does not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct InvalidSlot {
    /// Name of the slot.
    pub name: String,
    /// The value as it was understood; null when the answer holds none.
    pub value: Option<String>,
    /// What to say of it, if the knowledge base says something.
    #[schema(example = "订单号是 6 到 20 位的数字，在“我的订单”里可以看到。")]
    pub message: Option<String>,
}

/// A question for a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Question {
    /// Name of the slot.
    pub slot: String,
    /// How to ask.
    #[schema(example = "请告诉我要取消的订单号。")]
    pub prompt: String,
}

impl SlotsReport {
    /// What a caller is told of a step.
    pub fn new(form: &Form, turn: &Turn) -> Self {
        let Turn { filling, events, next } = turn;
        let missing: Vec<String> =
            form.missing(filling).into_iter().map(|slot| slot.name.clone()).collect();
        Self {
            intent: form.intent().to_owned(),
            outcome: next.into(),
            filled: form
                .slots()
                .filter_map(|slot| filling.value(&slot.name))
                .map(|filled| FilledSlot {
                    name: filled.slot.clone(),
                    value: filled.value.clone(),
                    text: filled.text.clone(),
                    start: filled.start,
                    end: filled.end,
                })
                .collect(),
            replaced: events.iter().filter_map(|event| replaced(turn, event)).collect(),
            invalid: invalid(form, turn),
            complete: missing.is_empty(),
            missing,
            next: question(form, turn),
            tries: filling.tries,
            confirm: match next {
                Next::Complete { confirm } => confirm.clone(),
                Next::Ask { .. }
                | Next::Invalid { .. }
                | Next::GiveUp { .. }
                | Next::Cancelled
                | Next::Digressed { .. } => None,
            },
            lang: filling.lang.to_string(),
        }
    }
}

fn replaced(turn: &Turn, event: &Event) -> Option<ReplacedSlot> {
    match event {
        Event::Replaced { slot, before } => Some(ReplacedSlot {
            name: slot.clone(),
            before: before.clone(),
            value: turn.filling.value(slot)?.value.clone(),
        }),
        Event::Filled { .. } | Event::Refused { .. } => None,
    }
}

fn invalid(form: &Form, turn: &Turn) -> Vec<InvalidSlot> {
    let refused = |event: &Event| match event {
        Event::Refused { slot, value, text } => Some(InvalidSlot {
            name: slot.clone(),
            value: Some(value.clone()),
            message: form.slot(slot).and_then(|slot| form.invalid(slot, text, &turn.filling)),
        }),
        Event::Filled { .. } | Event::Replaced { .. } => None,
    };
    let mut all: Vec<InvalidSlot> = turn.events.iter().filter_map(refused).collect();
    if let Next::Invalid { slot, value: None, message, .. } = &turn.next {
        all.push(InvalidSlot { name: slot.clone(), value: None, message: message.clone() });
    }
    all
}

fn question(form: &Form, turn: &Turn) -> Option<Question> {
    let (slot, prompt) = match &turn.next {
        Next::Ask { slot, prompt } | Next::Invalid { slot, prompt, .. } => (slot, prompt.clone()),
        Next::Digressed { .. } => {
            let slot = form.slot(turn.filling.asked.as_deref()?)?;
            (&slot.name, form.prompt(slot, &turn.filling))
        }
        Next::Complete { .. } | Next::GiveUp { .. } | Next::Cancelled => return None,
    };
    Some(Question { slot: slot.clone(), prompt })
}
