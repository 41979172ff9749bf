//! Rules about whole intents: how many examples they have, and in which languages they speak.

use std::collections::BTreeMap;

use super::Finding;
use super::codes::{IMBALANCE, MISSING_ANSWER, TOO_FEW, WRONG_LANGUAGE};
use super::corpus::Corpus;
use super::sentences::foreign;
use crate::intent::knowledge::{Action, Lang};
use crate::knowledge::Place;

/// Below this many examples of a language, held-out accuracy falls steeply.
const FEW: usize = 5;
/// An intent with more than so many times the usual number pulls its neighbours over, one with
/// less than the reverse is pulled.
const IMBALANCED: f32 = 3.0;
/// With fewer intents there is no usual number.
const COMPARABLE: usize = 4;

pub(super) fn check(corpus: &Corpus<'_>) -> Vec<Finding> {
    let counts = counts(corpus);
    let usual: BTreeMap<Lang, f32> = [Lang::Zh, Lang::En]
        .into_iter()
        .filter_map(|lang| Some((lang, median(counts.iter().map(|count| count.get(&lang)))?)))
        .collect();
    let mut findings = Vec::new();
    for (intent, count) in counts.iter().enumerate() {
        findings.extend(sizes(corpus, intent, count, &usual));
        findings.extend(texts(corpus, intent, &usual));
    }
    findings
}

fn counts(corpus: &Corpus<'_>) -> Vec<BTreeMap<Lang, usize>> {
    let mut counts = vec![BTreeMap::new(); corpus.knowledge.intents.len()];
    for sentence in &corpus.examples {
        *counts[sentence.intent].entry(sentence.lang).or_default() += 1;
    }
    counts
}

/// The median of the intents that have some; none when too few have.
fn median<'a>(counts: impl Iterator<Item = Option<&'a usize>>) -> Option<f32> {
    let mut counts: Vec<usize> = counts.flatten().copied().collect();
    counts.sort_unstable();
    counts.get(counts.len() / 2).map(|&median| median as f32)
}

/// Too few or imbalanced, in each language that the knowledge base speaks.
fn sizes(
    corpus: &Corpus<'_>,
    intent: usize,
    counts: &BTreeMap<Lang, usize>,
    usual: &BTreeMap<Lang, f32>,
) -> Vec<Finding> {
    let id = corpus.id(intent);
    let finding = |rule, message| Finding {
        rule,
        place: corpus.intent_places(intent).id.clone(),
        related: Vec::new(),
        message,
    };
    let one = |(lang, &usual): (&Lang, &f32)| {
        let count = counts.get(lang).copied().unwrap_or(0);
        if count < FEW {
            let message =
                format!("{id:?} has {count} {lang} examples; write at least {FEW}, better 14");
            return Some((TOO_FEW, message));
        }
        if corpus.knowledge.intents.len() < COMPARABLE {
            return None;
        }
        let share = count as f32 / usual;
        let advice = if share > IMBALANCED {
            "drop those that teach nothing new, or split the intent"
        } else if share < 1.0 / IMBALANCED {
            "write more"
        } else {
            return None;
        };
        let message =
            format!("{id:?} has {count} {lang} examples where intents have {usual}; {advice}");
        Some((IMBALANCE, message))
    };
    // One finding a code: languages share the line.
    let mut by_code: Vec<(&'static super::Rule, String)> = Vec::new();
    for (rule, message) in usual.iter().filter_map(one) {
        match by_code.iter_mut().find(|(known, _)| *known == rule) {
            Some((_, messages)) => *messages = format!("{messages}; {message}"),
            None => by_code.push((rule, message)),
        }
    }
    by_code.into_iter().map(|(rule, message)| finding(rule, message)).collect()
}

/// Answers, questions and prompts that are missing in a language, or are of another.
fn texts(corpus: &Corpus<'_>, intent: usize, usual: &BTreeMap<Lang, f32>) -> Vec<Finding> {
    let (known, places) = (&corpus.knowledge.intents[intent], corpus.intent_places(intent));
    let mut findings = Vec::new();
    let mut missing = |lang: Lang, what: &str| {
        findings.push(Finding {
            rule: MISSING_ANSWER,
            place: places.id.clone(),
            related: Vec::new(),
            message: format!("{:?} has no {lang} {what}; write one", known.id),
        });
    };
    for &lang in usual.keys() {
        let answered = known.answers.get(&lang).is_some_and(|answers| !answers.is_empty());
        // A webhook answers by itself; a handoff without a word is allowed, half a word is not.
        let speaks = known.action == Action::Reply || known.answers.values().any(|a| !a.is_empty());
        if speaks && !answered {
            missing(lang, "answer");
        } else if !known.confirm.is_empty() && !known.confirm.contains_key(&lang) {
            missing(lang, "confirmation question");
        } else if let Some(slot) = known.slots.iter().find(|slot| !slot.prompt.contains_key(&lang))
        {
            missing(lang, &format!("prompt for the slot {:?}", slot.name));
        }
    }
    let mut spoken: Vec<(Lang, &str, &Place)> = Vec::new();
    for (lang, answers) in &known.answers {
        let at = places.answers.get(lang).into_iter().flatten();
        spoken.extend(answers.iter().zip(at).map(|(text, place)| (*lang, text.as_str(), place)));
    }
    for (lang, text) in &known.confirm {
        spoken.extend(places.confirm.get(lang).map(|place| (*lang, text.as_str(), place)));
    }
    for (lang, text, place) in spoken {
        if let Some(reason) = foreign(text, lang) {
            findings.push(Finding {
                rule: WRONG_LANGUAGE,
                place: place.clone(),
                related: Vec::new(),
                message: format!("this {lang} text of {:?} is not {lang}: {reason}", known.id),
            });
        }
    }
    findings
}
