//! Sessions over HTTP from end to end: the same frames by POST, long-poll and SSE.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;
use kefu_proto::v1::{self, MessageHeader, body::Kind};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::stage::Stage;
use super::{Reply, send};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

async fn visitor(stage: &Stage) -> String {
    let asked = stage.call("", "POST", "/v1/visitors", json!({"app_id": "default"})).await;
    let given = asked.json();
    assert!(given["visitor"].as_str().unwrap().starts_with("anon-"), "{}", asked.body);
    given["token"].as_str().unwrap().to_owned()
}

fn hello(token: &str, device: &str) -> Value {
    let hello = json!({"app_id": "default", "token": token});
    json!({"header": {"seq": 1, "client_id": device}, "body": {"hello": hello}})
}

fn message(request: u64, id: u8, text: &str) -> Value {
    let send = json!({"client_msg_id": STANDARD.encode([id; 16]), "text": text});
    json!({"header": {"seq": request}, "body": {"send": send}})
}

/// Begins a session of a new visitor, and gives its path.
async fn begin(stage: &Stage) -> String {
    let token = visitor(stage).await;
    begin_as(stage, &token, "phone").await
}

async fn begin_as(stage: &Stage, token: &str, device: &str) -> String {
    let begun = stage.call("", "POST", "/v1/sessions", hello(token, device)).await;
    assert_eq!(begun.status, 200, "{}", begun.body);
    let welcome = begun.json()["body"]["welcome"].take();
    format!("/v1/sessions/{}", welcome["session"].as_str().unwrap())
}

async fn feed(stage: &Stage, session: &str, frames: Value) -> Reply {
    stage.call("", "POST", &format!("{session}/frames"), frames).await
}

async fn poll(stage: &Stage, session: &str, after: u64, wait_ms: u64) -> Reply {
    let path = format!("{session}/poll?after={after}&wait_ms={wait_ms}");
    let polled = stage.call("", "GET", &path, Value::Null);
    tokio::time::timeout(PATIENCE, polled).await.expect("a poll ends")
}

fn code(reply: &Reply) -> String {
    reply.json()["error"]["code"].as_str().unwrap_or_else(|| panic!("{}", reply.body)).to_owned()
}

/// A stream of events.
struct Stream(Body, String);

impl Stream {
    async fn open(stage: &Stage, session: &str, last: Option<u64>) -> Self {
        let mut request = Request::get(format!("{session}/events"));
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let request = request.body(Body::empty()).unwrap();
        let response = stage.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self(response.into_body(), String::new())
    }

    /// The lines of the next event; none: the stream is over.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.1.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.1 = rest;
                return Some(event);
            }
            let frame = tokio::time::timeout(PATIENCE, self.0.frame()).await.expect("an event");
            let data = frame?.unwrap().into_data().unwrap();
            self.1.push_str(std::str::from_utf8(&data).unwrap());
        }
    }
}

/// Number and frame of an event.
fn parsed(event: &str) -> (u64, Value) {
    let field = |name: &str| {
        let found = event.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap_or_else(|| panic!("no {name} in {event}")).trim().to_owned()
    };
    (field("id:").parse().unwrap(), serde_json::from_str(&field("data:")).unwrap())
}

#[tokio::test]
async fn a_message_is_acked_to_a_poll_until_it_is_confirmed() {
    let stage = Stage::open().await;
    let session = begin(&stage).await;
    let fed = feed(&stage, &session, message(2, 7, "我的快递怎么还没到")).await;
    assert_eq!((fed.status.as_u16(), fed.body.as_str()), (202, ""));

    let frames = poll(&stage, &session, 0, 25_000).await.json();
    let acks: Vec<_> = frames
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["frame"]["body"]["ack"].is_object())
        .collect();
    assert_eq!(acks.len(), 1, "{frames}");
    assert_eq!(acks[0]["frame"]["header"]["seq"], "2");
    assert_eq!(acks[0]["frame"]["body"]["ack"]["seq"], "1");

    // An answer that got lost costs nothing: the same frames under the same numbers.
    assert_eq!(poll(&stage, &session, 0, 0).await.json(), frames);
    let last = frames.as_array().unwrap().last().unwrap()["id"].as_u64().unwrap();
    assert_eq!(poll(&stage, &session, last, 0).await.json(), json!([]));
    let gone = poll(&stage, &session, 0, 0).await;
    assert_eq!((gone.status.as_u16(), code(&gone)), (404, "no_such_session".to_owned()));
}

#[tokio::test]
async fn a_stream_goes_on_where_the_client_lost_it() {
    let stage = Stage::open().await;
    let session = begin(&stage).await;
    let mut stream = Stream::open(&stage, &session, None).await;
    let fed = json!([message(2, 1, "one"), message(3, 2, "two"), message(4, 3, "three")]);
    assert_eq!(feed(&stage, &session, fed).await.status, 202);
    let mut events = Vec::new();
    let is_third_ack = |frame: &Value| frame["body"]["ack"]["seq"] == "3";
    while !events.last().is_some_and(|(_, frame)| is_third_ack(frame)) {
        events.push(parsed(&stream.next().await.unwrap()));
    }
    let ids: Vec<u64> = events.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>());

    // All but the first got lost on the way: they come again, under their numbers.
    drop(stream);
    let mut again = Stream::open(&stage, &session, Some(1)).await;
    for event in &events[1..] {
        assert_eq!(parsed(&again.next().await.unwrap()), *event);
    }
    let never = Request::get(format!("{session}/events")).header("last-event-id", "1000");
    let never = send(&stage.router, never.body(Body::empty()).unwrap()).await;
    assert_eq!(code(&never), "no_such_session");
}

#[tokio::test]
async fn a_second_reader_ends_the_first_and_takes_over() {
    let stage = Stage::open().await;
    let session = begin(&stage).await;
    let mut stream = Stream::open(&stage, &session, None).await;
    let mut second = Stream::open(&stage, &session, None).await;
    assert_eq!(stream.next().await, None, "the first stream is over");

    let both = async {
        let polled = poll(&stage, &session, 0, 25_000);
        let ended = second.next();
        let (polled, ended) = tokio::join!(polled, async {
            let ended = ended.await;
            assert_eq!(feed(&stage, &session, message(2, 1, "hi")).await.status, 202);
            ended
        });
        (polled.json(), ended)
    };
    let (polled, ended) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    assert_eq!(ended, None, "a poll ends the stream");
    assert!(!polled.as_array().unwrap().is_empty(), "what comes now is the poll's");

    // And a second poll ends the first with nothing.
    let last = polled.as_array().unwrap().last().unwrap()["id"].as_u64().unwrap();
    let (first, second) =
        tokio::join!(poll(&stage, &session, last, 25_000), poll(&stage, &session, last, 10),);
    assert_eq!((first.json(), second.json()), (json!([]), json!([])));
}

#[tokio::test]
async fn a_session_ends_by_delete_and_by_a_newer_one_of_its_device() {
    let stage = Stage::open().await;
    let session = begin(&stage).await;
    let mut stream = Stream::open(&stage, &session, None).await;
    let ended = stage.call("", "DELETE", &session, Value::Null).await;
    assert_eq!((ended.status.as_u16(), ended.body.as_str()), (204, ""));
    let close = stream.next().await.unwrap();
    assert!(close.contains("event: close") && close.contains("1000"), "{close}");
    assert_eq!(stream.next().await, None);
    for reply in [
        poll(&stage, &session, 0, 0).await,
        feed(&stage, &session, message(2, 1, "hi")).await,
        stage.call("", "DELETE", &session, Value::Null).await,
    ] {
        assert_eq!((reply.status.as_u16(), code(&reply)), (404, "no_such_session".to_owned()));
    }

    let token = visitor(&stage).await;
    let older = begin_as(&stage, &token, "phone").await;
    let (fenced, _newer) =
        tokio::join!(poll(&stage, &older, 0, 25_000), begin_as(&stage, &token, "phone"));
    let last = fenced.json().as_array().unwrap().last().cloned().unwrap();
    assert_eq!(last["close"], json!({"code": 4100, "reason": "fenced"}));
}

#[tokio::test]
async fn binary_frames_go_the_same_way() {
    let stage = Stage::open().await;
    let token = visitor(&stage).await;
    let framed = |seq: u64, device: &str, kind: Kind| {
        let (mut frame, mut body) = (Vec::new(), Vec::new());
        let kind = v1::Body { kind: Some(kind) };
        kefu_proto::encode(seq, device, &kind, kefu_proto::Compression::Off, &mut frame);
        prost::encoding::encode_varint(frame.len() as u64, &mut body);
        body.extend(frame);
        body
    };
    let post = |path: String, body: Vec<u8>| {
        let request = Request::post(path).header("content-type", "application/x-kefu-frames");
        stage.router.clone().oneshot(request.body(Body::from(body)).unwrap())
    };
    let hello = v1::Hello { app_id: "default".to_owned(), token, ..v1::Hello::default() };
    let begun =
        post("/v1/sessions".to_owned(), framed(1, "phone", Kind::Hello(hello))).await.unwrap();
    assert_eq!(begun.status(), 200);
    assert_eq!(begun.headers()["content-type"], "application/x-kefu-frames");
    let body = begun.into_body().collect().await.unwrap().to_bytes();
    let mut frame = &body[..];
    let length = prost::encoding::decode_varint(&mut frame).unwrap();
    assert_eq!(length as usize, frame.len());
    let view = kefu_proto::FrameView::parse(frame).unwrap();
    let welcome = kefu_proto::decode_body(&view, kefu_proto::Compression::Off).unwrap();
    let Some(Kind::Welcome(welcome)) = welcome.kind else { panic!("{welcome:?}") };

    let session = format!("/v1/sessions/{}", welcome.session);
    let ping = framed(2, "", Kind::Ping(v1::Ping { token: 5 }));
    assert_eq!(post(format!("{session}/frames"), ping).await.unwrap().status(), 202);
    let polled = poll(&stage, &session, 0, 25_000).await.json();
    let pong = STANDARD.decode(polled[0]["frame"].as_str().unwrap()).unwrap();
    let pong = kefu_proto::FrameView::parse(&pong).unwrap();
    assert_eq!(pong.seq, 2);
    // A session speaks the format of its Hello.
    let header = MessageHeader { seq: 3, ..MessageHeader::default() };
    let ping = v1::Body { kind: Some(Kind::Ping(v1::Ping { token: 6 })) };
    let json: Value = serde_json::from_str(&kefu_proto::json::to_json(&header, &ping)).unwrap();
    assert_eq!(code(&feed(&stage, &session, json).await), "malformed_frame");
}

#[tokio::test]
async fn what_is_no_frame_is_refused() {
    let stage = Stage::open().await;
    let token = visitor(&stage).await;
    let ping = json!({"header": {"seq": 1, "client_id": "d"}, "body": {"ping": {}}});
    let two = json!([hello(&token, "d"), hello(&token, "d")]);
    let rows = [
        (json!({}), 400, "malformed_frame"),
        (json!({"body": {"hallo": {}}}), 400, "malformed_frame"),
        (json!([]), 400, "malformed_frame"),
        (two, 400, "malformed_frame"),
        (ping, 400, "malformed_frame"),
        (hello(&token, ""), 422, "invalid_request"),
        (hello("forged", "d"), 401, "unauthorized"),
    ];
    for (body, status, expected) in rows {
        let reply = stage.call("", "POST", "/v1/sessions", body.clone()).await;
        assert_eq!((reply.status.as_u16(), &*code(&reply)), (status, expected), "{body}");
    }
    let post = |path: &str, kind: &'static str, body: &'static [u8]| {
        let request = Request::post(path).header("content-type", kind);
        request.body(Body::from(body)).unwrap()
    };
    let frames = "application/x-kefu-frames";
    let rows = [
        ("text/plain", &b"{}"[..], "unsupported_media_type"),
        ("application/json", b"{", "malformed_frame"),
        ("application/json", b"[{]", "malformed_frame"),
        ("application/json", b"\xff", "malformed_frame"),
        (frames, b"\x05abc", "malformed_frame"),
        (frames, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "malformed_frame"),
        (frames, b"", "malformed_frame"),
    ];
    for (kind, body, expected) in rows {
        let reply = send(&stage.router, post("/v1/sessions", kind, body)).await;
        assert_eq!(code(&reply), expected, "{kind} {body:?}");
    }

    // A session does not outlive what cannot be read.
    let session = begin_as(&stage, &token, "d").await;
    let odd = stage.call("", "GET", &format!("{session}/poll?after=x"), Value::Null).await;
    assert_eq!((odd.status.as_u16(), code(&odd)), (422, "invalid_request".to_owned()));
    let broken = feed(&stage, &session, json!({"body": {"sned": {}}})).await;
    assert_eq!((broken.status.as_u16(), code(&broken)), (400, "malformed_frame".to_owned()));
    assert_eq!(code(&poll(&stage, &session, 0, 0).await), "no_such_session");
}

#[tokio::test]
async fn a_page_of_another_origin_may_ask_and_sees_the_answer() {
    let stage = Stage::open().await;
    let preflight = Request::options("/v1/sessions")
        .header("origin", "https://shop.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type");
    let allowed = send(&stage.router, preflight.body(Body::empty()).unwrap()).await;
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.headers["access-control-allow-origin"], "*");
    // The app does not list it, and the page can read why.
    let request = Request::post("/v1/sessions")
        .header("origin", "https://shop.example")
        .header("content-type", "application/json");
    let body = hello(&visitor(&stage).await, "d").to_string();
    let refused = send(&stage.router, request.body(Body::from(body)).unwrap()).await;
    assert_eq!((refused.status.as_u16(), code(&refused)), (403, "origin_refused".to_owned()));
    assert_eq!(refused.headers["access-control-allow-origin"], "*");
}
