//! A Lease that its holder renews, so that others know it lives. It elects nobody.

use std::time::Duration;

use coracle_stdx::{Backoff, CancellationToken, Clock};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::api::PostParams;
use kube::{Api, Client};
use tracing::warn;

use crate::{Error, Key, is_already_exists, is_conflict, is_not_found};

const RETRY_BASE: Duration = Duration::from_millis(200);

/// One lease, held by one holder.
pub struct Heartbeat {
    api: Api<Lease>,
    key: Key,
    holder: String,
    duration: Duration,
    clock: Clock,
    owner: Option<OwnerReference>,
    known: Option<Lease>,
}

impl Heartbeat {
    /// A heartbeat through the lease `key`, good for `duration` after each beat.
    pub fn new(client: Client, key: Key, holder: impl Into<String>, duration: Duration, clock: Clock) -> Self {
        let api = Api::namespaced(client, &key.namespace);
        Self { api, key, holder: holder.into(), duration, clock, owner: None, known: None }
    }

    /// Lets the lease go with its owner.
    #[must_use]
    pub fn owned_by(mut self, owner: OwnerReference) -> Self {
        self.owner = Some(owner);
        self
    }

    /// Creates or renews the lease, once.
    pub async fn beat(&mut self) -> Result<(), Error> {
        match self.try_beat().await {
            Ok(lease) => {
                self.known = Some(lease);
                Ok(())
            }
            Err(source) => {
                if is_conflict(&source) || is_not_found(&source) || is_already_exists(&source) {
                    self.known = None;
                }
                Err(Error::Lease { lease: self.key.clone(), source: Box::new(source) })
            }
        }
    }

    /// Beats every `interval` until the token is cancelled; sooner after a failure.
    pub async fn run(mut self, interval: Duration, token: CancellationToken) {
        let mut backoff = Backoff::new(RETRY_BASE.min(interval), interval);
        while let Some(beat) = token.run_until_cancelled(self.beat()).await {
            let pause = match beat {
                Ok(()) => {
                    backoff.reset();
                    interval
                }
                Err(error) => {
                    warn!(lease = %self.key, error = &error as &dyn std::error::Error, "heartbeat failed");
                    backoff.next_delay_jittered()
                }
            };
            token.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    async fn try_beat(&mut self) -> kube::Result<Lease> {
        let known = match self.known.take() {
            Some(lease) => Some(lease),
            None => self.api.get_opt(&self.key.name).await?,
        };
        let now = MicroTime(self.clock.now());
        match known {
            Some(lease) => {
                let lease = self.renewed(lease, now);
                self.api.replace(&self.key.name, &PostParams::default(), &lease).await
            }
            None => self.api.create(&PostParams::default(), &self.renewed(self.unheld(), now)).await,
        }
    }

    fn unheld(&self) -> Lease {
        Lease {
            metadata: ObjectMeta {
                namespace: Some(self.key.namespace.clone()),
                name: Some(self.key.name.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec::default()),
        }
    }

    fn renewed(&self, mut lease: Lease, now: MicroTime) -> Lease {
        if let Some(owner) = &self.owner {
            lease.metadata.owner_references = Some(vec![owner.clone()]);
        }
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(&self.holder) {
            spec.holder_identity = Some(self.holder.clone());
            spec.acquire_time = None;
        }
        spec.lease_duration_seconds = Some(i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX));
        spec.renew_time = Some(now);
        lease
    }
}
