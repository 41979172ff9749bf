//! The lint: what is valid and still likely wrong in a knowledge base.
//!
//! [`textual`] needs the knowledge base and its places only; [`semantic`] also takes embeddings of
//! the examples. Called by `train-intents validate`. It reads no file and runs no model: files
//! are `crate::knowledge`'s, vectors `crate::training`'s.

pub mod codes;
mod corpus;
mod intents;
mod keywords;
mod semantic;
mod sentences;

use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

pub use codes::{RULES, Rule, Severity};
pub use semantic::Vectors;

use crate::intent::keyword::KeywordTier;
use crate::intent::knowledge::KnowledgeBase;
use crate::knowledge::{Place, Places};
use corpus::Corpus;

/// Something that is likely wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which rule found it.
    pub rule: &'static Rule,
    /// Where to look first.
    pub place: Place,
    /// The other places that it is about.
    pub related: Vec<Place>,
    /// What is wrong and what to do, on one line.
    pub message: String,
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("Finding", 8)?;
        row.serialize_field("code", self.rule.code)?;
        row.serialize_field("name", self.rule.name)?;
        row.serialize_field("severity", &self.rule.severity)?;
        row.serialize_field("file", &self.place.file)?;
        row.serialize_field("line", &self.place.line)?;
        row.serialize_field("column", &self.place.column)?;
        row.serialize_field("message", &self.message)?;
        row.serialize_field("related", &self.related)?;
        row.end()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { rule, place, message, .. } = self;
        write!(f, "{place}: {}: {}: {message}", rule.code, rule.severity)
    }
}

/// Why a knowledge base cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum LintError {
    /// The keywords cannot be compiled.
    #[error("the keywords cannot be compiled: {0}; use fewer or shorter ones")]
    Keywords(#[from] aho_corasick::BuildError),
    /// The embeddings cannot be indexed.
    #[error("the examples cannot be indexed: {0}")]
    Index(#[from] crate::index::IndexError),
}

/// What the texts themselves show, by place.
///
/// # Errors
/// [`LintError::Keywords`].
pub fn textual(knowledge: &KnowledgeBase, places: &Places) -> Result<Vec<Finding>, LintError> {
    let corpus = Corpus::new(knowledge, places);
    let tier = KeywordTier::new(knowledge)?;
    let mut findings = sentences::check(&corpus);
    findings.extend(intents::check(&corpus));
    findings.extend(keywords::check(&corpus, &tier)?);
    sort(&mut findings);
    Ok(findings)
}

/// What the meanings of the examples show, by place. `vectors` are those of
/// [`KnowledgeBase::examples`], in that order.
///
/// # Errors
/// [`LintError::Index`].
///
/// # Panics
/// When the number of vectors is not that of the examples: a bug in the caller.
pub fn semantic(
    knowledge: &KnowledgeBase,
    places: &Places,
    vectors: &Vectors,
) -> Result<Vec<Finding>, LintError> {
    let mut findings = semantic::check(&Corpus::new(knowledge, places), vectors)?;
    sort(&mut findings);
    Ok(findings)
}

/// Puts findings in the order of their places; of one code at one place, the first stays.
pub fn sort(findings: &mut Vec<Finding>) {
    findings.sort_by(|a, b| (&a.place, a.rule.code).cmp(&(&b.place, b.rule.code)));
    findings.dedup_by(|b, a| a.rule.code == b.rule.code && a.place == b.place);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::parse_with_places;

    /// Two intents with nothing to say against them.
    const CLEAN: &str = r#"
version: 1
intents:
  - id: delay
    answers: {zh: [马上查], en: [On it]}
    keywords:
      - any: [物流不更新, 催快递]
    examples:
      zh: [我的快递怎么还没到, 物流三天没动, 等了一周了, 还没发货, 说好周五到的]
      en: [my parcel is late, still nothing, stuck in transit, it never came, chase it please]
    negative_examples:
      zh: [包裹到哪了]
  - id: refund
    answers: {zh: [马上退], en: [Sure]}
    keywords:
      - exact: [退款]
      - any: [refund my money]
    examples:
      zh: [我要退款, 把钱退给我, 退我一半也行, 能退钱吗, 钱还我]
      en: [i want a refund, give my money back, refund please, pay me back, i want my cash]
    slots: [{name: n, entity: text, prompt: {zh: 单号, en: number}}]
"#;

    fn lines(text: &str) -> Vec<String> {
        let sources = [("a.yaml".into(), text.to_owned())];
        let (knowledge, places) = parse_with_places(&sources).unwrap();
        textual(&knowledge, &places).unwrap().iter().map(ToString::to_string).collect()
    }

    /// Each row breaks the clean one in one place, and is found there and only there.
    #[test]
    fn faults_are_found_at_their_place() {
        assert_eq!(lines(CLEAN), [""; 0]);
        for (name, from, to, expected) in [
            ("duplicate", "钱还我", "还没发货！", "a.yaml:19:39: KL001: error"),
            ("repeated", "钱还我", "能退钱吗", "a.yaml:19:39: KL002: warning"),
            ("alike", "钱还我", "物流三天没动呢", "a.yaml:19:39: KL003: warning"),
            ("stolen", "[退款]", "[退款, 等了一周了]", "a.yaml:16:21: KL006: error"),
            ("own negative", "包裹到哪了", "物流不更新", "a.yaml:7:15: KL006: error"),
            ("blocked", "催快递]", "催快递]\n        not: [快递]", "a.yaml:7:22: KL007: warning"),
            ("in two intents", "[退款]", "[退款, 物流不更新]", "a.yaml:16:21: KL007: warning"),
            ("twice", "催快递]", "催快递, 催快递]", "a.yaml:7:27: KL007: warning"),
            ("invisible", "催快递]", "\"\\u200b\"]", "a.yaml:7:22: KL007: warning"),
            ("too few", ", it never came", "", "a.yaml:4:9: KL009: warning"),
            ("foreign", "钱还我", "i want my money", "a.yaml:19:39: KL010: warning"),
            ("foreign answer", "[On it]", "[马上查]", "a.yaml:5:31: KL010: warning"),
            ("no answer", "zh: [马上退], ", "", "a.yaml:13:9: KL011: warning"),
            ("no prompt", ", en: number", "", "a.yaml:13:9: KL011: warning"),
            ("contradiction", "包裹到哪了", "还没发货", "a.yaml:12:12: KL012: error"),
        ] {
            assert!(CLEAN.contains(from), "{name}");
            let found = lines(&CLEAN.replacen(from, to, 1));
            assert!(found.len() == 1 && found[0].starts_with(expected), "{name}: {found:#?}");
        }
    }
}
