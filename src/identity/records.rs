//! What is stored of apps, agents, API keys and sessions, and under which keys.
//!
//! JSON, so that a backup can be read and mended by hand. Fields that are not known are ignored,
//! and fields that are missing have defaults: an older and a newer server read the same store.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::IdentityError;
use super::secrets::{Fingerprint, Secret};

/// First byte of every key of identity.
pub const PREFIX: u8 = b'i';

/// One kind of record: `PREFIX`, `TAG`, id.
pub(super) trait Record: Serialize + DeserializeOwned {
    /// Second byte of its keys.
    const TAG: u8;
    /// What it is called in messages.
    const NAME: &'static str;

    /// Where the record with this id lies.
    fn key(id: &str) -> Vec<u8> {
        [&[PREFIX, Self::TAG], id.as_bytes()].concat()
    }

    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("records have string keys and no failing serializers")
    }

    fn decode(bytes: &[u8]) -> Result<Self, IdentityError> {
        serde_json::from_slice(bytes).map_err(|_| IdentityError::Damaged(Self::NAME))
    }
}

/// A site or product whose visitors write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct App {
    /// What clients name: lower-case letters, digits and hyphens.
    pub id: String,
    /// For people.
    #[serde(default)]
    pub name: String,
    /// The HS256 key with which the site signs its visitors' tokens: the bytes of this text.
    pub secret: Secret,
    /// The secret before the last rotation, while it is still good.
    #[serde(default)]
    pub old_secret: Option<OldSecret>,
    /// Ed25519 public keys (`x` of a JWK, base64url) for tokens signed with EdDSA.
    #[serde(default)]
    pub public_keys: Vec<String>,
    /// Origins whose pages may connect, `https://shop.example` or `https://*.shop.example`.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Whether pages of this server itself and of loopback addresses may connect too.
    #[serde(default)]
    pub local_origins: bool,
    /// Whether visitors without a token of the site get one.
    #[serde(default)]
    pub anonymous: bool,
    /// Who answers first.
    #[serde(default)]
    pub reception: Reception,
    /// Whether nobody may use it.
    #[serde(default)]
    pub disabled: bool,
    /// How much its visitors may send.
    #[serde(default)]
    pub rates: AppRates,
    /// When it was made, in ms since 1970.
    #[serde(default)]
    pub created_ms: u64,
}

/// A secret that was replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OldSecret {
    /// The secret.
    pub secret: Secret,
    /// Until when tokens signed with it are accepted, in ms since 1970.
    pub until_ms: u64,
}

/// Bounds on what arrives for one app; 0: no bound. The burst is twice as much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct AppRates {
    /// Requests a second and visitor.
    pub visitor_per_s: u32,
    /// Requests a second of all visitors together.
    pub app_per_s: u32,
}

impl Default for AppRates {
    fn default() -> Self {
        Self { visitor_per_s: 20, app_per_s: 20_000 }
    }
}

/// Who answers a new conversation of an app.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reception {
    /// The bot, and an agent where it should not go on.
    #[default]
    Bot,
    /// An agent, in the order of the queue.
    Queue,
    /// Whoever takes it: messages are kept and delivered, and nobody is called.
    Nobody,
}

/// What an agent may do; the order is that of rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Edits the knowledge base.
    Editor,
    /// Serves visitors.
    Agent,
    /// Everything, and manages apps, agents and keys.
    Admin,
}

/// A person who works at the desk or in the studio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Never changes.
    pub id: String,
    /// What they sign in with, lower case.
    pub login: String,
    /// What visitors see.
    #[serde(default)]
    pub name: String,
    /// Argon2id in PHC form.
    pub password_hash: Secret,
    /// What they may do.
    pub role: Role,
    /// Conversations at a time.
    #[serde(default = "default_capacity")]
    pub capacity: u32,
    /// Whether they may not sign in.
    #[serde(default)]
    pub disabled: bool,
    /// Sessions of an older generation are over. A new password and disabling raise it.
    #[serde(default)]
    pub generation: u64,
    /// When the agent was made, in ms since 1970.
    #[serde(default)]
    pub created_ms: u64,
}

/// Points from a login to its agent, so that a login is unique.
#[derive(Serialize, Deserialize)]
pub(super) struct Login {
    pub(super) agent: String,
}

/// What a service signs in with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiKey {
    /// The readable part of the key.
    pub id: String,
    /// What it is for.
    #[serde(default)]
    pub name: String,
    /// Of the whole key.
    pub fingerprint: Fingerprint,
    /// The app it speaks for.
    pub app: String,
    /// When it was made, in ms since 1970.
    #[serde(default)]
    pub created_ms: u64,
}

/// An agent who is signed in; stored under the token's fingerprint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentSession {
    /// Who.
    pub agent: String,
    /// Of the agent at sign-in.
    pub generation: u64,
    /// When they signed in, in ms since 1970.
    pub created_ms: u64,
    /// When it ends unless it is used, in ms since 1970.
    pub expires_ms: u64,
}

/// What the server signs anonymous visitors' tokens with. Its presence says that the first start
/// has happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Server {
    pub(super) secret: Secret,
}

impl Record for App {
    const TAG: u8 = b'a';
    const NAME: &'static str = "app";
}

impl Record for Agent {
    const TAG: u8 = b'g';
    const NAME: &'static str = "agent";
}

impl Record for Login {
    const TAG: u8 = b'l';
    const NAME: &'static str = "login";
}

impl Record for ApiKey {
    const TAG: u8 = b'k';
    const NAME: &'static str = "API key";
}

impl Record for AgentSession {
    const TAG: u8 = b't';
    const NAME: &'static str = "session";
}

impl Record for Server {
    const TAG: u8 = b's';
    const NAME: &'static str = "server secret";
}

fn default_capacity() -> u32 {
    5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_new_records_are_read() {
        let app = App::decode(br#"{"id": "shop", "secret": "s", "of_a_later_version": [1]}"#);
        let app = app.unwrap();
        assert!(app.reception == Reception::Bot && !app.anonymous && !app.disabled);
        assert_eq!(app.rates, AppRates::default());
        assert_eq!(App::decode(&app.encode()).unwrap(), app);
        assert_eq!(App::decode(b"{}"), Err(IdentityError::Damaged("app")));
    }

    #[test]
    fn admins_have_all_rights() {
        assert!(Role::Admin > Role::Agent && Role::Agent > Role::Editor);
    }
}
