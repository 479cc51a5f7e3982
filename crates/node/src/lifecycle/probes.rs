//! Probes of one running instance: when they are due and what their outcomes add up to, with upstream's thresholds.

use jiff::Timestamp;

use super::event::Outcome;
use super::plan::{ContainerPlan, ProbeKind};

/// The three probes of an instance. Begun anew with each instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Probes {
    startup: Track,
    liveness: Track,
    readiness: Track,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Track {
    due: Option<Timestamp>,
    in_flight: bool,
    /// Equal outcomes in a row, and which outcome that was.
    n_equal: u32,
    last: Option<bool>,
    /// What the thresholds made of it.
    result: Option<bool>,
}

impl Probes {
    /// The probes of an instance that started at `since`.
    pub fn begun(plan: &ContainerPlan, since: Timestamp) -> Self {
        let mut probes = Self::default();
        for kind in ProbeKind::ALL {
            probes.track_mut(kind).due = plan.probe(kind).map(|probe| since + probe.initial_delay);
        }
        probes
    }

    /// The startup probe has succeeded, or there is none.
    pub fn started(&self, plan: &ContainerPlan) -> bool {
        plan.startup.is_none() || self.startup.result == Some(true)
    }

    pub fn ready(&self, plan: &ContainerPlan) -> bool {
        self.started(plan) && (plan.readiness.is_none() || self.readiness.result == Some(true))
    }

    /// When the next probe of `kind` is to be made; `None` while one is under way or none is wanted.
    pub fn due(&self, plan: &ContainerPlan, kind: ProbeKind) -> Option<Timestamp> {
        let wanted = match kind {
            ProbeKind::Startup => !self.started(plan),
            ProbeKind::Liveness | ProbeKind::Readiness => self.started(plan),
        };
        let track = self.track(kind);
        track.due.filter(|_| wanted && !track.in_flight)
    }

    pub fn begin(&mut self, kind: ProbeKind) {
        self.track_mut(kind).in_flight = true;
    }

    /// Takes in an outcome. True when a startup or liveness probe has now failed for good.
    pub fn record(&mut self, plan: &ContainerPlan, kind: ProbeKind, outcome: &Outcome, now: Timestamp) -> bool {
        let Some(probe) = plan.probe(kind) else { return false };
        let track = self.track_mut(kind);
        track.in_flight = false;
        track.due = track.due.map(|due| (due + probe.period).max(now));
        let success = match outcome {
            Outcome::Success => true,
            Outcome::Failure(_) => false,
            Outcome::Unknown(_) => return false,
        };
        track.n_equal = if track.last == Some(success) { track.n_equal.saturating_add(1) } else { 1 };
        track.last = Some(success);
        let threshold = if success { probe.success_threshold } else { probe.failure_threshold };
        if track.n_equal < threshold {
            return false;
        }
        track.result = Some(success);
        !success && kind != ProbeKind::Readiness
    }

    fn track(&self, kind: ProbeKind) -> &Track {
        match kind {
            ProbeKind::Startup => &self.startup,
            ProbeKind::Liveness => &self.liveness,
            ProbeKind::Readiness => &self.readiness,
        }
    }

    fn track_mut(&mut self, kind: ProbeKind) -> &mut Track {
        match kind {
            ProbeKind::Startup => &mut self.startup,
            ProbeKind::Liveness => &mut self.liveness,
            ProbeKind::Readiness => &mut self.readiness,
        }
    }
}
