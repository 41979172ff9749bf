//! A server to ask, and the means to ask it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use kefu::artifact::Model;
use kefu::encoder::{EncoderPool, PoolOptions, SentenceEncoder};
use kefu::http::auth::KeyDigest;
use kefu::http::{AppState, Limits};
use kefu::models::{self, Options};
use kefu::progress::Silent;
use kefu::server::{self, App};
use kefu::shutdown::Shutdown;
use kefu::training::build::{Given, build};
use kefu::understand::Understander;
use serde_json::Value;

/// A running server; it stops when this is dropped.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    shutdown: Shutdown,
    thread: Option<JoinHandle<()>>,
}

/// Folder of the tiny random encoder.
pub(crate) const TINY_MODEL: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-bert");

/// The tiny random encoder of the fixtures.
pub(crate) fn tiny_encoder() -> SentenceEncoder {
    let nowhere = Path::new("unused");
    let options = Options { models_dir: nowhere.to_owned(), local: None, hub: None, pip: None };
    SentenceEncoder::load(&models::ensure(TINY_MODEL, &options, &Silent).unwrap().spec()).unwrap()
}

/// A knowledge base small enough to train on in a moment.
pub(crate) const KNOWLEDGE: &str = r#"
version: 1
intents:
  - id: delivery_delay
    answers: {zh: [马上为您查询], en: [I will check at once]}
    keywords:
      - any: [物流不更新]
    examples:
      zh: [我的快递怎么还没到, 快递太慢了, 包裹迟迟不到]
      en: [my parcel is late, where is my parcel, the delivery is slow]
  - id: refund_request
    keywords:
      - any: [refund my money]
    examples:
      zh: [我要退款, 把钱退给我, 申请退款]
      en: [I want a refund, give my money back, refund please]
"#;

/// Trains on a knowledge base.
fn tiny_model(knowledge: &str, encoder: &SentenceEncoder) -> Model {
    let sources = [(PathBuf::from("shop.yaml"), knowledge.to_owned())];
    let knowledge = kefu::knowledge::parse(&sources).unwrap();
    build(knowledge, &[], encoder, Given::default(), &Silent).unwrap()
}

/// The engine under test.
fn engine(knowledge: &str) -> Arc<Understander> {
    let encoder = tiny_encoder();
    let model = Arc::new(tiny_model(knowledge, &encoder));
    let pool = EncoderPool::start(Arc::new(encoder), PoolOptions::default()).unwrap();
    Arc::new(Understander::new(model, pool))
}

/// A server with default limits and no key.
pub(crate) fn start_server() -> TestServer {
    start_server_with(Limits::default(), None)
}

/// A server with these limits and this key.
pub(crate) fn start_server_with(limits: Limits, key: Option<&str>) -> TestServer {
    start(AppState::new(engine(KNOWLEDGE), limits, key.map(KeyDigest::of)))
}

/// A server with another knowledge base.
pub(crate) fn start_server_knowing(knowledge: &str) -> TestServer {
    start(AppState::new(engine(knowledge), Limits::default(), None))
}

fn start(http: AppState) -> TestServer {
    let app = App { http, shutdown_timeout: Duration::from_secs(5) };
    let shutdown = Shutdown::new();
    let (bound, address) = mpsc::channel();
    let thread = std::thread::spawn({
        let shutdown = shutdown.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let any = SocketAddr::from(([127, 0, 0, 1], 0));
                let listener = server::reserve(any).unwrap().listen().unwrap();
                bound.send(listener.local_addr().unwrap()).unwrap();
                server::run(listener, app, shutdown).await.unwrap();
            });
        }
    });
    TestServer { address: address.recv().unwrap(), shutdown, thread: Some(thread) }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.shutdown.begin();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server panicked");
        }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The stable error code, or null.
    pub(crate) fn code(&self) -> Value {
        self.json()["error"]["code"].clone()
    }
}

impl TestServer {
    /// Sends any request.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(Duration::from_secs(20)))
            .build()
            .into();
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = if body.is_empty() {
            agent.run(request.body(()).unwrap()).unwrap()
        } else {
            agent.run(request.body(body).unwrap()).unwrap()
        };
        let body = response.body_mut().read_to_string().unwrap();
        Reply { status: response.status().as_u16(), headers: response.headers().clone(), body }
    }

    /// Sends a JSON body.
    pub(crate) fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Reply {
        self.send("POST", path, &[("content-type", "application/json")], body.as_ref())
    }

    /// Asks.
    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"")
    }

    /// Sends raw bytes and reads until the server hangs up.
    pub(crate) fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // The server may hang up before it has read all; its answer counts.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}
