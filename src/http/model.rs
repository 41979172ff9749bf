//! `GET /model`, `POST /model/rollback` and `POST /model/shadow`: what answers here, what answered
//! before, and what judges in its shadow.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AppState;
use super::error::{ApiError, ErrorBody, ErrorCode};
use super::json::Json as SentJson;
use super::trace::TraceId;
use crate::flips::golden::GoldenReport;
use crate::reload::{Keeper, RollbackError};
use crate::shadow::ShadowReport;
use crate::understand::ModelSummary;

/// Failing golden sentences that are shown.
const FAILURES: usize = 20;

/// The model in use.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelAnswer {
    #[serde(flatten)]
    model: ModelSummary,
    /// Why the newest knowledge base is not in use; null when it is.
    refused: Option<String>,
    /// How the model answers the golden set; null when it is not asked, or not yet.
    golden: Option<GoldenReport>,
    /// How the model in the shadow differs; null when there is none.
    shadow: Option<ShadowReport>,
    /// Finds the request in the server's log.
    trace_id: String,
}

/// Which model answers here?
#[utoipa::path(
    get, path = "/model", tag = "intent",
    responses(
        (status = 200, description = "The model in use", body = ModelAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(super) async fn show(State(state): State<AppState>, trace: TraceId) -> Json<ModelAnswer> {
    Json(answer(&state, &trace))
}

fn answer(state: &AppState, trace: &TraceId) -> ModelAnswer {
    let keeper = state.keeper.as_ref();
    ModelAnswer {
        model: (*state.engine.model()).clone(),
        refused: keeper.and_then(|keeper| keeper.refused()),
        golden: keeper.and_then(|keeper| keeper.golden()).map(|report| report.cut(FAILURES)),
        shadow: state.engine.shadow(),
        trace_id: trace.to_string(),
    }
}

/// Which model to go back to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RollbackRequest {
    /// Its version; without one, the model that was in use before.
    #[serde(default)]
    #[schema(example = "b5a3315686a6")]
    version: Option<String>,
}

/// Answer with another model
///
/// An earlier one, or one that was tried in the shadow. The next edit of the knowledge base, and the
/// next start, take the newest again.
#[utoipa::path(
    post, path = "/model/rollback", tag = "intent",
    request_body = RollbackRequest,
    responses(
        (status = 200, description = "The model in use now", body = ModelAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(super) async fn rollback(
    State(state): State<AppState>,
    trace: TraceId,
    SentJson(request): SentJson<RollbackRequest>,
) -> Result<Json<ModelAnswer>, ApiError> {
    keeper(&state)?.roll_back(request.version).await?;
    Ok(Json(answer(&state, &trace)))
}

/// Which model to put into the shadow.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ShadowRequest {
    /// Its version; null ends the shadow.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required = true, example = "b5a3315686a6")]
    version: Option<String>,
}

/// Let another model judge in the shadow
///
/// It judges what is asked from now on, beside the model in use, and answers nothing; `GET /model`
/// counts where it differs. `POST /model/rollback` with its version takes it into use.
#[utoipa::path(
    post, path = "/model/shadow", tag = "intent",
    request_body = ShadowRequest,
    responses(
        (status = 200, description = "The model in use, and its shadow", body = ModelAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(super) async fn shadow(
    State(state): State<AppState>,
    trace: TraceId,
    SentJson(request): SentJson<ShadowRequest>,
) -> Result<Json<ModelAnswer>, ApiError> {
    keeper(&state)?.shadow(request.version).await?;
    Ok(Json(answer(&state, &trace)))
}

fn keeper(state: &AppState) -> Result<&Keeper, ApiError> {
    state.keeper.as_deref().ok_or_else(|| {
        let message = "this server keeps one model (--artifact, --build never); there is no other";
        ApiError::new(ErrorCode::NoSuchModel, message)
    })
}

impl From<RollbackError> for ApiError {
    fn from(error: RollbackError) -> Self {
        match error {
            RollbackError::Unknown(reason) => Self::new(ErrorCode::NoSuchModel, reason),
            RollbackError::Busy => Self::new(ErrorCode::Busy, error.to_string()),
            RollbackError::Thread(_) | RollbackError::Artifact(_) => {
                Self::internal(&error.to_string())
            }
        }
    }
}
