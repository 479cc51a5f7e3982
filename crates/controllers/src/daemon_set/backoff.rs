//! Nodes on which a set's pods keep failing: another one is tried later and later. A loop with a node that refuses its
//! pods would be as fast as the two of them.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use parking_lot::Mutex;

use super::plan::Plan;
use super::pod;
use crate::pods;

const FIRST: Duration = Duration::from_secs(1);
const MAX: Duration = Duration::from_secs(900);
/// Nodes of all sets that are remembered. Beyond it, those that failed longest ago are forgotten.
const NODES_MAX: usize = 10_000;

/// By the set's uid and the node's name.
#[derive(Default)]
pub(crate) struct Failures(Mutex<HashMap<(String, String), Failure>>);

#[derive(Clone, Copy)]
struct Failure {
    wait: Duration,
    last: Timestamp,
}

impl Failures {
    /// Takes failed pods out of the plan whose time has not come; returns when it will.
    pub(super) fn hold_back(&self, set: &DaemonSet, plan: &mut Plan, now: Timestamp) -> Option<Duration> {
        let uid = set.metadata.uid.clone().unwrap_or_default();
        let mut all = self.0.lock();
        let mut next: Option<Duration> = None;
        let (mut held, mut ended) = (Vec::new(), Vec::new());
        for pod in plan.ended.drain(..) {
            let wait = if pods::phase(&pod) == "Failed" {
                failed(&mut all, (uid.clone(), pod::node_of(&pod).to_owned()), now)
            } else {
                None
            };
            match wait {
                Some(wait) => {
                    next = Some(next.map_or(wait, |known| known.min(wait)));
                    held.push(pod.metadata.uid.clone());
                }
                None => ended.push(pod),
            }
        }
        plan.ended = ended;
        plan.delete.retain(|pod| !held.contains(&pod.metadata.uid));
        next
    }
}

/// How long to wait yet; `None` when another may be tried, which is noted.
fn failed(all: &mut HashMap<(String, String), Failure>, key: (String, String), now: Timestamp) -> Option<Duration> {
    let known = all.get(&key).copied();
    let since = |failure: Failure| Duration::try_from(now.duration_since(failure.last)).unwrap_or(Duration::ZERO);
    if let Some(failure) = known.filter(|failure| since(*failure) < failure.wait) {
        return Some(failure.wait - since(failure));
    }
    // After twice the longest wait without a failure, all is well again.
    let recent = known.filter(|failure| since(*failure) < MAX * 2);
    let wait = recent.map_or(FIRST, |failure| (failure.wait * 2).min(MAX));
    if all.len() >= NODES_MAX {
        let oldest = all.iter().min_by_key(|(_, failure)| failure.last).map(|(key, _)| key.clone());
        if let Some(oldest) = oldest {
            all.remove(&oldest);
        }
    }
    all.insert(key, Failure { wait, last: now });
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_keeps_failing_is_tried_later_and_later() {
        let mut all = HashMap::new();
        let mut at = |ms: i64| {
            let now = Timestamp::from_millisecond(ms).unwrap();
            failed(&mut all, ("set".into(), "node".into()), now).map(|wait| wait.as_millis())
        };
        assert_eq!(at(0), None);
        assert_eq!(at(400), Some(600));
        assert_eq!(at(1000), None);
        assert_eq!(at(1500), Some(1500));
        assert_eq!(at(3000), None);
        assert_eq!(at(3_000_000), None);
        assert_eq!(at(3_000_500), Some(500), "it began anew");
    }
}
