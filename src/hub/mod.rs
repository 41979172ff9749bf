//! The hub: conversations in use, the devices that follow them, and the store behind both.
//!
//! Called by the transports, the bot and the routes for agents. It gives the pure log of
//! `crate::chat` what that must not know: a store, a clock, randomness, and who is connected. It must
//! not know how frames travel, nor how the bot finds its answers.

mod client;
mod commit;
mod control;
mod desk;
pub mod list;
mod load;
pub mod outbox;
mod read;
mod requests;
mod retention;
mod rewrite;
mod search;
pub mod slot;
mod tell;
#[cfg(test)]
mod tests;
mod users;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use tokio::sync::Mutex;

pub use self::client::{Client, Greeting};
use self::desk::Desk;
pub use self::requests::{Bot, Heard};
pub use self::retention::{MIN_KEEP_MS, Swept};
pub use self::search::{Cursor, Found};
use self::slot::Slot;
pub use self::tell::error;
use self::users::Users;
use crate::chat::id::ConversationId;
use crate::chat::party::Party;
use crate::clock::Clock;
use crate::store::{self, Batch, Store, StoreError};

/// Locks over which conversations are spread while they are loaded or rewritten.
const STRIPES: usize = 64;
/// A conversation leaves memory when nobody asked for so long.
const IDLE_MS: u64 = 60_000;

/// All conversations of this server.
pub struct Hub {
    store: Arc<dyn Store>,
    clock: Clock,
    random: fn(&mut [u8]),
    bot: Arc<dyn Bot>,
    log_epoch: u64,
    slots: DashMap<ConversationId, Arc<Slot>>,
    /// The newest conversation of visitors who wrote lately; it may not be stored yet.
    newest_of: DashMap<Party, ConversationId>,
    opening: [Mutex<()>; STRIPES],
    loading: [Mutex<()>; STRIPES],
    rewriting: [Mutex<()>; STRIPES],
    users: Users,
    desk: Desk,
    gaps: AtomicU64,
    /// Where the next call of [`Hub::index_pages`] begins, and of [`Hub::sweep_retention`].
    index_at: Mutex<Vec<u8>>,
    retention_at: Mutex<Vec<u8>>,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hub({} conversations in use)", self.slots.len())
    }
}

/// Where the epoch of the log is kept.
const EPOCH_KEY: &[u8] = b"e";

impl Hub {
    /// A hub over `store`. The log's epoch is made when the store is new.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Clock,
        random: fn(&mut [u8]),
        bot: Arc<dyn Bot>,
    ) -> Result<Arc<Self>, StoreError> {
        let log_epoch = match store.get(EPOCH_KEY.to_vec()).await? {
            Some(bytes) => <[u8; 8]>::try_from(bytes).map(u64::from_be_bytes).map_err(|_| {
                StoreError::Failed("the epoch of the log is not eight bytes".to_owned())
            })?,
            None => new_epoch(&*store, random).await?,
        };
        Ok(Arc::new(Self {
            store,
            clock,
            random,
            bot,
            log_epoch,
            slots: DashMap::new(),
            newest_of: DashMap::new(),
            opening: std::array::from_fn(|_| Mutex::new(())),
            loading: std::array::from_fn(|_| Mutex::new(())),
            rewriting: std::array::from_fn(|_| Mutex::new(())),
            users: Users::default(),
            desk: Desk::default(),
            gaps: AtomicU64::new(0),
            index_at: Mutex::default(),
            retention_at: Mutex::default(),
        }))
    }

    /// Epoch of the log: another one means that cursors count something else.
    pub fn log_epoch(&self) -> u64 {
        self.log_epoch
    }

    /// Conversations in memory.
    pub fn in_use(&self) -> usize {
        self.slots.len()
    }

    /// Gaps that were found in logs since the start.
    pub fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The time.
    pub fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    fn new_id(&self) -> ConversationId {
        let mut random = [0; 10];
        (self.random)(&mut random);
        ConversationId::new(self.now_ms(), random)
    }

    /// Lets conversations go that nobody asked for in a while. To be called now and then.
    pub fn sweep(&self) {
        let before_ms = self.now_ms().saturating_sub(IDLE_MS);
        self.slots.retain(|_, slot| Arc::strong_count(slot) > 1 || !slot.is_idle(before_ms));
        self.newest_of.retain(|_, id| self.slots.contains_key(id));
    }
}

async fn new_epoch(store: &dyn Store, random: fn(&mut [u8])) -> Result<u64, StoreError> {
    let mut epoch = [0; 8];
    random(&mut epoch);
    // JavaScript counts exactly up to 2^53.
    epoch[0] = 0;
    epoch[1] &= 0x1f;
    epoch[7] |= 1;
    store::commit(store, Batch::default().absent(EPOCH_KEY).put(EPOCH_KEY, epoch)).await?;
    Ok(u64::from_be_bytes(epoch))
}

/// Lets the next start make another epoch of the log.
///
/// # Errors
/// As the store says.
pub async fn forget_epoch(store: &dyn Store) -> Result<(), StoreError> {
    store::commit(store, Batch::default().delete(EPOCH_KEY)).await
}

/// Which of the striped locks belongs to a conversation.
fn stripe(id: ConversationId) -> usize {
    usize::from(id.0[15]) % STRIPES
}

/// Which of the striped locks belongs to a user.
fn stripe_of(user: &str) -> usize {
    user.bytes().fold(0, |sum, byte| (sum * 31 + usize::from(byte)) % STRIPES)
}
