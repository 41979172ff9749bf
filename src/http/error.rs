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
pub struct ApiError {
    code: ErrorCode,
    message: String,
    retry_after_ms: Option<u64>,
    param: Option<&'static str>,
}

/// Stable names of failures; see [`ErrorCode::row`] for what each means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    InvalidUtf8,
    InvalidJson,
    Unauthorized,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    BodyTooLarge,
    UnsupportedMediaType,
    InvalidRequest,
    TextTooLong,
    BatchEmpty,
    BatchTooLarge,
    RateLimited,
    Busy,
    Internal,
    NotReady,
    Stopping,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct ErrorRow {
    /// The code as it is sent.
    pub name: &'static str,
    /// Status of the response.
    pub status: StatusCode,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// How long to wait when the failure itself does not know better.
    pub retry_after_ms: Option<u64>,
    /// What it means.
    pub doc: &'static str,
}

impl ErrorCode {
    /// All codes, by status.
    pub const ALL: [ErrorCode; 17] = [
        Self::InvalidUtf8,
        Self::InvalidJson,
        Self::Unauthorized,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::InvalidRequest,
        Self::TextTooLong,
        Self::BatchEmpty,
        Self::BatchTooLarge,
        Self::RateLimited,
        Self::Busy,
        Self::Internal,
        Self::NotReady,
        Self::Stopping,
    ];

    /// What the code means.
    pub const fn row(self) -> ErrorRow {
        let (name, status, retry, doc) = match self {
            Self::InvalidUtf8 => {
                ("invalid_utf8", StatusCode::BAD_REQUEST, Retry::No, "the body is not UTF-8")
            }
            Self::InvalidJson => {
                ("invalid_json", StatusCode::BAD_REQUEST, Retry::No, "the body is not JSON")
            }
            Self::Unauthorized => (
                "unauthorized",
                StatusCode::UNAUTHORIZED,
                Retry::No,
                "the API key is missing or wrong",
            ),
            Self::NotFound => {
                ("not_found", StatusCode::NOT_FOUND, Retry::No, "there is no such path")
            }
            Self::MethodNotAllowed => (
                "method_not_allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                Retry::No,
                "the path has other methods; see `Allow`",
            ),
            Self::RequestTimeout => (
                "request_timeout",
                StatusCode::REQUEST_TIMEOUT,
                Retry::Now,
                "the body did not arrive in time",
            ),
            Self::BodyTooLarge => (
                "body_too_large",
                StatusCode::PAYLOAD_TOO_LARGE,
                Retry::No,
                "the body is over `--max-body-bytes`",
            ),
            Self::UnsupportedMediaType => (
                "unsupported_media_type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                Retry::No,
                "the body is not `application/json`",
            ),
            Self::InvalidRequest => (
                "invalid_request",
                StatusCode::UNPROCESSABLE_ENTITY,
                Retry::No,
                "a field is missing, unknown, or wrong",
            ),
            Self::TextTooLong => (
                "text_too_long",
                StatusCode::UNPROCESSABLE_ENTITY,
                Retry::No,
                "a text is over `--max-text-chars`",
            ),
            Self::BatchEmpty => (
                "batch_empty",
                StatusCode::UNPROCESSABLE_ENTITY,
                Retry::No,
                "the batch holds no text",
            ),
            Self::BatchTooLarge => (
                "batch_too_large",
                StatusCode::UNPROCESSABLE_ENTITY,
                Retry::No,
                "the batch is over `--max-batch`",
            ),
            Self::RateLimited => (
                "rate_limited",
                StatusCode::TOO_MANY_REQUESTS,
                Retry::After(1000),
                "the address is over `--rate-limit`",
            ),
            Self::Busy => (
                "busy",
                StatusCode::TOO_MANY_REQUESTS,
                Retry::After(1000),
                "`--max-concurrent` or `--queue` is reached",
            ),
            Self::Internal => (
                "internal",
                StatusCode::INTERNAL_SERVER_ERROR,
                Retry::No,
                "a fault of the server; its log says",
            ),
            Self::NotReady => (
                "not_ready",
                StatusCode::SERVICE_UNAVAILABLE,
                Retry::After(1000),
                "the server is starting",
            ),
            Self::Stopping => (
                "stopping",
                StatusCode::SERVICE_UNAVAILABLE,
                Retry::After(1000),
                "the server is stopping",
            ),
        };
        let (retryable, retry_after_ms) = match retry {
            Retry::No => (false, None),
            Retry::Now => (true, None),
            Retry::After(ms) => (true, Some(ms)),
        };
        ErrorRow { name, status, retryable, retry_after_ms, doc }
    }
}

/// Whether the same request may succeed later, and when.
#[derive(Clone, Copy)]
enum Retry {
    No,
    Now,
    After(u64),
}

/// The body of every failure.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// Stable name; programs decide by it.
    #[schema(example = "text_too_long")]
    pub code: ErrorCode,
    /// For people: what is wrong and what to do. May change.
    #[schema(example = "the text has 2001 characters; send at most 2000")]
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// Milliseconds to wait before the next try; the `Retry-After` header says it in seconds.
    pub retry_after_ms: Option<u64>,
    /// Finds the request in the server's log.
    #[schema(example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    pub trace_id: String,
}

impl ApiError {
    /// A failure with its code and a message that says what to do.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let retry_after_ms = code.row().retry_after_ms;
        Self { code, message: message.into(), retry_after_ms, param: None }
    }

    /// A field is missing, unknown, or wrong.
    pub fn invalid_field(param: &'static str, message: impl Into<String>) -> Self {
        Self { param: Some(param), ..Self::new(ErrorCode::InvalidRequest, message) }
    }

    /// A bug or a broken model: `detail` goes to the log and nowhere else.
    pub fn internal(detail: &str) -> Self {
        tracing::error!(detail, "internal error");
        Self::new(ErrorCode::Internal, "the server failed; its log knows why, by the trace id")
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after_ms(self, wait_ms: u64) -> Self {
        Self { retry_after_ms: Some(wait_ms.max(1)), ..self }
    }

    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The field that is wrong, if it is one.
    pub fn param(&self) -> Option<&'static str> {
        self.param
    }

    /// Kefu's own body.
    pub fn body(&self, trace_id: String) -> ErrorBody {
        ErrorBody {
            error: ErrorDetail {
                code: self.code,
                message: self.message.clone(),
                retryable: self.code.row().retryable,
                retry_after_ms: self.retry_after_ms,
                trace_id,
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
    fn the_table_is_whole_and_its_names_are_those_on_the_wire() {
        for (at, code) in ErrorCode::ALL.into_iter().enumerate() {
            let row = code.row();
            assert_eq!(serde_json::to_value(code).unwrap(), row.name);
            assert_eq!(ErrorCode::ALL.iter().position(|other| *other == code), Some(at));
            assert!(row.status.is_client_error() || row.status.is_server_error(), "{}", row.name);
        }
        let statuses: Vec<_> = ErrorCode::ALL.iter().map(|code| code.row().status).collect();
        assert!(statuses.is_sorted());
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
        for code in ErrorCode::ALL {
            let ErrorRow { name, status, retryable, doc, .. } = code.row();
            let retry = if retryable { "yes" } else { "no" };
            let line = format!("| `{name}` | {} | {retry} | {doc} |", status.as_u16());
            assert!(docs.contains(&line), "docs/http.md lacks: {line}");
        }
    }
}
