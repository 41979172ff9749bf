//! A network that misbehaves: a TCP proxy which loses one direction, delays, or cuts a connection
//! after so many bytes, in the middle of whatever is there.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// What happens to bytes on their way; it can be changed at any time.
#[derive(Debug)]
pub(crate) struct Weather {
    /// Bytes from the client get lost.
    pub(crate) lose_up: AtomicBool,
    /// Bytes from the server get lost.
    pub(crate) lose_down: AtomicBool,
    /// Each read waits so long before it is passed on.
    pub(crate) delay_ms: AtomicU64,
    /// Connections made from now on end after so many bytes, both ways together.
    pub(crate) cut_after: AtomicUsize,
}

/// A proxy before a server. Its threads end with their connections.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) weather: Arc<Weather>,
}

impl Proxy {
    pub(crate) fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let weather = Arc::new(Weather {
            lose_up: AtomicBool::new(false),
            lose_down: AtomicBool::new(false),
            delay_ms: AtomicU64::new(0),
            cut_after: AtomicUsize::new(usize::MAX),
        });
        let shared = Arc::clone(&weather);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(server) else { continue };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let left = Arc::new(AtomicUsize::new(shared.cut_after.load(Ordering::Relaxed)));
                for (up, from, to) in [(true, &client, &server), (false, &server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (weather, left) = (Arc::clone(&shared), Arc::clone(&left));
                    thread::spawn(move || pump(up, from, to, &weather, &left));
                }
            }
        });
        Self { address, weather }
    }
}

fn pump(up: bool, mut from: TcpStream, mut to: TcpStream, weather: &Weather, left: &AtomicUsize) {
    let lost = if up { &weather.lose_up } else { &weather.lose_down };
    let mut buffer = [0; 4_096];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        thread::sleep(Duration::from_millis(weather.delay_ms.load(Ordering::Relaxed)));
        let spend = |left: usize| Some(left.saturating_sub(read));
        let before = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
        let passed = read.min(before.expect("it is always spent"));
        let kept = lost.load(Ordering::Relaxed);
        if !kept && to.write_all(&buffer[..passed]).is_err() || passed < read {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
