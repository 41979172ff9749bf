//! The one place that reads the calendar clock. The commands take it from here and hand it to those
//! who need to know when something happened; everything else takes times as arguments.

use std::sync::Arc;
use std::time::SystemTime;

/// Tells the time, in milliseconds since 1970-01-01 UTC.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The system's clock.
pub fn system() -> Clock {
    Arc::new(now_ms)
}

/// The system's time, in milliseconds since 1970-01-01 UTC.
pub fn now_ms() -> u64 {
    // A clock before 1970 is not set; nothing that is stored with it would be right anyway.
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
