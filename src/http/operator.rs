//! `POST /operator/backup`: for whoever can read the store's folder, see `crate::operator`.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Json as Said;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Deserialize;

use super::AppState;
use super::auth::bearer;
use super::error::{ApiError, ErrorCode};
use super::json::Json;
use crate::operator::OperatorError;
use crate::store::embedded::Manifest;

/// Where to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    /// A folder of the server's machine that does not exist yet.
    folder: PathBuf,
}

pub(super) async fn backup(
    State(state): State<AppState>,
    headers: HeaderMap,
    Json(ask): Json<Ask>,
) -> Result<Said<Manifest>, ApiError> {
    let operator =
        state.operator.filter(|operator| bearer(&headers).is_some_and(|key| operator.knows(key)));
    let Some(operator) = operator else {
        let message = "only who can read the store's folder may do this";
        return Err(ApiError::new(ErrorCode::Unauthorized, message));
    };
    match Arc::clone(&operator).backup(ask.folder).await {
        Ok(manifest) => Ok(Said(manifest)),
        Err(OperatorError::Busy) => {
            Err(ApiError::new(ErrorCode::Busy, OperatorError::Busy.to_string()))
        }
        Err(OperatorError::Failed(message)) => Err(ApiError::new(ErrorCode::NotWritten, message)),
    }
}
