//! The embedded store on a real disk: what survives what.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;

use super::salvage::SET_ASIDE;
use super::*;
use crate::store::contract::{self, all, read, send, write};

fn open(folder: &Path) -> (EmbeddedStore, OpenReport) {
    EmbeddedStore::open(folder, EmbeddedOptions::default()).unwrap()
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn the_contract_holds() {
    for durability in [Durability::Always, Durability::Interval] {
        let folder = scratch();
        let options = EmbeddedOptions { durability, ..Default::default() };
        let number = std::sync::atomic::AtomicUsize::new(0);
        contract::holds_for(&|| {
            let name = number.fetch_add(1, Ordering::Relaxed).to_string();
            Arc::new(EmbeddedStore::open(&folder.path().join(name), options).unwrap().0)
        });
    }
}

/// What a crash leaves: the folder's files as they are at some moment.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn put(n: u32) -> Batch {
    Batch::default().put(n.to_be_bytes(), format!("value number {n} of the store"))
}

#[test]
fn a_store_that_was_closed_has_all_of_it() {
    let folder = scratch();
    let (store, report) = open(folder.path());
    let fresh =
        OpenReport { created: true, clean: true, batches: 0, lost: None, set_aside: vec![] };
    assert_eq!(report, fresh);
    (0..100).for_each(|n| write(&store, put(n)).unwrap());
    let before = all(&store);
    drop(store);
    let (store, report) = open(folder.path());
    assert_eq!(report, OpenReport { created: false, batches: 100, ..fresh.clone() });
    assert_eq!(all(&store), before);
    write(&store, Batch::default().delete(7_u32.to_be_bytes())).unwrap();
    drop(store);
    let (store, report) = open(folder.path());
    assert_eq!((report.clean, report.batches), (true, 101));
    assert_eq!(read(&store, &7_u32.to_be_bytes()), None);
}

#[test]
fn a_crash_loses_nothing_that_was_acknowledged() {
    let folder = scratch();
    for durability in [Durability::Always, Durability::Interval] {
        let running = folder.path().join(format!("{durability:?}"));
        let options = EmbeddedOptions { durability, ..Default::default() };
        let (store, _) = EmbeddedStore::open(&running, options).unwrap();
        (0..300).for_each(|n| write(&store, put(n)).unwrap());
        let crashed = folder.path().join(format!("{durability:?}-crashed"));
        copy(&running, &crashed);
        let (after, report) = open(&crashed);
        assert_eq!((report.clean, report.lost, report.batches), (false, None, 300));
        assert_eq!(all(&after), all(&store));
        write(&after, put(300)).unwrap();
        drop(after);
        assert_eq!(open(&crashed).1.batches, 301);
    }
}

#[test]
fn a_full_queue_says_busy_and_nothing_is_lost() {
    let folder = scratch();
    let by_count = EmbeddedOptions { queue_batches: 4, ..Default::default() };
    let by_bytes = EmbeddedOptions { queue_bytes: 4 * 34, ..Default::default() };
    for (name, options) in [("count", by_count), ("bytes", by_bytes)] {
        let (store, _) = EmbeddedStore::open(&folder.path().join(name), options).unwrap();
        let (arrived, at_work) = mpsc::channel();
        let (go_on, wait) = mpsc::channel::<()>();
        let hold = Box::new(move |_| {
            arrived.send(()).unwrap();
            wait.recv().unwrap();
        });
        store.commit(Batch::default(), hold).unwrap();
        at_work.recv().unwrap();
        let put = |n: u32| Batch::default().put(n.to_be_bytes(), [0; 30]);
        let accepted: Vec<_> = (0..4).map(|n| send(&store, put(n))).collect();
        let refused = store.commit(put(4), Box::new(|_| panic!("not told")));
        assert_eq!(refused, Err(StoreError::Busy), "{name}");
        go_on.send(()).unwrap();
        assert!(accepted.iter().all(|result| result.recv().unwrap().is_ok()));
        write(&store, put(4)).unwrap();
        assert_eq!(all(&store).len(), 5, "{name}");
    }
}

/// Three ways to damage a journal, at a value in its middle.
#[test]
fn a_damaged_journal_is_noticed_and_what_comes_before_is_there() {
    let spoil = |name: &str, bytes: &mut Vec<u8>, at: usize| match name {
        "value" => bytes[at] ^= 0x20,
        // The first byte of a batch: fjall takes the journal for ended there.
        "beginning" => {
            let ends = bytes[..at].windows(4).rposition(|end| end == b"FJL\x03").unwrap() + 4;
            bytes[ends] ^= 0x20;
        }
        _ => bytes.truncate(at),
    };
    for name in ["value", "beginning", "cut"] {
        let folder = scratch();
        let (running, crashed) = (folder.path().join("running"), folder.path().join("crashed"));
        let (store, _) = open(&running);
        (0..100).for_each(|n| write(&store, put(n)).unwrap());
        copy(&running, &crashed);
        drop(store);
        let journal = crashed.join("data/0.jnl");
        let mut bytes = fs::read(&journal).unwrap();
        let middle = b"value number 60 ";
        let at = bytes.windows(middle.len()).position(|value| value == middle).unwrap();
        spoil(name, &mut bytes, at);
        fs::write(&journal, &bytes).unwrap();
        if name == "value" {
            let checked = check(&crashed, |_, _, _| ());
            assert!(matches!(checked, Err(OpenError::DamagedJournal { .. })), "{checked:?}");
            assert!(fs::read(&journal).unwrap() == bytes, "a check changes nothing");
        }

        let (store, report) = open(&crashed);
        let loss = Loss { from_group: 61, to_group: 100, batches: 40 };
        assert_eq!((report.lost, report.clean), (Some(loss), false), "{name}");
        assert_eq!(all(&store).len(), 60, "{name}");
        let kept = crashed.join(SET_ASIDE).join("0.jnl.1");
        match name {
            "value" => {
                assert_eq!(report.set_aside.as_slice(), std::slice::from_ref(&kept));
                assert!(fs::read(kept).unwrap() == bytes, "the journal is kept as it was");
            }
            _ => assert_eq!(report.set_aside, Vec::<PathBuf>::new()),
        }
        write(&store, put(200)).unwrap();
        drop(store);
        let (store, report) = open(&crashed);
        assert_eq!((report.lost, report.clean, report.batches), (None, true, 101), "{name}");
        drop(store);
        let checked = check(&crashed, |_, _, _| ()).unwrap();
        assert_eq!((checked.rows, checked.earlier_losses), (61, vec![loss]), "{name}");
    }
}

#[test]
fn a_group_that_is_missing_between_others_is_noticed() {
    let folder = scratch();
    let (store, _) = open(folder.path());
    (0..10).for_each(|n| write(&store, put(n)).unwrap());
    store.close();
    let mut write = store.engine.write(1);
    write.set(engine::Area::Ring, &ring::slot(5), None);
    write.commit(fjall::PersistMode::SyncAll).unwrap();
    drop(store);
    let loss = Loss { from_group: 5, to_group: 5, batches: 1 };
    let checked = check(folder.path(), |_, _, _| ()).unwrap();
    assert_eq!((checked.lost, checked.whole()), (Some(loss), false), "a check does not use it up");
    let report = open(folder.path()).1;
    assert_eq!((report.lost, report.clean, report.batches), (Some(loss), false, 10));
    assert_eq!(open(folder.path()).1.lost, None);
}

#[test]
fn a_folder_that_vanished_is_noticed() {
    let folder = scratch();
    let (store, _) = open(folder.path());
    (0..10).for_each(|n| write(&store, put(n)).unwrap());
    drop(store);
    fs::remove_dir_all(folder.path().join("data")).unwrap();
    let loss = Loss { from_group: 1, to_group: 10, batches: 10 };
    assert_eq!(open(folder.path()).1.lost, Some(loss));
    assert_eq!(open(folder.path()).1.lost, None);
}

#[test]
fn a_folder_that_is_not_ours_is_refused() {
    let folder = scratch();
    let refused = |name: &str| {
        let path = folder.path().join(name);
        EmbeddedStore::open(&path, EmbeddedOptions::default()).unwrap_err().to_string()
    };
    let (store, _) = open(&folder.path().join("held"));
    assert!(refused("held").contains("in use by another server"), "{}", refused("held"));
    let checked = check(&folder.path().join("held"), |_, _, _| ());
    assert!(matches!(checked, Err(OpenError::InUse(_))), "{checked:?}");
    drop(store);
    fs::write(folder.path().join("held/FORMAT"), "2\n").unwrap();
    assert!(refused("held").contains("format 2"), "{}", refused("held"));
    fs::write(folder.path().join("held/FORMAT"), "1\n").unwrap();
    assert!(open(&folder.path().join("held")).1.clean, "a refusal changes nothing");

    fs::create_dir(folder.path().join("other")).unwrap();
    fs::write(folder.path().join("other/letter.txt"), "dear").unwrap();
    assert!(refused("other").contains("neither empty nor a store"), "{}", refused("other"));
    let checked = check(&folder.path().join("nowhere"), |_, _, _| ());
    assert!(matches!(checked, Err(OpenError::NoStore(_))), "{checked:?}");
}

#[test]
fn a_start_that_was_cut_off_can_be_repeated() {
    let folder = scratch();
    drop(open(folder.path()));
    fs::remove_file(folder.path().join("FORMAT")).unwrap();
    fs::remove_file(folder.path().join("data/version")).unwrap();
    let (store, report) = open(folder.path());
    assert!(report.created);
    write(&store, put(1)).unwrap();
    drop(store);
    fs::remove_file(folder.path().join("FORMAT")).unwrap();
    let refused = EmbeddedStore::open(folder.path(), EmbeddedOptions::default());
    assert!(matches!(refused, Err(OpenError::NotAStore(_))), "with data it is not taken for one");
}

/// A file system of its own, which only root may mount.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = scratch();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=24m", "kefu-test"]).arg(folder.path());
        mount.output().is_ok_and(|out| out.status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.0.path()).output());
    }
}

#[test]
fn a_full_disk_stops_writing_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount() else { return };
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![1; 16 << 20]).unwrap();
    let (store, _) = open(&disk.0.path().join("store"));
    let large = |n: u32| Batch::default().put(n.to_be_bytes(), random(n));
    let failed = (0..).find(|n| match write(&store, large(*n)) {
        Ok(()) => false,
        Err(StoreError::Failed(_)) => true,
        Err(other) => panic!("{other}"),
    });
    let failed = failed.unwrap();
    assert!(failed > 3, "some were written");
    let refused = store.commit(put(1_000_000), Box::new(|_| panic!("not told")));
    assert!(matches!(refused, Err(StoreError::Closed(_))), "{refused:?}");
    for n in 0..failed {
        assert!(read(&store, &n.to_be_bytes()) == Some(random(n)), "it can still be read");
    }
    drop(store);
    fs::remove_file(&ballast).unwrap();
    let (store, report) = open(&disk.0.path().join("store"));
    assert_eq!((report.clean, report.lost), (false, None));
    for n in 0..failed {
        assert!(read(&store, &n.to_be_bytes()) == Some(random(n)), "{n} was acknowledged");
    }
    write(&store, large(failed)).unwrap();
}

/// Half a megabyte that does not get smaller by compression.
fn random(seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..500_000).map(|_| next()).collect()
}

#[test]
fn a_backup_is_one_moment_of_a_store_at_work() {
    let folder = scratch();
    let (store, _) = open(&folder.path().join("store"));
    (0..5_000).for_each(|n| drop(send(&store, put(n))));
    write(&store, Batch::default().put("", "empty key").put("\u{7f}last", vec![9; 1 << 20]))
        .unwrap();
    let backup = folder.path().join("backups/monday");
    // Each batch moves two rows at once: a backup sees both or none.
    let stop = AtomicBool::new(false);
    let made = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                let value = n.to_be_bytes();
                write(&store, Batch::default().put("\u{1}pair", value).put("zpair", value))
                    .unwrap();
                n += 1;
            }
        });
        let made = store.backup(&backup, 17);
        stop.store(true, Ordering::Relaxed);
        made.unwrap()
    });
    assert_eq!(verify(&backup).unwrap(), made);
    assert_eq!(made.created_ms, 17);
    let target = folder.path().join("restored");
    assert_eq!(restore(&backup, &target).unwrap(), made);
    let (restored, report) = open(&target);
    assert!(report.clean && !report.created);
    let rows = all(&restored);
    assert_eq!(rows.len() as u64, made.rows);
    assert_eq!(read(&restored, b"\x01pair"), read(&restored, b"zpair"));
    let same = |rows: Vec<(Vec<u8>, Vec<u8>)>| -> Vec<_> {
        rows.into_iter().filter(|row| !row.0.ends_with(b"pair")).collect()
    };
    assert!(same(rows) == same(all(&store)));
    drop(restored);

    let again = restore(&backup, &target);
    assert!(matches!(again, Err(BackupError::Taken(_))), "{again:?}");
    let again = store.backup(&backup, 18);
    assert!(matches!(again, Err(BackupError::Taken(_))), "{again:?}");
}

#[test]
fn a_damaged_backup_is_refused_and_leaves_nothing() {
    let folder = scratch();
    let (store, _) = open(&folder.path().join("store"));
    (0..100).for_each(|n| drop(send(&store, put(n))));
    store.close();
    let good = folder.path().join("good");
    store.backup(&good, 1).unwrap();
    let bad = folder.path().join("bad");
    let rows = fs::read(good.join("rows")).unwrap();
    let text = fs::read_to_string(good.join("manifest.json")).unwrap();
    let damages: [(&str, &dyn Fn()); 5] = [
        ("a value", &|| spoil(&bad.join("rows"), &rows, 40)),
        ("a length", &|| spoil(&bad.join("rows"), &rows, 0)),
        ("the end", &|| fs::write(bad.join("rows"), &rows[..rows.len() - 1]).unwrap()),
        ("too much", &|| fs::write(bad.join("rows"), [&rows[..], b"x"].concat()).unwrap()),
        ("a count", &|| {
            let other = text.replace("\"rows\": 100", "\"rows\": 99");
            fs::write(bad.join("manifest.json"), other).unwrap();
        }),
    ];
    for (name, damage) in damages {
        copy(&good, &bad);
        damage();
        let refused = [verify(&bad), restore(&bad, &folder.path().join("target"))];
        for result in refused {
            assert!(matches!(result, Err(BackupError::Damaged { .. })), "{name}: {result:?}");
        }
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        let known = ["store", "good", "bad"];
        left.retain(|entry| !known.iter().any(|name| entry.as_ref().unwrap().file_name() == *name));
        assert!(left.is_empty(), "{name}: {left:?}");
    }
}

fn spoil(path: &Path, bytes: &[u8], at: usize) {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_check_shows_every_row_and_finds_a_damaged_table() {
    let folder = scratch();
    let (store, _) = open(folder.path());
    (0..1_000).for_each(|n| drop(send(&store, put(n))));
    store.close();
    store.engine.flush().unwrap();
    drop(store);
    let mut seen = Vec::new();
    let report = check(folder.path(), |key, _, _| seen.push(key.to_vec())).unwrap();
    assert!(report.whole() && report.clean, "{report:?}");
    assert_eq!((report.rows, report.batches), (1_000, 1_000));
    let expected = (0..1_000_u32).map(|n| n.to_be_bytes().to_vec());
    assert!(seen.into_iter().eq(expected));

    let tables = folder.path().join("data/keyspaces/1/tables");
    let table = fs::read_dir(tables).unwrap().next().unwrap().unwrap().path();
    spoil(&table, &fs::read(&table).unwrap(), 8_000);
    let report = check(folder.path(), |_, _, _| ()).unwrap();
    assert!(report.unreadable.is_some() && !report.whole(), "{report:?}");
    assert!(report.rows < 1_000, "{report:?}");
}
