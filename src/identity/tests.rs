//! The first start, signing in, managing, and what the store then holds.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::{
    ADMIN_LOGIN, AgentSettings, AppSettings, DEFAULT_APP, FirstStart, Identity, IdentityError,
    Principal, Role, Secret, Settings, Source,
};
use crate::store::MemoryStore;
use crate::store::{Order, Scan, Store};

const NOW_MS: u64 = 1_800_000_000_000;
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const HOUR_MS: u64 = 60 * 60 * 1_000;

async fn open(store: &Arc<dyn Store>) -> (Identity, Option<FirstStart>) {
    Identity::open(Arc::clone(store), Settings::default(), NOW_MS).await.unwrap()
}

async fn fresh() -> (Arc<dyn Store>, Identity, FirstStart) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let (identity, first) = open(&store).await;
    (store, identity, first.unwrap())
}

fn code<T: std::fmt::Debug>(result: Result<T, IdentityError>) -> &'static str {
    result.unwrap_err().code()
}

fn agent(role: Role) -> AgentSettings {
    AgentSettings { name: "韩梅梅".to_owned(), role, capacity: 3, disabled: false }
}

fn password() -> Secret {
    Secret::new("correct horse battery")
}

#[tokio::test]
async fn the_first_start_makes_secrets_once() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let (one, other) = tokio::join!(open(&store), open(&store));
    let mut firsts = [one.1, other.1].into_iter().flatten();
    let first = firsts.next().unwrap();
    assert!(firsts.next().is_none(), "two starts at once make one set");
    assert!(open(&store).await.1.is_none());

    for identity in [one.0, other.0] {
        let who = identity.login(ADMIN_LOGIN, first.admin_password.clone(), HERE, NOW_MS).await;
        assert!(who.unwrap().agent.has(Role::Admin));
        let service = identity.verify_key(first.api_key.reveal()).unwrap();
        assert!(matches!(service, Principal::Service { app, .. } if app == DEFAULT_APP));
        assert_eq!(identity.app(DEFAULT_APP).unwrap().secret, first.app_secret);
    }
}

#[tokio::test]
async fn secrets_are_neither_printed_nor_stored_in_clear() {
    let (store, identity, first) = fresh().await;
    let signed_in = identity.login("admin", first.admin_password.clone(), HERE, NOW_MS).await;
    let signed_in = signed_in.unwrap();
    let manager = identity.manage_as_operator();
    let issued = identity.issue_anonymous(DEFAULT_APP, Source::default(), HERE, NOW_MS).unwrap();
    let printed = format!(
        "{first:?} {identity:?} {signed_in:?} {issued:?} {:?} {:?} {:?}",
        manager.apps(),
        manager.agents(),
        manager.api_keys()
    );
    let rows = store.scan(Scan::prefix(b"", Order::Ascending, 1_000)).await.unwrap().rows;
    let stored: String = rows
        .iter()
        .map(|(key, value)| String::from_utf8([&key[..], value].concat()).unwrap())
        .collect();
    assert!(rows.iter().all(|(key, _)| key[0] == b'i'));
    // A site's secret has to be there: without it no token could be checked.
    assert!(stored.contains(first.app_secret.reveal()));
    assert!(!printed.contains(first.app_secret.reveal()));
    assert!(!printed.contains("$argon2"));
    for secret in [&first.admin_password, &first.api_key, &signed_in.token, &issued.token] {
        assert!(!printed.contains(secret.reveal()));
        assert!(!stored.contains(secret.reveal()));
    }
}

#[tokio::test]
async fn signing_in_and_out() {
    let (_, identity, _) = fresh().await;
    let manager = identity.manage_as_operator();
    let mei = manager.create_agent(" Mei ", password(), agent(Role::Agent), NOW_MS).await.unwrap();
    let login = |name: &'static str, word| identity.login(name, Secret::new(word), HERE, NOW_MS);
    assert_eq!(code(login("mei", "wrong password").await), "unauthorized");
    let unknown = login("nobody", "wrong password").await;
    assert_eq!(unknown, login("mei", "wrong password").await, "answered alike");

    let session = login("MEI", "correct horse battery").await.unwrap();
    let token = session.token.reveal();
    assert_eq!(session.agent, Principal::from(&mei));
    assert_eq!(identity.verify_session(token, NOW_MS).await, Ok(session.agent.clone()));
    for wrong in ["", "kfs_", "kfs_wrong", &token[1..]] {
        assert_eq!(code(identity.verify_session(wrong, NOW_MS).await), "unauthorized");
    }
    identity.logout(token).await.unwrap();
    assert_eq!(code(identity.verify_session(token, NOW_MS).await), "unauthorized");
}

#[tokio::test]
async fn a_session_in_use_lasts_until_its_end() {
    let (_, identity, first) = fresh().await;
    let session = identity.login("admin", first.admin_password, HERE, NOW_MS).await.unwrap();
    let token = session.token.reveal();
    let mut now_ms = NOW_MS;
    while now_ms + 11 * HOUR_MS < NOW_MS + 7 * 24 * HOUR_MS {
        now_ms += 11 * HOUR_MS;
        assert!(identity.verify_session(token, now_ms).await.is_ok(), "used every 11 hours");
    }
    let end_ms = NOW_MS + 7 * 24 * HOUR_MS;
    assert_eq!(code(identity.verify_session(token, end_ms).await), "unauthorized");
    assert_eq!(identity.forget_sessions(end_ms - 1).await, Ok(0));
    assert_eq!(identity.forget_sessions(end_ms).await, Ok(1));

    let idle = identity.manage_as_operator();
    idle.create_agent("mei", password(), agent(Role::Agent), NOW_MS).await.unwrap();
    let session = identity.login("mei", password(), HERE, NOW_MS).await.unwrap();
    let late = identity.verify_session(session.token.reveal(), NOW_MS + 12 * HOUR_MS).await;
    assert_eq!(code(late), "unauthorized", "12 hours without use");
}

#[tokio::test]
async fn a_new_password_and_disabling_end_all_sessions() {
    let (_, identity, _) = fresh().await;
    let manager = identity.manage_as_operator();
    let mei = manager.create_agent("mei", password(), agent(Role::Agent), NOW_MS).await.unwrap();
    let signed_in = async |word| identity.login("mei", word, HERE, NOW_MS).await.unwrap().token;
    let alive =
        async |token: &Secret| identity.verify_session(token.reveal(), NOW_MS).await.is_ok();

    let token = signed_in(password()).await;
    let new = Secret::new("another good one");
    let change = |old, new| identity.change_password(&mei.id, old, new, HERE, NOW_MS);
    let wrong = change(Secret::new("not hers"), new.clone()).await;
    assert_eq!(code(wrong), "unauthorized");
    assert!(alive(&token).await);
    change(password(), new.clone()).await.unwrap();
    assert!(!alive(&token).await);

    let token = signed_in(new.clone()).await;
    manager.reset_password(&mei.id, password()).await.unwrap();
    assert!(!alive(&token).await);

    let token = signed_in(password()).await;
    let off = AgentSettings { disabled: true, ..agent(Role::Agent) };
    manager.update_agent(&mei.id, off).await.unwrap();
    assert_eq!(code(identity.login("mei", password(), HERE, NOW_MS).await), "unauthorized");
    manager.update_agent(&mei.id, agent(Role::Agent)).await.unwrap();
    assert!(!alive(&token).await, "not even when enabled again");
}

#[tokio::test]
async fn wrong_passwords_make_the_next_wait() {
    let (_, identity, first) = fresh().await;
    for _ in 0..5 {
        let wrong = identity.login("admin", Secret::new("wrong"), HERE, NOW_MS).await;
        assert_eq!(code(wrong), "unauthorized");
    }
    let right = || identity.login("admin", first.admin_password.clone(), HERE, NOW_MS);
    assert_eq!(right().await, Err(IdentityError::RateLimited { retry_after_ms: 1_000 }));
    let elsewhere = [10, 0, 0, 1].into();
    let there = identity.login("admin", first.admin_password.clone(), elsewhere, NOW_MS).await;
    assert!(there.is_ok(), "strangers cannot lock an agent out");
}

#[tokio::test]
async fn only_administrators_manage_and_one_stays() {
    let (_, identity, first) = fresh().await;
    let manager = identity.manage_as_operator();
    for role in [Role::Agent, Role::Editor] {
        let login = format!("{role:?}");
        let other = manager.create_agent(&login, password(), agent(role), NOW_MS).await.unwrap();
        assert_eq!(code(identity.manage(&(&other).into())), "forbidden");
    }
    let service = identity.verify_key(first.api_key.reveal()).unwrap();
    assert_eq!(code(identity.manage(&service)), "forbidden");

    let admin = manager.agents().into_iter().find(|agent| agent.login == "admin").unwrap();
    assert!(identity.manage(&(&*admin).into()).is_ok());
    let off = AgentSettings { disabled: true, ..AgentSettings::from(&*admin) };
    assert_eq!(code(manager.update_agent(&admin.id, off.clone()).await), "last_admin");
    assert_eq!(code(manager.update_agent(&admin.id, agent(Role::Agent)).await), "last_admin");
    let taken = manager.create_agent("ADMIN", password(), agent(Role::Admin), NOW_MS).await;
    assert_eq!(code(taken), "login_taken");
    manager.create_agent("second", password(), agent(Role::Admin), NOW_MS).await.unwrap();
    assert!(manager.update_agent(&admin.id, off).await.is_ok());
}

#[tokio::test]
async fn two_nodes_cannot_take_each_others_last_administrator() {
    let (store, here, _) = fresh().await;
    let second = here.manage_as_operator();
    let second =
        second.create_agent("second", password(), agent(Role::Admin), NOW_MS).await.unwrap();
    let (there, _) = open(&store).await;
    let first = here.manage_as_operator().agents();
    let first = first.iter().find(|agent| agent.login == "admin").unwrap();
    here.manage_as_operator().update_agent(&first.id, agent(Role::Editor)).await.unwrap();
    let late = || there.manage_as_operator();
    assert_eq!(code(late().update_agent(&second.id, agent(Role::Editor)).await), "conflict");
    assert_eq!(code(late().update_agent(&second.id, agent(Role::Editor)).await), "last_admin");
}

#[tokio::test]
async fn apps_and_their_visitors() {
    let (_, identity, _) = fresh().await;
    let manager = identity.manage_as_operator();
    let default = identity.app(DEFAULT_APP).unwrap();
    let settings = AppSettings {
        origins: vec!["https://shop.example".to_owned()],
        local_origins: false,
        ..AppSettings::from(&*default)
    };
    let app = manager.create_app("shop", settings.clone(), NOW_MS).await.unwrap();
    assert_ne!(app.secret, default.secret);
    assert_eq!(code(manager.create_app("shop", settings.clone(), NOW_MS).await), "app_taken");
    assert_eq!(code(manager.create_app("Shop", settings.clone(), NOW_MS).await), "invalid");
    for origins in [["https://*.com"], ["https://shop.example/"]] {
        let bad = AppSettings { origins: origins.map(str::to_owned).into(), ..settings.clone() };
        assert_eq!(code(manager.update_app("shop", bad).await), "invalid");
    }
    let bad = AppSettings { public_keys: vec!["AAAA".to_owned()], ..settings.clone() };
    assert_eq!(code(manager.update_app("shop", bad).await), "invalid");

    let from = |origin| Source { origin: Some(origin), host: Some("chat.example") };
    let (shop, evil) = (from("https://shop.example"), from("https://evil.example"));
    assert_eq!(code(identity.issue_anonymous("shop", evil, HERE, NOW_MS)), "origin_refused");
    let issued = identity.issue_anonymous("shop", shop, HERE, NOW_MS).unwrap();
    let token = issued.token.reveal();
    assert_eq!(code(identity.verify_visitor("shop", token, evil, NOW_MS)), "origin_refused");
    let later_ms = NOW_MS + HOUR_MS;
    let renewed = identity.renew_anonymous("shop", token, shop, later_ms).unwrap();
    assert_eq!(renewed.visitor, issued.visitor, "who they are stays");
    assert!(renewed.expires_ms > issued.expires_ms);
    let unbound = identity.renew_anonymous("shop", token, Source::default(), later_ms).unwrap();
    let listed =
        AppSettings { origins: vec!["https://*.example".to_owned() + ".org"], ..settings.clone() };
    manager.update_app("shop", listed).await.unwrap();
    let other = from("https://a.example.org");
    let moved = identity.verify_visitor("shop", unbound.token.reveal(), other, later_ms);
    assert_eq!(code(moved), "origin_refused", "renewing does not loose a token from its page");

    let flood =
        (0..20).map(|_| identity.issue_anonymous(DEFAULT_APP, Source::default(), HERE, NOW_MS));
    assert!(flood.filter_map(Result::err).any(|error| error.code() == "rate_limited"));

    let off = AppSettings { disabled: true, ..settings };
    manager.update_app("shop", off).await.unwrap();
    assert_eq!(code(identity.verify_visitor("shop", token, shop, NOW_MS)), "no_such_app");
    assert_eq!(code(identity.admit("shop", "u-1")), "no_such_app");
}

#[tokio::test]
async fn a_rotated_secret_is_good_for_a_day() {
    let (_, identity, first) = fresh().await;
    let manager = identity.manage_as_operator();
    let app = manager.rotate_secret(DEFAULT_APP, NOW_MS).await.unwrap();
    assert_ne!(app.secret, first.app_secret);
    let old = app.old_secret.clone().unwrap();
    assert_eq!((old.secret, old.until_ms), (first.app_secret, NOW_MS + 24 * HOUR_MS));
}

#[tokio::test]
async fn api_keys() {
    let (store, identity, first) = fresh().await;
    let manager = identity.manage_as_operator();
    let (key, secret) = manager.create_key(DEFAULT_APP, "crm", NOW_MS).await.unwrap();
    assert_eq!(code(manager.create_key("nowhere", "crm", NOW_MS).await), "no_such_app");
    assert_eq!(manager.api_keys().len(), 2);
    let (there, _) = open(&store).await;
    for wrong in ["", "kefu_", "kefu_1_2", &format!("kefu_{}_{}", key.id, "A".repeat(43))] {
        assert_eq!(code(identity.verify_key(wrong)), "unauthorized", "{wrong}");
    }
    assert!(identity.verify_key(secret.reveal()).is_ok());
    manager.delete_key(&key.id).await.unwrap();
    assert_eq!(code(identity.verify_key(secret.reveal())), "unauthorized");
    assert!(identity.verify_key(first.api_key.reveal()).is_ok());
    there.reload().await.unwrap();
    assert_eq!(code(there.verify_key(secret.reveal())), "unauthorized", "another node reads again");
}
