//! The roads from the API server to the nodes: one router per node, in this process or at the end of a connection.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use axum::Router;
use coracle_api::status::Status;
use parking_lot::RwLock;

/// Every node that can be asked for logs and the like. Cheap to clone; all clones are one registry.
#[derive(Clone, Default)]
pub struct Kubelets(Arc<Inner>);

/// Makes the road to a node by its name.
type MakeRoad = Box<dyn Fn(&str) -> Router + Send + Sync>;

#[derive(Default)]
struct Inner {
    known: RwLock<HashMap<String, Router>>,
    others: OnceLock<MakeRoad>,
}

impl std::fmt::Debug for Kubelets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.known.read().keys()).finish()
    }
}

impl Kubelets {
    /// From now on, `node` is asked through `road`, which serves the plain HTTP paths of a kubelet.
    pub fn register(&self, node: impl Into<String>, road: Router) {
        self.0.known.write().insert(node.into(), road);
    }

    /// `node` cannot be asked any more.
    pub fn unregister(&self, node: &str) {
        self.0.known.write().remove(node);
    }

    /// Nodes that are not registered are asked through the road that this makes. Only the first call counts.
    pub fn reach_others(&self, road: impl Fn(&str) -> Router + Send + Sync + 'static) {
        let _ = self.0.others.set(Box::new(road));
    }

    /// The road to any node of this process.
    pub(crate) fn any(&self) -> Option<Router> {
        self.0.known.read().values().next().cloned()
    }

    /// The road to `node`.
    pub(crate) fn get(&self, node: &str) -> Option<Router> {
        let known = self.0.known.read().get(node).cloned();
        known.or_else(|| Some(self.0.others.get()?(node)))
    }
}

/// What is answered when there is no road to `node`.
pub(crate) fn unreachable(node: &str) -> Status {
    Status::internal(&format!("error dialing backend: the node {node:?} cannot be reached"))
}
