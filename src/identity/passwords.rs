//! Hashing and checking passwords, on one thread of its own with a bounded queue.
//!
//! One check takes tens of milliseconds and 19 MiB on purpose; on the runtime's threads, or without
//! a bound, a flood of logins would stop the server. Called by [`super::Identity`].

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::oneshot;

use super::error::IdentityError;
use super::secrets::Secret;

/// Fewest characters of a password (NIST SP 800-63B asks for 8 at least).
pub const MIN_PASSWORD_CHARS: usize = 10;
/// Most characters of a password.
pub const MAX_PASSWORD_CHARS: usize = 256;
/// Passwords that may wait; at about 30 ms each the last one waits a second.
const QUEUE: usize = 32;

type Job = Box<dyn FnOnce() + Send>;

/// The thread; it ends when this is dropped.
pub(super) struct Passwords {
    jobs: SyncSender<Job>,
    /// What is checked when the login is unknown, so that an answer takes as long.
    nobody: Arc<Secret>,
}

impl Passwords {
    /// Starts the thread.
    pub(super) fn start() -> Result<Self, IdentityError> {
        let (jobs, queue) = sync_channel::<Job>(QUEUE);
        let thread = std::thread::Builder::new().name("kefu-passwords".to_owned());
        thread
            .spawn(move || queue.into_iter().for_each(|job| job()))
            .map_err(|error| IdentityError::Threads(error.to_string()))?;
        Ok(Self { jobs, nobody: Arc::new(hash(&Secret::random(""))) })
    }

    /// The hash of a new password.
    pub(super) async fn hash(&self, password: Secret) -> Result<Secret, IdentityError> {
        let chars = password.reveal().chars().count();
        if !(MIN_PASSWORD_CHARS..=MAX_PASSWORD_CHARS).contains(&chars) {
            let (min, max) = (MIN_PASSWORD_CHARS, MAX_PASSWORD_CHARS);
            return Err(IdentityError::WeakPassword { min, max });
        }
        self.run(move || hash(&password)).await
    }

    /// Whether the password has the hash; `None`, for nobody, takes as long.
    pub(super) async fn verify(
        &self,
        password: Secret,
        hash: Option<Secret>,
    ) -> Result<bool, IdentityError> {
        if password.reveal().chars().count() > MAX_PASSWORD_CHARS {
            return Ok(false);
        }
        let nobody = Arc::clone(&self.nobody);
        let check = move || {
            let known = hash.is_some();
            let hash = hash.as_ref().unwrap_or(&nobody);
            let bytes = password.reveal().as_bytes();
            hasher().verify_password(bytes, hash.reveal()).is_ok() && known
        };
        self.run(check).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, IdentityError> {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move || {
            // Whoever asked may have gone while this waited.
            if !answer.is_closed() {
                let _gone = answer.send(work());
            }
        });
        self.jobs.try_send(job).map_err(|_full| IdentityError::Busy)?;
        answered.await.map_err(|_| IdentityError::Busy)
    }
}

/// Argon2id with the parameters of OWASP's Password Storage Cheat Sheet: 19 MiB, 2 passes, 1 lane.
fn hasher() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None).expect("these are within the bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &Secret) -> Secret {
    let salt: [u8; 16] = rand::random();
    let hash = hasher().hash_password_with_salt(password.reveal().as_bytes(), &salt);
    Secret::new(hash.expect("password and salt are within the bounds").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_hashed_and_checked() {
        let passwords = Passwords::start().unwrap();
        let good = || Secret::new("correct horse battery");
        let hash = passwords.hash(good()).await.unwrap();
        assert!(hash.reveal().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_ne!(hash, passwords.hash(good()).await.unwrap(), "each has a salt of its own");
        let verify = |password, hash| passwords.verify(password, hash);
        assert_eq!(verify(good(), Some(hash.clone())).await, Ok(true));
        assert_eq!(verify(Secret::new("correct horse"), Some(hash)).await, Ok(false));
        assert_eq!(verify(good(), None).await, Ok(false));
        let nobody = passwords.nobody.reveal().to_owned();
        assert!(nobody.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "takes as long");
    }

    #[tokio::test]
    async fn bounds() {
        let passwords = Passwords::start().unwrap();
        for weak in ["", "九个字的密码不够长", &"a".repeat(257)] {
            let error = passwords.hash(Secret::new(weak)).await.unwrap_err();
            assert_eq!(error.code(), "weak_password");
        }
        let long = Secret::new("a".repeat(1 << 20));
        assert_eq!(passwords.verify(long, None).await, Ok(false));
    }

    #[tokio::test]
    async fn a_full_queue_is_an_answer() {
        let passwords = Passwords::start().unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (taken, started) = std::sync::mpsc::channel();
        let first: Job = Box::new(move || {
            taken.send(()).unwrap();
            let _released = held.recv();
        });
        passwords.jobs.send(first).unwrap();
        started.recv().unwrap();
        (0..QUEUE).for_each(|_| passwords.jobs.try_send(Box::new(|| ())).unwrap());
        let refused = passwords.verify(Secret::new("a password"), None).await;
        assert_eq!(refused, Err(IdentityError::Busy));
        drop(release);
    }
}
