//! Lists, messages, the queue, and saying something, for agents and services.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::stage::{Stage, WAITING_APP};

#[tokio::test]
async fn a_list_has_each_conversation_once_while_new_ones_come() {
    let stage = Stage::open().await;
    let mut begun = BTreeSet::new();
    for number in 0..7 {
        begun.insert(stage.visitor_says("default", &format!("v{number}"), "你好").await);
    }
    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let path = format!("/v1/conversations?limit=3{cursor}");
        let page = stage.call(stage.service(), "GET", &path, Value::Null).await.json();
        let listed = page["conversations"].as_array().unwrap();
        seen.extend(listed.iter().map(|one| one["conversation"].as_str().unwrap().to_owned()));
        pages += 1;
        stage.visitor_says("default", &format!("late{pages}"), "hi").await;
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!((pages, seen.len()), (3, 7));
    assert_eq!(seen.iter().cloned().collect::<BTreeSet<_>>(), begun);
    assert!(seen.is_sorted_by(|newer, older| newer > older), "newest first");

    let resolved = "/v1/conversations?status=resolved";
    let none = stage.call(stage.service(), "GET", resolved, Value::Null).await.json();
    assert_eq!((&none["conversations"], &none["next_cursor"]), (&json!([]), &Value::Null));
    for query in ["cursor=x", "status=gone", "limit=0", "page=2"] {
        let path = format!("/v1/conversations?{query}");
        let refused = stage.call(stage.service(), "GET", &path, Value::Null).await;
        assert_eq!(refused.status, 422, "{query}: {}", refused.body);
        assert_eq!(refused.json()["error"]["code"], "invalid_request", "{query}");
    }
}

#[tokio::test]
async fn an_agent_sees_all_apps_and_a_service_its_own() {
    let stage = Stage::open().await;
    let admin = stage.admin().await;
    let own = stage.visitor_says("default", "lin", "在吗").await;
    let other = stage.visitor_says(WAITING_APP, "wang", "在吗").await;
    for id in [&own, &other] {
        let path = format!("/v1/conversations/{id}");
        let shown = stage.call(&admin, "GET", &path, Value::Null).await.json();
        let conversation = &shown["conversation"];
        assert_eq!(conversation["conversation"], **id);
        assert_eq!(conversation["unread"], "1", "an agent has a read cursor");
    }
    let unknown = format!("/v1/conversations/{}", "0".repeat(32));
    let hidden = [format!("/v1/conversations/{other}"), unknown, "/v1/conversations/x".to_owned()];
    for path in hidden.iter().flat_map(|path| [path.clone(), format!("{path}/messages")]) {
        let reply = stage.call(stage.service(), "GET", &path, Value::Null).await;
        assert_eq!(reply.status, 404, "{path}");
        assert_eq!(reply.json()["error"]["code"], "no_such_conversation", "{path}");
    }
    let path = format!("/v1/conversations?app={WAITING_APP}&status=waiting");
    let listed = stage.call(&admin, "GET", &path, Value::Null).await.json();
    assert_eq!(listed["conversations"][0]["conversation"], other);
    let refused = stage.call(stage.service(), "GET", &path, Value::Null).await;
    assert_eq!(refused.json()["error"]["code"], "no_such_app");
    let unnamed = stage.call(&admin, "GET", "/v1/conversations", Value::Null).await;
    assert_eq!(unnamed.status, 422, "an agent says which app");
}

#[tokio::test]
async fn messages_come_in_pages_both_ways() {
    let stage = Stage::open().await;
    let mut id = String::new();
    for number in 1..=5 {
        id = stage.visitor_says("default", "lin", &format!("第{number}句")).await;
    }
    let rows = [
        ("", vec![1, 2, 3, 4, 5], false),
        ("?limit=2", vec![1, 2], true),
        ("?after=2&limit=2", vec![3, 4], true),
        ("?after=4", vec![5], false),
        ("?after=5", vec![], false),
        ("?before=4&limit=2", vec![3, 2], true),
        ("?before=3", vec![2, 1], false),
    ];
    for (query, seqs, more) in rows {
        let path = format!("/v1/conversations/{id}/messages{query}");
        let range =
            stage.call(stage.service(), "GET", &path, Value::Null).await.json()["range"].take();
        let messages = range["messages"].as_array().cloned().unwrap_or_default();
        let found: Vec<u64> =
            messages.iter().map(|one| one["seq"].as_str().unwrap().parse().unwrap()).collect();
        assert_eq!(found, seqs, "{query}");
        assert_eq!(range["hasMore"].as_bool().unwrap_or(false), more, "{query}");
        assert_eq!(range["lastSeq"], "5", "{query}");
    }
    for query in ["?after=1&before=3", "?limit=201", "?after=-1"] {
        let path = format!("/v1/conversations/{id}/messages{query}");
        assert_eq!(
            stage.call(stage.service(), "GET", &path, Value::Null).await.status,
            422,
            "{query}"
        );
    }
}

#[tokio::test]
async fn what_is_said_twice_under_one_key_is_stored_once() {
    let stage = Stage::open().await;
    let admin = stage.admin().await;
    let id = stage.visitor_says("default", "lin", "我的快递呢").await;
    let path = format!("/v1/conversations/{id}/messages");
    // An agent who does not own the conversation may leave a note.
    for (token, seq, note) in [(stage.service(), 2, false), (&*admin, 3, true)] {
        let said = json!({"text": "您的包裹已经发出。", "note": note});
        let first = stage.say(token, &path, "order-17", said.clone()).await.json();
        assert_eq!((&first["seq"], &first["duplicate"]), (&json!(seq), &json!(false)));
        let again = stage.say(token, &path, "order-17", said.clone()).await.json();
        assert_eq!((&again["seq"], &again["duplicate"]), (&json!(seq), &json!(true)));
        assert_eq!(first["at_ms"], again["at_ms"]);
        let other = stage.say(token, &path, "order-17", json!({"text": "另一句", "note": note}));
        let other = other.await;
        assert_eq!(other.status, 409, "{}", other.body);
        assert_eq!(other.json()["error"]["code"], "id_reused");
    }
    // Without a key each is a message of its own.
    for seq in [4, 5] {
        let said = json!({"text": "您的包裹已经发出。"});
        let reply = stage.call(stage.service(), "POST", &path, said).await.json();
        assert_eq!(reply["seq"], seq);
    }
    let range = stage.call(&admin, "GET", &path, Value::Null).await.json()["range"].take();
    let senders: Vec<_> = range["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["sender"]["role"].as_str().unwrap())
        .collect();
    let system = "ROLE_SYSTEM";
    assert_eq!(senders, ["ROLE_VISITOR", system, "ROLE_AGENT", system, system]);
}

#[tokio::test]
async fn what_cannot_be_said_is_refused() {
    let stage = Stage::open().await;
    let id = stage.visitor_says("default", "lin", "在吗").await;
    let path = format!("/v1/conversations/{id}/messages");
    let long = "长".repeat(4_001);
    let rows = [
        ("k", json!({"text": " "}), 422, "invalid_request"),
        ("k", json!({"txt": "hi"}), 422, "invalid_request"),
        ("k", json!({"text": long}), 413, "body_too_large"),
        (&*"k".repeat(65), json!({"text": "hi"}), 422, "invalid_request"),
        ("", json!({"text": "hi"}), 422, "invalid_request"),
    ];
    for (key, body, status, code) in rows {
        let reply = stage.say(stage.service(), &path, key, body).await;
        assert_eq!(reply.status, status, "{}", reply.body);
        assert_eq!(reply.json()["error"]["code"], code, "{}", reply.body);
    }
    let range = stage.call(stage.service(), "GET", &path, Value::Null).await.json();
    assert_eq!(range["range"]["lastSeq"], "1", "nothing of it is stored");
}

#[tokio::test]
async fn the_queue_shows_who_waits_in_order() {
    let stage = Stage::open().await;
    let admin = stage.admin().await;
    let mut waiting = Vec::new();
    for visitor in ["a", "b", "c"] {
        waiting.push(stage.visitor_says(WAITING_APP, visitor, "人工").await);
    }
    let queue = stage.call(&admin, "GET", "/v1/queue", Value::Null).await.json()["queue"].take();
    assert_eq!(queue["length"], 3);
    for (at, id) in waiting.iter().enumerate() {
        let shown = &queue["waiting"][at];
        assert_eq!((&shown["conversation"], &shown["queuePosition"]), (&json!(id), &json!(at + 1)));
    }
    let own = stage.call(stage.service(), "GET", "/v1/queue", Value::Null).await.json();
    assert_eq!(own["queue"], json!({}), "nobody of the service's app waits");
}

#[tokio::test]
async fn conversations_are_counted() {
    let stage = Stage::open().await;
    stage.visitor_says("default", "lin", "在吗").await;
    let visitor = json!({"app_id": "default"});
    let token = stage.call("", "POST", "/v1/visitors", visitor).await.json()["token"].take();
    let hello = json!({"header": {"seq": 1, "client_id": "d"},
                       "body": {"hello": {"app_id": "default", "token": token}}});
    let welcome = stage.call("", "POST", "/v1/sessions", hello).await.json();
    let session = welcome["body"]["welcome"]["session"].as_str().unwrap();
    let frames = format!("/v1/sessions/{session}/frames");
    let odd = json!({"header": {"seq": 2}, "body": {"pull": {"conversation": "x"}}});
    assert_eq!(stage.call("", "POST", &frames, odd).await.status, 202);
    let path = format!("/v1/sessions/{session}");
    assert_eq!(stage.call("", "DELETE", &path, Value::Null).await.status, 204);

    let body = stage.call("", "GET", "/metrics", Value::Null).await.body;
    let docs = include_str!("../../../docs/http.md");
    let lines = [
        "kefu_sessions 0",
        r#"kefu_frames_total{direction="in"} 2"#,
        r#"kefu_frames_total{direction="out"} 1"#,
        r#"kefu_frame_errors_total{code="INVALID"} 1"#,
        r#"kefu_session_closes_total{code="1000"} 1"#,
        "kefu_conversations_in_use 1",
        "kefu_log_gaps_total 0",
    ];
    for line in lines {
        assert!(body.contains(line), "no {line} in\n{body}");
        let name = line.split(['{', ' ']).next().unwrap();
        assert!(docs.contains(&format!("`{name}`")), "docs/http.md lacks {name}");
    }
}
