//! The log, case by case: what is remembered, what is refused, what a failure leaves.

use kefu_proto::CloseCode;
use kefu_proto::v1::{self, ErrorCode, body::Kind};

use super::super::outbox::MAX_FRAMES;
use super::*;
use crate::chat::conversation::REMEMBERED_MS;
use crate::chat::request::{Change, Pull, PullFrom};

fn code(result: Result<(), Refusal>) -> ErrorCode {
    result.expect_err("it is refused").code
}

fn pull(
    world: &World,
    client: &Client,
    conversation: ConversationId,
    from: PullFrom,
    limit: usize,
) -> v1::Range {
    frames(client);
    world.serve(client, Request::Pull(Pull { conversation, from, limit })).unwrap();
    match kinds(client).pop() {
        Some(Kind::Range(range)) => range,
        other => panic!("a pull is answered with a range, not {other:?}"),
    }
}

fn seqs(range: &v1::Range) -> Vec<u64> {
    range.messages.iter().map(|message| message.seq).collect()
}

#[test]
fn a_retry_is_known_for_a_week_even_after_a_restart() {
    let mut world = World::new(Holder::Bot);
    let ann = world.visitor("ann", "phone");
    let id = new_id();
    world.serve(&ann, send(None, id, "hello")).unwrap();
    let first = acks(&ann).pop().unwrap();
    assert!(!first.duplicate);
    // Enough that the message is not on the page that is read first.
    for n in 0..300 {
        world.say(&ann, None, &n.to_string());
    }
    world.pass_ms(REMEMBERED_MS);
    world.restart();
    world.serve(&ann, send(None, id, "hello")).unwrap();
    let again = acks(&ann).pop().unwrap();
    assert_eq!((again.seq, again.at_ms, again.duplicate), (first.seq, first.at_ms, true));
    assert_eq!(code(world.serve(&ann, send(None, id, "hallo"))), ErrorCode::Conflict);
    assert_eq!(world.store.log(first.conversation).len(), 301);
}

#[test]
fn an_id_belongs_to_its_sender() {
    let world = World::new(Holder::Bot);
    let (ann, eve, id) = (world.visitor("ann", "phone"), agent("eve", "desk"), new_id());
    world.serve(&ann, send(None, id, "hello")).unwrap();
    let conversation = acks(&ann).pop().unwrap().conversation;
    let said = send(Some(conversation), id, "hi");
    assert_eq!(code(world.serve(&eve, said.clone())), ErrorCode::NotOwner);
    world.control(&eve, conversation, v1::control::Action::Take(v1::Take {})).unwrap();
    world.serve(&eve, said).unwrap();
    assert_eq!(acks(&eve).pop().map(|ack| (ack.seq, ack.duplicate)), Some((3, false)));
}

#[test]
fn a_retry_on_its_way_waits_for_the_same_commit() {
    let world = World::new(Holder::Bot);
    let (phone, laptop) = (world.visitor("ann", "phone"), world.visitor("ann", "laptop"));
    let conversation = world.say(&phone, None, "first").conversation;
    world.store.hold(true);
    let id = new_id();
    for (client, text) in [(&phone, "hello"), (&laptop, "hello")] {
        world.serve(client, send(Some(conversation), id, text)).unwrap();
        assert!(acks(client).is_empty(), "not before it is durable");
    }
    assert_eq!(code(world.serve(&phone, send(None, id, "hallo"))), ErrorCode::Conflict);
    world.store.release();
    let acked = |client| acks(client).iter().map(|a| (a.seq, a.duplicate)).collect::<Vec<_>>();
    assert_eq!((acked(&phone), acked(&laptop)), (vec![(2, false)], vec![(2, true)]));
}

#[test]
fn pulls_are_bounded_and_say_whether_more_follows() {
    let world = World::new(Holder::Bot);
    let ann = world.visitor("ann", "phone");
    let id = world.say(&ann, None, "1").conversation;
    for n in 2..=10 {
        world.say(&ann, None, &n.to_string());
    }
    let after = |seq, limit| {
        let range = pull(&world, &ann, id, PullFrom::After(seq), limit);
        (seqs(&range), range.has_more)
    };
    let before = |seq, limit| {
        let range = pull(&world, &ann, id, PullFrom::Before(seq), limit);
        (seqs(&range), range.has_more)
    };
    assert_eq!(after(0, 4), (vec![1, 2, 3, 4], true));
    assert_eq!(after(6, 4), (vec![7, 8, 9, 10], false));
    assert_eq!(after(9, 4), (vec![10], false));
    assert_eq!(after(10, 4), (vec![], false));
    assert_eq!(after(u64::MAX, 4), (vec![], false));
    assert_eq!(before(u64::MAX, 3), (vec![10, 9, 8], true));
    assert_eq!(before(4, 3), (vec![3, 2, 1], false));
    assert_eq!(before(4, 2), (vec![3, 2], true));
    assert_eq!(before(1, 3), (vec![], false));
}

#[test]
fn a_page_fits_into_a_frame_and_goes_on_from_there() {
    let world = World::new(Holder::Bot);
    let ann = world.visitor("ann", "phone");
    let long = "长".repeat(4_000);
    let id = world.say(&ann, None, &long).conversation;
    for _ in 2..=40 {
        world.say(&ann, None, &long);
    }
    let (mut at, mut got) = (0, Vec::new());
    loop {
        let range = pull(&world, &ann, id, PullFrom::After(at), 200);
        assert!(range.encoded_len() <= kefu_proto::limits::MAX_BODY_BYTES);
        got.extend(seqs(&range));
        at = *got.last().unwrap();
        if !range.has_more {
            break;
        }
    }
    assert_eq!(got, (1..=40).collect::<Vec<_>>());
}

#[test]
fn messages_that_wait_together_are_stored_in_runs_that_fit() {
    let world = World::new(Holder::Bot);
    let ann = world.visitor("ann", "phone");
    let id = world.say(&ann, None, "first").conversation;
    world.store.hold(true);
    let long = "长".repeat(4_000);
    (0..600).for_each(|_| world.serve(&ann, send(Some(id), new_id(), &long)).unwrap());
    while world.store.release() {}
    assert_eq!(acks(&ann).len(), 600, "several MiB that came while one commit was on its way");
    assert_eq!(world.store.log(id).len(), 601);
}

#[test]
fn too_much_that_waits_is_refused() {
    let world = World::new(Holder::Bot);
    let ann = world.visitor("ann", "phone");
    let id = world.say(&ann, None, "first").conversation;
    world.store.hold(true);
    let refused = (0..2_000).find_map(|_| world.serve(&ann, send(Some(id), new_id(), "x")).err());
    assert_eq!(refused.map(|refusal| refusal.code), Some(ErrorCode::Busy));
    while world.store.release() {}
    world.store.hold(false);
    world.say(&world.visitor("ann", "laptop"), Some(id), "again");
}

#[test]
fn a_device_that_reads_too_slowly_ends_and_resumes() {
    let world = World::new(Holder::Bot);
    let (phone, laptop) = (world.visitor("ann", "phone"), world.visitor("ann", "laptop"));
    world.join(&laptop);
    let id = world.say(&phone, None, "1").conversation;
    for n in 2..=MAX_FRAMES + 2 {
        world.say(&phone, None, &n.to_string());
    }
    let mut frames = VecDeque::new();
    assert_eq!(laptop.outbox.take(&mut frames), Some(CloseCode::Slow));
    assert!(frames.is_empty(), "nothing of a gap is shown");
    world.hub.leave(&laptop);
    let laptop = world.visitor("ann", "laptop");
    let conversation = id.to_string();
    let cursor = v1::Cursor { conversation, seq: 1_000, log_epoch: world.hub.log_epoch() };
    let greeting = run(world.hub.join(&laptop, &[cursor])).unwrap();
    let [Kind::Range(missed)] = &greeting.missed[..] else { panic!("what it missed") };
    assert_eq!(seqs(missed), (1_001..=1_026).collect::<Vec<_>>());
    assert!(!missed.has_more);
}

#[test]
fn visitors_see_only_what_is_theirs() {
    let world = World::new(Holder::Bot);
    let (ann, bob) = (world.visitor("ann", "phone"), world.visitor("bob", "phone"));
    let other_shop = client(Party::visitor("other", "ann"), "phone");
    let acked = world.say(&ann, None, "secret");
    let (id, seq) = (acked.conversation, acked.seq);
    let pull = Pull { conversation: id, from: PullFrom::After(0), limit: 5 };
    for stranger in [&bob, &other_shop] {
        world.join(stranger);
        let change = Change { conversation: id, id: new_id(), seq, text: None };
        let asked = [
            send(Some(id), new_id(), "hi"),
            Request::Pull(pull),
            Request::Read(id, 1),
            Request::Typing(id, true),
            Request::Change(change),
        ];
        for request in asked {
            assert_eq!(code(world.serve(stranger, request)), ErrorCode::NoSuchConversation);
        }
        let cursor = v1::Cursor { conversation: id.to_string(), ..v1::Cursor::default() };
        let greeting = run(world.hub.join(stranger, &[cursor])).unwrap();
        assert!(greeting.missed.is_empty() && greeting.conversations.is_empty());
        assert!(kinds(stranger).is_empty());
    }
}

#[test]
fn two_devices_that_start_at_once_share_one_conversation() {
    let world = World::new(Holder::Bot);
    world.store.hold(true);
    let (phone, laptop) = (world.visitor("ann", "phone"), world.visitor("ann", "laptop"));
    world.serve(&phone, send(None, new_id(), "hello")).unwrap();
    world.serve(&laptop, send(None, new_id(), "anyone there?")).unwrap();
    while world.store.release() {}
    let (one, other) = (acks(&phone).pop().unwrap(), acks(&laptop).pop().unwrap());
    assert_eq!(one.conversation, other.conversation);
    assert_eq!((one.seq, other.seq), (1, 2));
}

#[test]
fn what_the_store_loses_is_told_under_its_id_and_can_be_sent_again() {
    for fate in [Fate::Refused, Fate::Lost, Fate::Unknown] {
        for begun in [true, false] {
            let world = World::new(Holder::Bot);
            let ann = world.visitor("ann", "phone");
            if begun {
                world.say(&ann, None, "first");
            }
            frames(&ann);
            world.store.fail_next(fate);
            let id = new_id();
            world.serve(&ann, send(None, id, "hello")).unwrap();
            let told = kinds(&ann);
            let [Kind::Error(error)] = &told[..] else { panic!("one error, not {told:?}") };
            assert_eq!(error.client_msg_id, id.0[..]);
            assert!(error.retryable);
            world.serve(&ann, send(None, id, "hello")).unwrap();
            let ack = acks(&ann).pop().unwrap();
            assert_eq!(ack.duplicate, fate == Fate::Unknown, "{fate:?}");
            assert_eq!(ack.seq, 1 + u64::from(begun));
            world.say(&ann, None, "and on");
            assert_eq!(world.store.log(ack.conversation).len() as u64, ack.seq + 1);
        }
    }
}

#[test]
fn a_bot_that_panics_harms_one_request() {
    let world = World::new(Holder::Bot);
    let ann = world.visitor("ann", "phone");
    let id = world.say(&ann, None, "first").conversation;
    world.store.hold(true);
    world.serve(&ann, send(Some(id), new_id(), "on its way")).unwrap();
    world.serve(&ann, send(Some(id), new_id(), "behind it")).unwrap();
    let panicking =
        std::panic::AssertUnwindSafe(|| world.serve(&ann, send(Some(id), new_id(), "panic")));
    assert!(std::panic::catch_unwind(panicking).is_err());
    assert_eq!(code(world.serve(&ann, send(Some(id), new_id(), "x"))), ErrorCode::Unavailable);
    world.store.release();
    let told = kinds(&ann);
    let acks = told.iter().filter(|kind| matches!(kind, Kind::Ack(_))).count();
    let errors = told.iter().filter(|kind| matches!(kind, Kind::Error(_))).count();
    assert_eq!((acks, errors), (1, 2), "nobody waits for ever");
    world.store.hold(false);
    assert_eq!(world.say(&ann, Some(id), "again").seq, 3);
}

#[test]
fn a_text_that_was_taken_back_is_nowhere_in_the_store() {
    let world = World::new(Holder::Bot);
    let ann = world.visitor("ann", "phone");
    world.join(&ann);
    let id = world.say(&ann, None, "one").conversation;
    let eve = agent("eve", "desk");
    world.serve(&eve, Request::Watch(id, true)).unwrap();
    let change = |text: Option<&str>| {
        let text = text.map(str::to_owned);
        Request::Change(Change { conversation: id, id: new_id(), seq: 1, text })
    };
    world.serve(&ann, change(Some("two"))).unwrap();
    assert!(!world.store.holds_text("one"));
    world.serve(&ann, change(Some("three"))).unwrap();
    assert_eq!(code(world.serve(&eve, change(Some("four")))), ErrorCode::Forbidden);
    world.serve(&ann, change(None)).unwrap();
    for text in ["one", "two", "three"] {
        assert!(!world.store.holds_text(text), "{text}");
    }
    assert_eq!(code(world.serve(&ann, change(Some("five")))), ErrorCode::NoSuchMessage);
    assert_eq!(world.store.log(id).len(), 4);
}

#[test]
fn a_watcher_that_left_keeps_nothing_in_memory() {
    let world = World::new(Holder::Bot);
    let (ann, eve) = (world.visitor("ann", "phone"), agent("eve", "desk"));
    world.join(&eve);
    let id = world.say(&ann, None, "one").conversation;
    world.serve(&eve, Request::Watch(id, true)).unwrap();
    world.pass_ms(61_000);
    world.hub.sweep();
    assert_eq!(world.hub.in_use(), 1, "somebody watches");
    world.hub.leave(&eve);
    world.hub.sweep();
    assert_eq!(world.hub.in_use(), 0);
}

#[test]
fn a_clock_that_jumps_changes_neither_the_order_nor_what_is_known() {
    const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
    let mut world = World::new(Holder::Bot);
    let ann = world.visitor("ann", "phone");
    let (today, mut sent) = (1_000 * DAY_MS, Vec::new());
    for (n, days) in [1_i64, 2, 0, 1, 0, 2].into_iter().enumerate() {
        let now_ms = today.saturating_add_signed((days - 1) * DAY_MS as i64);
        world.now.store(now_ms, Ordering::Relaxed);
        let id = new_id();
        world.serve(&ann, send(None, id, "tick")).unwrap();
        let ack = acks(&ann).pop().unwrap();
        assert_eq!((ack.seq, ack.at_ms, ack.duplicate), (n as u64 + 1, now_ms, false));
        sent.push((id, ack));
        world.hub.sweep();
        if n == 2 {
            world.restart();
        }
        for (id, first) in &sent {
            world.serve(&ann, send(None, *id, "tick")).unwrap();
            assert_eq!(acks(&ann).pop(), Some(Acked { duplicate: true, ..*first }));
        }
    }
    let range = pull(&world, &ann, sent[0].1.conversation, PullFrom::After(0), 10);
    assert_eq!(seqs(&range), [1, 2, 3, 4, 5, 6]);
}
