//! Frames on the wire: as Protobuf or as JSON, with or without Snappy.

use axum::body::Bytes;
use kefu_proto::limits::{MAX_BODY_BYTES, MAX_FRAME_BYTES};
use kefu_proto::v1::{self, ErrorCode, MessageHeader, body::Kind};
use kefu_proto::{Compression, FrameError, FrameView};

use crate::chat::refusal::Refusal;
use crate::hub::outbox::{Out, OutBody};

/// How a session's frames are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Protobuf.
    Binary,
    /// JSON.
    Json,
}

/// A session's way to write frames.
#[derive(Debug, Clone, Copy)]
pub struct Wire {
    pub(super) format: Format,
    pub(super) compression: Compression,
}

/// A frame that was read.
pub(super) struct Frame {
    pub(super) header: MessageHeader,
    pub(super) body: Option<Kind>,
}

/// A frame that is ready to be sent.
#[derive(Debug, Clone)]
pub enum Encoded {
    /// Protobuf.
    Binary(Bytes),
    /// JSON.
    Json(String),
}

impl Wire {
    /// Frames in `format`, uncompressed.
    pub fn new(format: Format) -> Self {
        Self { format, compression: Compression::Off }
    }

    /// Reads one frame.
    ///
    /// # Errors
    /// When it is too large or no frame.
    pub(super) fn read(&self, bytes: &[u8]) -> Result<Frame, Refusal> {
        let largest = match self.format {
            Format::Binary => MAX_FRAME_BYTES,
            Format::Json => MAX_BODY_BYTES,
        };
        if bytes.len() > largest {
            let message = format!("the frame has {} bytes, at most {largest}", bytes.len());
            return Err(Refusal::new(ErrorCode::TooLarge, message));
        }
        match self.format {
            Format::Binary => self.read_binary(bytes),
            Format::Json => read_json(bytes),
        }
        .map_err(|error| Refusal::new(error.code(), error.to_string()))
    }

    fn read_binary(&self, bytes: &[u8]) -> Result<Frame, FrameError> {
        let frame = FrameView::parse(bytes)?;
        let body = kefu_proto::decode_body(&frame, self.compression)?;
        let FrameView { seq, client_id, compress, .. } = frame;
        let header = MessageHeader { seq, client_id: client_id.to_owned(), compress };
        Ok(Frame { header, body: body.kind })
    }

    /// Writes one frame.
    pub(super) fn write(&self, out: &Out) -> Encoded {
        let own;
        let body = match &out.body {
            OutBody::Ack(ack) => {
                own = v1::Body { kind: Some(ack.body()) };
                &own
            }
            OutBody::Own(kind) => {
                own = v1::Body { kind: Some(Kind::clone(kind)) };
                &own
            }
            OutBody::Shared(shared) => {
                if self.format == Format::Binary && self.compression == Compression::Off {
                    let frame = shared.frame.get_or_init(|| self.binary(0, &shared.body));
                    return Encoded::Binary(frame.clone());
                }
                &shared.body
            }
        };
        match self.format {
            Format::Binary => Encoded::Binary(self.binary(out.request, body)),
            Format::Json => {
                let header = MessageHeader { seq: out.request, ..MessageHeader::default() };
                Encoded::Json(kefu_proto::json::to_json(&header, body))
            }
        }
    }

    fn binary(&self, request: u64, body: &v1::Body) -> Bytes {
        let mut bytes = Vec::new();
        kefu_proto::encode(request, "", body, self.compression, &mut bytes);
        bytes.into()
    }
}

fn read_json(bytes: &[u8]) -> Result<Frame, FrameError> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| FrameError::Json("it is not UTF-8".into()))?;
    let (header, body) = kefu_proto::json::from_json(text)?;
    Ok(Frame { header, body: body.kind })
}
