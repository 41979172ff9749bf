//! Administrators manage apps: the sites and products whose visitors write.

use axum::Json as Said;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::auth::Who;
use super::super::chat::Open;
use super::super::error::{ApiError, ErrorBody};
use super::super::json::Json;
use super::super::query::{PageQuery, PathId, queried};
use super::super::trace::TraceId;
use crate::identity::{App, AppRates, AppSettings, IdentityError, Reception, Secret};

/// An app.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct AppItem {
    id: String,
    /// For people.
    name: String,
    /// Ed25519 public keys: `x` of a JWK.
    public_keys: Vec<String>,
    /// Origins whose pages may connect.
    origins: Vec<String>,
    /// Whether pages of this server and of loopback addresses may connect too.
    local_origins: bool,
    /// Whether visitors without a token of the site get one.
    anonymous: bool,
    /// Who answers first.
    reception: Reception,
    /// Whether nobody may use it.
    disabled: bool,
    rates: AppRates,
    /// Until when tokens signed with the secret before are good, in milliseconds since 1970.
    old_secret_until_ms: Option<u64>,
    /// Milliseconds since 1970.
    created_ms: u64,
}

impl From<&App> for AppItem {
    fn from(app: &App) -> Self {
        Self {
            id: app.id.clone(),
            name: app.name.clone(),
            public_keys: app.public_keys.clone(),
            origins: app.origins.clone(),
            local_origins: app.local_origins,
            anonymous: app.anonymous,
            reception: app.reception,
            disabled: app.disabled,
            rates: app.rates,
            old_secret_until_ms: app.old_secret.as_ref().map(|old| old.until_ms),
            created_ms: app.created_ms,
        }
    }
}

/// A page of apps.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct AppsAnswer {
    apps: Vec<AppItem>,
    /// Send it as `cursor` for the next page; null at the end.
    next_cursor: Option<String>,
    /// Finds the request in the server's log.
    trace_id: String,
}

/// One app.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct AppAnswer {
    app: AppItem,
    /// Finds the request in the server's log.
    trace_id: String,
}

/// An app with its new secret.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct AppSecretAnswer {
    app: AppItem,
    /// With which the site signs its visitors' tokens; it is in no other answer.
    #[schema(value_type = String)]
    secret: Secret,
    /// Finds the request in the server's log.
    trace_id: String,
}

/// A new app.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct NewApp {
    /// 1 to 64 of a-z, 0-9 and `-`.
    id: String,
    #[serde(flatten)]
    settings: AppChange,
}

/// What is to change of an app.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct AppChange {
    name: Option<String>,
    public_keys: Option<Vec<String>>,
    origins: Option<Vec<String>>,
    local_origins: Option<bool>,
    anonymous: Option<bool>,
    reception: Option<Reception>,
    disabled: Option<bool>,
    rates: Option<AppRates>,
}

impl AppChange {
    /// What was sent, in the place of what is there.
    fn on(self, known: AppSettings) -> AppSettings {
        AppSettings {
            name: self.name.unwrap_or(known.name),
            public_keys: self.public_keys.unwrap_or(known.public_keys),
            origins: self.origins.unwrap_or(known.origins),
            local_origins: self.local_origins.unwrap_or(known.local_origins),
            anonymous: self.anonymous.unwrap_or(known.anonymous),
            reception: self.reception.unwrap_or(known.reception),
            disabled: self.disabled.unwrap_or(known.disabled),
            rates: self.rates.unwrap_or(known.rates),
        }
    }
}

/// Which apps are there?
#[utoipa::path(
    get, path = "/v1/apps", tag = "identity", params(PageQuery),
    responses(
        (status = 200, description = "A page of apps", body = AppsAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(in super::super) async fn list(
    Who(who): Who,
    Open(door): Open,
    trace: TraceId,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Said<AppsAnswer>, ApiError> {
    let all = door.identity().manage(&who)?.apps();
    let (page, next_cursor) = queried(query)?.cut(all, |app| &app.id)?;
    let apps = page.iter().map(|app| AppItem::from(&**app)).collect();
    Ok(Said(AppsAnswer { apps, next_cursor, trace_id: trace.to_string() }))
}

/// Make an app
///
/// Without settings no page may connect, visitors need the site's tokens, and the bot answers first.
#[utoipa::path(
    post, path = "/v1/apps", tag = "identity",
    request_body = NewApp,
    responses(
        (status = 200, description = "The app and its secret", body = AppSecretAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(in super::super) async fn create(
    Who(who): Who,
    Open(door): Open,
    trace: TraceId,
    Json(NewApp { id, settings }): Json<NewApp>,
) -> Result<Said<AppSecretAnswer>, ApiError> {
    let settings = settings.on(AppSettings {
        name: id.clone(),
        public_keys: vec![],
        origins: vec![],
        local_origins: false,
        anonymous: false,
        reception: Reception::Bot,
        disabled: false,
        rates: AppRates::default(),
    });
    let manager = door.identity().manage(&who)?;
    let app = manager.create_app(&id, settings, door.hub().now_ms()).await?;
    Ok(Said(with_secret(&app, &trace)))
}

/// Change an app
///
/// What is not sent stays.
#[utoipa::path(
    patch, path = "/v1/apps/{id}", tag = "identity",
    params(("id" = String, Path, description = "Id of the app")),
    request_body = AppChange,
    responses(
        (status = 200, description = "The app as it is now", body = AppAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(in super::super) async fn update(
    Who(who): Who,
    Open(door): Open,
    trace: TraceId,
    PathId(id): PathId,
    Json(sent): Json<AppChange>,
) -> Result<Said<AppAnswer>, ApiError> {
    let manager = door.identity().manage(&who)?;
    let known = manager.apps().into_iter().find(|app| app.id == id);
    let known = known.ok_or(IdentityError::NoSuchApp)?;
    let app = manager.update_app(&id, sent.on((&*known).into())).await?;
    Ok(Said(AppAnswer { app: (&app).into(), trace_id: trace.to_string() }))
}

/// Give an app a new secret
///
/// Tokens signed with the one before stay good for a day; a second call ends them at once.
#[utoipa::path(
    post, path = "/v1/apps/{id}/secret", tag = "identity",
    params(("id" = String, Path, description = "Id of the app")),
    responses(
        (status = 200, description = "The app and its new secret", body = AppSecretAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(in super::super) async fn rotate_secret(
    Who(who): Who,
    Open(door): Open,
    trace: TraceId,
    PathId(id): PathId,
) -> Result<Said<AppSecretAnswer>, ApiError> {
    let manager = door.identity().manage(&who)?;
    let app = manager.rotate_secret(&id, door.hub().now_ms()).await?;
    Ok(Said(with_secret(&app, &trace)))
}

fn with_secret(app: &App, trace: &TraceId) -> AppSecretAnswer {
    AppSecretAnswer { app: app.into(), secret: app.secret.clone(), trace_id: trace.to_string() }
}
