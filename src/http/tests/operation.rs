//! What operators see: the key, readiness, metrics, and the document of the routes.

use std::collections::BTreeSet;
use std::path::Path;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use super::super::auth::KeyDigest;
use super::stage::Stage;
use super::{KEY, Limits, get, post, router, send, small, state};

#[tokio::test]
async fn the_key_opens_all_but_the_probes() {
    let router = router(state(small(), Some(KeyDigest::of(KEY))));
    for path in ["/model", "/intents", "/metrics"] {
        let reply = get(&router, path).await;
        assert_eq!(reply.status, 401, "{path}");
        assert_eq!(reply.headers["www-authenticate"], "Bearer", "{path}");
        let wrong = Request::get(path).header("x-api-key", "0123456789abcdeF");
        assert_eq!(send(&router, wrong.body(Body::empty()).unwrap()).await.status, 401, "{path}");
        for (name, value) in
            [("x-api-key", KEY.to_owned()), ("authorization", format!("Bearer {KEY}"))]
        {
            let right = Request::get(path).header(name, value);
            let reply = send(&router, right.body(Body::empty()).unwrap()).await;
            assert_eq!(reply.status, 200, "{path}");
        }
    }
    assert_eq!(
        post(&router, "/v1/embeddings", "{}").await.json()["error"]["type"],
        "authentication_error"
    );
    assert_eq!(get(&router, "/review").await.status, 401);
    for path in ["/healthz", "/openapi.json"] {
        assert_eq!(get(&router, path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn readiness_follows_the_servers_life() {
    let state = state(small(), None);
    let readiness = state.readiness.clone();
    let router = router(state);
    assert_eq!(get(&router, "/readyz").await.json()["error"]["code"], "not_ready");
    readiness.ready();
    assert_eq!(get(&router, "/readyz").await.status, 200);
    readiness.stopping();
    assert_eq!(get(&router, "/readyz").await.json()["error"]["code"], "stopping");
    assert_eq!(get(&router, "/healthz").await.status, 200);
}

#[tokio::test]
async fn a_full_server_is_busy_and_can_still_be_watched() {
    let router = router(state(Limits { max_concurrent: 0, ..small() }, None));
    let reply = get(&router, "/model").await;
    assert_eq!((reply.status.as_u16(), &reply.json()["error"]["code"]), (429, &json!("busy")));
    assert_eq!(get(&router, "/metrics").await.status, 200);
    assert_eq!(get(&router, "/healthz").await.status, 200);
}

#[tokio::test]
async fn metrics() {
    let router = router(state(small(), None));
    post(&router, "/intent", r#"{"text": "退款"}"#).await;
    get(&router, "/a/path/that/must/not/be/a/label").await;
    let body = get(&router, "/metrics").await.body;
    let docs = include_str!("../../../docs/http.md");
    let lines = [
        r#"kefu_http_requests_total{method="POST",route="/intent",status="200"} 1"#,
        r#"kefu_http_requests_total{method="GET",route="unmatched",status="404"} 1"#,
        r#"kefu_http_request_duration_seconds_count{route="/intent"} 1"#,
        r#"kefu_classifications_total{status="matched",tier="semantic"} 1"#,
        "kefu_encoder_queue_texts 0",
        r#"kefu_model_info{version="v1",encoder="canned"} 1"#,
    ];
    for line in lines {
        assert!(body.contains(line), "no {line} in\n{body}");
        let name = line.split(['{', ' ']).next().unwrap().trim_end_matches("_count");
        assert!(docs.contains(&format!("`{name}`")), "docs/http.md lacks {name}");
    }
    assert!(!body.contains("must/not"));
}

#[tokio::test]
async fn the_document_is_the_committed_one_and_its_routes_exist() {
    let Stage { router, .. } = Stage::open().await;
    let served = get(&router, "/openapi.json").await;
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    if std::env::var_os("KEFU_UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &served.body).unwrap();
    }
    let committed = std::fs::read_to_string(&golden).unwrap_or_default();
    assert!(
        committed == served.body,
        "docs/openapi.json is not what the server serves; look at the change, then run the tests \
         with KEFU_UPDATE_GOLDEN=1"
    );

    let docs = include_str!("../../../docs/http.md");
    let document = served.json();
    let mut seen = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let request = Request::builder().method(method.as_str()).uri(path);
            let reply = send(&router, request.body(Body::empty()).unwrap()).await;
            let missing = reply.status == 405 || reply.body.contains("\"code\":\"not_found\"");
            assert!(!missing, "{method} {path}");
            assert!(docs.contains(&format!("`{method} {path}`")), "docs/http.md lacks {path}");
            seen.insert(path.clone());
        }
    }
    assert_eq!(seen.len(), 38);
}
