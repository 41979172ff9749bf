//! Puts the conversation core together: store, identity, hub, door, and what runs beside them.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kefu::bot::{self, Attendant};
use kefu::clock;
use kefu::config::ServerOptions;
use kefu::hub::{self, Hub};
use kefu::identity::{FirstStart, Identity};
use kefu::operator::Operator;
use kefu::shutdown::Shutdown;
use kefu::store::Store;
use kefu::store::embedded::EmbeddedStore;
use kefu::transport::Door;
use kefu::understand::Understander;

/// How often what runs beside looks around.
const ROUND: Duration = Duration::from_secs(1);
/// Rounds between two looks for what is rare.
const SLOW_ROUNDS: u64 = 10;
/// Rounds between two looks for what is very rare.
const HOURLY_ROUNDS: u64 = 3_600;

/// The opened store.
pub(crate) struct Kept(Arc<EmbeddedStore>);

/// What was put together.
pub(crate) struct Conversations {
    pub(crate) door: Arc<Door>,
    pub(crate) bot: Arc<Attendant>,
    first: Option<FirstStart>,
}

/// Opens the store, and says what was lost since the last stop.
pub(crate) async fn open_store(options: &ServerOptions) -> anyhow::Result<Kept> {
    let (store, report) = EmbeddedStore::open(&options.store_dir, options.store_options())?;
    if let Some(loss) = &report.lost {
        tracing::error!(
            ?loss,
            "the store lost what it had acknowledged; restore a backup, or go on"
        );
        // Clients have seen more than there is: their cursors must not count on from there.
        hub::forget_epoch(&store).await?;
    }
    for path in &report.set_aside {
        tracing::error!(path = %path.display(), "a damaged file of the store was set aside");
    }
    if !report.created && !report.clean {
        tracing::info!("the store was not closed; it was read to the end of its journal");
    }
    Ok(Kept(Arc::new(store)))
}

impl Kept {
    /// Leaves word for the operator's commands.
    pub(crate) fn operator(
        &self,
        options: &ServerOptions,
        address: SocketAddr,
    ) -> std::io::Result<Operator> {
        Operator::new(Arc::clone(&self.0), clock::system(), &options.store_dir, address)
    }

    /// Writes what was accepted, and closes.
    pub(crate) fn close(&self) {
        self.0.close();
    }
}

/// Starts everything that conversations need.
pub(crate) async fn start(
    options: &ServerOptions,
    kept: &Kept,
    understander: &Arc<Understander>,
    shutdown: &Shutdown,
) -> anyhow::Result<Conversations> {
    let store: Arc<dyn Store> = Arc::<EmbeddedStore>::clone(&kept.0);
    let settings = options.identity_settings();
    let (identity, first) = Identity::open(Arc::clone(&store), settings, clock::now_ms()).await?;
    let identity = Arc::new(identity);
    let apps = Arc::<Identity>::clone(&identity);
    let hours = kefu::knowledge::load_hours(&options.hours)?;
    let bot = Attendant::new(Arc::clone(understander), apps, hours, bot::Options::default());
    let bot = Arc::new(bot);
    let answers = Arc::<Attendant>::clone(&bot);
    let hub = Hub::open(store, clock::system(), rand::fill, answers).await?;
    hub.fill_desk().await?;
    let door = Door::new(
        Arc::clone(&hub),
        Arc::clone(&identity),
        shutdown.clone(),
        options.door_options(),
    );
    shutdown.spawn(Arc::clone(&bot).run(Arc::clone(&hub), shutdown.clone()));
    shutdown.spawn(until_stopped(shutdown.clone(), Arc::clone(&hub).attend()));
    shutdown.spawn(look_around(Arc::clone(&door), options.retention_ms(), shutdown.clone()));
    Ok(Conversations { door, bot, first })
}

async fn until_stopped(shutdown: Shutdown, task: impl Future<Output = ()>) {
    tokio::select! {
        () = task => {}
        () = shutdown.begun() => {}
    }
}

/// Lets go what nobody uses, until the end.
async fn look_around(door: Arc<Door>, keep_ms: Option<u64>, shutdown: Shutdown) {
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for round in 1u64.. {
        tokio::select! {
            _ = rounds.tick() => {}
            () = shutdown.begun() => break,
        }
        door.sweep_sessions(false);
        if let Err(refusal) = door.hub().index_pages().await {
            tracing::warn!(%refusal, "messages were not made searchable");
        }
        if let Some(keep_ms) = keep_ms
            && let Err(refusal) = door.hub().sweep_retention(keep_ms).await
        {
            tracing::warn!(%refusal, "old messages were not removed");
        }
        if round % SLOW_ROUNDS == 0 {
            door.hub().sweep();
            door.hub().look_for_absent();
        }
        if round % HOURLY_ROUNDS == 0
            && let Err(error) = door.identity().forget_sessions(clock::now_ms()).await
        {
            tracing::warn!(%error, "old sign-ins were not removed");
        }
    }
    door.sweep_sessions(true);
}

impl Conversations {
    /// Shows the secrets of the first start, this once.
    pub(crate) fn show_first_start(&self) {
        let Some(first) = &self.first else { return };
        let FirstStart { app, app_secret, admin_login, admin_password, api_key } = first;
        let shown = format!(
            "\nThis is the first start. These secrets are shown once; keep them:\n\
             \x20 administrator  login {admin_login}  password {}\n\
             \x20 app {app}    secret {} (your site signs visitors' tokens with it)\n\
             \x20 API key        {}\n",
            admin_password.reveal(),
            app_secret.reveal(),
            api_key.reveal()
        );
        // Without a standard output nobody is there to read them; `kefu-server password` helps.
        let _ = writeln!(std::io::stdout(), "{shown}");
    }
}
