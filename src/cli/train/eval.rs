//! `train-intents eval`: how good the engine is on sentences that it was not taught.
//!
//! `--data` teaches and measures on a data set folder; `--test` measures the knowledge base's
//! model, keywords included, on a file. Thresholds are fitted on `valid.jsonl`, or by
//! cross-validation on the training rows, never on what is reported. `--compare` shows two reports
//! side by side and needs no model.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;

use super::tune::TuneArgs;
use super::{EncoderArgs, KnowledgeArgs, Outcome, Output};
use crate::encoder::Encoder;
use crate::intent::answer::Status;
use crate::intent::classifier::Calibration;
use crate::intent::normalize::normalize;
use crate::progress::Progress;
use crate::provision;
use crate::provision::tuned;
use crate::training::dataset::{self, Dataset, OUT_OF_SCOPE, Row};
use crate::training::embed::{Known, embed};
use crate::training::embedding_cache::EmbeddingCache;
use crate::training::fit::{self, LabelledSet, Lesson, Material, Policy};
use crate::training::learning_curve::{self, Sets};
use crate::training::report::compare::Comparison;
use crate::training::report::evaluation::Evaluation;
use crate::training::report::{Judgement, Report, files};

/// Arguments of `eval`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["data", "test", "compare"])))]
pub struct EvalArgs {
    /// Folder with train.jsonl, test.jsonl and perhaps valid.jsonl and oos.jsonl
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Other training rows than train.jsonl, such as a few-shot sample; thresholds then come from
    /// cross-validation on them
    #[arg(long, value_name = "FILE", requires = "data")]
    train: Option<PathBuf>,
    /// Treat the rows of this intent as out of scope
    #[arg(long, value_name = "INTENT", requires = "data")]
    out_of_scope_intent: Option<String>,
    /// Rows to measure the knowledge base's own model on; intent "oos" is out of scope
    #[arg(long, value_name = "FILE")]
    test: Option<PathBuf>,
    /// Show two reports side by side: report.json files or their folders
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"])]
    compare: Option<Vec<PathBuf>>,
    /// Write report.json, report.md and report.html (with --compare: comparison.html) into this
    /// folder; they quote sentences of the data
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Also train on 10, 25, 50 and 75 % of the training rows; takes four more trainings
    #[arg(long, requires = "data", conflicts_with = "tune")]
    learning_curve: bool,
    /// Fail with exit code 1 below this accuracy (top intent, before rejection), 0 to 1
    #[arg(long, value_name = "SHARE", conflicts_with = "compare")]
    min_accuracy: Option<f64>,
    /// Folder that keeps embeddings for the next evaluation
    #[arg(long, value_name = "DIR", default_value = ".cache")]
    cache: PathBuf,
    #[command(flatten)]
    tune: TuneArgs,
    #[command(flatten)]
    knowledge: KnowledgeArgs,
    #[command(flatten)]
    encoder: EncoderArgs,
}

pub(super) fn run(
    args: &EvalArgs,
    out: &mut Output,
    progress: &dyn Progress,
) -> anyhow::Result<Outcome> {
    let evaluation = match (&args.data, &args.test, args.compare.as_deref()) {
        (Some(folder), ..) => on_data_set(args, folder, progress)?,
        (None, Some(file), _) => on_knowledge_base(args, file, progress)?,
        (None, None, Some([old, new])) => return compare(args, old, new, out),
        (None, None, _) => unreachable!("clap requires one of the three"),
    };
    let report = &evaluation.figures;
    out.write(report, ToString::to_string)?;
    if let Some(folder) = &args.report {
        files::write(folder, &evaluation)?;
    }
    let reached = args.min_accuracy.is_none_or(|least| report.accuracy >= least);
    Ok(if reached { Outcome::Done } else { Outcome::GateFailed })
}

fn compare(args: &EvalArgs, old: &Path, new: &Path, out: &mut Output) -> anyhow::Result<Outcome> {
    let (old, new) = (files::read(old)?, files::read(new)?);
    out.write(&Comparison::new(&old, &new), ToString::to_string)?;
    if let Some(folder) = &args.report {
        files::write_comparison(folder, &old, &new)?;
    }
    Ok(Outcome::Done)
}

fn on_data_set(
    args: &EvalArgs,
    folder: &Path,
    progress: &dyn Progress,
) -> anyhow::Result<Evaluation> {
    let mut data = Dataset::read(folder, args.train.as_deref())?;
    if let Some(intent) = &args.out_of_scope_intent {
        data.move_out_of_scope(intent);
    }
    if args.train.is_some() {
        data.valid.clear();
    }
    let mut labels: Vec<&str> = data.train.iter().map(|row| row.intent.as_str()).collect();
    labels.sort_unstable();
    labels.dedup();
    let numbers: HashMap<&str, u32> =
        labels.iter().enumerate().map(|(at, name)| (*name, at as u32)).collect();

    let read = |rows: &[Row], file: &str| -> anyhow::Result<LabelledSet> {
        let number = |row: &Row| {
            numbers.get(row.intent.as_str()).copied().with_context(|| {
                let name = folder.join(file);
                format!(
                    "{}:{}: no training row has the intent {:?}; add one or drop the line",
                    name.display(),
                    row.line,
                    row.intent
                )
            })
        };
        let scope = file != "oos.jsonl";
        let labels = rows.iter().filter(|_| scope).map(number).collect::<Result<_, _>>()?;
        let texts = rows.iter().map(|row| normalize(&row.text).text().to_owned()).collect();
        Ok(LabelledSet { texts, labels, ..LabelledSet::default() })
    };
    let (train, valid) = (read(&data.train, "train.jsonl")?, read(&data.valid, "valid.jsonl")?);
    let names = names_of(&labels);
    let unmeant = read(&data.oos_valid, "oos.jsonl")?;
    let policy = Policy { max_false_accept: args.knowledge.max_false_accept };
    let (encoder, calibration) =
        encoder(args, policy, [&train, &names, &valid, &unmeant], progress)?;
    let begun = Instant::now();
    let mut cache = EmbeddingCache::open(&args.cache, encoder.info());
    let mut embedded = |set: LabelledSet| -> anyhow::Result<LabelledSet> {
        let embeddings = embed(&*encoder, &set.texts, cache.known(), progress)?;
        cache.add(&set.texts, &embeddings)?;
        Ok(LabelledSet { embeddings, ..set })
    };
    let (train, valid) = (embedded(train)?, embedded(valid)?);
    let names = embedded(names)?;
    let test = embedded(read(&data.test, "test.jsonl")?)?;
    let oos_valid = embedded(unmeant)?;
    let oos_test = embedded(read(&data.oos_test, "oos.jsonl")?)?;
    let encode_s = begun.elapsed().as_secs_f64();

    let begun = Instant::now();
    let tuned = encoder.info().tuned;
    let lesson = Lesson { intents: labels.len(), examples: &train, names: &names, tuned };
    let material = Material { lesson, valid: &valid, out_of_scope: &oos_valid };
    let calibrated_before = calibration.is_some();
    let fitted = match calibration {
        Some(calibration) => fit::fit_calibrated(lesson, &oos_valid, calibration, progress)?,
        None => fit::fit(material, policy, progress)?,
    };
    let train_s = begun.elapsed().as_secs_f64();
    let judge = |rows: &[Row], set: &LabelledSet| -> Vec<Judgement> {
        let truths = set.labels.iter().copied().map(Some).chain(std::iter::repeat(None));
        let decisions = fitted.decide(set);
        let pairs = rows.iter().zip(&decisions).zip(truths);
        pairs.map(|((row, made), truth)| Judgement::new(&row.text, made, truth)).collect()
    };
    let names: Vec<String> = labels.iter().map(|name| (*name).to_owned()).collect();
    let (inside, outside) = (judge(&data.test, &test), judge(&data.oos_test, &oos_test));
    let mut report = Report::new(&folder.display().to_string(), &names, &inside, &outside);
    if args.learning_curve {
        let sets = Sets { material, policy, test: &test };
        report.learning_curve = learning_curve::measure(&sets, &fitted, progress)?;
    }
    report.thresholds = Some(fitted.classifier.calibration().thresholds);
    report.encoder.clone_from(&encoder.info().name);
    report.thresholds_from = thresholds_from(&data, calibrated_before).to_owned();
    report.rows = counts(&data);
    (report.encode_s, report.train_s) = (encode_s, train_s);
    Ok(Evaluation::new(report, &names, &inside, &outside))
}

/// What the thresholds were fitted on.
fn thresholds_from(data: &Dataset, calibrated_before: bool) -> &'static str {
    if calibrated_before {
        "a fifth of the training rows, by an encoder that was not tuned on them"
    } else if data.valid.is_empty() {
        "cross-validation on the training rows"
    } else {
        "valid.jsonl"
    }
}

/// How many rows there are of each kind.
fn counts(data: &Dataset) -> BTreeMap<String, usize> {
    [
        ("train", data.train.len()),
        ("valid", data.valid.len()),
        ("test", data.test.len()),
        ("out-of-scope for fitting", data.oos_valid.len()),
        ("out-of-scope for testing", data.oos_test.len()),
    ]
    .map(|(name, count)| (name.to_owned(), count))
    .into()
}

/// What the intents of a data set are called: the words of their labels.
fn names_of(labels: &[&str]) -> LabelledSet {
    let mut names = LabelledSet::default();
    for (label, number) in labels.iter().zip(0..) {
        for name in fit::intent_names(label, &[]) {
            names.texts.push(name);
            names.labels.push(number);
        }
    }
    names
}

/// The encoder, tuned on the training rows when that is asked for, and its calibration if it has
/// one. The sets are the rows to train on, the intents' names, the rows to validate on and those out
/// of scope.
fn encoder(
    args: &EvalArgs,
    policy: Policy,
    [train, names, valid, out_of_scope]: [&LabelledSet; 4],
    progress: &dyn Progress,
) -> anyhow::Result<(Box<dyn Encoder>, Option<Calibration>)> {
    if !args.tune.tune {
        return Ok((args.encoder.load(progress)?, None));
    }
    let (base, encoder) = args.encoder.open(progress)?;
    let options = args.tune.options()?;
    let lesson = tuned::Lesson {
        train: train.rows(),
        names: names.rows(),
        valid: valid.rows(),
        out_of_scope: &out_of_scope.texts,
        policy,
        options: &options,
        place: args.tune.place(),
    };
    let made = tuned::tuned(&base, &encoder, lesson, args.encoder.models(), progress)?;
    progress.note(&format!("{}: {}", made.folder.path.display(), made.folder.card.source));
    Ok((Box::new(made.encoder), made.calibration))
}

fn on_knowledge_base(
    args: &EvalArgs,
    file: &Path,
    progress: &dyn Progress,
) -> anyhow::Result<Evaluation> {
    let rows = dataset::rows(file)?;
    let encoder = args.encoder.load(progress)?;
    let begun = Instant::now();
    let folders = args.knowledge.folders(args.encoder.models.clone());
    let (model, _) = provision::model(&folders, &*encoder, true, progress)?;
    let train_s = begun.elapsed().as_secs_f64();
    let engine = &model.engine;
    let begun = Instant::now();
    let texts: Vec<_> = rows.iter().map(|row| normalize(&row.text)).collect();
    let plain: Vec<String> = texts.iter().map(|text| text.text().to_owned()).collect();
    let embeddings = embed(&*encoder, &plain, &Known::new(), progress)?;
    let encode_s = begun.elapsed().as_secs_f64();
    let (mut in_scope, mut out_of_scope) = (Vec::new(), Vec::new());
    for (at, (row, text)) in rows.iter().zip(&texts).enumerate() {
        let verdict = engine.verdict(text, embeddings.row(at));
        let truth = match row.intent.as_str() {
            OUT_OF_SCOPE => None,
            known => match engine.knowledge().position(known) {
                Some(number) => Some(number),
                None => bail!(
                    "{}:{}: no intent {known:?} in the knowledge base; correct the line",
                    file.display(),
                    row.line
                ),
            },
        };
        let judgement = Judgement {
            text: row.text.clone(),
            truth,
            top: verdict.ranking.first().map_or(0, |top| top.0),
            confidence: verdict.confidence(),
            in_scope: verdict.in_scope.unwrap_or(if verdict.status == Status::Matched {
                1.0
            } else {
                0.0
            }),
            candidates: verdict.candidates,
            truth_rank: truth
                .and_then(|truth| verdict.ranking.iter().position(|one| one.0 == truth)),
            status: verdict.status,
        };
        if truth.is_some() { &mut in_scope } else { &mut out_of_scope }.push(judgement);
    }
    let names: Vec<String> =
        engine.knowledge().intents.iter().map(|intent| intent.id.clone()).collect();
    let rows = [
        ("examples".to_owned(), engine.vectors().len()),
        ("test".to_owned(), in_scope.len()),
        ("out-of-scope for testing".to_owned(), out_of_scope.len()),
    ];
    let mut report = Report::new(&file.display().to_string(), &names, &in_scope, &out_of_scope);
    report.thresholds = Some(engine.classifier().calibration().thresholds);
    report.encoder.clone_from(&encoder.info().name);
    report.thresholds_from = "cross-validation on the examples".to_owned();
    report.rows = rows.into();
    (report.encode_s, report.train_s) = (encode_s, train_s);
    Ok(Evaluation::new(report, &names, &in_scope, &out_of_scope))
}
