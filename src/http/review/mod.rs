//! The review queue over HTTP: what the other routes hand over, and what editors see. What they
//! decide is in [`decide`].

pub(super) mod decide;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::AppState;
use super::error::{ApiError, ErrorBody, ErrorCode};
use super::query::{USUAL_LIMIT, queried, within_limit};
use super::trace::TraceId;
use crate::intent::answer::{Alternative, Answer, Status};
use crate::intent::knowledge::Lang;
use crate::review::Review;
use crate::review::accept::AcceptError;
use crate::review::clusters::{Cluster, ClusterError};
use crate::review::desk::DecideError;
use crate::review::entry::{ALTERNATIVES, Entry, EntryStatus, Reason};
use crate::review::queue::{Cursor, Filter};
use crate::understand::ModelSummary;

/// How many alternatives to ask for when the caller wants `top_k`.
pub(super) fn enough(top_k: usize) -> usize {
    top_k.max(ALTERNATIVES)
}

/// Hands an answered text over. Takes no time worth counting, and cannot fail.
pub(super) fn observe(state: &AppState, text: &str, answer: &Answer, model: &ModelSummary) {
    if let Some(review) = &state.review {
        review.desk.observe(text, answer, model);
    }
}

fn review(state: &AppState) -> Result<&Review, ApiError> {
    state.review.as_deref().ok_or_else(|| {
        let message = "this server keeps no review queue; start it with --review on";
        ApiError::new(ErrorCode::ReviewOff, message)
    })
}

/// What to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Where entries stand; all without it.
    status: Option<EntryStatus>,
    /// Why they are here.
    reason: Option<Reason>,
    /// `zh` or `en`.
    #[param(value_type = Option<String>)]
    lang: Option<Lang>,
    /// 1 to 200; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// How many groups.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ClustersQuery {
    /// 1 to 200; 20 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// A page of the queue.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ListAnswer {
    /// Last seen first.
    items: Vec<ReviewItem>,
    /// Send it as `cursor` for the next page; null at the end.
    next_cursor: Option<String>,
    /// How many entries there are on all pages.
    total: usize,
    /// Finds the request in the server's log.
    trace_id: String,
}

/// One entry of the queue.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReviewItem {
    /// Where it stands.
    status: EntryStatus,
    #[serde(flatten)]
    entry: Entry,
}

impl From<Entry> for ReviewItem {
    fn from(entry: Entry) -> Self {
        Self { status: entry.status(), entry }
    }
}

/// One entry.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ItemAnswer {
    /// The entry.
    item: ReviewItem,
    /// Finds the request in the server's log.
    trace_id: String,
}

/// The open entries in groups.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClustersAnswer {
    /// Those seen most often first.
    clusters: Vec<ClusterItem>,
    /// How many groups there are.
    total: usize,
    /// Open entries that are not grouped yet, because they are new; ask again in a moment.
    pending: usize,
    /// Version of the model that groups and suggests.
    model: String,
    /// Finds the request in the server's log.
    trace_id: String,
}

/// Entries that mean the same.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClusterItem {
    /// The entry that stands for them.
    item: ReviewItem,
    /// Ids of all, the most frequent first; `POST /review/accept` takes them, 200 at a time.
    ids: Vec<String>,
    /// How often they were seen altogether.
    size: u64,
    /// What most of them have in common and others have not.
    keywords: Vec<String>,
    /// What the model in use makes of the entry; null where nothing comes near.
    suggestion: Option<SuggestionItem>,
}

/// What the model in use makes of an entry.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SuggestionItem {
    /// How sure it is.
    status: Status,
    #[serde(flatten)]
    best: Alternative,
}

impl From<&Cluster> for ClusterItem {
    fn from(cluster: &Cluster) -> Self {
        let Cluster { entry, ids, size, suggestion, keywords } = cluster.clone();
        let suggestion =
            suggestion.map(|one| SuggestionItem { status: one.status, best: one.best });
        Self { item: entry.into(), ids, size, keywords, suggestion }
    }
}

/// The id in a path.
pub(super) struct ItemId(pub(super) String);

impl FromRequestParts<AppState> for ItemId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id)).map_err(|_| {
            ApiError::new(ErrorCode::NoSuchReviewItem, "the id in the path is not UTF-8")
        })
    }
}

/// Which messages should somebody look at?
///
/// Messages that the bot was unsure of or that somebody corrected, redacted before they were stored.
#[utoipa::path(
    get, path = "/review", tag = "review", params(ListQuery),
    responses(
        (status = 200, description = "A page of the queue", body = ListAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(super) async fn list(
    State(state): State<AppState>,
    trace: TraceId,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<ListAnswer>, ApiError> {
    let ListQuery { status, reason, lang, limit, cursor } = queried(query)?;
    let limit = within_limit(limit, USUAL_LIMIT)?;
    let cursor: Option<Cursor> = cursor
        .map(|text| text.parse())
        .transpose()
        .map_err(|reason: String| ApiError::invalid_field("cursor", reason))?;
    let page = review(&state)?.desk.page(&Filter { status, reason, lang }, cursor.as_ref(), limit);
    Ok(Json(ListAnswer {
        items: page.entries.into_iter().map(ReviewItem::from).collect(),
        next_cursor: page.next.map(|cursor| cursor.to_string()),
        total: page.total,
        trace_id: trace.to_string(),
    }))
}

/// Which open entries mean the same?
#[utoipa::path(
    get, path = "/review/clusters", tag = "review", params(ClustersQuery),
    responses(
        (status = 200, description = "The groups", body = ClustersAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(super) async fn clusters(
    State(state): State<AppState>,
    trace: TraceId,
    query: Result<Query<ClustersQuery>, QueryRejection>,
) -> Result<Json<ClustersAnswer>, ApiError> {
    let limit = within_limit(queried(query)?.limit, 20)?;
    let clusters = review(&state)?.grouper.clusters().await?;
    Ok(Json(ClustersAnswer {
        clusters: clusters.groups.iter().take(limit).map(ClusterItem::from).collect(),
        total: clusters.groups.len(),
        pending: clusters.pending,
        model: clusters.model.clone(),
        trace_id: trace.to_string(),
    }))
}

/// What is known of one entry?
#[utoipa::path(
    get, path = "/review/{id}", tag = "review",
    params(("id" = String, Path, description = "Id of the entry")),
    responses(
        (status = 200, description = "The entry", body = ItemAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(super) async fn show(
    State(state): State<AppState>,
    trace: TraceId,
    ItemId(id): ItemId,
) -> Result<Json<ItemAnswer>, ApiError> {
    let entry = review(&state)?.desk.get(&id);
    let entry = entry
        .ok_or_else(|| ApiError::from(DecideError::NoSuchEntry(id.chars().take(40).collect())))?;
    Ok(Json(ItemAnswer { item: entry.into(), trace_id: trace.to_string() }))
}

impl From<ClusterError> for ApiError {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::Busy => Self::new(ErrorCode::Busy, error.to_string()),
            ClusterError::Stopping => Self::new(ErrorCode::Stopping, error.to_string()),
            ClusterError::Encode(error) => Self::internal(&error.to_string()),
        }
    }
}

impl From<DecideError> for ApiError {
    fn from(error: DecideError) -> Self {
        let code = match &error {
            DecideError::NoSuchEntry(_) => ErrorCode::NoSuchReviewItem,
            DecideError::Accepted { .. } => ErrorCode::AlreadyAccepted,
            DecideError::Journal(_) => ErrorCode::NotWritten,
            DecideError::Busy => ErrorCode::Busy,
            DecideError::Stopping => ErrorCode::Stopping,
            DecideError::Failed => return Self::internal(&error.to_string()),
            DecideError::Accept(error) => match error {
                AcceptError::Invalid(_) => ErrorCode::InvalidRequest,
                AcceptError::UnknownIntent(_) => ErrorCode::UnknownIntent,
                AcceptError::Conflict { .. } => ErrorCode::ExampleConflict,
                AcceptError::Changed(_) => ErrorCode::FileChanged,
                AcceptError::Faulty(_) => ErrorCode::KnowledgeFaulty,
                AcceptError::Edit { .. } => ErrorCode::NotEditable,
                AcceptError::Io(_) => ErrorCode::NotWritten,
            },
        };
        Self::new(code, error.to_string())
    }
}
