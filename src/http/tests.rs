//! The routes with their layers, asked through the router; the engine is canned.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::auth::KeyDigest;
use super::*;
use crate::dialogue::form::Forms;
use crate::intent::answer::{Alternative, Answer, Status, Thresholds, Tier};
use crate::intent::entity::Extractor;
use crate::intent::knowledge::{Action, Example, Intent, KnowledgeBase, Lang, Webhook};
use crate::intent::normalize::normalize;
use crate::understand::{AskOptions, ModelSummary, UnderstandError};

mod conversations;
mod identity;
mod operation;
mod sessions;
mod stage;

const KEY: &str = "0123456789abcdef";

/// An engine that answers by a few fixed texts.
pub(super) struct Canned;

impl Canned {
    pub(super) fn ask(&self, text: &str, options: AskOptions) -> Result<Answer, UnderstandError> {
        let (status, tier) = match text {
            "panic" => panic!("a bug with a secret"),
            "slow" => {
                std::thread::sleep(std::time::Duration::from_millis(300));
                (Status::Matched, Tier::Semantic)
            }
            "busy" => return Err(UnderstandError::Busy { capacity: 7 }),
            "stopping" => return Err(UnderstandError::Stopping),
            "failed" => return Err(UnderstandError::Failed("a secret".to_owned())),
            "" => (Status::OutOfScope, Tier::None),
            _ => (Status::Matched, Tier::Semantic),
        };
        let all = ["refund", "invoice", "delivery"]
            .map(|intent| Alternative { intent: intent.to_owned(), confidence: 0.3 });
        Ok(Answer {
            status,
            intent: (status == Status::Matched).then(|| "refund".to_owned()),
            confidence: 0.3,
            tier,
            alternatives: all.into_iter().take(options.top_k).collect(),
            candidates: Vec::new(),
            entities: Extractor::new(&KnowledgeBase::default())
                .expect("there is nothing to compile")
                .extract(text, &normalize(text)),
            explanation: options.explain.then(Default::default),
        })
    }

    pub(super) fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, UnderstandError> {
        Ok(texts.iter().map(|_| vec![0.6, 0.8]).collect())
    }

    pub(super) fn knowledge(&self) -> KnowledgeBase {
        knowledge()
    }

    pub(super) fn forms(&self) -> Arc<Forms> {
        Arc::new(Forms::new(&knowledge()).expect("there is nothing to compile"))
    }

    pub(super) fn model(&self) -> ModelSummary {
        ModelSummary {
            version: "v1".to_owned(),
            encoder: "canned".to_owned(),
            encoder_sha256: "00".to_owned(),
            dimension: 2,
            normalizer: "1".to_owned(),
            data_sha256: "00".to_owned(),
            intents: 1,
            examples: 3,
            index: "exact".to_owned(),
            thresholds: Thresholds { in_scope: 0.4, matched: 0.7 },
        }
    }
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect(&self.body)
    }
}

/// State around the canned engine.
pub(crate) fn state(limits: Limits, api_key: Option<KeyDigest>) -> AppState {
    AppState::new(Canned, limits, api_key)
}

fn knowledge() -> KnowledgeBase {
    let example = |text: &str, lang| Example {
        text: text.to_owned(),
        lang,
        file: "a.yaml".to_owned(),
        line: 1,
    };
    let refund = Intent {
        id: "refund".to_owned(),
        title: [(Lang::Zh, "退款".to_owned())].into(),
        answers: [(Lang::En, vec!["It is on its way.".to_owned()])].into(),
        keywords: vec![],
        examples: vec![
            example("退款", Lang::Zh),
            example("退钱", Lang::Zh),
            example("x", Lang::En),
        ],
        negative_examples: vec![],
        slots: vec![],
        confirm: [].into(),
        action: Action::Webhook(Webhook { url: "https://shop.internal/hook".to_owned() }),
    };
    KnowledgeBase { intents: vec![refund], entities: vec![] }
}

fn small() -> Limits {
    Limits { max_body_bytes: 2_000, max_text_chars: 50, max_batch: 3, ..Limits::default() }
}

async fn send(router: &Router, request: Request<Body>) -> Reply {
    let response = router.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = to_bytes(body, 1 << 24).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    Reply { status: head.status, headers: head.headers, body }
}

async fn get(router: &Router, path: &str) -> Reply {
    send(router, Request::get(path).body(Body::empty()).unwrap()).await
}

async fn post(router: &Router, path: &str, body: impl Into<Body>) -> Reply {
    let request = Request::post(path).header("content-type", "application/json");
    send(router, request.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn intent() {
    let router = router(state(small(), None));
    let reply = post(&router, "/intent", r#"{"text": "退款", "top_k": 2}"#).await;
    let answer = reply.json();
    assert_eq!(reply.status, 200);
    assert_eq!(answer["status"], "matched");
    assert_eq!(answer["tier"], "semantic");
    assert_eq!(answer["alternatives"].as_array().unwrap().len(), 2);
    assert_eq!(answer["entities"], json!([]));
    assert_eq!(answer["model"], json!({"version": "v1", "encoder": "canned"}));
    assert_eq!(answer["trace_id"], reply.headers["x-trace-id"].to_str().unwrap());
    assert!(answer["took_us"].is_u64());
    assert!(answer.get("explanation").is_none());

    let reply = post(&router, "/intent", r#"{"text": "😀订单号 ab12345678"}"#).await;
    let found = json!([{
        "kind": "order_number", "text": "ab12345678", "start": 5, "end": 15,
        "value": "AB12345678", "source": "builtin"
    }]);
    assert_eq!(reply.json()["entities"], found);

    let reply = post(&router, "/intent", r#"{"text": "退款", "explain": true}"#).await;
    assert!(reply.json()["explanation"].is_object());
}

#[tokio::test]
async fn batch() {
    let router = router(state(small(), None));
    for field in ["texts", "items"] {
        let body = json!({field: ["退款3元", ""], "top_k": 1}).to_string();
        let answer = post(&router, "/intent/batch", body).await.json();
        assert_eq!(answer["answers"][0]["status"], "matched", "{field}");
        assert_eq!(answer["answers"][1]["tier"], "none", "{field}");
        assert_eq!(answer["answers"][0]["entities"][0]["value"], "CNY 3.00", "{field}");
        assert_eq!(answer["answers"][1]["entities"], json!([]), "{field}");
    }
}

#[tokio::test]
async fn model_and_intents() {
    let router = router(state(small(), None));
    assert_eq!(get(&router, "/model").await.json()["dimension"], 2);
    let reply = get(&router, "/intents").await;
    let intent = &reply.json()["intents"][0];
    assert_eq!(intent["title"], json!({"zh": "退款"}));
    assert_eq!(intent["examples"], json!({"zh": 2, "en": 1}));
    assert_eq!(intent["action"], "webhook");
    assert!(!reply.body.contains("shop.internal"));
}

#[tokio::test]
async fn rasa() {
    let router = router(state(small(), None));
    let body = json!({"text": "退款", "message_id": "7", "sender": "me"}).to_string();
    let answer = post(&router, "/model/parse", body).await.json();
    assert_eq!(answer["intent"]["name"], "refund");
    assert_eq!(answer["message_id"], "7");
    assert_eq!(answer["intent_ranking"].as_array().unwrap().len(), 3);
    let answer = post(&router, "/model/parse", r#"{"text": "30 bucks"}"#).await.json();
    let found = json!([{
        "entity": "amount", "value": "USD 30.00", "start": 0, "end": 8, "extractor": "KefuBuiltin"
    }]);
    assert_eq!(answer["entities"], found);
    let answer = post(&router, "/model/parse", r#"{"text": ""}"#).await.json();
    assert_eq!(answer["intent"], json!({"name": null, "confidence": 0.0}));
}

#[tokio::test]
async fn openai() {
    let router = router(state(small(), None));
    let body = json!({"model": "text-embedding-3-small", "input": ["a", "b"]}).to_string();
    let answer = post(&router, "/v1/embeddings", body).await.json();
    assert_eq!(answer["object"], "list");
    assert_eq!(answer["model"], "canned");
    assert_eq!(answer["data"][1]["index"], 1);
    assert_eq!(answer["data"][1]["embedding"].as_array().unwrap().len(), 2);

    let body = json!({"input": "a", "encoding_format": "base64", "dimensions": 2}).to_string();
    let answer = post(&router, "/v1/embeddings", body).await.json();
    assert_eq!(answer["data"][0]["embedding"], "mpkZP83MTD8=");

    let rows = [
        (json!({"input": [1, 2]}), "input", "invalid_request"),
        (json!({"input": "a", "dimensions": 256}), "dimensions", "invalid_request"),
    ];
    for (body, param, code) in rows {
        let reply = post(&router, "/v1/embeddings", body.to_string()).await;
        assert_eq!(reply.status, 422);
        let error = &reply.json()["error"];
        assert_eq!(error["type"], "invalid_request_error");
        assert_eq!((&error["param"], &error["code"]), (&json!(param), &json!(code)));
    }
}

#[tokio::test]
async fn failures_of_the_engine() {
    let router = router(state(small(), None));
    let rows = [
        ("busy", 429, "busy", Some("1")),
        ("stopping", 503, "stopping", Some("1")),
        ("failed", 500, "internal", None),
        ("panic", 500, "internal", None),
    ];
    for (text, status, code, wait) in rows {
        let reply = post(&router, "/intent", json!({"text": text}).to_string()).await;
        assert_eq!(reply.status, status, "{text}");
        assert_eq!(reply.json()["error"]["code"], code, "{text}");
        let sent = reply.headers.get("retry-after").map(|value| value.to_str().unwrap());
        assert_eq!(sent, wait, "{text}");
        assert!(!reply.body.contains("secret"), "{text}: {}", reply.body);
    }
}

#[tokio::test]
async fn every_failure_has_one_shape_and_a_trace_id() {
    let router = router(state(small(), None));
    let long = json!({"text": "长".repeat(51)}).to_string();
    let rows = [
        ("POST", "/intent", "{}".to_owned(), "invalid_request"),
        ("POST", "/intent", "{".to_owned(), "invalid_json"),
        ("POST", "/intent", r#"{"text": "a", "top_k": 0}"#.to_owned(), "invalid_request"),
        ("POST", "/intent", r#"{"text": "a", "top_k": 21}"#.to_owned(), "invalid_request"),
        ("POST", "/intent", r#"{"text": "a", "top_k": -1}"#.to_owned(), "invalid_request"),
        ("POST", "/intent", long, "text_too_long"),
        ("POST", "/intent", " ".repeat(2_001), "body_too_large"),
        ("POST", "/intent/batch", r#"{"texts": []}"#.to_owned(), "batch_empty"),
        ("POST", "/intent/batch", r#"{"texts": ["","","",""]}"#.to_owned(), "batch_too_large"),
        (
            "POST",
            "/intent/batch",
            r#"{"texts": [""], "items": [""]}"#.to_owned(),
            "invalid_request",
        ),
        ("POST", "/model/shadow", "{}".to_owned(), "invalid_request"),
        ("POST", "/model/shadow", r#"{"version": null}"#.to_owned(), "no_such_model"),
        ("POST", "/intents/preview", r#"{"files": {"a.yaml": 1}}"#.to_owned(), "invalid_request"),
        ("POST", "/intents/preview", r#"{"files": {}}"#.to_owned(), "no_such_model"),
        ("GET", "/intent", String::new(), "method_not_allowed"),
        ("GET", "/nowhere", String::new(), "not_found"),
    ];
    for (method, path, body, code) in rows {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/json");
        let reply = send(&router, request.body(body.into()).unwrap()).await;
        let error = &reply.json()["error"];
        assert_eq!(error["code"], code, "{path}: {}", reply.body);
        let known = error::TABLE.iter().find(|row| row.name == code).unwrap();
        assert_eq!(reply.status, known.status, "{code}");
        assert_eq!(reply.headers["content-type"], "application/json", "{code}");
        assert_eq!(error["trace_id"], reply.headers["x-trace-id"].to_str().unwrap(), "{code}");
        assert!(reply.headers.contains_key("traceparent"), "{code}");
        assert!(error["retryable"].is_boolean() && error.get("retry_after_ms").is_some());
        if code == "method_not_allowed" {
            assert_eq!(reply.headers["allow"], "POST");
        }
    }
}

#[tokio::test]
async fn a_traceparent_is_honoured() {
    let router = router(state(small(), None));
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request =
        Request::get("/model").header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    let reply = send(&router, request.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.json()["trace_id"], trace);
    let parent = reply.headers["traceparent"].to_str().unwrap();
    assert!(parent.starts_with(&format!("00-{trace}-")) && parent.ends_with("-01"), "{parent}");
    assert!(!parent.contains("00f067aa0ba902b7"), "the span is ours");
}
