//! `train-intents validate`: what is wrong with a knowledge base, and what is likely wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::golden::{self, GoldenArgs};
use super::{EncoderArgs, KnowledgeArgs, Outcome, Output};
use crate::artifact::Model;
use crate::encoder::{Encoder, Memo};
use crate::flips::golden::GoldenReport;
use crate::intent::golden::GoldenSentence;
use crate::intent::knowledge::{KnowledgeBase, Lang};
use crate::intent::normalize::normalize;
use crate::knowledge::{self, LoadError, Places};
use crate::lint::{self, Finding, Severity, Vectors};
use crate::progress::Progress;
use crate::provision::{self, Data, Folders};
use crate::training::dataset;
use crate::training::embed::embed;
use crate::training::embedding_cache::EmbeddingCache;
use crate::training::fit::{self, LabelledSet};

/// Sentences whose embeddings one run keeps.
const REMEMBERED: usize = 200_000;

/// Arguments of `validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// How findings are written: for people, as JSON lines (as --json), or as annotations of a
    /// GitHub workflow
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Whether meanings are compared, which needs the encoder: `auto` when it is installed
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    semantic: When,
    /// Fail with exit code 1 on warnings too
    #[arg(long, value_enum, value_name = "KIND")]
    deny: Option<Deny>,
    /// Folder that keeps embeddings for the next run
    #[arg(long, value_name = "DIR", default_value = ".cache")]
    cache: PathBuf,
    #[command(flatten)]
    knowledge: KnowledgeArgs,
    #[command(flatten)]
    golden: GoldenArgs,
    #[command(flatten)]
    encoder: EncoderArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One line of text a finding
    Human,
    /// One JSON object a line
    Json,
    /// Workflow commands that GitHub shows beside the lines of a pull request
    Github,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum When {
    /// When the encoder is installed; nothing is downloaded
    #[default]
    Auto,
    /// Always; a missing encoder is fetched
    Always,
    /// Texts only
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Deny {
    /// Warnings
    Warnings,
}

#[derive(Serialize)]
struct Valid {
    intents: usize,
    examples: BTreeMap<Lang, usize>,
    keyword_rules: usize,
    out_of_scope: usize,
    /// Whether meanings were compared.
    semantic: bool,
    errors: usize,
    warnings: usize,
    /// Null when meanings were not compared, there is no golden set, or it is not asked.
    golden: Option<GoldenReport>,
}

pub(super) fn run(
    args: &ValidateArgs,
    out: &mut Output,
    progress: &dyn Progress,
) -> anyhow::Result<Outcome> {
    let format = args.format.unwrap_or(if out.json { Format::Json } else { Format::Human });
    let mut out = Output { json: format == Format::Json };
    let (mut knowledge, places, sentences) = match load(&args.knowledge.intents) {
        Ok(loaded) => loaded,
        Err(LoadError::Findings(findings)) => {
            for finding in &findings {
                out.write(finding, |found| match format {
                    Format::Github => annotation_of_fault(found),
                    Format::Human | Format::Json => found.to_string(),
                })?;
            }
            bail!("{} findings in {}", findings.len(), args.knowledge.intents.display());
        }
        Err(error) => return Err(error.into()),
    };
    let out_of_scope = dataset::supplement(&args.knowledge.training_data, &mut knowledge)?;
    let mut findings = lint::textual(&knowledge, &places)?;
    let encoder = args.encoder(&knowledge, progress)?;
    let semantic = encoder.is_some();
    let mut golden = None;
    if let Some(encoder) = encoder {
        findings.extend(meanings(args, &knowledge, &places, &encoder, progress)?);
        if args.golden.asks() && !sentences.is_empty() {
            let folders = args.knowledge.folders(args.encoder.models().to_owned());
            let (knowledge, out_of_scope) = (knowledge.clone(), out_of_scope.clone());
            let policy = folders.policy;
            let data = Data { knowledge, out_of_scope, golden: Vec::new(), policy };
            let model = model(data, &folders, &encoder, progress)?;
            golden = args.golden.judge(&model.engine, &sentences, &encoder, progress)?;
        }
    }
    lint::sort(&mut findings);
    for finding in &mut findings {
        resolve_rows(finding, args);
        write(&mut out, finding, format)?;
    }
    let count = |severity| findings.iter().filter(|one| one.rule.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let valid = Valid {
        intents: knowledge.intents.len(),
        examples: by_language(&knowledge),
        keyword_rules: knowledge.intents.iter().map(|intent| intent.keywords.len()).sum(),
        out_of_scope: out_of_scope.len(),
        semantic,
        errors,
        warnings,
        golden,
    };
    out.write(&valid, |valid| {
        let mut lines = golden::lines(valid.golden.as_ref());
        lines.push(valid.to_string());
        lines.join("\n")
    })?;
    let gate = args.golden.outcome(valid.golden.as_ref()) == Outcome::GateFailed;
    let failed = gate || errors > 0 || (args.deny == Some(Deny::Warnings) && warnings > 0);
    Ok(if failed { Outcome::GateFailed } else { Outcome::Done })
}

impl fmt::Display for Valid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: usize, word: &str| match count {
            1 => format!("1 {word}"),
            _ => format!("{count} {word}s"),
        };
        match (self.errors, self.warnings) {
            (0, 0) => write!(f, "fine")?,
            (0, warnings) => write!(f, "{}", plural(warnings, "warning"))?,
            (errors, 0) => write!(f, "{}", plural(errors, "error"))?,
            (errors, warnings) => {
                write!(f, "{}, {}", plural(errors, "error"), plural(warnings, "warning"))?;
            }
        }
        let examples: Vec<String> =
            self.examples.iter().map(|(lang, count)| format!("{count} {lang}")).collect();
        write!(
            f,
            ": {} intents, {} examples, {} keyword rules, {} out-of-scope sentences{}",
            self.intents,
            examples.join(" + "),
            self.keyword_rules,
            self.out_of_scope,
            if self.semantic { "" } else { " (meanings not compared)" }
        )
    }
}

/// Reads the topic files and the golden set.
fn load(folder: &Path) -> Result<(KnowledgeBase, Places, Vec<GoldenSentence>), LoadError> {
    let (knowledge, places) = knowledge::load_with_places(folder)?;
    let golden = knowledge::load_golden(folder, |id| knowledge.position(id).is_some())?;
    Ok((knowledge, places, golden))
}

/// The model that the golden set is asked of: the one that a build would make, not saved.
fn model(
    data: Data,
    folders: &Folders,
    encoder: &dyn Encoder,
    progress: &dyn Progress,
) -> anyhow::Result<Model> {
    match provision::built(&data, folders, encoder.info())? {
        Some((model, _)) => Ok(model),
        None => Ok(provision::train(data, folders, encoder, progress)?),
    }
}

impl ValidateArgs {
    /// The encoder; none when meanings are not to be compared.
    fn encoder(
        &self,
        knowledge: &KnowledgeBase,
        progress: &dyn Progress,
    ) -> anyhow::Result<Option<Memo>> {
        let wanted = match self.semantic {
            When::Auto => self.encoder.is_installed(),
            When::Always => true,
            When::Never => false,
        };
        if !wanted || knowledge.examples().next().is_none() {
            return Ok(None);
        }
        // The golden gate asks for the sentences again that were compared.
        Ok(Some(Memo::new(Arc::from(self.encoder.load(progress)?), REMEMBERED)))
    }
}

/// What the meanings show.
fn meanings(
    args: &ValidateArgs,
    knowledge: &KnowledgeBase,
    places: &Places,
    encoder: &dyn Encoder,
    progress: &dyn Progress,
) -> anyhow::Result<Vec<Finding>> {
    let (labels, texts): (Vec<u32>, Vec<String>) = knowledge
        .examples()
        .map(|(intent, example)| (intent, normalize(&example.text).text().to_owned()))
        .unzip();
    let mut cache = EmbeddingCache::open(&args.cache, encoder.info());
    let embeddings = embed(encoder, &texts, cache.known(), progress)?;
    if let Err(error) = cache.add(&texts, &embeddings) {
        // A read-only folder costs the next run its time, and nothing else.
        progress.note(&format!("cannot keep embeddings in {}: {error}", args.cache.display()));
    }
    let set = LabelledSet { texts, embeddings, labels };
    let vectors = Vectors { whitened: Arc::new(fit::whiten(&set, knowledge.intents.len())?) };
    Ok(lint::semantic(knowledge, places, &vectors)?)
}

/// Rows of the training data know their file's name; findings name the file as it was found.
fn resolve_rows(finding: &mut Finding, args: &ValidateArgs) {
    for place in finding.related.iter_mut().chain([&mut finding.place]) {
        if place.file.extension().is_some_and(|kind| kind == "jsonl") {
            place.file = args.knowledge.training_data.join(&place.file);
        }
    }
}

fn write(out: &mut Output, finding: &Finding, format: Format) -> io::Result<()> {
    out.write(finding, |found| match format {
        Format::Human | Format::Json => found.to_string(),
        Format::Github => {
            let place = &found.place;
            let (file, at) = (place.file.display().to_string(), (place.line, place.column));
            let title = format!("{} {}", found.rule.code, found.rule.name);
            annotation(&found.rule.severity.to_string(), &file, at, &title, &found.message)
        }
    })
}

fn annotation_of_fault(found: &knowledge::Finding) -> String {
    let (file, at) = (found.file.display().to_string(), (found.line, found.column));
    annotation("error", &file, at, found.code, &found.message)
}

/// A workflow command of GitHub Actions, escaped as its toolkit does it
/// (`packages/core/src/command.ts`).
fn annotation(kind: &str, file: &str, at: (u64, u64), title: &str, message: &str) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    format!(
        "::{kind} file={},line={},col={},title={}::{}",
        property(file),
        at.0,
        at.1,
        property(title),
        data(message)
    )
}

fn by_language(knowledge: &KnowledgeBase) -> BTreeMap<Lang, usize> {
    let mut counts = BTreeMap::new();
    for (_, example) in knowledge.examples() {
        *counts.entry(example.lang).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_escaped() {
        assert_eq!(
            annotation("warning", "a,b:c.yaml", (3, 9), "KL001 duplicate", "100 % of a: b, c\nd"),
            "::warning file=a%2Cb%3Ac.yaml,line=3,col=9,title=KL001 duplicate::100 %25 of a: b, c%0Ad"
        );
    }
}
