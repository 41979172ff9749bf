//! How often a password may be tried: each wrong one makes the next wait longer.
//!
//! Counted for a login from one address and for an address as a whole, never for a login alone:
//! strangers must not be able to lock an agent out. What all of them can try together is bounded by
//! the password thread.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use super::error::IdentityError;
use super::rates::household;

/// Wrong passwords of one login from one address before it waits.
const FREE_FOR_LOGIN: u32 = 5;
/// Wrong passwords of one address before it waits.
const FREE_FOR_ADDRESS: u32 = 30;
/// The first wait; each further one is twice as long.
const FIRST_WAIT_MS: u64 = 1_000;
/// The longest wait.
const LONGEST_WAIT_MS: u64 = 15 * 60 * 1_000;
/// After so long without a try, the past is forgotten.
const FORGET_MS: u64 = 60 * 60 * 1_000;
/// Above this many entries, whoever is new waits: about 3 MiB.
const MAX_ENTRIES: usize = 1 << 16;
/// How long newcomers wait then.
const FULL_WAIT_MS: u64 = 60 * 1_000;

/// Tries that may still turn out wrong, or did.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    entries: Mutex<HashMap<u64, Entry>>,
    hasher: RandomState,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    wrong: u32,
    last_ms: u64,
}

impl Entry {
    fn ready_ms(&self, free: u32) -> u64 {
        match self.wrong.checked_sub(free) {
            None => 0,
            Some(over) => {
                let wait = FIRST_WAIT_MS.saturating_mul(1 << over.min(20));
                self.last_ms + wait.min(LONGEST_WAIT_MS)
            }
        }
    }
}

impl Attempts {
    /// Counts a try as wrong before it is checked, so that many at once are not free.
    ///
    /// # Errors
    /// `rate_limited`, when it has to wait.
    pub(super) fn begin(
        &self,
        login: &str,
        address: IpAddr,
        now_ms: u64,
    ) -> Result<(), IdentityError> {
        let keys = self.keys(login, address);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() + keys.len() > MAX_ENTRIES {
            entries.retain(|_, entry| now_ms < entry.last_ms + FORGET_MS);
        }
        let known = keys.iter().all(|(key, _)| entries.contains_key(key));
        if !known && entries.len() + keys.len() > MAX_ENTRIES {
            return Err(IdentityError::RateLimited { retry_after_ms: FULL_WAIT_MS });
        }
        let fresh = |entry: &Entry| now_ms >= entry.last_ms + FORGET_MS;
        let read =
            |key: &u64| entries.get(key).copied().filter(|entry| !fresh(entry)).unwrap_or_default();
        let ready_ms = keys.iter().map(|(key, free)| read(key).ready_ms(*free)).max().unwrap_or(0);
        if now_ms < ready_ms {
            return Err(IdentityError::RateLimited { retry_after_ms: ready_ms - now_ms });
        }
        let counted =
            keys.map(|(key, _)| (key, Entry { wrong: read(&key).wrong + 1, last_ms: now_ms }));
        entries.extend(counted);
        Ok(())
    }

    /// The try was right: the login starts anew, and the address gets this one back.
    pub(super) fn succeeded(&self, login: &str, address: IpAddr) {
        let [(login, _), (address, _)] = self.keys(login, address);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.remove(&login);
        if let Some(entry) = entries.get_mut(&address) {
            entry.wrong = entry.wrong.saturating_sub(1);
        }
    }

    /// What is counted, each with the number of tries that are free.
    fn keys(&self, login: &str, address: IpAddr) -> [(u64, u32); 2] {
        let address = household(address);
        [
            (self.hasher.hash_one((login, address)), FREE_FOR_LOGIN),
            (self.hasher.hash_one(address), FREE_FOR_ADDRESS),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn wait_ms(attempts: &Attempts, login: &str, address: IpAddr, now_ms: u64) -> u64 {
        match attempts.begin(login, address, now_ms) {
            Ok(()) => 0,
            Err(IdentityError::RateLimited { retry_after_ms }) => retry_after_ms,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn wrong_passwords_make_the_next_wait() {
        let attempts = Attempts::default();
        for _ in 0..FREE_FOR_LOGIN {
            assert_eq!(wait_ms(&attempts, "li", HERE, 10), 0);
        }
        assert_eq!(wait_ms(&attempts, "li", HERE, 10), 1_000);
        assert_eq!(wait_ms(&attempts, "wang", HERE, 10), 0, "another login");
        assert_eq!(wait_ms(&attempts, "li", [10, 0, 0, 1].into(), 10), 0, "another address");
        assert_eq!(wait_ms(&attempts, "li", HERE, 1_010), 0);
        assert_eq!(wait_ms(&attempts, "li", HERE, 1_010), 2_000);
        assert_eq!(wait_ms(&attempts, "li", HERE, 1_010 + FORGET_MS), 0);
        assert_eq!(wait_ms(&attempts, "li", HERE, 1_010 + FORGET_MS), 0, "the past is forgotten");
    }

    #[test]
    fn the_right_password_starts_anew() {
        let attempts = Attempts::default();
        for _ in 0..100 {
            assert_eq!(wait_ms(&attempts, "li", HERE, 10), 0);
            attempts.succeeded("li", HERE);
        }
    }

    #[test]
    fn one_address_cannot_try_many_logins() {
        let attempts = Attempts::default();
        let tried = |n| wait_ms(&attempts, &format!("agent{n}"), HERE, 10);
        assert!((0..FREE_FOR_ADDRESS).all(|n| tried(n) == 0));
        assert_eq!(tried(FREE_FOR_ADDRESS), FIRST_WAIT_MS);
    }

    #[test]
    fn a_full_table_lets_nobody_new_in() {
        let attempts = Attempts::default();
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        let full = MAX_ENTRIES as u32 / 2;
        assert!((0..full).all(|n| wait_ms(&attempts, "li", address(n), 10) == 0));
        assert_eq!(wait_ms(&attempts, "li", address(full), 10), FULL_WAIT_MS);
        assert_eq!(wait_ms(&attempts, "li", address(0), 10), 0, "who is known may go on");
        assert!(attempts.entries.lock().unwrap().len() <= MAX_ENTRIES);
        assert_eq!(wait_ms(&attempts, "li", address(full), 10 + FORGET_MS), 0);
    }
}
