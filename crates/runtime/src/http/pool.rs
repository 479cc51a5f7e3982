//! The instances of a container that are kept for another request. An instance that failed never comes here.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use coracle_stdx::CancellationToken;
use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::http::instance::Instance;

/// How long an instance is kept without work: it holds memory, and a place in the node's pool.
const IDLE_MAX: Duration = Duration::from_secs(5);
const TIDY_INTERVAL: Duration = Duration::from_secs(1);

/// Kept instances, the one that worked last on top.
pub(crate) struct Pool {
    kept: Mutex<Vec<Kept<Instance>>>,
    requests_max: NonZeroU32,
}

struct Kept<T> {
    what: T,
    since: Instant,
}

impl Pool {
    /// A pool of instances that answer at most that many requests each.
    pub(crate) fn new(requests_max: NonZeroU32) -> Self {
        Self { kept: Mutex::default(), requests_max }
    }

    /// Whether any instance is ever kept.
    pub(crate) fn keeps(&self) -> bool {
        self.requests_max > NonZeroU32::MIN
    }

    pub(crate) fn take(&self) -> Option<Instance> {
        if !self.keeps() {
            return None;
        }
        Some(self.kept.lock().pop()?.what)
    }

    /// Keeps an instance that has answered well, unless it has answered often enough.
    pub(crate) fn keep(&self, instance: Instance) {
        if instance.n_requests() < self.requests_max.get() {
            self.kept.lock().push(Kept { what: instance, since: Instant::now() });
        }
    }

    /// Lets all go, so that what they hold is there for others.
    pub(crate) fn clear(&self) {
        let kept = std::mem::take(&mut *self.kept.lock());
        drop(kept);
    }

    /// Lets go of what has been idle for long, until `token` is cancelled; then of everything.
    pub(crate) async fn tidy(self: Arc<Self>, token: CancellationToken) {
        let mut ticks = interval(TIDY_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while token.run_until_cancelled(ticks.tick()).await.is_some() {
            let idle = take_idle(&mut self.kept.lock(), Instant::now());
            drop(idle);
        }
        self.clear();
    }
}

/// The longest idle are at the bottom.
fn take_idle<T>(kept: &mut Vec<Kept<T>>, now: Instant) -> Vec<Kept<T>> {
    let n_idle = kept.partition_point(|kept| now.saturating_duration_since(kept.since) > IDLE_MAX);
    kept.drain(..n_idle).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_has_been_idle_for_long_is_let_go() {
        let start = Instant::now();
        let mut kept: Vec<_> = (0..4).map(|n| Kept { what: n, since: start + Duration::from_secs(n) }).collect();
        let idle = take_idle(&mut kept, start + Duration::from_millis(6500));
        assert_eq!(idle.iter().map(|kept| kept.what).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(kept.len(), 2);
    }
}
