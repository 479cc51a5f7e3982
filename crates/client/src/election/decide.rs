//! Whether a candidate may lead. Pure; the time is given.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

/// What a candidate does about a lease.
#[derive(Debug, PartialEq)]
pub(super) enum Decision {
    /// It leads, once it has written this.
    Lead(LeaseSpec),
    /// Somebody else leads, and does so for this long at least.
    Follow(Duration),
}

/// `unchanged_for` is how long the candidate has seen the lease as it is now.
pub(super) fn decide(
    lease: Option<&LeaseSpec>,
    unchanged_for: Duration,
    now: Timestamp,
    identity: &str,
    duration: Duration,
) -> Decision {
    let held = LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: Some(i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)),
        acquire_time: Some(MicroTime(now)),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(0),
        ..LeaseSpec::default()
    };
    let Some(lease) = lease else { return Decision::Lead(held) };
    let holder = lease.holder_identity.as_deref().unwrap_or_default();
    let n_transitions = lease.lease_transitions.unwrap_or(0);
    let others =
        LeaseSpec { strategy: lease.strategy.clone(), preferred_holder: lease.preferred_holder.clone(), ..held };
    if holder == identity {
        let acquire_time = lease.acquire_time.clone().or(others.acquire_time);
        return Decision::Lead(LeaseSpec { acquire_time, lease_transitions: Some(n_transitions), ..others });
    }
    let seconds = u64::try_from(lease.lease_duration_seconds.unwrap_or(0)).unwrap_or(0);
    let left = Duration::from_secs(seconds).saturating_sub(unchanged_for);
    if !holder.is_empty() && !left.is_zero() {
        return Decision::Follow(left);
    }
    Decision::Lead(LeaseSpec { lease_transitions: Some(n_transitions + 1), ..others })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(12);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn lease(holder: &str, acquired: i64, renewed: i64, n_transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(12),
            acquire_time: Some(MicroTime(at(acquired))),
            renew_time: Some(MicroTime(at(renewed))),
            lease_transitions: Some(n_transitions),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_candidate_leads_when_nobody_else_does() {
        let seconds = Duration::from_secs;
        let table = [
            ("there is no lease", None, 0, Decision::Lead(lease("me", 100, 100, 0))),
            ("it leads already", Some(lease("me", 50, 90, 3)), 0, Decision::Lead(lease("me", 50, 100, 3))),
            ("its former self led long ago", Some(lease("me", 50, 60, 3)), 90, Decision::Lead(lease("me", 50, 100, 3))),
            ("another leads", Some(lease("you", 50, 99, 3)), 5, Decision::Follow(seconds(7))),
            ("another's clock is behind", Some(lease("you", 1, 2, 3)), 0, Decision::Follow(seconds(12))),
            ("another fell silent", Some(lease("you", 50, 99, 3)), 12, Decision::Lead(lease("me", 100, 100, 4))),
            ("another gave up", Some(lease("", 50, 99, 3)), 0, Decision::Lead(lease("me", 100, 100, 4))),
        ];
        for (name, known, unchanged_for, decision) in table {
            assert_eq!(decide(known.as_ref(), seconds(unchanged_for), at(100), "me", LEASE), decision, "{name}");
        }
    }
}
