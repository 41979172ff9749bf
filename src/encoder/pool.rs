//! Inference on threads of its own, behind a bounded queue.
//!
//! The async world calls [`EncoderPool::encode`]; worker threads take whatever waits (they never
//! wait for a batch to fill) and answer through one-shot channels. Knows no status codes: the
//! edge turns [`PoolError::Full`] into 429.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{Embeddings, EncodeError, Encoder};

/// Sizes of a pool; all are at least 1.
#[derive(Debug, Clone, Copy)]
pub struct PoolOptions {
    /// Worker threads, each running one batch at a time on one core.
    pub threads: usize,
    /// Texts that may wait or run at once; a request beyond it is refused.
    pub capacity_texts: usize,
    /// Texts that a worker takes at once, unless a single request has more.
    pub max_batch_texts: usize,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self { threads: 1, capacity_texts: 512, max_batch_texts: 32 }
    }
}

/// A request was not answered with vectors.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PoolError {
    /// Too much waits already; nothing of the request was accepted.
    #[error("the encoder's queue of {capacity} texts is full; try again later or send fewer texts")]
    Full {
        /// Texts that fit at most.
        capacity: usize,
    },
    /// The pool is shutting down.
    #[error("the encoder is shutting down; try again on another node")]
    Closed,
    /// The encoder returned an error.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The encoder panicked on the batch that held this request.
    #[error("the encoder {encoder} panicked; see the log and report it")]
    Panicked {
        /// Name of the encoder.
        encoder: String,
    },
    /// A worker thread could not be started.
    #[error("cannot start an encoder thread: {reason}; lower the number of threads")]
    Threads {
        /// The system's reason.
        reason: String,
    },
}

type Reply = Result<Embeddings, PoolError>;

/// One accepted request.
struct Job {
    texts: Vec<String>,
    reply: oneshot::Sender<Reply>,
    /// Held until the request is answered or skipped.
    permit: OwnedSemaphorePermit,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

struct Shared {
    encoder: Arc<dyn Encoder>,
    options: PoolOptions,
    permits: Arc<Semaphore>,
    queue: Mutex<Queue>,
    wake: Condvar,
}

/// Worker threads around one encoder.
pub struct EncoderPool {
    shared: Arc<Shared>,
    workers: Mutex<Vec<JoinHandle<()>>>,
}

impl EncoderPool {
    /// Starts the worker threads.
    ///
    /// # Errors
    /// [`PoolError::Threads`] when the system refuses one.
    pub fn start(encoder: Arc<dyn Encoder>, options: PoolOptions) -> Result<Self, PoolError> {
        let options = PoolOptions {
            threads: options.threads.max(1),
            capacity_texts: options.capacity_texts.clamp(1, Semaphore::MAX_PERMITS),
            max_batch_texts: options.max_batch_texts.max(1),
        };
        let shared = Arc::new(Shared {
            encoder,
            options,
            permits: Arc::new(Semaphore::new(options.capacity_texts)),
            queue: Mutex::default(),
            wake: Condvar::new(),
        });
        let pool = Self { shared, workers: Mutex::default() };
        for index in 0..options.threads {
            let shared = Arc::clone(&pool.shared);
            // On an error `pool` is dropped, which lets the threads before this one end.
            let worker = std::thread::Builder::new()
                .name(format!("kefu-encoder-{index}"))
                .spawn(move || shared.work())
                .map_err(|error| PoolError::Threads { reason: error.to_string() })?;
            pool.workers.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
        }
        Ok(pool)
    }

    /// Encodes `texts` into one row each, in order. Accepted whole or refused whole; dropping the
    /// future withdraws the request if no worker has taken it yet.
    ///
    /// # Errors
    /// [`PoolError`]; [`PoolError::Full`] is the only one worth an immediate retry elsewhere.
    pub async fn encode(&self, texts: Vec<String>) -> Result<Embeddings, PoolError> {
        let shared = &self.shared;
        if texts.is_empty() {
            return Ok(Embeddings::new(shared.encoder.info().dimension, Vec::new()));
        }
        let full = PoolError::Full { capacity: shared.options.capacity_texts };
        let Ok(count) = u32::try_from(texts.len()) else { return Err(full) };
        let permit = Arc::clone(&shared.permits).try_acquire_many_owned(count).map_err(|_| full)?;
        let (reply, answer) = oneshot::channel();
        {
            let mut queue = shared.lock();
            if queue.closed {
                return Err(PoolError::Closed);
            }
            queue.jobs.push_back(Job { texts, reply, permit });
        }
        shared.wake.notify_one();
        answer.await.unwrap_or(Err(PoolError::Closed))
    }

    /// Texts that were accepted and not yet answered.
    pub fn queued(&self) -> usize {
        self.shared.options.capacity_texts - self.shared.permits.available_permits()
    }

    /// The encoder behind the queue.
    pub fn encoder(&self) -> &Arc<dyn Encoder> {
        &self.shared.encoder
    }

    /// Refuses new requests, finishes the accepted ones and joins the threads.
    pub async fn shutdown(&self) {
        self.shared.close();
        let workers =
            std::mem::take(&mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner));
        let join = move || workers.into_iter().for_each(|worker| drop(worker.join()));
        // An error means that the runtime itself is going down; the threads end by themselves.
        let _ = tokio::task::spawn_blocking(join).await;
    }
}

impl Drop for EncoderPool {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    fn work(&self) {
        while let Some(batch) = self.take() {
            self.answer(batch);
        }
    }

    /// Waits for work and takes all that fits a batch; `None` when closed and drained.
    fn take(&self) -> Option<Vec<Job>> {
        let mut queue = self.lock();
        loop {
            let mut batch = Vec::new();
            let mut texts = 0;
            while let Some(job) = queue.jobs.front() {
                let more = job.texts.len();
                let abandoned = job.reply.is_closed();
                if !abandoned && texts > 0 && texts + more > self.options.max_batch_texts {
                    break;
                }
                let job = queue.jobs.pop_front();
                if !abandoned {
                    texts += more;
                    batch.extend(job);
                }
            }
            if !batch.is_empty() {
                return Some(batch);
            }
            if queue.closed {
                return None;
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn answer(&self, batch: Vec<Job>) {
        let result = self.encode(&batch);
        let mut start = 0;
        for Job { texts, reply, permit } in batch {
            let end = start + texts.len();
            let part = result.clone().map(|all| {
                let dimension = all.dimension();
                let values = &all.values()[start * dimension..end * dimension];
                Embeddings::new(dimension, values.to_vec())
            });
            start = end;
            // Before the answer, so that whoever has it can ask again at once.
            drop(permit);
            // Nobody listens when the request was dropped meanwhile.
            let _ = reply.send(part);
        }
    }

    /// One encoder call for all texts of `batch`.
    fn encode(&self, batch: &[Job]) -> Result<Arc<Embeddings>, PoolError> {
        let texts: Vec<&str> =
            batch.iter().flat_map(|job| job.texts.iter().map(String::as_str)).collect();
        let encoder = || self.encoder.info().name.clone();
        match catch_unwind(AssertUnwindSafe(|| self.encoder.encode(&texts))) {
            Ok(Ok(all)) if all.len() == texts.len() => Ok(Arc::new(all)),
            Ok(Ok(all)) => {
                let reason = format!("it gave {} rows for {} texts", all.len(), texts.len());
                Err(PoolError::Encode(EncodeError { encoder: encoder(), reason }))
            }
            Ok(Err(error)) => Err(PoolError::Encode(error)),
            Err(_) => {
                tracing::error!(encoder = encoder(), texts = texts.len(), "the encoder panicked");
                Err(PoolError::Panicked { encoder: encoder() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::EncoderInfo;
    use std::sync::mpsc;

    /// Answers `[length of the text, 1]`; tells when a call begins and waits to be let go.
    struct Fake {
        info: EncoderInfo,
        began: Mutex<mpsc::Sender<Vec<String>>>,
        go: Mutex<mpsc::Receiver<()>>,
    }

    struct Handle {
        began: mpsc::Receiver<Vec<String>>,
        go: mpsc::Sender<()>,
    }

    fn start(options: PoolOptions) -> (Arc<EncoderPool>, Handle) {
        let (tell, began) = mpsc::channel();
        let (go, wait) = mpsc::channel();
        let info = EncoderInfo {
            name: "fake".to_owned(),
            sha256: String::new(),
            dimension: 2,
            max_tokens: 8,
            tuned: false,
        };
        let fake = Fake { info, began: Mutex::new(tell), go: Mutex::new(wait) };
        (Arc::new(EncoderPool::start(Arc::new(fake), options).unwrap()), Handle { began, go })
    }

    impl Encoder for Fake {
        fn info(&self) -> &EncoderInfo {
            &self.info
        }

        fn encode(&self, texts: &[&str]) -> Result<Embeddings, EncodeError> {
            let owned = texts.iter().map(|text| (*text).to_owned()).collect();
            self.began.lock().unwrap().send(owned).unwrap();
            self.go.lock().unwrap_or_else(PoisonError::into_inner).recv().unwrap();
            assert!(!texts.contains(&"panic"), "asked to");
            if texts.contains(&"error") {
                return Err(EncodeError { encoder: "fake".to_owned(), reason: "asked".to_owned() });
            }
            let rows = texts.iter().flat_map(|text| [text.len() as f32, 1.0]).collect();
            Ok(Embeddings::new(2, rows))
        }
    }

    const OPTIONS: PoolOptions = PoolOptions { threads: 1, capacity_texts: 6, max_batch_texts: 3 };

    /// Starts a request and returns once it stands in the queue: `queued` texts wait or run then.
    async fn ask(
        pool: &Arc<EncoderPool>,
        texts: &[&str],
        queued: usize,
    ) -> tokio::task::JoinHandle<Reply> {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        let own = Arc::clone(pool);
        let task = tokio::spawn(async move { own.encode(texts).await });
        while pool.queued() < queued {
            tokio::task::yield_now().await;
        }
        // The test runtime has one thread: the task ran until it waits for its answer.
        task
    }

    #[tokio::test]
    async fn takes_what_waits_up_to_a_batch_and_answers_each_its_rows() {
        let (pool, handle) = start(OPTIONS);
        let first = ask(&pool, &["a"], 1).await;
        assert_eq!(handle.began.recv().unwrap(), ["a"]);
        let second = ask(&pool, &["bb", "ccc"], 3).await;
        let third = ask(&pool, &["dddd"], 4).await;
        let fourth = ask(&pool, &["eeeee"], 5).await;
        (0..3).for_each(|_| handle.go.send(()).unwrap());
        assert_eq!(first.await.unwrap().unwrap().row(0), [1.0, 1.0]);
        assert_eq!(second.await.unwrap().unwrap().values(), [2.0, 1.0, 3.0, 1.0]);
        assert_eq!(third.await.unwrap().unwrap().row(0), [4.0, 1.0]);
        assert_eq!(fourth.await.unwrap().unwrap().row(0), [5.0, 1.0]);
        assert_eq!(handle.began.recv().unwrap(), ["bb", "ccc", "dddd"]);
        assert_eq!(handle.began.recv().unwrap(), ["eeeee"]);
        assert_eq!(pool.queued(), 0);
    }

    #[tokio::test]
    async fn a_request_is_admitted_whole_or_refused_whole() {
        let (pool, handle) = start(OPTIONS);
        let first = ask(&pool, &["a", "b", "c", "d"], 4).await;
        let error = pool.encode(vec![String::new(); 3]).await.unwrap_err();
        assert!(matches!(error, PoolError::Full { capacity: 6 }), "{error}");
        assert!(pool.encode(vec![String::new(); 7]).await.is_err());
        assert_eq!(pool.queued(), 4);
        let second = ask(&pool, &["e", "f"], 6).await;
        (0..2).for_each(|_| handle.go.send(()).unwrap());
        assert_eq!(first.await.unwrap().unwrap().len(), 4);
        assert_eq!(second.await.unwrap().unwrap().len(), 2);
        assert!(pool.encode(Vec::new()).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn withdrawn_requests_are_skipped() {
        let (pool, handle) = start(OPTIONS);
        let first = ask(&pool, &["a"], 1).await;
        handle.began.recv().unwrap();
        let second = ask(&pool, &["b", "c"], 3).await;
        let third = ask(&pool, &["d"], 4).await;
        second.abort();
        assert!(second.await.unwrap_err().is_cancelled());
        (0..2).for_each(|_| handle.go.send(()).unwrap());
        first.await.unwrap().unwrap();
        third.await.unwrap().unwrap();
        assert_eq!(handle.began.recv().unwrap(), ["d"]);
        assert_eq!(pool.queued(), 0);
    }

    #[tokio::test]
    async fn errors_and_panics_hit_their_requests_only() {
        let (pool, handle) = start(OPTIONS);
        (0..3).for_each(|_| handle.go.send(()).unwrap());
        let error = pool.encode(vec!["panic".to_owned()]).await.unwrap_err();
        assert!(matches!(error, PoolError::Panicked { .. }), "{error}");
        let error = pool.encode(vec!["error".to_owned()]).await.unwrap_err();
        assert!(matches!(error, PoolError::Encode(_)), "{error}");
        assert_eq!(pool.encode(vec!["fine".to_owned()]).await.unwrap().row(0), [4.0, 1.0]);
    }

    #[tokio::test]
    async fn shutdown_finishes_what_was_accepted() {
        let (pool, handle) = start(OPTIONS);
        let first = ask(&pool, &["a"], 1).await;
        handle.began.recv().unwrap();
        let second = ask(&pool, &["b"], 2).await;
        let own = Arc::clone(&pool);
        let shutdown = tokio::spawn(async move { own.shutdown().await });
        while !pool.shared.lock().closed {
            tokio::task::yield_now().await;
        }
        assert!(matches!(pool.encode(vec![String::new()]).await, Err(PoolError::Closed)));
        (0..2).for_each(|_| handle.go.send(()).unwrap());
        shutdown.await.unwrap();
        assert!(first.await.unwrap().is_ok() && second.await.unwrap().is_ok());
        assert!(pool.workers.lock().unwrap().is_empty());
    }
}
