//! The first start: makes all secrets, so that no server ever runs with a known one.

use super::error::IdentityError;
use super::keys;
use super::passwords::Passwords;
use super::records::{Agent, App, AppRates, Login, Reception, Record as _, Role, Server};
use super::secrets::{Secret, random_id};
use crate::store::{self, Batch, Store, StoreError};

/// The app that is there from the beginning; the bundled pages use it.
pub const DEFAULT_APP: &str = "default";
/// The login of the first administrator.
pub const ADMIN_LOGIN: &str = "admin";
/// Where the server's own secret lies.
pub(super) const SERVER: &str = "";

/// What the first start made: to be shown once, for the store keeps no password and no key.
#[derive(Debug)]
pub struct FirstStart {
    /// The app's id.
    pub app: String,
    /// With which a site signs its visitors' tokens.
    pub app_secret: Secret,
    /// The administrator's login.
    pub admin_login: String,
    /// The administrator's password.
    pub admin_password: Secret,
    /// For programs that speak for the app.
    pub api_key: Secret,
}

/// Makes everything in one batch; `None` when another start did so first.
pub(super) async fn first_start(
    store: &dyn Store,
    passwords: &Passwords,
    now_ms: u64,
) -> Result<Option<FirstStart>, IdentityError> {
    let admin_password = Secret::random_password();
    let app = App {
        id: DEFAULT_APP.to_owned(),
        name: "Default".to_owned(),
        secret: Secret::random(""),
        old_secret: None,
        public_keys: vec![],
        origins: vec![],
        local_origins: true,
        anonymous: true,
        reception: Reception::Bot,
        disabled: false,
        rates: AppRates::default(),
        created_ms: now_ms,
    };
    let admin = Agent {
        id: random_id(),
        login: ADMIN_LOGIN.to_owned(),
        name: "Admin".to_owned(),
        password_hash: passwords.hash(admin_password.clone()).await?,
        role: Role::Admin,
        capacity: 5,
        disabled: false,
        generation: 0,
        created_ms: now_ms,
    };
    let (key, api_key) = keys::make(DEFAULT_APP, "first start", now_ms);
    let server = Server { secret: Secret::random("") };
    let batch = Batch::default()
        .absent(Server::key(SERVER))
        .put(Server::key(SERVER), server.encode())
        .put(App::key(&app.id), app.encode())
        .put(Agent::key(&admin.id), admin.encode())
        .put(Login::key(&admin.login), Login { agent: admin.id.clone() }.encode())
        .put(super::ApiKey::key(&key.id), key.encode());
    match store::commit(store, batch).await {
        Ok(()) => {}
        Err(StoreError::Conflict) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let (app, app_secret) = (app.id, app.secret);
    Ok(Some(FirstStart { app, app_secret, admin_login: admin.login, admin_password, api_key }))
}
