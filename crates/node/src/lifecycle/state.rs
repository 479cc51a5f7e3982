//! One pod on this node, as plain values.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::plan::Plan;
use super::probes::Probes;
use super::restart::CrashLoop;

/// Everything the machine knows of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub plan: Arc<Plan>,
    /// One per container of the plan, in its order.
    pub cells: Vec<Cell>,
    pub sandbox: Sandbox,
    /// When this node first saw the pod.
    pub start_time: Timestamp,
    /// All init containers have succeeded and all sidecars have started, once.
    pub initialized: bool,
    /// Set when the containers are to end for good.
    pub ending: Option<Ending>,
    /// The status of each condition that a readiness gate may name.
    pub gates: BTreeMap<String, String>,
    pub deletion_requested: bool,
    pub vanished: bool,
    pub released: bool,
    pub removed: bool,
}

/// One container.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    pub phase: Phase,
    /// Which start this is: the restart count of the instance that runs or ran last.
    pub attempt: u32,
    /// It ran at least once on this node or on the node's former life.
    pub ever_started: bool,
    /// A sidecar that has started once no longer holds back those after it.
    pub passed: bool,
    /// The image as the spec named it when this instance was begun, and what it turned out to be.
    pub image: String,
    pub image_id: String,
    pub id: String,
    /// How the latest instance ended, and the one before it.
    pub last: Option<Terminated>,
    pub before: Option<Terminated>,
    pub crash_loop: CrashLoop,
    pub n_pull_failures: u32,
    pub n_start_failures: u32,
    pub probes: Probes,
}

/// Where a container is.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// Waits for its turn.
    Idle,
    Pulling,
    /// `told`: the user has seen the error, and now sees the back-off.
    PullFailed {
        reason: &'static str,
        message: String,
        at: Timestamp,
        until: Timestamp,
        told: bool,
    },
    Starting,
    StartFailed {
        reason: &'static str,
        message: String,
        until: Timestamp,
    },
    Running {
        since: Timestamp,
        stop: Option<Stop>,
    },
    /// Ended; `restart`: whatever the restart policy says of its exit code.
    Exited {
        restart: bool,
    },
    BackOff {
        delay: Duration,
        until: Timestamp,
    },
}

/// A running container that was asked to end.
#[derive(Clone, Debug, PartialEq)]
pub struct Stop {
    pub stage: StopStage,
    pub deadline: Timestamp,
    /// It begins again, whatever its exit code, unless the policy is `Never`.
    pub restart: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum StopStage {
    /// Its preStop hook runs; a sleeping hook ends at `until`.
    Hook {
        until: Option<Timestamp>,
    },
    Terminating,
    Killed,
}

/// How an instance ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminated {
    pub exit_code: i32,
    pub reason: String,
    pub message: Option<String>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Timestamp,
    pub id: String,
}

/// The pod's address, directories and volumes.
#[derive(Clone, Debug, PartialEq)]
pub enum Sandbox {
    Absent,
    Preparing { n_failures: u32 },
    Failed { until: Timestamp, n_failures: u32, reason: &'static str, message: String },
    Ready { addresses: Vec<IpAddr> },
}

/// Why and until when the pod's containers end.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    pub cause: EndingCause,
    pub deadline: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
pub enum EndingCause {
    /// Nothing is left to run.
    Completed,
    Deleted,
    DeadlineExceeded,
    Rejected {
        reason: &'static str,
        message: String,
    },
}

impl State {
    /// A pod that this node has not run before.
    pub fn new(plan: Arc<Plan>, gates: BTreeMap<String, String>, now: Timestamp) -> Self {
        let cells = plan.containers.iter().map(|_| Cell::new()).collect();
        Self {
            initialized: !plan.has_init(),
            plan,
            cells,
            sandbox: Sandbox::Absent,
            start_time: now,
            ending: None,
            gates,
            deletion_requested: false,
            vanished: false,
            released: false,
            removed: false,
        }
    }

    /// No container runs, nor is about to.
    pub fn is_quiet(&self) -> bool {
        self.cells.iter().all(|cell| !matches!(cell.phase, Phase::Running { .. } | Phase::Starting))
            && !matches!(self.sandbox, Sandbox::Preparing { .. })
    }

    /// Its containers have ended for good.
    pub fn is_finished(&self) -> bool {
        self.ending.is_some() && self.is_quiet()
    }
}

impl Cell {
    pub fn new() -> Self {
        Self {
            phase: Phase::Idle,
            attempt: 0,
            ever_started: false,
            passed: false,
            image: String::new(),
            image_id: String::new(),
            id: String::new(),
            last: None,
            before: None,
            crash_loop: CrashLoop::default(),
            n_pull_failures: 0,
            n_start_failures: 0,
            probes: Probes::default(),
        }
    }

    pub fn running_since(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Running { since, .. } => Some(since),
            _ => None,
        }
    }

    /// The exit code, when it has ended and does not begin again by itself.
    pub fn exit_code(&self) -> Option<i32> {
        match self.phase {
            Phase::Exited { .. } => self.last.as_ref().map(|last| last.exit_code),
            _ => None,
        }
    }

    /// The number of the next instance.
    pub fn next_attempt(&self) -> u32 {
        self.attempt + u32::from(self.ever_started)
    }

    pub fn end(&mut self, terminated: Terminated, restart: bool) {
        self.before = self.last.replace(terminated);
        self.phase = Phase::Exited { restart };
        self.probes = Probes::default();
    }
}

impl Default for Cell {
    fn default() -> Self {
        Self::new()
    }
}
