//! Frames that no good client sends: each gets the code that PROTOCOL.md names, and the server lives
//! on for all others.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use kefu_proto::v1::{self, ErrorCode, body::Kind};
use kefu_proto::{CloseCode, SUBPROTOCOL, SUBPROTOCOL_JSON};
use serde_json::{Value, json};
use sha2::Sha256;
use tungstenite::Message;

use super::client::{Client, End, hello, message_id, send};
use super::place::{Place, Running};

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    GoesOn,
    Closes(CloseCode),
}

use Then::{Closes, GoesOn};

/// The next Error, whatever it answers, and what becomes of the connection.
fn outcome(client: &mut Client) -> (Option<ErrorCode>, Then) {
    // It may be closed already; what the server said before can be read all the same.
    let _ = client.request(Kind::Ping(v1::Ping { token: 77 }));
    let mut code = None;
    loop {
        let end = match client.next() {
            Ok((_, Kind::Pong(pong))) if pong.token == 77 => return (code, GoesOn),
            Ok((_, Kind::Error(error))) => {
                code = Some(error.code());
                continue;
            }
            Ok(_) => continue,
            Err(end) => end,
        };
        let mut known = kefu_proto::CLOSE_CODES.iter().map(|info| info.code);
        let known = known.find(|code| End::Closed(code.number()) == end);
        return (code, Closes(known.unwrap_or_else(|| panic!("{code:?}, then {end:?}"))));
    }
}

fn greeted(server: &Running) -> Client {
    let token = server.visitor().unwrap();
    Client::greet(server.address, "d", hello(&token, vec![])).unwrap().0
}

fn lives(server: &Running) {
    greeted(server).say("", "still there?");
}

/// A frame of raw parts.
fn frame(seq: u64, compress: bool, payload: &[u8]) -> Message {
    use prost::Message as _;
    let header = v1::MessageHeader { seq, client_id: "d".into(), compress };
    let payload = Bytes::copy_from_slice(payload);
    Message::binary(v1::Frame { header: Some(header), payload }.encode_to_vec())
}

#[test]
fn frames_that_cannot_be_read_end_the_connection_with_their_code() {
    let place = Place::new();
    let server = place.serve();
    let violation = Closes(CloseCode::ProtocolViolation);
    let too_large = (Some(ErrorCode::TooLarge), Closes(CloseCode::TooLarge));
    let malformed = (Some(ErrorCode::Malformed), violation);
    let rows: [(&str, Message, (Option<ErrorCode>, Then)); 8] = [
        ("no protobuf", Message::binary(b"\xff\xff".to_vec()), malformed),
        ("no body", frame(2, false, b"\xff\xff"), malformed),
        ("not agreed Snappy", frame(2, true, b"\x02\x04ab"), malformed),
        ("64 KiB and one", Message::binary(vec![0; (64 << 10) + 1]), too_large),
        ("text", Message::text("{}"), (None, violation)),
        (
            "above what WebSocket may carry",
            Message::binary(vec![0; (256 << 10) + 1]),
            (None, Closes(CloseCode::WebSocketTooBig)),
        ),
        ("an empty frame", Message::binary(vec![]), (Some(ErrorCode::Unexpected), GoesOn)),
        // Field 99 of Body, which this version does not have.
        (
            "a kind of the future",
            frame(2, false, b"\x9a\x06\x00"),
            (Some(ErrorCode::Unexpected), GoesOn),
        ),
    ];
    for (name, message, expected) in rows {
        let mut client = greeted(&server);
        // The server may hang up before it has read all of it.
        let _ = client.raw(message);
        client.requests = 2;
        assert_eq!(outcome(&mut client), expected, "{name}");
    }
    let mut client = Client::connect(server.address, "d").unwrap();
    let token = server.visitor().unwrap();
    client.welcome(v1::Hello { accept_snappy: true, ..hello(&token, vec![]) }).unwrap();
    // Snappy that says it inflates to 256 MiB.
    client.raw(frame(2, true, b"\x80\x80\x80\x80\x01\x00a")).unwrap();
    assert_eq!(outcome(&mut client), too_large, "a bomb");
    let mut client = Client::connect(server.address, "d").unwrap();
    client.welcome(v1::Hello { accept_snappy: true, ..hello(&token, vec![]) }).unwrap();
    client.raw(frame(2, true, b"\x05\xff\xff\xff\xff\xff")).unwrap();
    assert_eq!(outcome(&mut client), malformed, "no Snappy");
    let json = [("sec-websocket-protocol", SUBPROTOCOL_JSON)];
    for (name, message, expected) in [
        ("no JSON", Message::text("hello"), malformed),
        ("an unknown key", Message::text(r#"{"body":{"sned":{}}}"#), malformed),
        ("bytes", Message::binary(vec![1]), (None, violation)),
    ] {
        let mut client = Client::connect_with(server.address, "d", &json).unwrap();
        client.welcome(hello(&token, vec![])).unwrap();
        client.raw(message).unwrap();
        assert_eq!(outcome(&mut client), expected, "{name}");
    }
    lives(&server);
    let log = server.log();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
    let metrics = server.metrics();
    for counted in ["session_closes_total{code=\"4103\"} ", "session_closes_total{code=\"4104\"} "]
    {
        assert!(metrics.contains(counted), "{metrics}");
    }
    assert!(metrics.contains("frame_errors_total{code="), "{metrics}");
}

#[test]
fn requests_that_are_wrong_get_their_error_and_the_connection_goes_on() {
    let place = Place::new();
    let server = place.serve();
    let theirs = greeted(&server).say("", "mine alone").conversation;
    let mut client = greeted(&server);
    let ours = client.say("", "hello");
    let (id, nowhere) = (message_id(), "0".repeat(32));
    let text = |text: &str| send("", &message_id(), text);
    let pull = |conversation: &str, after_seq, before_seq| {
        let conversation = conversation.to_owned();
        Kind::Pull(v1::Pull { conversation, after_seq, before_seq, limit: 0 })
    };
    let edit = |conversation: &str, seq| {
        let (conversation, client_msg_id) = (conversation.to_owned(), message_id());
        Kind::Edit(v1::Edit { conversation, client_msg_id, seq, text: "x".into() })
    };
    let read =
        |conversation: &str| Kind::Read(v1::Read { conversation: conversation.to_owned(), seq: 1 });
    let control = v1::Control {
        conversation: ours.conversation.clone(),
        client_msg_id: id.clone(),
        action: Some(v1::control::Action::Take(v1::Take {})),
    };
    let other = Kind::Open(v1::Open { client_msg_id: id, subject: "字".repeat(201) });
    let rows = [
        ("a second Hello", Kind::Hello(hello("", vec![])), ErrorCode::Unexpected),
        ("what servers send", Kind::Ack(v1::Ack::default()), ErrorCode::Unexpected),
        ("a short id", send("", &Bytes::from_static(b"short"), "x"), ErrorCode::Invalid),
        ("no text", text("  "), ErrorCode::Invalid),
        ("a long text", text(&"字".repeat(4_001)), ErrorCode::TooLarge),
        ("a used id", send("", &ours.client_msg_id, "another"), ErrorCode::Conflict),
        ("a bad name", send("no id", &message_id(), "x"), ErrorCode::Invalid),
        ("nowhere", send(&nowhere, &message_id(), "x"), ErrorCode::NoSuchConversation),
        ("write to theirs", send(&theirs, &message_id(), "x"), ErrorCode::NoSuchConversation),
        ("pull theirs", pull(&theirs, 0, 0), ErrorCode::NoSuchConversation),
        ("edit theirs", edit(&theirs, 1), ErrorCode::NoSuchConversation),
        ("read theirs", read(&theirs), ErrorCode::NoSuchConversation),
        ("edit nothing", edit(&ours.conversation, 99), ErrorCode::NoSuchMessage),
        ("both ways", pull(&ours.conversation, 1, 2), ErrorCode::Invalid),
        ("control", Kind::Control(control), ErrorCode::Forbidden),
        ("presence", Kind::Presence(v1::Presence::default()), ErrorCode::Forbidden),
        ("a long subject", other, ErrorCode::TooLarge),
    ];
    for (name, kind, expected) in rows {
        let asked = client.request(kind).unwrap();
        let error = client.error(asked);
        assert_eq!((error.code(), error.retryable), (expected, false), "{name}: {error:?}");
    }
    // A number that was used, and one that is older, are not done again.
    client.frame(9, "d", send("", &message_id(), "again")).unwrap();
    assert_eq!(outcome(&mut client), (Some(ErrorCode::Unexpected), GoesOn));
    let log = client.pull(&ours.conversation, 0);
    let own: Vec<_> = log.iter().filter(|message| !message.client_msg_id.is_empty()).collect();
    assert_eq!(own.len(), 1, "nothing that was refused is stored: {own:?}");
    client.frame(999, "another", Kind::Ping(v1::Ping::default())).unwrap();
    let violation = Closes(CloseCode::ProtocolViolation);
    assert_eq!(outcome(&mut client), (Some(ErrorCode::Unexpected), violation));
    lives(&server);
}

/// A token for a visitor as a site's backend signs it, good for so many seconds.
pub(crate) fn site_token(secret: &str, app: &str, visitor: &str, good_s: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({"sub": visitor, "aud": app, "exp": now.saturating_add_signed(good_s)});
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&json!({"alg": "HS256", "typ": "JWT"})), encode(&claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[test]
fn a_hello_that_is_not_good_is_told_why_and_closed() {
    let place = Place::new();
    let server = place.serve();
    let (_, rest) = server.said.split_once("secret ").expect("the first start shows it");
    let secret = rest.split_whitespace().next().unwrap();
    let good = site_token(secret, "default", "user-1", 600);
    let expired = site_token(secret, "default", "user-1", -600);
    let forged = site_token("guessed", "default", "user-1", 600);
    let others = site_token(secret, "other", "user-1", 600);
    let unauthorized = (ErrorCode::Unauthorized, CloseCode::Unauthorized);
    let invalid = (ErrorCode::Invalid, CloseCode::ProtocolViolation);
    let hello_to =
        |app: &str, token: &str| v1::Hello { app_id: app.into(), ..hello(token, vec![]) };
    let rows = [
        ("no token", "d", hello("", vec![]), unauthorized),
        ("no JWT", "d", hello("hello", vec![]), unauthorized),
        ("forged", "d", hello(&forged, vec![]), unauthorized),
        ("another app's", "d", hello(&others, vec![]), unauthorized),
        (
            "expired",
            "d",
            hello(&expired, vec![]),
            (ErrorCode::TokenExpired, CloseCode::TokenExpired),
        ),
        ("no app", "d", hello_to("none", &good), (ErrorCode::NoSuchApp, CloseCode::Unauthorized)),
        ("no agent", "d", hello_to("", &good), unauthorized),
        ("no device", "", hello(&good, vec![]), invalid),
        ("many cursors", "d", hello(&good, vec![v1::Cursor::default(); 101]), invalid),
    ];
    for (name, device, hello, (code, close)) in rows {
        let mut client = Client::connect(server.address, device).unwrap();
        client.request(Kind::Hello(hello)).unwrap();
        assert_eq!(client.error(1).code(), code, "{name}");
        assert_eq!(client.end(), End::Closed(close.number()), "{name}");
    }
    let mut early = Client::connect(server.address, "d").unwrap();
    early.request(send("", &message_id(), "hello")).unwrap();
    assert_eq!(early.error(1).code(), ErrorCode::Unexpected);
    assert_eq!(early.end(), End::Closed(CloseCode::ProtocolViolation.number()));

    let from = |origin| [("sec-websocket-protocol", SUBPROTOCOL), ("origin", origin)];
    let mut page =
        Client::connect_with(server.address, "d", &from("https://evil.example")).unwrap();
    page.request(Kind::Hello(hello(&good, vec![]))).unwrap();
    assert_eq!(page.error(1).code(), ErrorCode::OriginRefused);
    assert_eq!(page.end(), End::Closed(CloseCode::OriginRefused.number()));
    let mut page =
        Client::connect_with(server.address, "d", &from("http://localhost:3000")).unwrap();
    let welcome = page.welcome(hello(&good, vec![])).unwrap();
    assert_eq!(welcome.user.unwrap().id, "user-1");

    let unknown = [("sec-websocket-protocol", "chat.v9")];
    assert!(Client::connect_with(server.address, "d", &unknown).is_err(), "nothing is agreed on");
    let mut tool = Client::connect_with(server.address, "d", &[]).unwrap();
    tool.welcome(hello(&good, vec![])).unwrap();
    lives(&server);
}

#[test]
fn a_connection_without_a_hello_is_closed_after_ten_seconds() {
    let place = Place::new();
    let server = place.serve();
    let mut client = Client::connect(server.address, "d").unwrap();
    let early = client.next_within(Duration::from_secs(8));
    assert_eq!(early, Ok(None), "a Hello may take its time");
    assert_eq!(client.end(), End::Closed(CloseCode::HelloTimeout.number()));
}
