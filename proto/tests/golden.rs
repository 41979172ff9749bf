//! Golden frames: bytes that every client and server of this version reads the same way.
//!
//! `golden/NAME.hex` is a binary frame, `golden/NAME.json` the same as a JSON frame;
//! `golden/malformed.json` lists what must be refused and how. They are kept from the first release
//! on. A new kind of frame gets one with `KEFU_UPDATE_GOLDEN=1`; those that exist never change.

#[path = "golden/samples.rs"]
mod samples;

use std::path::{Path, PathBuf};

use kefu_proto::v1::{Body, MessageHeader};
use kefu_proto::{Compression, FrameError, FrameView, decode_body, encode, json};
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.chunks(32).map(|line| line.join("") + "\n").collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |two: &[u8]| {
        let two = std::str::from_utf8(two).expect("hex is ASCII");
        u8::from_str_radix(two, 16).expect("golden frames are hex")
    };
    digits.chunks(2).map(byte).collect()
}

/// What the file says; what it should say is written when the tests are told to.
fn committed(name: &str, wanted: &str) -> String {
    let path = folder().join(name);
    if std::env::var_os("KEFU_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, wanted).expect("golden/ can be written");
    }
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{name}: {error}; run with KEFU_UPDATE_GOLDEN=1"))
}

fn read(bytes: &[u8], compression: Compression) -> Result<(MessageHeader, Body), FrameError> {
    let view = FrameView::parse(bytes)?;
    let client_id = view.client_id.to_owned();
    let header = MessageHeader { seq: view.seq, client_id, compress: view.compress };
    Ok((header, decode_body(&view, compression)?))
}

#[test]
fn golden_frames_are_read_and_written() {
    for (name, header, body) in samples::frames() {
        let compression = if header.compress { Compression::Snappy } else { Compression::Off };
        let mut bytes = Vec::new();
        encode(header.seq, &header.client_id, &body, compression, &mut bytes);
        let plain = MessageHeader { compress: false, ..header.clone() };
        let text: Value = serde_json::from_str(&json::to_json(&plain, &body)).unwrap();

        let binary = committed(&format!("{name}.hex"), &hex(&bytes));
        let twin = committed(&format!("{name}.json"), &format!("{text:#}\n"));
        assert_eq!(read(&unhex(&binary), compression), Ok((header, body.clone())), "{name}.hex");
        assert_eq!(json::from_json(&twin), Ok((plain, body)), "{name}.json");
        // How Snappy packs is free; all else is not.
        if compression == Compression::Off {
            assert_eq!(binary, hex(&bytes), "{name}.hex");
        }
        assert_eq!(twin, format!("{text:#}\n"), "{name}.json");
    }
}

/// Each kind of `Body` has a frame.
#[test]
fn no_kind_is_left_out() {
    let proto = std::fs::read_to_string(folder().join("../kefu.proto")).unwrap();
    let body = proto.split("message Body {").nth(1).unwrap().split("\n}").next().unwrap();
    let kinds = body.lines().filter_map(|line| line.trim().split_once(' ')?.1.split_once(" = "));
    let have: Vec<String> =
        samples::frames().into_iter().map(|(name, _, _)| name.to_owned()).collect();
    let mut count = 0;
    for (kind, _) in kinds {
        assert!(have.iter().any(|name| name == kind), "{kind} has no golden frame");
        count += 1;
    }
    assert!(count >= 22, "only {count} kinds were found");
}

#[test]
fn what_is_malformed_is_refused_as_listed() {
    let listed: Vec<Value> = samples::malformed()
        .into_iter()
        .map(|(name, bytes)| {
            // Frames before the Welcome, when nothing was agreed on, unless the name says so.
            let compression =
                if name.starts_with("snappy") { Compression::Snappy } else { Compression::Off };
            let error = read(&bytes, compression).unwrap_err();
            let code = error.code().as_str_name();
            json!({
                "name": name,
                "snappy_agreed": compression == Compression::Snappy,
                "hex": hex(&bytes).replace('\n', ""),
                "code": code,
                "message": error.to_string(),
            })
        })
        .collect();
    let wanted = format!("{:#}\n", Value::Array(listed));
    assert_eq!(committed("malformed.json", &wanted), wanted);
}
