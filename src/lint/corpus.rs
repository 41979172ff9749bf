//! A knowledge base prepared for the rules: its sentences normalised, with their places.

use std::path::PathBuf;

use crate::intent::keyword::is_han;
use crate::intent::knowledge::{Example, KnowledgeBase, Lang};
use crate::intent::normalize::normalize;
use crate::knowledge::{IntentPlaces, Place, Places};

/// Sentences of all intents.
pub(super) struct Corpus<'a> {
    pub(super) knowledge: &'a KnowledgeBase,
    pub(super) places: &'a Places,
    /// In the order of [`KnowledgeBase::examples`].
    pub(super) examples: Vec<Sentence<'a>>,
    pub(super) negatives: Vec<Sentence<'a>>,
}

/// An example or a negative example.
pub(super) struct Sentence<'a> {
    pub(super) intent: usize,
    pub(super) lang: Lang,
    /// As written.
    pub(super) written: &'a str,
    /// Normalised.
    pub(super) text: String,
    pub(super) place: Place,
}

impl<'a> Corpus<'a> {
    pub(super) fn new(knowledge: &'a KnowledgeBase, places: &'a Places) -> Self {
        assert_eq!(knowledge.intents.len(), places.intents.len(), "places of another version");
        let mut corpus = Self { knowledge, places, examples: Vec::new(), negatives: Vec::new() };
        for (at, (intent, places)) in knowledge.intents.iter().zip(&places.intents).enumerate() {
            let sentences = |examples: &'a [Example], places: &[Place]| -> Vec<Sentence<'a>> {
                let place = |number: usize, example: &Example| {
                    places.get(number).cloned().unwrap_or_else(|| row_place(example))
                };
                let sentence = |(number, example): (usize, &'a Example)| Sentence {
                    intent: at,
                    lang: example.lang,
                    written: &example.text,
                    text: normalize(&example.text).text().to_owned(),
                    place: place(number, example),
                };
                examples.iter().enumerate().map(sentence).collect()
            };
            corpus.examples.extend(sentences(&intent.examples, &places.examples));
            corpus
                .negatives
                .extend(sentences(&intent.negative_examples, &places.negative_examples));
        }
        corpus
    }

    pub(super) fn id(&self, intent: usize) -> &'a str {
        &self.knowledge.intents[intent].id
    }

    pub(super) fn intent_places(&self, intent: usize) -> &'a IntentPlaces {
        &self.places.intents[intent]
    }
}

/// A row of the training data knows its line only.
fn row_place(example: &Example) -> Place {
    Place { file: PathBuf::from(&example.file), line: u64::from(example.line), column: 1 }
}

/// Letters and digits only: what is left when punctuation and spaces say nothing.
pub(super) fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

/// Number of Han characters, and of words in other letters.
pub(super) fn scripts(text: &str) -> (usize, usize) {
    let han = text.chars().filter(|c| is_han(*c)).count();
    let words = text.split(|c: char| !(c.is_alphabetic() || c == '\'') || is_han(c));
    (han, words.filter(|word| !word.is_empty()).count())
}

/// How alike two normalised texts are written: Dice's coefficient over character bigrams, spaces
/// and punctuation aside. 0 to 1.
pub(super) fn likeness(a: &str, b: &str) -> f32 {
    let bigrams = |text: &str| {
        let chars: Vec<char> = letters(text).chars().collect();
        let mut pairs: Vec<(char, char)> = chars.windows(2).map(|two| (two[0], two[1])).collect();
        pairs.sort_unstable();
        pairs
    };
    let (a, b) = (bigrams(a), bigrams(b));
    if a.is_empty() || b.is_empty() {
        return 0.0;
    }
    let (mut i, mut j, mut common) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        match a[i].cmp(&b[j]) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => (i, j, common) = (i + 1, j + 1, common + 1),
        }
    }
    2.0 * common as f32 / (a.len() + b.len()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_table() {
        for (text, expected) in [
            ("怎么 return 呀", (3, 1)),
            ("where's my 快递", (2, 2)),
            ("3Q", (0, 1)),
            ("20261030", (0, 0)),
        ] {
            assert_eq!(scripts(text), expected, "{text}");
        }
    }

    #[test]
    fn likeness_table() {
        for (a, b, least, most) in [
            ("退款到账了吗", "退款到账了吗?", 1.0, 1.0),
            ("我要退款", "我要退货", 0.6, 0.7),
            ("where is my order", "where's my order", 0.8, 0.95),
            ("你好", "再见", 0.0, 0.0),
            ("", "", 0.0, 0.0),
        ] {
            let found = likeness(a, b);
            assert!((least..=most).contains(&found), "{a} | {b}: {found}");
        }
    }
}
