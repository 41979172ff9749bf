//! Agents, apps and API keys over HTTP: signing in, and what administrators manage.
//!
//! Who somebody is and what is valid is `crate::identity`'s to say; here its records get a shape for
//! the outside, in which no secret stands but the one that was just made.

mod agents;
mod apps;
mod keys;
mod sign_in;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;

/// What needs no key: one gets a session here.
pub(super) fn open_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(sign_in::login))
}

/// What agents do about themselves.
pub(super) fn own_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(sign_in::logout))
        .routes(routes!(sign_in::me))
        .routes(routes!(sign_in::change_password))
}

/// What administrators do.
pub(super) fn managing_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(agents::list, agents::create))
        .routes(routes!(agents::update))
        .routes(routes!(agents::reset_password))
        .routes(routes!(apps::list, apps::create))
        .routes(routes!(apps::update))
        .routes(routes!(apps::rotate_secret))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::delete))
}
