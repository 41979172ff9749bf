//! Whether an answer means yes or no where its words do not say, by the encoder in use.
//!
//! Asked only while a question is open. The classifier is the dialogue's; it is fitted when it is
//! first needed, on the encoder's threads.

use tokio::sync::OnceCell;

use crate::dialogue::consent::{Consent, prototypes};
use crate::dialogue::meaning::Meaning;
use crate::understand::{UnderstandError, Understander};

/// The classifier; none inside when the encoder cannot tell the prototypes apart.
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
        Ok(embedded.first().map(|vector| meaning.of(vector)))
    }
}

async fn fit(understander: &Understander) -> Result<Option<Meaning>, UnderstandError> {
    let vectors = understander.embed(prototypes().map(|(_, text)| text.to_owned()).collect());
    let vectors = vectors.await?;
    let rows: Vec<_> =
        prototypes().zip(&vectors).map(|((means, _), vector)| (means, &vector[..])).collect();
    Ok(Meaning::fit(&rows))
}
