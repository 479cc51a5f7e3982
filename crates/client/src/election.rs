//! One leader among several candidates, by a lease that the leader renews. It never lets two act at once.
//!
//! The leader gives up before its lease ends for the others: it counts from before its last successful renewal, they from
//! after. They count by their own clocks, from when they first saw the lease as it is: times within a lease are for people.

mod decide;

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use coracle_stdx::{Backoff, CancellationToken, Clock};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info, warn};

use self::decide::{Decision, decide};
use crate::{Key, is_already_exists, is_conflict, is_not_found};

/// How long a leader that ends tries to tell the others.
const RELEASE_MAX: Duration = Duration::from_secs(2);

/// How fast leadership moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElectionTimings {
    /// Candidates wait so long after the last renewal that they saw.
    pub lease: Duration,
    /// A leader that could not renew for so long stops leading.
    pub renew_deadline: Duration,
    /// Between two renewals, and between two looks of a candidate.
    pub retry: Duration,
}

impl Default for ElectionTimings {
    /// Kubernetes has 15 s, 10 s and 2 s; with these, another leads less than 15 s after the leader fell silent.
    fn default() -> Self {
        Self { lease: Duration::from_secs(12), renew_deadline: Duration::from_secs(8), retry: Duration::from_secs(2) }
    }
}

/// A candidate.
pub struct Election {
    api: Api<Lease>,
    key: Key,
    identity: String,
    timings: ElectionTimings,
    clock: Clock,
    known: Option<Lease>,
    /// Since when the lease has been as it is known.
    since: Instant,
}

/// What an attempt to lead came to.
enum Attempt {
    Leads,
    /// Somebody else leads; nothing changes before this long.
    Follows(Duration),
}

impl Election {
    /// A candidate for the lease `key`. Whoever has the same identity is taken for the same: a process that was killed and
    /// returns leads at once.
    ///
    /// Needs a tokio runtime.
    pub fn new(client: Client, key: Key, identity: impl Into<String>, clock: Clock) -> Self {
        let api = Api::namespaced(client, &key.namespace);
        let (identity, timings) = (identity.into(), ElectionTimings::default());
        Self { api, key, identity, timings, clock, known: None, since: Instant::now() }
    }

    /// Calls `lead` whenever this candidate leads, until `token` is cancelled or what it leads has ended. A leadership that
    /// is lost cancels the token that `lead` was given, and what does not end in time is dropped.
    pub async fn run<E, F>(mut self, token: CancellationToken, lead: impl Fn(CancellationToken) -> F) -> Result<(), E>
    where
        F: Future<Output = Result<(), E>>,
    {
        while let Some(renewed) = token.run_until_cancelled(self.acquire()).await {
            info!(lease = %self.key, identity = self.identity, "began to lead");
            let leading = token.child_token();
            let mut work = pin!(lead(leading.clone()));
            tokio::select! {
                outcome = &mut work => {
                    self.release().await;
                    return outcome;
                }
                () = self.renew(renewed) => leading.cancel(),
            }
            warn!(lease = %self.key, identity = self.identity, "lost the lead");
            let left = self.timings.lease - self.timings.renew_deadline;
            if let Ok(outcome) = timeout(left / 2, work).await {
                outcome?;
            }
        }
        Ok(())
    }

    /// Waits until this candidate leads; returns since when.
    async fn acquire(&mut self) -> Instant {
        let mut pauses = Backoff::new(self.timings.retry, self.timings.retry);
        loop {
            let started = Instant::now();
            let attempt = timeout(self.timings.renew_deadline, self.attempt()).await;
            let pause = pauses.next_delay_jittered();
            match attempt {
                Ok(Ok(Attempt::Leads)) => return started,
                Ok(Ok(Attempt::Follows(left))) => sleep(left.min(pause)).await,
                Ok(Err(error)) => {
                    self.failed(&error);
                    sleep(pause).await;
                }
                Err(_) => {
                    debug!(lease = %self.key, "no answer about the lead");
                    sleep(pause).await;
                }
            }
        }
    }

    /// Renews for as long as that succeeds; returns when the lead is lost.
    async fn renew(&mut self, mut renewed: Instant) {
        loop {
            sleep(self.timings.retry).await;
            let deadline = renewed + self.timings.renew_deadline;
            renewed = match timeout_at(deadline, self.renew_once()).await {
                Ok(Some(renewed)) => renewed,
                Ok(None) | Err(_) => return,
            };
        }
    }

    /// Tries until it succeeds, or somebody else leads.
    async fn renew_once(&mut self) -> Option<Instant> {
        loop {
            let started = Instant::now();
            match self.attempt().await {
                Ok(Attempt::Leads) => return Some(started),
                Ok(Attempt::Follows(_)) => return None,
                Err(error) => {
                    self.failed(&error);
                    sleep(self.timings.retry).await;
                }
            }
        }
    }

    fn failed(&self, error: &kube::Error) {
        debug!(lease = %self.key, error = error as &dyn std::error::Error, "attempt to lead failed");
    }

    /// One look and, if this candidate may lead, one write.
    async fn attempt(&mut self) -> kube::Result<Attempt> {
        let is_ours = |lease: &Lease| holder(lease) == Some(&*self.identity);
        let lease = match self.known.take_if(|lease| is_ours(lease)) {
            Some(lease) => Some(lease),
            None => self.look().await?,
        };
        let now = self.clock.now();
        let spec = lease.as_ref().map(|lease| lease.spec.clone().unwrap_or_default());
        let spec = match decide(spec.as_ref(), self.since.elapsed(), now, &self.identity, self.timings.lease) {
            Decision::Follow(left) => return Ok(Attempt::Follows(left)),
            Decision::Lead(spec) => spec,
        };
        match self.write(lease, spec).await {
            Ok(written) => {
                self.note(written);
                Ok(Attempt::Leads)
            }
            // Somebody else was here: the next attempt looks anew.
            Err(error) if is_conflict(&error) || is_already_exists(&error) || is_not_found(&error) => {
                self.look().await?;
                let is_still_ours = self.known.as_ref().is_some_and(|lease| holder(lease) == Some(&*self.identity));
                if is_still_ours { Err(error) } else { Ok(Attempt::Follows(self.timings.lease)) }
            }
            Err(error) => Err(error),
        }
    }

    async fn look(&mut self) -> kube::Result<Option<Lease>> {
        let found = self.api.get_opt(&self.key.name).await?;
        match found.clone() {
            Some(lease) => self.note(lease),
            None => self.known = None,
        }
        Ok(found)
    }

    fn note(&mut self, lease: Lease) {
        if self.known.as_ref().map(|known| &known.spec) != Some(&lease.spec) {
            self.since = Instant::now();
        }
        self.known = Some(lease);
    }

    async fn write(&self, lease: Option<Lease>, spec: LeaseSpec) -> kube::Result<Lease> {
        match lease {
            Some(lease) => {
                let lease = Lease { spec: Some(spec), ..lease };
                self.api.replace(&self.key.name, &PostParams::default(), &lease).await
            }
            None => {
                let metadata = ObjectMeta {
                    namespace: Some(self.key.namespace.clone()),
                    name: Some(self.key.name.clone()),
                    ..ObjectMeta::default()
                };
                self.api.create(&PostParams::default(), &Lease { metadata, spec: Some(spec) }).await
            }
        }
    }

    /// Tells the others that nobody leads any more, so that they need not wait.
    async fn release(&mut self) {
        let Some(lease) = self.known.take().filter(|lease| holder(lease) == Some(&*self.identity)) else { return };
        let now = MicroTime(self.clock.now());
        let spec = LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            renew_time: Some(now.clone()),
            acquire_time: Some(now),
            ..lease.spec.clone().unwrap_or_default()
        };
        match timeout(RELEASE_MAX, self.write(Some(lease), spec)).await {
            Ok(Ok(_)) => info!(lease = %self.key, "gave up the lead"),
            Ok(Err(error)) => self.failed(&error),
            Err(_) => debug!(lease = %self.key, "could not give up the lead in time"),
        }
    }
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref()
}

#[cfg(test)]
mod tests;
