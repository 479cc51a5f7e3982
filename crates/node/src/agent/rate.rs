//! How much CPU a container used lately: sampled now and then, so that a rate can be told at any moment.

use std::sync::Arc;
use std::time::Duration;

use coracle_stdx::CancellationToken;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Pods;

/// How often every container is sampled.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    cpu_ns: u64,
}

/// The last two samples of one instance. The rate is told since the older one, and so never over a mere moment.
#[derive(Debug)]
pub(crate) struct Rate(Mutex<[Sample; 2]>);

/// What was used lately, on average over `window`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recent {
    pub(crate) nanocores: u64,
    pub(crate) window: Duration,
}

impl Rate {
    /// The rate of what begins now.
    pub(crate) fn new() -> Self {
        Self(Mutex::new([Sample { at: Instant::now(), cpu_ns: 0 }; 2]))
    }

    fn sample(&self, now: Instant, cpu_ns: u64) {
        let mut samples = self.0.lock();
        *samples = [samples[1], Sample { at: now, cpu_ns }];
    }

    pub(crate) fn recent(&self, now: Instant, cpu_ns: u64) -> Recent {
        let since = self.0.lock()[0];
        let window = now.saturating_duration_since(since.at);
        let used_s = cpu_ns.saturating_sub(since.cpu_ns) as f64 / 1e9;
        let nanocores = if window.is_zero() { 0.0 } else { used_s / window.as_secs_f64() * 1e9 };
        Recent { nanocores: nanocores as u64, window }
    }
}

/// Samples all containers of a node, until the token is cancelled.
pub(crate) async fn sample(pods: Arc<Pods>, token: CancellationToken) {
    while token.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        let now = Instant::now();
        for handle in pods.all() {
            for running in handle.running.lock().values() {
                running.rate.sample(now, running.container.usage().cpu_ns);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_told_from_the_first_moment_on_and_over_two_samples_at_most() {
        let rate = Rate::new();
        let started = Instant::now();
        assert_eq!(rate.recent(started, 5), Recent::default());
        let second = Duration::from_secs(1);
        assert_eq!(rate.recent(started + second, 250_000_000), Recent { nanocores: 250_000_000, window: second });
        for n in 1..=3 {
            rate.sample(started + INTERVAL * n, u64::from(n) * 1_000_000_000);
        }
        let recent = rate.recent(started + INTERVAL * 3, 3_000_000_000);
        assert_eq!(recent, Recent { nanocores: 100_000_000, window: INTERVAL });
    }
}
