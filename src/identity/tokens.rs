//! Visitor tokens: which are good, and making those of anonymous visitors.
//!
//! JSON Web Tokens (RFC 7519). The key decides the algorithm, never the token. Tokens of a site are
//! signed by its backend; tokens of anonymous visitors by this server, with a secret of its own and
//! ids that no site may use. Called by [`super::Identity`]; knows no store and no clock.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::IdentityError;
use super::records::App;
use super::secrets::{Secret, random_id};
use super::signing;

/// How far clocks may differ.
pub const SKEW_MS: u64 = 60_000;
/// Longest token.
pub const MAX_TOKEN_BYTES: usize = 8 << 10;
/// Beginning of the ids of anonymous visitors; no site may use it.
pub const ANONYMOUS_PREFIX: &str = "anon-";
/// Who issues the tokens of anonymous visitors.
const ISSUER: &str = "kefu";

const MAX_ID_CHARS: usize = 128;
const MAX_NAME_CHARS: usize = 128;
const MAX_EMAIL_CHARS: usize = 254;
const MAX_ATTRIBUTES: usize = 16;
const MAX_ATTRIBUTE_CHARS: usize = 256;

/// Who a token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// The app.
    pub app: String,
    /// Unique within the app.
    pub id: String,
    /// As the site gave it.
    pub name: Option<String>,
    /// As the site gave it.
    pub email: Option<String>,
    /// What else the site wants agents to see.
    pub attributes: BTreeMap<String, String>,
    /// Whether this server made the id.
    pub anonymous: bool,
    /// Of anonymous visitors: the origin that the token is bound to.
    pub origin: Option<String>,
    /// When the token ends, in ms since 1970.
    pub expires_ms: u64,
}

/// A token for an anonymous visitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnonymousToken {
    /// The token.
    pub token: Secret,
    /// The visitor's id.
    pub visitor: String,
    /// When it ends, in ms since 1970. Renew it before.
    pub expires_ms: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Claims {
    sub: Option<String>,
    /// Seconds, perhaps with a fraction (`NumericDate`).
    exp: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<Audience>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<String, Value>,
    /// Of anonymous visitors: the page that asked for the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// What tokens are checked against.
pub(super) struct Desk<'a> {
    pub(super) app: &'a App,
    /// Signs the tokens of anonymous visitors.
    pub(super) server: &'a Secret,
    pub(super) max_lifetime_ms: u64,
    pub(super) now_ms: u64,
}

/// Who signed a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signer {
    Site,
    Server,
}

impl Desk<'_> {
    /// Who `token` speaks for, when a page of `origin` shows it. A browser leaves the origin out of
    /// some requests to the page's own server, never of those to another.
    pub(super) fn verify(
        &self,
        token: &str,
        origin: Option<&str>,
    ) -> Result<Visitor, IdentityError> {
        let (claims, signer) = self.open(token)?;
        let expires_ms = self.check_times(&claims)?;
        let anonymous = signer == Signer::Server;
        let id = text(claims.sub, MAX_ID_CHARS, "`sub` must be 1 to 128 printable characters")?
            .ok_or(IdentityError::TokenInvalid("`sub`, the visitor's id, is missing"))?;
        let named = match claims.aud {
            None => !anonymous,
            Some(Audience::One(one)) => one == self.app.id,
            Some(Audience::Many(many)) => many.contains(&self.app.id),
        };
        if !named || claims.app.is_some_and(|app| app != self.app.id) {
            return Err(IdentityError::TokenInvalid("it is for another app"));
        }
        if id.starts_with(ANONYMOUS_PREFIX) != anonymous {
            let message = "`sub` must not begin with `anon-`, which is for anonymous visitors";
            return Err(IdentityError::TokenInvalid(message));
        }
        if anonymous && !self.app.anonymous {
            return Err(IdentityError::TokenInvalid("the app takes no anonymous visitors"));
        }
        if let (true, Some(bound), Some(origin)) = (anonymous, &claims.origin, origin)
            && bound != origin
        {
            return Err(IdentityError::OriginRefused);
        }
        Ok(Visitor {
            app: self.app.id.clone(),
            id,
            name: text(claims.name, MAX_NAME_CHARS, "`name` must be at most 128 characters")?,
            email: text(claims.email, MAX_EMAIL_CHARS, "`email` must be at most 254 characters")?,
            attributes: attributes(claims.attributes)?,
            anonymous,
            origin: claims.origin.filter(|_| anonymous),
            expires_ms,
        })
    }

    /// A token for `visitor`, or for a new one.
    pub(super) fn issue(
        &self,
        visitor: Option<String>,
        origin: Option<String>,
        lifetime_ms: u64,
    ) -> Result<AnonymousToken, IdentityError> {
        if !self.app.anonymous {
            return Err(IdentityError::Forbidden);
        }
        let id = visitor.unwrap_or_else(|| format!("{ANONYMOUS_PREFIX}{}", random_id()));
        let expires_s = self.now_ms.saturating_add(lifetime_ms.min(self.max_lifetime_ms)) / 1_000;
        let claims = Claims {
            sub: Some(id.clone()),
            exp: Some(expires_s as f64),
            aud: Some(Audience::One(self.app.id.clone())),
            iss: Some(ISSUER.to_owned()),
            origin,
            ..Claims::default()
        };
        signing::install();
        let key = EncodingKey::from_secret(self.server.reveal().as_bytes());
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
            .expect("a secret of text signs claims of text");
        Ok(AnonymousToken { token: Secret::new(token), visitor: id, expires_ms: expires_s * 1_000 })
    }

    /// The claims of a token that one of the keys has signed, and whose key that was.
    fn open(&self, token: &str) -> Result<(Claims, Signer), IdentityError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(IdentityError::TokenInvalid("it is longer than 8 KiB"));
        }
        signing::install();
        let header = jsonwebtoken::decode_header(token).map_err(|_| {
            IdentityError::TokenInvalid("it is no JSON Web Token with a known `alg`")
        })?;
        if header.crit.is_some() {
            return Err(IdentityError::TokenInvalid("`crit` is not supported"));
        }
        let keys = match header.alg {
            Algorithm::HS256 => self.secrets(),
            Algorithm::EdDSA => self.public_keys(),
            _ => return Err(IdentityError::TokenInvalid("sign it with HS256 or EdDSA")),
        };
        let mut validation = Validation::new(header.alg);
        // The crate would ask the system's clock; `verify` asks the caller's.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        for (key, signer) in keys {
            match jsonwebtoken::decode::<Claims>(token, &key, &validation) {
                Ok(data) => return Ok((data.claims, signer)),
                Err(error) if *error.kind() == ErrorKind::InvalidSignature => {}
                Err(_) => return Err(IdentityError::TokenInvalid("its claims cannot be read")),
            }
        }
        Err(IdentityError::TokenInvalid("no key of the app has signed it"))
    }

    fn secrets(&self) -> Vec<(DecodingKey, Signer)> {
        let old = self.app.old_secret.as_ref().filter(|old| self.now_ms < old.until_ms);
        let site = [Some(&self.app.secret), old.map(|old| &old.secret)].into_iter().flatten();
        let key = |secret: &Secret| DecodingKey::from_secret(secret.reveal().as_bytes());
        let mut keys: Vec<_> = site.map(|secret| (key(secret), Signer::Site)).collect();
        keys.push((key(self.server), Signer::Server));
        keys
    }

    fn public_keys(&self) -> Vec<(DecodingKey, Signer)> {
        let keys = self.app.public_keys.iter();
        let bytes = keys.filter_map(|key| URL_SAFE_NO_PAD.decode(key).ok());
        bytes.map(|bytes| (DecodingKey::from_ed_der(&bytes), Signer::Site)).collect()
    }

    /// When the token ends.
    fn check_times(&self, claims: &Claims) -> Result<u64, IdentityError> {
        // A cast from f64 saturates.
        let ms = |seconds: f64| (seconds * 1_000.0) as u64;
        let missing = IdentityError::TokenInvalid("`exp`, when it expires, is missing");
        let expires_ms = ms(claims.exp.ok_or(missing)?);
        if expires_ms.saturating_add(SKEW_MS) <= self.now_ms {
            return Err(IdentityError::TokenExpired);
        }
        let latest_ms = self.now_ms.saturating_add(self.max_lifetime_ms).saturating_add(SKEW_MS);
        if expires_ms > latest_ms {
            return Err(IdentityError::TokenInvalid("`exp` is too far ahead"));
        }
        if claims.nbf.is_some_and(|nbf| ms(nbf) > self.now_ms.saturating_add(SKEW_MS)) {
            return Err(IdentityError::TokenInvalid("`nbf` says that it is not valid yet"));
        }
        Ok(expires_ms)
    }
}

/// A claim with 1 to `max` characters, all printable.
fn text(
    claim: Option<String>,
    max: usize,
    message: &'static str,
) -> Result<Option<String>, IdentityError> {
    let good = |text: &String| {
        !text.trim().is_empty() && text.chars().count() <= max && !text.contains(char::is_control)
    };
    match claim {
        Some(text) if !good(&text) => Err(IdentityError::TokenInvalid(message)),
        claim => Ok(claim),
    }
}

fn attributes(claims: BTreeMap<String, Value>) -> Result<BTreeMap<String, String>, IdentityError> {
    let wrong = IdentityError::TokenInvalid(
        "`attributes` must be at most 16 texts, numbers or booleans of at most 256 characters",
    );
    if claims.len() > MAX_ATTRIBUTES {
        return Err(wrong);
    }
    let short = |text: &str| text.chars().count() <= MAX_ATTRIBUTE_CHARS;
    let one = |(name, value): (String, Value)| {
        let value = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            _ => return None,
        };
        (short(&name) && short(&value)).then_some((name, value))
    };
    claims.into_iter().map(one).collect::<Option<_>>().ok_or(wrong)
}

#[cfg(test)]
mod tests;
