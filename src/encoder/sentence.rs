//! The BERT adapter of the [`Encoder`] port: tokenizer, forward pass, pooling, unit norm.
//!
//! Built by the composition root from a [`ModelSpec`] that `models::ensure` hands out.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::bert::{Bert, BertConfig, with_values};
use super::tokenizer::{TextTokenizer, TokenizerError};
use super::weights::{WeightFile, WeightsError};
use super::{Embeddings, EncodeError, Encoder, EncoderInfo};

/// Tokens in one forward pass; more are split into several, so that memory stays bounded:
/// 4,096 rows of 1,536 `f32` are 25 MB.
const MAX_TOKENS_A_PASS: usize = 4_096;

/// How the vectors of a sentence's tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean over all tokens, special ones included.
    #[default]
    Mean,
    /// The first token's vector.
    Cls,
}

/// Where a model lies and how it wants to be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSpec {
    /// Name for people.
    pub name: String,
    /// Folder with `config.json`, `tokenizer.json` and `model.safetensors`.
    pub dir: PathBuf,
    /// Lower-case hex SHA-256 over everything that shapes a vector, see [`EncoderInfo::sha256`].
    pub sha256: String,
    /// How token vectors become a sentence's.
    pub pooling: Pooling,
    /// Put before each text, with its space if it needs one.
    pub query_prefix: String,
    /// Tokens beyond this many (special tokens included) are cut off.
    pub max_tokens: usize,
    /// True when its layers were tuned on labelled sentences.
    pub tuned: bool,
}

/// A model folder could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// `config.json` is missing, damaged or of a kind we can't run.
    #[error("cannot use {path}: {reason}; choose another model or pull it again", path = path.display())]
    Config {
        /// The config file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// `tokenizer.json` can't be used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// `model.safetensors` can't be used.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// A BERT sentence encoder on the CPU.
///
/// Each call runs on exactly one thread; calls from several threads run side by side.
pub struct SentenceEncoder {
    info: EncoderInfo,
    tokenizer: TextTokenizer,
    bert: Bert,
    pooling: Pooling,
    threads: SingleThreads,
}

impl SentenceEncoder {
    /// Loads the model that `spec` describes.
    ///
    /// # Errors
    /// [`LoadError`], each with the file it is about.
    pub fn load(spec: &ModelSpec) -> Result<Self, LoadError> {
        let config = read_config(&spec.dir.join("config.json"))?;
        let max_tokens = spec.max_tokens.min(config.max_position_embeddings);
        let path = spec.dir.join("tokenizer.json");
        let tokenizer = TextTokenizer::load(&path, &spec.query_prefix, max_tokens)?;
        let mut weights = WeightFile::open(&spec.dir.join("model.safetensors"))?;
        let bert = Bert::load(config, &mut weights)?;
        let info = EncoderInfo {
            name: spec.name.clone(),
            sha256: spec.sha256.clone(),
            dimension: bert.config().hidden_size,
            max_tokens,
            tuned: spec.tuned,
        };
        let threads = SingleThreads::default();
        Ok(Self { info, tokenizer, bert, pooling: spec.pooling, threads })
    }

    /// Ids that `text` becomes, prefix and special tokens included.
    ///
    /// # Errors
    /// [`EncodeError`] when the tokenizer fails.
    pub fn token_ids(&self, text: &str) -> Result<Vec<u32>, EncodeError> {
        self.tokenizer.encode(text).map_err(|reason| self.error(reason))
    }

    /// The shape of the model.
    pub(crate) fn config(&self) -> &BertConfig {
        self.bert.config()
    }

    /// How token vectors become a sentence's.
    pub(crate) fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// What goes into the first layer, for sequences of token ids: packed, row-major.
    ///
    /// # Errors
    /// [`EncodeError`] when a sequence does not fit the model.
    pub(crate) fn token_rows(&self, sequences: &[&[u32]]) -> Result<Vec<f32>, EncodeError> {
        self.bert.embed(sequences).map_err(|e| self.error(one_line(&e)))
    }

    fn encode_here(&self, texts: &[&str]) -> Result<Embeddings, EncodeError> {
        let sequences: Vec<Vec<u32>> =
            texts.iter().map(|text| self.token_ids(text)).collect::<Result<_, _>>()?;
        let mut values = Vec::with_capacity(texts.len() * self.info.dimension);
        for pass in passes(&sequences) {
            let ids: Vec<&[u32]> = pass.iter().map(Vec::as_slice).collect();
            let hidden = self.bert.forward(&ids).map_err(|e| self.error(one_line(&e)))?;
            with_values(&hidden, |rows| {
                self.pool_rows(&ids, rows, &mut values);
                Ok(())
            })
            .map_err(|e| self.error(one_line(&e)))?;
        }
        Ok(Embeddings::new(self.info.dimension, values))
    }

    /// Appends one unit-norm vector a sequence to `out`; `rows` is `(tokens, dimension)`.
    fn pool_rows(&self, sequences: &[&[u32]], mut rows: &[f32], out: &mut Vec<f32>) {
        let dimension = self.info.dimension;
        for ids in sequences {
            let (own, rest) = rows.split_at(ids.len() * dimension);
            rows = rest;
            let mut vector = own[..dimension].to_vec();
            if self.pooling == Pooling::Mean {
                for row in own[dimension..].chunks_exact(dimension) {
                    for (sum, x) in vector.iter_mut().zip(row) {
                        *sum += x;
                    }
                }
            }
            let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
            out.extend(vector.iter().map(|x| x / norm));
        }
    }

    fn error(&self, reason: String) -> EncodeError {
        EncodeError { encoder: self.info.name.clone(), reason }
    }
}

impl Encoder for SentenceEncoder {
    fn info(&self) -> &EncoderInfo {
        &self.info
    }

    fn encode(&self, texts: &[&str]) -> Result<Embeddings, EncodeError> {
        self.threads.run(|| self.encode_here(texts)).map_err(|reason| self.error(reason))?
    }
}

fn read_config(path: &Path) -> Result<BertConfig, LoadError> {
    let error = |reason: String| LoadError::Config { path: path.to_owned(), reason };
    let raw = std::fs::read(path).map_err(|reason| error(reason.to_string()))?;
    let config: BertConfig =
        serde_json::from_slice(&raw).map_err(|reason| error(reason.to_string()))?;
    config.unsupported().map_or(Ok(config), |reason| Err(error(reason)))
}

/// Cuts `sequences` into runs of at most [`MAX_TOKENS_A_PASS`] tokens, one sequence at least.
fn passes(sequences: &[Vec<u32>]) -> impl Iterator<Item = &[Vec<u32>]> {
    let mut rest = sequences;
    std::iter::from_fn(move || {
        let mut tokens = 0;
        let fitting = rest
            .iter()
            .take_while(|ids| {
                tokens += ids.len();
                tokens <= MAX_TOKENS_A_PASS
            })
            .count();
        let (pass, later) = rest.split_at(fitting.max(1).min(rest.len()));
        rest = later;
        (!pass.is_empty()).then_some(pass)
    })
}

/// candle's errors carry a backtrace below the first line.
fn one_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Thread pools of one thread each, made on demand and kept.
///
/// candle asks `gemm` for as many threads as the machine has cores, whatever pool it runs in;
/// `gemm` then fans out over the *current* rayon pool. Inside a pool of one thread that fan-out
/// stays on that thread. One pool a concurrent caller keeps callers independent.
#[derive(Default)]
struct SingleThreads {
    idle: Mutex<Vec<rayon::ThreadPool>>,
}

impl SingleThreads {
    fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, String> {
        if rayon::current_thread_index().is_some() && rayon::current_num_threads() == 1 {
            return Ok(work());
        }
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let pool = match idle {
            Some(pool) => pool,
            None => rayon::ThreadPoolBuilder::new()
                .num_threads(1)
                .thread_name(|_| "kefu-encode".to_owned())
                .build()
                .map_err(|error| format!("cannot start a thread: {error}"))?,
        };
        let result = pool.install(work);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(pool);
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> SentenceEncoder {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-bert");
        SentenceEncoder::load(&spec(dir)).unwrap()
    }

    fn spec(dir: PathBuf) -> ModelSpec {
        ModelSpec {
            name: "tiny".to_owned(),
            dir,
            sha256: String::new(),
            pooling: Pooling::Mean,
            query_prefix: String::new(),
            max_tokens: 32,
            tuned: false,
        }
    }

    #[derive(Deserialize)]
    struct Reference {
        text: String,
        ids: Vec<u32>,
        mean: Vec<f32>,
        cls: Vec<f32>,
    }

    fn reference() -> Vec<Reference> {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-bert/expected.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    fn distance(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn ids_and_vectors_follow_the_numpy_reference() {
        let mut encoder = tiny();
        for pooling in [Pooling::Mean, Pooling::Cls] {
            encoder.pooling = pooling;
            for row in reference() {
                assert_eq!(encoder.token_ids(&row.text).unwrap(), row.ids, "{}", row.text);
                let vector = encoder.encode(&[&row.text]).unwrap();
                let expected = if pooling == Pooling::Mean { &row.mean } else { &row.cls };
                let off = distance(vector.row(0), expected);
                assert!(off < 2e-5, "{pooling:?} {}: {off}", row.text);
            }
        }
    }

    #[test]
    fn batched_equals_single_also_across_passes() {
        let encoder = tiny();
        let long = "我的快递怎么还没到 ".repeat(4);
        let texts: Vec<&str> = ["", "退款", "ab ba", &long].into_iter().cycle().take(600).collect();
        let batch = encoder.encode(&texts).unwrap();
        assert_eq!(batch.len(), texts.len());
        for (text, row) in
            texts.iter().zip(batch.rows()).take(8).chain(texts.iter().zip(batch.rows()).skip(590))
        {
            let single = encoder.encode(&[text]).unwrap();
            assert!(distance(single.row(0), row) < 1e-5, "{text}");
            assert!((row.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
        }
        assert!(encoder.encode(&[]).unwrap().is_empty());
    }

    #[test]
    fn passes_are_bounded_and_lose_nothing() {
        let sequences: Vec<Vec<u32>> =
            [10, 4_000, 90, 5_000, 1, 1].iter().map(|length| vec![0; *length]).collect();
        let counts: Vec<usize> = passes(&sequences).map(<[_]>::len).collect();
        assert_eq!(counts, [2, 1, 1, 2]);
    }

    #[test]
    fn a_call_stays_on_one_thread() {
        let threads = SingleThreads::default();
        let (inside, count) =
            threads.run(|| (std::thread::current().id(), rayon::current_num_threads())).unwrap();
        assert_eq!(count, 1);
        let nested = threads.run(|| {
            let outer = std::thread::current().id();
            let spread =
                rayon::join(|| std::thread::current().id(), || std::thread::current().id());
            let again = threads.run(|| std::thread::current().id()).unwrap();
            [spread.0, spread.1, again].iter().all(|id| *id == outer) && outer == inside
        });
        assert!(nested.unwrap());
    }

    #[test]
    fn damaged_folders_are_refused_in_one_line() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-bert");
        let folder = tempfile::tempdir().unwrap();
        let names = ["config.json", "tokenizer.json", "model.safetensors"];
        let restore = || {
            for name in names {
                std::fs::copy(fixture.join(name), folder.path().join(name)).unwrap();
            }
        };
        for name in names {
            restore();
            let whole = std::fs::read(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name), &whole[..whole.len() / 2]).unwrap();
            let Err(error) = SentenceEncoder::load(&spec(folder.path().to_owned())) else {
                panic!("{name} loaded")
            };
            let message = error.to_string();
            assert!(message.contains(name) && message.lines().count() == 1, "{message}");
        }
        restore();
        let config = std::fs::read_to_string(fixture.join("config.json")).unwrap();
        let other = config.replace("\"gelu\"", "\"silu\"");
        std::fs::write(folder.path().join("config.json"), other).unwrap();
        let error = SentenceEncoder::load(&spec(folder.path().to_owned())).err().unwrap();
        assert!(error.to_string().contains("only gelu is supported"), "{error}");
    }
}
