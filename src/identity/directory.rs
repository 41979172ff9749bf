//! The apps, agents and API keys of the store, in memory: they are few, and asked for all the time.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::IdentityError;
use super::records::{Agent, ApiKey, App, Record};
use crate::store::{self, Store};

/// A record, and the bytes that the next change expects in the store.
#[derive(Debug)]
pub(super) struct Stored<T> {
    pub(super) record: Arc<T>,
    pub(super) bytes: Vec<u8>,
}

/// All records of one kind by id.
pub(super) type Table<T> = BTreeMap<String, Stored<T>>;

/// What the store holds, as of one moment.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) apps: Table<App>,
    pub(super) agents: Table<Agent>,
    pub(super) keys: Table<ApiKey>,
}

impl Directory {
    pub(super) async fn load(store: &dyn Store) -> Result<Self, IdentityError> {
        Ok(Self {
            apps: table(store).await?,
            agents: table(store).await?,
            keys: table(store).await?,
        })
    }

    /// The app with this id, unless it is disabled.
    pub(super) fn app(&self, id: &str) -> Result<Arc<App>, IdentityError> {
        let known = self.apps.get(id).filter(|app| !app.record.disabled);
        known.map(|app| Arc::clone(&app.record)).ok_or(IdentityError::NoSuchApp)
    }

    /// The agent with this id, unless they are disabled.
    pub(super) fn agent(&self, id: &str) -> Option<&Arc<Agent>> {
        self.agents.get(id).map(|agent| &agent.record).filter(|agent| !agent.disabled)
    }

    /// The agent with this login, unless they are disabled.
    pub(super) fn agent_by_login(&self, login: &str) -> Option<&Arc<Agent>> {
        let mut agents = self.agents.values().map(|agent| &agent.record);
        agents.find(|agent| agent.login == login && !agent.disabled)
    }
}

async fn table<T: Record>(store: &dyn Store) -> Result<Table<T>, IdentityError> {
    let prefix = T::key("");
    let mut table = Table::new();
    for (key, bytes) in store::all(store, &prefix).await? {
        let id = std::str::from_utf8(&key[prefix.len()..]);
        let id = id.map_err(|_| IdentityError::Damaged(T::NAME))?.to_owned();
        table.insert(id, Stored { record: Arc::new(T::decode(&bytes)?), bytes });
    }
    Ok(table)
}

/// The record with this id and its bytes, from the store itself.
pub(super) async fn read<T: Record>(
    store: &dyn Store,
    id: &str,
) -> Result<Option<(T, Vec<u8>)>, IdentityError> {
    let Some(bytes) = store.get(T::key(id)).await? else { return Ok(None) };
    Ok(Some((T::decode(&bytes)?, bytes)))
}
