//! What administrators do: apps, agents and API keys.
//!
//! Only [`Identity::manage`] makes a [`Manager`], so a call without the right cannot be written.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::directory::{Directory, Stored};
use super::error::IdentityError;
use super::records::{Agent, ApiKey, App, AppRates, Login, OldSecret, Reception, Record, Role};
use super::registry::Identity;
use super::secrets::{Secret, random_id};
use super::{Principal, keys, origins, signing};
use crate::store::Batch;

const MAX_NAME_CHARS: usize = 128;
const MAX_ORIGINS: usize = 64;
const MAX_PUBLIC_KEYS: usize = 8;
const MAX_CAPACITY: u32 = 1_000;

/// What of an app can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSettings {
    /// For people.
    pub name: String,
    /// Ed25519 public keys: `x` of a JWK, base64url.
    pub public_keys: Vec<String>,
    /// Origins whose pages may connect: `https://example.com` or `https://*.example.com`.
    pub origins: Vec<String>,
    /// Whether pages of this server and of loopback addresses may connect too.
    pub local_origins: bool,
    /// Whether visitors without a token of the site get one.
    pub anonymous: bool,
    /// Who answers first.
    pub reception: Reception,
    /// Whether nobody may use it.
    pub disabled: bool,
    /// How much its visitors may send.
    pub rates: AppRates,
}

impl From<&App> for AppSettings {
    fn from(app: &App) -> Self {
        Self {
            name: app.name.clone(),
            public_keys: app.public_keys.clone(),
            origins: app.origins.clone(),
            local_origins: app.local_origins,
            anonymous: app.anonymous,
            reception: app.reception,
            disabled: app.disabled,
            rates: app.rates,
        }
    }
}

impl AppSettings {
    /// The app with these settings.
    fn on(self, app: App) -> Result<App, IdentityError> {
        check_name(&self.name)?;
        let key = |key: &String| {
            URL_SAFE_NO_PAD.decode(key).is_ok_and(|bytes| signing::public_key(&bytes).is_some())
        };
        if self.public_keys.len() > MAX_PUBLIC_KEYS || !self.public_keys.iter().all(key) {
            let expected = "at most 8 Ed25519 public keys: 32 bytes each, as base64url";
            return Err(IdentityError::Invalid { field: "public_keys", expected });
        }
        let listed = self.origins.iter().all(|origin| origins::is_entry(origin));
        if self.origins.len() > MAX_ORIGINS || !listed {
            let expected = "at most 64 of `https://example.com`, `https://*.example.com`, without \
                            a path, international names as punycode";
            return Err(IdentityError::Invalid { field: "origins", expected });
        }
        Ok(App {
            name: self.name,
            public_keys: self.public_keys,
            origins: self.origins,
            local_origins: self.local_origins,
            anonymous: self.anonymous,
            reception: self.reception,
            disabled: self.disabled,
            rates: self.rates,
            ..app
        })
    }
}

/// What of an agent can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentSettings {
    /// What visitors see.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Conversations at a time.
    pub capacity: u32,
    /// Whether they may not sign in.
    pub disabled: bool,
}

impl From<&Agent> for AgentSettings {
    fn from(agent: &Agent) -> Self {
        let (name, role) = (agent.name.clone(), agent.role);
        Self { name, role, capacity: agent.capacity, disabled: agent.disabled }
    }
}

impl AgentSettings {
    /// The agent with these settings.
    fn on(self, agent: Agent) -> Result<Agent, IdentityError> {
        check_name(&self.name)?;
        if self.capacity > MAX_CAPACITY {
            return Err(IdentityError::Invalid { field: "capacity", expected: "0 to 1000" });
        }
        // Whoever is enabled again signs in anew.
        let generation = agent.generation + u64::from(self.disabled && !agent.disabled);
        let Self { name, role, capacity, disabled } = self;
        Ok(Agent { name, role, capacity, disabled, generation, ..agent })
    }
}

/// An administrator at work.
#[derive(Debug, Clone, Copy)]
pub struct Manager<'a>(&'a Identity);

impl Identity {
    /// Lets an administrator manage.
    ///
    /// # Errors
    /// `forbidden` to everybody else.
    pub fn manage(&self, who: &Principal) -> Result<Manager<'_>, IdentityError> {
        if who.has(Role::Admin) { Ok(Manager(self)) } else { Err(IdentityError::Forbidden) }
    }

    /// Lets whoever runs commands on the server's machine manage: they own the store's folder.
    pub fn manage_as_operator(&self) -> Manager<'_> {
        Manager(self)
    }

    /// Sets a password; all sessions of the agent end.
    pub(super) async fn set_password(&self, id: &str, new: Secret) -> Result<(), IdentityError> {
        let password_hash = self.passwords.hash(new).await?;
        self.change(|directory| {
            let stored = directory.agents.get(id).ok_or(IdentityError::NoSuchAgent)?;
            let agent = (*stored.record).clone();
            let generation = agent.generation + 1;
            Ok((replace(id, stored, &Agent { password_hash, generation, ..agent }), ()))
        })
        .await
    }
}

impl Manager<'_> {
    /// All apps.
    pub fn apps(&self) -> Vec<Arc<App>> {
        self.0.directory.load().apps.values().map(|app| Arc::clone(&app.record)).collect()
    }

    /// Makes an app with a secret of its own, which is in the answer.
    ///
    /// # Errors
    /// `invalid`, `app_taken`.
    pub async fn create_app(
        &self,
        id: &str,
        settings: AppSettings,
        now_ms: u64,
    ) -> Result<App, IdentityError> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=64).contains(&id.len()) || !id.bytes().all(fits) {
            let expected = "1 to 64 of a-z, 0-9 and `-`";
            return Err(IdentityError::Invalid { field: "id", expected });
        }
        let app = settings.on(App {
            id: id.to_owned(),
            name: String::new(),
            secret: Secret::random(""),
            old_secret: None,
            public_keys: vec![],
            origins: vec![],
            local_origins: false,
            anonymous: false,
            reception: Reception::Bot,
            disabled: false,
            rates: AppRates::default(),
            created_ms: now_ms,
        })?;
        self.0
            .change(|directory| {
                if directory.apps.contains_key(id) {
                    return Err(IdentityError::AppTaken);
                }
                Ok((create(id, &app), app))
            })
            .await
    }

    /// Changes an app.
    ///
    /// # Errors
    /// `no_such_app`, `invalid`, `conflict` when somebody else changed it at the same time.
    pub async fn update_app(&self, id: &str, settings: AppSettings) -> Result<App, IdentityError> {
        self.change_app(id, |app| settings.on(app)).await
    }

    /// Gives an app a new secret, which is in the answer. The old one is good for the grace period;
    /// rotating twice ends it at once.
    ///
    /// # Errors
    /// `no_such_app`, `conflict`.
    pub async fn rotate_secret(&self, id: &str, now_ms: u64) -> Result<App, IdentityError> {
        let until_ms = now_ms + self.0.settings.rotation_grace_ms;
        self.change_app(id, |app| {
            let old_secret = Some(OldSecret { secret: app.secret.clone(), until_ms });
            Ok(App { secret: Secret::random(""), old_secret, ..app })
        })
        .await
    }

    async fn change_app(
        &self,
        id: &str,
        change: impl FnOnce(App) -> Result<App, IdentityError>,
    ) -> Result<App, IdentityError> {
        self.0
            .change(|directory| {
                let stored = directory.apps.get(id).ok_or(IdentityError::NoSuchApp)?;
                let app = change((*stored.record).clone())?;
                Ok((replace(id, stored, &app), app))
            })
            .await
    }

    /// All agents.
    pub fn agents(&self) -> Vec<Arc<Agent>> {
        self.0.directory.load().agents.values().map(|agent| Arc::clone(&agent.record)).collect()
    }

    /// Makes an agent.
    ///
    /// # Errors
    /// `invalid`, `login_taken`, `weak_password`, `busy`.
    pub async fn create_agent(
        &self,
        login: &str,
        password: Secret,
        settings: AgentSettings,
        now_ms: u64,
    ) -> Result<Agent, IdentityError> {
        let login = fold(login);
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._@+-".contains(&byte);
        if !(1..=64).contains(&login.len()) || !login.bytes().all(fits) {
            let expected = "1 to 64 of a-z, 0-9 and `._@+-`";
            return Err(IdentityError::Invalid { field: "login", expected });
        }
        let role = settings.role;
        let agent = settings.on(Agent {
            id: random_id(),
            login: login.clone(),
            name: String::new(),
            password_hash: self.0.passwords.hash(password).await?,
            role,
            capacity: 0,
            disabled: false,
            generation: 0,
            created_ms: now_ms,
        })?;
        self.0
            .change(|directory| {
                if directory.agents.values().any(|known| known.record.login == login) {
                    return Err(IdentityError::LoginTaken);
                }
                let key = Login::key(&login);
                let points = Login { agent: agent.id.clone() }.encode();
                let batch = create(&agent.id, &agent).absent(key.clone()).put(key, points);
                Ok((batch, agent))
            })
            .await
    }

    /// Changes an agent. Disabling ends all their sessions.
    ///
    /// # Errors
    /// `no_such_agent`, `invalid`, `conflict`; `last_admin` when nobody could manage any more.
    pub async fn update_agent(
        &self,
        id: &str,
        settings: AgentSettings,
    ) -> Result<Agent, IdentityError> {
        self.0
            .change(|directory| {
                let stored = directory.agents.get(id).ok_or(IdentityError::NoSuchAgent)?;
                let agent = settings.on((*stored.record).clone())?;
                let mut batch = replace(id, stored, &agent);
                if manages(&stored.record) && !manages(&agent) {
                    // Two administrators who take each other's rights on two nodes must not both
                    // succeed: the other one has to be as known when this is written.
                    let (other, known) = other_admin(directory, id)?;
                    batch = batch.equals(Agent::key(other), known.bytes.clone());
                }
                Ok((batch, agent))
            })
            .await
    }

    /// Sets an agent's password; all their sessions end.
    ///
    /// # Errors
    /// `no_such_agent`, `weak_password`, `busy`, `conflict`.
    pub async fn reset_password(&self, id: &str, new: Secret) -> Result<(), IdentityError> {
        self.0.set_password(id, new).await
    }

    /// All API keys.
    pub fn api_keys(&self) -> Vec<Arc<ApiKey>> {
        self.0.directory.load().keys.values().map(|key| Arc::clone(&key.record)).collect()
    }

    /// Makes an API key; the second value is its text, which nobody can see again.
    ///
    /// # Errors
    /// `no_such_app`, `invalid`.
    pub async fn create_key(
        &self,
        app: &str,
        name: &str,
        now_ms: u64,
    ) -> Result<(ApiKey, Secret), IdentityError> {
        check_name(name)?;
        let (key, secret) = keys::make(app, name, now_ms);
        self.0
            .change(|directory| {
                directory.app(app)?;
                Ok((create(&key.id, &key), (key, secret)))
            })
            .await
    }

    /// Ends an API key.
    ///
    /// # Errors
    /// `no_such_key`, `conflict`.
    pub async fn delete_key(&self, id: &str) -> Result<(), IdentityError> {
        self.0
            .change(|directory| {
                let stored = directory.keys.get(id).ok_or(IdentityError::NoSuchKey)?;
                let key = ApiKey::key(id);
                Ok((Batch::default().equals(key.clone(), stored.bytes.clone()).delete(key), ()))
            })
            .await
    }
}

/// A login as it is compared.
pub(super) fn fold(login: &str) -> String {
    login.trim().to_ascii_lowercase()
}

fn check_name(name: &str) -> Result<(), IdentityError> {
    if name.chars().count() > MAX_NAME_CHARS || name.contains(char::is_control) {
        let expected = "at most 128 printable characters";
        return Err(IdentityError::Invalid { field: "name", expected });
    }
    Ok(())
}

fn manages(agent: &Agent) -> bool {
    agent.role == Role::Admin && !agent.disabled
}

fn other_admin<'a>(
    directory: &'a Directory,
    id: &str,
) -> Result<(&'a str, &'a Stored<Agent>), IdentityError> {
    let mut agents = directory.agents.iter().map(|(other, stored)| (other.as_str(), stored));
    let other = agents.find(|(other, stored)| *other != id && manages(&stored.record));
    other.ok_or(IdentityError::LastAdmin)
}

fn create<T: Record>(id: &str, record: &T) -> Batch {
    Batch::default().absent(T::key(id)).put(T::key(id), record.encode())
}

fn replace<T: Record>(id: &str, stored: &Stored<T>, record: &T) -> Batch {
    let key = T::key(id);
    Batch::default().equals(key.clone(), stored.bytes.clone()).put(key, record.encode())
}
