//! Who takes part in a conversation.

use kefu_proto::v1::{Holder, Owner, Role, Status, User};

/// Longest id of a visitor or an agent, in bytes.
pub const MAX_ID_BYTES: usize = 128;

/// Someone who can be sent to: all devices of one visitor or one agent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Party {
    /// The app that it belongs to; empty for an agent, who serves all.
    pub app: String,
    /// Whether it is a visitor or an agent.
    pub side: Side,
    /// Unique among its kind.
    pub id: String,
}

/// The two kinds of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Asks.
    Visitor,
    /// Answers.
    Agent,
}

impl Party {
    /// The visitor `id` of `app`.
    pub fn visitor(app: &str, id: &str) -> Self {
        Self { app: app.to_owned(), side: Side::Visitor, id: id.to_owned() }
    }

    /// The agent `id`.
    pub fn agent(id: &str) -> Self {
        Self { app: String::new(), side: Side::Agent, id: id.to_owned() }
    }

    /// As it stands on the wire.
    pub fn user(&self, name: &str) -> User {
        let role = match self.side {
            Side::Visitor => Role::Visitor,
            Side::Agent => Role::Agent,
        };
        User { role: role.into(), id: self.id.clone(), name: name.to_owned() }
    }
}

/// The queue, as an owner.
pub fn queue() -> Owner {
    Owner { holder: Holder::Queue.into(), agent: None }
}

/// An agent, as an owner.
pub fn owned_by(agent: User) -> Owner {
    Owner { holder: Holder::Agent.into(), agent: Some(agent) }
}

/// The status of a conversation that is not resolved, by its owner.
pub fn status(owner: &Owner) -> Status {
    match owner.holder() {
        Holder::Queue => Status::Waiting,
        Holder::Bot | Holder::Agent | Holder::Nobody | Holder::Unspecified => Status::Open,
    }
}

/// The bot, as a sender.
pub fn bot() -> User {
    User { role: Role::Bot.into(), ..User::default() }
}

/// The server itself, as a sender.
pub fn system() -> User {
    User { role: Role::System.into(), ..User::default() }
}
