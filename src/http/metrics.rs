//! What operators count, and `GET /metrics` in the OpenMetrics text format.
//!
//! Labels come from closed sets (routes, methods, statuses), never from what a client sent, so the
//! registry cannot grow without bound. `docs/http.md` lists the names.

mod conversations;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use self::conversations::ConversationMetrics;
use super::AppState;
use super::error::{ApiError, ErrorBody};
use crate::intent::answer::{Answer, Status, Tier};
use crate::reload::ReloadCounts;
use crate::review::desk::Stats;
use crate::review::queue::Counts;
use crate::shadow::ShadowCounts;

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// From a keyword's answer (tens of microseconds) to a full queue.
const BUCKETS_S: [f64; 15] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0,
];

/// The registry and its members; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    classified: Family<AnswerLabels, Counter>,
    queued: Gauge<u64, AtomicU64>,
    model: Family<ModelLabels, Gauge>,
    reloads: Family<OutcomeLabels, Counter>,
    golden: Family<GoldenLabels, Gauge>,
    shadow: Family<OutcomeLabels, Counter>,
    review: ReviewMetrics,
    conversations: ConversationMetrics,
}

/// What the review queue has done and holds.
#[derive(Clone, Default)]
struct ReviewMetrics {
    captured: Family<ReviewLabels, Counter>,
    lost: Family<LostLabels, Counter>,
    entries: Family<EntryLabels, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReviewLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LostLabels {
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EntryLabels {
    status: &'static str,
}

impl ReviewMetrics {
    fn register(&self, registry: &mut Registry) {
        let Self { captured, lost, entries } = self.clone();
        registry.register("review_captured", "Messages stored for review", captured);
        registry.register("review_lost", "Messages not stored, and entries that are gone", lost);
        registry.register("review_entries", "Entries of the review queue", entries);
    }

    fn set(&self, stats: &Stats) {
        for &(reason, count) in &stats.captured {
            raise(&self.captured.get_or_create(&ReviewLabels { reason }), count);
        }
        for (cause, count) in [
            ("full", stats.dropped),
            ("refused", stats.failed),
            ("evicted", stats.evicted),
            ("damaged", stats.lost_lines),
        ] {
            raise(&self.lost.get_or_create(&LostLabels { cause }), count);
        }
        let Counts { open, accepted, dismissed } = stats.entries;
        for (status, count) in [("open", open), ("accepted", accepted), ("dismissed", dismissed)] {
            let gauge = self.entries.get_or_create(&EntryLabels { status });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    status: &'static str,
    tier: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GoldenLabels {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    version: String,
    encoder: String,
}

impl Metrics {
    /// An empty registry with all metrics in it.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("kefu");
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS_S);
        let seconds = Family::new_with_constructor(histogram);
        let (requests, classified) = (Family::default(), Family::default());
        let (queued, model) = (Gauge::default(), Family::default());
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's head to its answer's",
            Unit::Seconds,
            seconds.clone(),
        );
        registry.register("classifications", "Texts understood", classified.clone());
        registry.register("encoder_queue_texts", "Texts that wait now", queued.clone());
        registry.register("model_info", "The model in use", model.clone());
        let reloads = Family::default();
        registry.register("model_reloads", "Ends of reloads", reloads.clone());
        let (golden, shadow) = (Family::default(), Family::default());
        registry.register("golden_sentences", "Golden sentences by their result", golden.clone());
        registry.register("shadow_questions", "What the model in the shadow said", shadow.clone());
        let review = ReviewMetrics::default();
        review.register(&mut registry);
        let conversations = ConversationMetrics::default();
        conversations.register(&mut registry);
        let registry = Arc::new(registry);
        Self {
            registry,
            requests,
            seconds,
            classified,
            queued,
            model,
            reloads,
            golden,
            shadow,
            review,
            conversations,
        }
    }

    /// Counts one answer of the engine.
    pub(super) fn classified(&self, answer: &Answer) {
        let status = match answer.status {
            Status::Matched => "matched",
            Status::Ambiguous => "ambiguous",
            Status::OutOfScope => "out_of_scope",
        };
        let tier = match answer.tier {
            Tier::Keyword => "keyword",
            Tier::Semantic => "semantic",
            Tier::None => "none",
        };
        self.classified.get_or_create(&AnswerLabels { status, tier }).inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The layer: counts and times every request.
pub(super) async fn layer(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("unmatched", MatchedPath::as_str).to_owned();

    let response = next.run(request).await;
    let seconds = started.elapsed().as_secs_f64();
    let metrics = &state.metrics;
    metrics.seconds.get_or_create(&RouteLabels { route: route.clone() }).observe(seconds);
    let labels = RequestLabels { method, route, status: response.status().as_u16() };
    metrics.requests.get_or_create(&labels).inc();
    response
}

/// What is there to count?
#[utoipa::path(
    get, path = "/metrics", tag = "operation",
    responses(
        (status = 200, description = "OpenMetrics text for Prometheus", body = String,
         content_type = "application/openmetrics-text"),
        (status = "4XX", description = "See the table of errors", body = ErrorBody),
    )
)]
pub(super) async fn show(State(state): State<AppState>) -> Result<Response, ApiError> {
    let metrics = &state.metrics;
    metrics.queued.set(state.engine.queued() as u64);
    let model = state.engine.model();
    // A model that was replaced must not go on claiming to be in use.
    metrics.model.clear();
    let labels = ModelLabels { version: model.version.clone(), encoder: model.encoder.clone() };
    metrics.model.get_or_create(&labels).set(1);

    if let Some(keeper) = &state.keeper {
        let ReloadCounts { swapped, refused, golden_lost, rolled_back } = keeper.counts();
        let counts = [
            ("swapped", swapped),
            ("refused", refused),
            ("golden_lost", golden_lost),
            ("rolled_back", rolled_back),
        ];
        catch_up(&metrics.reloads, counts);
        metrics.golden.clear();
        if let Some(report) = keeper.golden() {
            for (result, count) in [("passed", report.passed), ("failed", report.failed)] {
                metrics.golden.get_or_create(&GoldenLabels { result }).set(count as i64);
            }
        }
    }
    let ShadowCounts { left_out, agreed, other_status, other_intent, asked: _ } =
        state.engine.shadow_counts();
    let counts = [
        ("agreed", agreed),
        ("other_status", other_status),
        ("other_intent", other_intent),
        ("left_out", left_out),
    ];
    catch_up(&metrics.shadow, counts);

    if let Some(review) = &state.review {
        metrics.review.set(&review.desk.stats());
    }
    if let Some(door) = &state.door {
        metrics.conversations.set(door);
    }
    if let Some(bot) = &state.bot {
        metrics.conversations.set_bot(&bot.report());
    }

    let mut body = String::new();
    text::encode(&mut body, &metrics.registry)
        .map_err(|error| ApiError::internal(&error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response())
}

/// Brings counters up to counts that are kept elsewhere.
fn catch_up<const N: usize>(
    family: &Family<OutcomeLabels, Counter>,
    counts: [(&'static str, u64); N],
) {
    for (outcome, count) in counts {
        raise(&family.get_or_create(&OutcomeLabels { outcome }), count);
    }
}

/// Brings a counter up to a count that is kept elsewhere.
fn raise(counter: &Counter, count: u64) {
    counter.inc_by(count.saturating_sub(counter.get()));
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
