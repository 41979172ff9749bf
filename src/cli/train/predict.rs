//! `train-intents predict`: what the engine says about a text, and why.

use std::io::BufRead;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{EncoderArgs, KnowledgeArgs, Outcome, Output};
use crate::artifact::{self, Model};
use crate::dialogue::form::Forms;
use crate::dialogue::report::SlotsReport;
use crate::dialogue::slots::Message;
use crate::encoder::Encoder;
use crate::intent::answer::{Answer, Status};
use crate::intent::engine::FirstTier;
use crate::intent::normalize::normalize;
use crate::progress::Progress;
use crate::provision;
use crate::understand::utc_now;

/// Arguments of `predict`.
#[derive(Debug, Args)]
pub struct PredictArgs {
    /// Texts to understand; none: one a line from standard input
    texts: Vec<String>,
    /// Say why: normalised text, keywords, neighbours, thresholds
    #[arg(long)]
    explain: bool,
    /// How many alternatives to show
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=20))]
    top_k: u16,
    /// Built model to ask; without it that of the knowledge base, built if it is missing
    #[arg(long, value_name = "DIR")]
    artifact: Option<PathBuf>,
    #[command(flatten)]
    knowledge: KnowledgeArgs,
    #[command(flatten)]
    encoder: EncoderArgs,
}

#[derive(Serialize)]
struct Predicted<'a> {
    text: &'a str,
    #[serde(flatten)]
    answer: Answer,
    #[serde(skip_serializing_if = "Option::is_none")]
    slots: Option<SlotsReport>,
}

pub(super) fn run(
    args: &PredictArgs,
    out: &mut Output,
    progress: &dyn Progress,
) -> anyhow::Result<Outcome> {
    let encoder = args.encoder.load(progress)?;
    let model = match &args.artifact {
        Some(path) => artifact::load(path, encoder.info())?,
        None => {
            let folders = args.knowledge.folders(args.encoder.models.clone());
            provision::model(&folders, &*encoder, true, progress)?.0
        }
    };
    let forms = Forms::new(model.engine.knowledge())?;
    let mut predict = |text: &str| -> anyhow::Result<()> {
        let answer = answer(&model, &*encoder, text, args.top_k.into(), args.explain)?;
        let slots = slots(&forms, text, &answer);
        Ok(out.write(&Predicted { text, answer, slots }, human)?)
    };
    if args.texts.is_empty() {
        for line in std::io::stdin().lock().lines() {
            predict(&line?)?;
        }
    }
    args.texts.iter().try_for_each(|text| predict(text))?;
    Ok(Outcome::Done)
}

fn answer(
    model: &Model,
    encoder: &dyn Encoder,
    original: &str,
    top_k: usize,
    explain: bool,
) -> anyhow::Result<Answer> {
    let text = normalize(original);
    let verdict = match model.engine.first_tier(&text) {
        FirstTier::Settled(verdict) => verdict,
        FirstTier::Open(evidence) => {
            let rows = encoder.encode(&[text.text()])?;
            model.engine.second_tier(&text, evidence, rows.row(0))
        }
    };
    Ok(model.engine.answer(original, &text, &verdict, top_k, explain))
}

/// How the intent's slots would begin, if it has some.
fn slots(forms: &Forms, text: &str, answer: &Answer) -> Option<SlotsReport> {
    let matched = answer.intent.as_deref();
    let form = forms.get(matched?).filter(|form| form.slots().next().is_some())?;
    let message = Message { text, entities: &answer.entities, matched, lang: None };
    Some(SlotsReport::new(form, &form.begin(&message, utc_now())))
}

fn told(slots: &SlotsReport) -> Vec<String> {
    let filled =
        slots.filled.iter().map(|one| format!("  slot {}: {} ({})", one.name, one.value, one.text));
    let invalid = slots.invalid.iter().map(|one| {
        let value = one.value.as_deref().unwrap_or_default();
        format!("  slot {} refuses {value}: {}", one.name, one.message.as_deref().unwrap_or("-"))
    });
    let next = slots.next.iter().map(|next| format!("  asks for {}: {}", next.slot, next.prompt));
    let confirm = slots.confirm.iter().map(|question| format!("  confirms: {question}"));
    filled.chain(invalid).chain(next).chain(confirm).collect()
}

fn human(predicted: &Predicted<'_>) -> String {
    let Predicted { text, answer, slots } = predicted;
    let names: Vec<String> = answer
        .alternatives
        .iter()
        .map(|one| format!("{} {:.3}", one.intent, one.confidence))
        .collect();
    let verdict = match answer.status {
        Status::Matched => "matched",
        Status::Ambiguous => "ambiguous",
        Status::OutOfScope => "out of scope",
    };
    let mut lines = vec![format!("{text}\n  {verdict}: {}", names.join(", "))];
    for entity in &answer.entities {
        let (kind, value) = (entity.kind.name(), &entity.value);
        lines.push(format!("  {kind}: {value} ({})", entity.text));
    }
    lines.extend(slots.iter().flat_map(told));
    if let Some(why) = &answer.explanation {
        for keyword in &why.keywords {
            let spans: Vec<&str> = keyword.spans.iter().map(|span| span.text.as_str()).collect();
            lines.push(format!("  keyword {}: {}", keyword.intent, spans.join(", ")));
        }
        for near in why.neighbors.iter().take(5) {
            lines.push(format!(
                "  {:.3} {} {}:{} {}",
                near.similarity, near.intent, near.file, near.line, near.text
            ));
        }
        if let (Some(in_scope), Some(limits)) = (why.in_scope, why.thresholds) {
            lines.push(format!(
                "  in scope {in_scope:.3} (from {:.3}), matched from {:.3}",
                limits.in_scope, limits.matched
            ));
        }
    }
    lines.join("\n")
}
