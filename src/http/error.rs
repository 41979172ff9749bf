//! The one table of public error codes: code, status, whether to retry, and what it means.
//!
//! Every part of the edge fails with an [`ApiError`]. It travels as a response extension up to
//! [`super::trace`], which alone knows the trace id and writes the body. Internal detail is logged,
//! never sent. Nothing outside this file names a status code of a failure.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::understand::UnderstandError;

/// A failure that a client is told about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct ApiError {
    code: ErrorCode,
    message: String,
    retry_after_ms: Option<u64>,
    param: Option<&'static str>,
    findings: Vec<ErrorFinding>,
}

/// Stable names of failures; [`TABLE`] says what each means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[cfg_attr(test, derive(serde::Deserialize))]
#[serde(rename_all = "snake_case")]
pub(super) enum ErrorCode {
    InvalidUtf8,
    InvalidJson,
    MalformedFrame,
    Unauthorized,
    TokenExpired,
    Forbidden,
    OriginRefused,
    NotFound,
    NoSuchAgent,
    NoSuchApp,
    NoSuchConversation,
    NoSuchKey,
    NoSuchMessage,
    NoSuchModel,
    NoSuchReviewItem,
    NoSuchSession,
    ReviewOff,
    MethodNotAllowed,
    RequestTimeout,
    AlreadyAccepted,
    ExampleConflict,
    FileChanged,
    KnowledgeFaulty,
    NotEditable,
    AppTaken,
    ChangedMeanwhile,
    IdReused,
    LastAdmin,
    LoginTaken,
    BodyTooLarge,
    UnsupportedMediaType,
    InvalidRequest,
    InvalidKnowledge,
    TextTooLong,
    BatchEmpty,
    BatchTooLarge,
    UnknownIntent,
    UnknownSlot,
    RateLimited,
    Busy,
    Internal,
    NotWritten,
    NotReady,
    Unavailable,
    Stopping,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct ErrorRow {
    /// The code as it is sent.
    pub(super) name: &'static str,
    /// Status of the response.
    pub(super) status: StatusCode,
    /// Whether, and when, the same request may succeed later.
    pub(super) retry: Retry,
    /// What it means.
    pub(super) doc: &'static str,
}

/// Whether, and when, the same request may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    No,
    Now,
    AfterMs(u64),
}

/// The table, in the order of [`ErrorCode`].
#[rustfmt::skip]
pub(super) static TABLE: [ErrorRow; 45] = {
    use self::{Retry::{AfterMs, No, Now}, StatusCode as S};
    [
        row("invalid_utf8", S::BAD_REQUEST, No, "the body is not UTF-8"),
        row("invalid_json", S::BAD_REQUEST, No, "the body is not JSON"),
        row("malformed_frame", S::BAD_REQUEST, No, "the body is no frame, or not the one that belongs here; see PROTOCOL.md"),
        row("unauthorized", S::UNAUTHORIZED, No, "the API key, token, login or password is missing or wrong"),
        row("token_expired", S::UNAUTHORIZED, No, "the visitor's token was good once; get another"),
        row("forbidden", S::FORBIDDEN, No, "the role does not allow it"),
        row("origin_refused", S::FORBIDDEN, No, "the app does not list the page's origin"),
        row("not_found", S::NOT_FOUND, No, "there is no such path"),
        row("no_such_agent", S::NOT_FOUND, No, "there is no such agent, or none at work"),
        row("no_such_app", S::NOT_FOUND, No, "there is no such app, or it is disabled"),
        row("no_such_conversation", S::NOT_FOUND, No, "there is no such conversation, or it is not the caller's"),
        row("no_such_key", S::NOT_FOUND, No, "there is no such API key"),
        row("no_such_message", S::NOT_FOUND, No, "the conversation has no such message"),
        row("no_such_model", S::NOT_FOUND, No, "there is no such model here"),
        row("no_such_review_item", S::NOT_FOUND, No, "the review queue has no such entry"),
        row("no_such_session", S::NOT_FOUND, No, "the session is over; begin another with a Hello and the cursors"),
        row("review_off", S::NOT_FOUND, No, "the server keeps no review queue (`--review off`)"),
        row("method_not_allowed", S::METHOD_NOT_ALLOWED, No, "the path has other methods; see `Allow`"),
        row("request_timeout", S::REQUEST_TIMEOUT, Now, "the body did not arrive in time"),
        row("already_accepted", S::CONFLICT, No, "the entry is an example already"),
        row("example_conflict", S::CONFLICT, No, "the text is an example of something else; the message says where"),
        row("file_changed", S::CONFLICT, Now, "somebody else wrote the file meanwhile"),
        row("knowledge_faulty", S::CONFLICT, No, "the knowledge base on disk has a fault; the message says where"),
        row("not_editable", S::CONFLICT, No, "the file has a shape that cannot be edited in place"),
        row("app_taken", S::CONFLICT, No, "another app has the id"),
        row("changed_meanwhile", S::CONFLICT, Now, "somebody else changed it at the same time; read it again"),
        row("id_reused", S::CONFLICT, No, "the `Idempotency-Key` or `client_msg_id` named another message"),
        row("last_admin", S::CONFLICT, No, "nobody could manage the server any more"),
        row("login_taken", S::CONFLICT, No, "another agent has the login"),
        row("body_too_large", S::PAYLOAD_TOO_LARGE, No, "the body is over `--max-body-bytes`"),
        row("unsupported_media_type", S::UNSUPPORTED_MEDIA_TYPE, No, "the body is not `application/json`"),
        row("invalid_request", S::UNPROCESSABLE_ENTITY, No, "a field is missing, unknown, or wrong"),
        row("invalid_knowledge", S::UNPROCESSABLE_ENTITY, No, "the knowledge base would be refused; `findings` say where"),
        row("text_too_long", S::UNPROCESSABLE_ENTITY, No, "a text is over `--max-text-chars`"),
        row("batch_empty", S::UNPROCESSABLE_ENTITY, No, "the batch holds no text"),
        row("batch_too_large", S::UNPROCESSABLE_ENTITY, No, "the batch is over `--max-batch`"),
        row("unknown_intent", S::UNPROCESSABLE_ENTITY, No, "the knowledge base has no such intent"),
        row("unknown_slot", S::UNPROCESSABLE_ENTITY, No, "`slots` names a slot that its intent does not have"),
        row("rate_limited", S::TOO_MANY_REQUESTS, AfterMs(1000), "the address is over `--rate-limit`"),
        row("busy", S::TOO_MANY_REQUESTS, AfterMs(1000), "`--max-concurrent` or `--queue` is reached"),
        row("internal", S::INTERNAL_SERVER_ERROR, No, "a fault of the server; its log says"),
        row("not_written", S::INTERNAL_SERVER_ERROR, No, "the knowledge base or the review queue cannot be written; the message says why"),
        row("not_ready", S::SERVICE_UNAVAILABLE, AfterMs(1000), "the server is starting"),
        row("unavailable", S::SERVICE_UNAVAILABLE, AfterMs(5000), "the store takes no writes; the server's log says why"),
        row("stopping", S::SERVICE_UNAVAILABLE, AfterMs(1000), "the server is stopping"),
    ]
};

const fn row(name: &'static str, status: StatusCode, retry: Retry, doc: &'static str) -> ErrorRow {
    ErrorRow { name, status, retry, doc }
}

/// 202: what was sent will be done, and answered elsewhere.
pub(super) fn accepted() -> Response {
    StatusCode::ACCEPTED.into_response()
}

/// 204: it is done, and there is nothing to say.
pub(super) fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// 304: the caller has it already.
pub(super) fn not_modified() -> Response {
    StatusCode::NOT_MODIFIED.into_response()
}

impl ErrorCode {
    /// What the code means.
    pub(super) fn row(self) -> &'static ErrorRow {
        &TABLE[self as usize]
    }
}

/// The body of every failure.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorBody {
    /// What went wrong.
    pub(super) error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorDetail {
    /// Stable name; programs decide by it.
    #[schema(example = "text_too_long")]
    pub(super) code: ErrorCode,
    /// For people: what is wrong and what to do. May change.
    #[schema(example = "the text has 2001 characters; send at most 2000")]
    pub(super) message: String,
    /// Whether the same request may succeed later.
    pub(super) retryable: bool,
    /// Milliseconds to wait before the next try; the `Retry-After` header says it in seconds.
    pub(super) retry_after_ms: Option<u64>,
    /// Finds the request in the server's log.
    #[schema(example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    pub(super) trace_id: String,
    /// What is wrong with a knowledge base, for `invalid_knowledge`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) findings: Vec<ErrorFinding>,
}

/// Something wrong with a file of the knowledge base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct ErrorFinding {
    /// Stable code, see `docs/knowledge-base.md`.
    #[schema(example = "KB001")]
    pub(super) code: &'static str,
    /// The file.
    pub(super) file: String,
    /// From 1.
    pub(super) line: u64,
    /// From 1, in characters.
    pub(super) column: u64,
    /// What is wrong and what to do.
    pub(super) message: String,
}

impl ApiError {
    /// A failure with its code and a message that says what to do.
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let retry_after_ms = match code.row().retry {
            Retry::No | Retry::Now => None,
            Retry::AfterMs(wait_ms) => Some(wait_ms),
        };
        Self { code, message: message.into(), retry_after_ms, param: None, findings: Vec::new() }
    }

    /// A field is missing, unknown, or wrong.
    pub(super) fn invalid_field(param: &'static str, message: impl Into<String>) -> Self {
        Self { param: Some(param), ..Self::new(ErrorCode::InvalidRequest, message) }
    }

    /// A bug or a broken model: `detail` goes to the log and nowhere else.
    pub(super) fn internal(detail: &str) -> Self {
        tracing::error!(detail, "internal error");
        Self::new(ErrorCode::Internal, "the server failed; its log knows why, by the trace id")
    }

    /// Says when to try again.
    #[must_use]
    pub(super) fn retry_after_ms(self, wait_ms: u64) -> Self {
        Self { retry_after_ms: Some(wait_ms.max(1)), ..self }
    }

    /// Says where a knowledge base is wrong.
    #[must_use]
    pub(super) fn with_findings(self, findings: Vec<ErrorFinding>) -> Self {
        Self { findings, ..self }
    }

    /// The stable code.
    pub(super) fn code(&self) -> ErrorCode {
        self.code
    }

    /// The field that is wrong, if it is one.
    pub(super) fn param(&self) -> Option<&'static str> {
        self.param
    }

    /// Kefu's own body.
    pub(super) fn body(&self, trace_id: String) -> ErrorBody {
        ErrorBody {
            error: ErrorDetail {
                code: self.code,
                message: self.message.clone(),
                retryable: self.code.row().retry != Retry::No,
                retry_after_ms: self.retry_after_ms,
                trace_id,
                findings: self.findings.clone(),
            },
        }
    }
}

impl From<UnderstandError> for ApiError {
    fn from(error: UnderstandError) -> Self {
        match error {
            UnderstandError::Busy { capacity } => Self::new(
                ErrorCode::Busy,
                format!("{capacity} texts wait already; try again after the time in `Retry-After`"),
            ),
            UnderstandError::Stopping => {
                Self::new(ErrorCode::Stopping, "the server is stopping; try again or elsewhere")
            }
            UnderstandError::Failed(detail) => Self::internal(&detail),
        }
    }
}

impl IntoResponse for ApiError {
    /// Status and headers; the body follows in [`super::trace`].
    fn into_response(self) -> Response {
        let row = self.code.row();
        let mut response = row.status.into_response();
        if let Some(wait_ms) = self.retry_after_ms {
            let seconds = wait_ms.div_ceil(1000).max(1);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == ErrorCode::Unauthorized {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_its_names_are_those_on_the_wire() {
        for (at, row) in TABLE.iter().enumerate() {
            let code: ErrorCode = serde_json::from_value(row.name.into()).unwrap();
            assert_eq!(code as usize, at, "{}", row.name);
            assert!(row.status.is_client_error() || row.status.is_server_error(), "{}", row.name);
        }
        assert_eq!(ErrorCode::Stopping as usize + 1, TABLE.len(), "the last code has a row");
        assert!(TABLE.is_sorted_by_key(|row| row.status));
    }

    #[test]
    fn a_wait_is_a_header_in_whole_seconds_rounded_up() {
        let error = ApiError::new(ErrorCode::RateLimited, "slow down").retry_after_ms(1001);
        let response = error.into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    }

    #[test]
    fn internal_detail_stays_inside() {
        let error = ApiError::from(UnderstandError::Failed("/secret/path".to_owned()));
        let body = serde_json::to_string(&error.body("id".to_owned())).unwrap();
        assert!(!body.contains("secret"), "{body}");
    }

    #[test]
    fn the_docs_hold_the_table() {
        let docs = include_str!("../../docs/http.md");
        for ErrorRow { name, status, retry, doc, .. } in &TABLE {
            let retry = if *retry == Retry::No { "no" } else { "yes" };
            let line = format!("| `{name}` | {} | {retry} | {doc} |", status.as_u16());
            assert!(docs.contains(&line), "docs/http.md lacks: {line}");
        }
    }
}
