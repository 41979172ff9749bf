//! Secrets in memory: random, never printed, compared in constant time, wiped when dropped.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroize as _;

/// A text that no log shows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// `prefix` and 256 random bits, base64url.
    pub fn random(prefix: &str) -> Self {
        let mut bytes: [u8; 32] = rand::random();
        let secret = Self(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)));
        bytes.zeroize();
        secret
    }

    /// 120 random bits in 20 characters, short enough to type once.
    pub fn random_password() -> Self {
        Self(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 15]>()))
    }

    /// The text itself: to show it once, to check or to sign with it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// SHA-256 of a random secret: what the store keeps of it.
///
/// Secrets of 256 random bits need no salt and no slow hash, unlike passwords.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of `secret`.
    pub fn of(secret: &str) -> Self {
        Self(URL_SAFE_NO_PAD.encode(Sha256::digest(secret.as_bytes())))
    }

    /// Whether `secret` has this fingerprint, in time that does not depend on where they differ.
    pub fn matches(&self, secret: &str) -> bool {
        self.0.as_bytes().ct_eq(Self::of(secret).0.as_bytes()).into()
    }

    /// As text, 43 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// 128 random bits as 32 hexadecimal digits.
pub(super) fn random_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_random_and_not_printed() {
        let (one, other) = (Secret::random("kfs_"), Secret::random("kfs_"));
        assert_ne!(one, other);
        assert_eq!(one.reveal().len(), "kfs_".len() + 43);
        assert_eq!(format!("{one:?}"), "Secret");
    }

    #[test]
    fn a_fingerprint_matches_its_secret_only() {
        let fingerprint = Fingerprint::of("correct horse");
        assert!(fingerprint.matches("correct horse"));
        assert!(!fingerprint.matches("correct hors"));
        assert!(!fingerprint.matches(""));
    }
}
