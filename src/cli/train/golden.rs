//! The golden gate of the commands: there is no model before, so each failing sentence counts.

use clap::Args;

use super::Outcome;
use crate::config::golden_rule;
use crate::encoder::Encoder;
use crate::flips::golden::{self, GoldenReport, GoldenRule};
use crate::intent::engine::Engine;
use crate::intent::golden::GoldenSentence;
use crate::progress::Progress;
use crate::training::embed::{Known, embed};

/// What golden sentences do to the exit code.
#[derive(Debug, Clone, Args)]
pub(super) struct GoldenArgs {
    /// What a failing golden sentence does: `required` (exit code 1), `warn`, `off` (none is asked)
    #[arg(long, env = "KEFU_GOLDEN", value_name = "required|warn|off")]
    #[arg(default_value = "required", value_parser = golden_rule)]
    golden: GoldenRule,
}

impl GoldenArgs {
    /// True when golden sentences are asked.
    pub(super) fn asks(&self) -> bool {
        self.golden != GoldenRule::Off
    }

    /// How `engine` answers the golden set; none when it is not asked or there is none.
    pub(super) fn judge(
        &self,
        engine: &Engine,
        golden: &[GoldenSentence],
        encoder: &dyn Encoder,
        progress: &dyn Progress,
    ) -> anyhow::Result<Option<GoldenReport>> {
        if !self.asks() || golden.is_empty() {
            return Ok(None);
        }
        let rows = embed(encoder, &golden::texts(golden), &Known::new(), progress)?;
        Ok(Some(golden::judge(engine, golden, &rows)))
    }

    /// How a run ends that judged so.
    pub(super) fn outcome(&self, report: Option<&GoldenReport>) -> Outcome {
        let failed = report.is_some_and(|report| report.failed > 0);
        if failed && self.golden == GoldenRule::Required {
            Outcome::GateFailed
        } else {
            Outcome::Done
        }
    }
}

/// The failures a line each, then the counts; nothing without a report.
pub(super) fn lines(report: Option<&GoldenReport>) -> Vec<String> {
    let Some(report) = report else { return Vec::new() };
    let mut lines: Vec<String> = report.failures.iter().map(ToString::to_string).collect();
    let all = report.passed + report.failed;
    lines.push(format!(
        "{} of {all} golden sentences are answered as they should be",
        report.passed
    ));
    lines
}
