//! A blocking WebSocket client for tests: it sends what it is told, reads what comes, and knows
//! nothing of what either means.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kefu_proto::v1::{self, ErrorCode, MessageHeader, body::Kind};
use kefu_proto::{Compression, FrameView, SUBPROTOCOL};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The server closed it with this code.
    Closed(u16),
    /// It broke, or could not be made.
    Broken,
}

/// A frame of the server: the request that it answers, and what it says.
pub(crate) type Frame = (u64, Kind);

/// One connection.
pub(crate) struct Client {
    pub(crate) socket: WebSocket<TcpStream>,
    device: String,
    json: bool,
    /// The number of the last request.
    pub(crate) requests: u64,
    snappy: Compression,
}

/// What a Hello says, with the usual in the rest.
pub(crate) fn hello(token: &str, cursors: Vec<v1::Cursor>) -> v1::Hello {
    v1::Hello { app_id: "default".into(), token: token.into(), cursors, ..v1::Hello::default() }
}

/// A message id that nobody else has.
pub(crate) fn message_id() -> Bytes {
    Bytes::copy_from_slice(&rand::random::<[u8; 16]>())
}

/// A message for a conversation; for the current one if the name is empty.
pub(crate) fn send(conversation: &str, id: &Bytes, text: &str) -> Kind {
    Kind::Send(v1::Send {
        conversation: conversation.into(),
        client_msg_id: id.clone(),
        text: text.into(),
        ..v1::Send::default()
    })
}

impl Client {
    /// Connects with binary frames, without a Hello.
    pub(crate) fn connect(address: SocketAddr, device: &str) -> Result<Self, End> {
        Self::connect_with(address, device, &[("sec-websocket-protocol", SUBPROTOCOL)])
    }

    /// Connects with these headers; frames are JSON unless they name another subprotocol.
    pub(crate) fn connect_with(
        address: SocketAddr,
        device: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, End> {
        let stream = TcpStream::connect(address).map_err(|_| End::Broken)?;
        stream.set_nodelay(true).map_err(|_| End::Broken)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|_| End::Broken)?;
        let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let json = !headers.contains(&("sec-websocket-protocol", SUBPROTOCOL));
        let (socket, _) = tungstenite::client(request, stream).map_err(|_| End::Broken)?;
        let (device, snappy) = (device.to_owned(), Compression::Off);
        Ok(Self { socket, device, json, requests: 0, snappy })
    }

    /// Connects and says Hello; gives the Welcome too.
    pub(crate) fn greet(
        address: SocketAddr,
        device: &str,
        hello: v1::Hello,
    ) -> Result<(Self, v1::Welcome), End> {
        let mut client = Self::connect(address, device)?;
        let welcome = client.welcome(hello)?;
        Ok((client, welcome))
    }

    /// Says Hello and waits for the Welcome, which is to come.
    pub(crate) fn welcome(&mut self, hello: v1::Hello) -> Result<v1::Welcome, End> {
        self.request(Kind::Hello(hello))?;
        match self.next()? {
            (1, Kind::Welcome(welcome)) => {
                if welcome.snappy {
                    self.snappy = Compression::Snappy;
                }
                Ok(welcome)
            }
            other => panic!("no Welcome but {other:?}"),
        }
    }

    /// Sends a frame under the next number, which is given back.
    pub(crate) fn request(&mut self, kind: Kind) -> Result<u64, End> {
        self.requests += 1;
        let (seq, device) = (self.requests, self.device.clone());
        self.frame(seq, &device, kind)?;
        Ok(seq)
    }

    /// Sends a frame under any number and name.
    pub(crate) fn frame(&mut self, seq: u64, client_id: &str, kind: Kind) -> Result<(), End> {
        let body = v1::Body { kind: Some(kind) };
        let message = if self.json {
            let client_id = client_id.to_owned();
            let header = MessageHeader { seq, client_id, compress: false };
            Message::text(kefu_proto::json::to_json(&header, &body))
        } else {
            let mut bytes = Vec::new();
            kefu_proto::encode(seq, client_id, &body, self.snappy, &mut bytes);
            Message::binary(bytes)
        };
        self.raw(message)
    }

    /// Sends any message.
    pub(crate) fn raw(&mut self, message: Message) -> Result<(), End> {
        self.socket.send(message).map_err(|_| End::Broken)
    }

    /// The next frame, within [`PATIENCE`].
    pub(crate) fn next(&mut self) -> Result<Frame, End> {
        let frame = self.next_within(PATIENCE)?;
        Ok(frame.expect("a frame was to come"))
    }

    /// The next frame; none when nothing comes for so long.
    pub(crate) fn next_within(&mut self, wait: Duration) -> Result<Option<Frame>, End> {
        let begun = Instant::now();
        let _ = self.socket.get_ref().set_read_timeout(Some(wait.max(Duration::from_millis(1))));
        loop {
            match self.socket.read() {
                Ok(Message::Binary(bytes)) => {
                    let view = FrameView::parse(&bytes).unwrap();
                    let body = kefu_proto::decode_body(&view, self.snappy).unwrap();
                    return Ok(Some((view.seq, body.kind.unwrap())));
                }
                Ok(Message::Text(text)) => {
                    let (header, body) = kefu_proto::json::from_json(&text).unwrap();
                    return Ok(Some((header.seq, body.kind.unwrap())));
                }
                Ok(Message::Close(frame)) => {
                    // The answer to the close, so that the server need not wait for it.
                    let _ = self.socket.flush();
                    let code = frame.map_or(1005, |frame| frame.code.into());
                    return Err(End::Closed(code));
                }
                Ok(_) => {}
                Err(tungstenite::Error::Io(error))
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return Err(End::Broken),
            }
            if begun.elapsed() >= wait {
                return Ok(None);
            }
        }
    }

    /// Frames up to the first that `wanted` makes something of.
    pub(crate) fn until<T>(
        &mut self,
        mut wanted: impl FnMut(u64, Kind) -> Option<T>,
    ) -> Result<T, End> {
        loop {
            let (seq, kind) = self.next()?;
            if let Some(found) = wanted(seq, kind) {
                return Ok(found);
            }
        }
    }

    /// Asks, and waits for the answer; asks again when it was too early.
    fn answer(&mut self, kind: &Kind) -> Kind {
        loop {
            let asked = self.request(kind.clone()).unwrap();
            match self.until(|seq, kind| (seq == asked).then_some(kind)).unwrap() {
                Kind::Error(error) if error.code() == ErrorCode::RateLimited => {
                    thread::sleep(Duration::from_millis(error.retry_after_ms.into()));
                }
                answer => return answer,
            }
        }
    }

    /// Sends a message and waits for its Ack, which is to come.
    pub(crate) fn say(&mut self, conversation: &str, text: &str) -> v1::Ack {
        match self.answer(&send(conversation, &message_id(), text)) {
            Kind::Ack(ack) => ack,
            other => panic!("no Ack but {other:?}"),
        }
    }

    /// The Ack of a request, which is to come; other frames are passed over.
    pub(crate) fn ack(&mut self, request: u64) -> v1::Ack {
        let acked = self.until(|seq, kind| match kind {
            Kind::Ack(ack) if seq == request => Some(ack),
            Kind::Error(error) if seq == request => panic!("{error:?}"),
            _ => None,
        });
        acked.unwrap()
    }

    /// The Error that answers a request, which is to come.
    pub(crate) fn error(&mut self, request: u64) -> v1::Error {
        let error = self.until(|seq, kind| match kind {
            Kind::Error(error) if seq == request => Some(error),
            kind if seq == request => panic!("no Error but {kind:?}"),
            _ => None,
        });
        error.unwrap()
    }

    /// How the connection ends, which is to come.
    pub(crate) fn end(&mut self) -> End {
        match self.until(|_, _| None::<()>) {
            Err(end) => end,
            Ok(()) => unreachable!("nothing is wanted"),
        }
    }

    /// All messages after `after`, page by page.
    pub(crate) fn pull(&mut self, conversation: &str, after: u64) -> Vec<v1::Message> {
        let (mut messages, mut after) = (Vec::new(), after);
        loop {
            let range = self.page(conversation, after, 0, 200);
            after = range.messages.last().map_or(after, |last| last.seq);
            messages.extend(range.messages);
            if !range.has_more {
                return messages;
            }
        }
    }

    /// One page of messages.
    pub(crate) fn page(&mut self, id: &str, after: u64, before: u64, limit: u32) -> v1::Range {
        let conversation = id.to_owned();
        let pull = v1::Pull { conversation, after_seq: after, before_seq: before, limit };
        match self.answer(&Kind::Pull(pull)) {
            Kind::Range(range) => range,
            other => panic!("no Range but {other:?}"),
        }
    }
}
