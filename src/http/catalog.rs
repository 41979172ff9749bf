//! `GET /intents`: what is known here.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::error::ErrorBody;
use super::trace::TraceId;
use crate::intent::knowledge::{Action, Example, Intent, Localized};

/// All intents, in the order of their files.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IntentsAnswer {
    /// The intents.
    intents: Vec<IntentEntry>,
    /// Finds the request in the server's log.
    trace_id: String,
}

/// One intent. Languages are `zh` and `en`; a language that is missing has nothing.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IntentEntry {
    /// Unique name.
    #[schema(example = "delivery_delay")]
    id: String,
    /// What people call it, a language.
    title: BTreeMap<String, String>,
    /// What the bot says, a language.
    answers: BTreeMap<String, Vec<String>>,
    /// How many examples there are, a language.
    #[schema(example = json!({"zh": 14, "en": 12}))]
    examples: BTreeMap<String, usize>,
    /// What happens when it is understood.
    action: ActionKind,
}

/// What happens when an intent is understood. Where a webhook goes is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ActionKind {
    /// An answer is said.
    Reply,
    /// A human takes over.
    Handoff,
    /// The shop's own service is called.
    Webhook,
}

/// Which intents are known here?
#[utoipa::path(
    get, path = "/intents", tag = "intent",
    responses(
        (status = 200, description = "All intents", body = IntentsAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(super) async fn intents(State(state): State<AppState>, trace: TraceId) -> Json<IntentsAnswer> {
    let intents = state
        .engine
        .with_knowledge(|knowledge| knowledge.intents.iter().map(IntentEntry::from).collect());
    Json(IntentsAnswer { intents, trace_id: trace.to_string() })
}

impl From<&Intent> for IntentEntry {
    fn from(intent: &Intent) -> Self {
        Self {
            id: intent.id.clone(),
            title: by_language(&intent.title),
            answers: by_language(&intent.answers),
            examples: count(&intent.examples),
            action: match intent.action {
                Action::Reply => ActionKind::Reply,
                Action::Handoff => ActionKind::Handoff,
                Action::Webhook(_) => ActionKind::Webhook,
            },
        }
    }
}

fn by_language<T: Clone>(values: &Localized<T>) -> BTreeMap<String, T> {
    values.iter().map(|(lang, value)| (lang.to_string(), value.clone())).collect()
}

fn count(examples: &[Example]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for example in examples {
        *counts.entry(example.lang.to_string()).or_default() += 1;
    }
    counts
}
