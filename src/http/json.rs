//! Reads a JSON body: bounded, in time, and with an error that points at the place.
//!
//! Every route with a body goes through [`Json`]. What the fields mean is the route's; how large a
//! body may be is `limits`'.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::AppState;
use super::error::{ApiError, ErrorCode};

/// A body must be complete within this time, or slow senders could hold every slot.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// A refused body is still read up to here: a client that is cut off in the middle of sending
/// sees a broken connection instead of the 413.
const DRAIN_BYTES: usize = 16 << 20;
/// Longest excerpt of a parser's message; it may quote the client's own text.
const MESSAGE_CHARS: usize = 200;

/// The body as a `T`.
///
/// # Errors
/// As the extractor: `unsupported_media_type`, `body_too_large`, `request_timeout`,
/// `invalid_utf8`, `invalid_json` (not JSON, a lone surrogate, or nested deeper than 128), and
/// `invalid_request` (JSON, but not a `T`).
pub(super) struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AppState> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        require_json(request.headers())?;
        parse(&read_in_time(request, state).await?).map(Json)
    }
}

/// The body as it is, for routes that take several types.
///
/// # Errors
/// As the extractor: `body_too_large`, `request_timeout`.
pub(super) struct Raw(pub Bytes);

impl FromRequest<AppState> for Raw {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        read_in_time(request, state).await.map(Self)
    }
}

async fn read_in_time(request: Request, state: &AppState) -> Result<Bytes, ApiError> {
    let read = read(request.into_body(), state.limits.max_body_bytes);
    tokio::time::timeout(BODY_TIMEOUT, read).await.map_err(|_elapsed| {
        let seconds = BODY_TIMEOUT.as_secs();
        let message = format!("the body took longer than {seconds} s; send it again, faster");
        ApiError::new(ErrorCode::RequestTimeout, message)
    })?
}

/// Parses a complete body.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let message = format!("byte {at} of the body is not UTF-8; encode the body as UTF-8");
        ApiError::new(ErrorCode::InvalidUtf8, message)
    })?;
    serde_json::from_str(text).map_err(|error| {
        let (code, advice) = match error.classify() {
            Category::Data => (ErrorCode::InvalidRequest, "see /openapi.json"),
            Category::Syntax | Category::Eof | Category::Io => {
                (ErrorCode::InvalidJson, "send one JSON object")
            }
        };
        let (line, column) = (error.line(), error.column());
        let reason = error.to_string();
        let place = format!(" at line {line} column {column}");
        let reason = reason.strip_suffix(&place).unwrap_or(&reason);
        let reason: String = reason.chars().take(MESSAGE_CHARS).collect();
        ApiError::new(code, format!("line {line}, column {column}: {reason}; {advice}"))
    })
}

fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        let message = "the body is compressed; send it without `content-encoding`";
        return Err(ApiError::new(ErrorCode::UnsupportedMediaType, message));
    }
    let sent = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = sent.and_then(|value| value.split(';').next()).map(str::trim);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let message = "send the body as JSON with the header `content-type: application/json`";
    Err(ApiError::new(ErrorCode::UnsupportedMediaType, message))
}

async fn read(mut body: Body, max_bytes: usize) -> Result<Bytes, ApiError> {
    let announced = body.size_hint().lower();
    if announced > DRAIN_BYTES as u64 {
        return Err(too_large(max_bytes));
    }
    let mut bytes = Vec::with_capacity(max_bytes.min(announced as usize));
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            tracing::debug!(%error, "a body broke off");
            ApiError::new(ErrorCode::InvalidJson, "the body broke off; send it again")
        })?;
        let Some(data) = frame.data_ref() else { continue };
        received += data.len();
        if received <= max_bytes {
            bytes.extend_from_slice(data);
        } else if received > DRAIN_BYTES {
            break;
        }
    }
    if received > max_bytes { Err(too_large(max_bytes)) } else { Ok(bytes.into()) }
}

fn too_large(max_bytes: usize) -> ApiError {
    let message = format!("the body is larger than {max_bytes} bytes; send less at once");
    ApiError::new(ErrorCode::BodyTooLarge, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it parses matters")]
    struct Sample {
        text: String,
    }

    #[test]
    fn bodies() {
        use ErrorCode::{InvalidJson, InvalidRequest, InvalidUtf8};
        let deep = format!("{{\"text\":{}", "[".repeat(10_000));
        let long = format!("{{\"text\":\"a\", \"{}\":1}}", "x".repeat(10_000));
        let rows: [(&str, &[u8], Option<ErrorCode>); 14] = [
            ("plain", br#"{"text": "hi"}"#, None),
            ("a NUL is text", br#"{"text": "a\u0000b"}"#, None),
            ("a pair of surrogates is text", br#"{"text": "\ud83d\ude00"}"#, None),
            ("nothing", b"", Some(InvalidJson)),
            ("half", br#"{"text": "hi"#, Some(InvalidJson)),
            ("trailing", br#"{"text": "hi"} x"#, Some(InvalidJson)),
            ("lone surrogate", br#"{"text": "\ud800"}"#, Some(InvalidJson)),
            ("raw NUL", b"{\"text\": \"a\0b\"}", Some(InvalidJson)),
            ("not UTF-8", b"{\"text\": \"\xff\"}", Some(InvalidUtf8)),
            ("no field", b"{}", Some(InvalidRequest)),
            ("unknown field", br#"{"text": "hi", "txet": 1}"#, Some(InvalidRequest)),
            ("wrong type", br#"{"text": 1}"#, Some(InvalidRequest)),
            ("deep", deep.as_bytes(), Some(InvalidRequest)),
            ("long name", long.as_bytes(), Some(InvalidRequest)),
        ];
        for (name, body, code) in rows {
            let parsed = parse::<Sample>(body);
            assert_eq!(parsed.as_ref().err().map(ApiError::code), code, "{name}");
            if let Err(error) = parsed {
                assert!(error.to_string().len() < 400, "{name}: {error}");
            }
        }
    }

    #[test]
    fn an_error_says_where() {
        let error = parse::<Sample>(b"{\n \"text\": 1}").unwrap_err();
        assert!(error.to_string().starts_with("line 2, column "), "{error}");
    }

    #[test]
    fn content_types() {
        let rows = [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/plain", false),
            ("application/jsonp", false),
            ("", false),
        ];
        for (sent, good) in rows {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, sent.parse().unwrap());
            assert_eq!(require_json(&headers).is_ok(), good, "{sent}");
        }
        assert!(require_json(&HeaderMap::new()).is_err());
        let mut compressed = HeaderMap::new();
        compressed.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        compressed.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(require_json(&compressed).is_err());
    }
}
