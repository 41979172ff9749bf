//! Who may ask: one API key, compared in constant time.
//!
//! Applied by [`super::router`] to everything but the probes and `/openapi.json`. Holds only the
//! key's digest, so neither a log nor a core dump of this state shows the key.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::AppState;
use super::error::{ApiError, ErrorCode};

/// SHA-256 of the API key.
///
/// A digest makes all keys equally long, so that the comparison leaks no length either.
#[derive(Clone)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of `key`.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    fn matches(&self, key: &str) -> bool {
        self.0.ct_eq(&Self::of(key).0).into()
    }
}

/// The layer: passes a request with the right key, or any when no key is set.
///
/// # Errors
/// `unauthorized`, with how to send the key.
pub(super) async fn layer(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if let Some(digest) = &state.api_key {
        let key = sent_key(request.headers()).ok_or_else(|| {
            refuse("send the API key as `Authorization: Bearer KEY` or as `x-api-key: KEY`")
        })?;
        if !digest.matches(key) {
            return Err(refuse("the API key is wrong; ask the operator of this server for it"));
        }
    }
    Ok(next.run(request).await)
}

fn refuse(message: &str) -> ApiError {
    ApiError::new(ErrorCode::Unauthorized, message)
}

/// What a request brings as `Authorization: Bearer`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?;
    let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// The key of a request; `Authorization` wins where both headers are sent.
fn sent_key(headers: &HeaderMap) -> Option<&str> {
    bearer(headers).or_else(|| headers.get("x-api-key")?.to_str().ok().map(str::trim))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn keys_in_headers() {
        type Sent = &'static [(&'static str, &'static str)];
        let rows: [(&str, Sent, Option<&str>); 6] = [
            ("none", &[], None),
            ("bearer", &[("authorization", "Bearer k1")], Some("k1")),
            ("scheme in any case", &[("authorization", "bearer k1")], Some("k1")),
            ("own header", &[("x-api-key", "k2")], Some("k2")),
            ("basic is not a key", &[("authorization", "Basic azE=")], None),
            ("both", &[("authorization", "Bearer k1"), ("x-api-key", "k2")], Some("k1")),
        ];
        for (name, sent, key) in rows {
            let mut headers = HeaderMap::new();
            for (header, value) in sent {
                headers.insert(*header, HeaderValue::from_static(value));
            }
            assert_eq!(sent_key(&headers), key, "{name}");
        }
    }

    #[test]
    fn only_the_same_key_matches() {
        let digest = KeyDigest::of("correct horse");
        assert!(digest.matches("correct horse"));
        assert!(!digest.matches("correct hors"));
        assert!(!digest.matches(""));
    }
}
