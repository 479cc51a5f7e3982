//! Wall-clock time that a test can hold still. It never sleeps: waiting is tokio's.

use jiff::Timestamp;
use tokio::time::Instant;

/// Where a component reads the time of day.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's clock.
    #[default]
    System,
    /// A time of day that advances with tokio's clock, and so stands still and jumps with `tokio::time::pause`.
    Simulated { start: Timestamp, started: Instant },
}

impl Clock {
    /// A clock that shows `start` now and follows tokio's clock from here. Needs a tokio runtime.
    pub fn simulated(start: Timestamp) -> Self {
        Self::Simulated { start, started: Instant::now() }
    }

    /// The time of day.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Simulated { start, started } => *start + started.elapsed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_simulated_clock_follows_tokio() {
        let clock = Clock::simulated(Timestamp::UNIX_EPOCH);
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.now(), Timestamp::from_second(90).unwrap());
    }
}
