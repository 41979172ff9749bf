//! Embeds many texts on all cores, skipping those whose embedding is known.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::encoder::{Embeddings, EncodeError, Encoder};
use crate::progress::Progress;

/// Texts that go through the encoder together.
const BATCH: usize = 32;

/// Embeddings by normalised text.
pub type Known = HashMap<String, Vec<f32>>;

/// Embeds normalised `texts` in order; equal texts are encoded once, `known` ones not at all.
///
/// # Errors
/// [`EncodeError`] of the first batch that failed.
pub fn embed(
    encoder: &dyn Encoder,
    texts: &[String],
    known: &Known,
    progress: &dyn Progress,
) -> Result<Embeddings, EncodeError> {
    let mut new: Vec<&str> =
        texts.iter().map(String::as_str).filter(|text| !known.contains_key(*text)).collect();
    new.sort_unstable();
    new.dedup();
    // Texts of one length share a batch without waste; the longest first, so that the threads end
    // together.
    new.sort_by_key(|text| std::cmp::Reverse(text.len()));
    progress.start_items("encoding sentences", new.len() as u64);
    let encoded = encode_all(encoder, &new, progress);
    progress.finish();
    let encoded = encoded?;
    let mut values = Vec::with_capacity(texts.len() * encoder.info().dimension);
    for text in texts {
        match known.get(text) {
            Some(row) => values.extend_from_slice(row),
            None => values.extend_from_slice(&encoded[text.as_str()]),
        }
    }
    Ok(Embeddings::new(encoder.info().dimension, values))
}

fn encode_all<'a>(
    encoder: &dyn Encoder,
    texts: &[&'a str],
    progress: &dyn Progress,
) -> Result<HashMap<&'a str, Vec<f32>>, EncodeError> {
    let batches: Vec<&[&'a str]> = texts.chunks(BATCH).collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Ok(HashMap::with_capacity(texts.len())));
    let work = || {
        while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
            let answer = encoder.encode(batch);
            let mut done = done.lock().expect("no batch panics while it holds the lock");
            let Ok(all) = done.as_mut() else { return };
            match answer {
                Ok(rows) => {
                    all.extend(batch.iter().copied().zip(rows.rows().map(<[f32]>::to_vec)));
                    progress.advance(batch.len() as u64);
                }
                Err(error) => *done = Err(error),
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(batches.len());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    done.into_inner().expect("no batch panics while it holds the lock")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::EncoderInfo;
    use crate::progress::Silent;

    /// Embeds a text as its length and counts what it was asked.
    struct Lengths(EncoderInfo, AtomicUsize);

    impl Encoder for Lengths {
        fn info(&self) -> &EncoderInfo {
            &self.0
        }

        fn encode(&self, texts: &[&str]) -> Result<Embeddings, EncodeError> {
            self.1.fetch_add(texts.len(), Ordering::Relaxed);
            if texts.contains(&"broken") {
                return Err(EncodeError { encoder: "lengths".into(), reason: "asked to".into() });
            }
            Ok(Embeddings::new(1, texts.iter().map(|text| text.len() as f32).collect()))
        }
    }

    fn lengths() -> Lengths {
        let (name, sha256) = ("lengths".to_owned(), String::new());
        Lengths(
            EncoderInfo { name, sha256, dimension: 1, max_tokens: 8, tuned: false },
            AtomicUsize::new(0),
        )
    }

    #[test]
    fn order_is_kept_and_work_is_saved() {
        let texts: Vec<String> = (0..200).map(|n| "x".repeat(n % 100 + 1)).collect();
        let known = Known::from([("x".to_owned(), vec![-1.0])]);
        let encoder = lengths();
        let rows = embed(&encoder, &texts, &known, &Silent).unwrap();
        assert_eq!(rows.row(0), [-1.0]);
        assert_eq!((rows.row(1), rows.row(101)), (&[2.0f32][..], &[2.0f32][..]));
        assert_eq!(encoder.1.load(Ordering::Relaxed), 99);
    }

    #[test]
    fn a_failure_is_an_error() {
        let texts = vec!["fine".to_owned(), "broken".to_owned()];
        assert!(embed(&lengths(), &texts, &Known::new(), &Silent).is_err());
    }
}
