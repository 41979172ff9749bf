//! Who may ask what: the one rule for every route that is not open to all.
//!
//! Applied by [`super::router`]. A caller shows the operator's key (`--api-key`), an API key of the
//! store, or the session of an agent. Holds only the digest of the operator's key, so neither a log
//! nor a core dump of this state shows it.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::AppState;
use super::error::{ApiError, ErrorCode};
use crate::identity::{Principal, Role};

/// SHA-256 of the operator's key.
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

/// What a route needs of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// To ask the model, and to watch the server.
    Ask,
    /// To change what the model knows.
    Edit,
    /// To take part in conversations.
    Serve,
    /// To be an agent.
    BeAgent,
    /// To manage apps, agents and keys.
    Manage,
}

impl Right {
    /// Whether `who` has it.
    fn allows(self, who: &Principal) -> bool {
        match (self, who) {
            (_, Principal::Visitor { .. }) => false,
            (Self::Ask | Self::Serve, Principal::Service { .. }) => true,
            (Self::Edit | Self::BeAgent | Self::Manage, Principal::Service { .. }) => false,
            (Self::Ask | Self::Edit | Self::BeAgent, Principal::Agent { .. }) => {
                who.has(Role::Editor)
            }
            (Self::Serve, Principal::Agent { .. }) => who.has(Role::Agent),
            (Self::Manage, Principal::Agent { .. }) => who.has(Role::Admin),
        }
    }

    /// Whether the operator's key gives it, or everybody has it where no such key is set. Where it
    /// matters who somebody is, a key that belongs to nobody does not do.
    fn is_the_operators(self) -> bool {
        matches!(self, Self::Ask | Self::Edit)
    }
}

/// What the layer goes by.
#[derive(Clone)]
pub(super) struct Guard {
    /// Knows the keys.
    pub(super) state: AppState,
    /// What the routes behind it need.
    pub(super) right: Right,
}

/// The layer: passes a caller who has the right, and tells the route who it is.
///
/// # Errors
/// `unauthorized`, with what to send; `forbidden`.
pub(super) async fn layer(
    State(Guard { state, right }): State<Guard>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let sent = sent_key(request.headers());
    let operator = || match (&state.api_key, sent) {
        (None, _) => true,
        (Some(digest), Some(key)) => digest.matches(key),
        (Some(_), None) => false,
    };
    if right.is_the_operators() && operator() {
        return Ok(next.run(request).await);
    }
    let sent = sent.ok_or_else(|| {
        refuse(
            "send an API key or a session as `Authorization: Bearer KEY`, or as `x-api-key: KEY`",
        )
    })?;
    let who = who(&state, sent).await?;
    if !right.allows(&who) {
        let message = "your role or key does not allow this; ask an administrator";
        return Err(ApiError::new(ErrorCode::Forbidden, message));
    }
    request.extensions_mut().insert(who);
    Ok(next.run(request).await)
}

/// Whose key or session this is.
async fn who(state: &AppState, sent: &str) -> Result<Principal, ApiError> {
    let wrong = || refuse("nobody here has this key; ask the operator of this server for one");
    let door = state.door.as_ref().ok_or_else(wrong)?;
    match sent {
        key if key.starts_with("kefu_") => Ok(door.identity().verify_key(key)?),
        session if session.starts_with("kfs_") => {
            Ok(door.identity().verify_session(session, door.hub().now_ms()).await?)
        }
        _ => Err(wrong()),
    }
}

/// Who asks, as the layer found it.
pub(super) struct Who(pub(super) Principal);

impl<S: Sync> FromRequestParts<S> for Who {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let who = parts.extensions.get().cloned().map(Self);
        who.ok_or_else(|| refuse("sign in, or send an API key"))
    }
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
pub(super) fn sent_key(headers: &HeaderMap) -> Option<&str> {
    bearer(headers).or_else(|| headers.get("x-api-key")?.to_str().ok().map(str::trim))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn rights() {
        let agent =
            |role| Principal::Agent { id: "a".to_owned(), name: String::new(), role, capacity: 1 };
        let service = Principal::Service { app: "shop".to_owned(), key: "k".to_owned() };
        let visitor = Principal::Visitor {
            app: "shop".to_owned(),
            id: "v".to_owned(),
            name: None,
            anonymous: true,
        };
        let callers =
            [visitor, service, agent(Role::Editor), agent(Role::Agent), agent(Role::Admin)];
        let rows = [
            (Right::Ask, [false, true, true, true, true]),
            (Right::Edit, [false, false, true, true, true]),
            (Right::Serve, [false, true, false, true, true]),
            (Right::BeAgent, [false, false, true, true, true]),
            (Right::Manage, [false, false, false, false, true]),
        ];
        for (right, allowed) in rows {
            assert_eq!(callers.each_ref().map(|who| right.allows(who)), allowed, "{right:?}");
        }
    }

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
