//! What each error code means and whether the same request may succeed later. One table, in the
//! order of the enum; `PROTOCOL.md` repeats it.

use crate::v1::ErrorCode;

/// An error code explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorInfo {
    /// The code.
    pub code: ErrorCode,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// When it is sent, and what to do.
    pub meaning: &'static str,
}

impl ErrorInfo {
    /// The row of a code; none for `Unspecified`, which no server sends.
    #[must_use]
    pub fn of(code: ErrorCode) -> Option<&'static Self> {
        ERROR_CODES.iter().find(|info| info.code == code)
    }
}

const fn row(code: ErrorCode, retryable: bool, meaning: &'static str) -> ErrorInfo {
    ErrorInfo { code, retryable, meaning }
}

/// All codes but `Unspecified`.
pub const ERROR_CODES: &[ErrorInfo] = &[
    row(
        ErrorCode::Malformed,
        false,
        "the frame cannot be read; the connection is closed with 4103",
    ),
    row(
        ErrorCode::Unexpected,
        false,
        "the frame does not belong here: before the Hello, a second Hello, a kind that only servers \
         send, or one that this server does not know",
    ),
    row(ErrorCode::Invalid, false, "a field is missing or wrong; the message names it"),
    row(ErrorCode::TooLarge, false, "a frame, body or text above its limit"),
    row(ErrorCode::Unauthorized, false, "the token is missing, forged, or of another app"),
    row(ErrorCode::TokenExpired, false, "get another token, then connect again"),
    row(ErrorCode::Forbidden, false, "this user may not do that"),
    row(
        ErrorCode::NoSuchConversation,
        false,
        "there is no such conversation, or it is not this user's",
    ),
    row(ErrorCode::NoSuchMessage, false, "the seq names no message that can be edited or recalled"),
    row(
        ErrorCode::Conflict,
        false,
        "the client_msg_id was used for another content; a new message needs a new id",
    ),
    row(ErrorCode::NotOwner, false, "somebody else owns the conversation meanwhile"),
    row(ErrorCode::RateLimited, true, "too many requests; wait `retry_after_ms`"),
    row(ErrorCode::Busy, true, "a queue of the server is full; wait `retry_after_ms`"),
    row(ErrorCode::Unavailable, true, "the store takes no writes; nothing was stored"),
    row(
        ErrorCode::Internal,
        true,
        "the server failed; whether the request took effect is not known, a retry is safe",
    ),
    row(ErrorCode::OriginRefused, false, "the page's origin is not on the app's list"),
    row(ErrorCode::NoSuchApp, false, "there is no app of this id"),
    row(
        ErrorCode::NoSuchSession,
        false,
        "the session of the request is over; begin another one with a Hello",
    ),
    row(ErrorCode::NoSuchAgent, false, "there is no agent of this id"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_row_in_order() {
        let rows = ERROR_CODES.iter().map(|info| info.code as i32);
        assert!(rows.eq(1..=19));
        assert!(ErrorCode::try_from(20).is_err(), "a new code needs a row");
        assert_eq!(ErrorInfo::of(ErrorCode::Unspecified), None);
    }
}
