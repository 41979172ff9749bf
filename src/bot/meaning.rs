//! Whether an answer means yes or no where its words do not say: by how near it lies to sentences
//! that do.
//!
//! Asked only while a question is open. All vectors are taken from their common centre, since
//! sentences of any meaning lie close together otherwise.

use tokio::sync::OnceCell;

use crate::dialogue::consent::{Consent, PROTOTYPES};
use crate::understand::{UnderstandError, Understander};

/// How near the nearest sentence must be, as a cosine.
const NEAR: f32 = 0.5;
/// How much nearer than any of another meaning.
const AHEAD: f32 = 0.15;

/// Sentences of known meaning, embedded when they are first needed.
#[derive(Debug, Default)]
pub(super) struct Meanings(OnceCell<Space>);

#[derive(Debug)]
struct Space {
    centre: Vec<f32>,
    sentences: Vec<(Consent, Vec<f32>)>,
}

impl Meanings {
    /// What `text` means; none when the encoder does not answer.
    pub(super) async fn of(&self, understander: &Understander, text: &str) -> Option<Consent> {
        self.weigh(understander, text).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot tell whether an answer means yes or no");
            None
        })
    }

    async fn weigh(
        &self,
        understander: &Understander,
        text: &str,
    ) -> Result<Option<Consent>, UnderstandError> {
        let space = self.0.get_or_try_init(|| embed_all(understander)).await?;
        let embedded = understander.embed(vec![text.to_owned()]).await?;
        Ok(embedded.first().map(|vector| space.meaning(vector)))
    }
}

async fn embed_all(understander: &Understander) -> Result<Space, UnderstandError> {
    let texts = PROTOTYPES.iter().map(|(_, text)| (*text).to_owned()).collect();
    let vectors = understander.embed(texts).await?;
    Ok(Space::new(PROTOTYPES.iter().map(|(consent, _)| *consent).zip(vectors)))
}

impl Space {
    fn new(sentences: impl Iterator<Item = (Consent, Vec<f32>)>) -> Self {
        let mut sentences: Vec<_> = sentences.collect();
        let mut centre = vec![0.0; sentences.first().map_or(0, |(_, vector)| vector.len())];
        let share = 1.0 / sentences.len().max(1) as f32;
        for (_, vector) in &sentences {
            centre.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value * share);
        }
        for (_, vector) in &mut sentences {
            *vector = from(&centre, vector);
        }
        Self { centre, sentences }
    }

    fn meaning(&self, vector: &[f32]) -> Consent {
        let vector = from(&self.centre, vector);
        let nearest = |which: &dyn Fn(Consent) -> bool| {
            let of_it = self.sentences.iter().filter(|(consent, _)| which(*consent));
            let cosine = |(_, other): &(Consent, Vec<f32>)| {
                vector.iter().zip(other).map(|(one, other)| one * other).sum::<f32>()
            };
            of_it.map(cosine).fold(-1.0, f32::max)
        };
        for consent in [Consent::Yes, Consent::No] {
            let (near, others) = (nearest(&|one| one == consent), nearest(&|one| one != consent));
            if near >= NEAR && near >= others + AHEAD {
                return consent;
            }
        }
        Consent::Unclear
    }
}

/// The direction from `centre` to `vector`.
fn from(centre: &[f32], vector: &[f32]) -> Vec<f32> {
    let mut way: Vec<f32> = vector.iter().zip(centre).map(|(value, mid)| value - mid).collect();
    let length = way.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        way.iter_mut().for_each(|value| *value /= length);
    }
    way
}
