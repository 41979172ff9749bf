//! Gives every request a trace id, and every failure its body.
//!
//! The outermost layer but for the metrics: what passes through here, 404s and panics included,
//! leaves with `x-trace-id` and `traceparent`. Knows W3C Trace Context and the two error shapes;
//! must not know what any route does.

use std::convert::Infallible;
use std::fmt;

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use super::error::ApiError;
use super::openai;

/// Response header with the bare trace id.
pub(super) const TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");
/// Header of W3C Trace Context, level 1 (<https://www.w3.org/TR/trace-context/>).
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The id under which a request stands in logs and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TraceId([u8; 16]);

impl TraceId {
    /// A new random id.
    pub(super) fn random() -> Self {
        Self(nonzero(rand::random))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<S: Sync> FromRequestParts<S> for TraceId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or_else(Self::random))
    }
}

/// The layer: names the request, then completes the response.
pub(super) async fn layer(mut request: Request, next: Next) -> Response {
    let parent = request.headers().get_all(TRACEPARENT).iter();
    // More than one parent is none: a proxy went wrong.
    let parent = match parent.collect::<Vec<_>>().as_slice() {
        [one] => one.to_str().ok().and_then(parse),
        _ => None,
    };
    let (trace, flags) = parent.unwrap_or_else(|| (TraceId::random(), 0));
    request.extensions_mut().insert(trace);
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    // The route, not the path: a path may name a session, which is a secret.
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("unmatched", MatchedPath::as_str).to_owned();

    // Whatever is logged below stands under the trace id.
    let span = tracing::info_span!("request", %trace, %method, route);
    let mut response = next.run(request).instrument(span).await;
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        let status = response.status().as_u16();
        tracing::debug!(%trace, %method, route, status, %error, "refused");
        response = write_body(response, &error, trace, &path);
    }
    stamp(response.headers_mut(), trace, flags);
    response
}

/// Puts the body of `error` under the head that it has already: status, `Allow`, `Retry-After`.
fn write_body(response: Response, error: &ApiError, trace: TraceId, path: &str) -> Response {
    let body = if path == openai::PATH {
        Json(openai::error_body(error)).into_response()
    } else {
        Json(error.body(trace.to_string())).into_response()
    };
    let (mut head, _) = response.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    for (name, value) in body.headers() {
        head.headers.insert(name, value.clone());
    }
    Response::from_parts(head, Body::new(body.into_body()))
}

fn stamp(headers: &mut HeaderMap, trace: TraceId, flags: u8) {
    let span =
        nonzero::<8>(rand::random).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let pairs =
        [(TRACE_ID, trace.to_string()), (TRACEPARENT, format!("00-{trace}-{span}-{flags:02x}"))];
    for (name, value) in pairs {
        let value = HeaderValue::try_from(value).expect("hex digits and dashes are a header value");
        headers.insert(name, value);
    }
}

/// Reads `version-traceid-parentid-flags`: the trace id and the flags that we hand on.
fn parse(header: &str) -> Option<(TraceId, u8)> {
    let mut fields = header.split('-');
    let (version, trace, parent, flags) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let [version] = hex::<1>(version)?;
    let trace = hex::<16>(trace)?;
    let parent = hex::<8>(parent)?;
    let [flags] = hex::<1>(flags)?;
    // Version 00 ends after the flags; later versions may go on; ff is forbidden.
    let complete = version != 0xff && (version > 0 || fields.next().is_none());
    let named = trace != [0; 16] && parent != [0; 8];
    // Only the `sampled` bit is known to level 1.
    (complete && named).then_some((TraceId(trace), flags & 1))
}

/// `N` bytes in lower-case hex, as the recommendation demands.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |at: u8| match at {
        b'0'..=b'9' => Some(at - b'0'),
        b'a'..=b'f' => Some(at - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
    }
    Some(bytes)
}

/// All zeros is "no id" in Trace Context.
fn nonzero<const N: usize>(draw: impl Fn() -> [u8; N]) -> [u8; N] {
    loop {
        let bytes = draw();
        if bytes != [0; N] {
            return bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn traceparent() {
        let rows = [
            ("valid", format!("00-{TRACE}-00f067aa0ba902b7-01"), Some(1)),
            ("unknown flags are dropped", format!("00-{TRACE}-00f067aa0ba902b7-fe"), Some(0)),
            ("a later version may be longer", format!("01-{TRACE}-00f067aa0ba902b7-01-x"), Some(1)),
            ("version 00 may not", format!("00-{TRACE}-00f067aa0ba902b7-01-x"), None),
            ("version ff is forbidden", format!("ff-{TRACE}-00f067aa0ba902b7-01"), None),
            ("upper case", format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()), None),
            ("no trace", format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), None),
            ("no parent", format!("00-{TRACE}-0000000000000000-01"), None),
            ("short", format!("00-{TRACE}-00f067aa0ba902b7"), None),
            ("not hex", format!("00-{TRACE}-00f067aa0ba902bg-01"), None),
            ("empty", String::new(), None),
        ];
        for (name, header, flags) in rows {
            let parsed = parse(&header);
            assert_eq!(parsed.map(|(_, flags)| flags), flags, "{name}");
            if let Some((trace, _)) = parsed {
                assert_eq!(trace.to_string(), TRACE, "{name}");
            }
        }
    }

    #[test]
    fn random_ids_differ() {
        assert_ne!(TraceId::random(), TraceId::random());
    }
}
