//! The numbers of conversations: who is connected, what was sent, and how it went.
//!
//! `crate::transport` and `crate::hub` count; here the counts get names and labels.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::raise;
use crate::bot::Report;
use crate::transport::Door;

/// What the door and the hub count.
#[derive(Clone, Default)]
pub(super) struct ConversationMetrics {
    sessions: Gauge,
    frames: Family<DirectionLabels, Counter>,
    errors: Family<ErrorLabels, Counter>,
    closes: Family<CloseLabels, Counter>,
    in_use: Gauge,
    gaps: Counter,
    bot: Family<BotLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BotLabels {
    what: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectionLabels {
    direction: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CloseLabels {
    code: u16,
}

impl ConversationMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let Self { sessions, frames, errors, closes, in_use, gaps, bot } = self.clone();
        registry.register("sessions", "Sessions of visitors and agents now", sessions);
        registry.register("frames", "Frames from and to clients", frames);
        registry.register("frame_errors", "Errors that clients were told", errors);
        registry.register("session_closes", "Ends of sessions", closes);
        registry.register("conversations_in_use", "Conversations in memory now", in_use);
        registry.register("log_gaps", "Messages found missing in logs", gaps);
        registry.register("bot_events", "What the bot did in conversations", bot);
    }

    /// Takes the bot's counts over.
    pub(super) fn set_bot(&self, report: &Report) {
        let Report { turns, unread, fenced, hand_offs, follow_ups, deferred, .. } = *report;
        let Report { webhooks_done, webhooks_retried, webhooks_failed, .. } = *report;
        for (what, count) in [
            ("turn", turns),
            ("unread", unread),
            ("fenced", fenced),
            ("hand_off", hand_offs),
            ("follow_up", follow_ups),
            ("deferred", deferred),
            ("webhook_done", webhooks_done),
            ("webhook_retried", webhooks_retried),
            ("webhook_failed", webhooks_failed),
        ] {
            raise(&self.bot.get_or_create(&BotLabels { what }), count);
        }
    }

    /// Takes the counts over. What never happened has no line, or every code would have one.
    pub(super) fn set(&self, door: &Door) {
        let counts = door.counts();
        self.sessions.set(gauge(counts.sessions));
        for (direction, count) in [("in", counts.frames_in), ("out", counts.frames_out)] {
            raise(&self.frames.get_or_create(&DirectionLabels { direction }), count);
        }
        for (code, count) in counts.errors.into_iter().filter(|(_, count)| *count > 0) {
            let code = code.strip_prefix("ERROR_CODE_").unwrap_or(code);
            raise(&self.errors.get_or_create(&ErrorLabels { code }), count);
        }
        for (code, count) in counts.closes.into_iter().filter(|(_, count)| *count > 0) {
            raise(&self.closes.get_or_create(&CloseLabels { code }), count);
        }
        self.in_use.set(gauge(door.hub().in_use()));
        raise(&self.gaps, door.hub().gaps());
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
