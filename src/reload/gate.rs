//! The golden gate of a reload: what a new model must not lose.
//!
//! The rule: a model is refused when it answers a golden sentence wrongly that the model in use
//! answers rightly. A sentence that both answer wrongly holds nobody up, so that an old failure, or
//! a wish that was just written down, cannot lock an editor out. The golden set is the one that
//! lies beside the new knowledge base.

use std::sync::Arc;

use crate::encoder::{Embeddings, EncodeError, Encoder};
use crate::flips::golden::{self, GoldenReport, GoldenRule};
use crate::intent::engine::Engine;
use crate::intent::golden::GoldenSentence;
use crate::progress::Silent;
use crate::training::embed::{Known, embed};

/// Lost sentences that a refusal names.
const NAMED: usize = 5;

/// Judges models by golden sentences.
pub(super) struct Gate {
    rule: GoldenRule,
    encoder: Arc<dyn Encoder>,
}

/// A golden set with its embeddings.
#[derive(Default)]
pub(super) struct GoldenSet {
    sentences: Vec<GoldenSentence>,
    embeddings: Embeddings,
}

impl Gate {
    /// `encoder` is asked for the same sentences at every reload; it had better remember.
    pub(super) fn new(rule: GoldenRule, encoder: Arc<dyn Encoder>) -> Self {
        Self { rule, encoder }
    }

    /// Embeds a golden set; an empty one when nothing is judged.
    pub(super) fn prepare(&self, sentences: Vec<GoldenSentence>) -> Result<GoldenSet, EncodeError> {
        if self.rule == GoldenRule::Off || sentences.is_empty() {
            return Ok(GoldenSet::default());
        }
        let texts = golden::texts(&sentences);
        let embeddings = embed(&*self.encoder, &texts, &Known::new(), &Silent)?;
        Ok(GoldenSet { sentences, embeddings })
    }

    /// How `engine` answers the set; none when nothing is judged.
    pub(super) fn judge(&self, engine: &Engine, set: &GoldenSet) -> Option<GoldenReport> {
        let judged = self.rule != GoldenRule::Off;
        judged.then(|| golden::judge(engine, &set.sentences, &set.embeddings))
    }

    /// Whether the model `version` may follow the one in use, given how both answer the set.
    ///
    /// # Errors
    /// What it lost, and what to do.
    pub(super) fn pass(
        &self,
        version: &str,
        before: Option<&GoldenReport>,
        after: Option<&GoldenReport>,
    ) -> Result<(), String> {
        let (Some(before), Some(after)) = (before, after) else { return Ok(()) };
        let lost = after.lost_since(before);
        if lost.is_empty() {
            return Ok(());
        }
        let named: Vec<String> = lost.iter().take(NAMED).map(ToString::to_string).collect();
        let reason = format!(
            "the new model {version} loses {} of {} golden sentences that the model in use answers; correct \
             the edit or golden.yaml, or start with --golden warn:\n{}",
            lost.len(),
            after.passed + after.failed,
            named.join("\n")
        );
        match self.rule {
            GoldenRule::Required => Err(reason),
            GoldenRule::Warn | GoldenRule::Off => {
                tracing::warn!("{reason}");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::EncoderInfo;
    use crate::flips::Outcome;
    use crate::flips::golden::GoldenFailure;
    use crate::intent::answer::{Status, Tier};
    use crate::intent::golden::Expected;

    struct Nobody(EncoderInfo);

    impl Encoder for Nobody {
        fn info(&self) -> &EncoderInfo {
            &self.0
        }

        fn encode(&self, _texts: &[&str]) -> Result<Embeddings, EncodeError> {
            Err(EncodeError { encoder: "nobody".into(), reason: "not asked".into() })
        }
    }

    fn report(failing: &[&str]) -> GoldenReport {
        let failure = |text: &&str| GoldenFailure {
            text: (*text).to_owned(),
            file: "golden.yaml".into(),
            line: 1,
            expected: Expected::Status(Status::OutOfScope),
            expected_tier: None,
            got: Outcome {
                status: Status::Matched,
                intent: Some("refund".into()),
                confidence: 0.9,
                tier: Tier::Semantic,
                alternatives: vec![],
            },
            nearest: None,
        };
        let failures: Vec<_> = failing.iter().map(failure).collect();
        GoldenReport { passed: 10 - failing.len(), failed: failing.len(), failures }
    }

    #[test]
    fn only_what_is_lost_holds_a_model_up() {
        use GoldenRule::{Off, Required, Warn};
        let info = EncoderInfo {
            name: "x".into(),
            sha256: String::new(),
            dimension: 1,
            max_tokens: 1,
            tuned: false,
        };
        let encoder: Arc<dyn Encoder> = Arc::new(Nobody(info));
        for (name, rule, before, after, passes) in [
            ("as before", Required, vec![], vec![], true),
            ("better", Required, vec!["a"], vec![], true),
            ("an old failure", Required, vec!["a"], vec!["a"], true),
            ("lost one", Required, vec![], vec!["a"], false),
            ("won one and lost one", Required, vec!["a"], vec!["b"], false),
            ("lost one, which is only told", Warn, vec![], vec!["a"], true),
            ("lost one, which nobody asks", Off, vec![], vec!["a"], true),
        ] {
            let gate = Gate::new(rule, Arc::clone(&encoder));
            let passed = gate.pass("v2", Some(&report(&before)), Some(&report(&after)));
            assert_eq!(passed.is_ok(), passes, "{name}: {passed:?}");
            if let Err(reason) = passed {
                assert!(reason.contains("golden.yaml:1: "), "{name}: {reason}");
            }
        }
        let off = Gate::new(Off, encoder);
        assert!(off.prepare(vec![]).unwrap().sentences.is_empty());
    }
}
