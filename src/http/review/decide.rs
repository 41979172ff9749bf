//! What editors decide about entries of the review queue, and what visitors and agents correct.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ItemAnswer, ItemId, ReviewItem, review};
use crate::http::AppState;
use crate::http::error::{ApiError, ErrorBody, ErrorCode};
use crate::http::json::Json as SentJson;
use crate::http::trace::TraceId;
use crate::intent::normalize::normalize;
use crate::review::accept::Placed;
use crate::review::desk::Acceptance;
use crate::review::entry::{ALTERNATIVES, Correction, Entry};
use crate::understand::{Answered, AskOptions};

/// The name of “none of the intents”.
const OUT_OF_SCOPE: &str = "oos";
/// Entries that one request may accept.
const MAX_IDS: usize = 200;
/// Characters of a note: who corrected, why something was dismissed.
const MAX_NOTE_CHARS: usize = 200;

/// What a message really meant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CorrectionRequest {
    /// What the visitor wrote; it is redacted before it is stored.
    #[schema(example = "我的东西到哪了")]
    text: String,
    /// Id of the intent, or `oos` for none of them.
    #[schema(example = "delivery_delay")]
    intent: String,
    /// Who says so, a role rather than a name; up to 200 characters.
    #[serde(default)]
    #[schema(example = "visitor")]
    source: Option<String>,
}

/// What an entry is to be an example of.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct AcceptRequest {
    /// Id of the intent, or `oos` for an out-of-scope row of the training data.
    #[schema(example = "delivery_delay")]
    intent: String,
    /// The sentence to write, if not the entry's own.
    #[serde(default)]
    text: Option<String>,
    /// A `*.jsonl` file of the training data to write a row to. Without it an example goes into the
    /// intent's YAML file, and an out-of-scope row into `oos.jsonl`.
    #[serde(default)]
    file: Option<String>,
}

/// What many entries are to be examples of.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct AcceptManyRequest {
    /// The entries, 1 to 200.
    #[schema(min_items = 1, max_items = 200)]
    ids: Vec<String>,
    /// Id of the intent, or `oos`.
    #[schema(example = "delivery_delay")]
    intent: String,
    /// As for one.
    #[serde(default)]
    file: Option<String>,
}

/// Nothing to say.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OutOfScopeRequest {
    /// The sentence to write, if not the entry's own.
    #[serde(default)]
    text: Option<String>,
}

/// Why an entry teaches nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct DismissRequest {
    /// For colleagues; up to 200 characters.
    #[serde(default)]
    reason: Option<String>,
}

/// An entry that is an example now.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct AcceptedItem {
    /// The entry.
    item: ReviewItem,
    /// The sentence as it is written.
    text: String,
    /// Name of the file.
    #[schema(example = "delivery.yaml")]
    file: String,
    /// Line of the file, from 1.
    line: u64,
    /// True when it stood there before, so that nothing was written.
    already: bool,
}

/// One accepted entry.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct AcceptAnswer {
    #[serde(flatten)]
    accepted: AcceptedItem,
    /// Finds the request in the server's log.
    trace_id: String,
}

/// Accepted entries.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct AcceptManyAnswer {
    /// In the order of the ids.
    items: Vec<AcceptedItem>,
    /// Finds the request in the server's log.
    trace_id: String,
}

/// What did a message really mean?
///
/// For a visitor who picked an alternative of “did you mean”, or an agent who knows better.
#[utoipa::path(
    post, path = "/review/corrections", tag = "review",
    request_body = CorrectionRequest,
    responses(
        (status = 200, description = "The entry that it became", body = ItemAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(in crate::http) async fn correct(
    State(state): State<AppState>,
    trace: TraceId,
    SentJson(request): SentJson<CorrectionRequest>,
) -> Result<Json<ItemAnswer>, ApiError> {
    let desk = &review(&state)?.desk;
    let CorrectionRequest { text, intent, source } = request;
    state.limits.check_text(&text, None)?;
    if normalize(&text).text().is_empty() {
        return Err(ApiError::invalid_field("text", "the text has nothing to read; send one"));
    }
    note("source", source.as_deref())?;
    let known = state.engine.with_knowledge(|knowledge| knowledge.position(&intent).is_some());
    if !known && intent != OUT_OF_SCOPE {
        let shown: String = intent.chars().take(60).collect();
        let message = format!("there is no intent {shown:?}; GET /intents lists them");
        return Err(ApiError::new(ErrorCode::UnknownIntent, message));
    }
    let options = AskOptions { top_k: ALTERNATIVES, explain: false };
    let Answered { answer, model, .. } = state.engine.ask(&text, options).await?;
    let entry = desk.correct(&text, &answer, &model, Correction { intent, source }).await?;
    Ok(Json(ItemAnswer { item: entry.into(), trace_id: trace.to_string() }))
}

/// Make an entry an example of an intent
///
/// The example is inserted into the intent's YAML file, whose comments and formatting stay, and the server
/// then trains on it. Accepting again writes nothing.
#[utoipa::path(
    post, path = "/review/{id}/accept", tag = "review",
    params(("id" = String, Path, description = "Id of the entry")),
    request_body = AcceptRequest,
    responses(
        (status = 200, description = "Where the example stands", body = AcceptAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(in crate::http) async fn accept(
    State(state): State<AppState>,
    trace: TraceId,
    ItemId(id): ItemId,
    SentJson(request): SentJson<AcceptRequest>,
) -> Result<Json<AcceptAnswer>, ApiError> {
    let AcceptRequest { intent, text, file } = request;
    one(&state, &trace, id, intent, text, file).await
}

/// Make an entry an out-of-scope row
///
/// The same as accepting it with the intent `oos`.
#[utoipa::path(
    post, path = "/review/{id}/out_of_scope", tag = "review",
    params(("id" = String, Path, description = "Id of the entry")),
    request_body = OutOfScopeRequest,
    responses(
        (status = 200, description = "Where the row stands", body = AcceptAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(in crate::http) async fn out_of_scope(
    State(state): State<AppState>,
    trace: TraceId,
    ItemId(id): ItemId,
    SentJson(request): SentJson<OutOfScopeRequest>,
) -> Result<Json<AcceptAnswer>, ApiError> {
    one(&state, &trace, id, OUT_OF_SCOPE.to_owned(), request.text, None).await
}

/// Make entries examples of one intent
///
/// All of them or none.
#[utoipa::path(
    post, path = "/review/accept", tag = "review",
    request_body = AcceptManyRequest,
    responses(
        (status = 200, description = "Where the examples stand", body = AcceptManyAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(in crate::http) async fn accept_many(
    State(state): State<AppState>,
    trace: TraceId,
    SentJson(request): SentJson<AcceptManyRequest>,
) -> Result<Json<AcceptManyAnswer>, ApiError> {
    let AcceptManyRequest { ids, intent, file } = request;
    if !(1..=MAX_IDS).contains(&ids.len()) {
        let message = format!("there are {} ids, send 1 to {MAX_IDS}", ids.len());
        return Err(ApiError::invalid_field("ids", message));
    }
    if ids.iter().collect::<BTreeSet<_>>().len() < ids.len() {
        return Err(ApiError::invalid_field("ids", "an id is there twice; send each once"));
    }
    let model = state.engine.model().version.clone();
    let items = accepted(&state, Acceptance { ids, intent, text: None, file, model }).await?;
    Ok(Json(AcceptManyAnswer { items, trace_id: trace.to_string() }))
}

/// An entry teaches nothing
///
/// It does not come back when the message is seen again.
#[utoipa::path(
    post, path = "/review/{id}/dismiss", tag = "review",
    params(("id" = String, Path, description = "Id of the entry")),
    request_body = DismissRequest,
    responses(
        (status = 200, description = "The entry", body = ItemAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(in crate::http) async fn dismiss(
    State(state): State<AppState>,
    trace: TraceId,
    ItemId(id): ItemId,
    SentJson(request): SentJson<DismissRequest>,
) -> Result<Json<ItemAnswer>, ApiError> {
    note("reason", request.reason.as_deref())?;
    let model = state.engine.model().version.clone();
    let entry = review(&state)?.desk.dismiss(id, request.reason, model).await?;
    Ok(Json(ItemAnswer { item: entry.into(), trace_id: trace.to_string() }))
}

async fn one(
    state: &AppState,
    trace: &TraceId,
    id: String,
    intent: String,
    text: Option<String>,
    file: Option<String>,
) -> Result<Json<AcceptAnswer>, ApiError> {
    if let Some(text) = &text {
        state.limits.check_text(text, None)?;
    }
    let model = state.engine.model().version.clone();
    let wanted = Acceptance { ids: vec![id], intent, text, file, model };
    let accepted = accepted(state, wanted).await?.pop().expect("one entry, one example");
    Ok(Json(AcceptAnswer { accepted, trace_id: trace.to_string() }))
}

async fn accepted(state: &AppState, wanted: Acceptance) -> Result<Vec<AcceptedItem>, ApiError> {
    let accepted = review(state)?.desk.accept(wanted).await?;
    let wrote = accepted.iter().any(|(_, placed)| !placed.already);
    if let Some(keeper) = state.keeper.as_ref().filter(|_| wrote) {
        keeper.look_again();
    }
    let item = |(entry, placed): (Entry, Placed)| {
        let Placed { text, file, line, already } = placed;
        AcceptedItem { item: entry.into(), text, file, line, already }
    };
    Ok(accepted.into_iter().map(item).collect())
}

fn note(name: &'static str, text: Option<&str>) -> Result<(), ApiError> {
    if text.is_some_and(|text| text.chars().nth(MAX_NOTE_CHARS).is_some()) {
        let message = format!("{name} is longer than {MAX_NOTE_CHARS} characters; send less");
        return Err(ApiError::invalid_field(name, message));
    }
    Ok(())
}
