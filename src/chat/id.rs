//! The names of conversations and of messages: 16 bytes each, checked where they come in.

use std::fmt;

/// Names a conversation in the store and, as 32 hexadecimal digits, on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationId(pub [u8; 16]);

impl ConversationId {
    /// A new name from a time and randomness, in the layout of UUID version 7 (RFC 9562): names of
    /// the same millisecond lie together in the store.
    pub fn new(now_ms: u64, random: [u8; 10]) -> Self {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&now_ms.to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&random);
        bytes[6] = 0x70 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        Self(bytes)
    }

    /// Reads 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let mut bytes = [0; 16];
        if digits.len() != 32 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Self(bytes))
    }
}

/// A digit as it is written; capital letters are not, so that a name has one spelling.
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).expect("digits are ASCII"))
    }
}

impl fmt::Debug for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Names a message for its sender, on every try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientMsgId(pub [u8; 16]);

impl ClientMsgId {
    /// Reads exactly 16 bytes.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_have_one_spelling() {
        let id = ConversationId::new(0x0192_0000_0001, [0xff; 10]);
        let text = id.to_string();
        assert_eq!(text, "0192000000017fffbfffffffffffffff");
        assert_eq!(ConversationId::parse(&text), Some(id));
        for wrong in ["", "0192", &text.to_uppercase(), &format!("{text}0"), &"é".repeat(16)] {
            assert_eq!(ConversationId::parse(wrong), None, "{wrong}");
        }
        assert!(ConversationId::new(1, [9; 10]) < ConversationId::new(2, [0; 10]));
    }

    #[test]
    fn a_client_msg_id_has_sixteen_bytes() {
        assert!(ClientMsgId::parse(&[7; 16]).is_some());
        assert!(ClientMsgId::parse(&[7; 15]).is_none() && ClientMsgId::parse(&[]).is_none());
    }
}
