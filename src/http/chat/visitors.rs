//! Tokens for visitors who are nobody else's: `POST /v1/visitors`, `POST /v1/visitors/renew`.

use axum::Json as Said;
use serde::{Deserialize, Serialize};

use super::super::error::ApiError;
use super::super::json::Json;
use super::{From, Open};
use crate::identity::{AnonymousToken, Source};

/// Who wants a token.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Ask {
    app_id: String,
    /// The token to renew.
    #[serde(default)]
    token: String,
}

/// A visitor's token. It is the visitor: keep it.
#[derive(Debug, Serialize)]
pub(in super::super) struct Given {
    token: String,
    visitor: String,
    /// Milliseconds since 1970; renew it before.
    expires_ms: u64,
}

pub(in super::super) async fn issue(
    from: From,
    Open(door): Open,
    Json(ask): Json<Ask>,
) -> Result<Said<Given>, ApiError> {
    let (address, now_ms) = (from.address()?, door.hub().now_ms());
    let given = door.identity().issue_anonymous(&ask.app_id, source(&from), address, now_ms)?;
    Ok(Said(given.into()))
}

pub(in super::super) async fn renew(
    from: From,
    Open(door): Open,
    Json(ask): Json<Ask>,
) -> Result<Said<Given>, ApiError> {
    let now_ms = door.hub().now_ms();
    let given = door.identity().renew_anonymous(&ask.app_id, &ask.token, source(&from), now_ms)?;
    Ok(Said(given.into()))
}

fn source(from: &From) -> Source<'_> {
    Source { origin: from.caller.origin.as_deref(), host: from.caller.host.as_deref() }
}

impl std::convert::From<AnonymousToken> for Given {
    fn from(given: AnonymousToken) -> Self {
        let AnonymousToken { token, visitor, expires_ms } = given;
        Self { token: token.reveal().to_owned(), visitor, expires_ms }
    }
}
