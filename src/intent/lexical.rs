//! Lexical features: word and Han n-grams weighted by TF-IDF.
//!
//! What an embedding blurs (a product name, a number word, one decisive character) stands out
//! here. Latin words give n-grams of up to two, runs of Han characters of up to three. Weights are
//! `(1 + ln tf) · idf`, rows have unit length (Salton and Buckley 1988).

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::keyword::is_han;

const WORD_NGRAM: usize = 2;
const HAN_NGRAM: usize = 3;

/// The features that training saw, with their weights.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vocabulary {
    numbers: HashMap<Arc<str>, u32>,
    idf: Vec<f32>,
    /// The idf of the rarest feature, at least 1.
    rarest: f32,
}

/// A sparse row: `(feature, weight)`, ascending features, unit length or empty.
pub type SparseRow = Vec<(u32, f32)>;

/// A vocabulary as it is stored: features in the order of their numbers.
#[derive(Debug, Serialize, Deserialize)]
pub struct StoredVocabulary {
    features: Vec<String>,
    idf: Vec<f32>,
}

impl Vocabulary {
    /// Counts the features of normalised `texts`; those in fewer than `min_documents` are left
    /// out.
    pub fn fit<'a>(texts: impl IntoIterator<Item = &'a str>, min_documents: u32) -> Self {
        let mut frequency: HashMap<String, u32> = HashMap::new();
        let mut documents = 0u32;
        for text in texts {
            documents += 1;
            let mut seen = Vec::new();
            for_each_feature(text, |feature| seen.push(feature.to_owned()));
            seen.sort_unstable();
            seen.dedup();
            for feature in seen {
                *frequency.entry(feature).or_default() += 1;
            }
        }
        let mut kept: Vec<(String, u32)> =
            frequency.into_iter().filter(|(_, count)| *count >= min_documents).collect();
        kept.sort_unstable();
        let total = f64::from(documents) + 1.0;
        let idf = kept.iter().map(|&(_, count)| idf(total, count)).collect();
        Self::from_parts(kept.into_iter().map(|(feature, _)| feature), idf)
    }

    fn from_parts(features: impl Iterator<Item = String>, idf: Vec<f32>) -> Self {
        let numbers =
            features.enumerate().map(|(number, name)| (Arc::from(name), number as u32)).collect();
        let rarest = idf.iter().copied().fold(1.0, f32::max);
        Self { numbers, idf, rarest }
    }

    /// Number of features.
    pub fn len(&self) -> usize {
        self.idf.len()
    }

    /// True without features.
    pub fn is_empty(&self) -> bool {
        self.idf.is_empty()
    }

    /// The number of each feature in `other`, by its number here; none where `other` lacks it.
    pub(crate) fn numbers_in(&self, other: &Self) -> Vec<Option<u32>> {
        let mut numbers = vec![None; self.len()];
        for (name, &number) in &self.numbers {
            numbers[number as usize] = other.numbers.get(name).copied();
        }
        numbers
    }

    /// The features of a normalised text; unknown ones are left out.
    pub fn vectorize(&self, text: &str) -> SparseRow {
        let mut numbers: Vec<u32> = Vec::with_capacity(64);
        for_each_feature(text, |feature| numbers.extend(self.numbers.get(feature)));
        numbers.sort_unstable();
        let mut row: SparseRow = numbers
            .chunk_by(|a, b| a == b)
            .map(|same| {
                let tf = 1.0 + (same.len() as f32).ln();
                (same[0], tf * self.idf[same[0] as usize])
            })
            .collect();
        let length = row.iter().map(|(_, weight)| weight * weight).sum::<f32>().sqrt();
        row.iter_mut().for_each(|(_, weight)| *weight /= length);
        row
    }

    /// How much of the text the vocabulary knows, 0 to 1, by single tokens weighted with their
    /// idf (an unknown token weighs as much as the rarest known one). 0 without tokens.
    pub fn coverage(&self, text: &str) -> f32 {
        let (mut known, mut all) = (0.0, 0.0);
        for token in tokens(text) {
            match self.numbers.get(token) {
                Some(&number) => {
                    known += self.idf[number as usize];
                    all += self.idf[number as usize];
                }
                None => all += self.rarest,
            }
        }
        if all == 0.0 { 0.0 } else { known / all }
    }

    /// For the artifact.
    pub fn store(&self) -> StoredVocabulary {
        let mut features = vec![String::new(); self.len()];
        for (name, &number) in &self.numbers {
            features[number as usize] = name.to_string();
        }
        StoredVocabulary { features, idf: self.idf.clone() }
    }

    /// From the artifact; none when it is damaged.
    pub fn restore(stored: StoredVocabulary) -> Option<Self> {
        let fits = stored.features.len() == stored.idf.len();
        let vocabulary = Self::from_parts(stored.features.into_iter(), stored.idf);
        (fits && vocabulary.numbers.len() == vocabulary.idf.len()).then_some(vocabulary)
    }
}

/// Smoothed inverse document frequency; `total` is the number of documents plus one.
fn idf(total: f64, documents: u32) -> f32 {
    ((total / (f64::from(documents) + 1.0)).ln() + 1.0) as f32
}

/// Han characters one by one; other letters and digits as words, inner apostrophes included.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::with_capacity(32);
    let mut start: Option<usize> = None;
    for (at, c) in text.char_indices() {
        let apostrophe = c == '\''
            && start.is_some()
            && text[at + 1..]
                .chars()
                .next()
                .is_some_and(|next| next.is_alphanumeric() && !is_han(next));
        if apostrophe || (c.is_alphanumeric() && !is_han(c)) {
            start.get_or_insert(at);
            continue;
        }
        if let Some(from) = start.take() {
            tokens.push(&text[from..at]);
        }
        if is_han(c) {
            tokens.push(&text[at..at + c.len_utf8()]);
        }
    }
    tokens.extend(start.map(|from| &text[from..]));
    tokens
}

/// Calls `each` with every n-gram; tokens of a mixed n-gram are joined by a space.
fn for_each_feature(text: &str, mut each: impl FnMut(&str)) {
    let tokens = tokens(text);
    let is_han_token: Vec<bool> =
        tokens.iter().map(|token| token.chars().next().is_some_and(is_han)).collect();
    let mut joined = String::with_capacity(32);
    for first in 0..tokens.len() {
        joined.clear();
        let mut all_han = true;
        for n in 1..=HAN_NGRAM.max(WORD_NGRAM) {
            let Some(token) = tokens.get(first + n - 1) else { break };
            all_han &= is_han_token[first + n - 1];
            if n > if all_han { HAN_NGRAM } else { WORD_NGRAM } {
                break;
            }
            if n > 1 && !all_han {
                joined.push(' ');
            }
            joined.push_str(token);
            each(&joined);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        for_each_feature(text, |feature| all.push(feature.to_owned()));
        all
    }

    #[test]
    fn feature_table() {
        for (name, text, expected) in [
            (
                "words",
                "where's my order?",
                vec!["where's", "where's my", "my", "my order", "order"],
            ),
            ("Han", "退款吗", vec!["退", "退款", "退款吗", "款", "款吗", "吗"]),
            ("mixed", "查order", vec!["查", "查 order", "order"]),
            ("an apostrophe at the end", "boys' 5", vec!["boys", "boys 5", "5"]),
            ("nothing", "?! ", vec![]),
        ] {
            assert_eq!(features(text), expected, "{name}");
        }
    }

    #[test]
    fn rows_have_unit_length_and_rare_features_weigh_more() {
        let vocabulary = Vocabulary::fit(["my order", "my refund", "my my parcel"], 1);
        let row = vocabulary.vectorize("my order is new");
        let length: f32 = row.iter().map(|(_, weight)| weight * weight).sum();
        assert!((length - 1.0).abs() < 1e-6);
        let weight = |feature: &str| {
            let number = vocabulary.numbers[feature];
            row.iter().find(|(known, _)| *known == number).unwrap().1
        };
        assert!(weight("order") > weight("my"));
        assert!(vocabulary.vectorize("全新").is_empty());
        assert_eq!(vocabulary.coverage("my order"), 1.0);
        assert!(vocabulary.coverage("my x y z") < 0.5);
        assert_eq!(vocabulary.coverage("?"), 0.0);
    }

    #[test]
    fn features_are_found_in_another_vocabulary() {
        let old = Vocabulary::fit(["my order"], 1);
        let new = Vocabulary::fit(["my order", "a parcel"], 1);
        let number = |vocabulary: &Vocabulary, name: &str| vocabulary.numbers[name];
        let found = new.numbers_in(&old);
        assert_eq!(found[number(&new, "order") as usize], Some(number(&old, "order")));
        assert_eq!(found[number(&new, "parcel") as usize], None);
    }

    #[test]
    fn stored_and_restored() {
        let vocabulary = Vocabulary::fit(["查询订单", "my order"], 1);
        assert_eq!(Vocabulary::restore(vocabulary.store()).unwrap(), vocabulary);
        let mut damaged = vocabulary.store();
        damaged.idf.pop();
        assert!(Vocabulary::restore(damaged).is_none());
    }
}
