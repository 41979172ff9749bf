//! Networks that lose, delay and cut, clients that do not read, and a second server: nobody else
//! notices, and who comes back finds everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kefu_proto::v1::{self, body::Kind};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::client::{Client, hello, message_id, send};
use super::place::Place;
use super::proxy::Proxy;
use super::writer::{Book, Writer};

/// Waits longer than an answer over loopback takes, and finds no Ack.
fn no_ack_comes(client: &mut Client) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(300) {
        let frame = client.next_within(Duration::from_millis(50)).unwrap();
        assert!(!matches!(frame, Some((_, Kind::Ack(_)))), "{frame:?}");
    }
}

#[test]
fn what_one_direction_loses_is_stored_once_by_a_retry() {
    let place = Place::new();
    let server = place.serve();
    let proxy = Proxy::before(server.address);
    let token = server.visitor().unwrap();
    let greet = |address| Client::greet(address, "d", hello(&token, vec![])).unwrap().0;

    // The Ack is lost: the message is there, and the retry is known for one.
    let mut client = greet(proxy.address);
    let conversation = client.say("", "before").conversation;
    proxy.weather.lose_down.store(true, Ordering::Relaxed);
    let unacked = message_id();
    client.request(send(&conversation, &unacked, "no ack comes")).unwrap();
    no_ack_comes(&mut client);
    let mut again = greet(server.address);
    let sent = again.request(send(&conversation, &unacked, "no ack comes")).unwrap();
    let ack = again.ack(sent);
    assert!(ack.duplicate);
    drop((client, again));
    proxy.weather.lose_down.store(false, Ordering::Relaxed);

    // The message is lost: the retry is the first that the server hears of it.
    let mut client = greet(proxy.address);
    proxy.weather.lose_up.store(true, Ordering::Relaxed);
    let unheard = message_id();
    client.request(send(&conversation, &unheard, "not heard")).unwrap();
    no_ack_comes(&mut client);
    let mut again = greet(server.address);
    let sent = again.request(send(&conversation, &unheard, "not heard")).unwrap();
    assert!(!again.ack(sent).duplicate);
    let log = again.pull(&conversation, 0);
    for id in [unacked, unheard] {
        assert_eq!(log.iter().filter(|message| message.client_msg_id == id).count(), 1);
    }
}

#[test]
fn connections_that_are_cut_in_the_middle_of_frames_lose_and_double_nothing() {
    let place = Place::new();
    let server = place.serve();
    let proxy = Proxy::before(server.address);
    let seed = rand::random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (book, acks) = (Arc::<Book>::default(), AtomicUsize::new(0));
    let mut devices = [Writer::new(&book, "a", random.random()), Writer::new(&book, "b", 1)];
    devices[0].write(server.address, 1, &acks).unwrap();
    for _ in 0..60 {
        proxy.weather.cut_after.store(random.random_range(300..8_000), Ordering::Relaxed);
        proxy.weather.delay_ms.store(random.random_range(0..5), Ordering::Relaxed);
        let one = random.random_range(0..2);
        let _ = devices[one].write(proxy.address, 2, &acks);
    }
    for device in &mut devices {
        device.write(server.address, 1, &acks).unwrap();
    }
    book.verify(server.address, true);
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

#[test]
fn who_does_not_read_holds_nobody_up_and_finds_everything_later() {
    let place = Place::new();
    let server = place.serve();
    let token = server.visitor().unwrap();
    let mut stalled = Client::greet(server.address, "d", hello(&token, vec![])).unwrap().0;
    let theirs = hello(&server.visitor().unwrap(), vec![]);
    let mut other = Client::greet(server.address, "d", theirs).unwrap().0;
    let conversation = stalled.say("", "hello").conversation;
    for _ in 0..24 {
        stalled.say(&conversation, &"字".repeat(4_000));
    }
    // More than the sockets between the two hold, and it reads nothing of it.
    let pull = v1::Pull { conversation: conversation.clone(), limit: 200, ..v1::Pull::default() };
    let mut asked = Vec::new();
    for n in 0..40 {
        let begun = Instant::now();
        asked.push(stalled.request(Kind::Pull(pull.clone())).unwrap());
        other.say("", &format!("nobody else waits {n}"));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        // A visitor may ask 20 times a second.
        thread::sleep(Duration::from_millis(50).saturating_sub(begun.elapsed()));
    }

    let (mut answered, mut pages) = (Vec::new(), 0);
    while answered.len() < asked.len() {
        let (seq, kind) = stalled.next().unwrap();
        if seq > 0 {
            answered.push(seq);
            pages += usize::from(matches!(kind, Kind::Range(_)));
        }
    }
    // The rate of a visitor lets some be refused, which is said at once, none be forgotten.
    answered.sort_unstable();
    assert_eq!(answered, asked);
    assert!(pages >= 20, "{pages} pages");
    let log = stalled.pull(&conversation, 0);
    assert!(log.iter().map(|message| message.seq).eq(1..=log.len() as u64));
    assert!(log.len() >= 25, "{}", log.len());
}

#[test]
fn a_second_server_on_the_same_folder_is_refused_and_the_first_goes_on() {
    let place = Place::new();
    let server = place.serve();
    let output = place.operate(&["--port=0"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("store is in use by another server; stop that one"), "{said}");
    let token = server.visitor().unwrap();
    let (mut client, _) = Client::greet(server.address, "d", hello(&token, vec![])).unwrap();
    client.say("", "hello");
}
