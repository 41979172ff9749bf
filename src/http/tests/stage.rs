//! A whole server in memory but for the engine: identity, conversations, and the routes around them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use kefu_proto::v1::{Holder, Owner};
use serde_json::{Value, json};

use super::super::auth::KeyDigest;
use super::{Reply, send, small, state};
use crate::chat::id::{ClientMsgId, ConversationId};
use crate::chat::party::Party;
use crate::chat::request;
use crate::clock::Clock;
use crate::http::{AppState, router};
use crate::hub::outbox::{OutBody, Outbox};
use crate::hub::slot::Change;
use crate::hub::{Bot, Client, Heard, Hub};
use crate::identity::{self, AppSettings, FirstStart, Identity};
use crate::shutdown::Shutdown;
use crate::store::{MemoryStore, Store};
use crate::transport::{Door, DoorOptions};

const NOW_MS: u64 = 1_800_000_000_000;
/// An app whose visitors wait for an agent at once.
pub(super) const WAITING_APP: &str = "desk";

/// Says nothing, so that what stands in a log is what a test said.
struct Silent;

impl Bot for Silent {
    fn reception(&self, app: &str) -> Owner {
        let holder = if app == WAITING_APP { Holder::Queue } else { Holder::Nobody };
        Owner { holder: holder.into(), agent: None }
    }

    fn heard(&self, _: &mut Change<'_>, _: Heard<'_>) {}

    fn owner_changed(&self, _: &mut Change<'_>) {}

    fn queued(&self, _: &mut Change<'_>, _: usize, _: Option<u64>) {}
}

/// The server.
pub(super) struct Stage {
    pub(super) router: axum::Router,
    pub(super) hub: Arc<Hub>,
    pub(super) identity: Arc<Identity>,
    pub(super) first: FirstStart,
}

impl Stage {
    pub(super) async fn open() -> Self {
        Self::with_key(None).await
    }

    pub(super) async fn with_key(key: Option<KeyDigest>) -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        // Every look at the clock takes a millisecond.
        let ticks = AtomicU64::new(NOW_MS);
        let clock: Clock = Arc::new(move || ticks.fetch_add(1, Ordering::Relaxed));
        let settings = identity::Settings::default();
        let opened = Identity::open(Arc::clone(&store), settings, clock()).await.unwrap();
        let (identity, first) = (Arc::new(opened.0), opened.1.unwrap());
        let settings = AppSettings::from(&*identity.app(&first.app).unwrap());
        identity.manage_as_operator().create_app(WAITING_APP, settings, NOW_MS).await.unwrap();
        let random = |bytes: &mut [u8]| bytes.fill_with(rand::random);
        let hub = Hub::open(store, clock, random, Arc::new(Silent)).await.unwrap();
        let options = DoorOptions { max_sessions: 100, sessions_per_s: None };
        let door = Door::new(Arc::clone(&hub), Arc::clone(&identity), Shutdown::new(), options);
        let state = AppState { door: Some(door), ..state(small(), key) };
        Self { router: router(state), hub, identity, first }
    }

    /// Asks from the loopback address. A body of null is none.
    pub(super) async fn call(&self, token: &str, method: &str, path: &str, body: Value) -> Reply {
        send(&self.router, request(token, method, path, &body).body(sent(&body)).unwrap()).await
    }

    /// As [`Self::call`], under an `Idempotency-Key`.
    pub(super) async fn say(&self, token: &str, path: &str, key: &str, body: Value) -> Reply {
        let request = request(token, "POST", path, &body).header("idempotency-key", key);
        send(&self.router, request.body(sent(&body)).unwrap()).await
    }

    /// Signs in, and gives the token.
    pub(super) async fn login(&self, login: &str, password: &str) -> String {
        let body = json!({"login": login, "password": password});
        let reply = self.call("", "POST", "/v1/agents/login", body).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()["token"].as_str().unwrap().to_owned()
    }

    pub(super) async fn admin(&self) -> String {
        self.login(identity::ADMIN_LOGIN, self.first.admin_password.reveal()).await
    }

    pub(super) fn service(&self) -> &str {
        self.first.api_key.reveal()
    }

    /// A visitor of `app` says something; the conversation's name is the answer.
    pub(super) async fn visitor_says(&self, app: &str, visitor: &str, text: &str) -> String {
        let outbox = Arc::new(Outbox::default());
        let client = Client {
            user: Party::visitor(app, visitor),
            name: String::new(),
            app: app.to_owned(),
            lang: String::new(),
            device: "d".to_owned(),
            capacity: 0,
            outbox: Arc::clone(&outbox),
        };
        let send = request::Send {
            conversation: None,
            id: ClientMsgId(rand::random()),
            text: text.to_owned(),
            option: String::new(),
            note: false,
        };
        self.hub.serve(&client, 1, request::Request::Send(send)).await.unwrap();
        let mut frames = std::collections::VecDeque::new();
        outbox.ready().await;
        outbox.take(&mut frames);
        let acked = frames.iter().find_map(|out| match &out.body {
            OutBody::Ack(ack) => Some(ack.conversation),
            OutBody::Own(_) | OutBody::Shared(_) => None,
        });
        acked.map(|id: ConversationId| id.to_string()).unwrap()
    }
}

fn request(token: &str, method: &str, path: &str, body: &Value) -> axum::http::request::Builder {
    let here = ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 5000)));
    let mut request = Request::builder().method(method).uri(path).extension(here);
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if !body.is_null() {
        request = request.header("content-type", "application/json");
    }
    request
}

fn sent(body: &Value) -> Body {
    if body.is_null() { Body::empty() } else { Body::from(body.to_string()) }
}
