//! `PROTOCOL.md` says what the code says: its tables are written from the code, and its JSON
//! frames are frames.

use std::fmt::Write;
use std::path::Path;

use kefu_proto::limits;
use kefu_proto::{CLOSE_CODES, ERROR_CODES, Reconnect, json};

fn protocol() -> (std::path::PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../PROTOCOL.md");
    let text = std::fs::read_to_string(&path).expect("PROTOCOL.md is there");
    (path, text)
}

fn error_codes() -> String {
    let mut table = "| code | name | retryable | meaning |\n|---|---|---|---|\n".to_owned();
    for info in ERROR_CODES {
        let name = info.code.as_str_name().trim_start_matches("ERROR_CODE_");
        let retryable = if info.retryable { "yes" } else { "no" };
        let number = info.code as i32;
        writeln!(table, "| {number} | `{name}` | {retryable} | {} |", info.meaning)
            .expect("a string takes all");
    }
    table
}

fn close_codes() -> String {
    let mut table = "| code | reason | reconnect | sent when |\n|---|---|---|---|\n".to_owned();
    for info in CLOSE_CODES {
        let reconnect = match info.reconnect {
            Reconnect::Now => "now",
            Reconnect::BackOff => "with back-off",
            Reconnect::WithNewToken => "with a new token",
            Reconnect::Never => "no",
        };
        let (number, name) = (info.code.number(), info.name);
        writeln!(table, "| {number} | `{name}` | {reconnect} | {} |", info.meaning)
            .expect("a string takes all");
    }
    table
}

fn limits() -> String {
    let mut table = "| limit | value |\n|---|---|\n".to_owned();
    for (name, value) in [
        ("frame of a client, bytes", limits::MAX_FRAME_BYTES as u64),
        ("frame of a server, bytes", limits::MAX_SERVER_FRAME_BYTES as u64),
        ("body, inflated, or JSON frame, bytes", limits::MAX_BODY_BYTES as u64),
        ("smallest body that is compressed, bytes", limits::SNAPPY_FROM_BYTES as u64),
        ("`client_id`, bytes", limits::MAX_CLIENT_ID_BYTES as u64),
        ("`client_msg_id`, bytes, exactly", limits::CLIENT_MSG_ID_BYTES as u64),
        ("text of a message, characters", limits::MAX_TEXT_CHARS as u64),
        ("messages in a Range; without `limit`", limits::MAX_PULL as u64),
        ("cursors in a Hello", limits::MAX_CURSORS as u64),
        ("tags of a conversation", limits::MAX_TAGS as u64),
        ("tag, characters", limits::MAX_TAG_CHARS as u64),
        ("subject, characters", limits::MAX_SUBJECT_CHARS as u64),
        ("Hello after connecting within, ms", limits::HELLO_WITHIN_MS),
        ("Ping after silence of, ms", limits::PING_EVERY_MS),
        ("connection ends after silence of, ms", limits::IDLE_MS),
        ("`client_msg_id` is remembered at least, ms", limits::IDEMPOTENCY_MS),
    ] {
        let default = if name.ends_with("`limit`") {
            format!("; {}", limits::DEFAULT_PULL)
        } else {
            String::new()
        };
        writeln!(table, "| {name} | {value}{default} |").expect("a string takes all");
    }
    table
}

#[test]
fn tables_are_those_of_the_code() {
    let (path, mut text) = protocol();
    let before = text.clone();
    for (name, table) in
        [("error codes", error_codes()), ("close codes", close_codes()), ("limits", limits())]
    {
        let opening = format!("<!-- {name}: written by the tests with KEFU_UPDATE_GOLDEN=1 -->\n");
        let start = text.find(&opening).unwrap() + opening.len();
        let end = text.find(&format!("<!-- end of {name} -->")).unwrap();
        text.replace_range(start..end, &table);
    }
    if std::env::var_os("KEFU_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    } else {
        assert!(
            text == before,
            "the tables of PROTOCOL.md are not what the code says; run the tests with \
             KEFU_UPDATE_GOLDEN=1"
        );
    }
}

#[test]
fn every_frame_that_is_shown_is_one() {
    let (_, text) = protocol();
    let mut shown = 0;
    for line in text.lines() {
        let Some(start) = line.find(r#"{"header""#) else { continue };
        let frame = line[start..].trim_end_matches(['\'', '"', ']', '`', ' ', '\\']);
        json::from_json(frame).unwrap_or_else(|error| panic!("{line}: {error}"));
        shown += 1;
    }
    assert!(shown >= 8, "only {shown} frames are shown");
}

#[test]
fn every_message_is_named() {
    let (_, text) = protocol();
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("kefu.proto");
    let proto = std::fs::read_to_string(proto).unwrap();
    let names = proto.lines().filter_map(|line| line.strip_prefix("message ")?.split(' ').next());
    let missing: Vec<&str> = names.filter(|name| !text.contains(name)).collect();
    assert!(missing.is_empty(), "PROTOCOL.md does not say what these are for: {missing:?}");
}
