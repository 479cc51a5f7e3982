//! Names of services and pods, answered in process, and over UDP and TCP where a port is given.
//!
//! A [`Zone`] is the cluster's domain at one moment, made from Services and EndpointSlices and nothing else. It knows
//! `svc`, `svc.ns`, `svc.ns.svc` and `svc.ns.svc.<domain>` (through the search path of the pod that asks, or in full),
//! the endpoints behind headless services and their host names, external names as aliases, and pods by their dashed
//! addresses; ports by name (SRV), and names by address (PTR). [`ClusterNames`] keeps one in step with the API server, and answers the fabric from it.
//!
//! **Invariant:** for what is under the cluster's domain nobody else is asked.

mod cluster_names;
mod message;
mod record;
mod server;
mod zone;

pub use cluster_names::ClusterNames;
pub use server::{Server, upstream_of};
pub use zone::Zone;
