//! Sessions over HTTP: a POST begins one, POSTs feed it, SSE or long-poll read it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use kefu_proto::CloseCode;

use super::super::error::{ApiError, ErrorCode, accepted, no_content};
use super::super::json::Raw;
use super::super::query::{PathId, queried};
use super::{From, Open};
use crate::chat::refusal::Refusal;
use crate::transport::{Door, Encoded, Format, HttpSession, News, Numbered, Reader, Seen, Wire};

/// What binary frames are called as a body.
const FRAMES: &str = "application/x-kefu-frames";
/// Longest wait of a poll.
const MAX_WAIT_MS: u64 = 25_000;
/// A stream without news says so, so that proxies keep it open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(in super::super) async fn begin(
    from: From,
    Open(door): Open,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response, ApiError> {
    let format = format(&headers)?;
    let bodies = split(format, &body)?;
    let [hello] = &bodies[..] else {
        let message = "the body is one frame, a Hello";
        return Err(ApiError::new(ErrorCode::MalformedFrame, message));
    };
    let welcome = door.begin(Wire::new(format), hello, from.caller, from.address).await?;
    Ok(match welcome {
        Encoded::Json(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Encoded::Binary(bytes) => {
            let mut body = Vec::with_capacity(bytes.len() + 5);
            prost::encoding::encode_varint(bytes.len() as u64, &mut body);
            body.extend(bytes);
            ([(header::CONTENT_TYPE, FRAMES)], body).into_response()
        }
    })
}

pub(in super::super) async fn frames(
    Open(door): Open,
    PathId(session): PathId,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response, ApiError> {
    let session = door.session(&session)?;
    let format = format(&headers)?;
    let frames = split(format, &body)?;
    if format != session.format() {
        let message = "the session speaks the other format; the Hello's Content-Type decides";
        return Err(ApiError::new(ErrorCode::MalformedFrame, message));
    }
    door.feed(&session, frames).await?;
    Ok(accepted())
}

pub(in super::super) async fn end(
    Open(door): Open,
    PathId(session): PathId,
) -> Result<Response, ApiError> {
    let session = door.session(&session)?;
    door.finish(&session, CloseCode::Bye);
    Ok(no_content())
}

/// How a poll asks.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Poll {
    #[serde(default)]
    after: u64,
    #[serde(default)]
    wait_ms: u64,
}

pub(in super::super) async fn poll(
    Open(door): Open,
    PathId(session): PathId,
    query: Result<Query<Poll>, QueryRejection>,
) -> Result<Response, ApiError> {
    let poll = queried(query)?;
    let session = door.session(&session)?;
    let reader = session.read();
    let wait = Duration::from_millis(poll.wait_ms.min(MAX_WAIT_MS));
    let News { frames, end } =
        door.news(&session, reader, Seen::confirmed(poll.after), wait).await?;
    let last_id = frames.last().map_or(poll.after, |frame| frame.id);
    let mut entries: Vec<Value> = frames.iter().map(entry).collect();
    entries.extend(end.map(|end| json!({ "id": last_id + 1, "close": close(end) })));
    Ok(axum::Json(entries).into_response())
}

fn entry(Numbered { id, frame }: &Numbered) -> Value {
    let frame = match frame {
        Encoded::Json(text) => serde_json::from_str(text).expect("we wrote this JSON"),
        Encoded::Binary(bytes) => Value::String(STANDARD.encode(bytes)),
    };
    json!({ "id": id, "frame": frame })
}

fn close(end: CloseCode) -> Value {
    json!({ "code": end.number(), "reason": end.info().name })
}

pub(in super::super) async fn events(
    Open(door): Open,
    PathId(session): PathId,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let session = door.session(&session)?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let reader = session.read();
    let after = last.unwrap_or(0);
    let mut reading = Reading { door, session, reader, after, ready: Vec::new(), over: false };
    // Frames that are gone are a 404, which a stream that has begun could not say.
    let news = reading.news(Duration::ZERO).await?;
    reading.take(&news);
    let events = stream::unfold(reading, |mut reading| async {
        let event = reading.next().await?;
        Some((Ok(event), reading))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// A stream on its way.
struct Reading {
    door: Arc<Door>,
    session: Arc<HttpSession>,
    reader: Reader,
    after: u64,
    /// What is to be sent, the next one last.
    ready: Vec<Event>,
    over: bool,
}

impl Reading {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop() {
                return Some(event);
            }
            if self.over || !self.session.is_read_by(self.reader) {
                return None;
            }
            // A stream that lives counts as somebody who reads.
            let news = self.news(KEEP_ALIVE).await.ok()?;
            self.take(&news);
        }
    }

    async fn news(&self, wait: Duration) -> Result<News, Refusal> {
        self.door.news(&self.session, self.reader, Seen::sent(self.after), wait).await
    }

    fn take(&mut self, News { frames, end }: &News) {
        self.over = end.is_some();
        self.after = frames.last().map_or(self.after, |frame| frame.id);
        let closing = end.map(|end| Event::default().event("close").data(close(end).to_string()));
        self.ready.extend(closing);
        self.ready.extend(frames.iter().rev().map(event));
    }
}

fn event(Numbered { id, frame }: &Numbered) -> Event {
    let data = match frame {
        Encoded::Json(text) => text.clone(),
        Encoded::Binary(bytes) => STANDARD.encode(bytes),
    };
    Event::default().id(id.to_string()).data(data)
}

fn format(headers: &HeaderMap) -> Result<Format, ApiError> {
    let named = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let named = named.map(|named| named.split(';').next().unwrap_or(named).trim());
    match named {
        Some("application/json") => Ok(Format::Json),
        Some(FRAMES) => Ok(Format::Binary),
        _ => {
            let message = format!("send Content-Type: application/json, or {FRAMES}");
            Err(ApiError::new(ErrorCode::UnsupportedMediaType, message))
        }
    }
}

/// The frames of a body.
fn split(format: Format, body: &[u8]) -> Result<Vec<&[u8]>, ApiError> {
    let malformed = |message: &str| ApiError::new(ErrorCode::MalformedFrame, message);
    match format {
        Format::Json if body.trim_ascii_start().starts_with(b"[") => {
            let frames: Vec<&RawValue> = serde_json::from_slice(body)
                .map_err(|error| malformed(&format!("this is no array of frames: {error}")))?;
            Ok(frames.into_iter().map(|frame| frame.get().as_bytes()).collect())
        }
        Format::Json => Ok(vec![body]),
        Format::Binary => {
            let (mut rest, mut frames) = (body, Vec::new());
            while !rest.is_empty() {
                let length = prost::encoding::decode_varint(&mut rest);
                let length = length.ok().and_then(|length| usize::try_from(length).ok());
                let cut = length.filter(|length| *length <= rest.len());
                let cut = cut.ok_or_else(|| malformed("a frame is shorter than it says"))?;
                let (frame, behind) = rest.split_at(cut);
                frames.push(frame);
                rest = behind;
            }
            Ok(frames)
        }
    }
}
