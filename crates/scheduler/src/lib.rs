//! Chooses a node for each pod, and says why not.
//!
//! One task owns everything that is known: [`Cluster`](cluster::Cluster), nodes with the pods on them, and
//! [`Queue`](queue::Queue), pods that wait. Changes from two informers are folded in, the next pod is taken, and
//! `decide` looks at the nodes: filters say which fit and why the others do not, scores say which is best. The pod counts
//! on its node from that moment; the binding itself goes on beside, a bounded number at a time.
//!
//! **Invariant:** deciding is a pure function over values. It waits for nothing and copies nothing of the cluster.
//!
//! **Invariant:** a pod that found no node is tried again when something changed that may help it, after its back-off,
//! and not before.

mod affinity;
mod cluster;
mod core;
mod decide;
mod error;
mod filter;
mod labels;
mod queue;
mod resources;
mod scheduler;
mod score;
mod spread;
mod storage;
mod subject;
#[cfg(test)]
mod testing;

pub use error::Error;
pub use scheduler::{Config, Metrics, Scheduler};
