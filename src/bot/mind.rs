//! What the bot needs of others, as small traits: something that understands, and what apps want.
//!
//! Tests put a few lines in their place. `Engine` is the real mind: the understander, and its
//! encoder for a yes or no by meaning.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::meaning::Meanings;
use crate::dialogue::consent::Consent;
use crate::dialogue::form::Forms;
use crate::identity::{Identity, Reception, Secret};
use crate::intent::answer::Answer;
use crate::intent::knowledge::KnowledgeBase;
use crate::understand::{AskOptions, Serving, UnderstandError, Understander};

/// Alternatives that agents are shown with an answer.
const CANDIDATES: usize = 3;
/// While the encoder's queue is full, it is asked again after so long.
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// What the bot was taught, all of one model.
pub trait Taught: Send + Sync {
    /// What it can say and do.
    fn knowledge(&self) -> &KnowledgeBase;
    /// The forms of its intents.
    fn forms(&self) -> &Forms;
}

/// What was made of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// What the engine says.
    pub answer: Answer,
    /// Version of the model.
    pub model: String,
    /// Yes or no by meaning, where that was asked for and could be told.
    pub meaning: Option<Consent>,
}

/// Understands messages.
pub trait Mind: Send + Sync {
    /// What it was taught as of now.
    fn taught(&self) -> Arc<dyn Taught>;
    /// Reads a message; with `weigh` also whether it means yes or no. The error is for the log.
    fn read<'a>(&'a self, text: &'a str, weigh: bool) -> BoxFuture<'a, Result<Read, String>>;
}

/// What the shops want.
pub trait Apps: Send + Sync {
    /// Who answers first.
    fn reception(&self, app: &str) -> Reception;
    /// What its webhooks are signed with; none: there is no such app.
    fn webhook_secret(&self, app: &str) -> Option<Secret>;
}

impl Apps for Identity {
    fn reception(&self, app: &str) -> Reception {
        self.app(app).map_or(Reception::Nobody, |app| app.reception)
    }

    fn webhook_secret(&self, app: &str) -> Option<Secret> {
        self.app(app).ok().map(|app| app.secret.clone())
    }
}

/// The understander as a mind.
pub(super) struct Engine {
    understander: Arc<Understander>,
    meanings: Meanings,
}

impl Engine {
    pub(super) fn new(understander: Arc<Understander>) -> Self {
        Self { understander, meanings: Meanings::default() }
    }

    /// Asks until the queue has room: whoever calls gives up when it takes too long.
    async fn ask(&self, text: &str) -> Result<Read, UnderstandError> {
        let options = AskOptions { top_k: CANDIDATES, explain: false };
        loop {
            match self.understander.ask(text, options).await {
                Ok(answered) => {
                    let model = answered.model.version.clone();
                    return Ok(Read { answer: answered.answer, model, meaning: None });
                }
                Err(UnderstandError::Busy { .. }) => tokio::time::sleep(BUSY_PAUSE).await,
                Err(error) => return Err(error),
            }
        }
    }
}

impl Mind for Engine {
    fn taught(&self) -> Arc<dyn Taught> {
        self.understander.now()
    }

    fn read<'a>(&'a self, text: &'a str, weigh: bool) -> BoxFuture<'a, Result<Read, String>> {
        async move {
            let mut read = self.ask(text).await.map_err(|error| error.to_string())?;
            if weigh {
                // Without it the bot asks once more, which is no reason to answer nothing.
                read.meaning = self.meanings.of(&self.understander, text).await;
            }
            Ok(read)
        }
        .boxed()
    }
}

impl Taught for Serving {
    fn knowledge(&self) -> &KnowledgeBase {
        Self::knowledge(self)
    }

    fn forms(&self) -> &Forms {
        Self::forms(self)
    }
}
