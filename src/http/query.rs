//! Reads what stands in a request's path and query, and cuts lists into pages.
//!
//! Every route with an id or a list goes through here, so that a wrong one fails in the one shape.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use utoipa::IntoParams;

use super::AppState;
use super::error::{ApiError, ErrorCode};

/// Items of a page when the request does not say.
pub(super) const USUAL_LIMIT: usize = 50;

/// The id in a path. What is no text names nothing.
pub(super) struct PathId(pub(super) String);

impl FromRequestParts<AppState> for PathId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id))
            .map_err(|_| ApiError::new(ErrorCode::NotFound, "the id in the path is not UTF-8"))
    }
}

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// 1 to 200; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl PageQuery {
    /// Cuts the page out of `all`, which is in the order of `id`, and says where the next begins.
    pub(super) fn cut<T>(
        self,
        all: Vec<Arc<T>>,
        id: impl Fn(&T) -> &str,
    ) -> Result<(Vec<Arc<T>>, Option<String>), ApiError> {
        let limit = within_limit(self.limit, USUAL_LIMIT)?;
        let after = self.cursor.unwrap_or_default();
        let mut page: Vec<_> =
            all.into_iter().filter(|one| id(one) > after.as_str()).take(limit + 1).collect();
        let more = page.len() > limit;
        page.truncate(limit);
        let next = page.last().filter(|_| more).map(|last| id(last).to_owned());
        Ok((page, next))
    }
}

/// The query of a request.
///
/// # Errors
/// `invalid_request`, with what is wrong.
pub(super) fn queried<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, ApiError> {
    query.map(|Query(query)| query).map_err(|rejection| {
        let reason: String = rejection.body_text().chars().take(200).collect();
        ApiError::new(ErrorCode::InvalidRequest, format!("{reason}; see /openapi.json"))
    })
}

/// How many items a page has.
///
/// # Errors
/// `invalid_request` for anything but 1 to 200.
pub(super) fn within_limit(limit: Option<usize>, usual: usize) -> Result<usize, ApiError> {
    match limit.unwrap_or(usual) {
        limit @ 1..=200 => Ok(limit),
        limit => Err(ApiError::invalid_field("limit", format!("limit is {limit}, send 1 to 200"))),
    }
}
