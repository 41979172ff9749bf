//! `POST /v1/embeddings`: OpenAI's request, answer and error shape, answered by our encoder.
//!
//! Source: OpenAI API reference, "Create embeddings". Any `model` is answered with ours, whose
//! name the answer carries. Fields that we do not know are ignored. `usage` says 0: the port does
//! not count tokens, and a guess would be a lie in a bill. Tokens as input are refused: they mean
//! nothing without OpenAI's own tokenizer.

use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::AppState;
use super::error::{ApiError, ErrorCode};
use super::json::Json;

/// Failures of this path have OpenAI's shape.
pub(super) const PATH: &str = "/v1/embeddings";

/// OpenAI's request.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct EmbeddingsRequest {
    /// A text, or a list of texts.
    #[schema(value_type = EmbeddingsInput)]
    input: Value,
    /// Any name; the answer says which model it was.
    #[expect(dead_code, reason = "accepted, and answered with the one model that there is")]
    model: Option<String>,
    /// How a vector is written; `float` by default.
    encoding_format: Option<EncodingFormat>,
    /// Must be the encoder's own dimension: cutting its vectors makes them worse.
    dimensions: Option<u64>,
}

/// A text, or a list of texts.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "the schema of a field that is read by hand, for better messages")]
pub(super) enum EmbeddingsInput {
    /// One text.
    One(String),
    /// Many texts.
    Many(Vec<String>),
}

/// How a vector is written.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum EncodingFormat {
    /// A list of numbers.
    Float,
    /// Base64 of little-endian 32-bit floats.
    Base64,
}

/// OpenAI's answer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EmbeddingsAnswer {
    /// Always `list`.
    #[schema(example = "list")]
    object: &'static str,
    /// One a text, in order.
    data: Vec<EmbeddingEntry>,
    /// Name of the encoder that answered.
    model: String,
    /// Always zero.
    usage: Usage,
}

/// One vector.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EmbeddingEntry {
    /// Always `embedding`.
    #[schema(example = "embedding")]
    object: &'static str,
    /// Number of the text, from 0.
    index: usize,
    /// Unit-norm.
    embedding: Vector,
}

/// A vector as it was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Vector {
    /// A list of numbers.
    Float(Vec<f32>),
    /// Base64 of little-endian 32-bit floats.
    Base64(String),
}

/// What OpenAI would bill. Not counted here.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// OpenAI's error.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OpenAiError {
    error: OpenAiErrorDetail,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OpenAiErrorDetail {
    message: String,
    /// OpenAI's class of the error.
    #[schema(example = "invalid_request_error")]
    r#type: &'static str,
    /// The field that is wrong.
    param: Option<&'static str>,
    /// The code of Kefu's own table.
    code: ErrorCode,
}

/// The vectors of texts, in OpenAI's words.
#[utoipa::path(
    post, path = "/v1/embeddings", tag = "drop-in",
    request_body = EmbeddingsRequest,
    responses(
        (status = 200, description = "As OpenAI answers", body = EmbeddingsAnswer),
        (status = "4XX", description = "See the table of errors", body = OpenAiError),
        (status = "5XX", description = "See the table of errors", body = OpenAiError),
    )
)]
pub(super) async fn embeddings(
    State(state): State<AppState>,
    Json(request): Json<EmbeddingsRequest>,
) -> Result<axum::Json<EmbeddingsAnswer>, ApiError> {
    let texts = texts(request.input)?;
    state.limits.check_batch(&texts)?;
    let model = state.engine.model();
    if request.dimensions.is_some_and(|wanted| wanted != model.dimension as u64) {
        let message = format!("the encoder has {0} dimensions; send {0} or none", model.dimension);
        return Err(ApiError::invalid_field("dimensions", message));
    }
    let format = request.encoding_format.unwrap_or(EncodingFormat::Float);
    let vectors = state.engine.embed(texts).await?;
    let data = vectors.into_iter().enumerate().map(|(index, vector)| EmbeddingEntry {
        object: "embedding",
        index,
        embedding: Vector::write(vector, format),
    });
    Ok(axum::Json(EmbeddingsAnswer {
        object: "list",
        data: data.collect(),
        model: model.encoder.clone(),
        usage: Usage { prompt_tokens: 0, total_tokens: 0 },
    }))
}

/// OpenAI's shape of a failure.
pub(super) fn error_body(error: &ApiError) -> OpenAiError {
    let status = error.code().row().status;
    let class = match error.code() {
        ErrorCode::RateLimited | ErrorCode::Busy => "rate_limit_error",
        ErrorCode::Unauthorized => "authentication_error",
        _ if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    };
    OpenAiError {
        error: OpenAiErrorDetail {
            message: error.to_string(),
            r#type: class,
            param: error.param(),
            code: error.code(),
        },
    }
}

fn texts(input: Value) -> Result<Vec<String>, ApiError> {
    let wrong = |what: &str| {
        let message = format!("input {what}; send a string or an array of strings");
        Err(ApiError::invalid_field("input", message))
    };
    let items = match input {
        Value::String(text) => return Ok(vec![text]),
        Value::Array(items) => items,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            return wrong("is not text");
        }
    };
    let mut texts = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Value::String(text) => texts.push(text),
            Value::Number(_) | Value::Array(_) => {
                return wrong("holds tokens, which this encoder cannot read");
            }
            Value::Null | Value::Bool(_) | Value::Object(_) => return wrong("is not text"),
        }
    }
    Ok(texts)
}

impl Vector {
    fn write(values: Vec<f32>, format: EncodingFormat) -> Self {
        match format {
            EncodingFormat::Float => Self::Float(values),
            EncodingFormat::Base64 => {
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                Self::Base64(STANDARD.encode(bytes))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn inputs() {
        let rows = [
            ("one", json!("a"), Some(1)),
            ("many", json!(["a", "b"]), Some(2)),
            ("none", json!([]), Some(0)),
            ("tokens", json!([1, 2]), None),
            ("batches of tokens", json!([[1, 2]]), None),
            ("mixed", json!(["a", 1]), None),
            ("null", json!(null), None),
            ("object", json!({"text": "a"}), None),
        ];
        for (name, input, count) in rows {
            let read = texts(input);
            if let Err(error) = &read {
                assert_eq!(error.param(), Some("input"), "{name}");
            }
            assert_eq!(read.ok().map(|texts| texts.len()), count, "{name}");
        }
    }

    #[test]
    fn base64_is_little_endian() {
        let Vector::Base64(text) = Vector::write(vec![1.0, -2.0], EncodingFormat::Base64) else {
            panic!("asked for base64");
        };
        assert_eq!(text, "AACAPwAAAMA=");
    }
}
