//! `POST /v1/conversations/{id}/messages`: an agent or a service says something.
//!
//! It goes the way of frames, so that what holds for them holds here. An agent speaks as itself; a
//! service speaks as the system, under the name of its app.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Json as Said;
use axum::http::HeaderMap;
use bytes::Bytes;
use kefu_proto::limits::MAX_TEXT_CHARS;
use kefu_proto::v1::{self, User, body::Kind, message::Content};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::auth::Who;
use super::super::chat::Open;
use super::super::error::{ApiError, ErrorBody, ErrorCode};
use super::super::json::Json;
use super::super::query::PathId;
use super::super::trace::TraceId;
use super::visible;
use crate::chat::conversation::Draft;
use crate::chat::id::{ClientMsgId, ConversationId};
use crate::chat::party::{Party, Side};
use crate::chat::refusal::Refusal;
use crate::chat::request::{Asker, Request, Send, digest};
use crate::hub::outbox::{AckOut, Out, OutBody, Outbox};
use crate::hub::slot::{AckTo, Asked};
use crate::hub::{Client, Hub};
use crate::identity::Principal;

/// A commit takes milliseconds; a store that needs longer than this has stopped.
const ACK_WITHIN: Duration = Duration::from_secs(10);
/// Longest `Idempotency-Key`, in bytes.
const MAX_KEY_BYTES: usize = 64;
/// The only request on its outbox.
const REQUEST: u64 = 1;

/// A message.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct SayRequest {
    /// 1 to 4,000 characters.
    #[schema(example = "您的包裹已经发出。")]
    text: String,
    /// Whether only agents see it.
    #[serde(default)]
    note: bool,
}

/// The message is stored.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct SayAnswer {
    /// Name of the conversation.
    conversation: String,
    /// The message's place in it.
    seq: u64,
    /// When it was stored, in milliseconds since 1970.
    at_ms: u64,
    /// Whether it was stored before, under the same `Idempotency-Key`.
    duplicate: bool,
    /// Finds the request in the server's log.
    trace_id: String,
}

/// Say something in a conversation
///
/// With an `Idempotency-Key` (1 to 64 bytes) a retry stores nothing twice; the same key with another text
/// is refused. A key is the sender's own, and good for a week.
#[utoipa::path(
    post, path = "/v1/conversations/{id}/messages", tag = "conversations",
    params(
        ("id" = String, Path, description = "Name of the conversation"),
        ("Idempotency-Key" = Option<String>, Header, description = "Names the message, on every try"),
    ),
    request_body = SayRequest,
    responses(
        (status = 200, description = "It is stored, and on its way to all who follow", body = SayAnswer),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
        (status = "5XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(in super::super) async fn say(
    Who(who): Who,
    Open(door): Open,
    trace: TraceId,
    PathId(id): PathId,
    headers: HeaderMap,
    Json(SayRequest { text, note }): Json<SayRequest>,
) -> Result<Said<SayAnswer>, ApiError> {
    let hub = door.hub();
    let (conversation, ..) = visible(hub, &who, &id).await?;
    let send = checked(conversation, message_id(&headers)?, text, note)?;
    let outbox = Arc::new(Outbox::default());
    match who {
        Principal::Agent { id, name, capacity, .. } => {
            let client = Client {
                user: Party::agent(&id),
                name,
                app: String::new(),
                lang: String::new(),
                device: String::new(),
                capacity,
                outbox: Arc::clone(&outbox),
            };
            hub.serve(&client, REQUEST, Request::Send(send)).await?;
        }
        Principal::Service { app, key } => {
            let name = door.identity().app(&app)?.name.clone();
            let user = User { role: v1::Role::System.into(), id: key, name };
            announce(hub, user, send, &outbox).await?;
        }
        Principal::Visitor { .. } => unreachable!("the layer lets no visitor in"),
    }
    let AckOut { seq, at_ms, duplicate, .. } = acked(&outbox).await?;
    let trace_id = trace.to_string();
    Ok(Said(SayAnswer { conversation: conversation.to_string(), seq, at_ms, duplicate, trace_id }))
}

/// The name of the message: what the caller calls it, or a random one.
fn message_id(headers: &HeaderMap) -> Result<ClientMsgId, ApiError> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(ClientMsgId(rand::random())) };
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        let message = format!("Idempotency-Key has {} bytes; send 1 to {MAX_KEY_BYTES}", key.len());
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    let id = digest(&[b"idempotency-key", key.as_bytes()]);
    Ok(ClientMsgId::parse(&id).expect("a digest has 16 bytes"))
}

/// The message, checked as a frame would be.
fn checked(
    conversation: ConversationId,
    id: ClientMsgId,
    text: String,
    note: bool,
) -> Result<Send, ApiError> {
    let asker = Asker { side: Side::Agent, max_text_chars: MAX_TEXT_CHARS };
    let send = v1::Send {
        conversation: conversation.to_string(),
        client_msg_id: id.0.to_vec().into(),
        text,
        note,
        ..v1::Send::default()
    };
    match asker.read(Kind::Send(send))? {
        Request::Send(send) => Ok(send),
        other => unreachable!("a Send was read as {other:?}"),
    }
}

/// Appends what no device of a visitor or an agent said.
async fn announce(
    hub: &Arc<Hub>,
    sender: User,
    send: Send,
    outbox: &Arc<Outbox>,
) -> Result<(), ApiError> {
    let conversation = send.conversation.ok_or_else(super::unknown)?;
    let slot = hub.conversation(conversation).await?;
    let to = AckTo { outbox: Arc::clone(outbox), request: REQUEST, id: send.id };
    let digest = send.digest();
    let kind = if send.note { v1::Kind::Note } else { v1::Kind::Unspecified };
    let text = v1::Text { text: send.text, kind: kind.into(), ..v1::Text::default() };
    let draft = Draft {
        sender,
        client_msg_id: Some(send.id),
        digest: Bytes::copy_from_slice(&digest),
        content: Content::Text(text),
    };
    let asked = hub.change(&slot, |change| change.ask(to, draft))?;
    let Asked::Stored(seq) = asked else { return Ok(()) };
    let entry = hub.entry(conversation, seq).await?;
    if entry.digest != digest[..] {
        let message = "the Idempotency-Key named another message; make one for each message";
        return Err(ApiError::new(ErrorCode::IdReused, message));
    }
    let (at_ms, log_epoch) = (entry.message.at_ms, hub.log_epoch());
    let ack = AckOut { conversation, id: send.id, seq, at_ms, duplicate: true, log_epoch };
    outbox.push(Out { request: REQUEST, body: OutBody::Ack(ack) });
    Ok(())
}

/// Waits until the message is durable.
async fn acked(outbox: &Outbox) -> Result<AckOut, ApiError> {
    let waited = tokio::time::timeout(ACK_WITHIN, async {
        let mut frames = VecDeque::new();
        loop {
            outbox.ready().await;
            outbox.take(&mut frames);
            for out in frames.drain(..).filter(|out| out.request == REQUEST) {
                match out.body {
                    OutBody::Ack(ack) => return Ok(ack),
                    OutBody::Own(kind) => {
                        if let Kind::Error(error) = *kind {
                            let code = error.code();
                            let v1::Error { message, retry_after_ms, .. } = error;
                            return Err(Refusal { code, message, retry_after_ms });
                        }
                    }
                    OutBody::Shared(_) => {}
                }
            }
        }
    });
    match waited.await {
        Ok(answer) => Ok(answer?),
        Err(_elapsed) => {
            let message = "the store has not answered; try again with the same Idempotency-Key";
            Err(ApiError::new(ErrorCode::Unavailable, message))
        }
    }
}
