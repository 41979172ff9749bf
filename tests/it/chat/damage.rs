//! Disks that are full or lie, and stores that are older than what clients have seen: it is said, and
//! what can be read is served.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use kefu_proto::v1::{self, ErrorCode, body::Kind};

use super::client::{Client, hello, message_id, send};
use super::place::{Place, Running, copy_folder};

fn device(server: &Running, token: &str, cursors: Vec<v1::Cursor>) -> Client {
    Client::greet(server.address, "d", hello(token, cursors)).unwrap().0
}

/// Flips the bytes of `text` where the newest journal has it.
fn damage(store: &Path, text: &str) {
    let journals = fs::read_dir(store.join("data")).unwrap().map(|entry| entry.unwrap().path());
    let mut journals: Vec<_> =
        journals.filter(|path| path.extension().is_some_and(|end| end == "jnl")).collect();
    journals.sort();
    let mut file = File::options().read(true).write(true).open(journals.pop().unwrap()).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    let at = bytes.windows(text.len()).position(|window| window == text.as_bytes());
    file.seek(SeekFrom::Start(at.expect("it was written") as u64)).unwrap();
    file.write_all(&text.bytes().map(|byte| !byte).collect::<Vec<_>>()).unwrap();
}

#[test]
fn a_damaged_journal_is_reported_and_the_rest_is_served_as_another_log() {
    let place = Place::new();
    let server = place.serve();
    let token = server.visitor().unwrap();
    let mut client = device(&server, &token, vec![]);
    let first = client.say("", "0");
    for n in 1..30 {
        client.say(&first.conversation, &format!("message {n} of 30"));
    }
    let before = client.pull(&first.conversation, 0);
    server.kill();
    damage(&place.store(), "message 20 of 30");

    let said = place.operate(&["check"]);
    let text = String::from_utf8(said.stderr).unwrap();
    assert_eq!(said.status.code(), Some(2), "{text}");
    assert!(text.contains("is damaged") && text.contains("start the server"), "{text}");

    let server = place.serve();
    let log = server.log();
    assert!(log.contains("a damaged file of the store was set aside"), "{log}");
    assert!(log.contains("the store lost what it had acknowledged"), "{log}");
    let seq = before.len() as u64;
    let held = v1::Cursor { conversation: first.conversation, seq, log_epoch: first.log_epoch };
    let conversation = held.conversation.clone();
    let mut client = device(&server, &token, vec![held]);
    let Kind::Range(left) = client.next().unwrap().1 else { panic!("what is left comes") };
    assert_ne!(left.log_epoch, first.log_epoch, "cursors of the old log count no more");
    assert!(0 < left.last_seq && left.last_seq < seq, "{} of {seq}", left.last_seq);
    let page = &left.messages[..];
    assert!(!page.is_empty() && before.starts_with(page), "what was written before the damage");
    let ack = client.say(&conversation, "on it goes");
    assert_eq!((ack.seq > left.last_seq, ack.log_epoch), (true, left.log_epoch));
    assert!(server.stop().success());

    let (said, whole) = place.check();
    assert!(whole, "what was reported does not count: {said}");
    assert!(said.contains("lost: "), "{said}");
    let server = place.serve();
    assert!(!server.log().contains("lost"), "it is said once: {}", server.log());
}

#[test]
fn a_log_that_is_shorter_than_a_cursor_is_noticed() {
    let place = Place::new();
    let server = place.serve();
    let token = server.visitor().unwrap();
    let first = device(&server, &token, vec![]).say("", "kept");
    assert!(server.stop().success());
    let older = place.shop.path("older");
    copy_folder(&place.store(), &older);
    let server = place.serve();
    let last = device(&server, &token, vec![]).say(&first.conversation, "lost by the copy");
    assert!(server.stop().success());
    fs::remove_dir_all(place.store()).unwrap();
    fs::rename(older, place.store()).unwrap();

    let server = place.serve();
    let (conversation, log_epoch) = (first.conversation, first.log_epoch);
    let held = v1::Cursor { conversation, seq: last.seq, log_epoch };
    let mut client = device(&server, &token, vec![held]);
    let Kind::Range(left) = client.next().unwrap().1 else { panic!("the client is told") };
    assert!(left.last_seq < last.seq && left.messages.is_empty(), "{left:?}");
    assert!(server.log().contains("the log is shorter than a cursor"), "{}", server.log());
}

/// A small disk of its own; it goes when this is dropped.
struct Disk(PathBuf);

impl Disk {
    /// None where one may not mount.
    fn mount(path: PathBuf) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=80m", "kefu-test"]).arg(&path);
        command.output().is_ok_and(|output| output.status.success()).then_some(Self(path))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_refuses_what_it_cannot_keep_and_loses_nothing_that_it_acked() {
    let place = Place::new();
    let Some(disk) = Disk::mount(place.shop.path("disk")) else {
        eprintln!("skipped: a disk can only be mounted by root");
        return;
    };
    let place = Place { store: "disk/store", ..place };
    let server = place.serve();
    let visitors: Vec<_> = (0..20).map(|_| server.visitor().unwrap()).collect();
    let mut acked = Vec::new();
    for token in &visitors {
        let mut client = device(&server, token, vec![]);
        let ack = client.say("", "before");
        acked.push((token, ack));
    }
    let filler = disk.0.join("filler");
    let mut file = File::create(&filler).unwrap();
    let mut block = vec![1; 1 << 20];
    while !block.is_empty() {
        if file.write_all(&block).is_err() {
            block.truncate(block.len() / 2);
        }
    }
    let large = "字".repeat(4_000);
    let mut refused: Option<(&String, Bytes)> = None;
    for (token, first) in &acked.clone() {
        let mut client = device(&server, token, vec![]);
        for _ in 0..35 {
            let id = message_id();
            let asked = client.request(send(&first.conversation, &id, &large)).unwrap();
            let answer = client.until(|seq, kind| (seq == asked).then_some(kind)).unwrap();
            match answer {
                Kind::Ack(ack) => acked.push((token, ack)),
                Kind::Error(error) => {
                    assert_eq!((error.code(), error.retryable), (ErrorCode::Unavailable, true));
                    refused = Some((token, id));
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        if refused.is_some() {
            break;
        }
    }
    let (token, id) = refused.expect("a full disk takes nothing more");
    assert!(device(&server, token, vec![]).request(Kind::Ping(v1::Ping::default())).is_ok());
    server.kill();
    drop(file);
    fs::remove_file(&filler).unwrap();

    let server = place.serve();
    for (token, ack) in &acked {
        let mut client = device(&server, token, vec![]);
        let log = client.pull(&ack.conversation, ack.seq - 1);
        assert_eq!(log[0].client_msg_id, ack.client_msg_id, "it was acked");
    }
    let conversation = &acked.iter().find(|(owner, _)| *owner == token).unwrap().1.conversation;
    let mut client = device(&server, token, vec![]);
    let again = client.request(send(conversation, &id, &large)).unwrap();
    client.ack(again);
    let log = client.pull(conversation, 0);
    assert!(log.iter().map(|message| message.seq).eq(1..=log.len() as u64));
    assert_eq!(log.iter().filter(|message| message.client_msg_id == id).count(), 1);
    drop((server, disk));
}
