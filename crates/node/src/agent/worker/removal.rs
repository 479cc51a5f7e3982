//! The last steps of a pod: its final status is told, it is deleted from the API, its directory goes.

use std::time::Duration;

use coracle_client::{Key, is_conflict, is_not_found};
use coracle_stdx::Backoff;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Preconditions};
use tokio::time::Instant;
use tracing::warn;

use super::{Effect, Worker};
use crate::error::chain;

const RETRY_BASE: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// How far the removal of a pod has come.
#[derive(Debug)]
pub(super) struct Removal {
    step: Step,
    is_vanished: bool,
    backoff: Backoff,
}

#[derive(Debug, PartialEq)]
enum Step {
    NotWanted,
    Wanted,
    Asked,
    Again(Instant),
    Done,
}

impl Default for Removal {
    fn default() -> Self {
        Self { step: Step::NotWanted, is_vanished: false, backoff: Backoff::new(RETRY_BASE, RETRY_MAX) }
    }
}

impl Removal {
    pub(super) fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    pub(super) fn wanted(&mut self) {
        if self.step == Step::NotWanted {
            self.step = Step::Wanted;
        }
    }

    /// The pod is gone from the API, by whoever's hand.
    pub(super) fn vanished(&mut self) {
        self.is_vanished = true;
    }

    pub(super) fn due(&self) -> Option<Instant> {
        match self.step {
            Step::Again(at) => Some(at),
            Step::NotWanted | Step::Wanted | Step::Asked | Step::Done => None,
        }
    }

    pub(super) fn on_time(&mut self) {
        if self.due().is_some_and(|due| due <= Instant::now()) {
            self.step = Step::Wanted;
        }
    }

    pub(super) fn answered(&mut self, answer: Result<(), kube::Error>, pod: &Key) {
        match answer {
            Ok(()) => self.step = Step::Done,
            Err(error) if is_not_found(&error) || is_conflict(&error) => self.step = Step::Done,
            Err(error) => {
                warn!(%pod, error = %chain(&error), "pod not deleted, trying again");
                self.step = Step::Again(Instant::now() + self.backoff.next_delay_jittered());
            }
        }
    }
}

impl Worker {
    /// Deletes the pod once its last status is known.
    pub(super) fn remove_if_ready(&mut self) {
        match self.removal.step {
            Step::Wanted | Step::Again(_) if self.removal.is_vanished => self.removal.step = Step::Done,
            Step::Wanted if self.report.is_settled() => {
                self.removal.step = Step::Asked;
                let api: Api<Pod> = Api::namespaced(self.context.client.clone(), &self.handle.key.namespace);
                let (name, uid) = (self.handle.key.name.clone(), self.handle.uid.clone());
                self.begin(async move {
                    let params = DeleteParams {
                        grace_period_seconds: Some(0),
                        preconditions: Some(Preconditions { uid: Some(uid), resource_version: None }),
                        ..DeleteParams::default()
                    };
                    Effect::Deleted(api.delete(&name, &params).await.map(drop))
                });
            }
            Step::NotWanted | Step::Wanted | Step::Asked | Step::Again(_) | Step::Done => {}
        }
    }

    /// Removes all traces of the pod from this machine.
    pub(super) async fn forget(self) {
        let dir = self.handle.dir.clone();
        let remove = move || match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                warn!(path = %dir.display(), error = &error as &dyn std::error::Error, "pod's directory not removed");
            }
            Ok(()) | Err(_) => {}
        };
        tokio::task::spawn_blocking(remove).await.expect("removing directories does not panic");
        self.context.give_up_addresses(&self.handle.uid);
        self.context.pods.remove(&self.handle);
    }
}
