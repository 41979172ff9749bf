//! Why somebody is not let in, or may not do what they asked.
//!
//! The edges map [`IdentityError::code`] to a status or a frame; nothing here knows either. No
//! message holds a secret, and none tells whether a login exists.

use crate::store::StoreError;

/// Why identity said no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Login and password, session or API key are not right.
    #[error("this is not a valid {0}; sign in again or ask an administrator")]
    Unauthorized(&'static str),
    /// The visitor's token was right once.
    #[error("the token has expired; ask the site for a new one")]
    TokenExpired,
    /// The visitor's token is not right.
    #[error("the token is not valid: {0}")]
    TokenInvalid(&'static str),
    /// The role does not allow it.
    #[error("this is not allowed for you; ask an administrator")]
    Forbidden,
    /// The page is not on the app's list.
    #[error("the app does not list this origin; an administrator can add it")]
    OriginRefused,
    /// Too often.
    #[error("too many requests; wait {retry_after_ms} ms")]
    RateLimited {
        /// Milliseconds until it may be tried again.
        retry_after_ms: u64,
    },
    /// Too many passwords wait to be checked.
    #[error("the server checks as many passwords as it can; retry shortly")]
    Busy,
    /// No app has this id, or it is disabled.
    #[error("there is no such app; check the app id")]
    NoSuchApp,
    /// No agent has this id.
    #[error("there is no such agent; list them to see the ids")]
    NoSuchAgent,
    /// No API key has this id.
    #[error("there is no such API key; list them to see the ids")]
    NoSuchKey,
    /// Another agent has the login.
    #[error("the login is taken; choose another")]
    LoginTaken,
    /// Another app has the id.
    #[error("the app id is taken; choose another")]
    AppTaken,
    /// The password is too short or too long.
    #[error("the password must have {min} to {max} characters")]
    WeakPassword {
        /// Fewest characters.
        min: usize,
        /// Most characters.
        max: usize,
    },
    /// Nobody could manage the server any more.
    #[error("this is the last administrator; make another one first")]
    LastAdmin,
    /// A field breaks its bounds.
    #[error("{field} is not valid: {expected}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// What would be good.
        expected: &'static str,
    },
    /// What is stored cannot be read.
    #[error("a stored {0} cannot be read; restore a backup")]
    Damaged(&'static str),
    /// The system gave no thread for passwords.
    #[error("no thread could be started: {0}; look at the limits of this process")]
    Threads(String),
    /// The store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl IdentityError {
    /// The stable code; `docs/identity.md` lists them.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unauthorized(_) => "unauthorized",
            Self::TokenExpired => "token_expired",
            Self::TokenInvalid(_) => "token_invalid",
            Self::Forbidden => "forbidden",
            Self::OriginRefused => "origin_refused",
            Self::RateLimited { .. } => "rate_limited",
            Self::Busy | Self::Store(StoreError::Busy) => "busy",
            Self::NoSuchApp => "no_such_app",
            Self::NoSuchAgent => "no_such_agent",
            Self::NoSuchKey => "no_such_key",
            Self::LoginTaken => "login_taken",
            Self::AppTaken => "app_taken",
            Self::WeakPassword { .. } => "weak_password",
            Self::LastAdmin => "last_admin",
            Self::Invalid { .. } => "invalid",
            Self::Store(StoreError::Conflict) => "conflict",
            Self::Damaged(_) | Self::Threads(_) | Self::Store(_) => "store",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_docs_hold_the_table() {
        let all = [
            IdentityError::Unauthorized("login"),
            IdentityError::TokenExpired,
            IdentityError::TokenInvalid("why"),
            IdentityError::Forbidden,
            IdentityError::OriginRefused,
            IdentityError::RateLimited { retry_after_ms: 1 },
            IdentityError::Busy,
            IdentityError::NoSuchApp,
            IdentityError::NoSuchAgent,
            IdentityError::NoSuchKey,
            IdentityError::LoginTaken,
            IdentityError::AppTaken,
            IdentityError::WeakPassword { min: 10, max: 256 },
            IdentityError::LastAdmin,
            IdentityError::Invalid { field: "id", expected: "a-z" },
            IdentityError::Store(StoreError::Conflict),
            IdentityError::Damaged("app"),
        ];
        let docs = include_str!("../../docs/identity.md");
        let (_, table) = docs.split_once("## Errors").unwrap();
        let documented: Vec<_> =
            table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        assert_eq!(all.map(|error| error.code()).to_vec(), documented);
    }
}
