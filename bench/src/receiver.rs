//! Another device of a visitor, which only receives what the first one sends.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use kefu_proto::v1::body::Kind;
use kefu_proto::v1::{Deliver, Welcome};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::account::{Logs, MessageId};
use crate::client::Connection;
use crate::run::Run;
use crate::sender::PING_US;

/// How long a device may lag behind the last ack.
const GRACE: Duration = Duration::from_secs(5);

/// What each visitor's sending device knows of its logs at the end; empty before.
pub(crate) type Ends = Arc<Vec<Logs>>;

/// A device and what it has seen.
pub(crate) struct Receiver {
    visitor: usize,
    connection: Connection,
    logs: Logs,
}

impl Receiver {
    pub(crate) fn new(visitor: usize, connection: Connection, welcome: &Welcome) -> Self {
        Self { visitor, connection, logs: Logs::of(&welcome.conversations) }
    }

    /// Receives until `ends` is there and reached; false when it was not reached in time.
    pub(crate) async fn drive(mut self, run: &Run, mut ends: watch::Receiver<Ends>) -> bool {
        let received = tokio::select! {
            error = self.receive(run) => Err(error),
            _ = ends.wait_for(|ends| !ends.is_empty()) => Ok(()),
        };
        if let Err(error) = received {
            run.count_error(&format!("receiver: {error:#}"));
            return false;
        }
        let ends = ends.borrow().clone();
        let until = Instant::now() + GRACE;
        while !self.logs.reaches(&ends[self.visitor]) {
            match timeout_at(until, self.connection.next()).await {
                Ok(Ok(kind)) => self.take(kind, run),
                _ => return false,
            }
        }
        true
    }

    /// Ends only with an error.
    async fn receive(&mut self, run: &Run) -> anyhow::Error {
        let mut alive_at = run.now_us() + PING_US;
        let mut timer = pin!(sleep_until(run.at(alive_at)));
        loop {
            let received = tokio::select! {
                biased;
                kind = self.connection.next() => kind.map(Some),
                () = &mut timer => self.connection.ping().await.map(|()| None),
            };
            match received {
                Ok(Some(kind)) => self.take(kind, run),
                Ok(None) => {
                    alive_at = run.now_us() + PING_US;
                    run.set(timer.as_mut(), alive_at);
                }
                Err(error) => return error,
            }
        }
    }

    fn take(&mut self, kind: Kind, run: &Run) {
        let Kind::Deliver(Deliver { conversation, messages }) = kind else { return };
        let now = run.now_us();
        let mut tally = run.tally();
        for message in &messages {
            self.logs.see(&conversation, message.seq);
            let id = MessageId::from_bytes(&message.client_msg_id);
            let Some(id) = id.filter(|id| id.run == run.id) else { continue };
            let due = u64::from(id.due_us);
            if run.window.contains(&due) {
                tally.delivery_us.saturating_record(now.saturating_sub(due));
            }
            if run.window.contains(&now) {
                tally.delivered += 1;
            }
        }
    }
}
