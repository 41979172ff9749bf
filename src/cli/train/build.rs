//! `train-intents build`.

use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::golden::{self, GoldenArgs};
use super::{EncoderArgs, KnowledgeArgs, Outcome, Output};
use crate::flips::golden::GoldenReport;
use crate::intent::answer::Thresholds;
use crate::progress::Progress;
use crate::provision;

/// Arguments of `build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    #[command(flatten)]
    knowledge: KnowledgeArgs,
    #[command(flatten)]
    golden: GoldenArgs,
    #[command(flatten)]
    encoder: EncoderArgs,
}

#[derive(Serialize)]
struct Built {
    version: String,
    path: String,
    encoder: String,
    intents: usize,
    examples: usize,
    index: String,
    thresholds: Thresholds,
    /// Null when there is no golden set, or it is not asked.
    golden: Option<GoldenReport>,
    seconds: f64,
}

pub(super) fn run(
    args: &BuildArgs,
    out: &mut Output,
    progress: &dyn Progress,
) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let folders = args.knowledge.folders(args.encoder.models.clone());
    // A typo in the knowledge base should not wait for a download.
    let mut data = provision::data(&folders)?;
    let sentences = std::mem::take(&mut data.golden);
    let encoder = args.encoder.load(progress)?;
    let (model, path) = provision::model_of(data, &folders, &encoder, progress)?;
    let golden = args.golden.judge(&model.engine, &sentences, &encoder, progress)?;
    let outcome = args.golden.outcome(golden.as_ref());
    let built = Built {
        version: model.identity.version(),
        path: path.display().to_string(),
        encoder: model.identity.encoder.clone(),
        intents: model.engine.knowledge().intents.len(),
        examples: model.engine.vectors().len(),
        index: model.index.kind().to_string(),
        thresholds: model.engine.classifier().calibration().thresholds,
        golden,
        seconds: begun.elapsed().as_secs_f64(),
    };
    out.write(&built, |b| {
        let mut lines = golden::lines(b.golden.as_ref());
        lines.push(format!(
            "built {} in {:.1} s: {} intents, {} examples, {} index, thresholds in scope {:.3}, \
             matched {:.3}",
            b.path,
            b.seconds,
            b.intents,
            b.examples,
            b.index,
            b.thresholds.in_scope,
            b.thresholds.matched
        ));
        lines.join("\n")
    })?;
    Ok(outcome)
}
