//! Waiting for a condition, with a bound and a last word on what was seen. It never waits for time to pass.

use std::time::{Duration, Instant};

/// How often a condition that nothing announces is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Longer than anything here takes on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Looks until `look` answers `Ok`, and returns it.
///
/// # Panics
/// After [`PATIENCE`], with what `look` said last.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(seen) if start.elapsed() > PATIENCE => panic!("waited {PATIENCE:?} for {what}; last seen: {seen}"),
            Err(_) => std::thread::park_timeout(LOOK_EVERY),
        }
    }
}
