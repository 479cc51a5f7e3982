//! Notices nodes that fell silent, by their leases and heartbeats, and marks them. It evicts nobody.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use coracle_client::{EventType, Key, Recorder};
use coracle_stdx::Clock;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::json;

use super::{NodeTimings, READY, condition};
use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::informers::{Informers, NODE_LEASES};
use crate::{Error, batch};

/// Nodes not looked at for so many periods were not looked at because we were held up.
const HELD_UP_PERIODS: u32 = 3;
/// What a node that is heard of says about itself.
const CONDITIONS: [&str; 4] = [READY, "MemoryPressure", "DiskPressure", "PIDPressure"];

pub(crate) struct NodeHealth {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) recorder: Recorder,
    pub(crate) clock: Clock,
    pub(crate) timings: NodeTimings,
    pub(crate) signs: Mutex<Signs>,
}

/// The last sign of life of each node, by our own clock: the node's clock may be wrong.
#[derive(Default)]
pub(crate) struct Signs {
    by_node: HashMap<String, Sign>,
    looked_at: Option<Timestamp>,
}

struct Sign {
    shown: Shown,
    at: Timestamp,
}

#[derive(PartialEq)]
struct Shown {
    renewed: Option<MicroTime>,
    heartbeat: Option<Time>,
}

impl Signs {
    /// Begins a look at all nodes. The time in which we should have looked and did not, because this process was held up,
    /// is nobody's silence.
    fn look(&mut self, now: Timestamp, period: Duration) {
        let since = self.looked_at.replace(now).and_then(|before| Duration::try_from(now.duration_since(before)).ok());
        if let Some(held_up) = since.and_then(|since| since.checked_sub(HELD_UP_PERIODS * period)) {
            self.by_node.values_mut().for_each(|sign| sign.at += held_up + HELD_UP_PERIODS * period);
        }
    }

    /// When the node last gave a sign of life.
    fn note(&mut self, node: &Node, lease: Option<&Lease>, now: Timestamp) -> Timestamp {
        let shown = Shown {
            renewed: lease.and_then(|lease| lease.spec.as_ref()?.renew_time.clone()),
            heartbeat: condition(node, READY).and_then(|ready| ready.last_heartbeat_time.clone()),
        };
        let name = node.metadata.name.clone().unwrap_or_default();
        match self.by_node.get(&name) {
            Some(sign) if sign.shown == shown => sign.at,
            Some(_) | None => {
                self.by_node.insert(name, Sign { shown, at: now });
                now
            }
        }
    }

    fn keep(&mut self, names: impl Fn(&str) -> bool) {
        self.by_node.retain(|name, _| names(name));
    }
}

/// The conditions to write on a node that was last heard of at `heard`; none while it is within its grace.
pub(crate) fn silence(node: &Node, heard: Timestamp, now: Timestamp, timings: &NodeTimings) -> Vec<NodeCondition> {
    let created = node.metadata.creation_timestamp.as_ref().map_or(heard, |time| time.0);
    let (since, grace) = match condition(node, READY) {
        Some(_) => (heard, timings.grace_period),
        None => (created, timings.startup_grace_period),
    };
    if now <= since + grace {
        return Vec::new();
    }
    let unknown = |condition_type: &&str| match condition(node, condition_type) {
        Some(known) if known.status == "Unknown" => None,
        Some(known) => Some(NodeCondition {
            status: "Unknown".to_owned(),
            reason: Some("NodeStatusUnknown".to_owned()),
            message: Some("Kubelet stopped posting node status.".to_owned()),
            last_transition_time: Some(Time(now)),
            ..known.clone()
        }),
        None => Some(NodeCondition {
            type_: (*condition_type).to_owned(),
            status: "Unknown".to_owned(),
            reason: Some("NodeStatusNeverUpdated".to_owned()),
            message: Some("Kubelet never posted node status.".to_owned()),
            last_heartbeat_time: Some(Time(created)),
            last_transition_time: Some(Time(now)),
        }),
    };
    CONDITIONS.iter().filter_map(unknown).collect()
}

impl Reconcile for NodeHealth {
    /// Looks at all nodes, whatever the key.
    async fn reconcile(&self, _all: &Key) -> Result<Next, Error> {
        let now = self.clock.now();
        let nodes = self.informers.nodes.list();
        let silent: Vec<(Arc<Node>, Vec<NodeCondition>)> = {
            let mut signs = self.signs.lock();
            signs.look(now, self.timings.monitor_period);
            signs.keep(|name| self.informers.nodes.get("", name).is_some());
            let silence = |node: Arc<Node>| {
                let lease = self.informers.leases.get(NODE_LEASES, node.metadata.name.as_deref().unwrap_or_default());
                let heard = signs.note(&node, lease.as_deref(), now);
                let conditions = silence(&node, heard, now, &self.timings);
                (!conditions.is_empty()).then_some((node, conditions))
            };
            nodes.into_iter().filter_map(silence).collect()
        };
        let (_, failure) = batch::all(silent, |(node, conditions)| self.mark(node, conditions)).await;
        failure.map_or(Ok(Next::Change), Err)
    }
}

impl NodeHealth {
    async fn mark(&self, node: Arc<Node>, conditions: Vec<NodeCondition>) -> Result<(), Error> {
        let key = Key::of(&node.metadata);
        let was_ready = condition(&node, READY).is_some_and(|ready| ready.status == "True");
        let patch = json!({"metadata": {"uid": node.metadata.uid}, "status": {"conditions": conditions}});
        let api: Api<Node> = Api::all(self.client.clone());
        let answer = api.patch_status(&key.name, &PatchParams::default(), &Patch::Strategic(patch)).await;
        answer.unless_gone().map_err(Error::at("mark as silent node", key.clone()))?;
        if was_ready {
            let text = format!("Node {} status is now: NodeNotReady", key.name);
            self.recorder.event(&*node, EventType::Normal, "NodeNotReady", text);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn node(conditions: serde_json::Value) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": "n1", "creationTimestamp": "1970-01-01T00:00:00Z"},
            "status": {"conditions": conditions},
        }))
        .unwrap()
    }

    fn lease(second: i64) -> Lease {
        let renew_time = Some(MicroTime(at(second)));
        let spec = k8s_openapi::api::coordination::v1::LeaseSpec { renew_time, ..Default::default() };
        Lease { spec: Some(spec), ..Lease::default() }
    }

    #[test]
    fn a_node_lives_as_long_as_its_lease_moves_whatever_its_clock_says() {
        let (mut signs, node) = (Signs::default(), node(json!([{"type": "Ready", "status": "True"}])));
        assert_eq!(signs.note(&node, Some(&lease(5)), at(100)), at(100));
        assert_eq!(signs.note(&node, Some(&lease(5)), at(110)), at(100));
        assert_eq!(signs.note(&node, Some(&lease(6)), at(120)), at(120));
        signs.keep(|_| false);
        assert_eq!(signs.note(&node, Some(&lease(6)), at(130)), at(130));
    }

    #[test]
    fn what_was_not_looked_at_is_not_silence() {
        let (mut signs, node) = (Signs::default(), node(json!([{"type": "Ready", "status": "True"}])));
        let period = Duration::from_secs(5);
        let mut heard = |second| {
            signs.look(at(second), period);
            signs.note(&node, Some(&lease(5)), at(second))
        };
        assert_eq!(heard(100), at(100));
        assert_eq!(heard(110), at(100));
        // This process stood still for minutes.
        assert_eq!(heard(410), at(400));
        assert_eq!(heard(415), at(400));
    }

    #[test]
    fn a_silent_node_is_unknown_after_its_grace() {
        let timings = NodeTimings { grace_period: Duration::from_secs(40), ..NodeTimings::default() };
        let node = node(json!([{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "Unknown"}]));
        assert!(silence(&node, at(100), at(140), &timings).is_empty());
        let conditions = silence(&node, at(100), at(141), &timings);
        let said: Vec<_> = conditions
            .iter()
            .map(|c| {
                format!("{} {} {}: {}", c.type_, c.status, c.reason.as_ref().unwrap(), c.message.as_ref().unwrap())
            })
            .collect();
        insta::assert_snapshot!(said.join("\n"), @r#"
        Ready Unknown NodeStatusUnknown: Kubelet stopped posting node status.
        MemoryPressure Unknown NodeStatusNeverUpdated: Kubelet never posted node status.
        PIDPressure Unknown NodeStatusNeverUpdated: Kubelet never posted node status.
        "#);
    }

    #[test]
    fn a_node_that_never_spoke_has_longer() {
        let timings = NodeTimings::default();
        assert!(silence(&node(json!([])), at(0), at(60), &timings).is_empty());
        assert_eq!(silence(&node(json!([])), at(0), at(61), &timings).len(), 4);
    }
}
