//! What retention removes, and that nobody is harmed by it.

use kefu_proto::v1::{ErrorCode, body::Kind};

use super::super::MIN_KEEP_MS;
use super::*;
use crate::chat::check::Checker;
use crate::chat::request::{Pull, PullFrom};

const DAY_MS: u64 = 24 * 3600 * 1000;

fn sweep(world: &World) -> (u64, u64) {
    let (mut messages, mut conversations) = (0, 0);
    loop {
        let swept = run(world.hub.sweep_retention(MIN_KEEP_MS)).unwrap();
        messages += swept.messages;
        conversations += swept.conversations;
        if swept.done {
            return (messages, conversations);
        }
    }
}

fn check(world: &World) {
    let mut checker = Checker::default();
    for (key, value) in world.store.rows(&[]) {
        checker.row(&key, &value, &mut |key| run(world.store.inner.get(key.to_vec())).unwrap());
    }
    assert_eq!(checker.end().findings, []);
}

#[test]
fn old_messages_go_and_a_pull_begins_behind_them() {
    for restarts in [false, true] {
        let mut world = World::new(Holder::Bot);
        let ann = world.visitor("ann", "phone");
        let id = world.say(&ann, None, "很久以前").conversation;
        for n in 2..=100 {
            world.say(&ann, None, &n.to_string());
        }
        world.serve(&ann, Request::Read(id, 50)).unwrap();
        world.pass_ms(DAY_MS);
        while run(world.hub.index_pages()).unwrap() > 0 {}
        let kept = world.say(&ann, None, "kept").seq;
        world.pass_ms(MIN_KEEP_MS - DAY_MS / 2);
        if restarts {
            world.restart();
        }
        assert_eq!(sweep(&world), (100, 0));
        assert_eq!(sweep(&world), (0, 0));
        assert!(!world.store.holds_text("很久以前"));
        assert!(world.store.rows(b"x").is_empty() && world.store.rows(b"y").is_empty());
        frames(&ann);
        let pull = Pull { conversation: id, from: PullFrom::After(3), limit: 10 };
        world.serve(&ann, Request::Pull(pull)).unwrap();
        let Some(Kind::Range(range)) = kinds(&ann).pop() else { panic!("a range") };
        assert_eq!((range.first_seq, range.messages[0].seq, range.has_more), (101, kept, false));
        check(&world);
        assert_eq!(world.say(&ann, None, "and on").seq, kept + 1);
    }
}

#[test]
fn an_empty_conversation_that_is_resolved_goes_with_all_its_keys() {
    let world = World::new(Holder::Bot);
    let (ann, eve) = (world.visitor("ann", "phone"), agent("eve", "desk"));
    let id = world.say(&ann, None, "bye").conversation;
    let resolve = v1::control::Action::Resolve(v1::Resolve {});
    world.control(&eve, id, resolve).unwrap();
    world.serve(&ann, Request::Read(id, 1)).unwrap();
    world.pass_ms(DAY_MS);
    while run(world.hub.index_pages()).unwrap() > 0 {}
    let bob = world.visitor("bob", "phone");
    let open = world.say(&bob, None, "still open").conversation;
    world.pass_ms(MIN_KEEP_MS);
    assert_eq!(sweep(&world).1, 1);
    let named = |key: &[u8]| key.windows(16).any(|part| part == id.0);
    assert!(world.store.rows(&[]).iter().all(|(key, _)| !named(key)));
    assert_eq!(run(world.hub.peek(id)).unwrap_err().code, ErrorCode::NoSuchConversation);
    assert!(run(world.hub.peek(open)).is_ok());
    check(&world);
    let acked = world.say(&ann, None, "hello again");
    assert!(acked.conversation != id && acked.seq == 1);
    check(&world);
}

#[test]
fn who_still_talks_keeps_everything_and_retries_are_never_forgotten() {
    let world = World::new(Holder::Bot);
    let ann = world.visitor("ann", "phone");
    world.say(&ann, None, "old");
    world.pass_ms(MIN_KEEP_MS + DAY_MS);
    world.say(&ann, None, "new");
    assert_eq!(sweep(&world), (0, 0), "somebody is at it");
    world.pass_ms(DAY_MS);
    assert_eq!(sweep(&world), (1, 0));
    let refused = run(world.hub.sweep_retention(MIN_KEEP_MS - 1)).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Invalid);
}

#[test]
fn a_sweep_that_the_store_loses_removes_nothing() {
    let world = World::new(Holder::Bot);
    let ann = world.visitor("ann", "phone");
    let id = world.say(&ann, None, "old").conversation;
    world.pass_ms(MIN_KEEP_MS + DAY_MS);
    world.store.fail_next(Fate::Lost);
    assert_eq!(sweep(&world), (0, 0));
    assert_eq!(world.store.log(id).len(), 1);
    check(&world);
    assert_eq!(sweep(&world), (1, 0));
    check(&world);
}
