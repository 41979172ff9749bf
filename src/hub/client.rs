//! A connection comes and goes: what it is told first, and what it missed.

use std::sync::Arc;

use kefu_proto::CloseCode;
use kefu_proto::limits::DEFAULT_PULL;
use kefu_proto::v1::{self, body::Kind};

use super::Hub;
use super::outbox::Outbox;
use crate::chat::id::ConversationId;
use crate::chat::party::{Party, Side};
use crate::chat::record::Head;
use crate::chat::refusal::Refusal;
use crate::chat::request::{Pull, PullFrom};

/// Most conversations of a Welcome.
const MAX_LISTED: usize = 100;

/// One connection of somebody who is logged in.
#[derive(Debug)]
pub struct Client {
    /// Who.
    pub user: Party,
    /// What others see as the name; may be empty.
    pub name: String,
    /// The app that a visitor belongs to.
    pub app: String,
    /// The visitor's language, `zh` or `en`; may be empty.
    pub lang: String,
    /// The device.
    pub device: String,
    /// Conversations at once, for an agent.
    pub capacity: u32,
    /// What waits to be sent to it.
    pub outbox: Arc<Outbox>,
}

/// What a client is told before anything else.
#[derive(Debug, Default)]
pub struct Greeting {
    /// Its conversations.
    pub conversations: Vec<v1::Conversation>,
    /// The first page of what it missed, for each cursor that is behind.
    pub missed: Vec<Kind>,
}

impl Hub {
    /// Lets a connection in: from now on its outbox gets what happens. An older connection of the
    /// same device ends. What the greeting says comes before what is in the outbox; both may hold
    /// the same message.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the store fails; the connection is not in then.
    pub async fn join(
        self: &Arc<Self>,
        client: &Client,
        cursors: &[v1::Cursor],
    ) -> Result<Greeting, Refusal> {
        self.users.join(&client.user, &client.device, &client.outbox);
        let greeting = self.greet(client, cursors).await;
        if greeting.is_err() {
            self.leave(client);
        }
        greeting
    }

    /// The connection is gone: its outbox takes nothing more.
    pub fn leave(self: &Arc<Self>, client: &Client) {
        client.outbox.end(CloseCode::Bye);
        let last = self.users.leave(&client.user, &client.outbox);
        if last && client.user.side == Side::Agent {
            self.agent_left(&client.user.id);
        }
    }

    async fn greet(
        self: &Arc<Self>,
        client: &Client,
        cursors: &[v1::Cursor],
    ) -> Result<Greeting, Refusal> {
        let listed = match client.user.side {
            Side::Visitor => self.of_visitor(&client.app, &client.user.id, MAX_LISTED).await?,
            Side::Agent => self.owned_by(&client.user.id, MAX_LISTED).await?,
        };
        let mut greeting = Greeting::default();
        for id in listed {
            let (head, last_seq) = self.peek(id).await?;
            greeting.conversations.push(self.show(id, &head, last_seq, &client.user).await?);
        }
        for cursor in cursors {
            // A name that was never given, or a conversation that is not the user's: nothing missed.
            let Some(id) = ConversationId::parse(&cursor.conversation) else { continue };
            let Ok((head, last_seq)) = self.peek(id).await else { continue };
            if !may_see(client, &head) {
                continue;
            }
            let after = if cursor.log_epoch == self.log_epoch { cursor.seq } else { 0 };
            if after > last_seq {
                // The client saw what the log does not have: the store lost it.
                let (client, log) = (after, last_seq);
                tracing::error!(conversation = %id, client, log, "the log is shorter than a cursor");
                self.gaps.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
            if after != last_seq || cursor.log_epoch != self.log_epoch {
                let from = PullFrom::After(after.min(last_seq));
                let pull = Pull { conversation: id, from, limit: DEFAULT_PULL };
                let page = self.page(&head, last_seq, pull, client.user.side).await?;
                greeting.missed.push(Kind::Range(page));
            }
        }
        Ok(greeting)
    }
}

/// Whether a conversation is the client's business.
fn may_see(client: &Client, head: &Head) -> bool {
    match client.user.side {
        Side::Visitor => head.app == client.app && head.visitor == client.user.id,
        Side::Agent => true,
    }
}

/// # Errors
/// `NO_SUCH_CONVERSATION` for what is not the client's business, so that names tell nothing.
pub(super) fn check_seen(client: &Client, head: &Head) -> Result<(), Refusal> {
    if may_see(client, head) { Ok(()) } else { Err(super::load::unknown()) }
}
