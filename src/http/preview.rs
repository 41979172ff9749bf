//! `POST /intents/preview`: what would an edit of the knowledge base do? Nothing is saved.

use std::collections::BTreeMap;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AppState;
use super::error::{ApiError, ErrorBody, ErrorCode, ErrorFinding};
use super::json::Json as SentJson;
use super::trace::TraceId;
use crate::preview::{CalibrationMode, Draft, Preview, PreviewError};

/// An edit that is not saved.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PreviewRequest {
    /// The whole new text of each changed file of the knowledge base, by file name; null: deleted.
    #[schema(example = json!({"orders.yaml": "version: 1\nintents: …"}))]
    files: BTreeMap<String, Option<String>>,
    /// Further messages to compare, up to `--max-batch`.
    #[serde(default)]
    messages: Vec<String>,
    /// Whether thresholds stay those of the model in use (seconds), or are fitted as a reload does.
    #[serde(default)]
    calibration: CalibrationMode,
}

/// What an edit would do.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PreviewAnswer {
    #[serde(flatten)]
    preview: Preview,
    /// Milliseconds that it took.
    took_ms: u64,
    /// Finds the request in the server's log.
    trace_id: String,
}

/// What would an edit change?
///
/// Compares the model in use with one of the edited knowledge base, over the golden set, the
/// held-out rows, logged messages and those of the request. Nothing is saved, and the model in use
/// goes on. One preview at a time.
#[utoipa::path(
    post, path = "/intents/preview", tag = "intent",
    request_body = PreviewRequest,
    responses(
        (status = 200, description = "The messages whose answers change, and why", body = PreviewAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(super) async fn preview(
    State(state): State<AppState>,
    trace: TraceId,
    SentJson(request): SentJson<PreviewRequest>,
) -> Result<Json<PreviewAnswer>, ApiError> {
    let started = Instant::now();
    let PreviewRequest { files: edits, messages, calibration } = request;
    if !messages.is_empty() {
        state.limits.check_batch(&messages)?;
    }
    let Some(previewer) = state.previewer.clone() else {
        let message =
            "this server keeps one model (--artifact, --build never); an edit changes nothing";
        return Err(ApiError::new(ErrorCode::NoSuchModel, message));
    };
    let preview = previewer.preview(Draft { edits, messages, calibration }).await?;
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Json(PreviewAnswer { preview, took_ms, trace_id: trace.to_string() }))
}

impl From<PreviewError> for ApiError {
    fn from(error: PreviewError) -> Self {
        let message = error.to_string();
        match error {
            PreviewError::Busy => Self::new(ErrorCode::Busy, message),
            PreviewError::Files(_) => Self::invalid_field("files", message),
            PreviewError::Findings(findings) => {
                let findings = findings.into_iter().map(|found| ErrorFinding {
                    code: found.code,
                    file: found.file.display().to_string(),
                    line: found.line,
                    column: found.column,
                    message: found.message,
                });
                Self::new(ErrorCode::InvalidKnowledge, message).with_findings(findings.collect())
            }
            PreviewError::Refused(_) => Self::new(ErrorCode::InvalidKnowledge, message),
            PreviewError::HeldOut(_) | PreviewError::Failed(_) => Self::internal(&message),
        }
    }
}
