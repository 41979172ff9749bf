//! [`Identity`]: opens what the store holds, and tells who a visitor or a service is.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use super::attempts::Attempts;
use super::directory::{Directory, read};
use super::error::IdentityError;
use super::origins::{self, Source};
use super::passwords::Passwords;
use super::rates::{Rate, Traffic, household};
use super::records::{App, Server};
use super::secrets::Secret;
use super::start::{FirstStart, SERVER, first_start};
use super::tokens::{AnonymousToken, Desk, Visitor};
use super::{Principal, keys};
use crate::store::{self, Batch, Store, StoreError};

const HOUR_MS: u64 = 60 * 60 * 1_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// How long things last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The longest that a visitor's token may be good.
    pub max_token_ms: u64,
    /// How long the token of an anonymous visitor is good; it can be renewed before.
    pub anonymous_token_ms: u64,
    /// New anonymous visitors a second and address.
    pub anonymous_per_s: NonZeroU32,
    /// An agent's session ends when it was not used for so long.
    pub session_idle_ms: u64,
    /// An agent's session ends after so long in any case.
    pub session_max_ms: u64,
    /// How long a replaced secret of an app is still good.
    pub rotation_grace_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_token_ms: 30 * DAY_MS,
            anonymous_token_ms: 7 * DAY_MS,
            anonymous_per_s: NonZeroU32::new(5).expect("five is not zero"),
            session_idle_ms: 12 * HOUR_MS,
            session_max_ms: 7 * DAY_MS,
            rotation_grace_ms: DAY_MS,
        }
    }
}

/// Who everybody is.
pub struct Identity {
    pub(super) store: Arc<dyn Store>,
    pub(super) settings: Settings,
    pub(super) directory: ArcSwap<Directory>,
    /// Held while something is changed, so that the directory follows the store in order.
    changing: Mutex<()>,
    pub(super) passwords: Passwords,
    pub(super) attempts: Attempts,
    server: Secret,
    traffic: Traffic,
    newcomers: Rate,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Identity {
    /// Opens what `store` holds. At the very first start it makes the secrets, and hands them over
    /// to be shown once.
    ///
    /// # Errors
    /// When the store fails, or a record in it cannot be read.
    pub async fn open(
        store: Arc<dyn Store>,
        settings: Settings,
        now_ms: u64,
    ) -> Result<(Self, Option<FirstStart>), IdentityError> {
        let passwords = Passwords::start()?;
        let known = read::<Server>(&*store, SERVER).await?.is_some();
        let first = if known { None } else { first_start(&*store, &passwords, now_ms).await? };
        let (server, _) = read::<Server>(&*store, SERVER)
            .await?
            .ok_or(IdentityError::Damaged("server secret"))?;
        let directory = ArcSwap::from_pointee(Directory::load(&*store).await?);
        let identity = Self {
            store,
            settings,
            directory,
            changing: Mutex::new(()),
            passwords,
            attempts: Attempts::default(),
            server: server.secret,
            traffic: Traffic::default(),
            newcomers: Rate::new(settings.anonymous_per_s),
        };
        Ok((identity, first))
    }

    /// Reads apps, agents and keys again: after another node may have changed them.
    ///
    /// # Errors
    /// When the store fails; what was known stays.
    pub async fn reload(&self) -> Result<(), IdentityError> {
        let _turn = self.changing.lock().await;
        self.refresh().await
    }

    /// The app with this id.
    ///
    /// # Errors
    /// `no_such_app`, also when it is disabled.
    pub fn app(&self, id: &str) -> Result<Arc<App>, IdentityError> {
        self.directory.load().app(id)
    }

    /// Who a visitor's token speaks for, when a request from `source` shows it to `app`.
    ///
    /// # Errors
    /// `no_such_app`, `origin_refused`, `token_expired`, `token_invalid`.
    pub fn verify_visitor(
        &self,
        app: &str,
        token: &str,
        source: Source<'_>,
        now_ms: u64,
    ) -> Result<Visitor, IdentityError> {
        let app = self.app_from(app, source)?;
        self.desk(&app, now_ms).verify(token, source.origin)
    }

    /// A token for a new anonymous visitor.
    ///
    /// # Errors
    /// `no_such_app`, `origin_refused`, `rate_limited`; `forbidden` when the app takes none.
    pub fn issue_anonymous(
        &self,
        app: &str,
        source: Source<'_>,
        address: IpAddr,
        now_ms: u64,
    ) -> Result<AnonymousToken, IdentityError> {
        let app = self.app_from(app, source)?;
        let limited = |retry_after_ms| IdentityError::RateLimited { retry_after_ms };
        self.newcomers.check(&household(address)).map_err(limited)?;
        let origin = source.origin.map(str::to_owned);
        self.desk(&app, now_ms).issue(None, origin, self.settings.anonymous_token_ms)
    }

    /// A later token for the same anonymous visitor.
    ///
    /// # Errors
    /// As [`Self::verify_visitor`]; `forbidden` for a token of the site, which the site renews.
    pub fn renew_anonymous(
        &self,
        app: &str,
        token: &str,
        source: Source<'_>,
        now_ms: u64,
    ) -> Result<AnonymousToken, IdentityError> {
        let app = self.app_from(app, source)?;
        let desk = self.desk(&app, now_ms);
        let visitor = desk.verify(token, source.origin)?;
        if !visitor.anonymous {
            return Err(IdentityError::Forbidden);
        }
        let origin = source.origin.map(str::to_owned).or(visitor.origin);
        desk.issue(Some(visitor.id), origin, self.settings.anonymous_token_ms)
    }

    /// Counts one request of a visitor.
    ///
    /// # Errors
    /// `no_such_app`; `rate_limited` when the visitor, or all of the app's, send too much.
    pub fn admit(&self, app: &str, visitor: &str) -> Result<(), IdentityError> {
        self.traffic.check(&*self.app(app)?, visitor)
    }

    /// The service that an API key belongs to.
    ///
    /// # Errors
    /// `unauthorized`; `no_such_app` when its app is disabled.
    pub fn verify_key(&self, key: &str) -> Result<Principal, IdentityError> {
        let directory = self.directory.load();
        let known = keys::id_of(key).and_then(|id| directory.keys.get(id));
        let known = known.filter(|known| known.record.fingerprint.matches(key));
        let record = &known.ok_or(IdentityError::Unauthorized("API key"))?.record;
        let app = directory.app(&record.app)?.id.clone();
        Ok(Principal::Service { app, key: record.id.clone() })
    }

    fn app_from(&self, app: &str, source: Source<'_>) -> Result<Arc<App>, IdentityError> {
        let app = self.app(app)?;
        if origins::allows(&app, source) { Ok(app) } else { Err(IdentityError::OriginRefused) }
    }

    fn desk<'a>(&'a self, app: &'a App, now_ms: u64) -> Desk<'a> {
        let max_lifetime_ms = self.settings.max_token_ms;
        Desk { app, server: &self.server, max_lifetime_ms, now_ms }
    }

    /// Makes a change that `plan` works out from what is known, and returns what it returns.
    pub(super) async fn change<T>(
        &self,
        plan: impl FnOnce(&Directory) -> Result<(Batch, T), IdentityError>,
    ) -> Result<T, IdentityError> {
        let _turn = self.changing.lock().await;
        let (batch, result) = plan(&self.directory.load())?;
        let done = store::commit(&*self.store, batch).await;
        // After a conflict somebody else has changed it; after a failure it is not known.
        if done != Err(StoreError::Busy) {
            self.refresh().await?;
        }
        done?;
        Ok(result)
    }

    async fn refresh(&self) -> Result<(), IdentityError> {
        self.directory.store(Arc::new(Directory::load(&*self.store).await?));
        Ok(())
    }
}
