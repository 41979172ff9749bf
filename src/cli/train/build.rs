//! `train-intents build`.

use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::golden::{self, GoldenArgs};
use super::tune::TuneArgs;
use super::{EncoderArgs, KnowledgeArgs, Outcome, Output};
use crate::encoder::Encoder;
use crate::flips::golden::GoldenReport;
use crate::intent::answer::Thresholds;
use crate::intent::normalize::normalize;
use crate::progress::Progress;
use crate::provision::tuned::{self, Lesson, Rows, Tuned};
use crate::provision::{self, Data};
use crate::training::build::names_of;

/// Arguments of `build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    #[command(flatten)]
    knowledge: KnowledgeArgs,
    #[command(flatten)]
    golden: GoldenArgs,
    #[command(flatten)]
    encoder: EncoderArgs,
    #[command(flatten)]
    tune: TuneArgs,
}

#[derive(Serialize)]
struct Built {
    version: String,
    path: String,
    encoder: String,
    /// The tuned encoder's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    tuned: Option<String>,
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
    let tuned = if args.tune.tune { Some(tune(args, &data, progress)?) } else { None };
    let loaded;
    let encoder: &dyn Encoder = match &tuned {
        Some(tuned) => &tuned.encoder,
        None => {
            loaded = args.encoder.load(progress)?;
            &*loaded
        }
    };
    let (model, path) = provision::model_of(data, &folders, encoder, progress)?;
    let golden = args.golden.judge(&model.engine, &sentences, encoder, progress)?;
    let outcome = args.golden.outcome(golden.as_ref());
    let built = Built {
        version: model.identity.version(),
        path: path.display().to_string(),
        encoder: model.identity.encoder.clone(),
        tuned: tuned.map(|tuned| tuned.folder.path.display().to_string()),
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
        let serve =
            b.tuned.as_ref().map(|path| format!("serve it with: kefu-server --model {path}"));
        lines.extend(serve);
        lines.join("\n")
    })?;
    Ok(outcome)
}

/// The encoder, tuned on the examples of the knowledge base.
fn tune(args: &BuildArgs, data: &Data, progress: &dyn Progress) -> anyhow::Result<Tuned> {
    let options = args.tune.options()?;
    let Data { knowledge, out_of_scope, policy, .. } = data;
    let plain = |text: &str| normalize(text).text().to_owned();
    let (labels, texts): (Vec<u32>, Vec<String>) =
        knowledge.examples().map(|(intent, example)| (intent, plain(&example.text))).unzip();
    let out_of_scope: Vec<String> = out_of_scope.iter().map(|text| plain(text)).collect();
    let (base, encoder) = args.encoder.open(progress)?;
    let (named, names) = names_of(knowledge).unzip::<u32, String, Vec<_>, Vec<_>>();
    let lesson = Lesson {
        train: Rows { texts: &texts, labels: &labels },
        names: Rows { texts: &names, labels: &named },
        policy: *policy,
        valid: Rows { texts: &[], labels: &[] },
        out_of_scope: &out_of_scope,
        options: &options,
        place: args.tune.place(),
    };
    Ok(tuned::tuned(&base, &encoder, lesson, args.encoder.models(), progress)?)
}
