//! Conversations over HTTP, for agents and for services: lists, pages of messages, the queue.
//!
//! What stands in an answer under `conversation`, `conversations`, `range` and `queue` is PROTOCOL.md's,
//! as JSON. An agent sees all apps, a service its own. Visitors use sessions, see [`super::chat`].

mod say;
mod search;

use std::sync::Arc;

use axum::Json as Said;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kefu_proto::limits::{DEFAULT_PULL, MAX_PULL};
use kefu_proto::v1::{self, MessageHeader, Status, body::Kind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::auth::Who;
use super::chat::Open;
use super::error::{ApiError, ErrorBody, ErrorCode};
use super::query::{PathId, USUAL_LIMIT, queried, within_limit};
use super::trace::TraceId;
use crate::chat::id::ConversationId;
use crate::chat::party::{Party, Side};
use crate::chat::record::Head;
use crate::chat::request::{Pull, PullFrom};
use crate::hub::Hub;
use crate::hub::list::{Listed, Mark};
use crate::identity::{IdentityError, Principal};
use crate::transport::Door;

/// The routes; the layer lets agents and services in.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(messages, say::say))
        .routes(routes!(queue))
        .routes(routes!(search::search))
}

/// A conversation's place in its life.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum StatusName {
    /// It goes on.
    Open,
    /// It waits for an agent.
    Waiting,
    /// It is done, until the visitor writes again.
    Resolved,
}

impl From<StatusName> for Status {
    fn from(name: StatusName) -> Self {
        match name {
            StatusName::Open => Self::Open,
            StatusName::Waiting => Self::Waiting,
            StatusName::Resolved => Self::Resolved,
        }
    }
}

/// Which conversations.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Of which app; a service's own without it.
    app: Option<String>,
    /// Those that are open without it.
    #[param(inline)]
    status: Option<StatusName>,
    /// 1 to 200; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Which messages.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MessagesQuery {
    /// Those after this seq, oldest first; 0, the beginning, without it.
    after: Option<u64>,
    /// Those before this seq, newest first; not together with `after`.
    before: Option<u64>,
    /// 1 to 200; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// A page of conversations.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConversationsAnswer {
    /// `Conversation` of PROTOCOL.md. Those that got the status last come first.
    #[schema(value_type = Vec<Object>)]
    conversations: Vec<Value>,
    /// Send it as `cursor` for the next page; null at the end.
    next_cursor: Option<String>,
    /// Finds the request in the server's log.
    trace_id: String,
}

/// One conversation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConversationAnswer {
    /// `Conversation` of PROTOCOL.md.
    #[schema(value_type = Object)]
    conversation: Value,
    /// Finds the request in the server's log.
    trace_id: String,
}

/// Some messages of a conversation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MessagesAnswer {
    /// `Range` of PROTOCOL.md; `hasMore` says whether it goes on.
    #[schema(value_type = Object)]
    range: Value,
    /// Finds the request in the server's log.
    trace_id: String,
}

/// Who waits for an agent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QueueAnswer {
    /// `Queue` of PROTOCOL.md: how many wait, and the first of them with their places.
    #[schema(value_type = Object)]
    queue: Value,
    /// Finds the request in the server's log.
    trace_id: String,
}

/// Which conversations are there?
#[utoipa::path(
    get, path = "/v1/conversations", tag = "conversations", params(ListQuery),
    responses(
        (status = 200, description = "A page of conversations", body = ConversationsAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(super) async fn list(
    Who(who): Who,
    Open(door): Open,
    trace: TraceId,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Said<ConversationsAnswer>, ApiError> {
    let ListQuery { app, status, limit, cursor } = queried(query)?;
    let limit = within_limit(limit, USUAL_LIMIT)?;
    let app = &app_of(&door, &who, app)?;
    let status = status.unwrap_or(StatusName::Open).into();
    let after = cursor.as_deref().map(mark).transpose()?;
    let Listed { conversations, next } =
        door.hub().with_status(app, status, after, limit, reader(&who).as_ref()).await?;
    Ok(Said(ConversationsAnswer {
        conversations: conversations.into_iter().map(|one| json(Kind::Conversation(one))).collect(),
        next_cursor: next.map(|Mark(end)| URL_SAFE_NO_PAD.encode(end)),
        trace_id: trace.to_string(),
    }))
}

/// What is a conversation like?
#[utoipa::path(
    get, path = "/v1/conversations/{id}", tag = "conversations",
    params(("id" = String, Path, description = "Name of the conversation")),
    responses(
        (status = 200, description = "The conversation", body = ConversationAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(super) async fn show(
    Who(who): Who,
    Open(door): Open,
    trace: TraceId,
    PathId(id): PathId,
) -> Result<Said<ConversationAnswer>, ApiError> {
    let (id, ..) = visible(door.hub(), &who, &id).await?;
    let shown = door.hub().glance(id, reader(&who).as_ref()).await?.ok_or_else(unknown)?;
    let conversation = json(Kind::Conversation(shown));
    Ok(Said(ConversationAnswer { conversation, trace_id: trace.to_string() }))
}

/// What was said?
#[utoipa::path(
    get, path = "/v1/conversations/{id}/messages", tag = "conversations",
    params(("id" = String, Path, description = "Name of the conversation"), MessagesQuery),
    responses(
        (status = 200, description = "Messages, as agents see them", body = MessagesAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(super) async fn messages(
    Who(who): Who,
    Open(door): Open,
    trace: TraceId,
    PathId(id): PathId,
    query: Result<Query<MessagesQuery>, QueryRejection>,
) -> Result<Said<MessagesAnswer>, ApiError> {
    const { assert!(MAX_PULL == 200 && DEFAULT_PULL == USUAL_LIMIT) };
    let MessagesQuery { after, before, limit } = queried(query)?;
    let limit = within_limit(limit, USUAL_LIMIT)?;
    let from = match (after, before) {
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid_field("before", "send after or before, not both"));
        }
        (after, None) => PullFrom::After(after.unwrap_or(0)),
        (None, Some(before)) => PullFrom::Before(before),
    };
    let (conversation, head, last_seq) = visible(door.hub(), &who, &id).await?;
    let pull = Pull { conversation, from, limit };
    let range = json(Kind::Range(door.hub().page(&head, last_seq, pull, Side::Agent).await?));
    Ok(Said(MessagesAnswer { range, trace_id: trace.to_string() }))
}

/// Who waits for an agent?
#[utoipa::path(
    get, path = "/v1/queue", tag = "conversations",
    responses(
        (status = 200, description = "How many, and the first 50 of them", body = QueueAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(super) async fn queue(
    Who(who): Who,
    Open(door): Open,
    trace: TraceId,
) -> Result<Said<QueueAnswer>, ApiError> {
    let mut queue = v1::Queue::default();
    // Agents serve all apps, so a place counts them all; a service sees the places of its own.
    for (position, waits) in (1..).zip(door.hub().waiting().await?) {
        if !serves(&who, &waits.app) {
            continue;
        }
        queue.length += 1;
        if queue.waiting.len() < USUAL_LIMIT {
            let shown = door.hub().glance(waits.conversation, reader(&who).as_ref()).await?;
            queue
                .waiting
                .extend(shown.map(|shown| v1::Conversation { queue_position: position, ..shown }));
        }
    }
    Ok(Said(QueueAnswer { queue: json(Kind::Queue(queue)), trace_id: trace.to_string() }))
}

/// The conversation of this name with its head and last message, if `who` may see it.
async fn visible(
    hub: &Hub,
    who: &Principal,
    name: &str,
) -> Result<(ConversationId, Arc<Head>, u64), ApiError> {
    let id = ConversationId::parse(name).ok_or_else(unknown)?;
    let (head, last_seq) = hub.peek(id).await?;
    if serves(who, &head.app) { Ok((id, head, last_seq)) } else { Err(unknown()) }
}

/// Whether conversations of `app` are the caller's business.
/// The app that a request is about: the one that it names, or a service's own.
fn app_of(door: &Door, who: &Principal, app: Option<String>) -> Result<String, ApiError> {
    let app = match (app, who) {
        (Some(app), _) => app,
        (None, Principal::Service { app, .. }) => app.clone(),
        (None, _) => return Err(ApiError::invalid_field("app", "app is missing; send its id")),
    };
    let app = door.identity().app(&app)?.id.clone();
    if !serves(who, &app) {
        return Err(IdentityError::NoSuchApp.into());
    }
    Ok(app)
}

fn serves(who: &Principal, app: &str) -> bool {
    match who {
        Principal::Agent { .. } => true,
        Principal::Service { app: own, .. } => own == app,
        Principal::Visitor { .. } => false,
    }
}

/// Whose read cursor counts; a service has none.
fn reader(who: &Principal) -> Option<Party> {
    match who {
        Principal::Agent { id, .. } => Some(Party::agent(id)),
        Principal::Service { .. } | Principal::Visitor { .. } => None,
    }
}

fn unknown() -> ApiError {
    ApiError::new(ErrorCode::NoSuchConversation, "there is no such conversation")
}

fn mark(cursor: &str) -> Result<Mark, ApiError> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).map(Mark).ok_or_else(|| {
        ApiError::invalid_field("cursor", "this is no cursor; send the `next_cursor` of a page")
    })
}

/// What a body holds, as JSON.
fn json(kind: Kind) -> Value {
    let body = v1::Body { kind: Some(kind) };
    let frame = kefu_proto::json::to_json(&MessageHeader::default(), &body);
    let mut frame: Value = serde_json::from_str(&frame).expect("we wrote this JSON");
    let body = frame["body"].as_object_mut().and_then(|body| body.values_mut().next());
    body.map_or(Value::Null, Value::take)
}
