//! `POST /intent` and `POST /intent/batch`: what do these texts mean?
//!
//! A text without anything to read (empty, spaces, emoji) is a fair question: 200, out of scope.

use std::time::Instant;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AppState;
use super::error::{ApiError, ErrorBody};
use super::json::Json;
use super::review;
use super::slots::SlotsRequest;
use super::trace::TraceId;
use crate::dialogue::report::SlotsReport;
use crate::intent::answer::Answer;
use crate::understand::{Answered, AskOptions, ModelSummary};

/// One question.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IntentRequest {
    /// What the visitor wrote; any text, the empty one too.
    #[schema(example = "我的快递怎么还没到")]
    text: String,
    /// How many alternatives at the most.
    #[serde(default)]
    #[schema(value_type = u8, minimum = 1, maximum = 20, default = 3)]
    top_k: TopK,
    /// Whether to say why.
    #[serde(default)]
    explain: bool,
    /// Fills the slots of the intent; without it, the answer says nothing of them.
    slots: Option<SlotsRequest>,
}

/// Many questions with the same wishes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchRequest {
    /// What visitors wrote; `items` is another name for it.
    #[serde(alias = "items")]
    #[schema(min_items = 1, example = json!(["我要退款", "where is my parcel"]))]
    texts: Vec<String>,
    /// How many alternatives at the most, each.
    #[serde(default)]
    #[schema(value_type = u8, minimum = 1, maximum = 20, default = 3)]
    top_k: TopK,
    /// Whether to say why.
    #[serde(default)]
    explain: bool,
}

/// A number of alternatives: 1 to 20.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u64")]
struct TopK(u8);

impl Default for TopK {
    fn default() -> Self {
        Self(3)
    }
}

impl TryFrom<u64> for TopK {
    type Error = String;

    fn try_from(count: u64) -> Result<Self, String> {
        match u8::try_from(count) {
            Ok(count @ 1..=20) => Ok(Self(count)),
            _ => Err(format!("top_k is {count}, send 1 to 20")),
        }
    }
}

/// The answer to one question.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IntentAnswer {
    #[serde(flatten)]
    answer: Answer,
    /// How far the slots are filled, when that was asked for and the intent has some.
    #[serde(skip_serializing_if = "Option::is_none")]
    slots: Option<SlotsReport>,
    /// Which model answered.
    model: ModelRef,
    /// Finds the request in the server's log.
    #[schema(example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    trace_id: String,
    /// Microseconds from the parsed request to this answer.
    took_us: u64,
}

/// The answers to a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BatchAnswer {
    /// One a text, in the texts' order.
    answers: Vec<Answer>,
    /// Which model answered.
    model: ModelRef,
    /// Finds the request in the server's log.
    #[schema(example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    trace_id: String,
    /// Microseconds from the parsed request to this answer.
    took_us: u64,
}

/// Which model answered.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelRef {
    /// Version of the intent model.
    version: String,
    /// Name of the encoder.
    encoder: String,
}

/// What does one text mean?
///
/// A text that is empty or has nothing to read (only spaces or emoji) is answered too, with
/// `out_of_scope`.
#[utoipa::path(
    post, path = "/intent", tag = "intent",
    request_body = IntentRequest,
    responses(
        (status = 200, description = "The answer, out of scope included", body = IntentAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(super) async fn ask(
    State(state): State<AppState>,
    trace: TraceId,
    Json(request): Json<IntentRequest>,
) -> Result<axum::Json<IntentAnswer>, ApiError> {
    let started = Instant::now();
    let IntentRequest { text, top_k, explain, slots } = request;
    state.limits.check_text(&text, None)?;
    if let Some(slots) = &slots {
        slots.check(&state.limits)?;
    }
    let top_k = top_k.0.into();
    let options = AskOptions { top_k: review::enough(top_k), explain };
    let Answered { mut answer, model, forms } = state.engine.ask(&text, options).await?;
    state.metrics.classified(&answer);
    review::observe(&state, &text, &answer, &model);
    answer.alternatives.truncate(top_k);
    let slots = slots.map(|slots| slots.fill(&text, &answer, &forms)).transpose()?.flatten();
    Ok(axum::Json(IntentAnswer {
        answer,
        slots,
        model: (&*model).into(),
        trace_id: trace.to_string(),
        took_us: micros(started),
    }))
}

/// What do many texts mean?
///
/// All of them are admitted or none.
#[utoipa::path(
    post, path = "/intent/batch", tag = "intent",
    request_body = BatchRequest,
    responses(
        (status = 200, description = "One answer a text, in order", body = BatchAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(super) async fn ask_batch(
    State(state): State<AppState>,
    trace: TraceId,
    Json(request): Json<BatchRequest>,
) -> Result<axum::Json<BatchAnswer>, ApiError> {
    let started = Instant::now();
    state.limits.check_batch(&request.texts)?;
    let top_k = request.top_k.0.into();
    let options = AskOptions { top_k: review::enough(top_k), explain: request.explain };
    let answered = state.engine.ask_all(&request.texts, options).await?;
    let Answered { answer: mut answers, model, .. } = answered;
    for (answer, text) in answers.iter_mut().zip(&request.texts) {
        state.metrics.classified(answer);
        review::observe(&state, text, answer, &model);
        answer.alternatives.truncate(top_k);
    }
    Ok(axum::Json(BatchAnswer {
        answers,
        model: (&*model).into(),
        trace_id: trace.to_string(),
        took_us: micros(started),
    }))
}

impl From<&ModelSummary> for ModelRef {
    fn from(model: &ModelSummary) -> Self {
        Self { version: model.version.clone(), encoder: model.encoder.clone() }
    }
}

fn micros(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX)
}
