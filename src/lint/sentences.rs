//! Rules about single sentences: said twice, contradicting each other, in the wrong language.

use std::collections::HashMap;

use super::Finding;
use super::codes::{CONTRADICTION, DUPLICATE, NEAR_DUPLICATE, REPEATED, WRONG_LANGUAGE};
use super::corpus::{Corpus, Sentence, letters, scripts};
use crate::intent::keyword::is_han;
use crate::intent::knowledge::Lang;

/// So many words without a Han character are no Chinese sentence: brands and "ok" are shorter.
const FOREIGN_WORDS: usize = 3;
/// So many words beside Han characters are a sentence of their own.
const SECOND_SENTENCE_WORDS: usize = 5;
/// So many Han characters in an English text are a sentence, not a name.
const FOREIGN_HAN: usize = 5;

pub(super) fn check(corpus: &Corpus<'_>) -> Vec<Finding> {
    let mut findings = duplicates(corpus);
    findings.extend(contradictions(corpus));
    for sentence in corpus.examples.iter().chain(&corpus.negatives) {
        if let Some(reason) = wrong_language(&sentence.text, sentence.lang) {
            findings.push(Finding {
                rule: WRONG_LANGUAGE,
                place: sentence.place.clone(),
                related: Vec::new(),
                message: format!("{:?} stands under {}: {reason}", sentence.written, sentence.lang),
            });
        }
    }
    findings
}

/// Why a sentence is not, or not only, of its language, and what to do.
fn wrong_language(text: &str, lang: Lang) -> Option<&'static str> {
    let (han, words) = scripts(text);
    let second = match lang {
        Lang::Zh => han >= FOREIGN_HAN && words >= SECOND_SENTENCE_WORDS,
        Lang::En => han >= FOREIGN_HAN,
    };
    foreign(text, lang).or(second.then_some("it says it in two languages; split it into zh and en"))
}

/// Why a text is of the other language, and what to do. Names in the other script are allowed.
pub(super) fn foreign(text: &str, lang: Lang) -> Option<&'static str> {
    let (han, words) = scripts(text);
    match lang {
        Lang::Zh if han == 0 && words >= FOREIGN_WORDS => {
            Some("it has no Chinese character; move it to en")
        }
        Lang::En if han > 0 && han >= words => Some("it is Chinese; move it to zh"),
        _ => None,
    }
}

fn duplicates(corpus: &Corpus<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut same: HashMap<String, Vec<&Sentence<'_>>> = HashMap::new();
    let mut alike: HashMap<String, Vec<&Sentence<'_>>> = HashMap::new();
    for sentence in &corpus.examples {
        let key = key(&sentence.text);
        // What is the same needs no second finding for being alike.
        let first = same.entry(key.clone()).or_default();
        if let Some(other) = first.iter().find(|other| other.intent != sentence.intent) {
            findings.push(duplicate(corpus, sentence, other));
        } else if let Some(other) = first.iter().find(|other| other.text == sentence.text) {
            findings.push(Finding {
                rule: REPEATED,
                place: sentence.place.clone(),
                related: vec![other.place.clone()],
                message: format!(
                    "{:?} stands in {} already; drop one",
                    sentence.written, other.place
                ),
            });
        } else {
            let others = alike.entry(skeleton(&sentence.text)).or_default();
            if let Some(other) = others.iter().find(|other| other.intent != sentence.intent) {
                findings.push(near_duplicate(corpus, sentence, other));
            }
            others.push(sentence);
        }
        first.push(sentence);
    }
    findings
}

fn duplicate(corpus: &Corpus<'_>, sentence: &Sentence<'_>, other: &Sentence<'_>) -> Finding {
    let (here, there) = (corpus.id(sentence.intent), corpus.id(other.intent));
    Finding {
        rule: DUPLICATE,
        place: sentence.place.clone(),
        related: vec![other.place.clone()],
        message: format!(
            "{:?} is an example of {here:?} and in {} of {there:?}; keep it in one of them",
            sentence.written, other.place
        ),
    }
}

pub(super) fn near_duplicate(
    corpus: &Corpus<'_>,
    sentence: &Sentence<'_>,
    other: &Sentence<'_>,
) -> Finding {
    let (here, there) = (corpus.id(sentence.intent), corpus.id(other.intent));
    Finding {
        rule: NEAR_DUPLICATE,
        place: sentence.place.clone(),
        related: vec![other.place.clone()],
        message: format!(
            "{:?} of {here:?} says the same as {:?} of {there:?} in {}; drop one, or say what differs",
            sentence.written, other.written, other.place
        ),
    }
}

fn contradictions(corpus: &Corpus<'_>) -> Vec<Finding> {
    let examples: HashMap<(usize, String), &Sentence<'_>> =
        corpus.examples.iter().map(|one| ((one.intent, key(&one.text)), one)).collect();
    let contradiction = |negative: &Sentence<'_>| {
        let example = examples.get(&(negative.intent, key(&negative.text)))?;
        Some(Finding {
            rule: CONTRADICTION,
            place: negative.place.clone(),
            related: vec![example.place.clone()],
            message: format!(
                "{:?} is a negative example of {:?} and an example of it in {}; keep one",
                negative.written,
                corpus.id(negative.intent),
                example.place
            ),
        })
    };
    corpus.negatives.iter().filter_map(contradiction).collect()
}

/// Letters and digits, or the whole text when it has none of them (an emoji, "??").
fn key(text: &str) -> String {
    let key = letters(text);
    if key.is_empty() { text.to_owned() } else { key }
}

/// What is left of a sentence without the words that only make it polite or a question.
fn skeleton(text: &str) -> String {
    const PARTICLES: &[char] =
        &['吗', '呢', '啊', '呀', '吧', '哦', '嘛', '么', '哈', '啦', '请', '亲', '您', '你', '问'];
    const FILLERS: &[&str] =
        &["please", "pls", "the", "a", "an", "hi", "hello", "hey", "sorry", "just", "kindly"];
    let kept: String = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !FILLERS.contains(word))
        .collect::<String>()
        .chars()
        .filter(|c| !PARTICLES.contains(c))
        .collect();
    // Two characters ("在" of "在吗") are too little to compare.
    let weight: usize = kept.chars().map(|c| if is_han(c) { 3 } else { 1 }).sum();
    if weight < 9 { text.to_owned() } else { kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skeleton_table() {
        for (a, b, same) in [
            ("请问怎么退货呢", "怎么退货", true),
            ("please cancel the order", "cancel order", true),
            ("我要退款", "我要退货", false),
            ("在吗", "在呢", false),
        ] {
            assert_eq!(skeleton(a) == skeleton(b), same, "{a} | {b}");
        }
    }

    #[test]
    fn language_table() {
        for (text, lang, found) in [
            ("my parcel is late", Lang::Zh, true),
            ("3q", Lang::Zh, false),
            ("hello 在么", Lang::Zh, false),
            ("怎么 return 呀,要打印面单吗", Lang::Zh, false),
            ("我要退货 i want to return this", Lang::Zh, false),
            ("我要退货啊 i want to return this", Lang::Zh, true),
            ("我的快递在哪", Lang::En, true),
            ("where is my 快递", Lang::En, false),
            ("where is it 我的快递在哪", Lang::En, true),
        ] {
            assert_eq!(wrong_language(text, lang).is_some(), found, "{text}");
        }
    }
}
