//! An agent signs in and out, and sets a new password.

use axum::Json as Said;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::auth::{Who, sent_key};
use super::super::chat::{From, Open};
use super::super::error::{ApiError, ErrorBody, ErrorCode, no_content};
use super::super::json::Json;
use super::super::trace::TraceId;
use crate::identity::{Principal, Role, Secret};

/// Who signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct LoginRequest {
    /// In any case.
    #[schema(example = "admin")]
    login: String,
    #[schema(value_type = String)]
    password: Secret,
}

/// A session has begun.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct LoginAnswer {
    /// Send it as `Authorization: Bearer TOKEN`; it is in no other answer.
    #[schema(value_type = String, example = "kfs_…")]
    token: Secret,
    /// When it ends unless it is used, in milliseconds since 1970.
    expires_ms: u64,
    agent: SelfItem,
    /// Finds the request in the server's log.
    trace_id: String,
}

/// Who I am.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct SelfItem {
    id: String,
    /// What visitors see.
    name: String,
    role: Role,
    /// Conversations at a time.
    capacity: u32,
}

/// Who I am.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct SelfAnswer {
    agent: SelfItem,
    /// Finds the request in the server's log.
    trace_id: String,
}

/// Another password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct OwnPasswordRequest {
    /// The one so far.
    #[schema(value_type = String)]
    old: Secret,
    /// 10 to 256 characters.
    #[schema(value_type = String)]
    new: Secret,
}

impl TryFrom<Principal> for SelfItem {
    type Error = ApiError;

    fn try_from(who: Principal) -> Result<Self, ApiError> {
        match who {
            Principal::Agent { id, name, role, capacity } => Ok(Self { id, name, role, capacity }),
            Principal::Visitor { .. } | Principal::Service { .. } => {
                Err(ApiError::new(ErrorCode::Forbidden, "only agents may do this"))
            }
        }
    }
}

/// Sign in
///
/// After wrong passwords the next try has to wait; docs/identity.md says how long.
#[utoipa::path(
    post, path = "/v1/agents/login", tag = "identity", security(()),
    request_body = LoginRequest,
    responses(
        (status = 200, description = "A session", body = LoginAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(in super::super) async fn login(
    from: From,
    Open(door): Open,
    trace: TraceId,
    Json(LoginRequest { login, password }): Json<LoginRequest>,
) -> Result<Said<LoginAnswer>, ApiError> {
    let (address, now_ms) = (from.address()?, door.hub().now_ms());
    let signed_in = door.identity().login(&login, password, address, now_ms).await?;
    Ok(Said(LoginAnswer {
        token: signed_in.token,
        expires_ms: signed_in.expires_ms,
        agent: signed_in.agent.try_into()?,
        trace_id: trace.to_string(),
    }))
}

/// Sign out
#[utoipa::path(
    post, path = "/v1/agents/logout", tag = "identity",
    responses(
        (status = 204, description = "The session is over"),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(in super::super) async fn logout(
    Open(door): Open,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    door.identity().logout(sent_key(&headers).unwrap_or_default()).await?;
    Ok(no_content())
}

/// Who am I?
#[utoipa::path(
    get, path = "/v1/agents/me", tag = "identity",
    responses(
        (status = 200, description = "The agent whose session this is", body = SelfAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(in super::super) async fn me(
    Who(who): Who,
    trace: TraceId,
) -> Result<Said<SelfAnswer>, ApiError> {
    Ok(Said(SelfAnswer { agent: who.try_into()?, trace_id: trace.to_string() }))
}

/// Set a new password
///
/// All sessions of the agent end, this one too.
#[utoipa::path(
    post, path = "/v1/agents/me/password", tag = "identity",
    request_body = OwnPasswordRequest,
    responses(
        (status = 204, description = "It is set; sign in again"),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(in super::super) async fn change_password(
    Who(who): Who,
    from: From,
    Open(door): Open,
    Json(OwnPasswordRequest { old, new }): Json<OwnPasswordRequest>,
) -> Result<Response, ApiError> {
    let (address, now_ms) = (from.address()?, door.hub().now_ms());
    let agent = SelfItem::try_from(who)?;
    door.identity().change_password(&agent.id, old, new, address, now_ms).await?;
    Ok(no_content())
}
