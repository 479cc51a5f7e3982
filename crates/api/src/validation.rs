//! Whether an object is valid, and if not, where and why, in upstream's words. Nothing here changes an object.

mod affinity;
pub mod apps;
mod common;
pub(crate) mod config;
mod container;
mod cursor;
mod env;
mod error;
pub(crate) mod events;
pub(crate) mod leases;
pub mod metadata;
mod mounts;
pub(crate) mod namespaces;
pub(crate) mod nodes;
pub(crate) mod pod;
mod pod_update;
mod probes;
mod resources;
mod scheduling;
mod security;
pub(crate) mod selectors;
pub(crate) mod services;
pub(crate) mod slices;
mod volume_sources;
mod volumes;

pub(crate) use cursor::Cursor;
pub(crate) use error::declared_json;
pub use error::{ErrorType, FieldError, aggregate, go_quote};

/// Errors in the order in which they were found.
pub(crate) type Errors = Vec<FieldError>;

#[cfg(test)]
mod tests;
