//! The HTTP edge: routes, limits, keys, errors, metrics, and the document that describes them.
//!
//! Called by `crate::server`. Turns requests into questions to the engine and its answers into
//! JSON; must not know how the engine answers, nor where configuration comes from.
//!
//! A request passes, from the outside in: metrics, trace, panic catcher, then for the working
//! routes limits and API key, then the route.

pub mod auth;
mod catalog;
mod chat;
mod conversations;
mod engine;
mod error;
pub mod health;
mod identity;
mod intent;
mod json;
pub mod limits;
pub mod metrics;
mod model;
mod openai;
mod openapi;
mod operator;
mod page;
mod preview;
mod query;
mod rasa;
mod review;
mod slots;
#[cfg(test)]
pub(crate) mod tests;
mod trace;

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::http::{Method, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::auth::{Guard, KeyDigest, Right};
pub use self::engine::Engine;
use self::error::{ApiError, ErrorCode};
pub use self::health::Readiness;
use self::limits::Gate;
pub use self::limits::Limits;
use self::metrics::Metrics;
use crate::bot::Attendant;
use crate::operator::Operator;
use crate::preview::Previewer;
use crate::reload::Keeper;
use crate::review::Review;
use crate::transport::Door;

/// What the routes share; cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// Answers.
    pub engine: Engine,
    /// Knows how reloads went and earlier models; none where the model is fixed.
    pub keeper: Option<Arc<Keeper>>,
    /// Keeps messages for editors; none where that is turned off.
    pub review: Option<Arc<Review>>,
    /// Says what an edit would do; none where the model is fixed.
    pub previewer: Option<Arc<Previewer>>,
    /// The way to conversations; none where the server keeps none.
    pub door: Option<Arc<Door>>,
    /// Answers in conversations; none where the server keeps none.
    pub bot: Option<Arc<Attendant>>,
    /// Does what operators of this machine ask; none where the server keeps no store.
    pub operator: Option<Arc<Operator>>,
    /// Bounds of one request.
    pub limits: Limits,
    /// Bounds of all requests together; made from `limits`.
    pub gate: Arc<Gate>,
    /// Digest of the operator's key; none: anyone may ask and edit.
    pub api_key: Option<KeyDigest>,
    /// Counters.
    pub metrics: Metrics,
    /// Whether requests are welcome.
    pub readiness: Readiness,
}

impl AppState {
    /// State of a server that is starting, with a model that stays.
    pub fn new(engine: impl Into<Engine>, limits: Limits, api_key: Option<KeyDigest>) -> Self {
        Self {
            engine: engine.into(),
            keeper: None,
            review: None,
            previewer: None,
            door: None,
            bot: None,
            operator: None,
            limits,
            gate: Arc::new(Gate::new(&limits)),
            api_key,
            metrics: Metrics::new(),
            readiness: Readiness::default(),
        }
    }
}

/// All routes with their layers.
pub fn router(state: AppState) -> Router {
    let (routes, document) = routes(&state).split_for_parts();
    let document = document.to_pretty_json().expect("a document of strings and lists is JSON");
    let document = openapi::Document(format!("{document}\n").into());
    routes
        .merge(chat::routes())
        .merge(page::routes())
        .route("/operator/backup", post(operator::backup))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::Extension(document))
        .layer(CatchPanicLayer::custom(caught))
        .layer(from_fn(trace::layer))
        .layer(from_fn_with_state(state.clone(), metrics::layer))
        .with_state(state)
}

fn routes(state: &AppState) -> OpenApiRouter<AppState> {
    let limited = || from_fn_with_state(state.clone(), limits::layer);
    let guarded = |right| from_fn_with_state(Guard { state: state.clone(), right }, auth::layer);
    let asking = OpenApiRouter::new()
        .routes(routes!(intent::ask))
        .routes(routes!(intent::ask_batch))
        .routes(routes!(model::show))
        .routes(routes!(catalog::intents))
        .routes(routes!(rasa::parse))
        .routes(routes!(openai::embeddings))
        .route_layer(guarded(Right::Ask));
    let editing = OpenApiRouter::new()
        .routes(routes!(model::rollback))
        .routes(routes!(model::shadow))
        .routes(routes!(preview::preview))
        .routes(routes!(review::list))
        .routes(routes!(review::clusters))
        .routes(routes!(review::show))
        .routes(routes!(review::decide::correct))
        .routes(routes!(review::decide::accept_many))
        .routes(routes!(review::decide::accept))
        .routes(routes!(review::decide::out_of_scope))
        .routes(routes!(review::decide::dismiss))
        .route_layer(guarded(Right::Edit));
    let working = OpenApiRouter::new()
        .merge(asking)
        .merge(editing)
        .merge(conversations::routes().route_layer(guarded(Right::Serve)))
        .merge(identity::own_routes().route_layer(guarded(Right::BeAgent)))
        .merge(identity::managing_routes().route_layer(guarded(Right::Manage)))
        .merge(identity::open_routes())
        .route_layer(limited());
    // An operator must see in, all the more when the server is busy.
    let watching =
        OpenApiRouter::new().routes(routes!(metrics::show)).route_layer(guarded(Right::Ask));
    OpenApiRouter::with_openapi(openapi::Preface::openapi())
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(openapi::show))
        .merge(watching)
        .merge(working)
}

async fn not_found(uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(100).collect();
    let message = format!("there is no {path}; /openapi.json lists what there is");
    ApiError::new(ErrorCode::NotFound, message)
}

async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    let message = format!("{} does not take {method}; the `Allow` header says what", uri.path());
    ApiError::new(ErrorCode::MethodNotAllowed, message)
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over")]
fn caught(panic: Box<dyn Any + Send>) -> Response {
    let detail = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    ApiError::internal(detail).into_response()
}
