//! Several encoders as one: their vectors side by side.
//!
//! Built by `crate::provision` for a model that is named `a+b`. What one encoder confuses another may
//! tell apart; the price is the time of all of them.

use sha2::{Digest, Sha256};

use super::{Embeddings, EncodeError, Encoder, EncoderInfo};

/// Encoders whose vectors are put side by side; each has an equal part in every cosine.
pub struct CombinedEncoder {
    info: EncoderInfo,
    parts: Vec<Box<dyn Encoder>>,
}

impl CombinedEncoder {
    /// Combines `parts`, in this order.
    ///
    /// # Panics
    /// Without parts: a bug in the caller.
    pub fn new(parts: Vec<Box<dyn Encoder>>) -> Self {
        let infos: Vec<&EncoderInfo> = parts.iter().map(|part| part.info()).collect();
        let names: Vec<&str> = infos.iter().map(|info| info.name.as_str()).collect();
        let mut hash = Sha256::new();
        infos.iter().for_each(|info| hash.update(format!("{}\n", info.sha256)));
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let info = EncoderInfo {
            name: names.join("+"),
            sha256,
            dimension: infos.iter().map(|info| info.dimension).sum(),
            max_tokens: infos.iter().map(|info| info.max_tokens).min().expect("there are parts"),
            tuned: infos.iter().any(|info| info.tuned),
        };
        Self { info, parts }
    }
}

impl Encoder for CombinedEncoder {
    fn info(&self) -> &EncoderInfo {
        &self.info
    }

    fn encode(&self, texts: &[&str]) -> Result<Embeddings, EncodeError> {
        let encoded: Vec<Embeddings> =
            self.parts.iter().map(|part| part.encode(texts)).collect::<Result<_, _>>()?;
        // Each part has unit length; so has the whole.
        let scale = 1.0 / (self.parts.len() as f32).sqrt();
        let rows =
            (0..texts.len()).flat_map(|row| encoded.iter().flat_map(move |all| all.row(row)));
        Ok(Embeddings::new(self.info.dimension, rows.map(|value| value * scale).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(EncoderInfo, Vec<f32>);

    impl Encoder for Fixed {
        fn info(&self) -> &EncoderInfo {
            &self.0
        }

        fn encode(&self, texts: &[&str]) -> Result<Embeddings, EncodeError> {
            if texts.contains(&"broken") {
                return Err(EncodeError {
                    encoder: self.0.name.clone(),
                    reason: "asked to".into(),
                });
            }
            Ok(Embeddings::new(self.1.len(), self.1.repeat(texts.len())))
        }
    }

    fn fixed(name: &str, vector: &[f32]) -> Box<dyn Encoder> {
        let (name, dimension) = (name.to_owned(), vector.len());
        let info =
            EncoderInfo { sha256: name.clone(), name, dimension, max_tokens: 8, tuned: false };
        Box::new(Fixed(info, vector.to_vec()))
    }

    #[test]
    fn vectors_stand_side_by_side_with_unit_length() {
        let both = CombinedEncoder::new(vec![fixed("a", &[0.6, 0.8]), fixed("b", &[1.0])]);
        assert_eq!((both.info().name.as_str(), both.info().dimension), ("a+b", 3));
        let rows = both.encode(&["x", "y"]).unwrap();
        assert_eq!((rows.len(), rows.row(0)), (2, rows.row(1)));
        let length: f32 = rows.row(0).iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-6);
        assert!(both.encode(&["broken"]).is_err());
    }

    #[test]
    fn order_and_parts_make_the_identity() {
        let of = |parts| CombinedEncoder::new(parts).info().sha256.clone();
        let (a, b) = (|| fixed("a", &[1.0]), || fixed("b", &[1.0]));
        assert_ne!(of(vec![a(), b()]), of(vec![b(), a()]));
        assert_ne!(of(vec![a(), b()]), of(vec![a()]));
    }
}
