//! What waits to be sent to one connection: a bounded queue that wakes its session.
//!
//! Anybody may push; the session alone takes. An empty one holds no memory beyond itself, since most
//! connections are idle. When the client takes frames more slowly than they come, the queue is
//! dropped and the session ends with [`CloseCode::Slow`]: the client resumes from the log.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use kefu_proto::CloseCode;
use kefu_proto::v1::{self, body::Kind};

use crate::chat::id::{ClientMsgId, ConversationId};

/// Most frames that wait.
pub const MAX_FRAMES: usize = 1_024;

/// A frame to send.
#[derive(Debug, Clone)]
pub struct Out {
    /// The request that it answers; 0: none.
    pub request: u64,
    /// What it says.
    pub body: OutBody,
}

/// What a frame says.
#[derive(Debug, Clone)]
pub enum OutBody {
    /// The most frequent answer, without an allocation.
    Ack(AckOut),
    /// Something for this session alone.
    Own(Box<Kind>),
    /// Something that many sessions get.
    Shared(Arc<Shared>),
}

/// An ack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckOut {
    /// In which conversation.
    pub conversation: ConversationId,
    /// Of which message.
    pub id: ClientMsgId,
    /// Its place.
    pub seq: u64,
    /// When it was appended.
    pub at_ms: u64,
    /// Whether it was acked before.
    pub duplicate: bool,
    /// Epoch of the log.
    pub log_epoch: u64,
}

impl AckOut {
    /// As it stands on the wire.
    pub fn body(&self) -> Kind {
        Kind::Ack(v1::Ack {
            conversation: self.conversation.to_string(),
            client_msg_id: Bytes::copy_from_slice(&self.id.0),
            seq: self.seq,
            at_ms: self.at_ms,
            duplicate: self.duplicate,
            log_epoch: self.log_epoch,
        })
    }
}

/// A body for many sessions, encoded at most once.
#[derive(Debug)]
pub struct Shared {
    /// What it says.
    pub body: v1::Body,
    /// A whole binary frame that answers nothing, uncompressed; made by the first who needs it.
    pub frame: OnceLock<Bytes>,
}

impl Out {
    /// A frame that answers nothing, for one session.
    pub fn own(kind: Kind) -> Self {
        Self::answer(0, kind)
    }

    /// An answer to `request`.
    pub fn answer(request: u64, kind: Kind) -> Self {
        Self { request, body: OutBody::Own(Box::new(kind)) }
    }

    /// A frame for many.
    pub fn shared(kind: Kind) -> Self {
        let shared = Shared { body: v1::Body { kind: Some(kind) }, frame: OnceLock::new() };
        Self { request: 0, body: OutBody::Shared(Arc::new(shared)) }
    }
}

/// The queue of one session.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: Mutex<Queue>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Out>,
    end: Option<CloseCode>,
}

impl Outbox {
    /// Adds a frame. Nothing is added once the session is to end.
    pub fn push(&self, out: Out) {
        let mut queue = self.lock();
        if queue.end.is_some() {
            return;
        }
        if queue.frames.len() >= MAX_FRAMES {
            queue.frames = VecDeque::new();
            queue.end = Some(CloseCode::Slow);
        } else {
            queue.frames.push_back(out);
        }
        drop(queue);
        self.waker.wake();
    }

    /// Ends the session after what waits was sent; the first reason counts.
    pub fn end(&self, end: CloseCode) {
        self.lock().end.get_or_insert(end);
        self.waker.wake();
    }

    /// Whether the session is to end.
    pub fn is_ended(&self) -> bool {
        self.lock().end.is_some()
    }

    /// Takes what waits into `frames`, and says whether the session ends after it. Gives the memory
    /// back when all is taken.
    pub fn take(&self, frames: &mut VecDeque<Out>) -> Option<CloseCode> {
        let mut queue = self.lock();
        if frames.is_empty() {
            std::mem::swap(frames, &mut queue.frames);
        } else {
            frames.append(&mut queue.frames);
        }
        queue.end
    }

    /// Resolves when something waits or the session is to end.
    pub async fn ready(&self) {
        poll_fn(|context| self.poll_ready(context)).await;
    }

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        self.waker.register(context.waker());
        let queue = self.lock();
        if queue.end.is_some() || !queue.frames.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic between two pushes leaves the queue whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_outbox_ends_its_session_and_drops_nothing_silently() {
        let outbox = Outbox::default();
        for _ in 0..MAX_FRAMES {
            outbox.push(Out::own(Kind::Pong(v1::Pong::default())));
        }
        assert!(!outbox.is_ended());
        outbox.push(Out::own(Kind::Pong(v1::Pong::default())));
        outbox.end(CloseCode::Bye);
        let mut frames = VecDeque::new();
        assert_eq!(outbox.take(&mut frames), Some(CloseCode::Slow), "the first reason counts");
        assert!(frames.is_empty());
    }

    #[test]
    fn frames_come_in_order_before_the_end() {
        let outbox = Outbox::default();
        for token in 1..=3 {
            outbox.push(Out::answer(token, Kind::Pong(v1::Pong::default())));
        }
        outbox.end(CloseCode::GoingAway);
        outbox.push(Out::answer(4, Kind::Pong(v1::Pong::default())));
        let mut frames = VecDeque::new();
        assert_eq!(outbox.take(&mut frames), Some(CloseCode::GoingAway));
        assert_eq!(frames.iter().map(|out| out.request).collect::<Vec<_>>(), [1, 2, 3]);
    }
}
