//! Yes and no by meaning, with an encoder: fits the dialogue's classifier on its prototypes.
//!
//! The server does so once for each encoder; the edges embed a message as everywhere and ask.

use crate::dialogue::consent::{Consent, PROTOTYPES};
use crate::dialogue::meaning::Meaning;
use crate::encoder::{EncodeError, Encoder};
use crate::intent::normalize::normalize;

/// Fits on what `encoder` makes of the prototypes; none when it cannot tell them apart.
///
/// # Errors
/// When the encoder fails.
pub fn fit(encoder: &dyn Encoder) -> Result<Option<Meaning>, EncodeError> {
    let rows =
        || PROTOTYPES.iter().flat_map(|(means, texts)| texts.iter().map(|text| (*means, *text)));
    let texts: Vec<String> = rows().map(|(_, text)| normalize(text).text().to_owned()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let embedded = encoder.encode(&texts)?;
    let means = rows().map(|(means, _)| means);
    let rows: Vec<(Consent, &[f32])> = means.zip(embedded.rows()).collect();
    Ok(Meaning::fit(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::{Embeddings, EncoderInfo};
    use crate::intent::whitening::normalize_length;

    /// Pairs of characters, counted: texts that share many lie close together.
    struct Pairs(EncoderInfo);

    impl Encoder for Pairs {
        fn info(&self) -> &EncoderInfo {
            &self.0
        }

        fn encode(&self, texts: &[&str]) -> Result<Embeddings, EncodeError> {
            let width = self.0.dimension;
            let row = |text: &&str| {
                let mut row = vec![0.0; width];
                let chars: Vec<char> = text.chars().collect();
                for pair in chars.windows(2) {
                    row[(pair[0] as usize * 31 + pair[1] as usize) % width] += 1.0;
                }
                normalize_length(&mut row);
                row
            };
            Ok(Embeddings::new(width, texts.iter().flat_map(row).collect()))
        }
    }

    #[test]
    fn a_weak_encoder_asks_rather_than_acts() {
        let encoder = Pairs(EncoderInfo {
            name: "pairs".into(),
            sha256: "00".into(),
            dimension: 499,
            max_tokens: 64,
            tuned: false,
        });
        let meaning = fit(&encoder).unwrap().expect("the prototypes can be told apart");
        for (means, texts) in PROTOTYPES {
            let embedded = encoder.encode(texts).unwrap();
            let read = |one| embedded.rows().filter(|row| meaning.of(row) == one).count();
            assert!(read(*means) > 5, "{means:?} is told");
            assert!(*means == Consent::Yes || read(Consent::Yes) == 0, "{means:?} is no yes");
        }
    }
}
