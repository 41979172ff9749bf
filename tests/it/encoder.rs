//! The default model against vectors and ids of another engine (`fixtures/make_golden_e5.py`).

use std::path::Path;
use std::sync::OnceLock;

use kefu::encoder::{Encoder, SentenceEncoder};
use serde_json::Value;

use crate::models::default_model;

fn encoder() -> &'static SentenceEncoder {
    static ENCODER: OnceLock<SentenceEncoder> = OnceLock::new();
    ENCODER.get_or_init(|| SentenceEncoder::load(&default_model().spec()).unwrap())
}

struct Golden {
    text: String,
    pieces: Vec<String>,
    vector: Vec<f32>,
}

fn golden() -> Vec<Golden> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden_e5.json");
    let rows: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    rows.iter()
        .map(|row| Golden {
            text: row["text"].as_str().unwrap().to_owned(),
            pieces: serde_json::from_value(row["pieces"].clone()).unwrap(),
            vector: halves(row["vector_f16"].as_str().unwrap()),
        })
        .collect()
}

/// Base64 of little-endian f16 values.
fn halves(text: &str) -> Vec<f32> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        bits = bits << 6 | ALPHABET.iter().position(|known| *known == letter).unwrap() as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn vectors_agree_with_the_other_engine() {
    let golden = golden();
    assert_eq!(golden.len(), 40);
    let texts: Vec<&str> = golden.iter().map(|row| row.text.as_str()).collect();
    let embeddings = encoder().encode(&texts).unwrap();
    let mut worst = 1.0_f32;
    for (row, vector) in golden.iter().zip(embeddings.rows()) {
        let cosine = cosine(vector, &row.vector);
        assert!(cosine >= 0.9995, "{}: {cosine}", row.text);
        worst = worst.min(cosine);
    }
    println!("lowest cosine {worst}");
}

#[test]
fn tokens_agree_with_the_other_engine() {
    let path = default_model().path.join("tokenizer.json");
    let json: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let vocab = json["model"]["vocab"].as_array().unwrap();
    for row in golden() {
        let ids = encoder().token_ids(&row.text).unwrap();
        let pieces: Vec<&str> =
            ids.iter().map(|id| vocab[*id as usize][0].as_str().unwrap()).collect();
        assert_eq!(pieces, row.pieces, "{}", row.text);
    }
}

#[test]
fn batched_equals_single_on_the_real_model() {
    let golden = golden();
    let texts: Vec<&str> = golden.iter().step_by(7).map(|row| row.text.as_str()).collect();
    let batch = encoder().encode(&texts).unwrap();
    for (text, row) in texts.iter().zip(batch.rows()) {
        let single = encoder().encode(&[text]).unwrap();
        let off = single.row(0).iter().zip(row).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off < 1e-5, "{text}: {off}");
    }
}

#[test]
fn special_tokens_in_text_stay_text_on_the_real_model() {
    let (bos, eos) = (0, 2);
    for text in ["</s>", "退款<s>退款", "<mask> <pad> <unk>", "</s></s>"] {
        let ids = encoder().token_ids(text).unwrap();
        let (first, inside, last) = (ids[0], &ids[1..ids.len() - 1], ids[ids.len() - 1]);
        assert_eq!((first, last), (bos, eos), "{text}");
        assert!(!inside.iter().any(|id| [0, 1, 2, 131_732].contains(id)), "{text}: {ids:?}");
    }
}

#[test]
fn long_text_is_cut_to_the_models_limit() {
    let text = "我的快递怎么还没到 ".repeat(500);
    assert_eq!(encoder().token_ids(&text).unwrap().len(), 512);
    assert_eq!(encoder().encode(&[&text]).unwrap().len(), 1);
}
