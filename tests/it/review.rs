//! The review queue of the real server: kept, redacted, killed, accepted into the knowledge base.

use std::collections::HashSet;
use std::fs;

use serde_json::{Value, json};

use crate::process::{Server, Shop, until};
use crate::support::KNOWLEDGE;

/// Questions of which the engine is sure of none, or not of all.
const UNSURE: [&str; 5] = [
    "我的那个东西呢 电话13812345678",
    "请问现在是什么情况呀 电话１３８１２３４５６７８",
    "can you tell me about it, mail li.lei@example.com",
    "今天天气怎么样 6222020200112233440",
    "what is going on with 11010519491231002X",
];

impl Server {
    fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let url = format!("{}{path}", self.url);
        let response = match body {
            Some(body) => agent.post(url).content_type("application/json").send(body.to_string()),
            None if method == "GET" => agent.get(url).call(),
            None => agent.post(url).content_type("application/json").send("{}"),
        };
        let mut response = response.unwrap();
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    fn get(&self, path: &str) -> Value {
        let (status, answer) = self.call("GET", path, None);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.call("POST", path, Some(body));
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// The error code of what must not work.
    fn refused(&self, path: &str, body: Value) -> (u16, String, String) {
        let (status, answer) = self.call("POST", path, Some(body));
        let error = &answer["error"];
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        (status, text("code"), text("message"))
    }

    /// Puts a sentence into the queue; returns its id.
    fn correct(&self, text: &str, intent: &str) -> String {
        let body = json!({"text": text, "intent": intent, "source": "agent"});
        self.post("/review/corrections", body)["item"]["id"].as_str().unwrap().to_owned()
    }
}

fn open_texts(server: &Server) -> Vec<String> {
    let items = server.get("/review?status=open&limit=200")["items"].clone();
    let text = |item: &Value| item["text"].as_str().unwrap().to_owned();
    items.as_array().unwrap().iter().map(text).collect()
}

fn shop_with_comments() -> (Shop, String) {
    let shop = Shop::new();
    let text = format!("# the shop's own\n{}  # the end\n", KNOWLEDGE.trim_start());
    fs::write(shop.path("intents/shop.yaml"), &text).unwrap();
    (shop, text)
}

#[test]
fn what_the_bot_was_unsure_of_is_kept_redacted_and_survives_a_kill() {
    let (shop, _) = shop_with_comments();
    let mut server = shop.serve();
    let mut wanted = HashSet::new();
    for text in UNSURE {
        for _ in 0..2 {
            if server.ask(text)["status"] != "matched" {
                wanted.insert(text);
            }
        }
    }
    assert!(!wanted.is_empty(), "the engine is sure of everything");
    server.ask("12345");
    server.ask("物流不更新了");
    until("the entries", || open_texts(&server).len() >= wanted.len());
    let before = server.get("/review?status=open&lang=zh&limit=200");
    for item in before["items"].as_array().unwrap() {
        assert!(item["alternatives"].as_array().unwrap().len() <= 3, "{item}");
        assert!(item["count"].as_u64().unwrap() <= 2, "{item}");
        let seen = item["first_seen_ms"].as_u64().unwrap();
        assert!(seen > 1_700_000_000_000 && seen <= item["last_seen_ms"].as_u64().unwrap());
    }
    let texts = open_texts(&server);
    server.signal("-KILL");
    server.wait();

    for file in fs::read_dir(shop.path("data/review")).unwrap() {
        let stored = fs::read_to_string(file.unwrap().path()).unwrap();
        for secret in ["13812345678", "１３８", "example.com", "6222020200112233440", "19491231"]
        {
            assert!(!stored.contains(secret), "{secret} is in {stored}");
        }
    }
    let server = shop.serve();
    assert_eq!(open_texts(&server), texts);
    let metrics = server.call("GET", "/metrics", None).1;
    let line = format!("kefu_review_entries{{status=\"open\"}} {}", texts.len());
    assert!(metrics.as_str().unwrap().contains(&line), "{metrics}");
    let said = shop.refusal(&["--store-dir=other"]);
    assert!(said.contains("another server uses the review folder"), "{said}");
}

#[test]
fn an_accepted_message_becomes_an_example_with_the_comments_kept_and_is_understood() {
    let (shop, yaml) = shop_with_comments();
    let server = shop.serve();
    let first = server.version();
    let id = server.correct("那笔款子怎么还没回来 13812345678", "refund_request");
    let item = server.get(&format!("/review/{id}"))["item"].clone();
    assert_eq!((&item["status"], &item["reason"]), (&json!("open"), &json!("corrected")));
    assert_eq!(item["correction"], json!({"intent": "refund_request", "source": "agent"}));
    assert_eq!(item["text"], "那笔款子怎么还没回来 <phone>");

    let path = format!("/review/{id}/accept");
    let body = json!({"intent": "refund_request", "text": "那笔款子怎么还没回来"});
    let accepted = server.post(&path, body.clone());
    assert_eq!((&accepted["file"], &accepted["already"]), (&json!("shop.yaml"), &json!(false)));
    assert_eq!(accepted["item"]["status"], "accepted");
    let edited = yaml.replace("申请退款]", "申请退款, 那笔款子怎么还没回来]");
    let file = shop.path("intents/shop.yaml");
    assert_eq!(fs::read_to_string(&file).unwrap(), edited);
    until("the new model", || server.version() != first);
    let answer = server.ask("那笔款子怎么还没回来");
    assert_eq!(answer["alternatives"][0]["intent"], "refund_request", "{answer}");

    let again = server.post(&path, body);
    assert_eq!((&again["already"], &again["line"]), (&json!(true), &accepted["line"]));
    assert_eq!(fs::read_to_string(&file).unwrap(), edited);
    let (status, code, message) = server.refused(&format!("/review/{id}/dismiss"), json!({}));
    assert_eq!((status, code.as_str()), (409, "already_accepted"), "{message}");
    assert!(message.contains("shop.yaml:"), "{message}");

    let id = server.correct("你们公司招人吗", "oos");
    let row = server.post(&format!("/review/{id}/out_of_scope"), json!({}));
    assert_eq!((&row["file"], &row["line"]), (&json!("oos.jsonl"), &json!(1)));
    let second = server.version();
    let rows = fs::read_to_string(shop.path("training-data/oos.jsonl")).unwrap();
    assert_eq!(rows, "{\"text\": \"你们公司招人吗\", \"intent\": \"oos\", \"lang\": \"zh\"}\n");
    until("the model with the row", || server.version() != second);
}

#[test]
fn what_cannot_be_decided_is_refused_with_its_code_and_place() {
    let (shop, _) = shop_with_comments();
    let server = shop.serve();
    let id = server.correct("退我的钱吧", "refund_request");
    let accept = format!("/review/{id}/accept");
    let long = "长".repeat(2_001);
    for (name, path, body, status, code) in [
        (
            "no entry",
            "/review/0000000000000000/accept",
            json!({"intent": "x"}),
            404,
            "no_such_review_item",
        ),
        ("no entry to dismiss", "/review/nope/dismiss", json!({}), 404, "no_such_review_item"),
        ("no intent", &accept, json!({"intent": "nope"}), 422, "unknown_intent"),
        (
            "conflict",
            &accept,
            json!({"intent": "refund_request", "text": "快递太慢了"}),
            409,
            "example_conflict",
        ),
        (
            "empty",
            &accept,
            json!({"intent": "refund_request", "text": " "}),
            422,
            "invalid_request",
        ),
        (
            "too long",
            &accept,
            json!({"intent": "refund_request", "text": long}),
            422,
            "text_too_long",
        ),
        (
            "a file elsewhere",
            &accept,
            json!({"intent": "oos", "file": "../x.jsonl"}),
            422,
            "invalid_request",
        ),
        ("no ids", "/review/accept", json!({"ids": [], "intent": "x"}), 422, "invalid_request"),
        (
            "twice",
            "/review/accept",
            json!({"ids": [id, id], "intent": "x"}),
            422,
            "invalid_request",
        ),
        (
            "unknown correction",
            "/review/corrections",
            json!({"text": "x", "intent": "nope"}),
            422,
            "unknown_intent",
        ),
        (
            "nothing corrected",
            "/review/corrections",
            json!({"text": " ", "intent": "oos"}),
            422,
            "invalid_request",
        ),
    ] {
        let (got, said, message) = server.refused(path, body);
        assert_eq!((got, said.as_str()), (status, code), "{name}: {message}");
        assert!(name != "conflict" || message.contains("shop.yaml:9"), "{message}");
    }
    for query in ["limit=0", "limit=201", "status=shut", "cursor=x", "frobnicate=1"] {
        let (status, answer) = server.call("GET", &format!("/review?{query}"), None);
        assert_eq!((status, &answer["error"]["code"]), (422, &json!("invalid_request")), "{query}");
    }
}

#[test]
fn a_file_that_cannot_be_written_or_read_refuses_and_stays_and_dismissing_needs_none() {
    let (shop, yaml) = shop_with_comments();
    let server = shop.serve();
    let id = server.correct("退我的钱吧", "refund_request");
    let accept = format!("/review/{id}/accept");
    let file = shop.path("intents/shop.yaml");
    let mut permissions = fs::metadata(&file).unwrap().permissions();
    let writable = permissions.clone();
    permissions.set_readonly(true);
    fs::set_permissions(&file, permissions).unwrap();
    let body = json!({"intent": "refund_request"});
    let (status, code, message) = server.refused(&accept, body.clone());
    assert_eq!((status, code.as_str()), (500, "not_written"), "{message}");
    fs::set_permissions(&file, writable).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), yaml);

    fs::write(&file, yaml.replace("keywords:", "keyword:")).unwrap();
    let (status, code, message) = server.refused(&accept, body);
    assert_eq!((status, code.as_str()), (409, "knowledge_faulty"), "{message}");
    assert!(message.contains("shop.yaml:6:5: KB001"), "{message}");

    let dismiss = format!("/review/{id}/dismiss");
    for _ in 0..2 {
        let answer = server.post(&dismiss, json!({"reason": "call 13812345678"}));
        let verdict = &answer["item"]["resolution"]["verdict"];
        assert_eq!(verdict, &json!({"status": "dismissed", "reason": "call <phone>"}));
    }
    assert_eq!(server.get("/review?status=open")["total"], 0);
    assert_eq!(server.get("/review?status=dismissed")["total"], 1);
}

#[test]
fn acceptances_at_the_same_time_lose_none() {
    let (shop, yaml) = shop_with_comments();
    let server = shop.serve();
    let text = |n: usize| format!("第{}种说法", char::from(b'a' + n as u8));
    let ids: Vec<String> = (0..8).map(|n| server.correct(&text(n), "refund_request")).collect();
    let (one_by_one, together) = ids.split_at(6);
    let server = &server;
    std::thread::scope(|scope| {
        for id in one_by_one {
            scope.spawn(move || {
                let path = format!("/review/{id}/accept");
                server.post(&path, json!({"intent": "refund_request"}));
            });
        }
        let body = json!({"intent": "refund_request", "ids": together});
        scope.spawn(move || server.post("/review/accept", body));
    });
    let edited = fs::read_to_string(shop.path("intents/shop.yaml")).unwrap();
    for n in 0..8 {
        assert_eq!(edited.matches(&text(n)).count(), 1, "{edited}");
    }
    assert!(edited.starts_with("# the shop's own") && edited.ends_with("# the end\n"), "{edited}");
    assert_eq!(edited.lines().count(), yaml.lines().count());
}

#[test]
fn open_entries_are_grouped_with_a_suggestion() {
    let (shop, _) = shop_with_comments();
    let server = shop.serve();
    let texts = ["包裹在哪里", "包裹到哪里了", "我的包裹呢", "refund it now", "refund it please"];
    let ids: HashSet<String> =
        texts.iter().map(|text| server.correct(text, "delivery_delay")).collect();
    server.correct("包裹在哪里", "delivery_delay");
    let answer = server.get("/review/clusters?limit=200");
    assert_eq!((&answer["pending"], &answer["model"]), (&json!(0), &json!(server.version())));
    let clusters = answer["clusters"].as_array().unwrap();
    assert_eq!(answer["total"], clusters.len());
    let mut grouped = HashSet::new();
    let mut seen = 0;
    for cluster in clusters {
        seen += cluster["size"].as_u64().unwrap();
        assert!(cluster["suggestion"]["intent"].is_string(), "{cluster}");
        for id in cluster["ids"].as_array().unwrap() {
            assert!(grouped.insert(id.as_str().unwrap().to_owned()), "{id} is grouped twice");
        }
    }
    assert_eq!((grouped, seen), (ids, 6));
    assert_eq!(server.get("/review/clusters?limit=1")["clusters"].as_array().unwrap().len(), 1);
}

#[test]
fn without_a_queue_nothing_is_kept() {
    let shop = Shop::new();
    fs::write(shop.path("kefu.toml"), "review = \"off\"\n").unwrap();
    let server = shop.serve();
    server.ask(UNSURE[0]);
    let (status, answer) = server.call("GET", "/review", None);
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("review_off")));
    assert!(!shop.path("data/review").exists());
}
