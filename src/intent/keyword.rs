//! Tier 1: keyword rules over one aho-corasick automaton.
//!
//! It answers only when exactly one intent's rules fire and one of them is strong; everything else
//! goes on to tier 2 as evidence. Latin keywords match at word boundaries, Han keywords anywhere.
//! Text and keywords are normalised by the same function; fuzziness is tier 2's work.

use std::collections::HashMap;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, BuildError, MatchKind};
use unicode_script::{Script, UnicodeScript};

use super::knowledge::{KeywordRule, KnowledgeBase};
use super::normalize::{is_punctuation, normalize};

/// A rule is strong when the keywords it found hold this much text: a Han character counts one, a
/// Latin word two. `exact` phrases are always strong.
pub const STRONG_UNITS: u32 = 4;

/// ... and when they cover at least this share of the message: a long message with one keyword
/// may be about anything.
pub const STRONG_COVERAGE: f32 = 0.2;

/// States this near to the automaton's root are tables: a Han character is three bytes, so that
/// each message spends most of its bytes there. With 10,000 keywords this costs 0.7 MB more than
/// the library's 2 and saves a third of the time of Chinese messages; 5 costs 3 MB and saves no
/// more.
const DENSE_DEPTH: usize = 4;

/// The compiled rules of all intents.
#[derive(Debug)]
pub struct KeywordTier {
    automaton: AhoCorasick,
    patterns: Vec<Pattern>,
    rules: Vec<CompiledRule>,
    exact: HashMap<String, Vec<u32>>,
    /// Bytes of the longest phrase in `exact`: longer messages need no look-up.
    longest_exact: usize,
}

/// What tier 1 found.
#[derive(Debug, Clone, PartialEq)]
pub enum KeywordOutcome {
    /// No rule fired.
    Miss,
    /// One intent, surely: tier 2 is not asked.
    Answer(KeywordMatch),
    /// Weak or conflicting: the best match of each intent, by ascending intent.
    Evidence(Vec<KeywordMatch>),
}

/// A rule that fired.
#[derive(Debug, Clone, PartialEq)]
pub struct KeywordMatch {
    /// Number of the intent.
    pub intent: u32,
    /// True when the rule is enough for an answer.
    pub strong: bool,
    /// Byte ranges of its keywords in the normalised text, in order.
    pub spans: Vec<Range<usize>>,
}

#[derive(Debug)]
struct CompiledRule {
    intent: u32,
    needs_any: bool,
    /// Distinct keywords in `all`.
    needs_all: u32,
}

#[derive(Debug)]
struct Pattern {
    units: u32,
    /// Whether a word character may not stand before / after it.
    bound_before: bool,
    bound_after: bool,
    uses: Vec<(u32, Role)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Any,
    All,
    Not,
}

impl KeywordTier {
    /// Compiles the rules of all intents.
    ///
    /// # Errors
    /// When the automaton would outgrow its state numbers (some hundred million bytes of
    /// keywords).
    pub fn new(knowledge: &KnowledgeBase) -> Result<Self, BuildError> {
        let mut tier = Builder::default();
        for (intent, known) in knowledge.intents.iter().enumerate() {
            for rule in &known.keywords {
                tier.add(intent as u32, rule);
            }
        }
        tier.build()
    }

    /// Evaluates all rules on a normalised text.
    pub fn evaluate(&self, text: &str) -> KeywordOutcome {
        let mut fired = self.exact_matches(text);
        self.rule_matches(text, &mut fired);
        if fired.is_empty() {
            return KeywordOutcome::Miss;
        }
        // The best match of each intent: a strong one before a weak one.
        fired.sort_by_key(|found| (found.intent, !found.strong));
        fired.dedup_by_key(|found| found.intent);
        match fired.as_slice() {
            [only] if only.strong => KeywordOutcome::Answer(fired.remove(0)),
            _ => KeywordOutcome::Evidence(fired),
        }
    }

    fn exact_matches(&self, text: &str) -> Vec<KeywordMatch> {
        let trimmed = trim_punctuation(text);
        if trimmed.len() > self.longest_exact {
            return Vec::new();
        }
        let Some(intents) = self.exact.get(trimmed) else { return Vec::new() };
        let start = trimmed.as_ptr() as usize - text.as_ptr() as usize;
        let span = start..start + trimmed.len();
        let found =
            |&intent: &u32| KeywordMatch { intent, strong: true, spans: vec![span.clone()] };
        intents.iter().map(found).collect()
    }

    fn rule_matches(&self, text: &str, fired: &mut Vec<KeywordMatch>) {
        // (rule, role, pattern, span): one entry a use of a keyword that was found.
        let mut hits: Vec<(u32, Role, u32, Range<usize>)> = Vec::new();
        for found in self.automaton.find_overlapping_iter(text) {
            let pattern = &self.patterns[found.pattern().as_usize()];
            if pattern.bound_before && ends_with_word(&text[..found.start()])
                || pattern.bound_after && starts_with_word(&text[found.end()..])
            {
                continue;
            }
            for &(rule, role) in &pattern.uses {
                hits.push((rule, role, found.pattern().as_u32(), found.range()));
            }
        }
        if hits.is_empty() {
            return;
        }
        hits.sort_unstable_by_key(|hit| (hit.0, hit.1, hit.2, hit.3.start));
        hits.dedup_by_key(|hit| (hit.0, hit.1, hit.2));
        let mut message_units = None;
        for group in hits.chunk_by(|a, b| a.0 == b.0) {
            let rule = &self.rules[group[0].0 as usize];
            let count = |role| group.iter().filter(|hit| hit.1 == role).count() as u32;
            if count(Role::Not) > 0
                || (rule.needs_any && count(Role::Any) == 0)
                || count(Role::All) < rule.needs_all
            {
                continue;
            }
            let found: u32 = group.iter().map(|hit| self.patterns[hit.2 as usize].units).sum();
            let mut spans: Vec<_> = group.iter().map(|hit| hit.3.clone()).collect();
            spans.sort_unstable_by_key(|span| (span.start, span.end));
            spans.dedup();
            let strong = found >= STRONG_UNITS && {
                let all = *message_units.get_or_insert_with(|| units(text));
                found as f32 >= STRONG_COVERAGE * all as f32
            };
            fired.push(KeywordMatch { intent: rule.intent, strong, spans });
        }
    }
}

#[derive(Default)]
struct Builder {
    numbers: HashMap<String, u32>,
    keywords: Vec<String>,
    patterns: Vec<Pattern>,
    rules: Vec<CompiledRule>,
    exact: HashMap<String, Vec<u32>>,
}

impl Builder {
    fn add(&mut self, intent: u32, rule: &KeywordRule) {
        for phrase in &rule.exact {
            let phrase = normalize(phrase);
            let phrase = trim_punctuation(phrase.text());
            if !phrase.is_empty() {
                let intents = self.exact.entry(phrase.to_owned()).or_default();
                if !intents.contains(&intent) {
                    intents.push(intent);
                }
            }
        }
        if rule.any.is_empty() && rule.all.is_empty() {
            return;
        }
        let number = self.rules.len() as u32;
        let mut all: Vec<u32> = rule.all.iter().filter_map(|word| self.pattern(word)).collect();
        all.sort_unstable();
        all.dedup();
        let any: Vec<u32> = rule.any.iter().filter_map(|word| self.pattern(word)).collect();
        let not: Vec<u32> = rule.not.iter().filter_map(|word| self.pattern(word)).collect();
        self.rules.push(CompiledRule {
            intent,
            needs_any: !any.is_empty(),
            needs_all: all.len() as u32,
        });
        for (patterns, role) in [(all, Role::All), (any, Role::Any), (not, Role::Not)] {
            for pattern in patterns {
                self.patterns[pattern as usize].uses.push((number, role));
            }
        }
    }

    /// The number of a keyword's pattern; none for a keyword without a visible character.
    fn pattern(&mut self, keyword: &str) -> Option<u32> {
        let keyword = normalize(keyword).text().to_owned();
        if keyword.is_empty() {
            return None;
        }
        if let Some(&number) = self.numbers.get(&keyword) {
            return Some(number);
        }
        let number = self.patterns.len() as u32;
        self.patterns.push(Pattern {
            units: units(&keyword),
            bound_before: starts_with_word(&keyword),
            bound_after: ends_with_word(&keyword),
            uses: Vec::new(),
        });
        self.keywords.push(keyword.clone());
        self.numbers.insert(keyword, number);
        Some(number)
    }

    fn build(self) -> Result<KeywordTier, BuildError> {
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .dense_depth(DENSE_DEPTH)
            .build(&self.keywords)?;
        let longest_exact = self.exact.keys().map(String::len).max().unwrap_or(0);
        let Self { patterns, rules, exact, .. } = self;
        Ok(KeywordTier { automaton, patterns, rules, exact, longest_exact })
    }
}

/// True for Han ideographs, which need no word boundary.
pub(crate) fn is_han(c: char) -> bool {
    match c {
        '\0'..'\u{2e80}' => false,
        // Nearly all that is written; `unicode_script` searches a long table.
        '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' => true,
        _ => c.script() == Script::Han,
    }
}

/// True for the letters and digits that make words: `order` does not occur in `reorder`.
fn is_word(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() } else { !is_han(c) && c.is_alphanumeric() }
}

pub(super) fn starts_with_word(text: &str) -> bool {
    text.chars().next().is_some_and(is_word)
}

pub(super) fn ends_with_word(text: &str) -> bool {
    text.chars().next_back().is_some_and(is_word)
}

/// A Han character counts one, a word of other letters two.
fn units(text: &str) -> u32 {
    let mut units = 0;
    let mut in_word = false;
    for c in text.chars() {
        let word = is_word(c);
        units += if is_han(c) {
            1
        } else if word && !in_word {
            2
        } else {
            0
        };
        in_word = word;
    }
    units
}

/// The text without the spaces and punctuation marks at its ends.
pub fn trim_punctuation(text: &str) -> &str {
    text.trim_matches(|c: char| c == ' ' || is_punctuation(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::knowledge::Intent;

    fn words(list: &str) -> Vec<String> {
        list.split('|').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    fn rule(any: &str, all: &str, not: &str, exact: &str) -> KeywordRule {
        KeywordRule { any: words(any), all: words(all), not: words(not), exact: words(exact) }
    }

    fn tier(rules: &[(&str, KeywordRule)]) -> KeywordTier {
        let mut knowledge = KnowledgeBase::default();
        for (id, rule) in rules {
            match knowledge.position(id) {
                Some(at) => knowledge.intents[at as usize].keywords.push(rule.clone()),
                None => knowledge.intents.push(Intent {
                    id: (*id).to_owned(),
                    title: Default::default(),
                    answers: Default::default(),
                    keywords: vec![rule.clone()],
                    examples: vec![],
                    negative_examples: vec![],
                    slots: vec![],
                    confirm: Default::default(),
                    action: Default::default(),
                }),
            }
        }
        KeywordTier::new(&knowledge).unwrap()
    }

    /// Which intents fired, `!` behind the one that is an answer.
    fn fired(tier: &KeywordTier, text: &str) -> String {
        match tier.evaluate(normalize(text).text()) {
            KeywordOutcome::Miss => "-".to_owned(),
            KeywordOutcome::Answer(found) => format!("{}!", found.intent),
            KeywordOutcome::Evidence(found) => {
                found.iter().map(|found| found.intent.to_string()).collect::<Vec<_>>().join(",")
            }
        }
    }

    #[test]
    fn table() {
        let tier = tier(&[
            ("delay", rule("物流不更新|催快递", "", "退款", "")),
            ("delay", rule("", "快递|没到", "", "")),
            ("refund", rule("refund my money|退款", "", "", "")),
            ("agent", rule("", "", "", "转人工|Human Agent")),
            ("order", rule("order", "cancel", "", "")),
        ]);
        for (name, text, expected) in [
            ("nothing", "你好", "-"),
            ("empty", "", "-"),
            ("long Han keyword is strong", "物流不更新了", "0!"),
            ("short Han keyword is evidence", "催快递", "0"),
            ("all in any order", "都没到呢我的快递", "0!"),
            ("one of all is not enough", "快递", "-"),
            ("traditional and full width", "快遞還沒到", "0!"),
            ("not stops the rule", "物流不更新我要退款", "1"),
            ("conflict goes on", "快递没到，退款", "0,1"),
            ("Latin phrase", "please REFUND my  money!", "1!"),
            ("Latin inside a word", "prerefund my money", "-"),
            ("Latin beside Han", "我要refund my money谢谢", "1!"),
            ("exact with punctuation", "转人工！！", "2!"),
            ("exact is the whole text", "我要转人工", "-"),
            ("exact Latin", "human agent", "2!"),
            ("any and all together", "cancel the order", "3!"),
            ("any alone", "my order", "-"),
            ("plural is another word", "cancel the orders", "-"),
            (
                "a long message is not decided by a keyword",
                "上个月我在你们店里买了一台洗衣机当时客服说可以催快递但是物流不更新我等了很久才收到现在想问问保修",
                "0",
            ),
        ] {
            assert_eq!(fired(&tier, text), expected, "{name}: {text}");
        }
    }

    #[test]
    fn spans_are_those_of_the_keywords() {
        let tier = tier(&[("delay", rule("", "快递|没到", "", ""))]);
        let text = normalize("我的快遞，還没到");
        let KeywordOutcome::Answer(found) = tier.evaluate(text.text()) else { panic!("no answer") };
        let parts: Vec<_> = found.spans.iter().map(|span| &text.text()[span.clone()]).collect();
        assert_eq!(parts, ["快递", "没到"]);
    }

    #[test]
    fn han_is_what_unicode_says() {
        for c in '\0'..=char::MAX {
            assert_eq!(is_han(c), c.script() == Script::Han, "{c:?}");
            assert_eq!(is_word(c), c.is_alphanumeric() && !is_han(c), "{c:?}");
        }
    }

    #[test]
    fn keywords_that_normalise_to_nothing_are_ignored() {
        let tier = tier(&[("a", rule("\u{200b}| ", "", "", "！！"))]);
        assert_eq!(fired(&tier, "!!"), "-");
        assert_eq!(fired(&tier, ""), "-");
    }
}
