//! The control loops: each a pure plan on one driver.
//!
//! A loop has three parts. *Keys*: changes in shared caches become names of objects to look at, each waiting once. *Plan*:
//! a pure function from the world, as the caches show it, and the time to what should be done. *Doing*: a thin loop that
//! writes through the API, and tells users by conditions and events, with the reasons and texts that Kubernetes has.
//!
//! **Invariant:** a reconcile takes a key and looks at the world. It never learns what woke it, and may run at any time.
//!
//! **Invariant:** a loop never acts on a cache that lacks its own last writes ([`outstanding`]).
//!
//! **Invariant:** no loop knows another. They meet in the API.

mod batch;
mod bootstrap_tokens;
mod budget;
mod certificates;
mod controllers;
mod cron_job;
mod daemon_set;
mod deployment;
mod discovery;
mod driver;
mod endpoints;
mod error;
mod event_expiry;
mod garbage;
mod history;
mod informers;
mod job;
mod labels;
mod load_balancers;
mod namespace;
mod node_fit;
mod nodes;
mod outstanding;
mod owners;
mod pod_control;
mod pod_gc;
mod pod_networks;
mod pods;
mod proportion;
mod quota;
mod replica_set;
mod root_ca;
mod selectors_of;
mod service_account;
#[cfg(test)]
mod simulation;
mod stateful_set;
mod template;
mod tolerations;
mod volumes;

pub use controllers::{Config, Controllers, Metrics};
pub use driver::{Histogram, LoopMetrics};
pub use error::Error;
pub use nodes::NodeTimings;
