//! Rules about keywords: those that take other intents' sentences, and those that never answer.

use std::collections::BTreeMap;

use aho_corasick::BuildError;

use super::Finding;
use super::codes::{STOLEN, UNREACHABLE};
use super::corpus::{Corpus, Sentence};
use crate::intent::keyword::{KeywordMatch, KeywordOutcome, KeywordTier};
use crate::intent::knowledge::{Intent, KeywordRule, KnowledgeBase};
use crate::intent::normalize::normalize;
use crate::knowledge::{Place, RulePlaces};

pub(super) fn check(corpus: &Corpus<'_>, tier: &KeywordTier) -> Result<Vec<Finding>, BuildError> {
    let rules = Rules::new(corpus)?;
    let mut findings = stolen(corpus, tier, &rules);
    findings.extend(unreachable(corpus, tier, &rules));
    findings.extend(repeated(&rules));
    Ok(findings)
}

/// Every rule as a tier of its own, so that it can be asked alone.
struct Rules<'a>(Vec<SingleRule<'a>>);

struct SingleRule<'a> {
    intent: usize,
    rule: &'a KeywordRule,
    places: &'a RulePlaces,
    tier: KeywordTier,
}

impl<'a> Rules<'a> {
    fn new(corpus: &Corpus<'a>) -> Result<Self, BuildError> {
        let mut rules = Vec::new();
        for (intent, known) in corpus.knowledge.intents.iter().enumerate() {
            let places = &corpus.intent_places(intent).keywords;
            for (rule, places) in known.keywords.iter().zip(places) {
                rules.push(SingleRule { intent, rule, places, tier: alone(rule)? });
            }
        }
        Ok(Self(rules))
    }

    fn of(&self, intent: usize) -> impl Iterator<Item = &SingleRule<'a>> {
        self.0.iter().filter(move |rule| rule.intent == intent)
    }
}

fn alone(rule: &KeywordRule) -> Result<KeywordTier, BuildError> {
    let intent = Intent {
        id: String::new(),
        title: BTreeMap::new(),
        answers: BTreeMap::new(),
        keywords: vec![rule.clone()],
        examples: Vec::new(),
        negative_examples: Vec::new(),
        slots: Vec::new(),
        confirm: BTreeMap::new(),
        action: Default::default(),
    };
    KeywordTier::new(&KnowledgeBase { intents: vec![intent], ..KnowledgeBase::default() })
}

impl SingleRule<'_> {
    /// The match on a normalised text.
    fn fires(&self, text: &str) -> Option<KeywordMatch> {
        match self.tier.evaluate(text) {
            KeywordOutcome::Miss => None,
            KeywordOutcome::Answer(found) => Some(found),
            KeywordOutcome::Evidence(found) => found.into_iter().next(),
        }
    }

    /// The keyword that made it fire on `text`, and where it stands: of `any` before `all`, for
    /// that is what a person would take out.
    fn keyword_in(&self, text: &str, found: &KeywordMatch) -> Option<(&str, &Place)> {
        let RulePlaces { any, all, exact, .. } = self.places;
        let lists = [(&self.rule.any, any), (&self.rule.all, all), (&self.rule.exact, exact)];
        lists.into_iter().flat_map(|(words, places)| words.iter().zip(places)).find_map(
            |(word, place)| {
                let keyword = normalize(word);
                let is_it = |span: &std::ops::Range<usize>| {
                    let written = &text[span.clone()];
                    written == keyword.text()
                        || keyword.text().trim_matches(|c: char| !c.is_alphanumeric()) == written
                };
                found.spans.iter().any(is_it).then_some((word.as_str(), place))
            },
        )
    }
}

/// Sentences that tier 1 answers with an intent that is not theirs.
fn stolen(corpus: &Corpus<'_>, tier: &KeywordTier, rules: &Rules<'_>) -> Vec<Finding> {
    let mut by_keyword: BTreeMap<&Place, (usize, &str, Vec<&Sentence<'_>>)> = BTreeMap::new();
    let examples = corpus.examples.iter().map(|one| (one, true));
    let negatives = corpus.negatives.iter().map(|one| (one, false));
    for (sentence, is_example) in examples.chain(negatives) {
        let KeywordOutcome::Answer(found) = tier.evaluate(&sentence.text) else { continue };
        let intent = found.intent as usize;
        // A negative example is stolen when its own intent answers it.
        if (intent == sentence.intent) == is_example {
            continue;
        }
        let thief = rules.of(intent).find_map(|rule| {
            let found = rule.fires(&sentence.text).filter(|found| found.strong)?;
            rule.keyword_in(&sentence.text, &found)
        });
        if let Some((keyword, place)) = thief {
            by_keyword.entry(place).or_insert((intent, keyword, Vec::new())).2.push(sentence);
        }
    }
    let finding = |(place, (intent, keyword, victims)): (&Place, (usize, &str, Vec<&Sentence>))| {
        let (id, first) = (corpus.id(intent), victims[0]);
        let kind = if first.intent == intent {
            "its own negative example".to_owned()
        } else {
            format!("an example of {:?}", corpus.id(first.intent))
        };
        let more = match victims.len() {
            1 => String::new(),
            many => format!(" and {} more", many - 1),
        };
        Finding {
            rule: STOLEN,
            place: place.clone(),
            related: victims.iter().map(|victim| victim.place.clone()).collect(),
            message: format!(
                "{keyword:?} makes {id:?} answer {:?}, {kind} in {}{more}; \
                 make the keyword longer, or put what differs under not",
                first.written, first.place
            ),
        }
    };
    by_keyword.into_iter().map(finding).collect()
}

/// Keywords that their own rule blocks, or on which another intent's rule always fires as well.
fn unreachable(corpus: &Corpus<'_>, tier: &KeywordTier, rules: &Rules<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in &rules.0 {
        let mut found = |place: &Place, related: Option<Place>, message: String| {
            findings.push(Finding {
                rule: UNREACHABLE,
                place: place.clone(),
                related: related.into_iter().collect(),
                message,
            });
        };
        for probe in probes(rule) {
            let text = normalize(&probe.text);
            let text = text.text();
            if text.is_empty() {
                found(probe.place, None, "the keyword has no visible text; drop it".to_owned());
                continue;
            }
            let Some(alone) = rule.fires(text) else {
                let message = format!(
                    "{:?} contains a keyword of its own rule's not, so it never fires; drop one",
                    probe.keyword
                );
                found(probe.place, None, message);
                continue;
            };
            let whole = tier.evaluate(text);
            if !alone.strong || matches!(whole, KeywordOutcome::Answer(_)) {
                continue;
            }
            if let Some((other, place)) = always_conflicts(rules, rule, text, probe.is_exact) {
                let message = format!(
                    "{:?} never answers: a rule of {:?} in {place} fires on it too, and of two \
                     intents neither answers; drop one, or add a not there",
                    probe.keyword,
                    corpus.id(other)
                );
                found(probe.place, Some(place), message);
            }
        }
    }
    findings
}

/// The shortest message that a keyword could answer.
struct Probe<'a> {
    text: String,
    keyword: &'a str,
    place: &'a Place,
    is_exact: bool,
}

fn probes<'a>(single: &'a SingleRule<'_>) -> Vec<Probe<'a>> {
    let (rule, places) = (single.rule, single.places);
    let phrase = |(word, place): (&'a String, &'a Place)| Probe {
        text: word.clone(),
        keyword: word,
        place,
        is_exact: true,
    };
    let mut probes: Vec<Probe<'_>> = rule.exact.iter().zip(&places.exact).map(phrase).collect();
    let all = rule.all.join(" ");
    let part = |(word, place): (&'a String, &'a Place)| Probe {
        // A keyword without visible text is a fault of its own, whatever stands beside it.
        text: if normalize(word).text().is_empty() {
            String::new()
        } else {
            format!("{word} {all}")
        },
        keyword: word,
        place,
        is_exact: false,
    };
    probes.extend(rule.any.iter().zip(&places.any).map(part));
    if let (true, Some(first), Some(place)) =
        (rule.any.is_empty(), rule.all.first(), places.all.first())
    {
        probes.push(Probe { text: all, keyword: first, place, is_exact: false });
    }
    probes
}

/// Another intent whose rule fires wherever this text occurs: a longer message may hold what
/// blocks a rule, so only a rule without `not` fires always, unless the text is the whole message.
fn always_conflicts(
    rules: &Rules<'_>,
    rule: &SingleRule<'_>,
    text: &str,
    is_exact: bool,
) -> Option<(usize, Place)> {
    rules.0.iter().filter(|other| other.intent != rule.intent).find_map(|other| {
        let found = other.fires(text)?;
        let (keyword, place) = other.keyword_in(text, &found)?;
        let only_whole = other.rule.exact.iter().any(|phrase| phrase == keyword);
        let always = is_exact || (other.rule.not.is_empty() && !only_whole);
        always.then(|| (other.intent, place.clone()))
    })
}

/// Keywords that stand in one list twice.
fn repeated(rules: &Rules<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for SingleRule { rule, places, .. } in &rules.0 {
        let lists = [
            (&rule.any, &places.any),
            (&rule.all, &places.all),
            (&rule.not, &places.not),
            (&rule.exact, &places.exact),
        ];
        for (words, places) in lists {
            let mut seen: BTreeMap<String, &Place> = BTreeMap::new();
            for (word, place) in words.iter().zip(places) {
                let earlier = seen.insert(normalize(word).text().to_owned(), place);
                findings.extend(earlier.map(|earlier| Finding {
                    rule: UNREACHABLE,
                    place: place.clone(),
                    related: vec![earlier.clone()],
                    message: format!("{word:?} stands in this list already; drop one"),
                }));
            }
        }
    }
    findings
}
