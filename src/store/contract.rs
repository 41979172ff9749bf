//! What every adapter must do, as one suite: an adapter's tests call `holds_for` with a way to open
//! an empty store.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::{
    Batch, MAX_KEY_BYTES, MAX_VALUE_BYTES, Order, Rows, Scan, Store, StoreError, Write,
    after_prefix,
};

/// Runs the whole suite, each case on a store of its own.
pub(crate) fn holds_for(open: &dyn Fn() -> Arc<dyn Store>) {
    for case in [
        puts_and_deletes,
        checks,
        batches_are_atomic,
        the_last_write_wins,
        scans,
        any_bytes_are_a_key,
        limits_of_size,
        done_comes_in_order,
        a_done_may_panic,
        close_writes_what_was_accepted,
        many_threads,
    ] {
        case(open().as_ref());
    }
    like_a_map(open);
}

/// Waits for an answer, also of a store that answers elsewhere.
pub(crate) fn wait<T>(answer: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(answer)
}

/// Hands a batch over; the receiver gets the result.
pub(crate) fn send(store: &dyn Store, batch: Batch) -> Receiver<Result<(), StoreError>> {
    let (told, result) = mpsc::channel();
    store.commit(batch, Box::new(move |outcome| told.send(outcome).unwrap())).unwrap();
    result
}

/// Commits and waits until it is durable.
pub(crate) fn write(store: &dyn Store, batch: Batch) -> Result<(), StoreError> {
    send(store, batch).recv().expect("a done is called")
}

pub(crate) fn read(store: &dyn Store, key: &[u8]) -> Option<Vec<u8>> {
    wait(store.get(key.to_vec())).unwrap()
}

pub(crate) fn all(store: &dyn Store) -> Vec<(Vec<u8>, Vec<u8>)> {
    wait(store.scan(Scan::prefix(b"", Order::Ascending, usize::MAX))).unwrap().rows
}

fn keys(found: &Rows) -> Vec<&str> {
    found.rows.iter().map(|row| std::str::from_utf8(&row.0).unwrap()).collect()
}

fn puts_and_deletes(store: &dyn Store) {
    assert_eq!(read(store, b"a"), None);
    write(store, Batch::default().put("a", "1").put("b", "2")).unwrap();
    assert_eq!(read(store, b"a"), Some(b"1".to_vec()));
    write(store, Batch::default().put("a", "3").delete("b").delete("never")).unwrap();
    assert_eq!(read(store, b"a"), Some(b"3".to_vec()));
    assert_eq!(read(store, b"b"), None);
    assert_eq!(all(store), [(b"a".to_vec(), b"3".to_vec())]);
    write(store, Batch::default()).unwrap();
}

fn checks(store: &dyn Store) {
    let new = |value: &str| Batch::default().absent("k").put("k", value);
    let change = |from: &str, to: &str| Batch::default().equals("k", from).put("k", to);
    assert_eq!(write(store, change("1", "2")), Err(StoreError::Conflict), "it has no value");
    assert_eq!(write(store, new("1")), Ok(()));
    assert_eq!(write(store, new("2")), Err(StoreError::Conflict));
    assert_eq!(write(store, change("1", "2")), Ok(()));
    assert_eq!(write(store, change("1", "3")), Err(StoreError::Conflict));
    assert_eq!(write(store, Batch::default().equals("k", "2")), Ok(()));
    assert_eq!(write(store, Batch::default().equals("k", "2").delete("k")), Ok(()));
    assert_eq!(write(store, new("4")), Ok(()), "deleted is absent");
    // Sent at once, so that they may share a write to the disk: each sees those before it.
    let changes = [
        change("4", "5"),
        change("4", "lost"),
        change("5", "6"),
        Batch::default().delete("k"),
        change("6", "lost"),
        new("7"),
    ];
    let results = changes.map(|batch| send(store, batch)).map(|result| result.recv().unwrap());
    let conflict = Err(StoreError::Conflict);
    let expected = [Ok(()), conflict.clone(), Ok(()), Ok(()), conflict, Ok(())];
    assert_eq!(results, expected);
    assert_eq!(read(store, b"k"), Some(b"7".to_vec()));
}

fn batches_are_atomic(store: &dyn Store) {
    write(store, Batch::default().put("taken", "")).unwrap();
    let refused = Batch::default().absent("free").absent("taken").put("a", "").delete("taken");
    assert_eq!(write(store, refused), Err(StoreError::Conflict));
    assert_eq!(all(store), [(b"taken".to_vec(), vec![])], "nothing of it was written");
    // A scan sees all rows of a batch or none.
    let rounds = 200;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..rounds {
                let value = format!("{round}");
                let batch = (0..5).fold(Batch::default(), |batch, n| {
                    batch.put(format!("pair/{n}"), value.as_bytes())
                });
                write(store, batch).unwrap();
            }
        });
        let last = format!("{}", rounds - 1).into_bytes();
        loop {
            let found = wait(store.scan(Scan::prefix(b"pair/", Order::Ascending, 9))).unwrap().rows;
            let values: Vec<_> = found.iter().map(|row| &row.1).collect();
            assert!(values.windows(2).all(|pair| pair[0] == pair[1]), "torn: {values:?}");
            if found.first().is_some_and(|row| row.1 == last) {
                break;
            }
        }
    });
}

fn the_last_write_wins(store: &dyn Store) {
    let batch = Batch::default()
        .put("a", "1")
        .put("a", "2")
        .put("b", "1")
        .delete("b")
        .delete("c")
        .put("c", "1");
    write(store, batch).unwrap();
    let expected = [(b"a".to_vec(), b"2".to_vec()), (b"c".to_vec(), b"1".to_vec())];
    assert_eq!(all(store), expected);
}

fn scans(store: &dyn Store) {
    let names = ["a", "b/1", "b/2", "b/3", "b0", "c"];
    write(store, names.iter().fold(Batch::default(), |b, name| b.put(*name, *name))).unwrap();
    let scan = |from: &str, to: Option<&str>, order, limit| {
        let (from, to) = (from.as_bytes().to_vec(), to.map(|to| to.as_bytes().to_vec()));
        wait(store.scan(Scan { from, to, order, limit })).unwrap()
    };
    use Order::{Ascending, Descending};
    let rows: [(Rows, &[&str], bool); 10] = [
        (scan("", None, Ascending, 9), &names, false),
        (scan("", None, Ascending, 6), &names, false),
        (scan("", None, Ascending, 5), &names[..5], true),
        (scan("", None, Descending, 2), &["c", "b0"], true),
        (scan("b/2", Some("c"), Ascending, 9), &["b/2", "b/3", "b0"], false),
        (scan("b/2", Some("c"), Descending, 9), &["b0", "b/3", "b/2"], false),
        (scan("b/2", Some("c"), Descending, 1), &["b0"], true),
        (scan("c", Some("b"), Ascending, 9), &[], false),
        (scan("c", Some("c"), Descending, 9), &[], false),
        (scan("a", Some("b"), Ascending, 0), &[], true),
    ];
    for (at, (found, expected, more)) in rows.iter().enumerate() {
        assert_eq!(keys(found), *expected, "scan {at}");
        assert_eq!(found.more, *more, "scan {at}");
    }
    let found = wait(store.scan(Scan::prefix(b"b/", Descending, 2))).unwrap();
    assert_eq!((keys(&found), found.more), (vec!["b/3", "b/2"], true));
}

fn any_bytes_are_a_key(store: &dyn Store) {
    let odd: [&[u8]; 6] = [b"", b"\0", b"\0\0", b"\xfe", b"\xff", b"\xff\xff\xff"];
    write(store, odd.iter().fold(Batch::default(), |batch, key| batch.put(*key, *key))).unwrap();
    let expected: Vec<_> = odd.iter().map(|key| (key.to_vec(), key.to_vec())).collect();
    assert_eq!(all(store), expected);
    assert_eq!(after_prefix(b"\xff\xff"), None);
    let last = wait(store.scan(Scan::prefix(b"\xff\xff", Order::Descending, 9))).unwrap();
    assert_eq!(last.rows, expected[5..]);
    assert_eq!(read(store, b""), Some(vec![]));
}

fn limits_of_size(store: &dyn Store) {
    let refused = |batch: Batch| {
        store.commit(batch, Box::new(|_| panic!("a batch that was refused is not told"))).err()
    };
    let key = vec![1; MAX_KEY_BYTES];
    let long = vec![1; MAX_KEY_BYTES + 1];
    let what = |what, limit| Some(StoreError::TooLarge { what, bytes: limit + 1, limit });
    let key_refused = what("key", MAX_KEY_BYTES);
    assert_eq!(refused(Batch::default().put("a", "1").delete(long.clone())), key_refused);
    assert_eq!(refused(Batch::default().put(long.clone(), "1")), key_refused);
    assert_eq!(refused(Batch::default().absent(long)), key_refused);
    let value = vec![2; MAX_VALUE_BYTES];
    let large = vec![2; MAX_VALUE_BYTES + 1];
    assert_eq!(refused(Batch::default().put("a", large)), what("value", MAX_VALUE_BYTES));
    assert_eq!(all(store), []);
    write(store, Batch::default().put(key.clone(), value.clone())).unwrap();
    assert_eq!(read(store, &key), Some(value));
}

fn done_comes_in_order(store: &dyn Store) {
    let (told, order) = mpsc::channel();
    for n in 0..500_u32 {
        let told = told.clone();
        let batch = match n % 7 {
            0 => Batch::default().absent("k").put("k", ""),
            _ => Batch::default().put("k", n.to_be_bytes()),
        };
        store.commit(batch, Box::new(move |_| told.send(n).unwrap())).unwrap();
    }
    drop(told);
    assert!(order.iter().eq(0..500));
    assert_eq!(read(store, b"k"), Some(499_u32.to_be_bytes().to_vec()));
}

/// A `done` that panics harms nobody else.
fn a_done_may_panic(store: &dyn Store) {
    store.commit(Batch::default().put("a", "1"), Box::new(|_| panic!("on purpose"))).unwrap();
    assert_eq!(write(store, Batch::default().equals("a", "1").put("b", "2")), Ok(()));
}

fn close_writes_what_was_accepted(store: &dyn Store) {
    let told = Arc::new(AtomicUsize::new(0));
    for n in 0..300_u32 {
        let told = told.clone();
        let done = Box::new(move |result: Result<(), StoreError>| {
            told.fetch_add(usize::from(result.is_ok()), Ordering::Relaxed);
        });
        store.commit(Batch::default().put(n.to_be_bytes(), "x"), done).unwrap();
    }
    store.close();
    assert_eq!(told.load(Ordering::Relaxed), 300, "all were told before the end");
    let late = store.commit(Batch::default().put("late", ""), Box::new(|_| panic!("not told")));
    assert!(matches!(late, Err(StoreError::Closed(_))), "{late:?}");
    store.close();
    assert_eq!(all(store).len(), 300, "reading goes on");
}

/// Sixteen threads count one counter up, each reading and trying again after a conflict.
fn many_threads(store: &dyn Store) {
    write(store, Batch::default().put("count", 0_u64.to_be_bytes())).unwrap();
    let add_one = || loop {
        let seen = read(store, b"count").unwrap();
        let next = u64::from_be_bytes(seen[..].try_into().unwrap()) + 1;
        let batch = Batch::default().equals("count", seen).put("count", next.to_be_bytes());
        match write(store, batch.put(format!("by/{next}"), "")) {
            Ok(()) => break,
            Err(StoreError::Conflict) => (),
            Err(error) => panic!("{error}"),
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| (0..20).for_each(|_| add_one()));
        }
    });
    assert_eq!(read(store, b"count"), Some(320_u64.to_be_bytes().to_vec()));
    let written = wait(store.scan(Scan::prefix(b"by/", Order::Ascending, 999))).unwrap();
    assert_eq!(written.rows.len(), 320, "no step was taken twice");
}

fn some_key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0_u8, 1, 7, 254, 255]), 0..3)
}

/// A batch of random checks and writes, and a scan.
fn some_step() -> impl Strategy<Value = (Batch, Scan)> {
    let put =
        (some_key(), prop::collection::vec(0_u8..3, 0..2)).prop_map(|(k, v)| Write::Put(k, v));
    let change = prop_oneof![3 => put, 1 => some_key().prop_map(Write::Delete)];
    let check = prop_oneof![
        some_key().prop_map(super::Check::Absent),
        (some_key(), prop::collection::vec(0_u8..3, 0..2))
            .prop_map(|(key, value)| super::Check::Equals(key, value)),
    ];
    let order = prop_oneof![Just(Order::Ascending), Just(Order::Descending)];
    let scan = (some_key(), prop::option::of(some_key()), order, 0_usize..8)
        .prop_map(|(from, to, order, limit)| Scan { from, to, order, limit });
    let writes = prop::collection::vec(change, 0..5);
    (prop::collection::vec(check, 0..2), writes, scan)
        .prop_map(|(checks, writes, scan)| (Batch { checks, writes }, scan))
}

/// What the model does with a batch.
fn apply(map: &mut BTreeMap<Vec<u8>, Vec<u8>>, batch: &Batch) -> Result<(), StoreError> {
    for check in &batch.checks {
        let expected = match check {
            super::Check::Absent(_) => None,
            super::Check::Equals(_, value) => Some(value),
        };
        if map.get(check.key()) != expected {
            return Err(StoreError::Conflict);
        }
    }
    for write in &batch.writes {
        match write {
            Write::Put(key, value) => drop(map.insert(key.clone(), value.clone())),
            Write::Delete(key) => drop(map.remove(key)),
        }
    }
    Ok(())
}

/// Random steps give what a plain map gives.
fn like_a_map(open: &dyn Fn() -> Arc<dyn Store>) {
    let store = open();
    let steps = prop::collection::vec(some_step(), 1..12);
    let config = ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() };
    let tested = TestRunner::new(config).run(&steps, |steps| {
        let empty = all(store.as_ref()).into_iter().fold(Batch::default(), |b, r| b.delete(r.0));
        write(store.as_ref(), empty).unwrap();
        let mut map = BTreeMap::new();
        let sent: Vec<_> = steps
            .iter()
            .map(|(batch, _)| (apply(&mut map, batch), send(store.as_ref(), batch.clone())))
            .collect();
        for (expected, result) in sent {
            prop_assert_eq!(result.recv().unwrap(), expected);
        }
        prop_assert_eq!(all(store.as_ref()), map.clone().into_iter().collect::<Vec<_>>());
        for (_, scan) in steps {
            let within =
                |key: &&Vec<u8>| **key >= scan.from && scan.to.as_ref().is_none_or(|to| *key < to);
            let mut expected: Vec<_> = map.keys().filter(within).cloned().collect();
            if scan.order == Order::Descending {
                expected.reverse();
            }
            let more = expected.len() > scan.limit;
            expected.truncate(scan.limit);
            let found = wait(store.scan(scan)).unwrap();
            prop_assert_eq!(found.more, more);
            prop_assert_eq!(found.rows.into_iter().map(|r| r.0).collect::<Vec<_>>(), expected);
        }
        Ok(())
    });
    tested.unwrap();
}
