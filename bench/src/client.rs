//! One connection to a server: its socket, the handshake, Hello, and frames in and out.
//!
//! Frames are fed and flushed apart, so that a caller can send several with one write. The buffers
//! are small, as thousands of connections share this process.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::{FutureExt, SinkExt, StreamExt};
use kefu_proto::v1::body::Kind;
use kefu_proto::v1::{Body, Cursor, Hello, Ping, Pull, Range, Welcome};
use kefu_proto::{Compression, FrameView, SUBPROTOCOL, decode_body, encode, limits};
use prost::bytes::BytesMut;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::options::Target;

const BUFFER_BYTES: usize = 4096;
/// How long a handshake, or a Welcome, may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that was looked up.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    uri: Uri,
    source_addresses: u8,
}

impl Server {
    pub(crate) async fn find(url: &str, source_addresses: u8) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("{url} is no URL"))?;
        let (Some("ws" | "http"), Some(host)) = (uri.scheme_str(), uri.host()) else {
            bail!("{url} does not begin with ws://HOST or http://HOST");
        };
        let found = tokio::net::lookup_host((host, uri.port_u16().unwrap_or(80))).await?.next();
        let address = found.with_context(|| format!("{url} has no address"))?;
        Ok(Self { address, uri, source_addresses })
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// A socket from the `number`-th source address; only on loopback there is more than one.
    pub(crate) async fn connect(&self, number: usize) -> anyhow::Result<TcpStream> {
        let socket = match self.address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if self.address.is_ipv4() && self.address.ip().is_loopback() {
            let last = 1 + (number % usize::from(self.source_addresses)) as u8;
            socket.bind((IpAddr::from(Ipv4Addr::new(127, 0, 0, last)), 0).into())?;
        }
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// A device that says Hello.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) app_id: String,
    pub(crate) token: String,
    pub(crate) client_id: String,
    pub(crate) cursors: Vec<Cursor>,
}

impl Device {
    pub(crate) fn new(target: &Target, token: &str, client_id: String) -> Self {
        let (app_id, token) = (target.app_id.clone(), token.to_owned());
        Self { app_id, token, client_id, cursors: Vec::new() }
    }
}

/// An open connection.
pub(crate) struct Connection {
    socket: WebSocketStream<TcpStream>,
    /// Number of the last request.
    seq: u64,
    client_id: String,
    out: BytesMut,
}

impl Connection {
    /// Connects to a peer that wants no Hello.
    pub(crate) async fn open(server: &Server, number: usize) -> anyhow::Result<Self> {
        let mut request = server.uri.clone().into_client_request()?;
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(BUFFER_BYTES)
            .max_message_size(Some(limits::MAX_SERVER_FRAME_BYTES));
        let handshake = async {
            let stream = server.connect(number).await?;
            Ok::<_, anyhow::Error>(client_async_with_config(request, stream, Some(config)).await?)
        };
        let (socket, _) =
            tokio::time::timeout(PATIENCE, handshake).await.context("no handshake in 60 s")??;
        Ok(Self { socket, seq: 0, client_id: String::new(), out: BytesMut::new() })
    }

    /// Connects and logs in.
    pub(crate) async fn log_in(
        server: &Server,
        number: usize,
        device: &Device,
    ) -> anyhow::Result<(Self, Welcome)> {
        let mut connection = Self::open(server, number).await?;
        connection.client_id.clone_from(&device.client_id);
        let hello = Hello {
            app_id: device.app_id.clone(),
            token: device.token.clone(),
            cursors: device.cursors.clone(),
            agent: concat!("kefu-bench/", env!("CARGO_PKG_VERSION")).to_owned(),
            ..Hello::default()
        };
        connection.feed(&Body { kind: Some(Kind::Hello(hello)) }).await?;
        // Later frames need not repeat it.
        connection.client_id = String::new();
        let first = tokio::time::timeout(PATIENCE, connection.next());
        match first.await.context("no Welcome in 60 s")?? {
            Kind::Welcome(welcome) => Ok((connection, welcome)),
            Kind::Error(error) => bail!("the Hello was refused: {}", error.message),
            other => bail!("no Welcome came but {other:?}"),
        }
    }

    /// Queues a request; returns its number.
    pub(crate) async fn feed(&mut self, body: &Body) -> anyhow::Result<u64> {
        self.seq += 1;
        encode(self.seq, &self.client_id, body, Compression::Off, &mut self.out);
        self.socket.feed(Message::Binary(self.out.split().freeze())).await?;
        Ok(self.seq)
    }

    /// Whether a request can be queued without waiting for the socket.
    pub(crate) fn is_ready(&mut self) -> bool {
        poll_fn(|context| self.socket.poll_ready_unpin(context)).now_or_never().is_some()
    }

    /// Queues a sign of life.
    pub(crate) async fn ping(&mut self) -> anyhow::Result<()> {
        self.feed(&Body { kind: Some(Kind::Ping(Ping { token: 0 })) }).await?;
        Ok(())
    }

    /// Writes what was queued and waits for the next frame; neither waits for the other, so a peer
    /// that stops reading until it is read from does not block both. Can be cancelled without
    /// losing a frame.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Kind> {
        loop {
            let item = poll_fn(|context| match self.socket.poll_flush_unpin(context) {
                Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
                _ => self.socket.poll_next_unpin(context),
            });
            if let Some(kind) = read(item.await)? {
                return Ok(kind);
            }
        }
    }

    /// Asks for a page of a log.
    pub(crate) async fn ask(&mut self, conversation: &str, after_seq: u64) -> anyhow::Result<()> {
        let conversation = conversation.to_owned();
        let limit = limits::MAX_PULL as u32;
        let pull = Pull { conversation, after_seq, limit, ..Pull::default() };
        self.feed(&Body { kind: Some(Kind::Pull(pull)) }).await?;
        Ok(())
    }

    /// Asks for a page of a log and waits for it; pushes that come meanwhile are dropped.
    pub(crate) async fn pull(
        &mut self,
        conversation: &str,
        after_seq: u64,
    ) -> anyhow::Result<Range> {
        self.ask(conversation, after_seq).await?;
        loop {
            match self.next().await? {
                Kind::Range(range) => return Ok(range),
                Kind::Error(error) => bail!("the Pull was refused: {}", error.message),
                _ => {}
            }
        }
    }

    /// The next frame if it is there already.
    pub(crate) fn next_ready(&mut self) -> anyhow::Result<Option<Kind>> {
        while let Some(item) = self.socket.next().now_or_never() {
            if let Some(kind) = read(item)? {
                return Ok(Some(kind));
            }
        }
        Ok(None)
    }
}

/// What an item of the socket says; nothing for what WebSocket itself needs.
fn read(item: Option<Result<Message, tungstenite::Error>>) -> anyhow::Result<Option<Kind>> {
    match item.context("the server broke the connection")?? {
        Message::Binary(bytes) => {
            let frame = FrameView::parse(&bytes)?;
            Ok(decode_body(&frame, Compression::Off)?.kind)
        }
        Message::Close(Some(frame)) => {
            bail!("the server closed: {} {}", u16::from(frame.code), frame.reason)
        }
        Message::Close(None) => bail!("the server closed without a code"),
        Message::Text(_) => bail!("the server sent text where binary frames were agreed on"),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(None),
    }
}
