//! The wire contract of Kefu: the frames of `kefu.proto`, as bytes and as JSON, with their limits.
//!
//! `PROTOCOL.md` says how the frames are used; servers and clients both stand on this crate. It
//! knows no socket, no clock and no conversation. A frame is taken apart in two steps, so that the
//! cheap checks come first: [`FrameView::parse`] borrows header and payload, [`decode_body`]
//! inflates and decodes. [`encode`] writes a frame, [`json`] does both for `kefu.v1.json`.

mod close;
mod code;
mod codec;
mod error;
mod frame;
pub mod json;
pub mod limits;

/// The messages of `kefu.proto`, generated.
#[expect(missing_docs, reason = "generated; kefu.proto says what each is")]
pub mod v1 {
    include!("generated/kefu.v1.rs");
}

pub use close::{CLOSE_CODES, CloseCode, CloseInfo, Reconnect};
pub use code::{ERROR_CODES, ErrorInfo};
pub use codec::{Compression, decode_body, encode};
pub use error::FrameError;
pub use frame::FrameView;

/// WebSocket subprotocol of binary frames.
pub const SUBPROTOCOL: &str = "kefu.v1";
/// WebSocket subprotocol of JSON frames.
pub const SUBPROTOCOL_JSON: &str = "kefu.v1.json";
