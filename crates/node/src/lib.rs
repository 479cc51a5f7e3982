//! The node agent: what kubelet is, with wasm sandboxes for containers.
//!
//! A [`Node`] watches the pods that are bound to it, and gives each a worker: a thin shell around the pure machine in
//! [`lifecycle`], which decides everything from what happened and what time it is. What a guest finds in its sandbox is
//! decided by [`environment`] and [`volumes`], its output is kept by [`logs`], its image by [`images`].
//!
//! ```text
//! join ──> pod networks ──> Fabric::new ──> Node::new ──> Node::router (registered with the API server)
//!                                                    └──> Node::run (until told to stop)
//! ```
//!
//! Promises:
//! - No pod's trouble holds up another: neither its image, nor its volumes, nor its status.
//! - Two instances of one container never run at the same time.
//! - A pod's address is given back only when nothing of it runs.
//! - When the node stops, containers end and pods stay in the API; when it starts again, they go on as after a reboot.
//!
//! The node never chooses what to run, and never writes an object but its own Node and Lease, the statuses of its pods,
//! and Events.

mod agent;
mod attached;
mod builtin;
mod config;
mod containers;
mod error;
mod exec;
#[doc(hidden)]
pub mod fuzzing;
mod ipam;
mod kubelet;
pub mod membership;
mod neighbours;
mod node;
mod recall;
mod registration;
mod road;
mod serving;
mod sessions;
mod spdy;
mod streams;
mod terminal;

pub mod environment;
pub mod images;
pub mod joining;
pub mod lifecycle;
pub mod logs;
pub mod names;
pub mod objects;
pub mod volumes;

pub use config::Config;
pub use error::Error;
pub use images::Images;
pub use neighbours::Neighbours;
pub use node::Node;
pub use recall::remembering;
pub use registration::join;
pub use road::{Roads, serve};
