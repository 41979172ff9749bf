//! The peer for ratios: a plain axum WebSocket that answers each message with itself, one `send`
//! each, with 4 KiB buffers. What it does a second on a core is what this machine's sockets allow.

use anyhow::Context;
use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use axum::serve::ListenerExt;
use kefu_proto::SUBPROTOCOL;
use tokio::net::TcpListener;

const BUFFER_BYTES: usize = 4096;

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener) -> anyhow::Result<()> {
    let listener = listener.tap_io(|stream| {
        // Without it the figures would be those of Nagle's algorithm; a socket that refuses is dead.
        let _ = stream.set_nodelay(true);
    });
    let routes = Router::new().route("/ws", any(upgrade));
    axum::serve(listener, routes).await.context("the echo server ended")
}

async fn upgrade(request: WebSocketUpgrade) -> Response {
    request
        .protocols([SUBPROTOCOL])
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .on_upgrade(echo)
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let data = matches!(message, Message::Binary(_) | Message::Text(_));
        if data && socket.send(message).await.is_err() {
            return;
        }
    }
}
