//! An encoder that remembers: for texts that come again at every reload and every preview, such as
//! golden, held-out and out-of-scope sentences. Live questions do not go through it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Embeddings, EncodeError, Encoder, EncoderInfo};

/// Remembers the embeddings of the latest texts, a bounded number of them.
pub struct Memo {
    encoder: Arc<dyn Encoder>,
    capacity: usize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    rows: HashMap<Arc<str>, Vec<f32>>,
    /// The texts, the oldest first.
    order: VecDeque<Arc<str>>,
}

impl Memo {
    /// Remembers up to `capacity` texts; one takes its own bytes twice and four bytes a dimension.
    pub fn new(encoder: Arc<dyn Encoder>, capacity: usize) -> Self {
        Self { encoder, capacity, known: Mutex::default() }
    }
}

impl Encoder for Memo {
    fn info(&self) -> &EncoderInfo {
        self.encoder.info()
    }

    fn encode(&self, texts: &[&str]) -> Result<Embeddings, EncodeError> {
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows: Vec<Option<Vec<f32>>> = {
            let known = lock();
            texts.iter().map(|text| known.rows.get(*text).cloned()).collect()
        };
        let new: Vec<&str> = texts
            .iter()
            .zip(&rows)
            .filter(|(_, row)| row.is_none())
            .map(|(text, _)| *text)
            .collect();
        if !new.is_empty() {
            let encoded = self.encoder.encode(&new)?;
            let missing = rows.iter_mut().filter(|row| row.is_none());
            missing.zip(encoded.rows()).for_each(|(row, new)| *row = Some(new.to_vec()));
            let mut known = lock();
            for (text, row) in new.into_iter().zip(encoded.rows()) {
                known.keep(text, row, self.capacity);
            }
        }
        let values = rows.into_iter().flatten().flatten().collect();
        Ok(Embeddings::new(self.info().dimension, values))
    }
}

impl Known {
    fn keep(&mut self, text: &str, row: &[f32], capacity: usize) {
        if self.rows.contains_key(text) {
            return;
        }
        let text: Arc<str> = text.into();
        self.rows.insert(Arc::clone(&text), row.to_vec());
        self.order.push_back(text);
        while self.order.len() > capacity {
            let oldest = self.order.pop_front().expect("it holds more than its capacity");
            self.rows.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Embeds a text as its length and keeps what it was asked.
    struct Lengths(EncoderInfo, Mutex<Vec<String>>);

    impl Encoder for Lengths {
        fn info(&self) -> &EncoderInfo {
            &self.0
        }

        fn encode(&self, texts: &[&str]) -> Result<Embeddings, EncodeError> {
            self.1.lock().unwrap().extend(texts.iter().map(|text| (*text).to_owned()));
            Ok(Embeddings::new(1, texts.iter().map(|text| text.len() as f32).collect()))
        }
    }

    #[test]
    fn what_is_known_is_not_asked_again_and_the_oldest_is_forgotten() {
        let info = EncoderInfo {
            name: "x".into(),
            sha256: String::new(),
            dimension: 1,
            max_tokens: 1,
            tuned: false,
        };
        let inner = Arc::new(Lengths(info, Mutex::default()));
        let memo = Memo::new(Arc::clone(&inner) as _, 3);
        let asked = || std::mem::take(&mut *inner.1.lock().unwrap());
        for (texts, rows, new) in [
            (vec!["a", "bb"], vec![1.0, 2.0], vec!["a", "bb"]),
            (vec!["bb", "ccc", "a"], vec![2.0, 3.0, 1.0], vec!["ccc"]),
            (vec!["dddd", "dddd"], vec![4.0, 4.0], vec!["dddd", "dddd"]),
            (vec!["a", "bb"], vec![1.0, 2.0], vec!["a"]),
            (vec![], vec![], vec![]),
        ] {
            assert_eq!(memo.encode(&texts).unwrap().values(), rows, "{texts:?}");
            assert_eq!(asked(), new, "{texts:?}");
        }
    }
}
