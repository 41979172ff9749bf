//! Made-up judgements for the tests, with texts that try to break out of a page.

use super::evaluation::Evaluation;
use super::{Judgement, Report};
use crate::intent::answer::Status;

pub(super) const HOSTILE: &str = "</p><script>alert('查')</script>\"|`*x*\n\u{202e}&amp;";

pub(super) fn judgement(text: &str, truth: Option<u32>, top: u32, confidence: f32) -> Judgement {
    let status = if confidence < 0.3 {
        Status::OutOfScope
    } else if confidence < 0.6 {
        Status::Ambiguous
    } else {
        Status::Matched
    };
    let candidates = if status == Status::Ambiguous { 2 } else { 0 };
    let truth_rank = truth.map(|truth| usize::from(truth != top));
    let (text, in_scope) = (text.to_owned(), confidence);
    Judgement { text, truth, top, confidence, in_scope, candidates, truth_rank, status }
}

/// Three intents, one of them with a hostile name, and out-of-scope sentences.
pub(super) fn evaluation() -> Evaluation {
    let names = ["查物流".to_owned(), "refund".to_owned(), HOSTILE.to_owned()];
    let inside = [
        judgement("我的包裹在哪", Some(0), 0, 0.95),
        judgement("包裹丢了要退款", Some(0), 1, 0.7),
        judgement("给我退钱", Some(1), 1, 0.9),
        judgement(HOSTILE, Some(1), 2, 0.8),
        judgement("hello", Some(2), 2, 0.2),
    ];
    let outside = [judgement("今天天气", None, 0, 0.1), judgement(HOSTILE, None, 2, 0.9)];
    let mut figures = Report::new("made up", &names, &inside, &outside);
    figures.data = HOSTILE.to_owned();
    Evaluation::new(figures, &names, &inside, &outside)
}
