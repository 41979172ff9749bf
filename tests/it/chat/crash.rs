//! `kill -9` again and again, under load: nothing that was acked is lost, nothing is doubled, and
//! every conversation stays one dense order for all devices.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::place::{Place, Running};
use super::writer::{Book, Writer};

const ROUNDS: usize = 50;
/// Visitors who write at once; every second one has two devices.
const VISITORS: usize = 20;

/// When a server is killed.
#[derive(Debug)]
enum Fate {
    /// So long after its process began.
    Starting(Duration),
    /// So long after it was ready.
    Serving(Duration),
    /// Right after so many acks.
    Acks(usize),
}

impl Fate {
    fn draw(random: &mut StdRng) -> Self {
        match random.random_range(0..10) {
            0..2 => Self::Starting(Duration::from_millis(random.random_range(0..400))),
            2..6 => Self::Serving(Duration::from_millis(random.random_range(0..300))),
            _ => Self::Acks(random.random_range(1..400)),
        }
    }
}

/// A visitor with its devices.
struct Visitor {
    book: Arc<Book>,
    devices: Vec<Writer>,
}

impl Visitor {
    fn new(number: usize, random: &mut StdRng) -> Self {
        let book = Arc::<Book>::default();
        let devices = (0..1 + number % 2)
            .map(|device| Writer::new(&book, &format!("v{number}-{device}"), random.random()))
            .collect();
        Self { book, devices }
    }
}

/// `KEFU_CRASH_SEED` repeats a run, as far as processes can be repeated.
fn seed() -> u64 {
    let named = std::env::var("KEFU_CRASH_SEED").ok();
    let seed = named.map_or_else(rand::random, |seed| seed.parse().unwrap());
    eprintln!("KEFU_CRASH_SEED={seed}");
    seed
}

/// Lets all devices write until the server is killed.
fn load(server: Running, visitors: &mut [Visitor], fate: &Fate) -> usize {
    let (acks, address) = (AtomicUsize::new(0), server.address);
    thread::scope(|scope| {
        for device in visitors.iter_mut().flat_map(|visitor| &mut visitor.devices) {
            // It ends with an error when the server does.
            scope.spawn(|| device.write(address, usize::MAX, &acks));
        }
        match *fate {
            Fate::Starting(_) => unreachable!("it was not ready"),
            Fate::Serving(time) => thread::sleep(time),
            Fate::Acks(wanted) => {
                let begun = Instant::now();
                while acks.load(Ordering::Relaxed) < wanted {
                    assert!(begun.elapsed() < Duration::from_secs(20), "nothing is acked");
                    thread::yield_now();
                }
            }
        }
        let log = server.log();
        assert!(!log.contains("ERROR"), "{log}");
        server.kill();
    });
    acks.into_inner()
}

#[test]
fn fifty_kills_under_load_lose_nothing_double_nothing_and_reorder_nothing() {
    let mut random = StdRng::seed_from_u64(seed());
    let place = Place::new();
    assert!(place.serve().stop().success());
    let mut visitors: Vec<_> = (0..VISITORS).map(|n| Visitor::new(n, &mut random)).collect();
    let (mut acks, mut slowest) = (0, Duration::ZERO);
    let begun = Instant::now();
    for round in 0..ROUNDS {
        let fate = Fate::draw(&mut random);
        if let Fate::Starting(time) = fate {
            let starting = place.begin();
            thread::sleep(time);
            starting.kill();
            continue;
        }
        let starting = Instant::now();
        let server = place.serve();
        slowest = slowest.max(starting.elapsed());
        // The oldest go and new ones come, so that conversations also begin while servers die.
        let oldest = visitors.len() - VISITORS;
        if round % 3 == 0 {
            visitors[oldest].book.verify(server.address, false);
            visitors.push(Visitor::new(visitors.len(), &mut random));
        }
        let oldest = visitors.len() - VISITORS;
        acks += load(server, &mut visitors[oldest..], &fate);
    }
    eprintln!("{ROUNDS} kills in {:?}, {acks} acks, slowest start {slowest:?}", begun.elapsed());

    let server = place.serve();
    let none = AtomicUsize::new(0);
    thread::scope(|scope| {
        for device in visitors.iter_mut().flat_map(|visitor| &mut visitor.devices) {
            scope.spawn(|| device.write(server.address, 1, &none).unwrap());
        }
    });
    for visitor in &visitors {
        visitor.book.verify(server.address, true);
    }
    assert!(acks > 1_000, "a test without load proves nothing: {acks} acks");
    assert!(visitors.iter().all(|visitor| !visitor.book.acked().is_empty()));
    assert!(server.stop().success());
    let (said, whole) = place.check();
    assert!(whole && !said.contains("lost"), "{said}");
    let log = place.serve().log();
    assert!(!log.contains("was not closed"), "{log}");
}

#[test]
fn a_kill_at_any_moment_of_the_first_start_leaves_a_store_that_starts() {
    let place = Place::new();
    for pause_ms in (0..240).step_by(12) {
        let _ = std::fs::remove_dir_all(place.store());
        let starting = place.begin();
        thread::sleep(Duration::from_millis(pause_ms));
        starting.kill();
        let server = place.serve();
        let mut writer = Writer::new(&Arc::default(), "d", pause_ms);
        writer.write(server.address, 3, &AtomicUsize::new(0)).unwrap();
        let log = server.log();
        assert!(!log.contains("ERROR"), "killed after {pause_ms} ms: {log}");
    }
}
