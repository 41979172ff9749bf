//! How often one address, one visitor and one app may ask, in bounded memory.
//!
//! The HTTP layer and the sessions ask before they work. When more keys ask than the table holds,
//! newcomers share buckets: a flood of keys is slowed down as a whole, nothing passes uncounted.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use governor::clock::Clock as _;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::error::IdentityError;
use super::records::{App, AppRates};

/// Above this many keys, all share buckets: about 5 MiB.
const MAX_KEYS: usize = 1 << 16;
/// Buckets that keys share then.
const SHARED_BUCKETS: u64 = 1 << 12;
/// The table is swept once in this many requests.
const SWEEP_EVERY: u32 = 1 << 10;
/// Burst, in seconds of the rate.
const BURST: NonZeroU32 = NonZeroU32::new(2).expect("two is not zero");

/// A generic cell rate algorithm a key, in bounded memory.
#[derive(Debug)]
pub struct Rate {
    cells: DefaultKeyedRateLimiter<u64>,
    /// Keyed at random, so that nobody can aim at another key's bucket.
    hasher: RandomState,
    asked: AtomicU32,
    full: AtomicBool,
}

impl Rate {
    /// `per_s` requests a second and key, with a burst of twice as many.
    pub fn new(per_s: NonZeroU32) -> Self {
        let quota = Quota::per_second(per_s).allow_burst(per_s.saturating_mul(BURST));
        Self {
            cells: RateLimiter::keyed(quota),
            hasher: RandomState::new(),
            asked: AtomicU32::new(0),
            full: AtomicBool::new(false),
        }
    }

    /// Counts one request of `key`.
    ///
    /// # Errors
    /// The milliseconds to wait when it was one too many.
    pub fn check(&self, key: &impl Hash) -> Result<(), u64> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.sweep();
        }
        let hash = self.hasher.hash_one(key);
        let shared = self.full.load(Ordering::Relaxed);
        let bucket = if shared { hash % SHARED_BUCKETS } else { hash };
        self.cells.check_key(&bucket).map_err(|not_until| {
            let wait = not_until.wait_time_from(self.cells.clock().now());
            u64::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
        })
    }

    /// Forgets keys whose bucket is full again: two quiet seconds suffice.
    fn sweep(&self) {
        if self.cells.len() > MAX_KEYS / 2 {
            self.cells.retain_recent();
            self.cells.shrink_to_fit();
        }
        self.full.store(self.cells.len() >= MAX_KEYS, Ordering::Relaxed);
    }
}

/// What is counted as one address: an IPv6 subscriber has at least a /64.
pub fn household(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Counts what arrives for each app.
#[derive(Debug, Default)]
pub(super) struct Traffic(RwLock<HashMap<String, Arc<AppTraffic>>>);

#[derive(Debug)]
struct AppTraffic {
    rates: AppRates,
    app: Option<Rate>,
    visitors: Option<Rate>,
}

impl Traffic {
    /// Counts one request of a visitor of `app`. The table has at most one entry an app: `app` is
    /// known.
    pub(super) fn check(&self, app: &App, visitor: &str) -> Result<(), IdentityError> {
        let traffic = self.of(app);
        let limited = |retry_after_ms| IdentityError::RateLimited { retry_after_ms };
        // The visitor first: one who sends too much must not use up what the others have.
        let visitors = traffic.visitors.as_ref().map_or(Ok(()), |rate| rate.check(&visitor));
        visitors
            .and_then(|()| traffic.app.as_ref().map_or(Ok(()), |rate| rate.check(&())))
            .map_err(limited)
    }

    fn of(&self, app: &App) -> Arc<AppTraffic> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&app.id).cloned();
        if let Some(known) = known.filter(|known| known.rates == app.rates) {
            return known;
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been faster; its counts must not be lost.
        if let Some(known) = all.get(&app.id).filter(|known| known.rates == app.rates) {
            return Arc::clone(known);
        }
        let fresh = Arc::new(AppTraffic {
            rates: app.rates,
            app: NonZeroU32::new(app.rates.app_per_s).map(Rate::new),
            visitors: NonZeroU32::new(app.rates.visitor_per_s).map(Rate::new),
        });
        all.insert(app.id.clone(), Arc::clone(&fresh));
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_s: u32) -> Rate {
        Rate::new(NonZeroU32::new(per_s).unwrap())
    }

    #[test]
    fn a_key_over_its_rate_waits_and_others_do_not() {
        let rate = rate(1);
        assert!(rate.check(&"a").is_ok());
        assert!(rate.check(&"a").is_ok(), "the burst is twice the rate");
        let wait_ms = rate.check(&"a").unwrap_err();
        assert!((1..=1_000).contains(&wait_ms), "{wait_ms}");
        assert!(rate.check(&"b").is_ok());
    }

    #[test]
    fn many_keys_take_bounded_memory_and_are_slowed_down() {
        let rate = rate(1);
        let passed = (0..200_000_u32).filter(|key| rate.check(key).is_ok()).count();
        let bound = MAX_KEYS + SHARED_BUCKETS as usize + SWEEP_EVERY as usize;
        assert!(rate.cells.len() <= bound, "{}", rate.cells.len());
        assert!(passed < 200_000, "no newcomer passes uncounted");
    }

    #[test]
    fn one_ipv6_network_is_one_household() {
        let of = |text: &str| household(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }

    #[test]
    fn visitors_and_apps_have_bounds_of_their_own() {
        let app = |visitor_per_s, app_per_s| {
            let json = r#"{"id": "shop", "secret": "s"}"#;
            let app: App = serde_json::from_str(json).unwrap();
            App { rates: AppRates { visitor_per_s, app_per_s }, ..app }
        };
        let traffic = Traffic::default();
        let narrow = app(1, 2);
        let passed = |app: &App, visitor: &str| traffic.check(app, visitor).is_ok();
        assert!(passed(&narrow, "a") && passed(&narrow, "a"));
        assert!(!passed(&narrow, "a"), "the visitor's bound");
        assert!(passed(&narrow, "b") && passed(&narrow, "c"));
        assert!(!passed(&narrow, "d"), "the app's bound");
        assert!((0..50).all(|_| passed(&app(0, 0), "a")), "new bounds hold at once; 0 is none");
    }
}
