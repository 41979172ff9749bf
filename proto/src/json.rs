//! Frames as JSON, for `kefu.v1.json`: the canonical mapping of proto3
//! (<https://protobuf.dev/programming-guides/json>), for `curl` and for eyes.
//!
//! Keys are read in snake_case and in camelCase and written in camelCase; 64-bit numbers are
//! strings, bytes are base64, enums are names. An unknown key is refused by its name, since it is
//! a slip of a hand. Nothing is compressed. It goes by descriptors and is many times slower than the
//! binary form.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor};

use crate::error::FrameError;
use crate::limits::MAX_BODY_BYTES;
use crate::v1::{Body, JsonFrame, MessageHeader};

static JSON_FRAME: LazyLock<MessageDescriptor> = LazyLock::new(|| {
    DescriptorPool::decode(&include_bytes!("generated/kefu.v1.bin")[..])
        .expect("the generated descriptors are whole")
        .get_message_by_name("kefu.v1.JsonFrame")
        .expect("kefu.proto has JsonFrame")
});

/// Reads a frame.
///
/// # Errors
/// When the text is larger than [`MAX_BODY_BYTES`], no JSON, no frame, or says `compress`.
pub fn from_json(text: &str) -> Result<(MessageHeader, Body), FrameError> {
    if text.len() > MAX_BODY_BYTES {
        return Err(FrameError::TooLarge { bytes: text.len(), max: MAX_BODY_BYTES });
    }
    let wrong = |error: serde_json::Error| FrameError::Json(error.to_string());
    let mut json = serde_json::Deserializer::from_str(text);
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let read = DynamicMessage::deserialize_with_options(JSON_FRAME.clone(), &mut json, &options)
        .map_err(wrong)?;
    json.end().map_err(wrong)?;
    let frame: JsonFrame =
        read.transcode_to().map_err(|error| FrameError::Json(error.to_string()))?;
    let header = frame.header.unwrap_or_default();
    if header.compress {
        return Err(FrameError::NotNegotiated);
    }
    crate::frame::client_id(header.client_id.as_bytes())?;
    Ok((header, frame.body.unwrap_or_default()))
}

/// Writes a frame on one line.
#[must_use]
pub fn to_json(header: &MessageHeader, body: &Body) -> String {
    let frame = JsonFrame { header: Some(header.clone()), body: Some(body.clone()) };
    let mut written = DynamicMessage::new(JSON_FRAME.clone());
    written.transcode_from(&frame).expect("the descriptors are those of the message");
    serde_json::to_string(&written).expect("a message has no keys but strings")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{Send, body::Kind};

    #[test]
    fn both_ways_to_write_a_key_are_read() {
        let id = prost::bytes::Bytes::from_static(b"0123456789abcdef");
        let send = Send { client_msg_id: id, text: "你好".to_owned(), ..Send::default() };
        let wanted = (
            MessageHeader { seq: 3, client_id: "d".to_owned(), compress: false },
            Body { kind: Some(Kind::Send(send)) },
        );
        for text in [
            r#"{"header":{"seq":3,"client_id":"d"},"body":{"send":{"client_msg_id":"MDEyMzQ1Njc4OWFiY2RlZg==","text":"你好"}}}"#,
            r#"{"header":{"seq":"3","clientId":"d"},"body":{"send":{"clientMsgId":"MDEyMzQ1Njc4OWFiY2RlZg==","text":"你好"}}}"#,
        ] {
            assert_eq!(from_json(text), Ok(wanted.clone()));
        }
        let again = to_json(&wanted.0, &wanted.1);
        assert!(again.contains(r#""clientMsgId":"MDEyMzQ1Njc4OWFiY2RlZg==""#), "{again}");
        assert_eq!(from_json(&again), Ok(wanted));
    }

    #[test]
    fn what_is_no_frame_is_refused_by_its_name() {
        for (text, part) in [
            ("", "EOF"),
            ("[]", "expected"),
            (r#"{"body":{"sned":{}}}"#, "sned"),
            (r#"{"body":{"send":{"txt":""}}}"#, "txt"),
            (r#"{"body":{"ping":{},"typing":{}}}"#, "kind"),
            (r#"{} {}"#, "trailing"),
            (r#"{"header":{"compress":true}}"#, "compressed"),
            (r#"{"body":{"send":{"clientMsgId":"*"}}}"#, "base64"),
        ] {
            let error = from_json(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        let long = format!(r#"{{"header":{{"clientId":"{}"}}}}"#, "d".repeat(65));
        assert!(matches!(from_json(&long), Err(FrameError::ClientIdLength { bytes: 65, .. })));
        let huge = " ".repeat(MAX_BODY_BYTES + 1);
        assert_eq!(from_json(&huge).unwrap_err().code(), crate::v1::ErrorCode::TooLarge);
    }
}
