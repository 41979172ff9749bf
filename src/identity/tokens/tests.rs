//! Which visitor tokens are good. Tokens are put together by hand here, as an attacker would.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::Sha256;

use super::{ANONYMOUS_PREFIX, Desk, SKEW_MS, Visitor};
use crate::identity::IdentityError;
use crate::identity::records::{App, OldSecret};
use crate::identity::secrets::Secret;

const NOW_MS: u64 = 1_800_000_000_000;
const NOW_S: u64 = NOW_MS / 1_000;
const DAY_S: u64 = 24 * 60 * 60;
const SITE: &str = "the shop's secret of at least 32 bytes";
const OLD: &str = "the shop's secret of last year, replaced";
const SERVER: &str = "the server's own secret, 32 bytes or more";

/// An app thatknows the public half of [`ed25519`]'s key.
fn shop() -> App {
    let app: App = serde_json::from_str(r#"{"id": "shop", "secret": ""}"#).unwrap();
    App {
        secret: Secret::new(SITE),
        old_secret: Some(OldSecret { secret: Secret::new(OLD), until_ms: NOW_MS + 1 }),
        public_keys: vec![ed25519::public()],
        anonymous: true,
        ..app
    }
}

/// Signs as a site's backend does.
mod ed25519 {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ed25519_dalek::{Signer as _, SigningKey};

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    pub(super) fn public() -> String {
        URL_SAFE_NO_PAD.encode(key().verifying_key().as_bytes())
    }

    pub(super) fn sign(message: &str) -> Vec<u8> {
        key().sign(message.as_bytes()).to_bytes().to_vec()
    }
}

fn encode(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

fn token(header: &Value, claims: &Value, sign: impl FnOnce(&str) -> Vec<u8>) -> String {
    let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signature = sign(&message);
    format!("{message}.{}", encode(signature))
}

fn mac(secret: impl AsRef<[u8]>) -> impl FnOnce(&str) -> Vec<u8> {
    move |message| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_ref()).unwrap();
        mac.update(message.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }
}

fn hs256(claims: &Value) -> String {
    token(&json!({"alg": "HS256", "typ": "JWT"}), claims, mac(SITE))
}

fn good() -> Value {
    json!({"sub": "u-1", "exp": NOW_S + 60})
}

/// The good claims with others on top; `null` removes one.
fn with(more: &Value) -> Value {
    let mut claims = good();
    let object = claims.as_object_mut().unwrap();
    for (name, value) in more.as_object().unwrap() {
        object.insert(name.clone(), value.clone());
    }
    object.retain(|_, value| !value.is_null());
    claims
}

fn desk<'a>(app: &'a App, server: &'a Secret, now_ms: u64) -> Desk<'a> {
    Desk { app, server, max_lifetime_ms: 30 * DAY_S * 1_000, now_ms }
}

fn verify(token: &str, now_ms: u64) -> Result<Visitor, IdentityError> {
    desk(&shop(), &Secret::new(SERVER), now_ms).verify(token, Some("https://shop.example"))
}

fn code(token: &str) -> &'static str {
    verify(token, NOW_MS).map_or_else(|error| error.code(), |_| "good")
}

#[test]
fn a_good_token_says_who_writes() {
    let claims = json!({
        "sub": "u-1", "exp": NOW_S + 60, "iat": NOW_S, "aud": ["shop", "blog"], "app": "shop",
        "name": "李雷", "email": "li@example.com", "attributes": {"plan": "gold", "orders": 3},
    });
    let visitor = verify(&hs256(&claims), NOW_MS).unwrap();
    assert_eq!((visitor.app.as_str(), visitor.id.as_str()), ("shop", "u-1"));
    assert_eq!(visitor.name.as_deref(), Some("李雷"));
    assert_eq!(visitor.email.as_deref(), Some("li@example.com"));
    assert_eq!(visitor.attributes["orders"], "3");
    assert_eq!(visitor.expires_ms, (NOW_S + 60) * 1_000);
    assert!(!visitor.anonymous);
}

/// Made by the programs of `docs/identity.md`.
#[test]
fn tokens_of_other_languages() {
    let rows = [
        (
            "HS256 by Node",
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1c2VyLTEwMTciLCJuYW1lIjoi5p2O6Zu\
         3IiwiZXhwIjoxODAwMDAzNjAwfQ.KyckpmfC1nxaR32t__5YtkS00p-wMxIl4ezi2qDRVjw",
        ),
        (
            "EdDSA by Node",
            "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1c2VyLTEwMTciLCJuYW1lIjoi5p2O6Zu\
         3IiwiZXhwIjoxODAwMDAzNjAwfQ.0FIwXk8yTPtrVat6G0_AsRVTAgE-bjy_4GJR3vSgHufG81Wjj7OR\
         pWlmRWg1ymefo2V8PfzgVLpCqeYLtffiBA",
        ),
        (
            "HS256 by Python",
            "eyJhbGciOiAiSFMyNTYiLCAidHlwIjogIkpXVCJ9.eyJzdWIiOiAidXNlci0xMDE3IiwgIm5hbWUiOiA\
         iXHU2NzRlXHU5NmY3IiwgImV4cCI6IDE4MDAwMDM2MDB9.vZf2BvzuN_8CBUte2EID_QiLYc60u2uvD8\
         HHj8sZ3k0",
        ),
    ];
    for (name, token) in rows {
        let visitor = verify(token, NOW_MS).unwrap();
        assert_eq!(
            (visitor.id.as_str(), visitor.name.as_deref()),
            ("user-1017", Some("李雷")),
            "{name}"
        );
    }
}

#[test]
fn claims() {
    let many: Value =
        (0..17).map(|n| (n.to_string(), json!(n))).collect::<serde_json::Map<_, _>>().into();
    let rows = [
        ("good", json!({}), "good"),
        ("exp with a fraction", json!({"exp": NOW_S as f64 + 0.5}), "good"),
        ("expired, clocks differ", json!({"exp": NOW_S - 59}), "good"),
        ("expired", json!({"exp": NOW_S - 60}), "token_expired"),
        ("expired in 1970", json!({"exp": -1}), "token_expired"),
        ("no exp", json!({"exp": null}), "token_invalid"),
        ("exp as text", json!({"exp": "2099"}), "token_invalid"),
        ("30 days", json!({"exp": NOW_S + 30 * DAY_S}), "good"),
        ("31 days", json!({"exp": NOW_S + 31 * DAY_S}), "token_invalid"),
        ("for ever", json!({"exp": 1e300}), "token_invalid"),
        ("nbf, clocks differ", json!({"nbf": NOW_S + 59}), "good"),
        ("nbf ahead", json!({"nbf": NOW_S + 61}), "token_invalid"),
        ("no sub", json!({"sub": null}), "token_invalid"),
        ("empty sub", json!({"sub": ""}), "token_invalid"),
        ("sub of 128", json!({"sub": "客".repeat(128)}), "good"),
        ("sub of 129", json!({"sub": "a".repeat(129)}), "token_invalid"),
        ("sub with a line end", json!({"sub": "a\nb"}), "token_invalid"),
        ("sub as a number", json!({"sub": 7}), "token_invalid"),
        ("an anonymous sub", json!({"sub": "anon-1"}), "token_invalid"),
        ("claims to be ours", json!({"sub": "anon-1", "iss": "kefu"}), "token_invalid"),
        ("aud", json!({"aud": "shop"}), "good"),
        ("another aud", json!({"aud": "blog"}), "token_invalid"),
        ("no aud of many", json!({"aud": []}), "token_invalid"),
        ("another app", json!({"app": "blog"}), "token_invalid"),
        ("a long name", json!({"name": "a".repeat(129)}), "token_invalid"),
        ("a long email", json!({"email": "a".repeat(255)}), "token_invalid"),
        ("a long attribute", json!({"attributes": {"a": "a".repeat(257)}}), "token_invalid"),
        ("a nested attribute", json!({"attributes": {"a": {}}}), "token_invalid"),
        ("many attributes", json!({"attributes": many}), "token_invalid"),
        ("other claims", json!({"roles": ["x"]}), "good"),
        ("huge", json!({"roles": "x".repeat(8 << 10)}), "token_invalid"),
    ];
    for (name, more, expected) in rows {
        assert_eq!(code(&hs256(&with(&more))), expected, "{name}");
    }
}

#[test]
fn signatures() {
    let head = |alg: &str| json!({"alg": alg, "typ": "JWT"});
    let public = URL_SAFE_NO_PAD.decode(ed25519::public()).unwrap();
    let crit = json!({"alg": "HS256", "crit": ["b64"], "b64": false});
    let anonymous = with(&json!({"sub": "anon-1", "aud": "shop"}));
    let rows = [
        ("the secret", token(&head("HS256"), &good(), mac(SITE)), "good"),
        ("the secret before", token(&head("HS256"), &good(), mac(OLD)), "good"),
        ("EdDSA", token(&head("EdDSA"), &good(), ed25519::sign), "good"),
        ("another secret", token(&head("HS256"), &good(), mac("of the blog")), "token_invalid"),
        ("the empty secret", token(&head("HS256"), &good(), mac("")), "token_invalid"),
        ("the public key as secret", token(&head("HS256"), &good(), mac(&public)), "token_invalid"),
        (
            "its text as secret",
            token(&head("HS256"), &good(), mac(ed25519::public())),
            "token_invalid",
        ),
        ("HMAC called EdDSA", token(&head("EdDSA"), &good(), mac(SITE)), "token_invalid"),
        ("EdDSA called HMAC", token(&head("HS256"), &good(), ed25519::sign), "token_invalid"),
        ("HMAC called HS512", token(&head("HS512"), &good(), mac(SITE)), "token_invalid"),
        ("RS256", token(&head("RS256"), &good(), mac(SITE)), "token_invalid"),
        ("none", token(&head("none"), &good(), |_| vec![]), "token_invalid"),
        ("None", token(&head("None"), &good(), |_| vec![]), "token_invalid"),
        ("no signature", token(&head("HS256"), &good(), |_| vec![]), "token_invalid"),
        ("no algorithm", token(&json!({}), &good(), mac(SITE)), "token_invalid"),
        ("crit", token(&crit, &good(), mac(SITE)), "token_invalid"),
        (
            "the server's, not anonymous",
            token(&head("HS256"), &good(), mac(SERVER)),
            "token_invalid",
        ),
        ("the server's", token(&head("HS256"), &anonymous, mac(SERVER)), "good"),
        ("empty", String::new(), "token_invalid"),
        ("dots", "...".to_owned(), "token_invalid"),
        ("four parts", format!("{}.", hs256(&good())), "token_invalid"),
    ];
    for (name, token, expected) in rows {
        assert_eq!(code(&token), expected, "{name}");
    }
    let late =
        verify(&token(&head("HS256"), &with(&json!({"exp": NOW_S + 600})), mac(OLD)), NOW_MS + 1);
    assert_eq!(late.unwrap_err().code(), "token_invalid", "the grace period is over");
}

#[test]
fn a_tampered_token_is_refused() {
    let good = hs256(&with(&json!({"aud": "shop"})));
    assert_eq!(code(&good), "good");
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(code(std::str::from_utf8(&bytes).unwrap()), "token_invalid", "byte {at}");
    }
}

#[test]
fn anonymous_visitors() {
    let (app, server) = (shop(), Secret::new(SERVER));
    let here = || Some("https://shop.example".to_owned());
    let desk = desk(&app, &server, NOW_MS);
    let issued = desk.issue(None, here(), DAY_S * 1_000).unwrap();
    assert_eq!(issued.visitor.len(), ANONYMOUS_PREFIX.len() + 32);
    let token = issued.token.reveal();
    let visitor = desk.verify(token, here().as_deref()).unwrap();
    assert!(visitor.anonymous);
    assert_eq!((visitor.id, visitor.expires_ms), (issued.visitor.clone(), issued.expires_ms));
    assert!(desk.verify(token, None).is_ok(), "requests of a page to its own server");
    let elsewhere = desk.verify(token, Some("https://blog.example")).unwrap_err();
    assert_eq!(elsewhere.code(), "origin_refused");
    let late = Desk { now_ms: issued.expires_ms + SKEW_MS, ..desk };
    assert_eq!(late.verify(token, None).unwrap_err().code(), "token_expired");

    let other = App { id: "blog".to_owned(), ..shop() };
    let desk = Desk { app: &other, ..desk };
    assert_eq!(desk.verify(token, None).unwrap_err().code(), "token_invalid", "another app");
    let closed = App { anonymous: false, ..shop() };
    let desk = Desk { app: &closed, ..desk };
    assert_eq!(desk.verify(token, None).unwrap_err().code(), "token_invalid");
    assert_eq!(desk.issue(None, here(), 1).unwrap_err().code(), "forbidden");
}

proptest! {
    #[test]
    fn no_random_text_is_accepted(text in ".{0,200}") {
        prop_assert_eq!(code(&text), "token_invalid");
    }

    #[test]
    fn no_random_parts_are_accepted(
        header in prop::sample::select(vec!["HS256", "EdDSA", "none", "ES256", "HS384"]),
        claims in prop::collection::vec(any::<u8>(), 0..80),
        signature in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let header = encode(json!({"alg": header}).to_string());
        let (claims, signature) = (encode(claims), encode(signature));
        prop_assert_eq!(code(&format!("{header}.{claims}.{signature}")), "token_invalid");
    }

    /// A site may sign anything; it must not bring the server down.
    #[test]
    fn signed_nonsense_does_not_panic(claims in ".{0,80}", exp in any::<f64>()) {
        let head = encode(json!({"alg": "HS256"}).to_string());
        let message = format!("{head}.{}", encode(&claims));
        let token = format!("{message}.{}", encode(mac(SITE)(&message)));
        prop_assert_eq!(code(&token), "token_invalid");
        let _any = code(&hs256(&with(&json!({"exp": exp, "nbf": exp}))));
    }
}
