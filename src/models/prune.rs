//! Cuts a multilingual vocabulary down to Chinese and English.
//!
//! A piece stays when all its characters are of the scripts Latin, Han, Common or Inherited
//! (Unicode script property), so accented words, digits, punctuation and emoji stay as well.
//! Pieces keep their order and their vectors; only ids change. Text in other scripts becomes
//! unknown tokens. Pure functions over data.

use serde_json::Value;
use unicode_script::{Script, UnicodeScript};

/// SentencePiece's mark for a space; its script is Common, but that is not why it stays.
const META_SPACE: char = '▁';

/// Which ids of a vocabulary stay, in order: the new id is the position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// Old ids, ascending.
    pub(super) ids: Vec<u32>,
    /// Pieces before pruning.
    pub(super) of: usize,
}

impl Kept {
    /// Keeps every one of `count` pieces.
    pub(super) fn all(count: usize) -> Self {
        Self { ids: (0..count as u32).collect(), of: count }
    }

    /// The new id of `old`, if it stayed.
    pub(super) fn new_id(&self, old: u64) -> Option<usize> {
        let old = u32::try_from(old).ok()?;
        self.ids.binary_search(&old).ok()
    }
}

/// Prunes the Unigram vocabulary of a `tokenizer.json` in place, special tokens excepted, and
/// moves every id in it along.
///
/// # Errors
/// What in the JSON does not look like a tokenizer with a Unigram model.
pub(super) fn prune_tokenizer(json: &mut Value) -> Result<Kept, String> {
    let special = special_names(json);
    let vocab = json
        .pointer_mut("/model/vocab")
        .and_then(Value::as_array_mut)
        .ok_or("it has no Unigram vocabulary")?;
    let of = vocab.len();
    let mut ids = Vec::with_capacity(of);
    for (id, entry) in vocab.iter().enumerate() {
        let piece =
            entry.get(0).and_then(Value::as_str).ok_or("a vocabulary entry has no piece")?;
        if is_chinese_or_english(piece) || special.iter().any(|name| name == piece) {
            ids.push(u32::try_from(id).map_err(|_| "the vocabulary is too large")?);
        }
    }
    let kept = Kept { ids, of };
    let mut id = 0;
    vocab.retain(|_| {
        id += 1;
        kept.new_id(id - 1).is_some()
    });
    renumber(json, &kept)?;
    Ok(kept)
}

/// True when all characters are of the scripts Latin, Han, Common or Inherited.
pub(super) fn is_chinese_or_english(piece: &str) -> bool {
    piece.chars().all(|c| {
        let script = c.script();
        c == META_SPACE
            || matches!(script, Script::Latin | Script::Han | Script::Common | Script::Inherited)
    })
}

fn special_names(json: &Value) -> Vec<String> {
    let added = json.get("added_tokens").and_then(Value::as_array);
    added
        .into_iter()
        .flatten()
        .filter_map(|token| token.get("content")?.as_str().map(str::to_owned))
        .collect()
}

/// Moves the ids outside the vocabulary: unknown id, added tokens, post-processor, padding.
fn renumber(json: &mut Value, kept: &Kept) -> Result<(), String> {
    let mut places: Vec<&mut Value> = Vec::new();
    let Value::Object(root) = json else { return Err("it is not an object".to_owned()) };
    for (key, value) in root {
        match key.as_str() {
            "model" => places.extend(value.get_mut("unk_id")),
            "padding" => places.extend(value.get_mut("pad_id")),
            "added_tokens" => {
                let tokens = value.as_array_mut().into_iter().flatten();
                places.extend(tokens.filter_map(|token| token.get_mut("id")));
            }
            "post_processor" => places.extend(post_processor_ids(value)),
            _ => {}
        }
    }
    for place in places {
        if let Some(old) = place.as_u64() {
            let new =
                kept.new_id(old).ok_or(format!("special id {old} is not in the vocabulary"))?;
            *place = Value::from(new);
        }
    }
    Ok(())
}

/// Ids in a post-processor: `TemplateProcessing` has lists of them, `RobertaProcessing` and
/// `BertProcessing` have `[token, id]` pairs.
fn post_processor_ids(value: &mut Value) -> Vec<&mut Value> {
    let mut places = Vec::new();
    let Value::Object(fields) = value else { return places };
    for (key, field) in fields {
        match (key.as_str(), field) {
            ("sep" | "cls", pair) => places.extend(pair.get_mut(1)),
            ("special_tokens", Value::Object(tokens)) => {
                for token in tokens.values_mut() {
                    let ids = token.get_mut("ids").and_then(Value::as_array_mut);
                    places.extend(ids.into_iter().flatten());
                }
            }
            ("processors", Value::Array(list)) => {
                places.extend(list.iter_mut().flat_map(post_processor_ids));
            }
            _ => {}
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn scripts_decide() {
        let rows = [
            ("▁退款", true),
            ("Café", true),
            ("½", true),
            ("e\u{301}", true),
            ("😀", true),
            ("▁", true),
            ("привет", false),
            ("かな", false),
            ("韓국", false),
            ("αβ", false),
            ("a\u{627}", false),
        ];
        for (piece, expected) in rows {
            assert_eq!(is_chinese_or_english(piece), expected, "{piece}");
        }
    }

    fn tokenizer(vocab: &[&str]) -> Value {
        let vocab: Vec<Value> = vocab.iter().map(|piece| json!([piece, -1.0])).collect();
        let last = vocab.len() - 1;
        json!({"added_tokens": [{"id": 0, "content": "<s>"}, {"id": last, "content": "ж"}],
            "padding": null,
            "post_processor": {"type": "TemplateProcessing",
                "special_tokens": {"<s>": {"ids": [0]}, "ж": {"ids": [last]}}},
            "model": {"type": "Unigram", "unk_id": 2, "vocab": vocab}})
    }

    #[test]
    fn every_id_moves_along_and_special_tokens_stay() {
        let mut json = tokenizer(&["<s>", "я", "<unk>", "かな", "退款", "ж"]);
        let kept = prune_tokenizer(&mut json).unwrap();
        assert_eq!(kept, Kept { ids: vec![0, 2, 4, 5], of: 6 });
        assert_eq!(
            json["model"]["vocab"],
            json!([["<s>", -1.0], ["<unk>", -1.0], ["退款", -1.0], ["ж", -1.0]])
        );
        assert_eq!(json["model"]["unk_id"], 1);
        assert_eq!(json["added_tokens"][1]["id"], 3);
        assert_eq!(json["post_processor"]["special_tokens"]["ж"]["ids"], json!([3]));
        let mut pairs = json!({"sep": ["</s>", 2], "cls": ["<s>", 0]});
        assert_eq!(post_processor_ids(&mut pairs).len(), 2);
    }

    #[test]
    fn other_files_are_refused() {
        assert!(prune_tokenizer(&mut json!([])).is_err());
        assert!(prune_tokenizer(&mut json!({"model": {"vocab": {"a": 0}}})).is_err());
        let mut json = tokenizer(&["<s>", "a", "я", "ж"]);
        let message = prune_tokenizer(&mut json).unwrap_err();
        assert_eq!(message, "special id 2 is not in the vocabulary");
    }

    proptest! {
        #[test]
        fn order_and_pieces_survive(pieces in proptest::collection::vec("[a-c退款яの]{1,3}", 1..40)) {
            let mut all = vec!["<s>", "x", "<unk>"];
            all.extend(pieces.iter().map(String::as_str));
            all.push("ж");
            let mut json = tokenizer(&all);
            let kept = prune_tokenizer(&mut json).unwrap();
            let vocab = json["model"]["vocab"].as_array().unwrap();
            prop_assert_eq!(vocab.len(), kept.ids.len());
            prop_assert!(kept.ids.is_sorted());
            for (entry, old) in vocab.iter().zip(&kept.ids) {
                prop_assert_eq!(entry[0].as_str().unwrap(), all[*old as usize]);
            }
        }
    }
}
