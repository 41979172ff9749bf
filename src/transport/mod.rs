//! The transports: WebSocket, SSE and long-poll carry the same frames to the same session machine.
//!
//! Called by the routes of `crate::http`. A transport reads and writes frames; what they mean is
//! decided by `crate::chat::session` and done by `crate::hub`. PROTOCOL.md is the contract.

mod door;
mod frames;
mod http_session;
mod turn;
pub mod ws;

pub use self::door::{Caller, Counts, Door, DoorOptions};
pub use self::frames::{Encoded, Format, Wire};
pub use self::http_session::{HttpSession, News, Numbered, Reader, Seen};
