//! Exponential back-off as a value. It never sleeps: it only says how long to wait.

use std::time::Duration;

use rand::Rng;

/// Delays that double from `base` up to `max`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    n_failures: u32,
}

impl Backoff {
    /// A back-off whose first delay is `base`, and none longer than `max`.
    pub const fn new(base: Duration, max: Duration) -> Self {
        Self { base, max, n_failures: 0 }
    }

    /// The delay after one more failure.
    pub fn next_delay(&mut self) -> Duration {
        let factor = 1u32.checked_shl(self.n_failures).unwrap_or(u32::MAX);
        self.n_failures = self.n_failures.saturating_add(1);
        self.base.saturating_mul(factor).min(self.max)
    }

    /// [`Backoff::next_delay`], shortened at random by up to a half, so that many who failed together do not return
    /// together.
    pub fn next_delay_jittered(&mut self) -> Duration {
        self.next_delay().mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// Failures since the last success.
    pub fn n_failures(&self) -> u32 {
        self.n_failures
    }

    /// Begins anew after a success.
    pub fn reset(&mut self) {
        self.n_failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_to_the_maximum() {
        let mut backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(300));
        let delays: Vec<u64> = (0..40).map(|_| backoff.next_delay().as_secs()).collect();
        assert_eq!(delays[..7], [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(delays[39], 300);
        backoff.reset();
        assert_eq!(backoff.next_delay().as_secs(), 10);
    }
}
