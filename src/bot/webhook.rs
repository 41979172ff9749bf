//! One attempt at a webhook over HTTP: what is sent, how it is signed, what the answer means; and
//! the threads that make attempts.
//!
//! Redirects are not followed: what was signed for one address is not for another.

use std::io::Read as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use kefu_proto::v1::ErrorCode;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc::Sender;

use super::order::Order;
use crate::chat::refusal::Refusal;
use crate::identity::Secret;
use crate::store::StoreError;

/// How long a service may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer that is read, in bytes.
const MAX_ANSWER_BYTES: u64 = 64 << 10;
/// Most texts of an answer that are said.
const MAX_TEXTS: usize = 10;
/// Longest reason that is kept, in characters.
const MAX_DETAIL_CHARS: usize = 500;

/// An attempt to be made.
#[derive(Debug)]
pub(super) struct Attempt {
    /// Where the order lies.
    pub(super) key: Vec<u8>,
    pub(super) order: Order,
    /// What to sign with; none: the app is gone.
    pub(super) secret: Option<Secret>,
    pub(super) now_ms: u64,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The service did it, and wants this said.
    Done(Vec<String>),
    /// It may work later.
    Again {
        /// Why not now.
        detail: String,
        /// The pause that the service asked for.
        after_ms: Option<u64>,
    },
    /// It will not work.
    Failed(String),
}

/// Makes an attempt; blocks.
pub(super) type Post = dyn Fn(&Attempt) -> Outcome + Send + Sync;

/// What is sent.
#[derive(Debug, Serialize)]
struct Body<'a> {
    id: &'a str,
    app: &'a str,
    conversation: &'a str,
    visitor: &'a str,
    intent: &'a str,
    slots: &'a std::collections::BTreeMap<String, String>,
    attempt: u32,
    asked_at_ms: u64,
}

/// What may come back.
#[derive(Debug, Deserialize)]
struct Reply {
    #[serde(default)]
    reply: Texts,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

impl Default for Texts {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

/// Attempts over HTTP, with connections that stay.
pub(super) fn over_http() -> Arc<Post> {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .http_status_as_error(false)
        .user_agent(concat!("kefu/", env!("CARGO_PKG_VERSION")))
        .build();
    let agent = ureq::Agent::new_with_config(config);
    Arc::new(move |attempt| post(&agent, attempt))
}

/// Whether an address is one for examples, which never leads anywhere (RFC 2606): the bundled
/// knowledge base has such ones, so that its dialogues can be tried to their end.
fn is_example(url: &str) -> bool {
    let uri = url.parse::<ureq::http::Uri>().ok();
    uri.is_some_and(|uri| uri.host().is_some_and(|host| host.ends_with(".example")))
}

fn post(agent: &ureq::Agent, attempt: &Attempt) -> Outcome {
    let Attempt { order, secret, now_ms, .. } = attempt;
    if is_example(&order.webhook.url) {
        tracing::warn!(
            url = order.webhook.url,
            "no service is called under .example; set a real address"
        );
        return Outcome::Done(Vec::new());
    }
    let Some(secret) = secret else {
        return Outcome::Failed(format!("there is no app {:?} any more", order.app));
    };
    let name = order.name();
    let body = Body {
        id: &name,
        app: &order.app,
        conversation: &order.conversation,
        visitor: &order.visitor,
        intent: &order.webhook.intent,
        slots: &order.webhook.slots,
        attempt: order.attempts + 1,
        asked_at_ms: order.asked_ms,
    };
    let body = serde_json::to_string(&body).expect("it has string keys");
    let answer = agent
        .post(&order.webhook.url)
        .header("Content-Type", "application/json")
        .header("Idempotency-Key", &name)
        .header("Kefu-Signature", signature(secret, now_ms / 1_000, &body))
        .header("traceparent", traceparent(&name, order.attempts))
        .send(body.as_bytes());
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(error) => return again(error.to_string(), None),
    };
    let status = answer.status().as_u16();
    let after = answer.headers().get("Retry-After").and_then(|value| value.to_str().ok());
    let after_ms = after.and_then(|seconds| seconds.trim().parse::<u64>().ok());
    let after_ms = after_ms.map(|seconds| seconds.saturating_mul(1_000));
    let mut read = Vec::new();
    let mut reader = answer.body_mut().as_reader().take(MAX_ANSWER_BYTES + 1);
    if let Err(error) = reader.read_to_end(&mut read) {
        return again(format!("the answer broke off: {error}"), None);
    }
    judge(status, after_ms, &read)
}

/// What an answer means.
fn judge(status: u16, after_ms: Option<u64>, body: &[u8]) -> Outcome {
    let said = || {
        let text = String::from_utf8_lossy(body);
        short(format!("status {status}: {}", text.trim()))
    };
    match status {
        // It is done, even if nobody can read what it says of that.
        200..=299 if body.len() as u64 > MAX_ANSWER_BYTES => Outcome::Done(Vec::new()),
        200..=299 => Outcome::Done(texts(body)),
        408 | 429 | 500..=599 => again(said(), after_ms),
        _ => Outcome::Failed(said()),
    }
}

/// What an answer wants said.
fn texts(body: &[u8]) -> Vec<String> {
    let reply = serde_json::from_slice(body).map_or_else(|_| Texts::default(), |r: Reply| r.reply);
    let texts = match reply {
        Texts::One(text) => vec![text],
        Texts::Many(texts) => texts,
    };
    let texts = texts.into_iter().map(|text| text.trim().to_owned());
    texts.filter(|text| !text.is_empty()).take(MAX_TEXTS).collect()
}

fn again(detail: String, after_ms: Option<u64>) -> Outcome {
    Outcome::Again { detail: short(detail), after_ms }
}

fn short(mut detail: String) -> String {
    if let Some((at, _)) = detail.char_indices().nth(MAX_DETAIL_CHARS) {
        detail.truncate(at);
    }
    detail
}

/// `t=…,v1=…`: HMAC-SHA256 over the time and the body, so that neither can be changed.
fn signature(secret: &Secret, seconds: u64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes())
        .expect("HMAC takes keys of any length");
    mac.update(format!("{seconds}.{body}").as_bytes());
    format!("t={seconds},v1={}", hex(&mac.finalize().into_bytes()))
}

/// The trace of an order (W3C Trace Context); each attempt is a span of it.
fn traceparent(name: &str, attempt: u32) -> String {
    let trace = Sha256::digest(name);
    let span = Sha256::digest(format!("{name}/{attempt}"));
    format!("00-{}-{}-01", hex(&trace[..16]), hex(&span[..8]))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The store did not take what came of an attempt.
pub(super) fn unavailable(error: &StoreError) -> Refusal {
    Refusal::new(ErrorCode::Unavailable, error.to_string())
}

/// An order without a conversation, which only a damaged store holds.
pub(super) fn nameless() -> Refusal {
    Refusal::new(ErrorCode::Internal, "the order names no conversation")
}

/// Threads that make attempts, since these block.
#[derive(Debug)]
pub(super) struct Senders(SyncSender<Attempt>);

impl Senders {
    /// Starts `count` threads, which end with what this gives and tell `told` what came of each
    /// attempt.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(
        count: usize,
        post: &Arc<Post>,
        told: &Sender<(Attempt, Outcome)>,
    ) -> std::io::Result<Self> {
        // As many as are in hand may wait, so that a thread that is done goes on at once.
        let (offer, taken) = sync_channel(count);
        let taken = Arc::new(Mutex::new(taken));
        for number in 0..count {
            let (taken, post, told) = (Arc::clone(&taken), Arc::clone(post), told.clone());
            std::thread::Builder::new()
                .name(format!("webhook-{number}"))
                .spawn(move || work(&taken, &*post, &told))?;
        }
        Ok(Self(offer))
    }

    /// Hands an attempt over; false when all are busy.
    pub(super) fn offer(&self, attempt: Attempt) -> bool {
        self.0.try_send(attempt).is_ok()
    }
}

fn work(taken: &Mutex<Receiver<Attempt>>, post: &Post, told: &Sender<(Attempt, Outcome)>) {
    loop {
        // One thread waits with the lock in hand, the others for the lock.
        let next = taken.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(attempt) = next else { return };
        let outcome = post(&attempt);
        if told.blocking_send((attempt, outcome)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    use super::*;
    use crate::dialogue::event::Webhook;

    #[test]
    fn addresses_for_examples_are_told_from_real_ones() {
        assert!(is_example("https://shop.example/hooks/cancel"));
        for real in ["https://shop.example.com/x", "http://127.0.0.1:1/example", "example", ""] {
            assert!(!is_example(real), "{real}");
        }
    }

    /// Serves one request with `answer`; gives the attempt for it, and what was asked.
    fn served(answer: &'static str) -> (Outcome, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/close", listener.local_addr().unwrap());
        let service = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut asked = String::new();
            let mut reader = BufReader::new(socket.try_clone().unwrap());
            while !asked.ends_with("\r\n\r\n") {
                reader.read_line(&mut asked).unwrap();
            }
            let head = asked.to_lowercase();
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            socket.write_all(answer.as_bytes()).unwrap();
            head + std::str::from_utf8(&body).unwrap()
        });
        let slots = BTreeMap::from([("order".to_owned(), "7".to_owned())]);
        let order = Order {
            conversation: "c".to_owned(),
            app: "shop".to_owned(),
            visitor: "v".to_owned(),
            webhook: Webhook { id: 3, intent: "close".to_owned(), url, slots },
            asked_ms: 5,
            attempts: 1,
        };
        let secret = Some(Secret::new("key"));
        let outcome =
            over_http()(&Attempt { key: vec![], order, secret, now_ms: 1_700_000_000_500 });
        (outcome, service.join().unwrap())
    }

    #[test]
    fn a_service_gets_a_signed_order_and_says_what_is_to_be_said() {
        let (outcome, asked) = served(
            "HTTP/1.1 200 OK\r\nContent-Length: 31\r\nConnection: close\r\n\r\n\
             {\"reply\": [\"gone \", \"\", \"bye\"]} ",
        );
        assert_eq!(outcome, Outcome::Done(vec!["gone".to_owned(), "bye".to_owned()]));
        let (head, body) = asked.split_once("\r\n\r\n").unwrap();
        let sent: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((&sent["attempt"], &sent["slots"]["order"]), (&2.into(), &"7".into()));
        assert!(head.contains("idempotency-key: c-3-close\r\n"), "{head}");
        let signed = signature(&Secret::new("key"), 1_700_000_000, body);
        assert!(head.contains(&format!("kefu-signature: {signed}\r\n")), "{head}");
        assert!(head.contains("traceparent: 00-"), "{head}");
    }

    #[test]
    fn a_signature_is_what_every_library_makes() {
        // printf 1.body | openssl dgst -sha256 -hmac key
        let wanted = "t=1,v1=91b5374b153842ad05b2c4eab9349b8321b14703165bd3fb8b034dfb8be98ae5";
        assert_eq!(signature(&Secret::new("key"), 1, "body"), wanted);
    }

    #[test]
    fn a_redirect_is_not_followed_and_a_busy_service_is_asked_later() {
        let (outcome, _) = served(
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        );
        assert_eq!(outcome, Outcome::Failed("status 302: ".to_owned()));
        let (outcome, _) =
            served("HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy");
        let detail = "status 429: busy".to_owned();
        assert_eq!(outcome, Outcome::Again { detail, after_ms: Some(7_000) });
    }

    #[test]
    fn what_an_answer_means() {
        let failed = |status| matches!(judge(status, None, b""), Outcome::Failed(_));
        let again = |status| matches!(judge(status, None, b""), Outcome::Again { .. });
        assert!(failed(400) && failed(404) && failed(301) && again(408) && again(503));
        assert_eq!(judge(204, None, b""), Outcome::Done(vec![]));
        assert_eq!(judge(200, None, b"<html>"), Outcome::Done(vec![]), "done, and nothing to say");
        assert_eq!(judge(200, None, br#"{"reply": "ok"}"#), Outcome::Done(vec!["ok".to_owned()]));
    }
}
