//! Administrators manage agents.

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
use crate::identity::{Agent, AgentSettings, IdentityError, Role, Secret};

/// Conversations at a time, unless it is said.
const USUAL_CAPACITY: u32 = 5;

/// An agent.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct AgentItem {
    id: String,
    login: String,
    /// What visitors see.
    name: String,
    role: Role,
    /// Conversations at a time.
    capacity: u32,
    /// Whether they may not sign in.
    disabled: bool,
    /// Milliseconds since 1970.
    created_ms: u64,
}

impl From<&Agent> for AgentItem {
    fn from(agent: &Agent) -> Self {
        Self {
            id: agent.id.clone(),
            login: agent.login.clone(),
            name: agent.name.clone(),
            role: agent.role,
            capacity: agent.capacity,
            disabled: agent.disabled,
            created_ms: agent.created_ms,
        }
    }
}

/// A page of agents.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct AgentsAnswer {
    agents: Vec<AgentItem>,
    /// Send it as `cursor` for the next page; null at the end.
    next_cursor: Option<String>,
    /// Finds the request in the server's log.
    trace_id: String,
}

/// One agent.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct AgentAnswer {
    agent: AgentItem,
    /// Finds the request in the server's log.
    trace_id: String,
}

/// A new agent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct NewAgent {
    /// 1 to 64 of a-z, 0-9 and `._@+-`.
    login: String,
    /// 10 to 256 characters.
    #[schema(value_type = String)]
    password: Secret,
    /// What visitors see.
    name: String,
    role: Role,
    /// Conversations at a time; 5 without it.
    capacity: Option<u32>,
}

/// What is to change of an agent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct AgentChange {
    name: Option<String>,
    role: Option<Role>,
    capacity: Option<u32>,
    /// Ends all sessions of the agent.
    disabled: Option<bool>,
}

/// Another password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct PasswordRequest {
    /// 10 to 256 characters.
    #[schema(value_type = String)]
    password: Secret,
}

/// Which agents are there?
#[utoipa::path(
    get, path = "/v1/agents", tag = "identity", params(PageQuery),
    responses(
        (status = 200, description = "A page of agents", body = AgentsAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(in super::super) async fn list(
    Who(who): Who,
    Open(door): Open,
    trace: TraceId,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Said<AgentsAnswer>, ApiError> {
    let all = door.identity().manage(&who)?.agents();
    let (page, next_cursor) = queried(query)?.cut(all, |agent| &agent.id)?;
    let agents = page.iter().map(|agent| AgentItem::from(&**agent)).collect();
    Ok(Said(AgentsAnswer { agents, next_cursor, trace_id: trace.to_string() }))
}

/// Make an agent
#[utoipa::path(
    post, path = "/v1/agents", tag = "identity",
    request_body = NewAgent,
    responses(
        (status = 200, description = "The agent", body = AgentAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(in super::super) async fn create(
    Who(who): Who,
    Open(door): Open,
    trace: TraceId,
    Json(new): Json<NewAgent>,
) -> Result<Said<AgentAnswer>, ApiError> {
    let NewAgent { login, password, name, role, capacity } = new;
    let capacity = capacity.unwrap_or(USUAL_CAPACITY);
    let settings = AgentSettings { name, role, capacity, disabled: false };
    let manager = door.identity().manage(&who)?;
    let agent = manager.create_agent(&login, password, settings, door.hub().now_ms()).await?;
    Ok(Said(AgentAnswer { agent: (&agent).into(), trace_id: trace.to_string() }))
}

/// Change an agent
///
/// What is not sent stays.
#[utoipa::path(
    patch, path = "/v1/agents/{id}", tag = "identity",
    params(("id" = String, Path, description = "Id of the agent")),
    request_body = AgentChange,
    responses(
        (status = 200, description = "The agent as it is now", body = AgentAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(in super::super) async fn update(
    Who(who): Who,
    Open(door): Open,
    trace: TraceId,
    PathId(id): PathId,
    Json(sent): Json<AgentChange>,
) -> Result<Said<AgentAnswer>, ApiError> {
    let manager = door.identity().manage(&who)?;
    let known = manager.agents().into_iter().find(|agent| agent.id == id);
    let known = known.ok_or(IdentityError::NoSuchAgent)?;
    let settings = AgentSettings {
        name: sent.name.unwrap_or_else(|| known.name.clone()),
        role: sent.role.unwrap_or(known.role),
        capacity: sent.capacity.unwrap_or(known.capacity),
        disabled: sent.disabled.unwrap_or(known.disabled),
    };
    let agent = manager.update_agent(&id, settings).await?;
    Ok(Said(AgentAnswer { agent: (&agent).into(), trace_id: trace.to_string() }))
}

/// Give an agent a new password
///
/// All sessions of the agent end.
#[utoipa::path(
    post, path = "/v1/agents/{id}/password", tag = "identity",
    params(("id" = String, Path, description = "Id of the agent")),
    request_body = PasswordRequest,
    responses(
        (status = 204, description = "It is set"),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(in super::super) async fn reset_password(
    Who(who): Who,
    Open(door): Open,
    PathId(id): PathId,
    Json(PasswordRequest { password }): Json<PasswordRequest>,
) -> Result<Response, ApiError> {
    door.identity().manage(&who)?.reset_password(&id, password).await?;
    Ok(no_content())
}
