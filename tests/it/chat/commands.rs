//! What an operator types: backup, restore, check, password; and what a first start shows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::client::PATIENCE;
use super::place::Place;
use super::writer::{Book, Writer};

#[test]
fn a_backup_under_load_holds_all_that_was_acked_before_it_and_is_another_log() {
    let mut place = Place::new();
    let server = place.serve();
    let books: Vec<Arc<Book>> = (0..10).map(|_| Arc::default()).collect();
    let acks = AtomicUsize::new(0);
    let (mut before, address) = (Vec::new(), server.address);
    thread::scope(|scope| {
        let wanted = |count| {
            let begun = std::time::Instant::now();
            while acks.load(Ordering::Relaxed) < count {
                assert!(begun.elapsed() < PATIENCE, "nothing is acked");
                thread::sleep(Duration::from_millis(1));
            }
        };
        for (n, book) in books.iter().enumerate() {
            let (acks, mut writer) = (&acks, Writer::new(book, "d", n as u64));
            // It ends with an error when the server does.
            scope.spawn(move || writer.write(address, usize::MAX, acks));
        }
        wanted(200);
        before = books.iter().map(|book| book.acked()).collect::<Vec<BTreeMap<_, _>>>();
        let said = place.operated(&["backup", "kept/backup"]);
        assert!(said.contains("verified"), "{said}");
        wanted(acks.load(Ordering::Relaxed) + 50);
        assert!(server.stop().success());
    });
    // Those who had not come to write yet prove nothing.
    let wrote: Vec<_> = books.iter().zip(&before).filter(|(_, acked)| !acked.is_empty()).collect();
    let said = place.operate(&["backup", "kept/backup"]);
    assert_eq!(said.status.code(), Some(2), "a backup does not overwrite another");

    let original = place.serve();
    let old_epoch = wrote[0].0.log(original.address).0;
    assert!(original.stop().success());
    place.store = "restored";
    place.operated(&["restore", "kept/backup"]);
    let server = place.serve();
    assert_eq!(server.said, "", "the secrets are those of the backup");
    for (book, acked) in wrote {
        let (epoch, log) = book.log(server.address);
        assert_ne!(epoch, old_epoch, "clients may have seen more than the backup holds");
        assert!(log.iter().map(|message| message.seq).eq(1..=log.len() as u64));
        for (seq, id) in acked {
            let stored = log.get(*seq as usize - 1).map(|stored| &stored.client_msg_id);
            assert_eq!(stored, Some(id), "it was acked before the backup began");
        }
    }
}

#[test]
fn a_first_start_shows_its_secrets_once_and_passwords_can_be_made_anew() {
    let place = Place::new();
    let nowhere = place.operate(&["check"]);
    assert_eq!(nowhere.status.code(), Some(2), "a check makes no store");
    let server = place.serve();
    for shown in ["administrator  login admin  password ", "secret ", "API key "] {
        assert!(server.said.contains(shown), "{}", server.said);
    }
    for command in [&["check"][..], &["password", "admin"]] {
        let output = place.operate(command);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("is in use by another server"), "{said}");
    }
    assert!(server.stop().success());
    let said = place.operated(&["password", "admin"]);
    let password = said.trim().rsplit(' ').next().unwrap();
    assert!(password.len() >= 12, "{said}");
    let unknown = place.operate(&["password", "nobody"]);
    let said = String::from_utf8(unknown.stderr).unwrap();
    assert!(said.contains("no agent with the login nobody"), "{said}");
    let server = place.serve();
    assert_eq!(server.said, "", "secrets are shown once");
    let signed_in = ureq::post(format!("http://{}/v1/agents/login", server.address))
        .content_type("application/json")
        .send(json!({ "login": "admin", "password": password }).to_string());
    assert_eq!(signed_in.unwrap().status().as_u16(), 200, "the new password is good");
    assert!(server.stop().success());
    let (said, whole) = place.check();
    assert!(whole && said.contains("0 conversations, 0 messages"), "{said}");
}
