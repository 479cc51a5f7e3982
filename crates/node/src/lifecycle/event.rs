//! What can happen to a pod, and what can be done about it. Plain values: containers are named by their index in the
//! plan.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::plan::{Hook, HookKind, Plan, ProbeKind};
use super::state::Terminated;

/// A fact that the machine is told.
#[derive(Clone, Debug)]
pub enum Event {
    /// Time has passed: nothing else.
    Tick,
    /// The spec, or the conditions that the pod's readiness gates name.
    Changed {
        plan: Arc<Plan>,
        gates: BTreeMap<String, String>,
    },
    Prepared {
        addresses: Vec<IpAddr>,
    },
    /// `reason` is the event's: `FailedMount`, `FailedCreatePodSandBox`.
    PrepareFailed {
        reason: &'static str,
        message: String,
    },
    Pulled {
        container: usize,
        image_id: String,
    },
    PullFailed {
        container: usize,
        reason: &'static str,
        message: String,
    },
    Started {
        container: usize,
        id: String,
    },
    StartFailed {
        container: usize,
        reason: &'static str,
        message: String,
    },
    Exited {
        container: usize,
        attempt: u32,
        terminated: Terminated,
    },
    /// A hook that runs as an action has ended.
    HookEnded {
        container: usize,
        attempt: u32,
        kind: HookKind,
        outcome: Result<(), String>,
    },
    Probed {
        container: usize,
        attempt: u32,
        kind: ProbeKind,
        outcome: Outcome,
    },
    /// The node will not run this pod at all.
    Rejected {
        reason: &'static str,
        message: String,
    },
    /// The API server wants the pod gone within `grace`.
    DeletionRequested {
        grace: Duration,
    },
    /// The pod is no longer in the API.
    Vanished,
}

/// How one probe ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure(String),
    /// The probe could not be made; it counts for nothing.
    Unknown(String),
}

/// Something the driver must do. Each of the first group answers with an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Give the pod its address, directories and volumes.
    Prepare,
    /// Have the image here as the pull policy says, and its module loaded.
    Pull {
        container: usize,
    },
    Start {
        container: usize,
        attempt: u32,
    },
    RunHook {
        container: usize,
        attempt: u32,
        kind: HookKind,
        hook: Hook,
    },
    Probe {
        container: usize,
        attempt: u32,
        kind: ProbeKind,
    },

    /// Ask the container to end.
    Terminate {
        container: usize,
    },
    /// End it now.
    Kill {
        container: usize,
    },
    /// Tell the user.
    Notify(Notice),
    /// No container will run again: give back the address and the volumes.
    Release,
    /// Report the last status, delete the pod from the API when it is still there, and forget it.
    Remove,
}

/// An event for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub severity: Severity,
    pub reason: &'static str,
    pub message: String,
    pub container: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Normal,
    Warning,
}

impl Notice {
    pub fn new(
        severity: Severity,
        reason: &'static str,
        message: impl Into<String>,
        container: impl Into<Option<usize>>,
    ) -> Self {
        Self { severity, reason, message: message.into(), container: container.into() }
    }

    pub(super) fn normal(
        reason: &'static str,
        message: impl Into<String>,
        container: impl Into<Option<usize>>,
    ) -> Action {
        Action::Notify(Self::new(Severity::Normal, reason, message, container))
    }

    pub(super) fn warning(
        reason: &'static str,
        message: impl Into<String>,
        container: impl Into<Option<usize>>,
    ) -> Action {
        Action::Notify(Self::new(Severity::Warning, reason, message, container))
    }
}
