//! Speed of tuning: rows a second, and how much of the time the matrix products alone would take.
//!
//! `cargo bench --bench tune`; `-- all-MiniLM-L6-v2` takes another model, `-- NAME LAYERS` trains
//! only the top layers. Models come from `models/` and are fetched when they are missing. Uses all
//! cores, so nothing else should run.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop")]
#![allow(clippy::print_stdout, reason = "a benchmark tells what it found")]

use std::time::Instant;

use kefu::config::{ModelSource, model_options};
use kefu::kernels::product::{Matrix, product};
use kefu::progress::Silent;
use kefu::provision;
use kefu::training::tune::{Job, Place, TuneOptions, tune};

mod common;
use common::{DEFAULT_ENCODER, Random, words};

const ROWS: usize = 1_024;
const INTENTS: usize = 64;
/// Tokens of a row, prefix and special tokens included: that of BANKING77 and the like.
const TOKENS: usize = 14;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let name = arguments.first().map_or(DEFAULT_ENCODER, String::as_str);
    let models = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let options = model_options(&models, &ModelSource::Auto);
    let (folder, encoder) = provision::single_encoder(name, &options, &Silent).unwrap();
    let layers = arguments.get(1).map(|layers| layers.parse().unwrap());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);

    let mut random = Random(1);
    let mut texts = Vec::with_capacity(ROWS);
    while texts.len() < ROWS {
        let parts = random.within(1, TOKENS);
        let text = words(&mut random, parts);
        if encoder.token_ids(&text).unwrap().len() == TOKENS {
            texts.push(text);
        }
    }
    let labels: Vec<u32> = (0..ROWS).map(|row| (row % INTENTS) as u32).collect();
    let options =
        TuneOptions { epochs: Some(1), trainable_layers: layers, ..TuneOptions::default() };
    let spec = folder.spec();
    let job = Job {
        encoder: &encoder,
        spec: &spec,
        texts: &texts,
        labels: &labels,
        options: &options,
        identity: "bench",
        checkpoint: None,
        threads,
        place: Place::Cpu,
    };
    let tuned = tune(&job, None, &Silent).unwrap();
    let seconds = tuned.summary.seconds;
    let tensor = |part: &str| &tuned.tensors[&format!("encoder.layer.0.{part}.bias")];
    let (hidden, inner) = (tensor("output.dense").len(), tensor("intermediate.dense").len());
    let all = tuned.tensors.keys().filter(|key| key.ends_with("intermediate.dense.bias")).count();
    let trained = layers.unwrap_or(all).min(all);
    let a_thread = options.batch_rows / threads * TOKENS;
    let alone = products(a_thread, hidden, inner, threads);
    let steps = (ROWS / options.batch_rows) as f64;
    let share = alone * trained as f64 * steps / seconds;
    let multiplications = (3 * hidden + hidden + 2 * inner) * hidden * TOKENS * ROWS * trained;
    println!(
        "{name}: {trained} of {all} layers, {threads} threads: {:.0} rows/s, {:.0} GFLOP/s; the \
         products alone would take {:.0} % of the time",
        ROWS as f64 / seconds,
        6.0 * multiplications as f64 / seconds / 1e9,
        100.0 * share
    );
}

/// Seconds of one layer's products, forward and back, of so many tokens on each thread at once.
fn products(tokens: usize, hidden: usize, inner: usize, threads: usize) -> f64 {
    const TIMES: usize = 20;
    let work = || {
        for (inputs, outputs) in
            [(hidden, 3 * hidden), (hidden, hidden), (hidden, inner), (inner, hidden)]
        {
            let rows = vec![0.5; tokens * inputs];
            let d = vec![0.5; tokens * outputs];
            let weight = vec![0.5; inputs * outputs];
            let (mut out, mut d_rows) = (d.clone(), rows.clone());
            let mut d_weight = weight.clone();
            let weight = Matrix::new(&weight, outputs);
            for _ in 0..TIMES {
                product(Matrix::new(&rows, inputs), weight, false, &mut out);
                product(Matrix::new(&d, outputs), weight.transposed(), false, &mut d_rows);
                let turned = Matrix::new(&rows, inputs).transposed();
                product(turned, Matrix::new(&d, outputs), false, &mut d_weight);
            }
        }
    };
    work();
    let begun = Instant::now();
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    begun.elapsed().as_secs_f64() / TIMES as f64
}
