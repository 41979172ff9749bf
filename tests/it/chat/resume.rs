//! What a client finds when it comes back: after a restart, on another device, with cursors and
//! pages; and what became of messages that were changed.

use std::thread;

use kefu_proto::CloseCode;
use kefu_proto::v1::{self, body::Kind, message::Content};

use super::client::{Client, End, hello, message_id, send};
use super::place::{Place, Running};

fn device(server: &Running, token: &str, name: &str) -> Client {
    Client::greet(server.address, name, hello(token, vec![])).unwrap().0
}

fn cursor(ack: &v1::Ack, seq: u64) -> Vec<v1::Cursor> {
    let (conversation, log_epoch) = (ack.conversation.clone(), ack.log_epoch);
    vec![v1::Cursor { conversation, seq, log_epoch }]
}

fn text(message: &v1::Message) -> &v1::Text {
    match &message.content {
        Some(Content::Text(text)) => text,
        other => panic!("no text but {other:?}"),
    }
}

#[test]
fn a_restart_costs_nothing_but_the_connection() {
    let place = Place::new();
    let server = place.serve();
    let token = server.visitor().unwrap();
    let mut client = device(&server, &token, "a");
    let first = client.say("", "one");
    let second = client.say("", "two");
    let before = client.pull(&first.conversation, 0);
    assert!(server.stop().success());
    assert_eq!(client.end(), End::Closed(CloseCode::GoingAway.number()));

    let server = place.serve();
    let held = hello(&token, cursor(&first, first.seq));
    let (mut client, welcome) = Client::greet(server.address, "a", held).unwrap();
    assert_eq!(welcome.conversations[0].conversation, first.conversation);
    let Kind::Range(missed) = client.next().unwrap().1 else { panic!("what was missed comes") };
    assert_eq!(missed.log_epoch, first.log_epoch);
    assert!(missed.messages.starts_with(&before[1..]), "from the cursor, as it was");
    let again = client.request(send("", &second.client_msg_id, "two")).unwrap();
    assert_eq!(client.ack(again), v1::Ack { duplicate: true, ..second });
    let log_epoch = first.log_epoch + 2;
    let other = vec![v1::Cursor { log_epoch, ..cursor(&first, 2).remove(0) }];
    let (mut client, _) = Client::greet(server.address, "a", hello(&token, other)).unwrap();
    let Kind::Range(all) = client.next().unwrap().1 else { panic!("another log, from the start") };
    assert!(all.messages.starts_with(&before), "cursors of another epoch mean nothing");
}

#[test]
fn two_devices_see_one_order_and_a_device_has_one_connection() {
    let place = Place::new();
    let server = place.serve();
    let token = server.visitor().unwrap();
    let mut devices = [device(&server, &token, "a"), device(&server, &token, "b")];
    let first = devices[0].say("", "hello");
    let conversation = &first.conversation;
    let orders: Vec<Vec<u64>> = thread::scope(|scope| {
        let writers = devices.iter_mut().map(|client| {
            scope.spawn(move || {
                let mut order = Vec::new();
                let mut waits: Vec<_> = (0..15)
                    .map(|n| {
                        client.request(send(conversation, &message_id(), &n.to_string())).unwrap()
                    })
                    .collect();
                // Both are there when each has its own acks and the other's messages.
                while !waits.is_empty() || order.len() < 30 {
                    match client.next().unwrap() {
                        (request, Kind::Ack(ack)) => {
                            waits.retain(|wait| *wait != request);
                            order.push(ack.seq);
                        }
                        (_, Kind::Deliver(new)) => {
                            order.extend(new.messages.iter().map(|m| m.seq).filter(|seq| *seq > 1));
                        }
                        _ => {}
                    }
                }
                order
            })
        });
        let writers: Vec<_> = writers.collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    for order in &orders {
        let dense = order.iter().copied().eq(2..2 + order.len() as u64);
        assert!(dense, "each message once, in the log's order: {order:?}");
    }
    let [mut a, mut b] = devices;
    let mut newer = device(&server, &token, "a");
    assert_eq!(a.end(), End::Closed(CloseCode::Fenced.number()));
    let ack = newer.say(conversation, "from the newer one");
    let told = b.until(|_, kind| match kind {
        Kind::Deliver(new) => new.messages.into_iter().find(|message| message.seq == ack.seq),
        _ => None,
    });
    assert_eq!(told.unwrap().client_msg_id, ack.client_msg_id, "the other device goes on");
}

#[test]
fn a_message_is_changed_and_taken_back_for_every_device() {
    let place = Place::new();
    let server = place.serve();
    let token = server.visitor().unwrap();
    let (mut a, mut b) = (device(&server, &token, "a"), device(&server, &token, "b"));
    let said = a.say("", "my card is 4929");
    let (conversation, seq) = (said.conversation.clone(), said.seq);
    let edit = v1::Edit {
        conversation: conversation.clone(),
        client_msg_id: message_id(),
        seq,
        text: "my card is secret".into(),
    };
    let asked = a.request(Kind::Edit(edit.clone())).unwrap();
    let edited = a.ack(asked);
    let told = b.until(|_, kind| match kind {
        Kind::Deliver(new) => new.messages.into_iter().find(|message| message.seq == edited.seq),
        _ => None,
    });
    let expected = Content::Edited(v1::Edited { seq, text: edit.text.clone() });
    assert_eq!(told.unwrap().content, Some(expected));
    let log = b.pull(&conversation, 0);
    assert_eq!(text(&log[seq as usize - 1]).text, "my card is secret");
    let asked = b.request(Kind::Edit(edit)).unwrap();
    assert_eq!(b.ack(asked), v1::Ack { duplicate: true, ..edited.clone() }, "from any device");

    let client_msg_id = message_id();
    let recall = v1::Recall { conversation: conversation.clone(), client_msg_id, seq };
    let asked = b.request(Kind::Recall(recall.clone())).unwrap();
    let recalled = b.ack(asked);
    let log = a.pull(&conversation, 0);
    let gone = text(&log[seq as usize - 1]);
    assert_eq!((&*gone.text, gone.recalled_by), ("", recalled.seq));
    let emptied = Content::Edited(v1::Edited { seq, text: String::new() });
    assert_eq!(log[edited.seq as usize - 1].content, Some(emptied), "its edits say nothing now");
    let again = v1::Recall { client_msg_id: message_id(), ..recall };
    let asked = a.request(Kind::Recall(again)).unwrap();
    assert_eq!(a.error(asked).code(), v1::ErrorCode::NoSuchMessage);
}

#[test]
fn what_was_read_on_one_device_is_read_on_all_and_stays_so() {
    let place = Place::new();
    let server = place.serve();
    let token = server.visitor().unwrap();
    let (mut a, mut b) = (device(&server, &token, "a"), device(&server, &token, "b"));
    let conversation = a.say("", "one").conversation;
    let last = a.say("", "two").seq;
    let read = |client: &mut Client, seq| {
        let conversation = conversation.clone();
        client.request(Kind::Read(v1::Read { conversation, seq })).unwrap();
    };
    read(&mut a, last);
    let told = b.until(|_, kind| match kind {
        Kind::ReadState(state) => Some(state.seq),
        _ => None,
    });
    assert_eq!(told, Ok(last));
    read(&mut b, 1);
    // Read is not answered, so the Pong says that it was done.
    let asked = b.request(Kind::Ping(v1::Ping { token: 1 })).unwrap();
    b.until(|seq, _| (seq == asked).then_some(())).unwrap();
    let (_, welcome) = Client::greet(server.address, "c", hello(&token, vec![])).unwrap();
    let shown = &welcome.conversations[0];
    assert_eq!(shown.read_seq, last, "it never goes back");
    assert!(shown.unread <= shown.last_seq - last, "one's own messages are no news");
}

#[test]
fn pages_go_both_ways_and_meet() {
    let place = Place::new();
    let server = place.serve();
    let token = server.visitor().unwrap();
    let mut client = device(&server, &token, "a");
    let conversation = client.say("", "0").conversation;
    let sent: Vec<_> = (1..33)
        .map(|n| client.request(send(&conversation, &message_id(), &n.to_string())).unwrap())
        .collect();
    client.ack(*sent.last().unwrap());
    let log = client.pull(&conversation, 0);
    assert!(log.len() >= 33 && log.iter().map(|m| m.seq).eq(1..=log.len() as u64));

    let last = log.len() as u64;
    let (mut before, mut back) = (last + 1, Vec::new());
    loop {
        let page = client.page(&conversation, 0, before, 10);
        assert_eq!((page.first_seq, page.messages.len() <= 10), (1, true));
        before = page.messages.last().unwrap().seq;
        back.extend(page.messages);
        if !page.has_more {
            break;
        }
    }
    back.reverse();
    assert_eq!(back[..], log[..back.len()], "backwards it is the same log");
    assert_eq!(back.len() as u64, last);
    let page = client.page(&conversation, 7, 0, 10);
    assert_eq!(
        (page.messages[..].iter()).map(|m| m.seq).collect::<Vec<_>>(),
        (8..18).collect::<Vec<_>>()
    );
    assert!(page.has_more);
    let beyond = client.page(&conversation, 10_000, 0, 10);
    assert!(beyond.messages.is_empty() && !beyond.has_more);
}
