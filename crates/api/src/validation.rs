//! Whether an object is valid, and if not, where and why, in upstream's words. Nothing here changes an object.

mod affinity;
pub mod apps;
pub(crate) mod budgets;
pub(crate) mod certificates;
pub(crate) mod claims;
mod common;
mod conditions;
pub(crate) mod config;
mod container;
pub(crate) mod cron_jobs;
mod cursor;
pub(crate) mod daemon_set;
mod env;
mod error;
pub(crate) mod events;
mod go_struct;
mod go_text;
pub(crate) mod jobs;
pub(crate) mod leases;
pub(crate) mod limit_ranges;
pub mod metadata;
mod mounts;
pub(crate) mod namespaces;
pub(crate) mod nodes;
mod pem;
pub(crate) mod persistent_volumes;
pub(crate) mod pod;
mod pod_annotations;
mod pod_status;
mod pod_update;
pub(crate) mod priority_classes;
mod probes;
pub(crate) mod quotas;
pub(crate) mod replication;
mod resource_names;
mod resources;
pub(crate) mod runtime_classes;
mod scheduling;
mod security;
pub(crate) mod selectors;
pub(crate) mod services;
pub(crate) mod slices;
pub(crate) mod stateful_set;
pub(crate) mod storage_classes;
mod volume_sources;
mod volumes;
mod windows;

pub(crate) use cursor::Cursor;
pub(crate) use error::declared_json;
pub use error::{ErrorType, FieldError, aggregate, go_quote};

/// Errors in the order in which they were found.
pub(crate) type Errors = Vec<FieldError>;

#[cfg(test)]
mod tests;
