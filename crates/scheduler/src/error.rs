//! What can go wrong in the scheduler as a whole. What goes wrong with one pod is told to that pod.

/// The scheduler could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the queue of bind outcomes closed")]
    OutcomesClosed,
}
