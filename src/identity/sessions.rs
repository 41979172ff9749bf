//! Agents sign in and out. A session is an opaque token; the store holds its fingerprint.

use std::net::IpAddr;

use super::directory::read;
use super::error::IdentityError;
use super::records::{AgentSession, Record as _};
use super::registry::{Identity, Settings};
use super::secrets::{Fingerprint, Secret};
use super::{Principal, manage};
use crate::store::{self, Batch};

const TOKEN_PREFIX: &str = "kfs_";
/// A session in use is written again at most this often.
const EXTEND_EVERY_MS: u64 = 60 * 60 * 1_000;
/// Sessions that one batch forgets.
const FORGET_AT_ONCE: usize = 500;

/// An agent has signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// What the agent shows from now on.
    pub token: Secret,
    /// The agent.
    pub agent: Principal,
    /// When it ends unless it is used, in ms since 1970.
    pub expires_ms: u64,
}

impl AgentSession {
    /// When a session that is used now ends.
    fn extended(&self, settings: &Settings, now_ms: u64) -> u64 {
        (now_ms + settings.session_idle_ms).min(self.created_ms + settings.session_max_ms)
    }
}

impl Identity {
    /// Signs an agent in. An unknown login takes as long as a wrong password and is answered alike.
    ///
    /// # Errors
    /// `unauthorized`, `rate_limited` after wrong passwords, `busy`.
    pub async fn login(
        &self,
        login: &str,
        password: Secret,
        address: IpAddr,
        now_ms: u64,
    ) -> Result<SignedIn, IdentityError> {
        let login = manage::fold(login);
        let agent = self.directory.load().agent_by_login(&login).cloned();
        self.attempts.begin(&login, address, now_ms)?;
        let hash = agent.as_ref().map(|agent| agent.password_hash.clone());
        let right = self.passwords.verify(password, hash).await?;
        let agent = agent.filter(|_| right).ok_or(IdentityError::Unauthorized("login"))?;
        self.attempts.succeeded(&login, address);

        let token = Secret::random(TOKEN_PREFIX);
        let mut session = AgentSession {
            agent: agent.id.clone(),
            generation: agent.generation,
            created_ms: now_ms,
            expires_ms: 0,
        };
        session.expires_ms = session.extended(&self.settings, now_ms);
        let key = AgentSession::key(Fingerprint::of(token.reveal()).as_str());
        store::commit(&*self.store, Batch::default().put(key, session.encode())).await?;
        Ok(SignedIn { token, agent: (&*agent).into(), expires_ms: session.expires_ms })
    }

    /// The agent whose session this is; using it makes it last longer.
    ///
    /// # Errors
    /// `unauthorized`, also after signing out, a new password, or when the agent was disabled.
    pub async fn verify_session(
        &self,
        token: &str,
        now_ms: u64,
    ) -> Result<Principal, IdentityError> {
        let over = || IdentityError::Unauthorized("session");
        let id = session_id(token).ok_or_else(over)?;
        let (mut session, bytes) =
            read::<AgentSession>(&*self.store, id.as_str()).await?.ok_or_else(over)?;
        let directory = self.directory.load_full();
        let agent = directory.agent(&session.agent).ok_or_else(over)?;
        if session.expires_ms <= now_ms || session.generation != agent.generation {
            return Err(over());
        }
        let extended_ms = session.extended(&self.settings, now_ms);
        if extended_ms >= session.expires_ms + EXTEND_EVERY_MS {
            session.expires_ms = extended_ms;
            let key = AgentSession::key(id.as_str());
            // Only if it is still there: signing out at the same time wins.
            let batch = Batch::default().equals(key.clone(), bytes).put(key, session.encode());
            if let Err(error) = store::commit(&*self.store, batch).await {
                tracing::debug!(%error, "a session was not extended; its next use does it");
            }
        }
        Ok((&**agent).into())
    }

    /// Ends a session; one that is over already is no error.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn logout(&self, token: &str) -> Result<(), IdentityError> {
        let Some(id) = session_id(token) else { return Ok(()) };
        Ok(store::commit(&*self.store, Batch::default().delete(AgentSession::key(id.as_str())))
            .await?)
    }

    /// An agent sets a new password of their own. All their sessions end.
    ///
    /// # Errors
    /// `unauthorized` when `old` is wrong, `weak_password`, `rate_limited`, `busy`.
    pub async fn change_password(
        &self,
        agent: &str,
        old: Secret,
        new: Secret,
        address: IpAddr,
        now_ms: u64,
    ) -> Result<(), IdentityError> {
        let known = self.directory.load().agent(agent).cloned();
        let known = known.ok_or(IdentityError::NoSuchAgent)?;
        self.attempts.begin(&known.login, address, now_ms)?;
        if !self.passwords.verify(old, Some(known.password_hash.clone())).await? {
            return Err(IdentityError::Unauthorized("password"));
        }
        self.attempts.succeeded(&known.login, address);
        self.set_password(agent, new).await
    }

    /// Removes sessions that are over from the store, and returns how many. Call it now and then.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_sessions(&self, now_ms: u64) -> Result<usize, IdentityError> {
        let mut over = store::all(&*self.store, &AgentSession::key("")).await?;
        let ended = |session: AgentSession| session.expires_ms <= now_ms;
        over.retain(|(_, bytes)| AgentSession::decode(bytes).map_or(true, ended));
        for some in over.chunks(FORGET_AT_ONCE) {
            let delete = |batch: Batch, row: &(Vec<u8>, Vec<u8>)| batch.delete(row.0.clone());
            store::commit(&*self.store, some.iter().fold(Batch::default(), delete)).await?;
        }
        Ok(over.len())
    }
}

fn session_id(token: &str) -> Option<Fingerprint> {
    token.starts_with(TOKEN_PREFIX).then(|| Fingerprint::of(token))
}
