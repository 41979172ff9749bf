//! The chat page at `/`: three files of `web/chat`, compiled in.
//!
//! It is a client like any other and gets nothing that PROTOCOL.md does not give; this file must not
//! know what it says. Nothing from elsewhere runs in it, and no other page may frame it.

use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use super::AppState;
use super::error::not_modified;

/// Scripts, styles and connections of this server, and nothing written inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

struct File {
    kind: &'static str,
    text: &'static str,
    etag: LazyLock<String>,
}

static PAGE: File = File {
    kind: "text/html; charset=utf-8",
    text: include_str!("../../web/chat/index.html"),
    etag: LazyLock::new(|| etag(PAGE.text)),
};
static SCRIPT: File = File {
    kind: "text/javascript; charset=utf-8",
    text: include_str!("../../web/chat/chat.js"),
    etag: LazyLock::new(|| etag(SCRIPT.text)),
};
static STYLE: File = File {
    kind: "text/css; charset=utf-8",
    text: include_str!("../../web/chat/chat.css"),
    etag: LazyLock::new(|| etag(STYLE.text)),
};

/// The routes.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(async |headers: HeaderMap| PAGE.answer(&headers)))
        .route("/chat.js", get(async |headers: HeaderMap| SCRIPT.answer(&headers)))
        .route("/chat.css", get(async |headers: HeaderMap| STYLE.answer(&headers)))
}

impl File {
    fn answer(&self, asked: &HeaderMap) -> Response {
        let headers = [
            (header::CONTENT_TYPE, self.kind),
            (header::ETAG, &**self.etag),
            // A server that was updated has another page at once, and the three files fit together.
            (header::CACHE_CONTROL, "no-cache"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
        ];
        if self.is_held(asked) {
            return (headers, not_modified()).into_response();
        }
        (headers, self.text).into_response()
    }

    /// Whether the browser has this file as it is (RFC 9110, 13.1.2).
    fn is_held(&self, asked: &HeaderMap) -> bool {
        let held = asked.get_all(header::IF_NONE_MATCH).iter();
        held.filter_map(|tags| tags.to_str().ok()).flat_map(|tags| tags.split(',')).any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == *self.etag
        })
    }
}

fn etag(text: &str) -> String {
    let digest = Sha256::digest(text);
    let hex: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(tag: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::IF_NONE_MATCH, tag.parse().unwrap())])
    }

    #[test]
    fn a_browser_that_has_the_file_gets_no_second_copy() {
        let first = PAGE.answer(&HeaderMap::new());
        assert_eq!(first.status(), 200);
        let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        let again = format!("\"other\", W/{tag}");
        let held = HeaderMap::from_iter([(header::IF_NONE_MATCH, again.parse().unwrap())]);
        assert_eq!(PAGE.answer(&held).status(), 304);
        assert_eq!(SCRIPT.answer(&held).status(), 200, "another file");
        assert_eq!(PAGE.answer(&asking("\"0\"")).status(), 200, "an older one");
    }

    #[test]
    fn the_page_runs_under_its_own_policy() {
        for file in [&PAGE, &SCRIPT, &STYLE] {
            let answer = file.answer(&HeaderMap::new());
            assert_eq!(answer.headers()[header::CONTENT_TYPE], file.kind);
            assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert!(POLICY.contains("default-src 'none'") && !POLICY.contains("unsafe"));
        }
        // What the policy forbids would fail without a word.
        for inline in ["<style", " style=", "<script>", " onclick=", "http://", "https://"] {
            let page = PAGE.text.replace("xmlns='http://www.w3.org/2000/svg'", "");
            assert!(!page.contains(inline), "{inline}");
        }
        for unsafe_html in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("]
        {
            assert!(!SCRIPT.text.contains(unsafe_html), "{unsafe_html}");
        }
    }
}
