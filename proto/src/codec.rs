//! From a body to a frame and back, with Snappy between where both sides agreed to it.
//!
//! Nothing is inflated before its claimed size was held against the cap, so a small frame cannot
//! make a large allocation. Only raw Snappy
//! (<https://github.com/google/snappy/blob/main/format_description.txt>), no framing of streams.

use std::cell::RefCell;

use prost::Message;
use prost::bytes::BufMut;
use prost::encoding::{encode_varint, encoded_len_varint};

use crate::error::FrameError;
use crate::frame::FrameView;
use crate::limits::{MAX_BODY_BYTES, SNAPPY_FROM_BYTES};
use crate::v1::Body;

// Keys of the fields: number << 3 | wire type.
const FRAME_HEADER: u8 = 1 << 3 | 2;
const FRAME_PAYLOAD: u8 = 2 << 3 | 2;
const HEADER_SEQ: u8 = 1 << 3;
const HEADER_CLIENT_ID: u8 = 2 << 3 | 2;
const HEADER_COMPRESS: u8 = 3 << 3;

/// What a connection agreed to do with payloads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// They stay as they are; a compressed one is refused.
    #[default]
    Off,
    /// Snappy, where it makes them smaller.
    Snappy,
}

/// Buffers that compressing needs, kept by each thread.
struct Scratch {
    body: Vec<u8>,
    packed: Vec<u8>,
    snappy: snap::raw::Encoder,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        body: Vec::new(),
        packed: Vec::new(),
        snappy: snap::raw::Encoder::new(),
    });
}

/// Appends a frame to `out`.
///
/// Pushes of a server have no `seq` and no `client_id`, so the same bytes serve all connections
/// with the same `compression`.
pub fn encode(
    seq: u64,
    client_id: &str,
    body: &Body,
    compression: Compression,
    out: &mut impl BufMut,
) {
    let length = body.encoded_len();
    if compression == Compression::Off || length < SNAPPY_FROM_BYTES {
        put_head(out, seq, client_id, false, length);
        body.encode_raw(out);
        return;
    }
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.body.clear();
        body.encode_raw(&mut scratch.body);
        let most = snap::raw::max_compress_len(length);
        if scratch.packed.len() < most {
            scratch.packed.resize(most, 0);
        }
        let packed = scratch.snappy.compress(&scratch.body, &mut scratch.packed);
        match packed {
            Ok(packed) if packed < length => {
                put_head(out, seq, client_id, true, packed);
                out.put_slice(&scratch.packed[..packed]);
            }
            _ => {
                put_head(out, seq, client_id, false, length);
                out.put_slice(&scratch.body);
            }
        }
    });
}

/// All of a frame before the bytes of its payload. What has its default value is left out.
fn put_head(out: &mut impl BufMut, seq: u64, client_id: &str, compress: bool, payload: usize) {
    let id_bytes = client_id.len() as u64;
    let mut header = 0;
    if seq != 0 {
        header += 1 + encoded_len_varint(seq);
    }
    if id_bytes != 0 {
        header += 1 + encoded_len_varint(id_bytes) + client_id.len();
    }
    if compress {
        header += 2;
    }
    if header != 0 {
        out.put_u8(FRAME_HEADER);
        encode_varint(header as u64, out);
    }
    if seq != 0 {
        out.put_u8(HEADER_SEQ);
        encode_varint(seq, out);
    }
    if id_bytes != 0 {
        out.put_u8(HEADER_CLIENT_ID);
        encode_varint(id_bytes, out);
        out.put_slice(client_id.as_bytes());
    }
    if compress {
        out.put_slice(&[HEADER_COMPRESS, 1]);
    }
    if payload != 0 {
        out.put_u8(FRAME_PAYLOAD);
        encode_varint(payload as u64, out);
    }
}

/// What a frame says. `kind` is none when the sender knows a kind that this version does not.
///
/// # Errors
/// When the payload is larger than [`MAX_BODY_BYTES`], compressed without an agreement, or no body.
pub fn decode_body(frame: &FrameView<'_>, compression: Compression) -> Result<Body, FrameError> {
    if frame.compress && compression == Compression::Off {
        return Err(FrameError::NotNegotiated);
    }
    let unpackable = |error: snap::Error| FrameError::Snappy(error.to_string());
    let bytes = if frame.compress {
        snap::raw::decompress_len(frame.payload).map_err(unpackable)?
    } else {
        frame.payload.len()
    };
    if bytes > MAX_BODY_BYTES {
        return Err(FrameError::TooLarge { bytes, max: MAX_BODY_BYTES });
    }
    let no_body = |error: prost::DecodeError| FrameError::Body(error.to_string());
    if !frame.compress {
        return Body::decode(frame.payload).map_err(no_body);
    }
    let inflated = snap::raw::Decoder::new().decompress_vec(frame.payload).map_err(unpackable)?;
    Body::decode(&inflated[..]).map_err(no_body)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::v1::{Frame, MessageHeader, Send, body::Kind};

    fn said(text: &str) -> Body {
        Body { kind: Some(Kind::Send(Send { text: text.to_owned(), ..Send::default() })) }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again_and_is_what_prost_writes(
            seq: u64,
            client_id in "[a-z0-9]{0,64}",
            text in ".{0,30}|[ab]{0,900}",
            snappy: bool,
        ) {
            let compression = if snappy { Compression::Snappy } else { Compression::Off };
            let (body, mut bytes) = (said(&text), Vec::new());
            encode(seq, &client_id, &body, compression, &mut bytes);
            let view = FrameView::parse(&bytes).unwrap();
            prop_assert_eq!((view.seq, view.client_id), (seq, &client_id[..]));
            prop_assert_eq!(decode_body(&view, compression), Ok(body));
            let header = MessageHeader { seq, client_id, compress: view.compress };
            let header = (header != MessageHeader::default()).then_some(header);
            let frame = Frame { header, payload: view.payload.to_vec().into() };
            prop_assert_eq!(frame.encode_to_vec(), bytes);
        }

        #[test]
        fn any_payload_is_read_or_refused(payload: Vec<u8>, compress: bool, snappy: bool) {
            let compression = if snappy { Compression::Snappy } else { Compression::Off };
            let frame = FrameView { compress, payload: &payload, ..FrameView::default() };
            let _ = decode_body(&frame, compression);
        }
    }

    #[test]
    fn only_what_gets_smaller_is_compressed() {
        let compressed = |text: &str, compression| {
            let mut bytes = Vec::new();
            encode(1, "d", &said(text), compression, &mut bytes);
            FrameView::parse(&bytes).unwrap().compress
        };
        // Letters that a linear congruential generator chose, so nothing repeats.
        let mut state = 1u32;
        let mixed: String = (0..500)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                char::from(33 + (state >> 16) as u8 % 94)
            })
            .collect();
        assert!(compressed(&"a".repeat(400), Compression::Snappy));
        assert!(!compressed(&"a".repeat(400), Compression::Off));
        assert!(!compressed(&"a".repeat(390), Compression::Snappy));
        assert!(!compressed(&mixed, Compression::Snappy));
    }

    #[test]
    fn a_bomb_is_refused_by_what_it_claims() {
        // Claims 4 GiB less 1 byte, in 6 bytes.
        let payload = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
        let frame = FrameView { compress: true, payload: &payload, ..FrameView::default() };
        let wanted = FrameError::TooLarge { bytes: 0xffff_ffff, max: MAX_BODY_BYTES };
        assert_eq!(decode_body(&frame, Compression::Snappy), Err(wanted));
        assert_eq!(decode_body(&frame, Compression::Off), Err(FrameError::NotNegotiated));
    }
}
