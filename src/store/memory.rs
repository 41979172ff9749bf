//! The store in memory: for tests, and for running without a folder. What it holds ends with it.
//!
//! There is no thread: the caller of `commit` tells those who wait, its own batch and those of
//! others that were accepted meanwhile.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Bound;
use std::sync::{Condvar, Mutex, MutexGuard};

use futures_util::future::{self, BoxFuture};

use super::{Batch, Check, Done, Order, Rows, Scan, Store, StoreError, Write, tell};

/// Ordered keys in a tree behind a lock.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    /// Rung when the last waiting `done` has run.
    told: Condvar,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    waiting: VecDeque<(Done, Result<(), StoreError>)>,
    /// A thread runs the waiting ones right now: only one does, so that the order holds.
    telling: bool,
    closed: bool,
}

impl State {
    fn apply(&mut self, batch: Batch) -> Result<(), StoreError> {
        let holds = batch.checks.iter().all(|check| match check {
            Check::Absent(key) => !self.rows.contains_key(key),
            Check::Equals(key, value) => self.rows.get(key) == Some(value),
        });
        if !holds {
            return Err(StoreError::Conflict);
        }
        for write in batch.writes {
            match write {
                Write::Put(key, value) => self.rows.insert(key, value),
                Write::Delete(key) => self.rows.remove(&key),
            };
        }
        Ok(())
    }

    fn find(&self, scan: &Scan) -> Rows {
        let to = scan.to.as_ref();
        if to.is_some_and(|to| *to <= scan.from) {
            return Rows::default();
        }
        let end = to.map_or(Bound::Unbounded, Bound::Excluded);
        let mut range = self.rows.range::<Vec<u8>, _>((Bound::Included(&scan.from), end));
        let mut next = || match scan.order {
            Order::Ascending => range.next(),
            Order::Descending => range.next_back(),
        };
        let mut found = Rows::default();
        while let Some((key, value)) = next() {
            if found.rows.len() == scan.limit {
                found.more = true;
                break;
            }
            found.rows.push((key.clone(), value.clone()));
        }
        found
    }
}

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics with the state in hand")
    }

    fn tell_waiting(&self) {
        let mut state = self.lock();
        if state.telling {
            return;
        }
        state.telling = true;
        while let Some((done, result)) = state.waiting.pop_front() {
            drop(state);
            tell(done, result);
            state = self.lock();
        }
        state.telling = false;
        self.told.notify_all();
    }
}

impl Store for MemoryStore {
    fn get(&self, key: Vec<u8>) -> BoxFuture<'_, Result<Option<Vec<u8>>, StoreError>> {
        Box::pin(future::ready(Ok(self.lock().rows.get(&key).cloned())))
    }

    fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Rows, StoreError>> {
        Box::pin(future::ready(Ok(self.lock().find(&scan))))
    }

    fn commit(&self, batch: Batch, done: Done) -> Result<(), StoreError> {
        batch.fits()?;
        {
            let mut state = self.lock();
            if state.closed {
                return Err(StoreError::Closed("it was closed".to_owned()));
            }
            let result = state.apply(batch);
            state.waiting.push_back((done, result));
        }
        self.tell_waiting();
        Ok(())
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        while state.telling {
            state = self.told.wait(state).expect("nothing panics with the state in hand");
        }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("rows", &self.lock().rows.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::contract;

    #[test]
    fn the_contract_holds() {
        contract::holds_for(&|| Arc::new(MemoryStore::default()));
    }

    #[test]
    fn a_done_may_hand_over_the_next_batch() {
        let store = Arc::new(MemoryStore::default());
        let (again, (told, result)) = (store.clone(), std::sync::mpsc::channel());
        let next = move |_| {
            let done = Box::new(move |outcome| told.send(outcome).expect("the test waits"));
            again.commit(Batch::default().equals("a", "1").delete("a"), done).expect("it is open");
        };
        store.commit(Batch::default().put("a", "1"), Box::new(next)).unwrap();
        assert_eq!(result.recv().unwrap(), Ok(()));
        assert_eq!(contract::all(store.as_ref()), []);
    }
}
