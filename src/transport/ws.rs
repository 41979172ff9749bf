//! WebSocket: one task a connection, which reads what is there, writes what is there, and flushes
//! once.
//!
//! Read buffers are small, since most connections are idle: the library's default of 128 KiB would
//! be all the memory that there is.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::{FutureExt, SinkExt, StreamExt};
use kefu_proto::limits::{MAX_BODY_BYTES, MAX_FRAME_BYTES};
use kefu_proto::{CloseCode, SUBPROTOCOL, SUBPROTOCOL_JSON};
use tokio::time::{Instant, Sleep};

use super::door::{Caller, Door, Room};
use super::frames::{Encoded, Format, Wire};
use super::turn::{Answer, Turn};
use crate::hub::outbox::Out;

/// Bytes that are read at a time.
const READ_BYTES: usize = 1 << 10;
/// Bytes that are gathered before they are written without a flush.
const WRITE_BYTES: usize = 16 << 10;
/// Most frames that are read before what they led to is written.
const MAX_READ: usize = 64;
/// A client that takes nothing for so long is gone.
const WRITE_WITHIN: Duration = Duration::from_secs(20);

/// Answers a request to speak WebSocket; the session goes on by itself.
pub fn connect(
    door: Arc<Door>,
    upgrade: WebSocketUpgrade,
    caller: Caller,
    address: Option<IpAddr>,
) -> Response {
    let entered = door.enter(address);
    let upgrade = upgrade
        .protocols([SUBPROTOCOL, SUBPROTOCOL_JSON])
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(WRITE_BYTES)
        .max_write_buffer_size(WRITE_BYTES + 2 * MAX_BODY_BYTES)
        .max_frame_size(MAX_BODY_BYTES)
        .max_message_size(MAX_BODY_BYTES);
    let json = upgrade.selected_protocol().is_none_or(|protocol| protocol == SUBPROTOCOL_JSON);
    let wire = Wire::new(if json { Format::Json } else { Format::Binary });
    upgrade.on_upgrade(move |socket| async move {
        let guarded = door.shutdown.clone();
        let connection = Connection::new(&door, wire, socket, caller);
        guarded.track(connection.run(entered.ok())).await;
    })
}

struct Connection {
    door: Arc<Door>,
    wire: Wire,
    socket: WebSocket,
    turn: Turn,
    waiting: VecDeque<Out>,
}

/// Why a connection goes on or not.
enum Next {
    /// As before.
    On,
    /// Tell the client, and end.
    Close(CloseCode),
    /// The client is gone.
    Gone,
}

impl Connection {
    fn new(door: &Arc<Door>, wire: Wire, socket: WebSocket, caller: Caller) -> Self {
        let turn = Turn::new(door, caller);
        Self { door: Arc::clone(door), wire, socket, turn, waiting: VecDeque::new() }
    }

    async fn run(mut self, room: Option<Room>) {
        let end = match room {
            Some(_) => self.converse().await,
            None => Some(CloseCode::Busy),
        };
        let Some(end) = end else { return };
        self.door.count_close(end);
        let close = CloseFrame { code: end.number(), reason: end.info().name.into() };
        let farewell = async {
            // Nobody is left to tell if this fails.
            let _ = self.socket.send(Message::Close(Some(close))).await;
            // The client answers with its own close; what it sent before is not read any more.
            while let Some(Ok(_)) = self.socket.next().await {}
        };
        let _ = tokio::time::timeout(Duration::from_secs(2), farewell).await;
    }

    /// Until the end; how to close, unless the client is gone.
    async fn converse(&mut self) -> Option<CloseCode> {
        let door = Arc::clone(&self.door);
        let mut stop = std::pin::pin!(door.shutdown.begun());
        let mut timer = std::pin::pin!(tokio::time::sleep(self.patience()));
        loop {
            let next = tokio::select! {
                biased;
                () = outbox_ready(&self.turn) => self.write().await,
                message = self.socket.next() => match self.read(message).await {
                    Next::On => self.write().await,
                    end => end,
                },
                () = timer.as_mut() => self.check(timer.as_mut()),
                () = stop.as_mut() => Next::Close(CloseCode::GoingAway),
            };
            match next {
                Next::On => {}
                Next::Close(end) => return Some(end),
                Next::Gone => return None,
            }
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.turn.session.check_after_ms(self.door.uptime_ms()))
    }

    /// The client may have been silent for too long; if not, the timer goes on.
    fn check(&self, timer: std::pin::Pin<&mut Sleep>) -> Next {
        match self.turn.session.check(self.door.uptime_ms()) {
            Some(end) => Next::Close(end),
            None => {
                timer.reset(Instant::now() + self.patience());
                Next::On
            }
        }
    }

    /// Takes a message, and those that are there already.
    async fn read(&mut self, first: Option<Result<Message, axum::Error>>) -> Next {
        let mut message = first;
        for _ in 0..MAX_READ {
            let next = match message {
                None | Some(Ok(Message::Close(_))) => Next::Gone,
                Some(Err(error)) => broken(&error),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => Next::On,
                Some(Ok(Message::Text(text))) => self.take(Format::Json, text.as_bytes()).await,
                Some(Ok(Message::Binary(bytes))) => self.take(Format::Binary, &bytes).await,
            };
            let Next::On = next else { return next };
            match self.socket.next().now_or_never() {
                Some(more) => message = more,
                None => break,
            }
        }
        Next::On
    }

    async fn take(&mut self, format: Format, bytes: &[u8]) -> Next {
        if format != self.wire.format {
            return Next::Close(CloseCode::ProtocolViolation);
        }
        // Not a part of the task, which would keep room for it while the connection is idle.
        let answer = Box::pin(self.turn.take(&self.wire, bytes)).await;
        let compression = answer.compression();
        let Answer { frames, end, .. } = answer;
        for out in &frames {
            if let Err(next) = self.feed(out).await {
                return next;
            }
        }
        if let Some(compression) = compression {
            self.wire.compression = compression;
        }
        match end {
            None => Next::On,
            Some(end) => Next::Close(end),
        }
    }

    /// Writes what waits, and flushes.
    async fn write(&mut self) -> Next {
        let end = match self.turn.outbox() {
            Some(outbox) => outbox.take(&mut self.waiting),
            None => None,
        };
        while let Some(out) = self.waiting.pop_front() {
            if let Err(next) = self.feed(&out).await {
                return next;
            }
        }
        // An idle connection keeps no memory.
        self.waiting = VecDeque::new();
        let flushed = tokio::time::timeout(WRITE_WITHIN, self.socket.flush()).await;
        match (flushed, end) {
            (Err(_late), _) => Next::Close(CloseCode::Slow),
            (Ok(Err(error)), _) => broken(&error),
            (Ok(Ok(())), Some(end)) => Next::Close(end),
            (Ok(Ok(())), None) => Next::On,
        }
    }

    async fn feed(&mut self, out: &Out) -> Result<(), Next> {
        let message = match self.wire.write(out) {
            Encoded::Binary(bytes) => Message::Binary(bytes),
            Encoded::Json(text) => Message::Text(text.into()),
        };
        self.door.count_out(1);
        match tokio::time::timeout(WRITE_WITHIN, self.socket.feed(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(broken(&error)),
            Err(_late) => Err(Next::Close(CloseCode::Slow)),
        }
    }
}

async fn outbox_ready(turn: &Turn) {
    match turn.outbox() {
        Some(outbox) => outbox.ready().await,
        None => std::future::pending().await,
    }
}

/// What the WebSocket layer refused, or a connection that broke.
fn broken(error: &axum::Error) -> Next {
    let text = error.to_string();
    tracing::debug!(%error, "a connection broke");
    if text.contains("too long") || text.contains("Space limit") {
        return Next::Close(CloseCode::WebSocketTooBig);
    }
    Next::Gone
}

/// JSON frames may be larger than binary ones, which the frames' own limit refuses.
const _: () = assert!(MAX_FRAME_BYTES <= MAX_BODY_BYTES);
