//! The composition root: a listener, the edges, and the end of both.
//!
//! Called by the `kefu-server` command and by tests, which bind port 0. Knows connections; what
//! is said over them is `crate::http`'s.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;

use crate::http::{self, AppState};
use crate::shutdown::Shutdown;

/// Connections at once; more wait in the operating system's queue.
const MAX_CONNECTIONS: usize = 10_000;
/// Connections that the operating system queues for us.
const BACKLOG: u32 = 1_024;
/// Bytes of a request's head; larger ones are answered with 431.
const MAX_HEAD_BYTES: usize = 32 << 10;
/// A connection must say something within this time, between two requests too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause after the operating system refused a connection, most often for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// What is served.
pub struct App {
    /// State of the HTTP edge.
    pub http: AppState,
    /// How long accepted requests may take to finish at the end.
    pub shutdown_timeout: Duration,
}

/// Why the server cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Someone else listens there.
    #[error("{0} is in use; stop the program that listens there, or choose another --port")]
    InUse(SocketAddr),
    /// The operating system forbids it.
    #[error("listening on {0} is not permitted; choose a --port above 1023")]
    Forbidden(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {address}: {source}; check --host and --port")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The listener broke.
    #[error("the listener failed: {0}; start the server again")]
    Broken(#[source] io::Error),
}

/// An address that is ours, though nobody can connect yet.
///
/// Loading a model takes seconds: a port in use should be known before, and callers are better
/// refused than kept waiting.
pub struct Reserved {
    socket: TcpSocket,
    address: SocketAddr,
}

/// Takes `address`.
///
/// # Errors
/// [`ServeError`] when it is in use or forbidden.
pub fn reserve(address: SocketAddr) -> Result<Reserved, ServeError> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let reserve = |socket: TcpSocket| {
        // Lets a restarted server have its port back; a listening one still keeps us out.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    };
    let socket = socket.and_then(reserve).map_err(|source| refused(address, source))?;
    Ok(Reserved { socket, address })
}

impl Reserved {
    /// Lets callers connect.
    ///
    /// # Errors
    /// [`ServeError`] when someone else was faster.
    pub fn listen(self) -> Result<TcpListener, ServeError> {
        let address = self.address;
        self.socket.listen(BACKLOG).map_err(|source| refused(address, source))
    }
}

fn refused(address: SocketAddr, source: io::Error) -> ServeError {
    match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::InUse(address),
        io::ErrorKind::PermissionDenied => ServeError::Forbidden(address),
        _ => ServeError::Listen { address, source },
    }
}

/// Serves until `shutdown` begins and what was accepted is done, or its time is up.
///
/// # Errors
/// [`ServeError::Broken`] when the listener is unusable.
pub async fn run(listener: TcpListener, app: App, shutdown: Shutdown) -> Result<(), ServeError> {
    let address = listener.local_addr().map_err(ServeError::Broken)?;
    let readiness = app.http.readiness.clone();
    let router = http::router(app.http);
    readiness.ready();
    tracing::info!(%address, "serving");

    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let (slot, stream, peer) = tokio::select! {
            () = shutdown.begun() => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        shutdown.spawn(serve(stream, peer, router.clone(), shutdown.clone(), slot));
    }
    readiness.stopping();
    drop(listener);
    let dropped = shutdown.drain(app.shutdown_timeout).await.dropped;
    if dropped > 0 {
        let seconds = app.shutdown_timeout.as_secs();
        tracing::warn!(dropped, "connections were cut off after {seconds} s");
    }
    tracing::info!("stopped");
    Ok(())
}

/// The next connection, as soon as there is room for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (OwnedSemaphorePermit, TcpStream, SocketAddr) {
    let slot = Arc::clone(slots).acquire_owned().await.expect("nobody closes this semaphore");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (slot, stream, peer),
            Err(error) if is_callers_fault(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The caller hung up before we answered.
fn is_callers_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Answers the requests of one connection, which ends between two of them at shutdown.
async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    shutdown: Shutdown,
    _slot: OwnedSemaphorePermit,
) {
    // Answers are one small packet each: waiting to fill a larger one only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_header_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.begun() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "a connection broke");
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::http::tests::state;

    const ASK_SLOWLY: &[u8] = b"POST /intent HTTP/1.1\r\nhost: a\r\n\
        content-type: application/json\r\ncontent-length: 16\r\n\r\n{\"text\": \"slow\"}";

    struct Busy {
        shutdown: Shutdown,
        client: std::net::TcpStream,
        address: SocketAddr,
        ended: tokio::task::JoinHandle<Result<(), ServeError>>,
    }

    /// A server that works on a request for a while.
    async fn busy_server() -> Busy {
        let listener = reserve(([127, 0, 0, 1], 0).into()).unwrap().listen().unwrap();
        let address = listener.local_addr().unwrap();
        let http = state(http::Limits::default(), None);
        let app = App { http, shutdown_timeout: Duration::from_secs(10) };
        let shutdown = Shutdown::new();
        let ended = tokio::spawn(run(listener, app, shutdown.clone()));
        let mut client = std::net::TcpStream::connect(address).unwrap();
        client.write_all(ASK_SLOWLY).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        Busy { shutdown, client, address, ended }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn what_was_accepted_is_answered_and_nothing_new_is_accepted() {
        let Busy { shutdown, mut client, address, ended } = busy_server().await;
        shutdown.begin();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens any more");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("the server hangs up after its answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(ended.await.unwrap().is_ok());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_port_is_ours_alone_until_the_end() {
        let Busy { shutdown, client, address, ended } = busy_server().await;
        assert!(matches!(reserve(address), Err(ServeError::InUse(_))));
        shutdown.begin();
        assert!(ended.await.unwrap().is_ok());
        drop(client);
        assert!(reserve(address).unwrap().listen().is_ok());
    }
}
