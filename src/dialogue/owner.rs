//! Who speaks with the visitor, and the fence that keeps everybody else quiet.
//!
//! Each change of hands raises the epoch. Whoever prepares a reply remembers the fence, and the
//! reply commits only if it still holds: a bot never talks over a human.

use serde::{Deserialize, Serialize};

/// Who a conversation belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// The bot answers.
    #[default]
    Bot,
    /// The visitor waits for a human.
    Queue,
    /// This human agent answers.
    Agent(String),
}

/// Who a conversation belongs to, and how often that has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ownership {
    owner: Owner,
    epoch: u64,
}

/// What a reply in preparation was begun under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence(u64);

impl Ownership {
    /// Whose conversation it is.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// How often the conversation changed hands.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// True when the bot may speak.
    pub fn is_bots(&self) -> bool {
        self.owner == Owner::Bot
    }

    /// Gives the conversation to `owner`; false when it is theirs already, which changes nothing.
    pub fn pass(&mut self, owner: Owner) -> bool {
        let changes = self.owner != owner;
        if changes {
            self.owner = owner;
            self.epoch += 1;
        }
        changes
    }

    /// What a reply that is begun now must hold at its commit.
    pub fn fence(&self) -> Fence {
        Fence(self.epoch)
    }

    /// True when nobody took the conversation since `fence`.
    pub fn admits(&self, fence: Fence) -> bool {
        fence.0 == self.epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_hands_fences_replies_in_preparation() {
        let mut one = Ownership::default();
        let begun = one.fence();
        assert!(one.admits(begun) && !one.pass(Owner::Bot) && one.admits(begun));
        assert!(one.pass(Owner::Agent("li".into())) && !one.admits(begun));
        assert!(one.pass(Owner::Bot), "handed back");
        assert!(one.is_bots() && !one.admits(begun), "what was begun before stays out");
        assert_eq!(one.epoch(), 2);
    }
}
