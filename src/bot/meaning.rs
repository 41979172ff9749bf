//! Whether an answer means yes or no where its words do not say: the dialogue's classifier, fitted
//! with the encoder in use when it is first needed.

use tokio::sync::OnceCell;

use crate::dialogue::consent::{Consent, PROTOTYPES};
use crate::dialogue::meaning::Meaning;
use crate::understand::{UnderstandError, Understander};

/// The classifier; none inside: this encoder cannot tell. An understander keeps its encoder, so
/// that once is enough.
#[derive(Debug, Default)]
pub(super) struct Meanings(OnceCell<Option<Meaning>>);

impl Meanings {
    /// What `text` means; none when that cannot be told.
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
        let Some(meaning) = self.0.get_or_try_init(|| fit(understander)).await? else {
            return Ok(None);
        };
        let embedded = understander.embed(vec![text.to_owned()]).await?;
        Ok(embedded.first().map(|row| meaning.of(row)))
    }
}

/// Embeds the prototypes as any message, in the encoder's own threads.
async fn fit(understander: &Understander) -> Result<Option<Meaning>, UnderstandError> {
    let rows =
        || PROTOTYPES.iter().flat_map(|(means, texts)| texts.iter().map(|text| (*means, *text)));
    let embedded = understander.embed(rows().map(|(_, text)| text.to_owned()).collect()).await?;
    let means = rows().map(|(means, _)| means);
    let rows: Vec<(Consent, &[f32])> = means.zip(embedded.iter().map(Vec::as_slice)).collect();
    Ok(Meaning::fit(&rows))
}
