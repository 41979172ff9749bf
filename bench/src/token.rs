//! Tokens of simulated visitors: from a file, or one request for each.

use std::time::Duration;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use hyper_util::rt::TokioIo;
use prost::bytes::Bytes;
use serde::Deserialize;

use crate::client::Server;
use crate::options::Target;

/// So often a server may say “too many” before a run gives up.
const TRIES: u32 = 60;

#[derive(Deserialize)]
struct Answer {
    token: String,
}

/// So many tokens.
pub(crate) async fn tokens(
    target: &Target,
    server: &Server,
    count: usize,
) -> anyhow::Result<Vec<String>> {
    if let Some(path) = &target.tokens {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        let tokens: Vec<String> =
            text.lines().filter(|line| !line.is_empty()).take(count).map(str::to_owned).collect();
        if tokens.len() < count {
            bail!("{} has {} tokens, {count} are needed", path.display(), tokens.len());
        }
        return Ok(tokens);
    }
    let url = target
        .token_url
        .clone()
        .unwrap_or_else(|| format!("http://{}/v1/visitors", server.address));
    let server = Server::find(&url, target.source_addresses).await?;
    let workers = target.token_concurrency.min(count);
    let mut asking = tokio::task::JoinSet::new();
    for worker in 0..workers {
        let (server, app_id) = (server.clone(), target.app_id.clone());
        let share = (count - worker).div_ceil(workers);
        asking.spawn(async move { ask(&server, worker, &app_id, share).await });
    }
    let mut tokens = Vec::with_capacity(count);
    while let Some(got) = asking.join_next().await {
        tokens.extend(got??);
    }
    Ok(tokens)
}

/// Asks for `share` tokens over one connection.
async fn ask(
    server: &Server,
    worker: usize,
    app_id: &str,
    share: usize,
) -> anyhow::Result<Vec<String>> {
    let stream = TokioIo::new(server.connect(worker).await.context("no connection for tokens")?);
    let (mut sender, connection) = http1::handshake(stream).await?;
    let driven = tokio::spawn(connection);
    let body = Bytes::from(serde_json::json!({ "app_id": app_id }).to_string());
    let mut tokens = Vec::with_capacity(share);
    let mut tries = 0;
    while tokens.len() < share {
        let request = Request::post(server.uri().path())
            .header(HOST, server.address.to_string())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body.clone()))?;
        let answer = sender.send_request(request).await?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        if head.status.as_u16() == 429 && tries < TRIES {
            tries += 1;
            let after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let seconds = after.and_then(|text| text.parse().ok()).unwrap_or(1);
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        } else if head.status.is_success() {
            let answer: Answer = serde_json::from_slice(&body)
                .context("the answer has no token; is --token-url right?")?;
            tokens.push(answer.token);
        } else {
            bail!("no token: {} {}", head.status, String::from_utf8_lossy(&body));
        }
    }
    driven.abort();
    Ok(tokens)
}
