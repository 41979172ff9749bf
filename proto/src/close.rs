//! Why a server closes a WebSocket, and what the client does then. One table, which `PROTOCOL.md`
//! repeats; servers take codes from it, clients the decision to come back.

/// What a client does after a close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconnect {
    /// Connect again at once, and resume; with back-off when that fails.
    Now,
    /// Connect again after a back-off with full jitter.
    BackOff,
    /// Get another token, then connect.
    WithNewToken,
    /// Tell the user; the same would happen again.
    Never,
}

impl Reconnect {
    /// What to do after any close code, also one that this version does not know. Codes from 4100 on
    /// say that the client is at fault, so unknown ones there end the matter. A connection that
    /// broke without a code counts as 1006.
    #[must_use]
    pub fn after(code: u16) -> Self {
        let known = CLOSE_CODES.iter().find(|info| info.code.number() == code);
        match known {
            Some(info) => info.reconnect,
            None if (4100..4200).contains(&code) => Self::Never,
            None => Self::BackOff,
        }
    }
}

/// Codes that a server closes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// The client wanted it.
    Bye = 1000,
    /// The server stops.
    GoingAway = 1001,
    /// WebSocket frames out of order, RFC 6455.
    WebSocketProtocol = 1002,
    /// Text that is not UTF-8, RFC 6455.
    WebSocketData = 1007,
    /// A message above the limit, RFC 6455: the WebSocket layer refused it unread.
    WebSocketTooBig = 1009,
    /// The client does not take what it is sent.
    Slow = 4000,
    /// The client was silent.
    Idle = 4001,
    /// No Hello came.
    HelloTimeout = 4002,
    /// The server has no room.
    Busy = 4003,
    /// The server failed.
    Internal = 4004,
    /// The same device connected again.
    Fenced = 4100,
    /// The token is not good.
    Unauthorized = 4101,
    /// The token was good once.
    TokenExpired = 4102,
    /// Frames that make no sense.
    ProtocolViolation = 4103,
    /// A frame above the limit.
    TooLarge = 4104,
    /// The page's origin may not use this app.
    OriginRefused = 4105,
    /// The account or the session was ended.
    Revoked = 4106,
}

impl CloseCode {
    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u16 {
        self as u16
    }

    /// Its row of the table.
    #[must_use]
    pub fn info(self) -> &'static CloseInfo {
        CLOSE_CODES.iter().find(|info| info.code == self).expect("a test finds each in the table")
    }
}

/// A close code explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseInfo {
    /// The code.
    pub code: CloseCode,
    /// Its name, which is also the reason text of the close frame.
    pub name: &'static str,
    /// What the client does.
    pub reconnect: Reconnect,
    /// When it is sent.
    pub meaning: &'static str,
}

const fn row(
    code: CloseCode,
    name: &'static str,
    reconnect: Reconnect,
    meaning: &'static str,
) -> CloseInfo {
    CloseInfo { code, name, reconnect, meaning }
}

/// All codes that a server closes with.
pub const CLOSE_CODES: &[CloseInfo] = &[
    row(CloseCode::Bye, "bye", Reconnect::Never, "the client closed, or its user signed out"),
    row(CloseCode::GoingAway, "going_away", Reconnect::BackOff, "the server stops or restarts"),
    row(
        CloseCode::WebSocketProtocol,
        "websocket_protocol",
        Reconnect::Never,
        "WebSocket frames that RFC 6455 does not allow",
    ),
    row(CloseCode::WebSocketData, "websocket_data", Reconnect::Never, "a text that is not UTF-8"),
    row(
        CloseCode::WebSocketTooBig,
        "websocket_too_big",
        Reconnect::Never,
        "a WebSocket message above the limit; it was not read",
    ),
    row(
        CloseCode::Slow,
        "slow",
        Reconnect::Now,
        "the client took too long to read what it was sent; nothing is lost, it resumes",
    ),
    row(CloseCode::Idle, "idle", Reconnect::Now, "nothing came for twice `ping_every_ms`"),
    row(CloseCode::HelloTimeout, "hello_timeout", Reconnect::BackOff, "no Hello within 10 s"),
    row(CloseCode::Busy, "busy", Reconnect::BackOff, "no room for more connections or sessions"),
    row(CloseCode::Internal, "internal", Reconnect::BackOff, "the session failed in the server"),
    row(
        CloseCode::Fenced,
        "fenced",
        Reconnect::Never,
        "a newer connection of the same device took over; that one goes on",
    ),
    row(
        CloseCode::Unauthorized,
        "unauthorized",
        Reconnect::Never,
        "the token is missing, forged, or of another app",
    ),
    row(
        CloseCode::TokenExpired,
        "token_expired",
        Reconnect::WithNewToken,
        "the token was valid once",
    ),
    row(
        CloseCode::ProtocolViolation,
        "protocol_violation",
        Reconnect::Never,
        "frames that cannot be read, or not a Hello first; an Error said which",
    ),
    row(CloseCode::TooLarge, "too_large", Reconnect::Never, "a frame above `max_frame_bytes`"),
    row(
        CloseCode::OriginRefused,
        "origin_refused",
        Reconnect::Never,
        "the page's origin is not on the app's list",
    ),
    row(CloseCode::Revoked, "revoked", Reconnect::Never, "the account or its session was ended"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_unknown_ones_are_sorted() {
        assert!(CLOSE_CODES.windows(2).all(|two| two[0].code.number() < two[1].code.number()));
        assert!(CLOSE_CODES.iter().all(|info| info.code.info() == info));
        for (code, wanted) in [
            (1006, Reconnect::BackOff),
            (1013, Reconnect::BackOff),
            (4000, Reconnect::Now),
            (4050, Reconnect::BackOff),
            (4102, Reconnect::WithNewToken),
            (4150, Reconnect::Never),
        ] {
            assert_eq!(Reconnect::after(code), wanted, "{code}");
        }
    }
}
