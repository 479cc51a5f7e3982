//! The tasks of one container. They end when it does: aborting them is final.

use std::convert::Infallible;
use std::future::Future;

use coracle_stdx::{CancellationToken, Scope};
use parking_lot::Mutex;

/// Owns tasks that know their owner: the circle is broken by [`Tasks::abort`].
pub(crate) struct Tasks(Mutex<Option<Scope<Infallible>>>);

impl Tasks {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Some(Scope::child_of(&CancellationToken::new()))))
    }

    /// Starts `task`, unless they have been aborted.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(scope) = self.0.lock().as_mut() {
            scope.spawn(|_| async move {
                task.await;
                Ok(())
            });
        }
    }

    /// Ends all tasks, for good.
    pub(crate) fn abort(&self) {
        let scope = self.0.lock().take();
        drop(scope);
    }
}
