//! The table of all codes. `docs/knowledge-base-lint.md` explains each; a test compares the two.

use std::fmt;

use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth a look.
    Warning,
    /// The bot answers wrongly, or cannot answer.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

/// A rule of the lint. A code keeps its meaning for good.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// `KL001`, …
    pub code: &'static str,
    /// What it is about, in words with hyphens.
    pub name: &'static str,
    /// How bad what it finds is.
    pub severity: Severity,
    /// True when it compares meanings and so needs an encoder, at least to find all there is.
    pub needs_encoder: bool,
}

const fn rule(code: &'static str, name: &'static str, severity: Severity) -> Rule {
    Rule { code, name, severity, needs_encoder: false }
}

const fn semantic(code: &'static str, name: &'static str) -> Rule {
    Rule { code, name, severity: Severity::Warning, needs_encoder: true }
}

/// The same sentence in two intents.
pub const DUPLICATE: &Rule = &rule("KL001", "duplicate", Severity::Error);
/// The same sentence twice in one intent.
pub const REPEATED: &Rule = &rule("KL002", "repeated", Severity::Warning);
/// Two intents with sentences that say the same.
pub const NEAR_DUPLICATE: &Rule = &semantic("KL003", "near-duplicate");
/// Two intents that cannot be told apart.
pub const OVERLAP: &Rule = &semantic("KL004", "overlapping-intents");
/// An example that belongs to another intent.
pub const SUSPECT_LABEL: &Rule = &semantic("KL005", "suspect-label");
/// A keyword that answers what belongs to another intent.
pub const STOLEN: &Rule = &rule("KL006", "stealing-keyword", Severity::Error);
/// A keyword that can never answer.
pub const UNREACHABLE: &Rule = &rule("KL007", "unreachable-keyword", Severity::Warning);
/// An intent much larger or smaller than the others.
pub const IMBALANCE: &Rule = &rule("KL008", "imbalance", Severity::Warning);
/// Fewer examples than can be learnt from.
pub const TOO_FEW: &Rule = &rule("KL009", "too-few-examples", Severity::Warning);
/// A text under the wrong language.
pub const WRONG_LANGUAGE: &Rule = &rule("KL010", "mixed-language", Severity::Warning);
/// A text that is there in one language only.
pub const MISSING_ANSWER: &Rule = &rule("KL011", "missing-answer", Severity::Warning);
/// A sentence that is an example and a negative example.
pub const CONTRADICTION: &Rule = &rule("KL012", "contradiction", Severity::Error);

/// All rules, by code.
pub const RULES: [&Rule; 12] = [
    DUPLICATE,
    REPEATED,
    NEAR_DUPLICATE,
    OVERLAP,
    SUSPECT_LABEL,
    STOLEN,
    UNREACHABLE,
    IMBALANCE,
    TOO_FEW,
    WRONG_LANGUAGE,
    MISSING_ANSWER,
    CONTRADICTION,
];

#[cfg(test)]
mod tests {
    use super::RULES;

    /// Each rule has a section with an example and the way out, and each section a rule.
    #[test]
    fn every_code_is_documented() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/knowledge-base-lint.md");
        let docs = std::fs::read_to_string(path).unwrap();
        let sections: Vec<&str> = docs.split("\n## ").filter(|s| s.starts_with("KL")).collect();
        assert_eq!(sections.len(), RULES.len());
        for (rule, section) in RULES.iter().zip(sections) {
            let heading = section.lines().next().unwrap();
            let expected = format!("{} {} ({})", rule.code, rule.name, rule.severity);
            assert_eq!(heading, expected);
            assert!(section.contains("```yaml"), "{heading}: an example");
            assert!(section.contains("**Way out.**"), "{heading}: the way out");
            assert_eq!(section.contains("encoder"), rule.needs_encoder, "{heading}");
        }
    }
}
