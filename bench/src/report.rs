//! Results as JSON, and as lines for people.

use std::io::Write;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Longest latency that is told apart, in microseconds.
const LONGEST_US: u64 = 600_000_000;

/// An empty histogram of microseconds, exact to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, 3).expect("the bounds are in order")
}

/// Percentiles in milliseconds; null when nothing was recorded.
pub(crate) fn percentiles(times_us: &Histogram<u64>) -> Value {
    if times_us.is_empty() {
        return Value::Null;
    }
    let ms = |us: u64| us as f64 / 1000.0;
    let at = |percent| ms(times_us.value_at_percentile(percent));
    json!({
        "count": times_us.len(),
        "p50_ms": at(50.0),
        "p90_ms": at(90.0),
        "p99_ms": at(99.0),
        "p99_9_ms": at(99.9),
        "max_ms": ms(times_us.max()),
    })
}

/// To two digits behind the point: more would be noise.
pub(crate) fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// Prints a report: one line of JSON, or a line for each value.
pub(crate) fn print(report: &Value, as_json: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if as_json {
        return writeln!(out, "{report}");
    }
    lines(&mut out, "", report)
}

fn lines(out: &mut impl Write, name: &str, value: &Value) -> std::io::Result<()> {
    let Value::Object(members) = value else { return writeln!(out, "{name:<34} {value}") };
    for (key, value) in members {
        let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
        lines(out, &name, value)?;
    }
    Ok(())
}
