//! What a search finds, before and after its pages are signed.

use super::super::search::{Cursor, Found};
use super::*;
use crate::chat::request::Change;
use crate::chat::search::Query;

/// All that a search finds, by calls of so many.
fn all(world: &World, client: &Client, query: &str, limit: usize) -> Vec<(ConversationId, u64)> {
    let (query, mut cursor, mut hits) = (Query::new(query).unwrap(), None, Vec::new());
    for _ in 0..1_000 {
        let found = run(world.hub.search(&client.user, "shop", &query, limit, cursor)).unwrap();
        let Found { hits: some, next } = found;
        assert!(some.len() <= limit);
        hits.extend(some.into_iter().map(|hit| (hit.conversation, hit.seq)));
        match next {
            Some(next) => cursor = Cursor::parse(&next.to_bytes()),
            None => return hits,
        }
    }
    panic!("a search ends")
}

fn index(world: &World) {
    world.pass_ms(31_000);
    while run(world.hub.index_pages()).unwrap() > 0 {}
}

#[test]
fn chinese_and_english_are_found_signed_or_not_and_after_a_restart() {
    let mut world = World::new(Holder::Bot);
    let (ann, eve) = (world.visitor("ann", "phone"), agent("eve", "desk"));
    let id = world.say(&ann, None, "我的快递还没到").conversation;
    world.say(&ann, None, "Order ＡＢ-42 please");
    for n in 0..150 {
        world.say(&ann, None, &format!("别的话 {n}"));
    }
    let check = |world: &World| {
        for (query, seqs) in [
            ("递", &[1][..]),
            ("快递", &[1]),
            ("的快递还没", &[1]),
            ("order ab", &[2]),
            ("快到", &[]),
            ("话 149", &[152]),
        ] {
            let expected: Vec<_> = seqs.iter().map(|seq| (id, *seq)).collect();
            assert_eq!(all(world, &eve, query, 10), expected, "{query}");
            assert_eq!(all(world, &ann, query, 10), expected, "{query}, for the visitor");
        }
        assert_eq!(all(world, &eve, "别的", 7).len(), 150, "each once, by sevens");
    };
    check(&world);
    run(world.hub.index_pages()).unwrap();
    assert_eq!(world.store.rows(b"x").len(), 2, "full pages are signed at once");
    check(&world);
    index(&world);
    assert_eq!((world.store.rows(b"x").len(), world.store.rows(b"u").len()), (3, 0));
    check(&world);
    world.restart();
    check(&world);
    let seq = world.say(&ann, None, "终于到了").seq;
    assert_eq!(world.store.rows(b"u").len(), 1, "marked again");
    assert_eq!(all(&world, &eve, "终于", 10), [(id, seq)]);
    index(&world);
    assert_eq!(all(&world, &eve, "终于", 10), [(id, seq)]);
}

#[test]
fn what_a_message_says_now_is_found_once_and_what_was_taken_back_never() {
    let world = World::new(Holder::Bot);
    let (ann, eve) = (world.visitor("ann", "phone"), agent("eve", "desk"));
    let id = world.say(&ann, None, "退货").conversation;
    for signs in [false, true] {
        let change = |text: Option<&str>| {
            let text = text.map(str::to_owned);
            let seq = 1;
            world.serve(&ann, Request::Change(Change { conversation: id, id: new_id(), seq, text }))
        };
        if signs {
            index(&world);
            change(None).unwrap();
            assert!(all(&world, &eve, "换货", 5).is_empty());
            index(&world);
            assert!(all(&world, &eve, "换货", 5).is_empty());
        } else {
            index(&world);
            change(Some("退款和换货")).unwrap();
            change(Some("只要换货")).unwrap();
            assert_eq!(all(&world, &eve, "换货", 5), [(id, 1)]);
            index(&world);
            assert_eq!(all(&world, &eve, "换货", 5), [(id, 1)]);
            assert!(all(&world, &eve, "退", 5).is_empty());
        }
    }
}

#[test]
fn visitors_find_only_their_own_and_no_notes() {
    let world = World::new(Holder::Bot);
    let (ann, bob) = (world.visitor("ann", "phone"), world.visitor("bob", "phone"));
    let eve = agent("eve", "desk");
    let id = world.say(&ann, None, "发票").conversation;
    let other = world.say(&bob, None, "发票").conversation;
    let Request::Send(mut note) = send(Some(id), new_id(), "发票 for the third time") else {
        unreachable!()
    };
    note.note = true;
    world.serve(&eve, Request::Send(note)).unwrap();
    for _ in 0..2 {
        assert_eq!(all(&world, &ann, "发票", 5), [(id, 1)]);
        assert_eq!(all(&world, &bob, "发票", 5), [(other, 1)]);
        assert_eq!(all(&world, &eve, "发票", 1).len(), 3);
        let (query, cursor) = (Query::new("发票").unwrap(), Cursor::parse(&[u8::MAX; 9]));
        assert!(
            run(world.hub.search(&ann.user, "shop", &query, 5, cursor)).unwrap().hits.is_empty()
        );
        assert!(
            run(world.hub.search(&eve.user, "other", &query, 5, None)).unwrap().hits.is_empty()
        );
        index(&world);
    }
}
