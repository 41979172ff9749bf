//! A candidate in the shadow: judges what visitors ask beside the model in use, and answers nothing.
//!
//! `crate::understand` offers it each question with the answer that was given and the embedding that
//! was made for it. It judges on a thread of its own; when that lags, questions are left out and
//! counted. Kept are counts only: what visitors wrote is forgotten with each question.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use utoipa::ToSchema;

use crate::artifact::Model;
use crate::encoder::Encoder;
use crate::intent::answer::Status;
use crate::intent::engine::FirstTier;
use crate::intent::normalize::Normalized;

/// Questions that may wait for the candidate.
const WAITING: usize = 256;
/// Different disagreements that are counted apart.
const PAIRS: usize = 200;
/// Disagreements that a report names.
const SHOWN: usize = 20;

/// A question, and what the model in use made of it.
pub struct Case {
    /// The question.
    pub text: Normalized,
    /// Its embedding; none when keywords or nothing decided.
    pub embedding: Option<Vec<f32>>,
    /// The status that was answered.
    pub status: Status,
    /// The intent that matched.
    pub intent: Option<String>,
}

/// A candidate at work. It ends when this is dropped.
pub struct Shadow {
    desk: Arc<Desk>,
    cases: SyncSender<Case>,
}

struct Desk {
    version: String,
    model: Arc<Model>,
    /// For questions that keywords decided and the candidate leaves to tier 2.
    encoder: Arc<dyn Encoder>,
    counts: Totals,
    totals: Arc<Totals>,
    pairs: Mutex<Pairs>,
}

#[derive(Default)]
struct Pairs {
    counts: BTreeMap<(String, String), u64>,
    /// Disagreements beyond the pairs that are counted apart.
    others: u64,
}

/// Counts that many threads add to.
#[derive(Debug, Default)]
pub struct Totals {
    asked: AtomicU64,
    left_out: AtomicU64,
    agreed: AtomicU64,
    other_status: AtomicU64,
    other_intent: AtomicU64,
}

/// What a candidate said in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShadowCounts {
    /// Questions that were answered meanwhile.
    pub asked: u64,
    /// Of these, not judged: the candidate lagged behind or the encoder failed.
    pub left_out: u64,
    /// Judged as they were answered.
    pub agreed: u64,
    /// Judged with another status.
    pub other_status: u64,
    /// Matched to another intent.
    pub other_intent: u64,
}

/// How a candidate in the shadow differs from the model in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShadowReport {
    /// Its version.
    #[schema(example = "b5a3315686a6")]
    pub version: String,
    /// What it said.
    #[serde(flatten)]
    pub counts: ShadowCounts,
    /// The most frequent disagreements.
    pub disagreements: Vec<Disagreement>,
    /// Disagreements that are not among these.
    pub others: u64,
}

/// One kind of disagreement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Disagreement {
    /// What was answered: an intent, `ambiguous` or `out_of_scope`.
    #[schema(example = "refund_request")]
    pub answered: String,
    /// What the candidate would have answered.
    #[schema(example = "refund_status")]
    pub candidate: String,
    /// How often.
    pub count: u64,
}

impl Shadow {
    /// Puts `model` into the shadow; `encoder` is its encoder.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start(
        model: Arc<Model>,
        encoder: Arc<dyn Encoder>,
        totals: Arc<Totals>,
    ) -> std::io::Result<Self> {
        let (cases, inbox) = sync_channel(WAITING);
        let version = model.identity.version();
        let (counts, pairs) = (Totals::default(), Mutex::default());
        let desk = Arc::new(Desk { version, model, encoder, counts, totals, pairs });
        let thread = Arc::clone(&desk);
        let work = move || thread.work(&inbox);
        std::thread::Builder::new().name("kefu-shadow".to_owned()).spawn(work)?;
        Ok(Self { desk, cases })
    }

    /// The candidate's version.
    pub fn version(&self) -> &str {
        &self.desk.version
    }

    /// Shows the candidate a question. Never waits.
    pub fn offer(&self, case: Case) {
        self.desk.count(|counts| &counts.asked);
        if self.cases.try_send(case).is_err() {
            self.desk.count(|counts| &counts.left_out);
        }
    }

    /// What it said so far.
    pub fn report(&self) -> ShadowReport {
        let pairs = self.desk.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = pairs.counts.iter().collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let rest: u64 = all.iter().skip(SHOWN).map(|(_, count)| **count).sum();
        let shown = all.into_iter().take(SHOWN).map(|((answered, candidate), &count)| {
            Disagreement { answered: answered.clone(), candidate: candidate.clone(), count }
        });
        ShadowReport {
            version: self.desk.version.clone(),
            counts: self.desk.counts.read(),
            disagreements: shown.collect(),
            others: pairs.others + rest,
        }
    }
}

impl Desk {
    fn work(&self, inbox: &Receiver<Case>) {
        while let Ok(case) = inbox.recv() {
            self.judge(&case);
        }
    }

    fn judge(&self, case: &Case) {
        let engine = &self.model.engine;
        let embedding = match (&case.embedding, engine.first_tier(&case.text)) {
            (Some(embedding), _) => embedding.clone(),
            (None, FirstTier::Settled(_)) => Vec::new(),
            (None, FirstTier::Open(_)) => match self.encoder.encode(&[case.text.text()]) {
                Ok(rows) => rows.row(0).to_vec(),
                Err(error) => {
                    tracing::warn!(%error, "a question is not judged in the shadow");
                    return self.count(|counts| &counts.left_out);
                }
            },
        };
        let verdict = engine.verdict(&case.text, &embedding);
        let top = verdict.ranking.first().filter(|_| verdict.status == Status::Matched);
        let intent = top.map(|top| engine.knowledge().intents[top.0 as usize].id.as_str());
        if verdict.status != case.status {
            self.count(|counts| &counts.other_status);
        } else if intent != case.intent.as_deref() {
            self.count(|counts| &counts.other_intent);
        } else {
            return self.count(|counts| &counts.agreed);
        }
        let answered = case.intent.as_deref().unwrap_or(case.status.name());
        let candidate = intent.unwrap_or(verdict.status.name());
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        pairs.add(answered, candidate);
    }

    fn count(&self, which: impl Fn(&Totals) -> &AtomicU64) {
        for counts in [&self.counts, &*self.totals] {
            which(counts).fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Pairs {
    fn add(&mut self, answered: &str, candidate: &str) {
        let pair = (answered.to_owned(), candidate.to_owned());
        if self.counts.contains_key(&pair) || self.counts.len() < PAIRS {
            *self.counts.entry(pair).or_default() += 1;
        } else {
            self.others += 1;
        }
    }
}

impl Totals {
    /// The counts now.
    pub fn read(&self) -> ShadowCounts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ShadowCounts {
            asked: of(&self.asked),
            left_out: of(&self.left_out),
            agreed: of(&self.agreed),
            other_status: of(&self.other_status),
            other_intent: of(&self.other_intent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_bounded_and_nothing_goes_uncounted() {
        let mut pairs = Pairs::default();
        for round in 0..2 {
            for intent in 0..PAIRS + 50 {
                pairs.add("refund", &format!("intent_{intent}"));
            }
            assert_eq!(pairs.counts.len(), PAIRS, "round {round}");
        }
        let apart: u64 = pairs.counts.values().sum();
        assert_eq!((apart, pairs.others), (2 * PAIRS as u64, 100));
    }
}
