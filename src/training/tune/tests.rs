//! Tuning as a whole, on the tiny random BERT.

use std::sync::Mutex;

use super::*;
use crate::progress::Silent;

const A: [&str; 6] = ["退款", "我的 退款", "退款 ab", "怎么 退款", "退款 退款", "我的退款 a"];
const B: [&str; 6] = ["快递", "还没到 快递", "快递 ab", "怎么 快递", "快递 到", "我的快递 a"];

fn spec() -> ModelSpec {
    ModelSpec {
        name: "tiny".to_owned(),
        dir: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-bert"),
        sha256: "tiny".to_owned(),
        pooling: crate::encoder::Pooling::Mean,
        query_prefix: String::new(),
        max_tokens: 32,
        tuned: false,
    }
}

fn rows() -> (Vec<String>, Vec<u32>) {
    let texts = A.iter().chain(&B).map(|text| (*text).to_owned()).collect();
    // Numbers with a gap: an intent may have no rows.
    (texts, [vec![0; A.len()], vec![3; B.len()]].concat())
}

fn options() -> TuneOptions {
    TuneOptions {
        epochs: Some(4),
        batch_rows: 4,
        learning_rate: 3e-3,
        checkpoint_s: 0.0,
        ..TuneOptions::default()
    }
}

/// Hears what was said.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Progress for Notes {
    fn start(&self, _step: &str, _total_bytes: Option<u64>) {}
    fn start_items(&self, _step: &str, _total: u64) {}
    fn advance(&self, _count: u64) {}
    fn finish(&self) {}
    fn note(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

struct Case<'a> {
    options: &'a TuneOptions,
    checkpoint: Option<&'a Path>,
    identity: &'a str,
    threads: usize,
    stop_after: Option<u64>,
}

fn run(case: &Case<'_>, progress: &dyn Progress) -> Result<Option<Tuned>, TuneError> {
    let (spec, (texts, labels)) = (spec(), rows());
    let encoder = SentenceEncoder::load(&spec).unwrap();
    let job = Job {
        encoder: &encoder,
        spec: &spec,
        texts: &texts,
        labels: &labels,
        options: case.options,
        identity: case.identity,
        checkpoint: case.checkpoint,
        threads: case.threads,
        place: Place::Cpu,
    };
    let validation = Validation::new((&texts, &labels), (&texts, &labels));
    let mut measure = |encoder: &dyn Encoder| validation.measure(encoder);
    tune_some(&job, Some(&mut measure), case.stop_after, progress)
}

fn whole(options: &TuneOptions, threads: usize) -> Tuned {
    let case = Case { options, checkpoint: None, identity: "x", threads, stop_after: None };
    run(&case, &Silent).unwrap().unwrap()
}

#[test]
fn tuning_learns_and_keeps_the_best_epoch() {
    let tuned = whole(&TuneOptions { epochs: Some(40), ..options() }, 2);
    let Summary { losses, scores, chosen_epoch, .. } = &tuned.summary;
    assert_eq!((losses.len(), scores.len()), (40, 40));
    assert!(losses[39] < 0.7 * losses[0], "{losses:?}");
    let best = scores.iter().copied().fold(0.0, f64::max);
    assert_eq!(scores[chosen_epoch.unwrap() - 1], best);
    assert!(best > 0.9, "{scores:?}");
}

#[test]
fn the_same_seed_gives_the_same_weights_and_another_seed_others() {
    let base = whole(&options(), 2);
    assert_eq!(base.tensors, whole(&options(), 2).tensors);
    assert_ne!(base.tensors, whole(&TuneOptions { seed: 2, ..options() }, 2).tensors);
    // Another number of threads adds in another order, and nothing else.
    let alone = whole(&options(), 1);
    for (a, b) in base.tensors.values().flatten().zip(alone.tensors.values().flatten()) {
        assert!((a - b).abs() < 1e-2, "{a} {b}");
    }
}

#[test]
fn frozen_layers_stay_and_a_share_lies_between() {
    let initial = whole(&TuneOptions { tuned_share: 0.0, ..options() }, 1).tensors;
    let top = whole(&TuneOptions { trainable_layers: Some(1), ..options() }, 1).tensors;
    for (name, values) in &top {
        assert_eq!(*values == initial[name], name.contains("layer.0."), "{name}");
    }
    let last = TuneOptions { choose_epoch: false, ..options() };
    let all = whole(&last, 1).tensors;
    let half = whole(&TuneOptions { tuned_share: 0.5, ..last }, 1).tensors;
    for (name, values) in &half {
        for ((half, all), initial) in values.iter().zip(&all[name]).zip(&initial[name]) {
            assert!((half - (all + initial) / 2.0).abs() < 1e-5, "{name}");
        }
    }
}

#[test]
fn an_ended_run_goes_on_to_the_same_weights() {
    for options in [
        options(),
        TuneOptions { trainable_layers: Some(1), hard_batches: true, ..options() },
        TuneOptions { choose_epoch: false, tuned_share: 0.7, ..options() },
    ] {
        let expected = whole(&options, 2);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tuning.checkpoint");
        let mut case = Case {
            options: &options,
            checkpoint: Some(&path),
            identity: "x",
            threads: 2,
            stop_after: Some(5),
        };
        assert!(run(&case, &Silent).unwrap().is_none());
        case.stop_after = Some(1);
        assert!(run(&case, &Silent).unwrap().is_none());
        case.stop_after = None;
        let notes = Notes::default();
        let found = run(&case, &notes).unwrap().unwrap();
        assert_eq!(notes.0.lock().unwrap()[0], "going on after step 6");
        assert_eq!(found.tensors, expected.tensors);
        assert_eq!(found.summary.scores, expected.summary.scores);
        assert!(!path.exists(), "the checkpoint outlives its use");
    }
}

#[test]
fn a_checkpoint_of_something_else_or_a_damaged_one_is_not_used() {
    let options = options();
    let expected = whole(&options, 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tuning.checkpoint");
    let begin = Case {
        options: &options,
        checkpoint: Some(&path),
        identity: "x",
        threads: 1,
        stop_after: Some(5),
    };
    for (name, identity, damage, expected_note) in [
        ("another", "y", false, None),
        ("damaged", "x", true, Some("is damaged (its checksum is another); tuning begins anew")),
    ] {
        assert!(run(&begin, &Silent).unwrap().is_none());
        if damage {
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
        let notes = Notes::default();
        let found = run(&Case { identity, stop_after: None, ..begin }, &notes).unwrap().unwrap();
        assert_eq!(found.tensors, expected.tensors, "{name}");
        let notes = notes.0.into_inner().unwrap();
        assert!(expected_note.is_none_or(|note| notes[0].contains(note)), "{name}: {notes:?}");
        assert!(!notes.iter().any(|note| note.contains("going on")), "{name}: {notes:?}");
    }
}

#[test]
fn the_time_limit_ends_with_what_there_is() {
    let tuned = whole(&TuneOptions { minutes: 1e-9, ..options() }, 1);
    assert!(tuned.summary.out_of_time);
    assert!(tuned.summary.losses.is_empty());
}

#[test]
fn what_cannot_be_tuned_is_refused() {
    let spec = spec();
    let encoder = SentenceEncoder::load(&spec).unwrap();
    for (name, labels, options, expected) in [
        ("one intent", vec![1, 1], options(), "two intents"),
        ("no rows", vec![], options(), "two intents"),
        ("an option", vec![0, 1], TuneOptions { scale: 0.0, ..options() }, "scale is 0"),
        (
            "a rate beyond reason",
            vec![0, 1],
            TuneOptions { learning_rate: 1e30, epochs: Some(9), ..options() },
            "diverged at step",
        ),
    ] {
        let texts: Vec<String> = A[..labels.len()].iter().map(|text| (*text).to_owned()).collect();
        let job = Job {
            encoder: &encoder,
            spec: &spec,
            texts: &texts,
            labels: &labels,
            options: &options,
            identity: "x",
            checkpoint: None,
            threads: 1,
            place: Place::Cpu,
        };
        let Err(error) = tune(&job, None, &Silent) else { panic!("{name}") };
        assert!(error.to_string().contains(expected), "{name}: {error}");
    }
}
