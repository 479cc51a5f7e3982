//! The streams that clients have open into this node's pods: each a task with an owner, and no more of them than a bound.

use std::convert::Infallible;
use std::sync::Arc;

use coracle_stdx::{CancellationToken, Scope};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// Streams that may be open into one node at a time.
const SESSIONS_MAX: usize = 1024;

/// The open streams of a node.
pub(crate) struct Sessions {
    scope: Mutex<Option<Scope<Infallible>>>,
    room: Arc<Semaphore>,
}

/// There are too many open streams, or the node is stopping.
#[derive(Debug, thiserror::Error)]
#[error("the node has too many open streams, or is stopping")]
pub(crate) struct Full;

impl Sessions {
    pub(crate) fn new() -> Self {
        let scope = Scope::child_of(&CancellationToken::new());
        Self { scope: Mutex::new(Some(scope)), room: Arc::new(Semaphore::new(SESSIONS_MAX)) }
    }

    /// Runs `session` until it ends or the node stops.
    pub(crate) fn begin(&self, session: impl Future<Output = ()> + Send + 'static) -> Result<(), Full> {
        let place = Arc::clone(&self.room).try_acquire_owned().map_err(|_| Full)?;
        let mut scope = self.scope.lock();
        scope.as_mut().ok_or(Full)?.spawn(|_| async move {
            session.await;
            drop(place);
            Ok(())
        });
        Ok(())
    }

    /// Ends all of them, and begins no more.
    pub(crate) fn end(&self) {
        let scope = self.scope.lock().take();
        drop(scope);
    }
}
