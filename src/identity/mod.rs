//! Who somebody is and what they may do: visitors, agents and services.
//!
//! [`Identity`] is asked by the edges and the sessions before anything else happens. It keeps apps,
//! agents, API keys and sign-ins in the store, and knows no frame, no status and no clock: times
//! are arguments. `docs/identity.md` is written for those who run and embed Kefu.

mod error;
mod keys;
mod manage;
mod origins;
mod rates;
mod records;
mod registry;
mod secrets;
mod sessions;
mod start;
mod tokens;

mod attempts;
mod directory;
mod passwords;
mod signing;
#[cfg(test)]
mod tests;

pub use self::error::IdentityError;
pub use self::manage::{AgentSettings, AppSettings, Manager};
pub use self::origins::Source;
pub use self::passwords::{MAX_PASSWORD_CHARS, MIN_PASSWORD_CHARS};
pub use self::rates::{Rate, household};
pub use self::records::{
    Agent, AgentSession, ApiKey, App, AppRates, OldSecret, PREFIX, Reception, Role,
};
pub use self::registry::{Identity, Settings};
pub use self::secrets::{Fingerprint, Secret};
pub use self::sessions::SignedIn;
pub use self::start::{ADMIN_LOGIN, DEFAULT_APP, FirstStart};
pub use self::tokens::{ANONYMOUS_PREFIX, AnonymousToken, MAX_TOKEN_BYTES, SKEW_MS, Visitor};

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Somebody who writes from a page or an app.
    Visitor {
        /// The app.
        app: String,
        /// Unique within the app.
        id: String,
        /// As the site gave it.
        name: Option<String>,
        /// Whether the server made the id.
        anonymous: bool,
    },
    /// A person at the desk or in the studio.
    Agent {
        /// The agent.
        id: String,
        /// What visitors see.
        name: String,
        /// What they may do.
        role: Role,
        /// Conversations at a time.
        capacity: u32,
    },
    /// Another program.
    Service {
        /// The app it speaks for.
        app: String,
        /// The API key it came with.
        key: String,
    },
}

impl Principal {
    /// Whether this is an agent with at least this role.
    pub fn has(&self, needed: Role) -> bool {
        matches!(self, Self::Agent { role, .. } if *role >= needed)
    }
}

impl From<&Visitor> for Principal {
    fn from(visitor: &Visitor) -> Self {
        Self::Visitor {
            app: visitor.app.clone(),
            id: visitor.id.clone(),
            name: visitor.name.clone(),
            anonymous: visitor.anonymous,
        }
    }
}

impl From<&Agent> for Principal {
    fn from(agent: &Agent) -> Self {
        Self::Agent {
            id: agent.id.clone(),
            name: agent.name.clone(),
            role: agent.role,
            capacity: agent.capacity,
        }
    }
}
