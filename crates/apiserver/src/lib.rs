//! The Kubernetes API on the wire, over the store.
//!
//! A request passes: parsed once into what it wants ([`request_info`]) → who asks ([`authenticate`]) → may they
//! ([`authorize`]) → decoded ([`body`]) → completed ([`admission`]) → checked (the kind's own rules) → written by the
//! rules of every object ([`registry`]) → stored by compare-and-swap. Reads splice stored bytes ([`object`], [`list`]);
//! watches of one kind share one stream of events ([`hub`], [`watch`]).
//!
//! # Promises
//! - A 2xx to a write means that it is on the disk.
//! - An object is serialised once, when it is written. Lists and watch events reuse those bytes.
//! - In-process callers carry their identity in their requests' extensions and pass the same authorisation as others.
//!
//! # Limits
//! Bodies, headers, requests, streams and connections are bounded by [`Limits`]; a watch that falls behind the store's
//! window of events is told so (410) and ends.
//!
//! **Invariant:** nothing here matches on a kind's name, except what the server itself has a part in
//! (`resources::Special`) and the rules of built-in identities.

mod admission;
mod answer;
mod authenticate;
mod authorize;
mod body;
mod bootstrap;
mod config;
mod continue_token;
mod deadline;
mod discovery;
mod fairness;
#[doc(hidden)]
pub mod fuzzing;
mod handler;
mod hub;
mod images;
mod impersonate;
mod kubelets;
mod list;
mod live;
mod metrics;
mod negotiate;
mod object;
mod options;
mod paths;
mod query;
mod registry;
mod request_info;
mod resources;
mod selection;
mod serve;
mod server;
mod services;
mod state;
mod subresources;
mod verbs;
mod versions;
mod watch;

pub use config::{Config, Limits};
pub use kubelets::Kubelets;
pub use server::ApiServer;

/// Why an API server cannot be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("make what every cluster begins with")]
    Bootstrap { source: Box<coracle_api::status::Status> },
    #[error("listen for the API")]
    Listen { source: std::io::Error },
    #[error(transparent)]
    Pki(#[from] coracle_pki::Error),
}
