//! When a container that ended begins again: restart policies and the crash loop's back-off.

use std::time::Duration;

use jiff::Timestamp;

use super::plan::{Plan, RestartPolicy, Role};
use super::state::{Cell, Phase};

pub(super) const CRASH_BASE: Duration = Duration::from_secs(10);
pub(super) const CRASH_MAX: Duration = Duration::from_secs(300);
/// An instance that ran this long ends the crash loop.
pub(super) const CRASH_RESET: Duration = Duration::from_secs(600);

const PULL_BASE: Duration = Duration::from_secs(10);
const PULL_MAX: Duration = Duration::from_secs(300);
/// How long the error itself is shown before the back-off takes its place.
pub(super) const PULL_ERROR_SHOWN: Duration = Duration::from_secs(2);
const START_BASE: Duration = Duration::from_secs(1);
const START_MAX: Duration = Duration::from_secs(20);
const PREPARE_BASE: Duration = Duration::from_millis(500);
const PREPARE_MAX: Duration = Duration::from_secs(20);

/// The back-off of one container's restarts. The first restart is immediate; the next waits 10 s, and so on, counted
/// from the instance's end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CrashLoop {
    delay: Option<Duration>,
    updated: Option<Timestamp>,
}

impl CrashLoop {
    /// When an instance that ended at `finished` may be followed by the next, and after which delay.
    pub fn delay(&mut self, finished: Timestamp) -> (Duration, Timestamp) {
        if self.updated.is_some_and(|updated| finished.duration_since(updated) > jiff_duration(CRASH_RESET)) {
            *self = Self::default();
        }
        let delay = self.delay.unwrap_or_default();
        (delay, finished + delay)
    }

    /// The next instance is being started.
    pub fn restarted(&mut self, now: Timestamp) {
        self.delay = Some(self.delay.map_or(CRASH_BASE, |delay| (delay * 2).min(CRASH_MAX)));
        self.updated = Some(now);
    }
}

/// True when a container that has ended is to run again, as far as the pod as a whole goes on.
pub(super) fn restarts(plan: &Plan, container: usize, cell: &Cell) -> bool {
    let forced = matches!(cell.phase, Phase::Exited { restart: true });
    let failed = forced || cell.last.as_ref().is_some_and(|last| last.exit_code != 0);
    match (plan.containers[container].role, plan.restart_policy) {
        (Role::Sidecar, _) | (Role::Main, RestartPolicy::Always) => true,
        (Role::Init, RestartPolicy::Always | RestartPolicy::OnFailure) | (Role::Main, RestartPolicy::OnFailure) => {
            failed
        }
        (Role::Init | Role::Main, RestartPolicy::Never) | (Role::Ephemeral, _) => false,
    }
}

pub(super) fn pull_delay(n_failures: u32) -> Duration {
    doubled(PULL_BASE, n_failures, PULL_MAX)
}

pub(super) fn start_delay(n_failures: u32) -> Duration {
    doubled(START_BASE, n_failures, START_MAX)
}

pub(super) fn prepare_delay(n_failures: u32) -> Duration {
    doubled(PREPARE_BASE, n_failures, PREPARE_MAX)
}

/// `base` after the first failure, doubled after each further one.
fn doubled(base: Duration, n_failures: u32, max: Duration) -> Duration {
    base.saturating_mul(1 << n_failures.saturating_sub(1).min(16)).min(max)
}

fn jiff_duration(duration: Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(duration).expect("our delays are minutes")
}
