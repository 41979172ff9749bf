//! Administrators manage API keys, with which other programs speak for an app.

use axum::Json as Said;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::auth::Who;
use super::super::chat::Open;
use super::super::error::{ApiError, ErrorBody, no_content};
use super::super::json::Json;
use super::super::query::{PageQuery, PathId, queried};
use super::super::trace::TraceId;
use crate::identity::{ApiKey, Secret};

/// An API key, without the key itself.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct KeyItem {
    /// The readable part of the key.
    id: String,
    /// What it is for.
    name: String,
    /// The app it speaks for.
    app: String,
    /// Milliseconds since 1970.
    created_ms: u64,
}

impl From<&ApiKey> for KeyItem {
    fn from(key: &ApiKey) -> Self {
        Self {
            id: key.id.clone(),
            name: key.name.clone(),
            app: key.app.clone(),
            created_ms: key.created_ms,
        }
    }
}

/// A page of API keys.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct KeysAnswer {
    keys: Vec<KeyItem>,
    /// Send it as `cursor` for the next page; null at the end.
    next_cursor: Option<String>,
    /// Finds the request in the server's log.
    trace_id: String,
}

/// A new API key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct NewKey {
    /// The app it speaks for.
    app: String,
    /// What it is for.
    #[serde(default)]
    name: String,
}

/// An API key that was just made.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct KeySecretAnswer {
    key: KeyItem,
    /// The key itself; it is in no other answer.
    #[schema(value_type = String, example = "kefu_…")]
    secret: Secret,
    /// Finds the request in the server's log.
    trace_id: String,
}

/// Which API keys are there?
#[utoipa::path(
    get, path = "/v1/keys", tag = "identity", params(PageQuery),
    responses(
        (status = 200, description = "A page of API keys", body = KeysAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(in super::super) async fn list(
    Who(who): Who,
    Open(door): Open,
    trace: TraceId,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Said<KeysAnswer>, ApiError> {
    let all = door.identity().manage(&who)?.api_keys();
    let (page, next_cursor) = queried(query)?.cut(all, |key| &key.id)?;
    let keys = page.iter().map(|key| KeyItem::from(&**key)).collect();
    Ok(Said(KeysAnswer { keys, next_cursor, trace_id: trace.to_string() }))
}

/// Make an API key
#[utoipa::path(
    post, path = "/v1/keys", tag = "identity",
    request_body = NewKey,
    responses(
        (status = 200, description = "The key, which nobody can see again", body = KeySecretAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(in super::super) async fn create(
    Who(who): Who,
    Open(door): Open,
    trace: TraceId,
    Json(NewKey { app, name }): Json<NewKey>,
) -> Result<Said<KeySecretAnswer>, ApiError> {
    let manager = door.identity().manage(&who)?;
    let (key, secret) = manager.create_key(&app, &name, door.hub().now_ms()).await?;
    Ok(Said(KeySecretAnswer { key: (&key).into(), secret, trace_id: trace.to_string() }))
}

/// End an API key
#[utoipa::path(
    delete, path = "/v1/keys/{id}", tag = "identity",
    params(("id" = String, Path, description = "Id of the key")),
    responses(
        (status = 204, description = "It is refused from now on"),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(in super::super) async fn delete(
    Who(who): Who,
    Open(door): Open,
    PathId(id): PathId,
) -> Result<Response, ApiError> {
    door.identity().manage(&who)?.delete_key(&id).await?;
    Ok(no_content())
}
