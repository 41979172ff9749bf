//! `GET /openapi.json`: the document that [`super::router`] collects from the routes themselves.
//!
//! A route and its description stand in one macro, so neither exists without the other;
//! `docs/openapi.json` is the same document, committed, and a test compares the two.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::AppState;
use super::error::{self, ErrorRow};

/// What stands above the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Kefu",
        description = "Customer service with an understanding of its own. Errors, limits and \
                       metrics are described in docs/http.md."
    ),
    tags(
        (name = "intent", description = "What does a text mean?"),
        (name = "review", description = "What the bot should learn next"),
        (name = "conversations", description = "What agents and services do with conversations"),
        (name = "identity", description = "Agents, apps and API keys; see docs/identity.md"),
        (name = "drop-in", description = "The same, in the words of other systems"),
        (name = "operation", description = "For those who run the server"),
    ),
    security(("bearer" = []), ("x-api-key" = [])),
    modifiers(&Keys, &Errors)
)]
pub(super) struct Preface;

/// The two ways to send the API key.
struct Keys;

impl Modify for Keys {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let header = ApiKey::Header(ApiKeyValue::new("x-api-key"));
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        components.add_security_scheme("x-api-key", SecurityScheme::ApiKey(header));
    }
}

/// The table of errors, which no schema can hold.
struct Errors;

impl Modify for Errors {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let mut text = openapi.info.description.take().unwrap_or_default();
        text.push_str("\n\n| error code | status | meaning |\n|---|---|---|\n");
        for ErrorRow { name, status, doc, .. } in &error::TABLE {
            text.push_str(&format!("| `{name}` | {} | {doc} |\n", status.as_u16()));
        }
        openapi.info.description = Some(text);
    }
}

/// The finished document as JSON text.
#[derive(Clone)]
pub(super) struct Document(pub(super) Arc<str>);

/// What can be asked here?
#[utoipa::path(
    get, path = "/openapi.json", tag = "operation", security(()),
    responses((status = 200, description = "This document", body = Object))
)]
pub(super) async fn show(
    State(_): State<AppState>,
    axum::Extension(document): axum::Extension<Document>,
) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], document.0.to_string())
}
