//! Text to token ids, by Hugging Face's `tokenizers`.
//!
//! Applies the query prefix and the length limit, and makes sure that nothing a visitor types can
//! become a special token. Called by [`super::sentence`] only.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokenizers::models::unigram::Unigram;
use tokenizers::utils::truncation::TruncationParams;
use tokenizers::{
    DecoderWrapper, Model, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, Tokenizer,
    TokenizerImpl,
};

use super::unigram::CompactUnigram;

/// `tokenizer.json` could not be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {path}: {reason}; delete its folder and pull the model again", path = path.display())]
pub struct TokenizerError {
    path: PathBuf,
    reason: String,
}

/// A model's tokenizer with its prefix and its limit.
pub(super) struct TextTokenizer {
    inner: Inner,
    prefix: String,
}

/// The library's pipeline around a model.
type Pipeline<M> =
    TokenizerImpl<M, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

enum Inner {
    Library(Box<Tokenizer>),
    Compact(Box<Pipeline<CompactUnigram>>),
}

impl TextTokenizer {
    /// Loads a `tokenizer.json`; sequences get at most `max_tokens` ids, special ones included.
    ///
    /// # Errors
    /// [`TokenizerError`] when the file can't be read or is not a tokenizer.
    pub(super) fn load(
        path: &Path,
        prefix: &str,
        max_tokens: usize,
    ) -> Result<Self, TokenizerError> {
        let error = |reason: String| TokenizerError { path: path.to_owned(), reason };
        let raw = std::fs::read(path).map_err(|reason| error(reason.to_string()))?;
        let json = serde_json::from_slice(&raw).map_err(|reason| error(reason.to_string()))?;
        drop(raw);
        Self::from_json(json, prefix, max_tokens).map_err(error)
    }

    fn from_json(mut json: Value, prefix: &str, max_tokens: usize) -> Result<Self, String> {
        let special = forget_added_tokens(&mut json);
        let unigram = take_unigram(&mut json, &special)?;
        let mut library: Tokenizer = serde_json::from_value(json).map_err(|e| e.to_string())?;
        let mut inner = match unigram {
            None => Inner::Library(Box::new(library)),
            Some(ReadUnigram::Compact(model)) => {
                let mut pipeline = Pipeline::new(model);
                pipeline
                    .with_normalizer(library.get_normalizer().cloned())
                    .map_err(|e| e.to_string())?
                    .with_pre_tokenizer(library.get_pre_tokenizer().cloned())
                    .with_post_processor(library.get_post_processor().cloned());
                Inner::Compact(Box::new(pipeline))
            }
            Some(ReadUnigram::Library(model)) => {
                library.with_model(*model);
                Inner::Library(Box::new(library))
            }
        };
        match &mut inner {
            Inner::Library(pipeline) => limit(pipeline, max_tokens)?,
            Inner::Compact(pipeline) => limit(pipeline, max_tokens)?,
        }
        Ok(Self { inner, prefix: prefix.to_owned() })
    }

    /// Ids of the prefixed, trimmed `text` with the model's special tokens around.
    ///
    /// # Errors
    /// The library's reason; no text is known to cause one.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        // A space at the end would become a token of its own.
        let text = format!("{}{}", self.prefix, text.trim());
        let encoding = match &self.inner {
            Inner::Library(pipeline) => pipeline.encode_fast(text, true),
            Inner::Compact(pipeline) => pipeline.encode_fast(text, true),
        };
        Ok(encoding.map_err(|error| error.to_string())?.get_ids().to_vec())
    }
}

/// No padding, and sequences of at most `max_tokens`.
fn limit<M: Model>(pipeline: &mut Pipeline<M>, max_tokens: usize) -> Result<(), String> {
    let truncation = TruncationParams { max_length: max_tokens, ..TruncationParams::default() };
    let limited = pipeline.with_padding(None).with_truncation(Some(truncation));
    limited.map(drop).map_err(|error| error.to_string())
}

enum ReadUnigram {
    Compact(CompactUnigram),
    /// With byte fallback, which only the library has.
    Library(Box<Unigram>),
}

/// Empties the list of added tokens, which the library looks for in the raw text, and returns their
/// texts. The post-processor puts special tokens in by id, so ids stay what they were.
fn forget_added_tokens(json: &mut Value) -> Vec<String> {
    let Some(added) = json.get_mut("added_tokens") else { return Vec::new() };
    let added = std::mem::replace(added, Value::Array(Vec::new()));
    let tokens = added.as_array().into_iter().flatten();
    tokens.filter_map(|token| token.get("content")?.as_str().map(str::to_owned)).collect()
}

/// Takes a Unigram model out of the JSON and leaves a stub; other kinds stay where they are.
///
/// The library would convert its vocabulary twice more on the way. Special pieces, which such a
/// model would find in text (`</s>` is one of its own pieces), get a NUL in front, which no
/// normalised text contains.
fn take_unigram(json: &mut Value, special: &[String]) -> Result<Option<ReadUnigram>, String> {
    if json.pointer("/model/type").and_then(Value::as_str) != Some("Unigram") {
        return Ok(None);
    }
    let stub = serde_json::json!({"type": "Unigram", "unk_id": 0, "vocab": [["?", 0.0]]});
    let mut model = std::mem::replace(&mut json["model"], stub);
    let Value::Array(vocab) = model["vocab"].take() else {
        return Err("its Unigram model has no vocabulary".to_owned());
    };
    let mut pieces = Vec::with_capacity(vocab.len());
    for mut entry in vocab {
        let score = entry.get(1).and_then(Value::as_f64);
        let (Some(Value::String(piece)), Some(score)) = (entry.get_mut(0).map(Value::take), score)
        else {
            return Err("its vocabulary has an entry that is not a piece with a score".to_owned());
        };
        pieces.push((if special.contains(&piece) { format!("\0{piece}") } else { piece }, score));
    }
    let unk_id = model["unk_id"].as_u64().and_then(|id| usize::try_from(id).ok());
    let byte_fallback = model["byte_fallback"].as_bool().unwrap_or(false);
    if !byte_fallback && let Some(unknown) = unk_id {
        let model = CompactUnigram::new(&pieces, unknown);
        return model
            .map(ReadUnigram::Compact)
            .map(Some)
            .ok_or("its unk_id is no piece".to_owned());
    }
    let model = Unigram::from(pieces, unk_id, byte_fallback).map_err(|error| error.to_string())?;
    Ok(Some(ReadUnigram::Library(Box::new(model))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// XLM-R's shape: special pieces stand in the Unigram vocabulary itself.
    fn unigram() -> Value {
        let special = |id: u32, content: &str| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true})
        };
        let pieces =
            ["▁", "q", "u", "e", "r", "y", ":", "s", "<", ">", "/", "m", "a", "k", "▁query:"];
        let mut vocab = vec![json!(["<s>", 0.0]), json!(["<pad>", 0.0]), json!(["</s>", 0.0])];
        vocab.push(json!(["<unk>", 0.0]));
        vocab.extend(pieces.iter().map(|piece| json!([piece, -(piece.len() as f64)])));
        vocab.push(json!(["<mask>", 0.0]));
        json!({"version": "1.0", "truncation": null,
            "padding": {"strategy": {"Fixed": 128}, "direction": "Right",
                "pad_to_multiple_of": null, "pad_id": 1, "pad_type_id": 0, "pad_token": "<pad>"},
            "added_tokens": [special(0, "<s>"), special(1, "<pad>"), special(2, "</s>"),
                special(3, "<unk>"), special(19, "<mask>")],
            "normalizer": null,
            "pre_tokenizer": {"type": "Metaspace", "replacement": "▁",
                "prepend_scheme": "always", "split": true},
            "post_processor": {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                    {"Sequence": {"id": "A", "type_id": 0}},
                    {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                    {"Sequence": {"id": "B", "type_id": 0}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]},
                    "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}}},
            "decoder": null,
            "model": {"type": "Unigram", "unk_id": 3, "vocab": vocab, "byte_fallback": false}})
    }

    /// BERT's shape: WordPiece over words split at punctuation.
    fn wordpiece() -> Value {
        json!({"version": "1.0", "truncation": null, "padding": null,
            "added_tokens": [{"id": 2, "content": "[CLS]", "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true}],
            "normalizer": {"type": "BertNormalizer", "clean_text": true,
                "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
            "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": null, "decoder": null,
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[": 3, "]": 4, "cls": 5}}})
    }

    #[test]
    fn special_tokens_in_text_stay_text() {
        let tokenizer = TextTokenizer::from_json(unigram(), "", 64).unwrap();
        for text in ["</s>", "<s>", "<mask>", "a</s>a", "<s><s></s>", "<unk>", "<pad>"] {
            let ids = tokenizer.encode(text).unwrap();
            let inside = &ids[1..ids.len() - 1];
            assert_eq!((ids[0], ids[ids.len() - 1]), (0, 2), "{text}");
            assert!(!inside.iter().any(|id| [0, 1, 2, 19].contains(id)), "{text}: {ids:?}");
        }
        let tokenizer = TextTokenizer::from_json(wordpiece(), "", 64).unwrap();
        assert_eq!(tokenizer.encode("[CLS]").unwrap(), [3, 5, 4]);
    }

    #[test]
    fn padding_is_off_and_long_text_is_cut() {
        let tokenizer = TextTokenizer::from_json(unigram(), "query: ", 8).unwrap();
        assert_eq!(tokenizer.encode("s").unwrap(), [0, 18, 4, 11, 2]);
        let ids = tokenizer.encode(&"s".repeat(100)).unwrap();
        assert_eq!(ids.len(), 8);
        assert_eq!((ids[0], ids[7]), (0, 2));
    }

    #[test]
    fn spaces_around_do_not_count() {
        let tokenizer = TextTokenizer::from_json(unigram(), "query: ", 64).unwrap();
        assert_eq!(tokenizer.encode(" \u{3000}s \n").unwrap(), tokenizer.encode("s").unwrap());
        assert_eq!(tokenizer.encode("").unwrap()[..2], [0, 18]);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{").unwrap();
        let Err(error) = TextTokenizer::load(file.path(), "", 8) else { panic!("it loaded") };
        assert!(error.to_string().starts_with("cannot use"), "{error}");
    }
}
