//! The life of a pod as a pure machine: [`step`] takes what happened and the time, and says what to do. It never waits,
//! reads or writes.
//!
//! A [`State`] is one pod on this node. The driver feeds it [`Event`]s, carries out the [`Action`]s it returns, and
//! sleeps no longer than [`wake`]. What users see of it is [`status`], derived and never stored.
//!
//! How a container ended, in numbers users know:
//!
//! | what happened | exit code | reason |
//! |---|---|---|
//! | the guest returned or exited | its own | `Completed` for 0, else `Error` |
//! | the guest trapped | 134, which `wasmtime run` gives too | `Error`; the message holds the trap and its backtrace |
//! | it needed more memory than its limit | 137 | `OOMKilled` |
//! | it was ended at its deadline | 137 | `Error` |
//! | the node was restarted under it | 255 | `Unknown` |

mod adopt;
mod conditions;
mod ending;
mod event;
mod phase;
mod plan;
mod probes;
mod restart;
mod state;
mod status;
mod step;
mod wake;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use adopt::{adopt, gates};
pub use event::{Action, Event, Notice, Outcome, Severity};
pub use phase::{PodPhase, phase};
pub use plan::{
    ContainerPlan, Hook, HookKind, HttpGet, Plan, ProbeKind, ProbePlan, ProbeTarget, PullPolicy, RestartPolicy, Role,
};
pub use state::{Cell, Ending, EndingCause, Phase, Sandbox, State, Stop, StopStage, Terminated};
pub use status::{Surroundings, status};
pub use step::step;
pub use wake::wake;
