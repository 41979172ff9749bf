//! Sessions over HTTP: begun by a POST, fed by POSTs, read by SSE or long-poll.
//!
//! The session lives between requests. Its frames are numbered and kept until the client names a
//! later one, so that a broken stream or an answer that got lost costs nothing. The routes are
//! `crate::http`'s.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex as SyncMutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use kefu_proto::CloseCode;
use kefu_proto::v1::{ErrorCode, body::Kind};
use tokio::sync::{Mutex, Notify};

use super::door::{Caller, Door, Room};
use super::frames::{Encoded, Format, Wire};
use super::turn::{Answer, Turn};
use crate::chat::refusal::Refusal;
use crate::hub::outbox::{MAX_FRAMES, Out, OutBody, Outbox};

/// A session that nobody reads or feeds for so long ends.
const IDLE_MS: u64 = 60_000;
/// Frames that a stream has sent and that are kept, in case it breaks before they arrive.
const KEPT_BEHIND: u64 = 128;

/// All sessions over HTTP, by their names, which are secrets.
#[derive(Default)]
pub(super) struct HttpSessions(DashMap<String, Arc<HttpSession>>);

/// One session.
pub struct HttpSession {
    name: String,
    wire: Wire,
    turn: Mutex<Turn>,
    outbox: Arc<Outbox>,
    kept: SyncMutex<Kept>,
    replaced: Notify,
    _room: Room,
}

/// Frames that were given out and may be asked for again.
#[derive(Default)]
struct Kept {
    frames: VecDeque<Numbered>,
    last_id: u64,
    reader: u64,
    touched_ms: u64,
    end: Option<CloseCode>,
}

/// A frame with its number in the session.
#[derive(Debug, Clone)]
pub struct Numbered {
    /// From 1.
    pub id: u64,
    /// As it is sent.
    pub frame: Encoded,
}

/// What a reader gets.
#[derive(Debug, Default)]
pub struct News {
    /// Frames after those that the reader has.
    pub frames: Vec<Numbered>,
    /// How the session ends after them, if it does.
    pub end: Option<CloseCode>,
}

/// What a reader has of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    after: u64,
    confirmed: u64,
}

impl Seen {
    /// A client says that it has everything up to `after`.
    pub fn confirmed(after: u64) -> Self {
        Self { after, confirmed: after }
    }

    /// A stream has sent everything up to `after`. What of it arrived is not known, so that the last
    /// frames stay for another stream.
    pub fn sent(after: u64) -> Self {
        Self { after, confirmed: after.saturating_sub(KEPT_BEHIND) }
    }
}

/// The right to read a session, until somebody else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader(u64);

impl Door {
    /// Begins a session with its Hello; the answer is a Welcome that names it, or an Error.
    ///
    /// # Errors
    /// When there is no room, or the Hello is not good.
    pub async fn begin(
        self: &Arc<Self>,
        wire: Wire,
        hello: &[u8],
        caller: Caller,
        address: Option<IpAddr>,
    ) -> Result<Encoded, Refusal> {
        let room = self.enter(address)?;
        let mut turn = Turn::new(self, caller);
        let mut wire = wire;
        let answer = turn.take(&wire, hello).await;
        let compression = answer.compression();
        let Answer { mut frames, end, .. } = answer;
        let name = new_name();
        if end.is_some() {
            return Err(refusal_in(&frames));
        }
        for out in &mut frames {
            if let OutBody::Own(kind) = &mut out.body
                && let Kind::Welcome(welcome) = &mut **kind
            {
                welcome.session.clone_from(&name);
            }
        }
        let mut frames = frames.into_iter();
        let first = frames.next().ok_or_else(|| Refusal::invalid("the first frame is a Hello"))?;
        let welcome = wire.write(&first);
        self.count_out(1);
        if let Some(compression) = compression {
            wire.compression = compression;
        }
        let outbox = turn.outbox().map(Arc::clone);
        let outbox = outbox.ok_or_else(|| Refusal::invalid("the first frame is a Hello"))?;
        let session = HttpSession {
            name: name.clone(),
            wire,
            turn: Mutex::new(turn),
            outbox,
            kept: SyncMutex::default(),
            replaced: Notify::new(),
            _room: room,
        };
        session.lock().touched_ms = self.uptime_ms();
        frames.for_each(|out| session.keep(&out));
        self.sessions.0.insert(name, Arc::new(session));
        Ok(welcome)
    }

    /// The session of this name.
    ///
    /// # Errors
    /// `NO_SUCH_SESSION`.
    pub fn session(&self, name: &str) -> Result<Arc<HttpSession>, Refusal> {
        let session = self.sessions.0.get(name).map(|session| Arc::clone(&session));
        let session = session.ok_or_else(|| {
            let message = "there is no such session any more; begin one with a Hello and cursors";
            Refusal::new(ErrorCode::NoSuchSession, message)
        })?;
        session.lock().touched_ms = self.uptime_ms();
        Ok(session)
    }

    /// Does what frames ask for, in order; their answers come to the reader.
    ///
    /// # Errors
    /// When a frame ends the session.
    pub async fn feed(
        &self,
        session: &HttpSession,
        frames: impl IntoIterator<Item = &[u8]>,
    ) -> Result<(), Refusal> {
        let mut turn = session.turn.lock().await;
        for frame in frames {
            let Answer { frames, end, .. } = turn.take(&session.wire, frame).await;
            if let Some(end) = end {
                let refusal = refusal_in(&frames);
                self.finish(session, end);
                return Err(refusal);
            }
            frames.into_iter().for_each(|out| session.outbox.push(out));
        }
        Ok(())
    }

    /// Ends a session.
    pub fn finish(&self, session: &HttpSession, end: CloseCode) {
        self.sessions.0.remove(&session.name);
        session.outbox.end(end);
        if session.lock().end.replace(end).is_none() {
            self.count_close(end);
        }
        session.replaced.notify_waiters();
    }

    /// Ends sessions that nobody asks for any more, and all of them when the server stops. To be
    /// called now and then.
    pub fn sweep_sessions(&self, stopping: bool) {
        let now_ms = self.uptime_ms();
        let sessions: Vec<_> = self.sessions.0.iter().map(|one| Arc::clone(&one)).collect();
        for session in sessions {
            if stopping {
                self.finish(&session, CloseCode::GoingAway);
            } else if now_ms.saturating_sub(session.lock().touched_ms) > IDLE_MS {
                self.finish(&session, CloseCode::Idle);
            }
        }
    }

    /// Waits for news after frame `seen.after`, at most for `wait`. Lets go of all frames that the
    /// client has.
    ///
    /// # Errors
    /// `NO_SUCH_SESSION` when frames after it are gone.
    pub async fn news(
        &self,
        session: &HttpSession,
        reader: Reader,
        seen: Seen,
        wait: Duration,
    ) -> Result<News, Refusal> {
        let waited = tokio::time::timeout(wait, async {
            loop {
                let replaced = session.replaced.notified();
                if let Some(news) = session.after(reader, seen)? {
                    return Ok(news);
                }
                tokio::select! {
                    () = session.outbox.ready() => {}
                    () = replaced => {}
                }
            }
        });
        let news = waited.await.unwrap_or_else(|_| Ok(News::default()));
        session.lock().touched_ms = self.uptime_ms();
        if let Ok(News { frames, end }) = &news {
            self.count_out(frames.len() as u64);
            end.iter().for_each(|end| self.finish(session, *end));
        }
        news
    }
}

impl HttpSession {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How its frames are written.
    pub fn format(&self) -> Format {
        self.wire.format
    }

    /// Whether `reader` still reads it.
    pub fn is_read_by(&self, reader: Reader) -> bool {
        self.lock().reader == reader.0
    }

    /// Takes the place of whoever reads the session now.
    pub fn read(&self) -> Reader {
        let mut kept = self.lock();
        kept.reader += 1;
        self.replaced.notify_waiters();
        Reader(kept.reader)
    }

    fn keep(&self, out: &Out) {
        let mut kept = self.lock();
        kept.last_id += 1;
        let id = kept.last_id;
        kept.frames.push_back(Numbered { id, frame: self.wire.write(out) });
    }

    /// What there is after what was seen; none: nothing yet.
    fn after(&self, reader: Reader, seen: Seen) -> Result<Option<News>, Refusal> {
        let Seen { after, confirmed } = seen;
        if self.lock().reader != reader.0 {
            return Ok(Some(News::default()));
        }
        let mut fresh = VecDeque::new();
        let end = self.outbox.take(&mut fresh);
        fresh.iter().for_each(|out| self.keep(out));
        let mut kept = self.lock();
        let oldest = kept.last_id + 1 - kept.frames.len() as u64;
        if after > kept.last_id || after + 1 < oldest {
            let message = "the session no longer has these frames; begin another with cursors";
            return Err(Refusal::new(ErrorCode::NoSuchSession, message));
        }
        while kept.frames.front().is_some_and(|frame| frame.id <= confirmed) {
            kept.frames.pop_front();
        }
        let frames: Vec<_> = kept.frames.iter().filter(|frame| frame.id > after).cloned().collect();
        // Nobody takes what was sent, and the log has it all.
        let slow = (frames.len() > MAX_FRAMES).then_some(CloseCode::Slow);
        let end = kept.end.or(end).or(slow);
        Ok((!frames.is_empty() || end.is_some()).then_some(News { frames, end }))
    }
}

/// The error that ended a session before it began.
fn refusal_in(frames: &[Out]) -> Refusal {
    let error = frames.iter().find_map(|out| match &out.body {
        OutBody::Own(kind) => match &**kind {
            Kind::Error(error) => Some(error),
            _ => None,
        },
        OutBody::Ack(_) | OutBody::Shared(_) => None,
    });
    match error {
        Some(error) => Refusal {
            code: error.code(),
            message: error.message.clone(),
            retry_after_ms: error.retry_after_ms,
        },
        None => Refusal::new(ErrorCode::Unexpected, "the first frame is a Hello"),
    }
}

/// 192 random bits: whoever knows the name is the user.
fn new_name() -> String {
    use base64::Engine as _;
    let secret: [u8; 24] = rand::random();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(secret)
}
