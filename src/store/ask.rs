//! What callers ask of any store and need more than one call for.

use tokio::sync::oneshot;

use super::{Batch, Order, Scan, Store, StoreError};

/// Rows that are read at a time.
const PAGE: usize = 1_000;

/// Commits a batch, and waits until it is durable.
///
/// # Errors
/// As the store says.
pub async fn commit(store: &dyn Store, batch: Batch) -> Result<(), StoreError> {
    let (done, durable) = oneshot::channel();
    // Whoever asked may have gone.
    store.commit(batch, Box::new(move |result| drop(done.send(result))))?;
    let ended = |_| StoreError::Failed("it ended before it answered".to_owned());
    durable.await.map_err(ended)?
}

/// All rows whose keys begin with `prefix`, in the order of their keys. They are read page by page,
/// so they need not be of one moment.
///
/// # Errors
/// As the store says.
pub async fn all(store: &dyn Store, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
    let mut all = Vec::new();
    let mut scan = Scan::prefix(prefix, Order::Ascending, PAGE);
    loop {
        let page = store.scan(scan.clone()).await?;
        all.extend(page.rows);
        match all.last() {
            // The next key there can be.
            Some((last, _)) if page.more => scan.from = [last.as_slice(), &[0]].concat(),
            _ => return Ok(all),
        }
    }
}
