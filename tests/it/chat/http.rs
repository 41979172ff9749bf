//! Sessions over HTTP, and a client that changes the transport in the middle of a conversation.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use bytes::Bytes;
use kefu_proto::CloseCode;
use kefu_proto::v1::{self, MessageHeader, body::Kind};
use serde_json::{Value, json};

use super::client::{Client, End, Frame, PATIENCE, hello, message_id, send};
use super::place::{Place, Running};

/// What an HTTP request was answered with.
type Answer = (u16, String);

fn ask(method: &str, url: &str, content_type: &str, body: &str) -> Answer {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .build()
        .into();
    let request = ureq::http::Request::builder().method(method).uri(url);
    let request = request.header("content-type", content_type);
    let mut answer = match method {
        "POST" => agent.run(request.body(body).unwrap()).unwrap(),
        _ => agent.run(request.body(()).unwrap()).unwrap(),
    };
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

fn frame(seq: u64, device: &str, kind: Kind) -> String {
    let header = MessageHeader { seq, client_id: device.into(), compress: false };
    kefu_proto::json::to_json(&header, &v1::Body { kind: Some(kind) })
}

fn kind(frame: &str) -> Frame {
    let (header, body) = kefu_proto::json::from_json(frame).unwrap();
    (header.seq, body.kind.unwrap())
}

/// A session over HTTP.
struct Session {
    address: SocketAddr,
    url: String,
    requests: u64,
    /// The last frame that was read.
    after: u64,
}

/// What a reader of a session comes upon: a frame, or the code that ends the session.
type News = Result<Frame, u64>;

impl Session {
    fn begin(address: SocketAddr, device: &str, hello: v1::Hello) -> Result<Self, Answer> {
        let url = format!("http://{address}/v1/sessions");
        let asked = frame(1, device, Kind::Hello(hello));
        let (status, said) = ask("POST", &url, "application/json", &asked);
        if status != 200 {
            return Err((status, said));
        }
        let Kind::Welcome(welcome) = kind(&said).1 else { panic!("no Welcome but {said}") };
        Ok(Self { address, url: format!("{url}/{}", welcome.session), requests: 1, after: 0 })
    }

    fn post(&mut self, kinds: impl IntoIterator<Item = Kind>) -> Answer {
        let frames = kinds.into_iter().map(|kind| {
            self.requests += 1;
            frame(self.requests, "", kind)
        });
        let body = format!("[{}]", frames.collect::<Vec<_>>().join(","));
        ask("POST", &format!("{}/frames", self.url), "application/json", &body)
    }

    /// One long poll.
    fn poll(&mut self) -> Vec<News> {
        let url = format!("{}/poll?after={}&wait_ms=20000", self.url, self.after);
        let (status, said) = ask("GET", &url, "application/json", "");
        assert_eq!(status, 200, "{said}");
        let entries: Vec<Value> = serde_json::from_str(&said).unwrap();
        let mut news = Vec::new();
        for entry in entries {
            let id = entry["id"].as_u64().unwrap();
            assert_eq!(id, self.after + 1, "frames are numbered without a gap");
            self.after = id;
            news.push(match entry["close"]["code"].as_u64() {
                Some(code) => Err(code),
                None => Ok(kind(&entry["frame"].to_string())),
            });
        }
        news
    }

    /// An event stream from after frame `after` on.
    fn events(&self, after: u64) -> Events {
        let path = self.url.split_once("/v1").unwrap().1;
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // HTTP/1.0, so that the answer comes in one piece.
        let (last, host) = (format!("Last-Event-ID: {after}"), self.address);
        write!(stream, "GET /v1{path}/events HTTP/1.0\r\nHost: {host}\r\n{last}\r\n\r\n").unwrap();
        let mut lines = BufReader::new(stream);
        let mut status = String::new();
        lines.read_line(&mut status).unwrap();
        assert!(status.contains(" 200 "), "{status}");
        Events { lines, id: after }
    }
}

/// An event stream.
struct Events {
    lines: BufReader<TcpStream>,
    id: u64,
}

impl Events {
    /// The next event; none when the stream has ended.
    fn next(&mut self) -> Option<News> {
        let mut closes = false;
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            let line = line.trim_end();
            closes |= line == "event: close";
            if let Some(id) = line.strip_prefix("id: ") {
                let id = id.parse().unwrap();
                assert_eq!(id, self.id + 1, "frames are numbered without a gap");
                self.id = id;
            } else if let Some(data) = line.strip_prefix("data: ") {
                if closes {
                    let close: Value = serde_json::from_str(data).unwrap();
                    return Some(Err(close["code"].as_u64().unwrap()));
                }
                return Some(Ok(kind(data)));
            }
        }
    }
}

/// A device that applies the log as PROTOCOL.md says, whatever brings the frames.
#[derive(Default)]
struct Log {
    conversation: String,
    log_epoch: u64,
    cursor: u64,
    applied: BTreeMap<u64, Bytes>,
    acks: usize,
}

impl Log {
    fn cursors(&self) -> Vec<v1::Cursor> {
        let (conversation, log_epoch) = (self.conversation.clone(), self.log_epoch);
        vec![v1::Cursor { conversation, seq: self.cursor, log_epoch }]
    }

    fn apply(&mut self, seq: u64, id: Bytes) {
        assert!(seq <= self.cursor + 1, "a gap: {seq} after {}", self.cursor);
        if seq == self.cursor + 1 {
            self.cursor = seq;
            self.applied.insert(seq, id);
        }
    }

    fn take(&mut self, kind: Kind) {
        match kind {
            Kind::Ack(ack) => {
                self.acks += 1;
                (self.conversation, self.log_epoch) = (ack.conversation, ack.log_epoch);
                self.apply(ack.seq, ack.client_msg_id);
            }
            Kind::Deliver(v1::Deliver { messages, .. })
            | Kind::Range(v1::Range { messages, .. }) => {
                messages.into_iter().for_each(|message| {
                    self.apply(message.seq, message.client_msg_id);
                });
            }
            Kind::Error(error) => panic!("{error:?}"),
            _ => {}
        }
    }
}

fn three(conversation: &str) -> Vec<Kind> {
    (0..3).map(|n| send(conversation, &message_id(), &format!("message {n}"))).collect()
}

#[test]
fn a_client_changes_its_transport_and_the_conversation_goes_on() {
    let place = Place::new();
    let server = place.serve();
    let (address, token) = (server.address, server.visitor().unwrap());
    let mut log = Log::default();
    let mut other = Client::greet(address, "other", hello(&token, vec![])).unwrap().0;
    let held = |log: &Log| hello(&token, log.cursors());

    let (mut socket, _) = Client::greet(address, "d", hello(&token, vec![])).unwrap();
    for kind in three("") {
        socket.request(kind).unwrap();
    }
    while log.acks < 3 {
        log.take(socket.next().unwrap().1);
    }
    let conversation = log.conversation.clone();
    other.say(&conversation, "while the transport changes");

    let mut session = Session::begin(address, "d", held(&log)).unwrap();
    assert_eq!(socket.end(), End::Closed(CloseCode::Fenced.number()));
    let mut events = session.events(0);
    assert_eq!(session.post(three(&conversation)).0, 202);
    let mut before = Vec::new();
    while log.acks < 6 {
        let Some(Ok((seq, kind))) = events.next() else { panic!("the stream ended") };
        before.push((seq, kind.clone()));
        log.take(kind);
    }
    // A stream that is asked for again begins where the client says, and ends the first.
    let mut again = session.events(1);
    for (seq, kind) in &before[1..] {
        let Some(Ok((again_seq, again))) = again.next() else { panic!("it ended") };
        assert_eq!((again_seq, &again), (*seq, kind));
    }
    drop(events);
    let seq = other.say(&conversation, "over the second stream").seq;
    while log.cursor < seq {
        let Some(Ok((_, kind))) = again.next() else { panic!("the stream ended") };
        log.take(kind);
    }

    let mut polled = Session::begin(address, "d", held(&log)).unwrap();
    loop {
        match again.next() {
            Some(Err(code)) => {
                break assert_eq!(code, u64::from(CloseCode::Fenced.number()));
            }
            Some(Ok(_)) => {}
            None => panic!("a stream says why it ends"),
        }
    }
    assert_eq!(session.post(three(&conversation)).0, 404, "the older session is over");
    assert_eq!(polled.post(three(&conversation)).0, 202);
    let seq = other.say(&conversation, "for the poll").seq;
    while log.acks < 9 || log.cursor < seq {
        for news in polled.poll() {
            let Ok((_, kind)) = news else { panic!("the session ended") };
            log.take(kind);
        }
    }
    let (mut socket, _) = Client::greet(address, "d", held(&log)).unwrap();
    let closed = polled.poll().pop().expect("it is told");
    assert_eq!(closed, Err(4100));
    for kind in three(&conversation) {
        socket.request(kind).unwrap();
    }
    while log.acks < 12 {
        log.take(socket.next().unwrap().1);
    }
    let stored = socket.pull(&conversation, 0);
    for (seq, id) in &log.applied {
        assert_eq!(&stored[*seq as usize - 1].client_msg_id, id);
    }
    let own = stored.iter().filter(|message| !message.client_msg_id.is_empty()).count();
    assert_eq!(own, 12 + 3, "each message once: those of the refused session not at all");
}

#[test]
fn requests_over_http_are_answered_with_the_status_of_their_error() {
    let place = Place::new();
    let server = place.serve();
    let token = server.visitor().unwrap();
    let status = |hello| Session::begin(server.address, "d", hello).err().map(|(status, _)| status);
    assert_eq!(status(hello("no token", vec![])), Some(401));
    let app_id = "none".to_owned();
    assert_eq!(status(v1::Hello { app_id, ..hello(&token, vec![]) }), Some(404));
    assert_eq!(status(hello(&token, vec![v1::Cursor::default(); 101])), Some(422));

    let base = format!("http://{}/v1/sessions", server.address);
    let (json, text) = ("application/json", "text/plain");
    let session = Session::begin(server.address, "d", hello(&token, vec![])).unwrap();
    let frames = format!("{}/frames", session.url);
    let none = format!("{base}/nobody");
    let huge = format!("[\"{}\"]", "x".repeat(8 << 20));
    for (method, url, content_type, body, expected) in [
        ("POST", &base, json, "hello", 400),
        ("POST", &base, text, "{}", 415),
        ("POST", &base, json, "[]", 400),
        ("POST", &frames, text, "[]", 415),
        ("POST", &frames, json, "[}", 400),
        ("POST", &frames, json, &*huge, 413),
        ("POST", &format!("{none}/frames"), json, "[]", 404),
        ("GET", &format!("{none}/poll"), json, "", 404),
        ("GET", &format!("{none}/events"), json, "", 404),
        ("DELETE", &none, json, "", 404),
        ("DELETE", &session.url, json, "", 204),
        ("POST", &frames, json, "[]", 404),
    ] {
        let (status, said) = ask(method, url, content_type, body);
        let shown = &body[..body.len().min(20)];
        assert_eq!(status, expected, "{method} {url} {shown}: {said}");
    }
    polling_again_takes_the_place_of_the_first(&server, &token);
}

fn polling_again_takes_the_place_of_the_first(server: &Running, token: &str) {
    let mut session = Session::begin(server.address, "d", hello(token, vec![])).unwrap();
    let url = format!("{}/poll?after=0&wait_ms=20000", session.url);
    let first = std::thread::spawn(move || ask("GET", &url, "application/json", ""));
    let url = format!("{}/poll?after=0&wait_ms=0", session.url);
    // Polls that come before the first one are answered empty at once.
    while !first.is_finished() {
        assert_eq!(ask("GET", &url, "application/json", ""), (200, json!([]).to_string()));
    }
    assert_eq!(first.join().unwrap(), (200, "[]".to_owned()));
    session.post([Kind::Ping(v1::Ping { token: 7 })]);
    let news = session.poll();
    assert!(matches!(&news[..], [Ok((2, Kind::Pong(pong)))] if pong.token == 7), "{news:?}");
}

#[test]
fn a_session_that_nobody_reads_is_let_go_and_a_new_one_finds_everything() {
    let place = Place::new();
    let server = place.serve();
    let (address, token) = (server.address, server.visitor().unwrap());
    let mut session = Session::begin(address, "d", hello(&token, vec![])).unwrap();
    assert_eq!(session.post(three("")).0, 202);
    let pings = (0..1_100).map(|token| Kind::Ping(v1::Ping { token }));
    assert_eq!(session.post(pings).0, 202);
    let slow = u64::from(CloseCode::Slow.number());
    assert!(matches!(session.poll().last(), Some(Err(code)) if *code == slow));
    assert_eq!(session.post([]).0, 404, "it is over");

    let (mut client, welcome) = Client::greet(address, "d", hello(&token, vec![])).unwrap();
    let log = client.pull(&welcome.conversations[0].conversation, 0);
    assert_eq!(log.iter().filter(|message| !message.client_msg_id.is_empty()).count(), 3);
}
