//! The only road to the API: in process or over HTTPS, with informers, events and leases.
//!
//! A component receives a [`kube::Client`] and does not know which road it takes. [`in_process`] makes one over a tower
//! service (the API server's router) for a named user; [`from_kubeconfig`] makes one over HTTPS. What a component reads
//! again and again it reads from an [`Informer`]: one list and watch, shared by everybody in the process who cares.
//!
//! **Invariant:** nothing here knows a kind by name, except Event ([`Recorder`]) and Lease ([`Heartbeat`], [`Election`]).
//!
//! **Invariant:** reading from a cache never waits for the network, and a slow reader costs a bounded amount of memory:
//! at most one pending change per object.

mod answered;
mod cache;
mod changes;
mod decoded;
mod election;
mod error;
mod heartbeat;
mod informer;
mod key;
mod record;
mod recorder;
mod road;

pub use answered::{answered, answered_revision};
pub use changes::{Change, Changes};
pub use election::{Election, ElectionTimings};
pub use error::{Error, is_already_exists, is_conflict, is_gone, is_not_found};
pub use heartbeat::Heartbeat;
pub use informer::{Cached, Informer};
pub use key::{Key, revision_of};
pub use recorder::{EventType, Recorder};
pub use road::{from_kubeconfig, from_kubeconfig_context, in_process, raw_request};
