//! Small things that every crate needs and no library gives as we want them: task [`Scope`]s, [`Gate`]s, a [`Clock`]
//! that tests can hold still, and [`Backoff`].
//!
//! This is the only crate that may start a detached task: everything else goes through a [`Scope`].

mod backoff;
mod clock;
mod gate;
mod scope;

pub use backoff::Backoff;
pub use clock::Clock;
pub use gate::Gate;
pub use scope::Scope;
pub use tokio_util::sync::CancellationToken;
