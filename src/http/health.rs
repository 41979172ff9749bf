//! `GET /healthz` (the process lives) and `GET /readyz` (send it requests).

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::error::{ApiError, ErrorBody, ErrorCode};

/// Where the server is in its life; shared by the edge and who starts and stops it.
#[derive(Clone, Default)]
pub struct Readiness(Arc<AtomicU8>);

const READY: u8 = 1;
const STOPPING: u8 = 2;

impl Readiness {
    /// From now on requests are welcome.
    pub fn ready(&self) {
        self.0.store(READY, Ordering::Release);
    }

    /// From now on they should go elsewhere.
    pub fn stopping(&self) {
        self.0.store(STOPPING, Ordering::Release);
    }

    fn check(&self) -> Result<(), ApiError> {
        match self.0.load(Ordering::Acquire) {
            READY => Ok(()),
            STOPPING => Err(ApiError::new(ErrorCode::Stopping, "the server is stopping")),
            _ => Err(ApiError::new(ErrorCode::NotReady, "the server is starting; try again")),
        }
    }
}

/// A good sign.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok` or `ready`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Does the process live?
#[utoipa::path(
    get, path = "/healthz", tag = "operation", security(()),
    responses((status = 200, description = "It does", body = Health))
)]
pub(super) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Shall it get requests?
#[utoipa::path(
    get, path = "/readyz", tag = "operation", security(()),
    responses(
        (status = 200, description = "Yes", body = Health),
        (status = 503, description = "Not yet, or no more", body = ErrorBody),
    )
)]
pub(super) async fn readyz(State(state): State<AppState>) -> Result<Json<Health>, ApiError> {
    state.readiness.check()?;
    Ok(Json(Health { status: "ready" }))
}
