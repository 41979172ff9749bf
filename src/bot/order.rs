//! An order for a shop's service: what is stored of it, when it is tried again, and when given up.
//!
//! It lies in the store under `o`, the time of its next attempt, the conversation, the message and
//! the intent, so that what is due comes first. Its name never changes: a service that is asked
//! twice sees the same `Idempotency-Key`.

use serde::{Deserialize, Serialize};

use crate::chat::id::ConversationId;
use crate::dialogue::event::Webhook;

/// First byte of the keys.
pub(super) const PREFIX: u8 = b'o';
/// Most attempts.
pub(super) const MAX_ATTEMPTS: u32 = 8;
/// After so long there is no further attempt.
const MAX_AGE_MS: u64 = 15 * 60_000;
const FIRST_PAUSE_MS: u64 = 1_000;
const LONGEST_PAUSE_MS: u64 = 5 * 60_000;

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) conversation: String,
    pub(super) app: String,
    pub(super) visitor: String,
    pub(super) webhook: Webhook,
    pub(super) asked_ms: u64,
    /// Attempts that are over.
    #[serde(default)]
    pub(super) attempts: u32,
}

impl Order {
    /// Where the order lies while its next attempt is due at `due_ms`.
    pub(super) fn key(&self, due_ms: u64) -> Vec<u8> {
        let mut key = before(due_ms);
        key.extend(self.conversation().map_or([0; 16], |id| id.0));
        key.extend(self.webhook.id.to_be_bytes());
        key.extend(self.webhook.intent.as_bytes());
        key
    }

    pub(super) fn conversation(&self) -> Option<ConversationId> {
        ConversationId::parse(&self.conversation)
    }

    /// What it is called, on every attempt.
    pub(super) fn name(&self) -> String {
        format!("{}-{}-{}", self.conversation, self.webhook.id, self.webhook.intent)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an order has string keys")
    }

    /// When to try again after an attempt that failed; none: never. `luck` spreads those that failed
    /// together (“full jitter”); what the service asked for is not undercut.
    pub(super) fn retry_at(
        &self,
        now_ms: u64,
        asked_ms: Option<u64>,
        luck: impl FnOnce(u64) -> u64,
    ) -> Option<u64> {
        if self.attempts >= MAX_ATTEMPTS {
            return None;
        }
        let doubled = FIRST_PAUSE_MS << self.attempts.saturating_sub(1).min(16);
        let pause = luck(doubled.min(LONGEST_PAUSE_MS)).max(asked_ms.unwrap_or(0));
        let at_ms = now_ms.saturating_add(pause);
        (at_ms <= self.asked_ms.saturating_add(MAX_AGE_MS)).then_some(at_ms)
    }
}

/// Less than the keys of all orders that are due at `due_ms` or later.
pub(super) fn before(due_ms: u64) -> Vec<u8> {
    let mut key = vec![PREFIX];
    key.extend(due_ms.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes_and_end_with_the_eighth_attempt_or_after_a_quarter() {
        let webhook = Webhook {
            id: 3,
            intent: "cancel".into(),
            url: "https://shop.example".into(),
            slots: std::collections::BTreeMap::new(),
        };
        let mut order = Order {
            conversation: "0".repeat(32),
            app: "shop".into(),
            visitor: "v".into(),
            webhook,
            asked_ms: 0,
            attempts: 0,
        };
        let mut pauses = vec![];
        for attempts in 1..=9 {
            order.attempts = attempts;
            pauses.push(order.retry_at(0, None, |most| most));
        }
        let ms = [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000];
        assert_eq!(pauses[..7], ms.map(Some));
        assert_eq!(pauses[7..], [None, None]);
        order.attempts = 1;
        assert_eq!(order.retry_at(5, Some(120_000), |_| 1), Some(120_005), "as the service asked");
        assert_eq!(order.retry_at(0, Some(MAX_AGE_MS + 1), |_| 1), None);
        assert!(order.key(5) > before(5) && order.key(5) < before(6));
    }
}
