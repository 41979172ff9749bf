//! The tool against its own echo server, and against a small server that keeps logs in memory and
//! can be told to misbehave: what the tool must find, it is given.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::extract::ws::{Message as Socket, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::{any, post};
use axum::{Router, body::Body as HttpBody};
use clap::Parser;
use futures_util::future::join_all;
use kefu_proto::v1::body::Kind;
use kefu_proto::v1::message::Content;
use kefu_proto::v1::{
    Ack, Body, Conversation, Deliver, Limits, Message, Pong, Range, Send, Text, Welcome,
};
use kefu_proto::{Compression, FrameView, SUBPROTOCOL, decode_body, encode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::broadcast;

use crate::options::{Command, Options};
use crate::{echo, idle, load, resume};

/// What the server does wrong.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Acks every 10th message twice.
    AcksTwice,
    /// Acks every 10th message and does not keep it.
    Loses,
    /// Keeps every 10th message twice.
    Doubles,
    /// Answers nothing for every 10th message.
    Forgets,
    /// Leaves a number out at every 10th message.
    Skips,
}

struct Log {
    messages: Vec<Message>,
    next_seq: u64,
    news: broadcast::Sender<Message>,
}

struct Server {
    fault: Fault,
    tokens: Mutex<u32>,
    logs: Mutex<HashMap<String, Log>>,
}

/// Starts one; its address.
async fn server(fault: Fault) -> std::net::SocketAddr {
    let state = Server { fault, tokens: Mutex::new(0), logs: Mutex::default() };
    let routes = Router::new()
        .route("/ws", any(upgrade))
        .route("/v1/visitors", post(visitors))
        .with_state(Arc::new(state));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    address
}

async fn visitors(State(server): State<Arc<Server>>, body: String) -> Response {
    assert_eq!(body, r#"{"app_id":"default"}"#);
    let mut tokens = server.tokens.lock().unwrap();
    *tokens += 1;
    // The first one is told to wait.
    let (status, body) = match *tokens {
        1 => (429, String::new()),
        number => (200, format!(r#"{{"token":"visitor-{number}"}}"#)),
    };
    Response::builder()
        .status(status)
        .header("retry-after", "0")
        .body(HttpBody::from(body))
        .unwrap()
}

async fn upgrade(State(server): State<Arc<Server>>, request: WebSocketUpgrade) -> Response {
    request
        .protocols([SUBPROTOCOL])
        .on_upgrade(|socket| async move { session(socket, &server).await })
}

async fn session(mut socket: WebSocket, server: &Server) {
    let (mut visitor, mut news) = (String::new(), None);
    loop {
        let received = tokio::select! {
            received = socket.recv() => received,
            Ok(message) = next(&mut news) => {
                push(&mut socket, &visitor, vec![message]).await;
                continue;
            }
        };
        let Some(Ok(Socket::Binary(bytes))) = received else { return };
        let frame = FrameView::parse(&bytes).unwrap();
        match decode_body(&frame, Compression::Off).unwrap().kind.unwrap() {
            Kind::Hello(hello) => {
                visitor = hello.token;
                let (missed, log) = {
                    let mut logs = server.logs.lock().unwrap();
                    let log = logs.entry(visitor.clone()).or_insert_with(|| Log {
                        messages: Vec::new(),
                        next_seq: 1,
                        news: broadcast::channel(1024).0,
                    });
                    news = Some(log.news.subscribe());
                    let missed = hello.cursors.first().map(|cursor| cursor.seq);
                    (missed, log.next_seq - 1)
                };
                let conversation = Conversation {
                    conversation: visitor.clone(),
                    last_seq: log,
                    ..Conversation::default()
                };
                let limits = Some(Limits { ping_every_ms: 1000, ..Limits::default() });
                let conversations = if log == 0 { vec![] } else { vec![conversation] };
                let welcome = Welcome { conversations, limits, ..Welcome::default() };
                answer(&mut socket, frame.seq, Kind::Welcome(welcome)).await;
                if let Some(after_seq) = missed {
                    let page = range(server, &visitor, after_seq, 50);
                    answer(&mut socket, 0, Kind::Range(page)).await;
                }
            }
            Kind::Send(send) => {
                for ack in append(server, &visitor, &send) {
                    answer(&mut socket, frame.seq, Kind::Ack(ack)).await;
                }
            }
            Kind::Pull(pull) => {
                let range = range(server, &visitor, pull.after_seq, pull.limit);
                answer(&mut socket, frame.seq, Kind::Range(range)).await;
            }
            Kind::Ping(ping) => {
                let pong = Pong { token: ping.token, server_time_ms: 0 };
                answer(&mut socket, frame.seq, Kind::Pong(pong)).await;
            }
            other => panic!("the tool sent {other:?}"),
        }
    }
}

async fn next(news: &mut Option<broadcast::Receiver<Message>>) -> Result<Message, ()> {
    match news {
        Some(news) => news.recv().await.map_err(drop),
        None => std::future::pending().await,
    }
}

async fn answer(socket: &mut WebSocket, seq: u64, kind: Kind) {
    let mut bytes = Vec::new();
    encode(seq, "", &Body { kind: Some(kind) }, Compression::Off, &mut bytes);
    let _ = socket.send(Socket::Binary(bytes.into())).await;
}

async fn push(socket: &mut WebSocket, conversation: &str, messages: Vec<Message>) {
    let conversation = conversation.to_owned();
    answer(socket, 0, Kind::Deliver(Deliver { conversation, messages })).await;
}

fn append(server: &Server, visitor: &str, send: &Send) -> Vec<Ack> {
    let mut logs = server.logs.lock().unwrap();
    let log = logs.get_mut(visitor).unwrap();
    let tenth = |fault| server.fault == fault && log.next_seq.is_multiple_of(10);
    if tenth(Fault::Forgets) {
        log.next_seq += 1;
        return vec![];
    }
    let (skips, twice, loses, doubles) =
        (tenth(Fault::Skips), tenth(Fault::AcksTwice), tenth(Fault::Loses), tenth(Fault::Doubles));
    log.next_seq += u64::from(skips);
    let ack = Ack {
        conversation: visitor.to_owned(),
        client_msg_id: send.client_msg_id.clone(),
        seq: log.next_seq,
        ..Ack::default()
    };
    for _ in 0..if loses { 0 } else { 1 + u32::from(doubles) } {
        let text = Text { text: send.text.clone(), ..Text::default() };
        let message = Message {
            seq: log.next_seq,
            client_msg_id: send.client_msg_id.clone(),
            content: Some(Content::Text(text)),
            ..Message::default()
        };
        log.messages.push(message.clone());
        let _ = log.news.send(message);
        log.next_seq += 1;
    }
    log.next_seq += u64::from(loses);
    vec![ack; 1 + usize::from(twice)]
}

fn range(server: &Server, visitor: &str, after_seq: u64, limit: u32) -> Range {
    let logs = server.logs.lock().unwrap();
    let mut rest = logs[visitor].messages.iter().filter(|message| message.seq > after_seq);
    let messages = rest.by_ref().take(limit as usize).cloned().collect();
    let conversation = visitor.to_owned();
    let has_more = rest.next().is_some();
    Range { conversation, messages, has_more, first_seq: 1, ..Range::default() }
}

async fn run(line: &str) -> Value {
    let options = Options::parse_from(format!("kefu-bench {line}").split(' '));
    match &options.command {
        Command::Load(options) => load::load(options).await.unwrap(),
        Command::Idle(options) => idle::idle(options).await.unwrap(),
        Command::Resume(options) => resume::resume(options).await.unwrap(),
        Command::EchoServer(_) => panic!("it does not end"),
    }
}

async fn loaded(fault: Fault, more: &str) -> Value {
    let address = server(fault).await;
    let line = format!(
        "load --url ws://{address}/ws --connections 4 --seconds 1 --warmup 0 --drain 1{more}"
    );
    run(&line).await
}

fn number(report: &Value, path: &str) -> u64 {
    report.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path} of {report}"))
}

#[tokio::test]
async fn a_good_server_gets_a_clean_account() {
    let pid = std::process::id();
    let more = format!(" --in-flight 8 --fan-out 2 --server-pid {pid}");
    let report = loaded(Fault::None, &more).await;
    let sent = number(&report, "/sent");
    assert!(sent > 100, "{report}");
    assert_eq!(number(&report, "/acked"), sent);
    assert_eq!(number(&report, "/latency/count"), sent);
    assert_eq!(number(&report, "/read_back/messages"), sent);
    assert_eq!(number(&report, "/read_back/visitors"), 4);
    for zero in [
        "/without_ack",
        "/acked_twice",
        "/gaps",
        "/receivers_behind",
        "/broken_connections",
        "/read_back/lost",
        "/read_back/doubled",
        "/read_back/gaps",
    ] {
        assert_eq!(number(&report, zero), 0, "{zero} of {report}");
    }
    assert_eq!(number(&report, "/delivery_latency/count"), 2 * sent);
    assert!(report["acked_per_server_cpu_second"].as_f64().unwrap() > 0.0, "{report}");
    assert_eq!(report["settings"]["in_flight"], 8);
}

#[tokio::test]
async fn each_fault_is_found() {
    let rows = [
        (Fault::AcksTwice, "/acked_twice"),
        (Fault::Loses, "/read_back/lost"),
        (Fault::Doubles, "/read_back/doubled"),
        (Fault::Forgets, "/without_ack"),
        (Fault::Skips, "/gaps"),
        (Fault::Skips, "/read_back/gaps"),
    ];
    let reports = rows.map(|(fault, _)| loaded(fault, " --rate 400"));
    for (report, (_, path)) in join_all(reports).await.into_iter().zip(rows) {
        assert!(number(&report, path) > 0, "{path} of {report}");
    }
}

#[tokio::test]
async fn an_open_loop_sends_at_its_rate() {
    let report = loaded(Fault::None, " --rate 500").await;
    assert!((499..=501).contains(&number(&report, "/sent")), "{report}");
    assert_eq!(number(&report, "/acked"), number(&report, "/sent"));
}

#[tokio::test]
async fn the_echo_server_is_a_peer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(echo::serve(listener));
    let line = format!(
        "load --peer echo --url ws://{address}/ws --connections 4 --seconds 1 --warmup 0 --in-flight 4"
    );
    let report = run(&line).await;
    assert!(number(&report, "/acked") > 100, "{report}");
    assert_eq!(number(&report, "/without_ack"), 0);
}

#[tokio::test]
async fn idle_connections_are_held() {
    let address = server(Fault::None).await;
    let pid = std::process::id();
    let line =
        format!("idle --url ws://{address}/ws --connections 20 --seconds 1 --server-pid {pid}");
    let report = run(&line).await;
    assert_eq!(number(&report, "/broken_connections"), 0);
    assert!(number(&report, "/server_resident_bytes") > 0);
}

#[tokio::test]
async fn all_catch_up_after_a_storm() {
    for behind in [10, 270] {
        let address = server(Fault::None).await;
        let line = format!(
            "resume --url ws://{address}/ws --connections 5 --behind {behind} --patience 20"
        );
        let report = run(&line).await;
        assert_eq!(number(&report, "/caught_up"), 5, "{report}");
        assert_eq!(number(&report, "/tries"), 5, "{report}");
    }
}
