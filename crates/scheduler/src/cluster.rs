//! Nodes with the pods on them, kept up to date change by change, so that a decision copies nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use coracle_client::Key;
use k8s_openapi::api::core::v1::{Node, Taint};

use crate::labels::Labels;
use crate::resources::Resources;
use crate::storage::Storage;
use crate::subject::Subject;

/// A node, and what is taken of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeView {
    /// `None` while only pods of the node are known.
    pub(crate) node: Option<Arc<Node>>,
    pub(crate) allocatable: Resources,
    pub(crate) pods_max: usize,
    pub(crate) requested: Resources,
    /// As `requested`, with a share for pods that ask for nothing.
    pub(crate) compared: Resources,
    pub(crate) pods: HashMap<Key, Arc<Subject>>,
    /// How many pods of each managing owner are here.
    pub(crate) n_of_controller: HashMap<String, usize>,
}

impl NodeView {
    pub(crate) fn name(&self) -> &str {
        self.node.as_ref().and_then(|node| node.metadata.name.as_deref()).unwrap_or_default()
    }

    pub(crate) fn labels(&self) -> Option<&Labels> {
        self.node.as_ref()?.metadata.labels.as_ref()
    }

    pub(crate) fn taints(&self) -> &[Taint] {
        let spec = self.node.as_ref().and_then(|node| node.spec.as_ref());
        spec.and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
    }

    pub(crate) fn is_unschedulable(&self) -> bool {
        let spec = self.node.as_ref().and_then(|node| node.spec.as_ref());
        spec.and_then(|spec| spec.unschedulable).unwrap_or(false)
    }

    fn set(&mut self, node: Arc<Node>) {
        let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
        self.allocatable = Resources::of(allocatable);
        let pods = allocatable.and_then(|texts| texts.get("pods"));
        self.pods_max = pods.and_then(|text| text.0.parse().ok()).unwrap_or(0);
        self.node = Some(node);
    }

    fn add(&mut self, subject: Arc<Subject>) {
        self.requested += &subject.requested;
        self.compared += &subject.compared;
        if let Some(controller) = subject.controller() {
            *self.n_of_controller.entry(controller.to_owned()).or_default() += 1;
        }
        self.pods.insert(subject.key.clone(), subject);
    }

    fn remove(&mut self, key: &Key) {
        let Some(subject) = self.pods.remove(key) else { return };
        self.requested -= &subject.requested;
        self.compared -= &subject.compared;
        if let Some(controller) = subject.controller()
            && let Some(n) = self.n_of_controller.get_mut(controller)
        {
            *n -= 1;
            if *n == 0 {
                self.n_of_controller.remove(controller);
            }
        }
    }
}

/// All nodes, and where each pod is. A pod that was decided on counts before its binding is confirmed.
#[derive(Default)]
pub(crate) struct Cluster {
    nodes: BTreeMap<String, NodeView>,
    places: HashMap<Key, String>,
    assumed: HashMap<Key, String>,
    pub(crate) storage: Storage,
    /// Pods whose anti-affinity keeps others away.
    pub(crate) repelling: HashSet<Key>,
}

impl Cluster {
    /// Nodes that exist, by name.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &NodeView> {
        self.nodes.values().filter(|view| view.node.is_some())
    }

    pub(crate) fn node(&self, name: &str) -> Option<&NodeView> {
        self.nodes.get(name)
    }

    /// Where a pod is, or will be.
    pub(crate) fn place_of(&self, key: &Key) -> Option<&str> {
        self.places.get(key).map(String::as_str)
    }

    /// Sets or forgets a node. True when this may make room for a pod that found none.
    pub(crate) fn set_node(&mut self, name: &str, node: Option<Arc<Node>>) -> bool {
        let Some(node) = node else {
            if let Some(view) = self.nodes.get_mut(name) {
                view.node = None;
            }
            self.drop_if_empty(name);
            return false;
        };
        let view = self.nodes.entry(name.to_owned()).or_default();
        let is_better = view.node.as_ref().is_none_or(|known| offers_differ(known, &node));
        view.set(node);
        is_better
    }

    /// Takes a pod as the API shows it. True when room was made.
    pub(crate) fn set_pod(&mut self, subject: &Arc<Subject>) -> bool {
        if subject.is_finished() {
            return self.forget_pod(&subject.key);
        }
        if subject.node_name().is_empty() {
            return false;
        }
        if self.assumed.remove(&subject.key).is_some_and(|uid| uid != subject.uid()) {
            self.forget_pod(&subject.key);
        }
        self.place(subject.clone(), subject.node_name().to_owned());
        false
    }

    /// Counts a pod on a node that it was decided for.
    pub(crate) fn assume(&mut self, subject: Arc<Subject>, node: &str) {
        self.assumed.insert(subject.key.clone(), subject.uid().to_owned());
        self.place(subject, node.to_owned());
    }

    /// A binding failed: the pod is nowhere again.
    pub(crate) fn forget_assumed(&mut self, key: &Key, uid: &str) -> bool {
        if self.assumed.get(key).is_some_and(|assumed| assumed == uid) {
            self.assumed.remove(key);
            return self.forget_pod(key);
        }
        false
    }

    pub(crate) fn is_assumed(&self, key: &Key) -> bool {
        self.assumed.contains_key(key)
    }

    /// The pod is gone. True when room was made.
    pub(crate) fn forget_pod(&mut self, key: &Key) -> bool {
        self.assumed.remove(key);
        self.repelling.remove(key);
        let Some(name) = self.places.remove(key) else { return false };
        if let Some(view) = self.nodes.get_mut(&name) {
            view.remove(key);
        }
        self.drop_if_empty(&name);
        true
    }

    fn place(&mut self, subject: Arc<Subject>, node: String) {
        let key = subject.key.clone();
        if let Some(before) = self.places.insert(key.clone(), node.clone())
            && let Some(view) = self.nodes.get_mut(&before)
        {
            view.remove(&key);
        }
        if crate::affinity::repels(&subject) {
            self.repelling.insert(key);
        }
        self.nodes.entry(node).or_default().add(subject);
    }

    fn drop_if_empty(&mut self, name: &str) {
        if self.nodes.get(name).is_some_and(|view| view.node.is_none() && view.pods.is_empty()) {
            self.nodes.remove(name);
        }
    }
}

/// A heartbeat changes nothing that a pod looks at.
fn offers_differ(known: &Node, node: &Node) -> bool {
    let allocatable = |node: &Node| node.status.as_ref().and_then(|status| status.allocatable.clone());
    known.spec != node.spec || known.metadata.labels != node.metadata.labels || allocatable(known) != allocatable(node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod};

    #[test]
    fn what_is_taken_follows_the_pods() {
        let mut cluster = Cluster::default();
        assert!(cluster.set_node("n1", Some(node("n1", "4", "8Gi"))));
        let subject = Arc::new(Subject::new(pod("a", "1", "1Gi")));
        cluster.assume(subject.clone(), "n1");
        assert_eq!(cluster.node("n1").unwrap().requested.milli_cpu, 1000);
        assert!(cluster.is_assumed(&subject.key));
        let mut bound = (*subject.pod).clone();
        bound.spec.as_mut().unwrap().node_name = Some("n1".into());
        cluster.set_pod(&Arc::new(Subject::new(Arc::new(bound))));
        assert!(!cluster.is_assumed(&subject.key));
        assert_eq!(cluster.node("n1").unwrap().requested.milli_cpu, 1000, "it is counted once");
        assert!(!cluster.forget_assumed(&subject.key, subject.uid()), "what is confirmed stays");
        assert!(cluster.forget_pod(&subject.key));
        assert_eq!(cluster.node("n1").unwrap().requested, Resources::default());
    }

    #[test]
    fn a_heartbeat_makes_no_room() {
        let mut cluster = Cluster::default();
        cluster.set_node("n1", Some(node("n1", "4", "8Gi")));
        assert!(!cluster.set_node("n1", Some(node("n1", "4", "8Gi"))));
        assert!(cluster.set_node("n1", Some(node("n1", "5", "8Gi"))));
    }

    #[test]
    fn a_node_that_is_gone_offers_nothing_though_its_pods_remain() {
        let mut cluster = Cluster::default();
        cluster.set_node("n1", Some(node("n1", "4", "8Gi")));
        let subject = Arc::new(Subject::new(pod("a", "1", "1Gi")));
        cluster.assume(subject.clone(), "n1");
        cluster.set_node("n1", None);
        assert_eq!(cluster.nodes().count(), 0);
        cluster.forget_pod(&subject.key);
        assert!(cluster.nodes.is_empty());
    }
}
