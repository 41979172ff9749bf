//! Signing in, roles, and everything that administrators manage.

use serde_json::{Value, json};

use super::super::auth::KeyDigest;
use super::stage::Stage;
use super::{KEY, Reply};

const PASSWORD: &str = "correct horse battery";

/// The code of a failure.
fn code(reply: &Reply) -> String {
    reply.json()["error"]["code"].as_str().unwrap_or_else(|| panic!("{}", reply.body)).to_owned()
}

/// Makes an agent and signs in.
async fn agent(stage: &Stage, admin: &str, login: &str, role: &str) -> String {
    let body = json!({"login": login, "password": PASSWORD, "name": login, "role": role});
    let made = stage.call(admin, "POST", "/v1/agents", body).await;
    assert_eq!(made.status, 200, "{}", made.body);
    stage.login(login, PASSWORD).await
}

#[tokio::test]
async fn an_agent_signs_in_and_out() {
    let stage = Stage::open().await;
    let password = stage.first.admin_password.reveal().to_owned();
    let body = json!({"login": "admin", "password": password});
    let reply = stage.call("", "POST", "/v1/agents/login", body).await;
    let answer = reply.json();
    assert_eq!(answer["agent"]["role"], "admin");
    assert!(answer["expires_ms"].as_u64() > Some(1_800_000_000_000));
    let token = answer["token"].as_str().unwrap();
    assert!(token.starts_with("kfs_"));

    let me = stage.call(token, "GET", "/v1/agents/me", Value::Null).await.json();
    assert_eq!(me["agent"], answer["agent"]);
    let out = stage.call(token, "POST", "/v1/agents/logout", Value::Null).await;
    assert_eq!((out.status.as_u16(), out.body.as_str()), (204, ""));
    let over = stage.call(token, "GET", "/v1/agents/me", Value::Null).await;
    assert_eq!((over.status.as_u16(), code(&over)), (401, "unauthorized".to_owned()));
    assert_eq!(over.headers["www-authenticate"], "Bearer");
}

#[tokio::test]
async fn wrong_passwords_are_answered_alike_and_soon_have_to_wait() {
    let stage = Stage::open().await;
    let attempt = |login: &'static str| {
        let body = json!({"login": login, "password": "not the right one"});
        stage.call("", "POST", "/v1/agents/login", body)
    };
    let (wrong, unknown) = (attempt("admin").await.json(), attempt("nobody").await.json());
    assert_eq!(wrong["error"]["message"], unknown["error"]["message"]);
    for _ in 1..5 {
        assert_eq!(code(&attempt("admin").await), "unauthorized");
    }
    let locked = attempt("admin").await;
    assert_eq!((locked.status.as_u16(), code(&locked)), (429, "rate_limited".to_owned()));
    assert!(locked.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_new_password_ends_the_sessions() {
    let stage = Stage::open().await;
    let token = stage.admin().await;
    let path = "/v1/agents/me/password";
    let old = stage.first.admin_password.reveal();
    let short = json!({"old": old, "new": "short"});
    assert_eq!(code(&stage.call(&token, "POST", path, short).await), "invalid_request");
    let wrong = json!({"old": "wrong password", "new": PASSWORD});
    assert_eq!(code(&stage.call(&token, "POST", path, wrong).await), "unauthorized");
    let right = json!({"old": old, "new": PASSWORD});
    assert_eq!(stage.call(&token, "POST", path, right).await.status, 204);
    assert_eq!(stage.call(&token, "GET", "/v1/agents/me", Value::Null).await.status, 401);
    stage.login("admin", PASSWORD).await;
}

#[tokio::test]
async fn who_may_do_what() {
    let stage = Stage::with_key(Some(KeyDigest::of(KEY))).await;
    let admin = stage.admin().await;
    let editor = agent(&stage, &admin, "ed", "editor").await;
    let seated = agent(&stage, &admin, "mei", "agent").await;
    let service = stage.service();
    // In the order of: nobody, a wrong session, operator, service, editor, agent, admin.
    let tokens = ["", "kfs_wrong", KEY, service, &editor, &seated, &admin];
    let rows = [
        ("GET", "/model", [401, 401, 200, 200, 200, 200, 200]),
        ("GET", "/metrics", [401, 401, 200, 200, 200, 200, 200]),
        // No review queue here.
        ("GET", "/review", [401, 401, 404, 403, 404, 404, 404]),
        ("GET", "/v1/queue", [401, 401, 401, 200, 403, 200, 200]),
        ("GET", "/v1/agents/me", [401, 401, 401, 403, 200, 200, 200]),
        ("GET", "/v1/agents", [401, 401, 401, 403, 403, 403, 200]),
        ("GET", "/v1/apps", [401, 401, 401, 403, 403, 403, 200]),
        ("GET", "/v1/keys", [401, 401, 401, 403, 403, 403, 200]),
    ];
    for (method, path, statuses) in rows {
        for (token, status) in tokens.iter().zip(statuses) {
            let reply = stage.call(token, method, path, Value::Null).await;
            assert_eq!(reply.status.as_u16(), status, "{path} with {token}: {}", reply.body);
            if status != 200 {
                assert!(reply.json()["error"]["trace_id"].is_string(), "{path}: {}", reply.body);
            }
        }
    }
}

#[tokio::test]
async fn agents_are_managed() {
    let stage = Stage::open().await;
    let admin = stage.admin().await;
    let new = json!({"login": "Mei", "password": PASSWORD, "name": "韩梅梅", "role": "agent"});
    let made = stage.call(&admin, "POST", "/v1/agents", new.clone()).await;
    assert!(!made.body.contains(PASSWORD) && !made.body.contains("argon2"), "{}", made.body);
    let mei = made.json()["agent"].clone();
    assert_eq!((&mei["login"], &mei["capacity"]), (&json!("mei"), &json!(5)));
    assert_eq!(code(&stage.call(&admin, "POST", "/v1/agents", new).await), "login_taken");

    let path = format!("/v1/agents/{}", mei["id"].as_str().unwrap());
    let changed = stage.call(&admin, "PATCH", &path, json!({"capacity": 2})).await.json();
    assert_eq!(changed["agent"]["capacity"], 2);
    assert_eq!(changed["agent"]["name"], "韩梅梅", "what is not sent stays");
    assert_eq!(
        code(&stage.call(&admin, "PATCH", &path, json!({"rôle": 1})).await),
        "invalid_request"
    );
    let missing = stage.call(&admin, "PATCH", "/v1/agents/nobody", json!({})).await;
    assert_eq!((missing.status.as_u16(), code(&missing)), (404, "no_such_agent".to_owned()));

    let session = stage.login("mei", PASSWORD).await;
    let reset = json!({"password": "another good one"});
    let done = stage.call(&admin, "POST", &format!("{path}/password"), reset).await;
    assert_eq!(done.status, 204);
    assert_eq!(stage.call(&session, "GET", "/v1/agents/me", Value::Null).await.status, 401);

    let listed = stage.call(&admin, "GET", "/v1/agents", Value::Null).await.json();
    assert_eq!(listed["agents"].as_array().unwrap().len(), 2);
    let me = stage.call(&admin, "GET", "/v1/agents/me", Value::Null).await.json();
    let me = format!("/v1/agents/{}", me["agent"]["id"].as_str().unwrap());
    let last = stage.call(&admin, "PATCH", &me, json!({"role": "agent"})).await;
    assert_eq!((last.status.as_u16(), code(&last)), (409, "last_admin".to_owned()));
}

#[tokio::test]
async fn apps_are_managed_and_show_a_secret_once() {
    let stage = Stage::open().await;
    let admin = stage.admin().await;
    let new = json!({"id": "shop", "origins": ["https://shop.example"], "anonymous": true});
    let made = stage.call(&admin, "POST", "/v1/apps", new.clone()).await.json();
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert_eq!(made["app"]["name"], "shop");
    assert_eq!(stage.identity.app("shop").unwrap().secret.reveal(), secret);
    assert_eq!(code(&stage.call(&admin, "POST", "/v1/apps", new).await), "app_taken");
    let odd = json!({"id": "odd", "orgins": []});
    assert_eq!(code(&stage.call(&admin, "POST", "/v1/apps", odd).await), "invalid_request");

    let change = json!({"reception": "queue", "rates": {"visitor_per_s": 3}});
    let changed = stage.call(&admin, "PATCH", "/v1/apps/shop", change).await;
    let app = &changed.json()["app"];
    assert_eq!((&app["reception"], &app["anonymous"]), (&json!("queue"), &json!(true)));
    assert_eq!(app["rates"]["visitor_per_s"], 3);
    let wrong = json!({"origins": ["https://shop.example/path"]});
    assert_eq!(code(&stage.call(&admin, "PATCH", "/v1/apps/shop", wrong).await), "invalid_request");
    assert_eq!(code(&stage.call(&admin, "PATCH", "/v1/apps/none", json!({})).await), "no_such_app");

    let rotated = stage.call(&admin, "POST", "/v1/apps/shop/secret", Value::Null).await.json();
    let newer = rotated["secret"].as_str().unwrap();
    assert_ne!(newer, secret);
    assert!(rotated["app"]["old_secret_until_ms"].is_u64());
    let listed = stage.call(&admin, "GET", "/v1/apps", Value::Null).await;
    for shown in [&secret, newer] {
        assert!(!listed.body.contains(shown) && !changed.body.contains(shown));
    }
    let ids: Vec<_> =
        listed.json()["apps"].as_array().unwrap().iter().map(|app| app["id"].clone()).collect();
    assert_eq!(ids, ["default", "desk", "shop"]);
}

#[tokio::test]
async fn keys_are_managed_and_shown_once() {
    let stage = Stage::open().await;
    let admin = stage.admin().await;
    let none = json!({"app": "none"});
    assert_eq!(code(&stage.call(&admin, "POST", "/v1/keys", none).await), "no_such_app");
    let new = json!({"app": "default", "name": "crm"});
    let made = stage.call(&admin, "POST", "/v1/keys", new).await.json();
    let secret = made["secret"].as_str().unwrap();
    assert_eq!(stage.call(secret, "GET", "/v1/queue", Value::Null).await.status, 200);
    let listed = stage.call(&admin, "GET", "/v1/keys", Value::Null).await;
    assert!(!listed.body.contains(secret) && listed.body.contains("crm"));

    let path = format!("/v1/keys/{}", made["key"]["id"].as_str().unwrap());
    assert_eq!(stage.call(&admin, "DELETE", &path, Value::Null).await.status, 204);
    let again = stage.call(&admin, "DELETE", &path, Value::Null).await;
    assert_eq!((again.status.as_u16(), code(&again)), (404, "no_such_key".to_owned()));
    assert_eq!(stage.call(secret, "GET", "/v1/queue", Value::Null).await.status, 401);
}

#[tokio::test]
async fn lists_of_records_come_in_pages() {
    let stage = Stage::open().await;
    let admin = stage.admin().await;
    for number in 0..3 {
        let new = json!({"id": format!("app-{number}")});
        assert_eq!(stage.call(&admin, "POST", "/v1/apps", new).await.status, 200);
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/apps?limit=2{cursor}");
        let page = stage.call(&admin, "GET", &path, Value::Null).await.json();
        let apps = page["apps"].as_array().unwrap();
        seen.extend(apps.iter().map(|app| app["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        assert_eq!(apps.len(), 2);
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, ["app-0", "app-1", "app-2", "default", "desk"]);
    for path in ["/v1/apps?limit=0", "/v1/apps?limit=201", "/v1/apps?offset=2"] {
        let refused = stage.call(&admin, "GET", path, Value::Null).await;
        assert_eq!((refused.status.as_u16(), code(&refused)), (422, "invalid_request".to_owned()));
    }
}
