//! The review queue: messages of live traffic that the bot was unsure of, or that somebody corrected,
//! for an editor to look at and to make examples of.
//!
//! `crate::http` hands over what was answered and serves the editors; the commands put it together.
//! [`entry`] decides what is worth a look, [`redact`] what of it may be kept, [`queue`] what is held,
//! [`cluster`] what means the same: all pure. [`journal`] is the file, [`desk`] where everybody
//! asks, `writer` its thread,
//! [`clusters`] the one that groups, [`accept`] the way into the knowledge base.

pub mod accept;
pub mod cluster;
pub mod clusters;
pub mod desk;
pub mod entry;
pub mod journal;
pub mod queue;
pub mod redact;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use self::accept::Sources;
use self::clusters::Grouper;
use self::desk::Desk;
use crate::understand::Understander;

/// The queue and what groups it.
pub struct Review {
    /// Keeps and decides.
    pub desk: Arc<Desk>,
    /// Groups.
    pub grouper: Grouper,
}

impl Review {
    /// A queue whose entries are grouped by the model that `understander` has at the time.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn new(desk: Desk, understander: Arc<Understander>) -> std::io::Result<Self> {
        let desk = Arc::new(desk);
        let grouper = Grouper::start(Arc::clone(&desk), understander)?;
        Ok(Self { desk, grouper })
    }

    /// Writes what was handed over, and ends the threads. Blocks.
    pub fn stop(&self) {
        self.grouper.stop();
        self.desk.stop();
    }
}

/// Where the queue lies, and how much it holds.
#[derive(Debug, Clone)]
pub struct ReviewOptions {
    /// The queue's own folder; made if need be, used by one server at a time.
    pub folder: PathBuf,
    /// Open entries at the most, and as many that were decided about.
    pub max_entries: usize,
    /// Where accepted messages go.
    pub sources: Sources,
}
