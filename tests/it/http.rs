//! Bad input, limits, keys, and the end of the server, over real connections.

use std::time::Duration;

use kefu::http::Limits;
use serde_json::{Value, json};

use crate::support::{start_server, start_server_with};

const KEY: &str = "0123456789abcdef";

#[test]
fn odd_texts_are_answered() {
    let server = start_server();
    let rows = [
        ("empty", ""),
        ("spaces", " \t\u{3000}\n"),
        ("emoji", "😀🚚❤️"),
        ("a NUL", "a\0b"),
        ("only a NUL", "\0"),
        ("a special token", "</s>"),
        ("special tokens", "<s></s><pad><mask><unk>[CLS]"),
        ("the longest", &"退".repeat(2_000)),
        ("right to left", "مرحبا \u{202e}abc"),
        ("combining marks", &format!("a{}", "\u{301}".repeat(1_000))),
        ("a byte order mark", "\u{feff}退款"),
        ("not a character", "\u{ffff}"),
    ];
    for (name, text) in rows {
        let reply = server.post("/intent", json!({"text": text, "explain": true}).to_string());
        assert_eq!(reply.status, 200, "{name}: {}", reply.body);
        let answer = reply.json();
        let status = answer["status"].as_str().unwrap();
        assert!(["matched", "ambiguous", "out_of_scope"].contains(&status), "{name}");
        let confidence = answer["confidence"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&confidence), "{name}: {confidence}");
        if ["empty", "spaces", "emoji"].contains(&name) {
            assert_eq!(status, "out_of_scope", "{name}");
        }
    }
}

/// One bad request and its answer.
struct Bad {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    content_type: &'static str,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
}

/// A bad body for `path`.
fn bad(name: &'static str, path: &'static str, body: impl Into<Vec<u8>>, status: u16) -> Bad {
    let code = match status {
        413 => "body_too_large",
        415 => "unsupported_media_type",
        404 => "not_found",
        405 => "method_not_allowed",
        400 => "invalid_json",
        _ => "invalid_request",
    };
    let (method, content_type) = ("POST", "application/json");
    Bad { name, method, path, content_type, body: body.into(), status, code }
}

#[rustfmt::skip]
fn bad_requests() -> Vec<Bad> {
    let text = |text: &str| json!({"text": text}).to_string();
    let deep = format!("{{\"text\": {}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_list = "[".repeat(10_000);
    let batch = json!({"texts": vec!["a"; 65]}).to_string();
    let long_batch = json!({"texts": ["a", "x".repeat(2_001)]}).to_string();
    vec![
        Bad { code: "text_too_long", ..bad("1 MB of text", "/intent", text(&"x".repeat(1_000_000)), 422) },
        Bad { code: "text_too_long", ..bad("one too many", "/intent", text(&"退".repeat(2_001)), 422) },
        bad("2 MB of text", "/intent", text(&"x".repeat(2_000_000)), 413),
        bad("9 MB of text", "/intent", text(&"x".repeat(9_000_000)), 413),
        Bad { code: "invalid_utf8", ..bad("not UTF-8", "/intent", b"{\"text\": \"\xff\xfe\"}", 400) },
        Bad { code: "invalid_utf8", ..bad("half a character", "/intent", b"{\"text\": \"\xe9\x80\"}", 400) },
        bad("a lone surrogate", "/intent", br#"{"text": "\ud800"}"#, 400),
        bad("a late surrogate", "/intent", br#"{"text": "\udc00a"}"#, 400),
        bad("10k deep where text belongs", "/intent", deep, 422),
        bad("10k deep", "/intent", deep_list.clone(), 422),
        bad("10k deep tokens", "/v1/embeddings", format!("{{\"input\": {deep_list}"), 400),
        bad("no JSON", "/intent", b"text=hi", 400),
        bad("no body", "/intent", b"", 400),
        bad("an array", "/intent", b"[]", 422),
        bad("null text", "/intent", br#"{"text": null}"#, 422),
        bad("a number as text", "/intent", br#"{"text": 7}"#, 422),
        bad("an unknown field", "/intent", br#"{"text": "a", "topk": 1}"#, 422),
        bad("twice the field", "/intent", br#"{"text": "a", "text": "b"}"#, 422),
        bad("top_k 0", "/intent", br#"{"text": "a", "top_k": 0}"#, 422),
        bad("top_k 21", "/intent", br#"{"text": "a", "top_k": 21}"#, 422),
        bad("top_k huge", "/intent", br#"{"text": "a", "top_k": 1e99}"#, 422),
        Bad { content_type: "application/x-www-form-urlencoded", ..bad("a form", "/intent", b"text=a", 415) },
        Bad { content_type: "text/json", ..bad("another type", "/intent", b"{}", 415) },
        Bad { code: "batch_empty", ..bad("an empty batch", "/intent/batch", br#"{"texts": []}"#, 422) },
        Bad { code: "batch_too_large", ..bad("a large batch", "/intent/batch", batch, 422) },
        Bad { code: "text_too_long", ..bad("a long text in a batch", "/intent/batch", long_batch, 422) },
        bad("Rasa without text", "/model/parse", b"{}", 422),
        bad("OpenAI with tokens", "/v1/embeddings", br#"{"input": [1]}"#, 422),
        Bad { method: "GET", ..bad("a wrong method", "/intent", b"", 405) },
        Bad { method: "BREW", ..bad("an unknown method", "/intent", b"", 405) },
        Bad { method: "GET", ..bad("an unknown path", "/intents/", b"", 404) },
        Bad { method: "GET", ..bad("a path up", "/../etc/passwd", b"", 404) },
    ]
}

#[test]
fn bad_input_is_refused_with_a_code_and_a_trace_id() {
    let server = start_server();
    for Bad { name, method, path, content_type, body, status, code } in bad_requests() {
        let reply = server.send(method, path, &[("content-type", content_type)], &body);
        assert_eq!((reply.status, reply.code()), (status, json!(code)), "{name}: {}", reply.body);
        assert!(reply.body.len() < 1_000, "{name}: the answer repeats the input");
        let trace = reply.headers["x-trace-id"].to_str().unwrap();
        assert_eq!(trace.len(), 32, "{name}");
        if !path.starts_with("/v1/") {
            assert_eq!(reply.json()["error"]["trace_id"], trace, "{name}");
        }
    }
    assert_eq!(server.get("/healthz").status, 200, "it lives");
}

#[test]
fn what_is_not_http_is_refused_and_harms_nobody() {
    let server = start_server();
    let huge = format!("GET /healthz HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let many = format!("GET /healthz HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(10_000));
    let rows = [
        ("a huge header", huge.as_bytes(), "HTTP/1.1 431 "),
        ("many headers", many.as_bytes(), "HTTP/1.1 431 "),
        ("noise", b"\x16\x03\x01\x02\x00\r\n\r\n".as_slice(), "HTTP/1.1 400 "),
    ];
    for (name, bytes, start) in rows {
        let answer = server.raw(bytes);
        // The bytes that nobody read may cost the client the answer, never the server its life.
        assert!(answer.starts_with(start) || answer.is_empty(), "{name}: {answer}");
        assert_eq!(server.get("/healthz").status, 200, "{name}");
    }
}

#[test]
fn a_key_is_asked_for() {
    let server = start_server_with(Limits::default(), Some(KEY));
    let bearer = format!("Bearer {KEY}");
    let rows: [(&str, &[(&str, &str)], u16); 5] = [
        ("none", &[], 401),
        ("wrong", &[("authorization", "Bearer 0123456789abcdeF")], 401),
        ("part of it", &[("x-api-key", "0123456789")], 401),
        ("bearer", &[("authorization", &bearer)], 200),
        ("own header", &[("x-api-key", KEY)], 200),
    ];
    for (name, headers, status) in rows {
        let reply = server.send("GET", "/intents", headers, b"");
        assert_eq!(reply.status, status, "{name}: {}", reply.body);
        assert!(!reply.body.contains(KEY), "{name}");
    }
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn an_address_over_its_rate_is_told_to_wait() {
    let server = start_server_with(Limits { rate_per_s: 2, ..Limits::default() }, None);
    let replies: Vec<_> = (0..12).map(|_| server.get("/intents")).collect();
    let refused =
        replies.iter().find(|reply| reply.status == 429).expect("12 at once are too many");
    assert_eq!(refused.code(), "rate_limited");
    assert_eq!(refused.json()["error"]["retryable"], true);
    assert!(refused.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    let accepted = replies.iter().filter(|reply| reply.status == 200).count();
    assert!((4..12).contains(&accepted), "{accepted}");
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn an_open_connection_does_not_hold_the_server_up() {
    let server = start_server();
    let mut idle = std::net::TcpStream::connect(server.address).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let started = std::time::Instant::now();
    drop(server);
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert_eq!(std::io::Read::read(&mut idle, &mut [0]).unwrap_or(0), 0, "it is closed");
}

#[test]
fn a_taken_port_is_named() {
    let server = start_server();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _context = runtime.enter();
    let error = kefu::server::reserve(server.address).err().expect("it is taken").to_string();
    assert!(error.contains("is in use") && error.contains("--port"), "{error}");
}

#[test]
fn answers_carry_the_callers_trace() {
    let server = start_server();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    for path in ["/intents", "/nowhere"] {
        let reply = server.send("GET", path, &[("traceparent", &parent)], b"");
        assert_eq!(reply.headers["x-trace-id"], trace, "{path}");
        let body: Value = reply.json();
        let id = if path == "/intents" { &body["trace_id"] } else { &body["error"]["trace_id"] };
        assert_eq!(id, trace, "{path}");
    }
}
