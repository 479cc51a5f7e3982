//! The scheduler's state and what it does with each change. No I/O and no clock: the shell feeds it and does its bidding.

use std::sync::Arc;

use coracle_client::{Change, Key};
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use tokio::time::Instant;

use crate::affinity;
use crate::cluster::Cluster;
use crate::decide::{self, Verdict};
use crate::queue::Queue;
use crate::subject::Subject;

/// What is to be done for one pod.
#[derive(Debug)]
pub(crate) enum Task {
    Bind {
        subject: Arc<Subject>,
        node: String,
    },
    /// Let the volumes of these claims be made on the node; the pod is looked at again when they are.
    Prepare {
        subject: Arc<Subject>,
        node: String,
        claims: Vec<Key>,
    },
    Explain {
        subject: Arc<Subject>,
        message: String,
    },
}

pub(crate) struct Core {
    name: String,
    cluster: Cluster,
    queue: Queue,
    turn: usize,
}

impl Core {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), cluster: Cluster::default(), queue: Queue::default(), turn: 0 }
    }

    pub(crate) fn on_node(&mut self, change: &Change<Node>, now: Instant) {
        if self.cluster.set_node(&change.key.name, change.new.clone()) {
            self.queue.move_all(now);
        }
    }

    pub(crate) fn on_pod(&mut self, change: &Change<Pod>, now: Instant) {
        let Some(pod) = &change.new else {
            self.queue.remove(&change.key);
            let is_room_made = self.cluster.forget_pod(&change.key);
            return self.after_room(is_room_made, now);
        };
        let subject = Arc::new(Subject::new(pod.clone()));
        if subject.is_pending_for(&self.name) {
            if !self.cluster.is_assumed(&subject.key) {
                self.queue.set(subject, now);
            }
            return;
        }
        self.queue.remove(&subject.key);
        let is_new_here = self.cluster.place_of(&subject.key).is_none();
        let is_room_made = self.cluster.set_pod(&subject);
        let is_company = is_new_here && self.queue.is_anybody_stuck(affinity::looks_at_others);
        self.after_room(is_room_made || is_company, now);
    }

    pub(crate) fn on_claim(&mut self, change: &Change<PersistentVolumeClaim>, now: Instant) {
        self.cluster.storage.on_claim(change);
        self.queue.move_all(now);
    }

    pub(crate) fn on_volume(&mut self, change: &Change<PersistentVolume>, now: Instant) {
        self.cluster.storage.on_volume(change);
        self.queue.move_all(now);
    }

    pub(crate) fn on_class(&mut self, change: &Change<StorageClass>, now: Instant) {
        self.cluster.storage.on_class(change);
        self.queue.move_all(now);
    }

    fn after_room(&mut self, is_room_made: bool, now: Instant) {
        if is_room_made {
            self.queue.move_all(now);
        }
    }

    /// Looks at the next pod, if one waits. A pod that gets a node counts there from now on.
    pub(crate) fn next_task(&mut self, now: Instant) -> Option<Task> {
        let subject = self.queue.pop(now)?;
        self.turn = self.turn.wrapping_add(1);
        match decide::decide(&subject, &self.cluster, self.turn) {
            Verdict::Node(node, claims) if !claims.is_empty() => {
                self.queue.put_back_unschedulable(&subject.key, now);
                Some(Task::Prepare { subject, node, claims })
            }
            Verdict::Node(node, _) => {
                self.cluster.assume(subject.clone(), &node);
                Some(Task::Bind { subject, node })
            }
            Verdict::Nowhere(nowhere) => {
                self.queue.put_back_unschedulable(&subject.key, now);
                Some(Task::Explain { subject, message: nowhere.message() })
            }
        }
    }

    pub(crate) fn on_bound(&mut self, subject: &Subject) {
        self.queue.remove(&subject.key);
    }

    pub(crate) fn on_bind_failed(&mut self, subject: &Subject, now: Instant) {
        let is_room_made = self.cluster.forget_assumed(&subject.key, subject.uid());
        self.queue.put_back(&subject.key, now);
        self.after_room(is_room_made, now);
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.queue.next_due()
    }

    pub(crate) fn depths(&self) -> (usize, usize, usize) {
        self.queue.depths()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::testing::{changed, node, pod};

    fn seen<K>(name: &str, namespace: &str, new: Option<Arc<K>>) -> Change<K> {
        Change { key: Key::new(namespace, name), old: None, new }
    }

    fn with_node() -> (Core, Instant) {
        let (mut core, now) = (Core::new("default-scheduler"), Instant::now());
        core.on_node(&seen("n1", "", Some(node("n1", "1", "1Gi"))), now);
        (core, now)
    }

    #[test]
    fn a_pod_waits_for_room_and_gets_it() {
        let (mut core, now) = with_node();
        core.on_pod(&seen("a", "default", Some(pod("a", "1", "1"))), now);
        core.on_pod(&seen("b", "default", Some(pod("b", "1", "1"))), now);
        let Some(Task::Bind { subject, node }) = core.next_task(now) else { panic!() };
        assert_eq!((subject.key.name.as_str(), node.as_str()), ("a", "n1"));
        let Some(Task::Explain { message, .. }) = core.next_task(now) else { panic!() };
        assert!(message.starts_with("0/1 nodes are available: 1 Insufficient cpu."), "{message}");
        core.on_bound(&subject);
        assert!(core.next_task(now).is_none());
        core.on_pod(&seen("a", "default", None), now);
        assert!(matches!(core.next_task(now + Duration::from_secs(1)), Some(Task::Bind { .. })));
    }

    #[test]
    fn a_binding_that_failed_frees_its_place_and_is_tried_again() {
        let (mut core, now) = with_node();
        core.on_pod(&seen("a", "default", Some(pod("a", "1", "1"))), now);
        let Some(Task::Bind { subject, .. }) = core.next_task(now) else { panic!() };
        core.on_bind_failed(&subject, now);
        assert!(core.next_task(now).is_none(), "it backs off");
        assert!(matches!(core.next_task(now + Duration::from_secs(1)), Some(Task::Bind { .. })));
    }

    #[test]
    fn an_old_view_of_a_pod_that_is_being_bound_is_ignored() {
        let (mut core, now) = with_node();
        core.on_pod(&seen("a", "default", Some(pod("a", "1", "1"))), now);
        let Some(Task::Bind { subject, .. }) = core.next_task(now) else { panic!() };
        core.on_bound(&subject);
        core.on_pod(&seen("a", "default", Some(pod("a", "1", "1"))), now);
        assert!(core.next_task(now).is_none());
    }

    #[test]
    fn pods_of_other_schedulers_and_gated_pods_are_left_alone() {
        let (mut core, now) = with_node();
        for spec in [json!({"schedulerName": "none"}), json!({"schedulingGates": [{"name": "g"}]})] {
            core.on_pod(&seen("a", "default", Some(changed(&pod("a", "1", "1"), json!({"spec": spec})))), now);
        }
        assert!(core.next_task(now).is_none());
    }

    #[test]
    fn a_finished_pod_makes_room() {
        let (mut core, now) = with_node();
        let bound = changed(&pod("a", "1", "1"), json!({"spec": {"nodeName": "n1"}}));
        core.on_pod(&seen("a", "default", Some(bound.clone())), now);
        core.on_pod(&seen("b", "default", Some(pod("b", "1", "1"))), now);
        assert!(matches!(core.next_task(now), Some(Task::Explain { .. })));
        let finished = changed(&bound, json!({"status": {"phase": "Succeeded"}}));
        core.on_pod(&seen("a", "default", Some(finished)), now);
        assert!(matches!(core.next_task(now + Duration::from_secs(1)), Some(Task::Bind { .. })));
    }
}
