//! Why a request is refused, and how a session ends.

use kefu_proto::v1::ErrorCode;

/// A request that is answered with an error; the session goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Stable name.
    pub code: ErrorCode,
    /// For people: what is wrong and what to do.
    pub message: String,
    /// How long to wait before the next try; 0: the code says all.
    pub retry_after_ms: u32,
}

impl Refusal {
    /// A refusal with its reason.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_ms: 0 }
    }

    /// A field is missing or wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Invalid, message)
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after_ms(self, wait_ms: u32) -> Self {
        Self { retry_after_ms: wait_ms.max(1), ..self }
    }
}
