//! Who comes in: room for sessions, the Hello verified, and what is counted.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use kefu_proto::CloseCode;
use kefu_proto::limits::{
    MAX_FRAME_BYTES, MAX_PULL, MAX_TEXT_CHARS, PING_EVERY_MS, SNAPPY_FROM_BYTES,
};
use kefu_proto::v1::{self, ErrorCode};

use super::http_session::HttpSessions;
use crate::chat::party::Party;
use crate::chat::refusal::Refusal;
use crate::hub::outbox::Outbox;
use crate::hub::{Client, Greeting, Hub};
use crate::identity::{Identity, IdentityError, Principal, Rate, Role, Source, household};
use crate::shutdown::Shutdown;

/// What shapes the door.
#[derive(Debug, Clone, Copy)]
pub struct DoorOptions {
    /// Sessions at once.
    pub max_sessions: usize,
    /// New sessions a second and address; none: no limit.
    pub sessions_per_s: Option<std::num::NonZeroU32>,
}

/// What the transports share.
pub struct Door {
    pub(super) hub: Arc<Hub>,
    pub(super) identity: Arc<Identity>,
    pub(super) shutdown: Shutdown,
    pub(super) sessions: HttpSessions,
    options: DoorOptions,
    open: AtomicUsize,
    rate: Option<Rate>,
    started: Instant,
    frames_in: AtomicU64,
    frames_out: AtomicU64,
    errors: [AtomicU64; ERRORS],
    closes: [AtomicU64; CLOSES],
}

const ERRORS: usize = kefu_proto::ERROR_CODES.len();
const CLOSES: usize = kefu_proto::CLOSE_CODES.len();

/// What was counted since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Sessions now.
    pub sessions: usize,
    /// Frames from clients.
    pub frames_in: u64,
    /// Frames to clients.
    pub frames_out: u64,
    /// Errors that clients were told, by code.
    pub errors: Vec<(&'static str, u64)>,
    /// Ends of sessions, by close code.
    pub closes: Vec<(u16, u64)>,
}

/// Room for one session; gives it back when dropped.
pub(super) struct Room(Arc<Door>);

impl Drop for Room {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where a Hello came from, as its request's headers say.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// `Origin`.
    pub origin: Option<String>,
    /// `Host`.
    pub host: Option<String>,
}

impl Door {
    /// A door to `hub`, for those whom `identity` knows.
    pub fn new(
        hub: Arc<Hub>,
        identity: Arc<Identity>,
        shutdown: Shutdown,
        options: DoorOptions,
    ) -> Arc<Self> {
        Arc::new(Self {
            hub,
            identity,
            shutdown,
            sessions: HttpSessions::default(),
            options,
            open: AtomicUsize::new(0),
            rate: options.sessions_per_s.map(Rate::new),
            started: Instant::now(),
            frames_in: AtomicU64::new(0),
            frames_out: AtomicU64::new(0),
            errors: [const { AtomicU64::new(0) }; ERRORS],
            closes: [const { AtomicU64::new(0) }; CLOSES],
        })
    }

    /// Where conversations are.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Who knows who somebody is.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// Milliseconds since the start: silence is measured by a clock that nobody sets.
    pub(super) fn uptime_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Room for one more session from `address`.
    ///
    /// # Errors
    /// `RATE_LIMITED` and `BUSY`.
    pub(super) fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Room, Refusal> {
        if let (Some(rate), Some(address)) = (&self.rate, address)
            && let Err(wait_ms) = rate.check(&household(address))
        {
            let message = "too many connections from this address; wait";
            let wait_ms = u32::try_from(wait_ms).unwrap_or(u32::MAX);
            return Err(Refusal::new(ErrorCode::RateLimited, message).retry_after_ms(wait_ms));
        }
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.options.max_sessions {
            self.open.fetch_sub(1, Ordering::Relaxed);
            let message = "the server has as many connections as it may; try again later";
            return Err(Refusal::new(ErrorCode::Busy, message).retry_after_ms(5_000));
        }
        Ok(Room(Arc::clone(self)))
    }

    /// Verifies a Hello and lets its client in.
    ///
    /// # Errors
    /// Why not, and how the session ends.
    pub(super) async fn greet(
        &self,
        hello: v1::Hello,
        device: &str,
        caller: &Caller,
    ) -> Result<(Client, v1::Welcome, Greeting), (Refusal, CloseCode)> {
        let client = self.verify(&hello, device, caller).await.map_err(|error| refused(&error))?;
        let greeting = self.hub.join(&client, &hello.cursors).await;
        let mut greeting = greeting.map_err(|refusal| (refusal, CloseCode::Internal))?;
        let welcome = v1::Welcome {
            session: String::new(),
            user: Some(client.user.user(&client.name)),
            conversations: std::mem::take(&mut greeting.conversations),
            limits: Some(limits()),
            server_time_ms: self.hub.now_ms(),
            snappy: hello.accept_snappy,
        };
        Ok((client, welcome, greeting))
    }

    async fn verify(
        &self,
        hello: &v1::Hello,
        device: &str,
        caller: &Caller,
    ) -> Result<Client, IdentityError> {
        let now_ms = self.hub.now_ms();
        let principal = if hello.app_id.is_empty() {
            self.identity.verify_session(&hello.token, now_ms).await?
        } else {
            let source = Source { origin: caller.origin.as_deref(), host: caller.host.as_deref() };
            let visitor =
                self.identity.verify_visitor(&hello.app_id, &hello.token, source, now_ms)?;
            Principal::from(&visitor)
        };
        let lang = match &*hello.lang {
            lang @ ("zh" | "en") => lang.to_owned(),
            _ => String::new(),
        };
        let (user, name, app, capacity) = match principal {
            Principal::Visitor { app, id, name, anonymous: _ } => {
                (Party::visitor(&app, &id), name.unwrap_or_default(), app, 0)
            }
            Principal::Agent { id, name, role, capacity } if role >= Role::Agent => {
                (Party::agent(&id), name, String::new(), capacity)
            }
            Principal::Agent { .. } | Principal::Service { .. } => {
                return Err(IdentityError::Forbidden);
            }
        };
        let (device, outbox) = (device.to_owned(), Arc::new(Outbox::default()));
        Ok(Client { user, name, app, lang, device, capacity, outbox })
    }

    /// Whether a visitor may write now.
    ///
    /// # Errors
    /// `RATE_LIMITED`.
    pub(super) fn admit(&self, client: &Client) -> Result<(), Refusal> {
        if client.app.is_empty() {
            return Ok(());
        }
        self.identity.admit(&client.app, &client.user.id).map_err(|error| refused(&error).0)
    }

    pub(super) fn count_in(&self) {
        self.frames_in.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_out(&self, frames: u64) {
        self.frames_out.fetch_add(frames, Ordering::Relaxed);
    }

    pub(super) fn count_error(&self, code: ErrorCode) {
        let at = kefu_proto::ERROR_CODES.iter().position(|info| info.code == code);
        if let Some(counter) = at.and_then(|at| self.errors.get(at)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn count_close(&self, code: CloseCode) {
        let at = kefu_proto::CLOSE_CODES.iter().position(|info| info.code == code);
        if let Some(counter) = at.and_then(|at| self.closes.get(at)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted since the start.
    pub fn counts(&self) -> Counts {
        let errors = kefu_proto::ERROR_CODES.iter().zip(&self.errors);
        let closes = kefu_proto::CLOSE_CODES.iter().zip(&self.closes);
        Counts {
            sessions: self.open.load(Ordering::Relaxed),
            frames_in: self.frames_in.load(Ordering::Relaxed),
            frames_out: self.frames_out.load(Ordering::Relaxed),
            errors: errors
                .map(|(info, count)| (info.code.as_str_name(), count.load(Ordering::Relaxed)))
                .collect(),
            closes: closes
                .map(|(info, count)| (info.code.number(), count.load(Ordering::Relaxed)))
                .collect(),
        }
    }
}

fn limits() -> v1::Limits {
    let small = |limit: usize| u32::try_from(limit).expect("limits fit into 32 bits");
    v1::Limits {
        ping_every_ms: u32::try_from(PING_EVERY_MS).expect("half a minute fits"),
        max_frame_bytes: small(MAX_FRAME_BYTES),
        max_text_chars: small(MAX_TEXT_CHARS),
        max_pull: small(MAX_PULL),
        snappy_from_bytes: small(SNAPPY_FROM_BYTES),
    }
}

/// What a client is told of a failed Hello, and how its session ends.
fn refused(error: &IdentityError) -> (Refusal, CloseCode) {
    use IdentityError as E;
    let message = error.to_string();
    let (code, close) = match *error {
        E::Unauthorized(_) | E::TokenInvalid(_) => {
            (ErrorCode::Unauthorized, CloseCode::Unauthorized)
        }
        E::TokenExpired => (ErrorCode::TokenExpired, CloseCode::TokenExpired),
        E::Forbidden => (ErrorCode::Forbidden, CloseCode::Unauthorized),
        E::OriginRefused => (ErrorCode::OriginRefused, CloseCode::OriginRefused),
        E::NoSuchApp => (ErrorCode::NoSuchApp, CloseCode::Unauthorized),
        E::RateLimited { retry_after_ms } => {
            let wait_ms = u32::try_from(retry_after_ms).unwrap_or(u32::MAX);
            let refusal = Refusal::new(ErrorCode::RateLimited, message).retry_after_ms(wait_ms);
            return (refusal, CloseCode::Busy);
        }
        E::Busy => (ErrorCode::Busy, CloseCode::Busy),
        E::NoSuchAgent
        | E::NoSuchKey
        | E::LoginTaken
        | E::AppTaken
        | E::WeakPassword { .. }
        | E::LastAdmin
        | E::Invalid { .. }
        | E::Damaged(_)
        | E::Threads(_)
        | E::Store(_) => {
            tracing::error!(%message, "a Hello could not be verified");
            let message = "the server cannot verify anybody at the moment; try again later";
            return (Refusal::new(ErrorCode::Unavailable, message), CloseCode::Internal);
        }
    };
    (Refusal::new(code, message), close)
}
