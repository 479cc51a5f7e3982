//! A set of tasks that live and end together. It never outlives its owner: dropping it aborts what still runs.

use std::future::Future;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Owns tasks. The first that fails cancels its siblings; dropping the scope aborts them.
///
/// Tasks are told to end through the token that [`Scope::spawn`] hands them, and are expected to return soon after.
#[derive(Debug)]
pub struct Scope<E = Box<dyn std::error::Error + Send + Sync>> {
    tasks: JoinSet<Result<(), E>>,
    token: CancellationToken,
}

impl<E: Send + 'static> Scope<E> {
    /// A scope whose token is cancelled when `parent` is.
    pub fn child_of(parent: &CancellationToken) -> Self {
        Self { tasks: JoinSet::new(), token: parent.child_token() }
    }

    /// The token that every task of this scope receives.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Starts `task` with this scope's token.
    pub fn spawn<F, Fut>(&mut self, task: F)
    where
        F: FnOnce(CancellationToken) -> Fut,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
    {
        self.reap();
        self.tasks.spawn(task(self.token.clone()));
    }

    /// Tells every task to end.
    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// How many tasks have not been joined yet.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// True when no task is left to join.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Waits for every task. The first error cancels the others and is returned once they have ended.
    ///
    /// # Panics
    /// When a task panicked: a bug in one task is not hidden by its siblings.
    pub async fn join(mut self) -> Result<(), E> {
        let mut first = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = settle(ended)
                && first.is_ok()
            {
                self.token.cancel();
                first = Err(error);
            }
        }
        first
    }

    /// Waits until one task ends, and returns how; `None` when there is none.
    pub async fn join_next(&mut self) -> Option<Result<(), E>> {
        let ended = settle(self.tasks.join_next().await?);
        if ended.is_err() {
            self.token.cancel();
        }
        Some(ended)
    }

    /// Joins what has already ended, so that a scope that lives long (a server's connections) stays small.
    fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            if settle(ended).is_err() {
                self.token.cancel();
            }
        }
    }
}

fn settle<E>(ended: Result<Result<(), E>, tokio::task::JoinError>) -> Result<(), E> {
    match ended {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_failure_cancels_its_siblings() {
        let mut scope = Scope::<&str>::child_of(&CancellationToken::new());
        scope.spawn(|token| async move {
            token.cancelled().await;
            Ok(())
        });
        scope.spawn(|_| async { Err("failed") });
        assert_eq!(scope.join().await, Err("failed"));
    }

    #[tokio::test]
    async fn a_parents_cancellation_reaches_every_task() {
        let parent = CancellationToken::new();
        let mut scope = Scope::<&str>::child_of(&parent);
        scope.spawn(|token| async move {
            token.cancelled().await;
            Ok(())
        });
        parent.cancel();
        assert_eq!(scope.join().await, Ok(()));
    }

    #[tokio::test]
    async fn dropping_a_scope_aborts_its_tasks() {
        let (held, mut ended) = tokio::sync::mpsc::channel::<()>(1);
        let mut scope = Scope::<&str>::child_of(&CancellationToken::new());
        scope.spawn(|_| async move {
            let _held = held;
            std::future::pending().await
        });
        drop(scope);
        assert_eq!(ended.recv().await, None);
    }
}
