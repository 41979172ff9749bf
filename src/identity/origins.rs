//! Which pages may connect: an app's allow-list of web origins (RFC 6454).
//!
//! Only browsers send an origin, and they cannot be made to send a wrong one; what has none is no
//! page, and the token alone decides. Called when a connection or a request arrives.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::records::App;

/// Where a request comes from, as its headers say.
#[derive(Debug, Clone, Copy, Default)]
pub struct Source<'a> {
    /// The `Origin` header.
    pub origin: Option<&'a str>,
    /// The `Host` header.
    pub host: Option<&'a str>,
}

/// `scheme://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    /// 0: the scheme has no port.
    port: u16,
}

impl Origin {
    /// Reads an origin as browsers write it: ASCII, no path, no user. `null` is none.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let named = scheme.starts_with(|first: char| first.is_ascii_lowercase())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let (host, port) = authority(rest, default_port(&scheme))?;
        named.then_some(Self { scheme, host, port })
    }

    /// Whether web servers have such pages.
    fn is_web(&self) -> bool {
        self.scheme == "http" || self.scheme == "https"
    }

    fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        self.host == "localhost"
            || bare.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
            || bare.parse().is_ok_and(|address: Ipv6Addr| address.is_loopback())
    }

    /// Whether the page came from the server that `host` names. A proxy may have taken TLS off, so
    /// the scheme is the page's.
    fn is_same(&self, host: &str) -> bool {
        authority(host, default_port(&self.scheme))
            .is_some_and(|(host, port)| (host, port) == (self.host.clone(), self.port))
    }
}

fn default_port(scheme: &str) -> u16 {
    match scheme {
        "https" => 443,
        "http" => 80,
        _ => 0,
    }
}

/// Host and port of `host`, `host:port` or `[v6]:port`.
fn authority(text: &str, default: u16) -> Option<(String, u16)> {
    let end = if text.starts_with('[') {
        text.find(']')? + 1
    } else {
        text.find(':').unwrap_or(text.len())
    };
    let (host, port) = text.split_at(end);
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => default,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok()?
        }
        _ => return None,
    };
    let host = host.to_ascii_lowercase();
    is_host(&host).then_some((host, port))
}

fn is_host(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.strip_suffix(']').is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok());
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    host.len() <= 253 && host.split('.').all(label)
}

/// One entry of an allow-list.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Exact(Origin),
    /// All hosts below this one, not the host itself.
    Below(Origin),
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        let Some((scheme, rest)) = text.split_once("://*.") else {
            return Origin::parse(text).map(Self::Exact);
        };
        let origin = Origin::parse(&format!("{scheme}://{rest}"))?;
        // `*.com` would let in everybody, and an address has no hosts below it.
        let (_, last) = origin.host.rsplit_once('.')?;
        last.bytes().any(|byte| byte.is_ascii_alphabetic()).then_some(Self::Below(origin))
    }

    fn allows(&self, asked: &Origin) -> bool {
        let (Self::Exact(listed) | Self::Below(listed)) = self;
        if (&listed.scheme, listed.port) != (&asked.scheme, asked.port) {
            return false;
        }
        match self {
            Self::Exact(_) => listed.host == asked.host,
            Self::Below(_) => {
                asked.host.strip_suffix(&listed.host).is_some_and(|below| below.ends_with('.'))
            }
        }
    }
}

/// Whether `text` may stand in an allow-list.
pub(super) fn is_entry(text: &str) -> bool {
    Entry::parse(text).is_some()
}

/// Whether a request from `source` may use `app`.
pub(super) fn allows(app: &App, source: Source<'_>) -> bool {
    let Some(origin) = source.origin else { return true };
    let Some(asked) = Origin::parse(origin) else { return false };
    let local = || asked.is_loopback() || source.host.is_some_and(|host| asked.is_same(host));
    app.local_origins && asked.is_web() && local()
        || app
            .origins
            .iter()
            .filter_map(|entry| Entry::parse(entry))
            .any(|entry| entry.allows(&asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(origins: &[&str], local_origins: bool) -> App {
        let app: App = serde_json::from_str(r#"{"id": "shop", "secret": "s"}"#).unwrap();
        App { origins: origins.iter().map(|&one| one.to_owned()).collect(), local_origins, ..app }
    }

    #[test]
    fn listed_origins() {
        let list = [
            "https://example.com",
            "https://*.shop.example",
            "http://dev.example:8080",
            "https://xn--fsqu00a.example",
            "capacitor://localhost",
        ];
        let app = app(&list, false);
        let rows = [
            ("listed", "https://example.com", true),
            ("the default port", "https://example.com:443", true),
            ("any case", "HTTPS://Example.COM", true),
            ("another port", "https://example.com:444", false),
            ("another scheme", "http://example.com", false),
            ("a subdomain of an exact one", "https://www.example.com", false),
            ("continued", "https://example.com.evil", false),
            ("preceded", "https://evilexample.com", false),
            ("a user", "https://example.com@evil.com", false),
            ("a user and a port", "https://example.com:443@evil.com", false),
            ("a path", "https://example.com/", false),
            ("a fragment", "https://evil.com#https://example.com", false),
            ("a backslash", r"https://evil.com\.shop.example", false),
            ("a trailing dot", "https://example.com.", false),
            ("a subdomain", "https://www.shop.example", true),
            ("two levels", "https://a.b.shop.example", true),
            ("the domain itself", "https://shop.example", false),
            ("ends alike", "https://evilshop.example", false),
            ("an empty label", "https://.shop.example", false),
            ("a subdomain over http", "http://www.shop.example", false),
            ("a port that is listed", "http://dev.example:8080", true),
            ("a port that is not", "http://dev.example", false),
            ("punycode", "https://xn--fsqu00a.example", true),
            ("what it stands for", "https://例子.example", false),
            ("looks alike", "https://exаmple.com", false),
            ("an app's scheme", "capacitor://localhost", true),
            ("null", "null", false),
            ("empty", "", false),
            ("two", "https://example.com https://evil.com", false),
            ("loopback", "http://localhost:3000", false),
            ("an empty port", "https://example.com:", false),
            ("a port beyond", "https://example.com:65979", false),
        ];
        for (name, origin, allowed) in rows {
            let source = Source { origin: Some(origin), host: Some("evil.com") };
            assert_eq!(allows(&app, source), allowed, "{name}");
        }
        assert!(allows(&app, Source::default()), "what is no page has no origin");
    }

    #[test]
    fn local_origins() {
        let app = app(&[], true);
        let rows = [
            ("same, over a proxy with TLS", "https://chat.example", "chat.example", true),
            ("same, with a port", "http://chat.example:8811", "chat.example:8811", true),
            ("same, default port named", "http://chat.example", "chat.example:80", true),
            ("another port", "http://chat.example:1", "chat.example:8811", false),
            ("another host", "https://evil.com", "chat.example", false),
            ("localhost", "http://localhost:3000", "127.0.0.1:8811", true),
            ("127.0.0.0/8", "http://127.0.0.2", "127.0.0.1:8811", true),
            ("IPv6 loopback", "http://[::1]:3000", "127.0.0.1:8811", true),
            ("named like loopback", "http://localhost.evil.com", "127.0.0.1", false),
            ("begins like loopback", "http://127.0.0.1.evil.com", "127.0.0.1", false),
            ("no web page", "ftp://localhost", "127.0.0.1", false),
            ("null", "null", "null", false),
        ];
        for (name, origin, host, allowed) in rows {
            let source = Source { origin: Some(origin), host: Some(host) };
            assert_eq!(allows(&app, source), allowed, "{name}");
        }
    }

    #[test]
    fn entries() {
        for good in [
            "https://a.example",
            "https://*.a.example",
            "http://[::1]:80",
            "https://*.a.example:444",
        ] {
            assert!(is_entry(good), "{good}");
        }
        for bad in [
            "*",
            "null",
            "https://*",
            "https://*.com",
            "https://a.*.example",
            "a.example",
            "http://*.0.0.1",
            "https://a.example/",
            "",
        ] {
            assert!(!is_entry(bad), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_random_text_is_let_in(origin in ".{0,60}", host in ".{0,60}") {
            let app = app(&["https://example.com", "https://*.shop.example"], false);
            let source = Source { origin: Some(&origin), host: Some(&host) };
            proptest::prop_assert!(!allows(&app, source));
            let _any = is_entry(&origin) || is_entry(&format!("https://*.{origin}"));
        }
    }
}
