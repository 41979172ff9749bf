//! `POST /model/parse`: Rasa's request and answer, so that a caller of Rasa NLU moves here by
//! changing an address.
//!
//! Source: Rasa Open Source 3, HTTP API, "Parse a message". As Rasa's `FallbackClassifier` does,
//! a message that is ambiguous or out of scope gets the intent `nlu_fallback` with the threshold
//! as its confidence, also at the head of the ranking; an empty message gets the intent `null`.
//! Failures have Kefu's own body: callers of Rasa look at the status alone.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AppState;
use super::error::{ApiError, ErrorBody};
use super::json::Json;
use super::review;
use crate::intent::answer::{Answer, Status, Tier};
use crate::intent::entity::{Entity, EntitySource};
use crate::understand::{Answered, AskOptions};

/// Rasa ranks ten intents by default.
const RANKED: usize = 10;
const FALLBACK: &str = "nlu_fallback";

/// Rasa's request. Fields that only Rasa knows (`sender`, `metadata`, …) are ignored.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct ParseRequest {
    /// What the visitor wrote.
    #[schema(example = "where is my parcel")]
    text: String,
    /// Comes back as it was sent.
    message_id: Option<String>,
}

/// Rasa's answer.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct ParseAnswer {
    /// The text as it was sent.
    text: String,
    /// The intent, `nlu_fallback`, or null for an empty message.
    intent: RankedIntent,
    /// The values in the text, in its order.
    entities: Vec<ParsedEntity>,
    /// The most probable intents, at most ten after a fallback.
    intent_ranking: Vec<RankedIntent>,
    /// As it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
}

/// A value in the text.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct ParsedEntity {
    /// Kind of the entity.
    #[schema(example = "phone")]
    entity: String,
    /// One spelling for all ways to write the same.
    #[schema(example = "+8613812345678")]
    value: String,
    /// First character, counted in Unicode scalar values from 0.
    start: usize,
    /// One past the last character.
    end: usize,
    /// Who found it: `KefuBuiltin`, `KefuDictionary` or `KefuRegex`.
    #[schema(example = "KefuBuiltin")]
    extractor: &'static str,
}

impl From<Entity> for ParsedEntity {
    fn from(entity: Entity) -> Self {
        let extractor = match entity.source {
            EntitySource::Builtin => "KefuBuiltin",
            EntitySource::Dictionary => "KefuDictionary",
            EntitySource::Regex => "KefuRegex",
        };
        let Entity { kind, value, start, end, .. } = entity;
        Self { entity: kind.into(), value, start, end, extractor }
    }
}

/// An intent and how probable it is.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct RankedIntent {
    /// Id of the intent.
    name: Option<String>,
    /// 0 to 1.
    confidence: f32,
}

/// What does one text mean, in Rasa's words?
#[utoipa::path(
    post, path = "/model/parse", tag = "drop-in",
    request_body = ParseRequest,
    responses(
        (status = 200, description = "As Rasa answers", body = ParseAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(super) async fn parse(
    State(state): State<AppState>,
    Json(request): Json<ParseRequest>,
) -> Result<axum::Json<ParseAnswer>, ApiError> {
    state.limits.check_text(&request.text, None)?;
    let options = AskOptions { top_k: RANKED, explain: false };
    let Answered { answer, model, .. } = state.engine.ask(&request.text, options).await?;
    state.metrics.classified(&answer);
    review::observe(&state, &request.text, &answer, &model);
    let threshold = model.thresholds.matched;
    Ok(axum::Json(translate(request, answer, threshold)))
}

fn translate(request: ParseRequest, answer: Answer, threshold: f32) -> ParseAnswer {
    let Answer { status, intent, confidence, tier, alternatives, entities, .. } = answer;
    let mut ranking: Vec<_> = alternatives
        .into_iter()
        .map(|known| RankedIntent { name: Some(known.intent), confidence: known.confidence })
        .collect();
    let intent = match (status, tier) {
        (Status::Matched, _) => RankedIntent { name: intent, confidence },
        (_, Tier::None) => RankedIntent { name: None, confidence: 0.0 },
        (Status::Ambiguous | Status::OutOfScope, Tier::Keyword | Tier::Semantic) => {
            let fallback = RankedIntent { name: Some(FALLBACK.to_owned()), confidence: threshold };
            ranking.insert(0, fallback.clone());
            fallback
        }
    };
    ParseAnswer {
        text: request.text,
        intent,
        entities: entities.into_iter().map(ParsedEntity::from).collect(),
        intent_ranking: ranking,
        message_id: request.message_id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::answer::Alternative;
    use crate::intent::knowledge::EntityKind;

    #[test]
    fn as_rasa_answers() {
        let refund = || Alternative { intent: "refund".to_owned(), confidence: 0.4 };
        let rows = [
            ("matched", Status::Matched, Tier::Semantic, Some("refund"), 0.4, 1),
            ("ambiguous", Status::Ambiguous, Tier::Semantic, Some(FALLBACK), 0.7, 2),
            ("out of scope", Status::OutOfScope, Tier::Semantic, Some(FALLBACK), 0.7, 2),
            ("empty", Status::OutOfScope, Tier::None, None, 0.0, 0),
        ];
        for (name, status, tier, intent, confidence, ranked) in rows {
            let answer = Answer {
                status,
                intent: (status == Status::Matched).then(|| "refund".to_owned()),
                confidence: 0.4,
                tier,
                alternatives: if tier == Tier::None { vec![] } else { vec![refund()] },
                candidates: Vec::new(),
                entities: vec![Entity {
                    kind: EntityKind::Custom("courier".to_owned()),
                    text: "SF".to_owned(),
                    start: 3,
                    end: 5,
                    value: "顺丰".to_owned(),
                    source: EntitySource::Dictionary,
                }],
                explanation: None,
            };
            let request = ParseRequest { text: "t".to_owned(), message_id: None };
            let translated = translate(request, answer, 0.7);
            let wanted = RankedIntent { name: intent.map(str::to_owned), confidence };
            assert_eq!(translated.intent, wanted, "{name}");
            let found = ParsedEntity {
                entity: "courier".to_owned(),
                value: "顺丰".to_owned(),
                start: 3,
                end: 5,
                extractor: "KefuDictionary",
            };
            assert_eq!(translated.entities, [found], "{name}");
            assert_eq!(translated.intent_ranking.len(), ranked, "{name}");
            if ranked > 0 {
                assert_eq!(translated.intent_ranking[0], wanted, "{name}");
            }
        }
    }
}
