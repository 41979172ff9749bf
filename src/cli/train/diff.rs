//! `train-intents diff`: which messages two models answer differently, and why.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;

use super::{EncoderArgs, KnowledgeArgs, Outcome, Output};
use crate::artifact::{self, Model};
use crate::encoder::{Encoder, Memo};
use crate::flips::{FlipReport, Message, Messages, Source, flips};
use crate::intent::golden::GoldenSentence;
use crate::intent::knowledge::KnowledgeBase;
use crate::knowledge;
use crate::preview::{golden_messages, held_out_message};
use crate::progress::Progress;
use crate::provision;
use crate::training::dataset;
use crate::training::embed::embed;
use crate::training::embedding_cache::EmbeddingCache;

/// Sentences that both sides share are embedded once.
const REMEMBERED: usize = 200_000;

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The model before: the folder of a knowledge base, of a built model, or a version in the
    /// models folder
    #[arg(long, value_name = "DIR|VERSION")]
    from: PathBuf,
    /// The model after, named like the one before
    #[arg(long, value_name = "DIR|VERSION")]
    to: PathBuf,
    /// Golden set to compare on; without it that of the knowledge base after, else of --intents
    #[arg(long, value_name = "FILE")]
    golden_set: Option<PathBuf>,
    /// Held-out rows to compare on: lines with `text` and `intent` ("oos": out of scope)
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Logged messages to compare on: lines with `text`, such as the review queue keeps them
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Lines of the log that are compared, the latest ones
    #[arg(long, value_name = "COUNT", default_value_t = 5_000)]
    max_logged: usize,
    /// Flips that are printed; the report folder has them all
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    show: usize,
    /// Fail with exit code 1 when more messages than this worsen
    #[arg(long, value_name = "COUNT")]
    max_worsened: Option<usize>,
    /// Write flips.json and flips.md into this folder; they quote messages
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Folder that keeps embeddings for the next run
    #[arg(long, value_name = "DIR", default_value = ".cache")]
    cache: PathBuf,
    #[command(flatten)]
    knowledge: KnowledgeArgs,
    #[command(flatten)]
    encoder: EncoderArgs,
}

#[derive(Serialize)]
struct Compared {
    /// Version before.
    before: String,
    /// Version after.
    after: String,
    #[serde(flatten)]
    report: FlipReport,
}

pub(super) fn run(
    args: &DiffArgs,
    out: &mut Output,
    progress: &dyn Progress,
) -> anyhow::Result<Outcome> {
    let encoder: Arc<dyn Encoder> = Arc::from(args.encoder.load(progress)?);
    let memo = Memo::new(Arc::clone(&encoder), REMEMBERED);
    let before = args.side(&args.from, &memo, progress)?;
    let after = args.side(&args.to, &memo, progress)?;
    let messages = args.messages([before.engine.knowledge(), after.engine.knowledge()])?;

    let mut cache = EmbeddingCache::open(&args.cache, encoder.info());
    let texts = messages.texts();
    let embeddings = embed(&memo, &texts, cache.known(), progress)?;
    if let Err(error) = cache.add(&texts, &embeddings) {
        // A read-only folder costs the next run its time, and nothing else.
        progress.note(&format!("cannot keep embeddings in {}: {error}", args.cache.display()));
    }
    let report = flips(&before.engine, &after.engine, &messages, &embeddings);
    let [before, after] = [before, after].map(|model| model.identity.version());
    let mut compared = Compared { before, after, report };
    if let Some(folder) = &args.report {
        write(folder, &compared)?;
    }
    let worsened = compared.report.total.worsened;
    compared.report.cut(args.show);
    out.write(&compared, |compared| {
        format!("{}\n{} → {}", compared.report, compared.before, compared.after)
    })?;
    let failed = args.max_worsened.is_some_and(|most| worsened > most);
    Ok(if failed { Outcome::GateFailed } else { Outcome::Done })
}

impl DiffArgs {
    /// Loads or trains one side; nothing is saved.
    fn side(
        &self,
        side: &Path,
        encoder: &dyn Encoder,
        progress: &dyn Progress,
    ) -> anyhow::Result<Model> {
        let mut folders = self.knowledge.folders(self.encoder.models().to_owned());
        let version = folders.artifacts().join(side);
        let artifact = [side, &version].into_iter().find(|at| at.join("model.json").is_file());
        if let Some(path) = artifact {
            return Ok(artifact::load(path, encoder.info())?);
        }
        if !side.is_dir() {
            bail!(
                "{} is neither a folder nor a version in {}; name a knowledge base or a built model",
                side.display(),
                folders.artifacts().display()
            );
        }
        side.clone_into(&mut folders.intents);
        let data = provision::data(&folders)?;
        match provision::built(&data, &folders, encoder.info())? {
            Some((model, _)) => Ok(model),
            None => Ok(provision::train(data, &folders, encoder, progress)?),
        }
    }

    fn messages(&self, known: [&KnowledgeBase; 2]) -> anyhow::Result<Messages> {
        let golden = self.golden(known)?;
        let rows = match &self.data {
            Some(path) => dataset::rows(path)?,
            None => Vec::new(),
        };
        let file = self.data.as_ref().map(|path| path.display().to_string());
        let mut held_out = Vec::new();
        for row in rows {
            let (intent, line) = (row.intent.clone(), row.line);
            let message = held_out_message(row, file.as_deref(), &known);
            if message.expected.is_none() {
                let file = file.as_deref().unwrap_or_default();
                bail!("{file}:{line}: no intent {intent:?} before or after; correct the line");
            }
            held_out.push(message);
        }
        let logged = match &self.log {
            Some(path) => dataset::texts(path)?,
            None => Vec::new(),
        };
        let old = logged.len().saturating_sub(self.max_logged);
        let logged = logged.into_iter().skip(old);
        let messages = Messages::new(
            golden_messages(&golden)
                .chain(held_out)
                .chain(logged.map(|text| Message::plain(Source::Logged, text))),
        );
        if messages.is_empty() {
            bail!("there are no messages to compare on; give --data, --log or --golden-set");
        }
        Ok(messages)
    }

    fn golden(&self, known: [&KnowledgeBase; 2]) -> anyhow::Result<Vec<GoldenSentence>> {
        // What an edit renames is known on one side only.
        let knows = |id: &str| known.iter().any(|side| side.position(id).is_some());
        let Some(path) = &self.golden_set else {
            let own = knowledge::golden_path(&self.to).is_file();
            let folder = if own { &self.to } else { self.knowledge.intents() };
            return Ok(knowledge::load_golden(folder, knows)?);
        };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let read = knowledge::parse_golden(path, &text, knows);
        Ok(read.map_err(knowledge::LoadError::Findings)?)
    }
}

fn write(folder: &Path, compared: &Compared) -> anyhow::Result<()> {
    let unwritable = || format!("cannot write into {}", folder.display());
    std::fs::create_dir_all(folder).with_context(unwritable)?;
    let json = serde_json::to_string_pretty(compared)?;
    let title = format!("From `{}` to `{}`.", compared.before, compared.after);
    for (name, text) in
        [("flips.json", format!("{json}\n")), ("flips.md", compared.report.markdown(&title))]
    {
        std::fs::write(folder.join(name), text).with_context(unwritable)?;
    }
    Ok(())
}
