//! Names of services and pods, answered in process.
//!
//! A [`Zone`] is the cluster's domain at one moment, made from Services and EndpointSlices and nothing else. It knows
//! `svc`, `svc.ns`, `svc.ns.svc` and `svc.ns.svc.<domain>` (through the search path of the pod that asks, or in full),
//! the endpoints behind headless services and their host names, external names as aliases, and pods by their dashed
//! addresses. [`ClusterNames`] keeps one in step with the API server, and answers the fabric from it.
//!
//! **Invariant:** for what is under the cluster's domain nobody else is asked.

mod cluster_names;
mod record;
mod zone;

pub use cluster_names::ClusterNames;
pub use zone::Zone;
