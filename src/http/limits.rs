//! How much one request, one address and all of them together may ask.
//!
//! Sizes are checked where the body is read and the texts are parsed; rate and concurrency in
//! `layer`, before either. Every bound is an answer (413, 422, 429), and every bound on memory
//! holds against many addresses too.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::Semaphore;

use super::AppState;
use super::error::{ApiError, ErrorCode};
use crate::identity::{Rate, household};

/// The bounds; `docs/configuration.md` says which flag sets which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body.
    pub max_body_bytes: usize,
    /// Characters (Unicode scalar values) of one text.
    pub max_text_chars: usize,
    /// Texts of one batch.
    pub max_batch: usize,
    /// Requests a second and address; 0: no limit. The burst is twice as much.
    pub rate_per_s: u32,
    /// Requests that may be worked on at once.
    pub max_concurrent: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 1 << 20,
            max_text_chars: 2_000,
            max_batch: 64,
            rate_per_s: 2_000,
            max_concurrent: 1_024,
        }
    }
}

impl Limits {
    /// Checks the size of one text; `at` is its number in a batch.
    ///
    /// # Errors
    /// `text_too_long`.
    pub(super) fn check_text(&self, text: &str, at: Option<usize>) -> Result<(), ApiError> {
        let max = self.max_text_chars;
        // A character has at most four bytes, so most texts need no counting.
        if text.len() <= max || text.chars().count() <= max {
            return Ok(());
        }
        let chars = text.chars().count();
        let which = at.map_or_else(|| "the text".to_owned(), |at| format!("text {at} (from 0)"));
        let message = format!("{which} has {chars} characters; send at most {max}");
        Err(ApiError::new(ErrorCode::TextTooLong, message))
    }

    /// Checks a batch and each of its texts.
    ///
    /// # Errors
    /// `batch_empty`, `batch_too_large`, `text_too_long`.
    pub(super) fn check_batch(&self, texts: &[String]) -> Result<(), ApiError> {
        let max = self.max_batch;
        if texts.is_empty() {
            let message = format!("the batch is empty; send 1 to {max} texts");
            return Err(ApiError::new(ErrorCode::BatchEmpty, message));
        }
        if texts.len() > max {
            let message = format!("the batch has {} texts; send at most {max}", texts.len());
            return Err(ApiError::new(ErrorCode::BatchTooLarge, message));
        }
        texts.iter().enumerate().try_for_each(|(at, text)| self.check_text(text, Some(at)))
    }
}

/// What counts requests across connections.
pub struct Gate {
    /// With how many requests a second, for the message.
    rate: Option<(NonZeroU32, Rate)>,
    slots: Semaphore,
}

impl Gate {
    /// A gate that enforces `limits`.
    pub fn new(limits: &Limits) -> Self {
        Self {
            rate: NonZeroU32::new(limits.rate_per_s).map(|per_s| (per_s, Rate::new(per_s))),
            slots: Semaphore::new(limits.max_concurrent),
        }
    }
}

/// The layer: asks for a slot, and gives it back when the answer is made.
///
/// # Errors
/// `rate_limited` and `busy`, both with a time to wait.
pub(super) async fn layer(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    // Without a peer address (a router under test) there is nothing to count by.
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    if let (Some((per_s, rate)), Some(ConnectInfo(peer))) = (&state.gate.rate, peer) {
        rate.check(&household(peer.ip())).map_err(|wait_ms| {
            let message = format!(
                "this address asks more than {per_s} times a second; wait as `Retry-After` says"
            );
            ApiError::new(ErrorCode::RateLimited, message).retry_after_ms(wait_ms)
        })?;
    }
    let _slot = state.gate.slots.try_acquire().map_err(|_full| {
        let message = "the server works on as many requests as it may; try again shortly";
        ApiError::new(ErrorCode::Busy, message)
    })?;
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let limits = Limits { max_text_chars: 3, max_batch: 2, ..Limits::default() };
        let code = |texts: &[&str]| {
            let texts: Vec<_> = texts.iter().map(|&text| text.to_owned()).collect();
            limits.check_batch(&texts).map_err(|error| error.code())
        };
        assert_eq!(code(&["退款吗", ""]), Ok(()));
        assert_eq!(code(&["退款了吗"]), Err(ErrorCode::TextTooLong));
        assert_eq!(code(&[]), Err(ErrorCode::BatchEmpty));
        assert_eq!(code(&["a", "b", "c"]), Err(ErrorCode::BatchTooLarge));
        let error = limits.check_text("four", Some(7)).unwrap_err();
        assert_eq!(error.to_string(), "text 7 (from 0) has 4 characters; send at most 3");
    }
}
