//! Containers in processes of their own, ended by the kernel and held by it: what `docs/design/isolated.md` describes.
//!
//! Two halves that speak over one socket. The [`agent`]'s half starts a process for every container and serves it what
//! its guest asks of the network; the [`child`]'s half is that process: it locks itself in before the guest's first
//! instruction, and runs the guest on an engine that never interrupts it.

mod agent;
pub(crate) mod channel;
mod child;
mod lock;
mod message;
mod recipe;
pub(crate) mod system;

pub use self::agent::Isolation;
pub(crate) use self::agent::{Apart, Launcher};
pub use self::child::run;

/// Why containers cannot be isolated on this machine.
#[derive(Clone, Debug, thiserror::Error)]
#[error("this machine cannot isolate containers: {why}")]
pub struct Unavailable {
    pub(crate) why: String,
}
