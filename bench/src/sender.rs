//! A connection that sends messages and accounts for their acks.

use std::pin::pin;
use std::sync::Arc;

use kefu_proto::v1::body::Kind;
use kefu_proto::v1::{Body, ErrorCode, Send, Welcome};
use prost::bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::sleep_until;

use crate::account::{Acked, Acks, Logs, MessageId};
use crate::client::Connection;
use crate::run::{Pace, Run};

/// Silence after which a connection shows that it lives.
pub(crate) const PING_US: u64 = kefu_proto::limits::PING_EVERY_MS * 1000;
/// How long to wait for a socket that takes no more before trying again to send.
const FULL_US: u64 = 1000;

/// A connection and its books.
pub(crate) struct Sender {
    /// Its place among the connections.
    pub(crate) number: u32,
    /// None when it broke.
    pub(crate) connection: Option<Connection>,
    pub(crate) acks: Acks,
    pub(crate) logs: Logs,
    pub(crate) doubled: u64,
    pub(crate) refused: u64,
    /// Seqs that were skipped in what came; set at the end.
    pub(crate) gaps: u64,
    /// Sent and neither acked nor refused.
    waiting: u32,
    last_sent_us: u64,
    body: Body,
    /// Rings when a message of an open loop is due.
    pub(crate) bell: Arc<Notify>,
}

impl Sender {
    pub(crate) fn new(number: u32, connection: Connection, welcome: &Welcome) -> Self {
        Self {
            number,
            connection: Some(connection),
            acks: Acks::default(),
            logs: Logs::of(&welcome.conversations),
            doubled: 0,
            refused: 0,
            gaps: 0,
            waiting: 0,
            last_sent_us: 0,
            body: Body::default(),
            bell: Arc::default(),
        }
    }

    /// Sends through the whole run; a connection that breaks is counted and ends.
    pub(crate) async fn drive(mut self, run: &Run) -> Self {
        let Some(mut connection) = self.connection.take() else { return self };
        let send = Send { text: run.text.clone(), ..Send::default() };
        self.body.kind = Some(Kind::Send(send));
        match self.run(&mut connection, run).await {
            Ok(()) => self.connection = Some(connection),
            Err(error) => run.count_error(&format!("{error:#}")),
        }
        self
    }

    async fn run(&mut self, connection: &mut Connection, run: &Run) -> anyhow::Result<()> {
        let mut timer = pin!(sleep_until(run.begin));
        timer.as_mut().await;
        loop {
            let now = run.now_us();
            let mut wake = if now < run.window.end {
                self.fill(connection, run, now).await?
            } else if self.waiting == 0 || now >= run.give_up_us {
                return Ok(());
            } else {
                run.give_up_us
            };
            if now >= self.last_sent_us + PING_US {
                connection.ping().await?;
                self.last_sent_us = now;
            }
            wake = wake.min(self.last_sent_us + PING_US);
            run.set(timer.as_mut(), wake);
            tokio::select! {
                biased;
                kind = connection.next() => {
                    self.take(kind?, run);
                    while let Some(kind) = connection.next_ready()? {
                        self.take(kind, run);
                    }
                }
                () = self.bell.notified() => {}
                () = &mut timer => {}
            }
        }
    }

    /// Queues what is due, and says when to look again.
    async fn fill(
        &mut self,
        connection: &mut Connection,
        run: &Run,
        now: u64,
    ) -> anyhow::Result<u64> {
        match run.pace {
            Pace::Closed { in_flight } => {
                while self.waiting < in_flight {
                    self.send(connection, run, now).await?;
                }
                Ok(run.window.end)
            }
            Pace::Open { every_us } => loop {
                // The connections take turns; the pacer rings each when its turn comes.
                let turn = f64::from(self.number) / run.connections as f64;
                let due = ((f64::from(self.acks.sent()) + turn) * every_us) as u64;
                if due > now {
                    return Ok(run.window.end);
                }
                if !connection.is_ready() {
                    return Ok(now + FULL_US);
                }
                self.send(connection, run, due).await?;
            },
        }
    }

    async fn send(
        &mut self,
        connection: &mut Connection,
        run: &Run,
        due_us: u64,
    ) -> anyhow::Result<()> {
        let number = self.acks.send();
        let id = MessageId { run: run.id, connection: self.number, number, due_us: due_us as u32 };
        if let Some(Kind::Send(send)) = &mut self.body.kind {
            send.client_msg_id = Bytes::copy_from_slice(&id.to_bytes());
        }
        connection.feed(&self.body).await?;
        self.waiting += 1;
        self.last_sent_us = due_us;
        Ok(())
    }

    fn take(&mut self, kind: Kind, run: &Run) {
        match kind {
            Kind::Ack(ack) => {
                self.logs.see(&ack.conversation, ack.seq);
                self.acked(&ack.client_msg_id, run);
            }
            Kind::Send(send) if run.echo => self.acked(&send.client_msg_id, run),
            Kind::Deliver(deliver) => {
                for message in &deliver.messages {
                    self.logs.see(&deliver.conversation, message.seq);
                }
            }
            Kind::Error(error) => {
                let code = ErrorCode::try_from(error.code).unwrap_or_default();
                run.count_error(code.as_str_name());
                if !error.client_msg_id.is_empty() {
                    self.refused += 1;
                    self.waiting = self.waiting.saturating_sub(1);
                }
            }
            _ => {}
        }
    }

    fn acked(&mut self, id: &[u8], run: &Run) {
        let own =
            MessageId::from_bytes(id).filter(|id| id.run == run.id && id.connection == self.number);
        let Some(id) = own else {
            run.count_error("ack of an unknown message");
            return;
        };
        match self.acks.ack(id.number) {
            Acked::First => self.waiting = self.waiting.saturating_sub(1),
            Acked::Again => self.doubled += 1,
            Acked::Unknown => run.count_error("ack of an unknown message"),
        }
        let now = run.now_us();
        let due = u64::from(id.due_us);
        let mut tally = run.tally();
        if run.window.contains(&due) {
            tally.latency_us.saturating_record(now.saturating_sub(due));
        }
        if run.window.contains(&now) {
            tally.acked += 1;
        }
    }
}
