//! Any bytes as a frame, a body and JSON: nothing may panic, and what is read must be what prost
//! reads. `proto/README.md` says how to run it; the property tests of `src/` try the same.
#![no_main]

use kefu_proto::v1::Frame;
use kefu_proto::{Compression, FrameError, FrameView, decode_body, encode, json};
use libfuzzer_sys::fuzz_target;
use prost::Message;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = json::from_json(text);
    }
    let view = match (FrameView::parse(bytes), Frame::decode(bytes)) {
        (Ok(view), Ok(frame)) => {
            let header = frame.header.unwrap_or_default();
            let theirs = (header.seq, &header.client_id[..], header.compress, &frame.payload[..]);
            assert_eq!((view.seq, view.client_id, view.compress, view.payload), theirs);
            view
        }
        (Err(FrameError::ClientIdLength { .. } | FrameError::Nesting), _) | (Err(_), Err(_)) => {
            return;
        }
        (ours, theirs) => panic!("{ours:?} but {theirs:?}"),
    };
    let Ok(body) = decode_body(&view, Compression::Snappy) else { return };
    let mut again = Vec::new();
    encode(view.seq, view.client_id, &body, Compression::Snappy, &mut again);
    let again = FrameView::parse(&again).expect("what is written can be read");
    let read = decode_body(&again, Compression::Snappy).expect("what is written can be read");
    // Not ==, since a confidence may be NaN.
    assert_eq!(read.encode_to_vec(), body.encode_to_vec());
});
