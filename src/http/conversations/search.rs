//! `GET /v1/search`: what was said, in Chinese or any other language.

use axum::Json as Said;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kefu_proto::v1::Role;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::auth::Who;
use super::super::chat::Open;
use super::super::error::{ApiError, ErrorBody};
use super::super::query::{queried, within_limit};
use super::super::trace::TraceId;
use super::{app_of, reader};
use crate::chat::party::Party;
use crate::chat::search::{Hit, Query as Words, Snippet};
use crate::hub::{Cursor, Found};

/// Hits of a page when the request does not say.
const USUAL_HITS: usize = 20;

/// What to search for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct SearchQuery {
    /// Words as they were said; case, width and traditional characters do not matter.
    q: String,
    /// In which app; a service's own without it.
    app: Option<String>,
    /// 1 to 200; 20 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of messages that say it, those of the newest pages of the log first.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct SearchAnswer {
    hits: Vec<SearchHit>,
    /// Send it as `cursor` to go on; null at the end. A page may be empty and still go on.
    next_cursor: Option<String>,
    /// Finds the request in the server's log.
    trace_id: String,
}

/// A message that says it.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct SearchHit {
    /// Where.
    conversation: String,
    /// Which message.
    seq: u64,
    /// When, in milliseconds since 1970.
    at_ms: u64,
    /// `visitor`, `bot`, `agent` or `system`.
    role: &'static str,
    /// The sender's id; empty for the bot.
    sender: String,
    /// The words around.
    snippet: String,
    /// Where in the snippet the match begins, in characters.
    from: usize,
    /// Where it ends.
    to: usize,
}

/// Who said that?
#[utoipa::path(
    get, path = "/v1/search", tag = "conversations", params(SearchQuery),
    responses(
        (status = 200, description = "A page of messages", body = SearchAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(in super::super) async fn search(
    Who(who): Who,
    Open(door): Open,
    trace: TraceId,
    query: Result<Query<SearchQuery>, QueryRejection>,
) -> Result<Said<SearchAnswer>, ApiError> {
    let SearchQuery { q, app, limit, cursor } = queried(query)?;
    let words = Words::new(&q)
        .ok_or_else(|| ApiError::invalid_field("q", "q is empty or too long; send a few words"))?;
    let limit = within_limit(limit, USUAL_HITS)?;
    let app = app_of(&door, &who, app)?;
    let cursor = cursor.as_deref().map(parse).transpose()?;
    // A service sees what an agent sees.
    let reader = reader(&who).unwrap_or_else(|| Party::agent(""));
    let Found { hits, next } = door.hub().search(&reader, &app, &words, limit, cursor).await?;
    Ok(Said(SearchAnswer {
        hits: hits.into_iter().map(SearchHit::from).collect(),
        next_cursor: next.map(|next| URL_SAFE_NO_PAD.encode(next.to_bytes())),
        trace_id: trace.to_string(),
    }))
}

fn parse(cursor: &str) -> Result<Cursor, ApiError> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    bytes.and_then(|bytes| Cursor::parse(&bytes)).ok_or_else(|| {
        ApiError::invalid_field("cursor", "cursor is not one of ours; send next_cursor as it came")
    })
}

impl From<Hit> for SearchHit {
    fn from(hit: Hit) -> Self {
        let Hit { conversation, seq, at_ms, sender, snippet } = hit;
        let Snippet { text, from, to } = snippet;
        let role = match sender.role() {
            Role::Visitor => "visitor",
            Role::Bot => "bot",
            Role::Agent => "agent",
            Role::System | Role::Unspecified => "system",
        };
        let conversation = conversation.to_string();
        Self { conversation, seq, at_ms, role, sender: sender.id, snippet: text, from, to }
    }
}
