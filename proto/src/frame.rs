//! A frame in place: header and payload borrowed from the bytes that came, nothing allocated.
//!
//! Servers call it for each frame before they know whether the sender may send at all, so it must
//! not cost, and no input may make it panic. It reads what protobuf's `Frame` is
//! (<https://protobuf.dev/programming-guides/encoding>): unknown fields are skipped, the last
//! occurrence of a field counts, headers are merged. What is in the payload it does not know.

use crate::error::FrameError;
use crate::limits::MAX_CLIENT_ID_BYTES;

/// Deepest nesting of groups among unknown fields.
const MAX_GROUPS: usize = 32;

/// A frame, borrowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameView<'a> {
    /// Number of the request; 0 in pushes.
    pub seq: u64,
    /// The device.
    pub client_id: &'a str,
    /// Whether the payload is Snappy.
    pub compress: bool,
    /// A `Body`, encoded.
    pub payload: &'a [u8],
}

impl<'a> FrameView<'a> {
    /// Takes a frame apart.
    ///
    /// # Errors
    /// When this is no frame, or `client_id` is no text of at most 64 bytes.
    pub fn parse(mut frame: &'a [u8]) -> Result<Self, FrameError> {
        let mut view = Self::default();
        while let Some((field, value)) = next_field(&mut frame)? {
            match (field, value) {
                (1, Value::Bytes(header)) => view.merge_header(header)?,
                (2, Value::Bytes(payload)) => view.payload = payload,
                (1 | 2, _) => return Err(FrameError::WireType(field)),
                _ => {}
            }
        }
        Ok(view)
    }

    fn merge_header(&mut self, mut header: &'a [u8]) -> Result<(), FrameError> {
        while let Some((field, value)) = next_field(&mut header)? {
            match (field, value) {
                (1, Value::Number(seq)) => self.seq = seq,
                (2, Value::Bytes(bytes)) => self.client_id = client_id(bytes)?,
                (3, Value::Number(on)) => self.compress = on != 0,
                (1..=3, _) => return Err(FrameError::WireType(field)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Checks a device id.
pub(crate) fn client_id(bytes: &[u8]) -> Result<&str, FrameError> {
    if bytes.len() > MAX_CLIENT_ID_BYTES {
        return Err(FrameError::ClientIdLength { bytes: bytes.len(), max: MAX_CLIENT_ID_BYTES });
    }
    std::str::from_utf8(bytes).map_err(|_| FrameError::ClientIdText)
}

/// What a field holds, as far as frames care.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Fixed-width numbers and groups, which no field of a frame is.
    Other,
}

/// Takes a field off the front; none at the end.
fn next_field<'a>(input: &mut &'a [u8]) -> Result<Option<(u32, Value<'a>)>, FrameError> {
    if input.is_empty() {
        return Ok(None);
    }
    let (field, wire_type) = key(input)?;
    value(input, field, wire_type, 0).map(|value| Some((field, value)))
}

fn key(input: &mut &[u8]) -> Result<(u32, u8), FrameError> {
    let key = varint(input)?;
    match u32::try_from(key) {
        Ok(fits) if fits >> 3 > 0 => Ok((fits >> 3, (fits & 7) as u8)),
        _ => Err(FrameError::Key(key)),
    }
}

fn value<'a>(
    input: &mut &'a [u8],
    field: u32,
    wire_type: u8,
    depth: usize,
) -> Result<Value<'a>, FrameError> {
    match wire_type {
        0 => return varint(input).map(Value::Number),
        1 => take(input, 8)?,
        2 => {
            let length = varint(input)?;
            return take(input, length).map(Value::Bytes);
        }
        3 if depth == MAX_GROUPS => return Err(FrameError::Nesting),
        3 => loop {
            match key(input)? {
                (end, 4) if end == field => return Ok(Value::Other),
                (inner, inner_type) => value(input, inner, inner_type, depth + 1)?,
            };
        },
        5 => take(input, 4)?,
        _ => return Err(FrameError::Key(u64::from(field) << 3 | u64::from(wire_type))),
    };
    Ok(Value::Other)
}

fn take<'a>(input: &mut &'a [u8], length: u64) -> Result<&'a [u8], FrameError> {
    let length = usize::try_from(length).map_err(|_| FrameError::Truncated)?;
    let (taken, rest) = input.split_at_checked(length).ok_or(FrameError::Truncated)?;
    *input = rest;
    Ok(taken)
}

fn varint(input: &mut &[u8]) -> Result<u64, FrameError> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = input.split_first().ok_or(FrameError::Truncated)?;
        *input = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            // The tenth byte has room for one bit.
            return if shift == 63 && byte > 1 { Err(FrameError::Varint) } else { Ok(number) };
        }
    }
    Err(FrameError::Varint)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::v1::{Frame, MessageHeader};

    /// Ours may be stricter about device ids and nesting, and about nothing else.
    fn agrees(bytes: &[u8]) {
        let (ours, theirs) = (FrameView::parse(bytes), Frame::decode(bytes));
        match (ours, theirs) {
            (Ok(view), Ok(frame)) => {
                let header = frame.header.unwrap_or_default();
                assert_eq!(view.seq, header.seq);
                assert_eq!(view.client_id, header.client_id);
                assert_eq!(view.compress, header.compress);
                assert_eq!(view.payload, &frame.payload[..]);
            }
            (Err(FrameError::ClientIdLength { .. } | FrameError::Nesting), _)
            | (Err(_), Err(_)) => {}
            (ours, theirs) => panic!("{ours:?} but {theirs:?} from {bytes:02x?}"),
        }
    }

    /// A field that may or may not be one of a frame, whole or not.
    fn field() -> impl Strategy<Value = Vec<u8>> {
        let bytes = prop::collection::vec(any::<u8>(), 0..12);
        let header = (any::<u64>(), "[a-z]{0,8}|.{0,3}", any::<bool>()).prop_map(
            |(seq, client_id, compress)| MessageHeader { seq, client_id, compress }.encode_to_vec(),
        );
        let of_length = |(key, mut bytes): (u8, Vec<u8>)| {
            bytes.insert(0, bytes.len() as u8);
            bytes.insert(0, key);
            bytes
        };
        prop_oneof![
            3 => (prop::sample::select(vec![0x0a, 0x12, 0x0a, 0x7a]), header).prop_map(of_length),
            2 => (any::<u8>(), bytes.clone()).prop_map(of_length),
            1 => bytes,
            1 => Just(vec![0x1b, 0x23, 0x08, 0x01, 0x24, 0x1c]),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn any_bytes_are_read_as_prost_reads_them(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            agrees(&bytes);
        }

        #[test]
        fn fields_in_any_order_are_read_as_prost_reads_them(
            fields in prop::collection::vec(field(), 0..6),
            cut in 0usize..4,
        ) {
            let bytes = fields.concat();
            agrees(&bytes);
            agrees(&bytes[..bytes.len().saturating_sub(cut)]);
        }
    }

    #[test]
    fn headers_are_merged_and_the_last_payload_counts() {
        let first = [0x0a, 0x05, 0x08, 0x07, 0x12, 0x01, b'a', 0x12, 0x01, 1];
        let second = [0x0a, 0x02, 0x18, 0x01, 0x12, 0x01, 2];
        let both = [&first[..], &second].concat();
        let wanted = FrameView { seq: 7, client_id: "a", compress: true, payload: &[2] };
        assert_eq!(FrameView::parse(&both), Ok(wanted));
    }

    #[test]
    fn a_bomb_of_groups_is_refused() {
        assert_eq!(FrameView::parse(&[0x1b; 10_000]), Err(FrameError::Nesting));
    }
}
