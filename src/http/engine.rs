//! What the routes ask: the understander, or a canned one under test.
//!
//! A seam and no more; with it the edge is tested without a model.

use std::sync::Arc;

use crate::intent::answer::Answer;
use crate::intent::knowledge::KnowledgeBase;
use crate::shadow::{ShadowCounts, ShadowReport};
use crate::understand::{Answered, AskOptions, ModelSummary, UnderstandError, Understander};

/// A handle on the engine; cheap to clone.
#[derive(Clone)]
pub struct Engine(Kind);

#[derive(Clone)]
enum Kind {
    Live(Arc<Understander>),
    #[cfg(test)]
    Canned(Arc<super::tests::Canned>),
}

impl From<Arc<Understander>> for Engine {
    fn from(understander: Arc<Understander>) -> Self {
        Self(Kind::Live(understander))
    }
}

#[cfg(test)]
impl From<super::tests::Canned> for Engine {
    fn from(canned: super::tests::Canned) -> Self {
        Self(Kind::Canned(Arc::new(canned)))
    }
}

impl Engine {
    pub(super) async fn ask(
        &self,
        text: &str,
        options: AskOptions,
    ) -> Result<Answered<Answer>, UnderstandError> {
        match &self.0 {
            Kind::Live(live) => live.ask(text, options).await,
            #[cfg(test)]
            Kind::Canned(canned) => {
                let answer = canned.ask(text, options)?;
                Ok(Answered { answer, model: self.model(), forms: canned.forms() })
            }
        }
    }

    pub(super) async fn ask_all(
        &self,
        texts: &[String],
        options: AskOptions,
    ) -> Result<Answered<Vec<Answer>>, UnderstandError> {
        match &self.0 {
            Kind::Live(live) => live.ask_all(texts, options).await,
            #[cfg(test)]
            Kind::Canned(canned) => {
                let answer: Result<_, _> =
                    texts.iter().map(|text| canned.ask(text, options)).collect();
                Ok(Answered { answer: answer?, model: self.model(), forms: canned.forms() })
            }
        }
    }

    pub(super) async fn embed(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, UnderstandError> {
        match &self.0 {
            Kind::Live(live) => live.embed(texts).await,
            #[cfg(test)]
            Kind::Canned(canned) => canned.embed(&texts),
        }
    }

    pub(super) fn model(&self) -> Arc<ModelSummary> {
        match &self.0 {
            Kind::Live(live) => live.model(),
            #[cfg(test)]
            Kind::Canned(canned) => Arc::new(canned.model()),
        }
    }

    /// How the model in the shadow differs, if there is one.
    pub(super) fn shadow(&self) -> Option<ShadowReport> {
        match &self.0 {
            Kind::Live(live) => live.shadow(),
            #[cfg(test)]
            Kind::Canned(_) => None,
        }
    }

    /// What all models in the shadow said since the start.
    pub(super) fn shadow_counts(&self) -> ShadowCounts {
        match &self.0 {
            Kind::Live(live) => live.shadow_counts(),
            #[cfg(test)]
            Kind::Canned(_) => ShadowCounts::default(),
        }
    }

    /// What the model in use was taught.
    pub(super) fn with_knowledge<T>(&self, look: impl FnOnce(&KnowledgeBase) -> T) -> T {
        match &self.0 {
            Kind::Live(live) => look(&live.knowledge()),
            #[cfg(test)]
            Kind::Canned(canned) => look(&canned.knowledge()),
        }
    }

    pub(super) fn queued(&self) -> usize {
        match &self.0 {
            Kind::Live(live) => live.queued(),
            #[cfg(test)]
            Kind::Canned(_) => 0,
        }
    }
}
