//! What a worker does when its node stops: containers end, and the API is told nothing, for the pod goes on later.

use std::time::Duration;

use futures::StreamExt;

use super::{Effect, Worker};

/// How long a killed container may take to be gone.
const KILL_MAX: Duration = Duration::from_secs(2);

impl Worker {
    pub(super) async fn drain(mut self) {
        for running in self.handle.running.lock().values() {
            running.container.terminate();
        }
        let patience = self.context.config.drain;
        if tokio::time::timeout(patience, self.quiet()).await.is_err() {
            for running in self.handle.running.lock().values() {
                running.container.kill();
            }
            let _ = tokio::time::timeout(KILL_MAX, self.quiet()).await;
        }
        let log = |running: &super::Running| running.log.clone();
        let left: Vec<_> = self.handle.running.lock().values().map(log).collect();
        for log in left {
            log.close().await;
        }
        self.context.pods.remove(&self.handle);
    }

    /// Returns when no container runs.
    async fn quiet(&mut self) {
        while !self.handle.running.lock().is_empty() {
            match self.effects.next().await {
                Some(Effect::Exited { container, .. }) => {
                    self.handle.running.lock().remove(&container);
                }
                Some(_) => {}
                None => return,
            }
        }
    }
}
