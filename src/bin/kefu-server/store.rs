//! The commands about the store: backup, restore, check, password.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use kefu::chat::check::{Checker, Report};
use kefu::clock;
use kefu::config::ServerOptions;
use kefu::hub;
use kefu::identity::{Identity, Secret};
use kefu::operator::{self, Contact};
use kefu::store::Store;
use kefu::store::embedded::{self, EmbeddedStore, Manifest, OpenError};

/// `backup DIR`: by the running server, if there is one.
pub(crate) fn backup(options: &ServerOptions, folder: &Path) -> anyhow::Result<()> {
    let manifest = match open(options) {
        Ok(store) => {
            let manifest = store.backup(folder, clock::now_ms());
            store.close();
            manifest?
        }
        Err(OpenError::InUse(_)) => ask_server(options, folder)?,
        Err(error) => return Err(error.into()),
    };
    // What was written is what will be read: nobody wants to find out later.
    embedded::verify(folder).context("the backup was written, but cannot be read")?;
    let Manifest { rows, bytes, .. } = manifest;
    say(&format!("{}: {rows} rows, {bytes} bytes, verified", folder.display()))
}

/// Opens a store that is there; a mistyped folder must not become a new one.
fn open(options: &ServerOptions) -> Result<EmbeddedStore, OpenError> {
    if !options.store_dir.exists() {
        return Err(OpenError::NoStore(options.store_dir.clone()));
    }
    EmbeddedStore::open(&options.store_dir, options.store_options()).map(|(store, _)| store)
}

fn ask_server(options: &ServerOptions, folder: &Path) -> anyhow::Result<Manifest> {
    let Some(Contact { address, key }) = operator::contact(&options.store_dir) else {
        bail!("the store is in use and its server has not left word yet; try again in a moment");
    };
    let folder = std::path::absolute(folder)?;
    operator::ask_backup(address, &key, &folder).context("the running server did not do it")
}

/// `restore DIR`.
pub(crate) fn restore(options: &ServerOptions, folder: &Path) -> anyhow::Result<()> {
    let Manifest { rows, bytes, .. } = embedded::restore(folder, &options.store_dir)?;
    let (store, _) = EmbeddedStore::open(&options.store_dir, options.store_options())?;
    // Clients may have seen more than the backup holds: their cursors count another log.
    runtime()?.block_on(hub::forget_epoch(&store))?;
    store.close();
    say(&format!("{}: {rows} rows, {bytes} bytes, restored", options.store_dir.display()))
}

/// `check`.
pub(crate) fn check(options: &ServerOptions) -> anyhow::Result<()> {
    let mut checker = Checker::default();
    let store =
        embedded::check(&options.store_dir, |key, value, get| checker.row(key, value, get))?;
    let Report { findings, found, conversations, messages } = checker.end();
    for finding in &findings {
        say(&finding.to_string())?;
    }
    if found > findings.len() as u64 {
        say(&format!("and {} more", found - findings.len() as u64))?;
    }
    for loss in store.earlier_losses.iter().chain(&store.lost) {
        say(&format!("lost: {} commits, {} to {}", loss.batches, loss.from_group, loss.to_group))?;
    }
    if let Some(reason) = &store.unreadable {
        say(&format!("unreadable from here on: {reason}"))?;
    }
    say(&format!("{conversations} conversations, {messages} messages, {} rows", store.rows))?;
    if found > 0 || !store.whole() {
        bail!("the store is not whole; restore a backup, or go on with what is there");
    }
    say("all is there")
}

/// `password LOGIN`.
pub(crate) fn password(options: &ServerOptions, login: &str) -> anyhow::Result<()> {
    let store = Arc::new(open(options)?);
    let shared: Arc<dyn Store> = Arc::<EmbeddedStore>::clone(&store);
    let made = runtime()?.block_on(async {
        let settings = options.identity_settings();
        let (identity, _) = Identity::open(shared, settings, clock::now_ms()).await?;
        let agents = identity.manage_as_operator().agents();
        let agent = agents.iter().find(|agent| agent.login == login);
        let agent = agent.with_context(|| format!("there is no agent with the login {login}"))?;
        let made = Secret::random_password();
        let new = Secret::new(made.reveal());
        identity.manage_as_operator().reset_password(&agent.id, new).await?;
        anyhow::Ok(made)
    });
    store.close();
    say(&format!("the new password of {login} is {}", made?.reveal()))
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
