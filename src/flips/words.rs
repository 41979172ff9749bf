//! The report in words: lines for a terminal, and Markdown.

use std::fmt::{self, Write};

use super::{Cause, CauseKind, Counts, Edit, Flip, FlipReport, FlipVerdict, Outcome, Source};
use crate::intent::answer::{NeighborEvidence, Tier};

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Golden => "golden",
            Self::HeldOut => "held-out",
            Self::Logged => "logged",
            Self::Sent => "sent",
        })
    }
}

impl fmt::Display for FlipVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Worsened => "worsened",
            Self::Improved => "improved",
            Self::Neutral => "neutral",
        })
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, changed, improved, worsened, neutral } = self;
        write!(
            f,
            "{changed} of {messages} messages change: {worsened} worsened, {improved} improved, \
             {neutral} neutral"
        )
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.examples_added, "examples added"),
            (self.examples_removed, "examples removed"),
            (self.examples_moved, "examples moved"),
            (self.negatives_added, "negative examples added"),
            (self.negatives_removed, "negative examples removed"),
            (self.rules_added, "keyword rules added"),
            (self.rules_removed, "keyword rules removed"),
            (self.intents_added, "intents added"),
            (self.intents_removed, "intents removed"),
        ];
        let named: Vec<String> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        match named.is_empty() {
            true => f.write_str("nothing that is compared"),
            false => f.write_str(&named.join(", ")),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.alternatives.first().map_or("nothing", |one| one.intent.as_str());
        match &self.intent {
            Some(intent) => write!(f, "matched {intent} {:.2}", self.confidence)?,
            None => write!(f, "{} ({first} {:.2})", self.status, self.confidence)?,
        }
        if self.tier == Tier::Keyword { f.write_str(" by keyword") } else { Ok(()) }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let intent = self.intent.as_deref().unwrap_or_default();
        let text = self.text.as_deref().unwrap_or_default();
        match self.kind {
            CauseKind::IntentAdded => write!(f, "the intent {intent} is new")?,
            CauseKind::IntentRemoved => write!(f, "the intent {intent} is gone")?,
            CauseKind::KeywordAdded => write!(f, "a keyword rule of {intent} fires now: {text}")?,
            CauseKind::KeywordRemoved => {
                write!(f, "a keyword rule of {intent} fires no more: {text}")?;
            }
            CauseKind::ExampleAdded => write!(f, "new example of {intent}: {text:?}")?,
            CauseKind::ExampleRemoved => write!(f, "removed example of {intent}: {text:?}")?,
            CauseKind::ExampleMoved => {
                let from = self.from.as_deref().unwrap_or_default();
                write!(f, "example moved from {from} to {intent}: {text:?}")?;
            }
            CauseKind::NegativeAdded => write!(f, "new negative example of {intent}: {text:?}")?,
            CauseKind::NegativeRemoved => {
                write!(f, "removed negative example of {intent}: {text:?}")?;
            }
            CauseKind::Thresholds => write!(f, "the thresholds moved: {text}")?,
        }
        if let (Some(file), Some(line)) = (&self.file, self.line) {
            write!(f, " {file}:{line}")?;
        }
        match self.similarity {
            Some(similarity) => write!(f, " ({similarity:.2})"),
            None => Ok(()),
        }
    }
}

/// The text, and where it stands if it stands in a file.
fn title(flip: &Flip) -> String {
    let place = match (&flip.file, flip.line) {
        (Some(file), Some(line)) => format!(" {file}:{line}"),
        _ => String::new(),
    };
    let expected = flip.expected.as_ref().map(|right| format!(", right is {right}"));
    format!("{:?} ({}{place}{})", flip.text, flip.source, expected.unwrap_or_default())
}

fn near(list: &[NeighborEvidence]) -> Option<String> {
    let one = list.first()?;
    Some(format!("{:.2} {} {:?} {}:{}", one.similarity, one.intent, one.text, one.file, one.line))
}

impl fmt::Display for Flip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n  {} → {}", self.verdict, title(self), self.before, self.after)?;
        for (when, list) in
            [("before", &self.why.nearest_before), ("after", &self.why.nearest_after)]
        {
            if let Some(near) = near(list) {
                write!(f, "\n  nearest {when}: {near}")?;
            }
        }
        self.why.causes.iter().try_for_each(|cause| write!(f, "\n  because: {cause}"))
    }
}

impl fmt::Display for FlipReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for flip in &self.flips {
            writeln!(f, "{flip}")?;
        }
        if self.left_out > 0 {
            writeln!(f, "… and {} more", self.left_out)?;
        }
        for one in &self.sources {
            writeln!(f, "{}: {}", one.source, one.counts)?;
        }
        for one in &self.intents {
            writeln!(f, "{}: gains {}, loses {}", one.intent, one.gained, one.lost)?;
        }
        write!(f, "edit: {}\n{}", self.edit, self.total)
    }
}

impl FlipReport {
    /// The report as a Markdown page. It quotes messages.
    pub fn markdown(&self, title: &str) -> String {
        let mut page =
            format!("# Flip report\n\n{}\n\n{}. Edit: {}.\n\n", cell(title), self.total, self.edit);
        page.push_str("| source | messages | changed | worsened | improved | neutral |\n");
        page.push_str("|---|---|---|---|---|---|\n");
        for one in &self.sources {
            let Counts { messages, changed, improved, worsened, neutral } = one.counts;
            let _ = writeln!(
                page,
                "| {} | {messages} | {changed} | {worsened} | {improved} | {neutral} |",
                one.source
            );
        }
        if !self.intents.is_empty() {
            page.push_str("\n| intent | gains | loses |\n|---|---|---|\n");
        }
        for one in &self.intents {
            let _ = writeln!(page, "| {} | {} | {} |", one.intent, one.gained, one.lost);
        }
        if !self.flips.is_empty() {
            page.push_str("\n| | message | before | after | because |\n|---|---|---|---|---|\n");
        }
        for flip in &self.flips {
            let causes: Vec<String> = flip.why.causes.iter().map(Cause::to_string).collect();
            let because =
                if causes.is_empty() { "weights moved".into() } else { causes.join("; ") };
            let _ = writeln!(
                page,
                "| {} | {} | {} | {} | {} |",
                flip.verdict,
                cell(&self::title(flip)),
                flip.before,
                flip.after,
                cell(&because)
            );
        }
        if self.left_out > 0 {
            let _ = writeln!(page, "\n… and {} more.", self.left_out);
        }
        page
    }
}

/// Text that stays within one cell of a table.
fn cell(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;")
}
