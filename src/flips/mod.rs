//! Flips: which messages a change of the knowledge base answers differently, for better or worse,
//! and why; and the golden set, by which a new model is judged before it is used.
//!
//! Pure: two engines and messages with their embeddings in, a report out. `crate::preview` and
//! `train-intents diff` get the engines and the messages, `crate::reload` holds the golden gate.
//!
//! In reading order: the messages, the report, what the edit was, why a message flipped, the words
//! for people, and the golden set.

mod message;

mod edit;
mod why;
mod words;

pub mod golden;

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

pub use self::edit::Edit;
pub use self::message::{Message, Messages, Source};
pub use self::why::{Cause, CauseKind, Why};
use crate::encoder::Embeddings;
use crate::intent::answer::{Alternative, Answer, Status, Tier};
use crate::intent::engine::{Engine, Verdict};
use crate::intent::golden::Expected;
use crate::intent::normalize::Normalized;

/// Alternatives that an outcome shows.
const ALTERNATIVES: usize = 3;
/// Intents that the summary names.
const AFFECTED: usize = 20;

/// What changes between two models.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct FlipReport {
    /// Counts of all messages.
    pub total: Counts,
    /// Counts a source of messages.
    pub sources: Vec<SourceCounts>,
    /// How the two knowledge bases differ.
    pub edit: Edit,
    /// The intents that gain or lose most messages, most affected first.
    pub intents: Vec<IntentEffect>,
    /// The messages that are answered differently: worsened, improved, neutral.
    pub flips: Vec<Flip>,
    /// How many flips more there are than `flips` holds.
    pub left_out: usize,
}

/// How many messages there are and how many of them change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Counts {
    /// Different texts that were compared.
    pub messages: usize,
    /// Answered differently.
    pub changed: usize,
    /// Of these, nearer to the right answer.
    pub improved: usize,
    /// Of these, farther from it.
    pub worsened: usize,
    /// Of these, as good or bad as before, or without a known right answer.
    pub neutral: usize,
}

/// The counts of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct SourceCounts {
    /// Where the messages come from.
    pub source: Source,
    /// Their counts.
    #[serde(flatten)]
    pub counts: Counts,
}

/// What an intent gains and loses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct IntentEffect {
    /// Its id.
    pub intent: String,
    /// Messages that match it only afterwards.
    pub gained: usize,
    /// Messages that matched it only before.
    pub lost: usize,
}

/// A message that is answered differently.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Flip {
    /// Where the message comes from.
    pub source: Source,
    /// As written.
    pub text: String,
    /// The file it stands in; null for logged messages and those of a request.
    pub file: Option<String>,
    /// Line in the file, from 1.
    pub line: Option<u32>,
    /// The right answer; null when it is not known.
    pub expected: Option<Expected>,
    /// Better or worse?
    pub verdict: FlipVerdict,
    /// The answer before.
    pub before: Outcome,
    /// The answer afterwards.
    pub after: Outcome,
    /// Why.
    pub why: Why,
}

/// Whether a flip is for the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlipVerdict {
    /// Farther from the right answer.
    Worsened,
    /// Nearer to the right answer.
    Improved,
    /// As good or bad as before, or the right answer is not known.
    Neutral,
}

/// An answer in short.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Outcome {
    /// Matched, ambiguous or out of scope.
    pub status: Status,
    /// The intent that matched; null unless `status` is `matched`.
    pub intent: Option<String>,
    /// Calibrated probability of the first alternative, 0 to 1.
    pub confidence: f32,
    /// Which tier decided.
    pub tier: Tier,
    /// The most probable intents.
    pub alternatives: Vec<Alternative>,
}

/// Compares the answers of two engines of the same encoder to `messages`, whose embeddings are the
/// rows of `embeddings`.
pub fn flips(
    before: &Engine,
    after: &Engine,
    messages: &Messages,
    embeddings: &Embeddings,
) -> FlipReport {
    let edits = edit::Edits::new(before.knowledge(), after.knowledge());
    let mut report = FlipReport { edit: edits.summary(), ..FlipReport::default() };
    let mut sources: BTreeMap<Source, Counts> = BTreeMap::new();
    for (at, (message, text)) in messages.iter().enumerate() {
        let embedding = embeddings.row(at);
        let pair = Pair {
            message,
            text,
            engines: [before, after],
            verdicts: [before.verdict(text, embedding), after.verdict(text, embedding)],
        };
        let flip = pair.flip(&edits);
        let counts = sources.entry(message.source).or_default();
        for counts in [counts, &mut report.total] {
            counts.count(flip.as_ref());
        }
        report.flips.extend(flip);
    }
    report.sources =
        sources.into_iter().map(|(source, counts)| SourceCounts { source, counts }).collect();
    report.intents = effects(&report.flips);
    report.flips.sort_by_key(|flip| (flip.verdict, flip.source));
    report
}

impl FlipReport {
    /// Keeps the first `most` flips, and says how many there are besides.
    pub fn cut(&mut self, most: usize) {
        self.left_out += self.flips.len().saturating_sub(most);
        self.flips.truncate(most);
    }
}

impl Counts {
    fn count(&mut self, flip: Option<&Flip>) {
        self.messages += 1;
        let Some(flip) = flip else { return };
        self.changed += 1;
        match flip.verdict {
            FlipVerdict::Improved => self.improved += 1,
            FlipVerdict::Worsened => self.worsened += 1,
            FlipVerdict::Neutral => self.neutral += 1,
        }
    }
}

/// One message and what both engines decided about it: before, after.
struct Pair<'a> {
    message: &'a Message,
    text: &'a Normalized,
    engines: [&'a Engine; 2],
    verdicts: [Verdict; 2],
}

impl Pair<'_> {
    /// None when the answers are the same.
    fn flip(&self, edits: &edit::Edits<'_>) -> Option<Flip> {
        let intent = |side: usize| {
            let verdict = &self.verdicts[side];
            let top = verdict.ranking.first().filter(|_| verdict.status == Status::Matched);
            top.map(|top| self.engines[side].knowledge().intents[top.0 as usize].id.as_str())
        };
        let same = self.verdicts[0].status == self.verdicts[1].status && intent(0) == intent(1);
        if same && self.is_met(0) == self.is_met(1) {
            return None;
        }
        let [before, after] = [self.answer(0), self.answer(1)];
        let why = why::explain(&before, &after, edits);
        Some(Flip {
            source: self.message.source,
            text: self.message.text.clone(),
            file: self.message.file.clone(),
            line: self.message.line,
            expected: self.message.expected.clone(),
            verdict: self.verdict(),
            before: Outcome::from(before),
            after: Outcome::from(after),
            why,
        })
    }

    fn answer(&self, side: usize) -> Answer {
        let (engine, verdict) = (self.engines[side], &self.verdicts[side]);
        engine.answer(&self.message.text, self.text, verdict, ALTERNATIVES, true)
    }

    /// None when the right answer is not known.
    fn is_met(&self, side: usize) -> Option<bool> {
        let verdict = &self.verdicts[side];
        let expected = self.message.expected.as_ref()?;
        let right = expected.is_met(verdict, self.engines[side].knowledge());
        Some(right && self.message.tier.is_none_or(|tier| tier == verdict.tier))
    }

    fn verdict(&self) -> FlipVerdict {
        let Some(expected) = &self.message.expected else { return FlipVerdict::Neutral };
        let [before, after] = [0, 1].map(|side| {
            let grade = expected.grade(&self.verdicts[side], self.engines[side].knowledge());
            (self.is_met(side), grade)
        });
        match after.cmp(&before) {
            std::cmp::Ordering::Less => FlipVerdict::Worsened,
            std::cmp::Ordering::Equal => FlipVerdict::Neutral,
            std::cmp::Ordering::Greater => FlipVerdict::Improved,
        }
    }
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        let Answer { status, intent, confidence, tier, alternatives, .. } = answer;
        Self { status, intent, confidence, tier, alternatives }
    }
}

fn effects(flips: &[Flip]) -> Vec<IntentEffect> {
    let mut effects: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for flip in flips {
        if flip.before.intent == flip.after.intent {
            continue;
        }
        if let Some(intent) = &flip.after.intent {
            effects.entry(intent).or_default().0 += 1;
        }
        if let Some(intent) = &flip.before.intent {
            effects.entry(intent).or_default().1 += 1;
        }
    }
    let mut effects: Vec<IntentEffect> = effects
        .into_iter()
        .map(|(intent, (gained, lost))| IntentEffect { intent: intent.to_owned(), gained, lost })
        .collect();
    effects.sort_by_key(|effect| std::cmp::Reverse(effect.gained + effect.lost));
    effects.truncate(AFFECTED);
    effects
}

#[cfg(test)]
mod tests;
