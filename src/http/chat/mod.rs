//! How clients reach conversations: WebSocket, sessions over HTTP, and tokens for visitors.
//!
//! What frames say is `crate::transport`'s and PROTOCOL.md's. Pages of other sites may call these
//! routes: what a caller may do depends on its token, and where a token is good is the app's to say.

mod sessions;
mod visitors;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{ConnectInfo, FromRequestParts, State};
use axum::http::{HeaderMap, header, request::Parts};
use axum::response::Response;
use axum::routing::{delete, get, post};
use tower_http::cors::{Any, CorsLayer};

use super::AppState;
use super::error::{ApiError, ErrorCode};
use crate::chat::refusal::Refusal;
use crate::identity::IdentityError;
use crate::store::StoreError;
use crate::transport::{Caller, Door, ws};
use kefu_proto::v1::ErrorCode as WireCode;

/// The routes; PROTOCOL.md and docs/identity.md describe them.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/ws", get(connect))
        .route("/v1/visitors", post(visitors::issue))
        .route("/v1/visitors/renew", post(visitors::renew))
        .route("/v1/sessions", post(sessions::begin))
        .route("/v1/sessions/{session}", delete(sessions::end))
        .route("/v1/sessions/{session}/frames", post(sessions::frames))
        .route("/v1/sessions/{session}/events", get(sessions::events))
        .route("/v1/sessions/{session}/poll", get(sessions::poll))
        // Before the layer, which answers preflights: they are requests of another method.
        .method_not_allowed_fallback(super::method_not_allowed)
        .layer(CorsLayer::new().allow_origin(Any).allow_methods(Any).allow_headers(Any))
}

async fn connect(from: From, Open(door): Open, upgrade: WebSocketUpgrade) -> Response {
    ws::connect(door, upgrade, from.caller, from.address)
}

/// Where a request comes from.
pub(super) struct From {
    pub(super) caller: Caller,
    pub(super) address: Option<IpAddr>,
}

impl From {
    /// The peer's address, by which passwords and new visitors are counted.
    pub(super) fn address(&self) -> Result<IpAddr, ApiError> {
        self.address.ok_or_else(|| ApiError::internal("a connection without a peer"))
    }
}

impl<S: Sync> FromRequestParts<S> for From {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let address = peer.map(|ConnectInfo(peer)| peer.ip());
        Ok(Self { caller: caller(&parts.headers), address })
    }
}

fn caller(headers: &HeaderMap) -> Caller {
    let text = |name| headers.get(name)?.to_str().ok().map(str::to_owned);
    Caller { origin: text(header::ORIGIN), host: text(header::HOST) }
}

/// The door to conversations, where the server has one.
pub(super) struct Open(pub(super) Arc<Door>);

impl FromRequestParts<AppState> for Open {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &AppState,
    ) -> Result<Self, Self::Rejection> {
        let State(state) = State::<AppState>::from_request_parts(parts, state)
            .await
            .expect("the state is always there");
        let message = "this server keeps no conversations";
        state.door.map(Self).ok_or_else(|| ApiError::new(ErrorCode::NotFound, message))
    }
}

impl std::convert::From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.code {
            WireCode::Malformed | WireCode::Unexpected => ErrorCode::MalformedFrame,
            WireCode::Unspecified | WireCode::Invalid => ErrorCode::InvalidRequest,
            WireCode::Conflict => ErrorCode::IdReused,
            WireCode::TooLarge => ErrorCode::BodyTooLarge,
            WireCode::Unauthorized => ErrorCode::Unauthorized,
            WireCode::TokenExpired => ErrorCode::TokenExpired,
            WireCode::Forbidden | WireCode::NotOwner => ErrorCode::Forbidden,
            WireCode::OriginRefused => ErrorCode::OriginRefused,
            WireCode::NoSuchApp => ErrorCode::NoSuchApp,
            WireCode::NoSuchSession => ErrorCode::NoSuchSession,
            WireCode::NoSuchConversation => ErrorCode::NoSuchConversation,
            WireCode::NoSuchMessage => ErrorCode::NoSuchMessage,
            WireCode::NoSuchAgent => ErrorCode::NoSuchAgent,
            WireCode::RateLimited => ErrorCode::RateLimited,
            WireCode::Busy => ErrorCode::Busy,
            WireCode::Unavailable => ErrorCode::Unavailable,
            WireCode::Internal => return Self::internal(&refusal.message),
        };
        let error = Self::new(code, refusal.message);
        match refusal.retry_after_ms {
            0 => error,
            wait_ms => error.retry_after_ms(wait_ms.into()),
        }
    }
}

impl std::convert::From<IdentityError> for ApiError {
    fn from(error: IdentityError) -> Self {
        use IdentityError as E;
        let message = error.to_string();
        let code = match error {
            E::Unauthorized(_) | E::TokenInvalid(_) => ErrorCode::Unauthorized,
            E::TokenExpired => ErrorCode::TokenExpired,
            E::Forbidden => ErrorCode::Forbidden,
            E::OriginRefused => ErrorCode::OriginRefused,
            E::RateLimited { retry_after_ms } => {
                return Self::new(ErrorCode::RateLimited, message).retry_after_ms(retry_after_ms);
            }
            E::Busy => ErrorCode::Busy,
            E::NoSuchApp => ErrorCode::NoSuchApp,
            E::NoSuchAgent => ErrorCode::NoSuchAgent,
            E::NoSuchKey => ErrorCode::NoSuchKey,
            E::LoginTaken => ErrorCode::LoginTaken,
            E::AppTaken => ErrorCode::AppTaken,
            E::LastAdmin => ErrorCode::LastAdmin,
            E::WeakPassword { .. } | E::Invalid { .. } => ErrorCode::InvalidRequest,
            E::Damaged(_) | E::Threads(_) => return Self::internal(&message),
            E::Store(StoreError::Busy) => ErrorCode::Busy,
            E::Store(StoreError::Conflict) => {
                let message = "somebody else changed it at the same time; read it and try again";
                return Self::new(ErrorCode::ChangedMeanwhile, message);
            }
            E::Store(error) => {
                tracing::error!(%error, "the store failed");
                let message = "the server cannot store anything at the moment; try again later";
                return Self::new(ErrorCode::Unavailable, message);
            }
        };
        Self::new(code, message)
    }
}
