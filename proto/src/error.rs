//! Why bytes or JSON are no frame. What a peer is told is [`FrameError::code`] and the message.

use crate::v1::ErrorCode;

/// Why a frame was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The input ends inside a field.
    #[error("the frame ends in the middle of a field; send it whole")]
    Truncated,
    /// A number of more than 64 bits.
    #[error("a number has more than 64 bits; encode it as a protobuf varint")]
    Varint,
    /// A field number or wire type that protobuf does not have.
    #[error("{0} is no key of a protobuf field")]
    Key(u64),
    /// A known field that is encoded as another type.
    #[error("field {0} has the wrong wire type; see kefu.proto")]
    WireType(u32),
    /// Groups of unknown fields within groups.
    #[error("unknown fields are nested too deeply; leave them out")]
    Nesting,
    /// A device id that is no text.
    #[error("client_id is not UTF-8")]
    ClientIdText,
    /// A device id that is too long.
    #[error("client_id has {bytes} bytes, at most {max}")]
    ClientIdLength {
        /// Its length.
        bytes: usize,
        /// What is allowed.
        max: usize,
    },
    /// A body that is too large, as it is or inflated.
    #[error("the body has {bytes} bytes, at most {max}; send less at once")]
    TooLarge {
        /// Its size, inflated.
        bytes: usize,
        /// What is allowed.
        max: usize,
    },
    /// A compressed payload before both sides agreed to it.
    #[error("the payload is compressed, which was not agreed on; set accept_snappy in the Hello")]
    NotNegotiated,
    /// A payload that is not Snappy's raw format.
    #[error("the payload is no Snappy: {0}")]
    Snappy(String),
    /// A payload that is no `Body`.
    #[error("the payload is no Body: {0}")]
    Body(String),
    /// JSON that is no frame.
    #[error("this is no JSON frame: {0}")]
    Json(String),
}

impl FrameError {
    /// What the peer is told.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::TooLarge { .. } => ErrorCode::TooLarge,
            _ => ErrorCode::Malformed,
        }
    }
}
