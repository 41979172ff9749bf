//! How much one request, one address and all of them together may ask.
//!
//! Sizes are checked where the body is read and the texts are parsed; rate and concurrency in
//! `layer`, before either. Every bound is an answer (413, 422, 429), and every bound on memory
//! holds against many addresses too.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use governor::clock::Clock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::sync::Semaphore;

use super::AppState;
use super::error::{ApiError, ErrorCode};

/// The bounds; `docs/configuration.md` says which flag sets which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body.
    pub max_body_bytes: usize,
    /// Characters (Unicode scalar values) of one text.
    pub max_text_chars: usize,
    /// Texts of one batch.
    pub max_batch: usize,
    /// Requests a second and address; 0: no limit. The burst is twice as much.
    pub rate_per_s: u32,
    /// Requests that may be worked on at once.
    pub max_concurrent: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 1 << 20,
            max_text_chars: 2_000,
            max_batch: 64,
            rate_per_s: 2_000,
            max_concurrent: 1_024,
        }
    }
}

impl Limits {
    /// Checks the size of one text; `at` is its number in a batch.
    ///
    /// # Errors
    /// `text_too_long`.
    pub(super) fn check_text(&self, text: &str, at: Option<usize>) -> Result<(), ApiError> {
        let max = self.max_text_chars;
        // A character has at most four bytes, so most texts need no counting.
        if text.len() <= max || text.chars().count() <= max {
            return Ok(());
        }
        let chars = text.chars().count();
        let which = at.map_or_else(|| "the text".to_owned(), |at| format!("text {at} (from 0)"));
        let message = format!("{which} has {chars} characters; send at most {max}");
        Err(ApiError::new(ErrorCode::TextTooLong, message))
    }

    /// Checks a batch and each of its texts.
    ///
    /// # Errors
    /// `batch_empty`, `batch_too_large`, `text_too_long`.
    pub(super) fn check_batch(&self, texts: &[String]) -> Result<(), ApiError> {
        let max = self.max_batch;
        if texts.is_empty() {
            let message = format!("the batch is empty; send 1 to {max} texts");
            return Err(ApiError::new(ErrorCode::BatchEmpty, message));
        }
        if texts.len() > max {
            let message = format!("the batch has {} texts; send at most {max}", texts.len());
            return Err(ApiError::new(ErrorCode::BatchTooLarge, message));
        }
        texts.iter().enumerate().try_for_each(|(at, text)| self.check_text(text, Some(at)))
    }
}

/// What counts requests across connections.
pub struct Gate {
    rate: Option<AddressRate>,
    slots: Semaphore,
}

impl Gate {
    /// A gate that enforces `limits`.
    pub fn new(limits: &Limits) -> Self {
        Self {
            rate: NonZeroU32::new(limits.rate_per_s).map(AddressRate::new),
            slots: Semaphore::new(limits.max_concurrent),
        }
    }
}

/// The layer: asks for a slot, and gives it back when the answer is made.
///
/// # Errors
/// `rate_limited` and `busy`, both with a time to wait.
pub(super) async fn layer(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    // Without a peer address (a router under test) there is nothing to count by.
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    if let (Some(rate), Some(ConnectInfo(peer))) = (&state.gate.rate, peer) {
        rate.check(peer.ip())?;
    }
    let _slot = state.gate.slots.try_acquire().map_err(|_full| {
        let message = "the server works on as many requests as it may; try again shortly";
        ApiError::new(ErrorCode::Busy, message)
    })?;
    Ok(next.run(request).await)
}

/// Above this many addresses, new ones share buckets: about 5 MiB.
const MAX_ADDRESSES: usize = 1 << 16;
/// Buckets that addresses share then.
const SHARED_BUCKETS: u64 = 1 << 12;
/// The table is swept once in this many requests.
const SWEEP_EVERY: u32 = 1 << 10;

/// A generic cell rate algorithm a peer address, in bounded memory.
struct AddressRate {
    per_s: NonZeroU32,
    cells: DefaultKeyedRateLimiter<Bucket>,
    asked: AtomicU32,
    full: AtomicBool,
}

/// Who is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Bucket {
    Address(IpAddr),
    Shared(u64),
}

impl AddressRate {
    fn new(per_s: NonZeroU32) -> Self {
        let quota = Quota::per_second(per_s).allow_burst(per_s.saturating_mul(BURST));
        Self {
            per_s,
            cells: RateLimiter::keyed(quota),
            asked: AtomicU32::new(0),
            full: AtomicBool::new(false),
        }
    }

    fn check(&self, peer: IpAddr) -> Result<(), ApiError> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.sweep();
        }
        let bucket = bucket(peer, self.full.load(Ordering::Relaxed));
        self.cells.check_key(&bucket).map_err(|not_until| {
            let wait: Duration = not_until.wait_time_from(self.cells.clock().now());
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            let message = format!(
                "this address asks more than {} times a second; wait as `Retry-After` says",
                self.per_s
            );
            ApiError::new(ErrorCode::RateLimited, message).retry_after_ms(wait_ms)
        })
    }

    /// Forgets addresses whose bucket is full again: two quiet seconds suffice.
    fn sweep(&self) {
        if self.cells.len() > MAX_ADDRESSES / 2 {
            self.cells.retain_recent();
            self.cells.shrink_to_fit();
        }
        self.full.store(self.cells.len() >= MAX_ADDRESSES, Ordering::Relaxed);
    }
}

const BURST: NonZeroU32 = NonZeroU32::new(2).expect("two is not zero");

/// One household is one bucket: an IPv6 subscriber has at least a /64.
fn bucket(peer: IpAddr, shared: bool) -> Bucket {
    let address = match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    };
    if !shared {
        return Bucket::Address(address);
    }
    let mut hasher = DefaultHasher::new();
    address.hash(&mut hasher);
    Bucket::Shared(hasher.finish() % SHARED_BUCKETS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let limits = Limits { max_text_chars: 3, max_batch: 2, ..Limits::default() };
        let code = |texts: &[&str]| {
            let texts: Vec<_> = texts.iter().map(|&text| text.to_owned()).collect();
            limits.check_batch(&texts).map_err(|error| error.code())
        };
        assert_eq!(code(&["退款吗", ""]), Ok(()));
        assert_eq!(code(&["退款了吗"]), Err(ErrorCode::TextTooLong));
        assert_eq!(code(&[]), Err(ErrorCode::BatchEmpty));
        assert_eq!(code(&["a", "b", "c"]), Err(ErrorCode::BatchTooLarge));
        let error = limits.check_text("four", Some(7)).unwrap_err();
        assert_eq!(error.to_string(), "text 7 (from 0) has 4 characters; send at most 3");
    }

    #[test]
    fn an_address_over_its_rate_waits_and_others_do_not() {
        let rate = AddressRate::new(NonZeroU32::new(1).unwrap());
        let (a, b) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        assert!(rate.check(a).is_ok());
        assert!(rate.check(a).is_ok(), "the burst is twice the rate");
        assert_eq!(rate.check(a).unwrap_err().code(), ErrorCode::RateLimited);
        assert!(rate.check(b).is_ok());
    }

    #[test]
    fn many_addresses_take_bounded_memory() {
        let rate = AddressRate::new(NonZeroU32::new(1).unwrap());
        for address in 0..200_000_u32 {
            let _ = rate.check(IpAddr::from(address.to_be_bytes()));
        }
        let bound = MAX_ADDRESSES + SHARED_BUCKETS as usize + SWEEP_EVERY as usize;
        assert!(rate.cells.len() <= bound, "{}", rate.cells.len());
    }

    #[test]
    fn one_ipv6_network_is_one_bucket() {
        let of = |text: &str| bucket(text.parse().unwrap(), false);
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
