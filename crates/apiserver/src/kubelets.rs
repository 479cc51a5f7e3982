//! The roads from the API server to the nodes: one router per node, in this process or at the end of a connection.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use parking_lot::RwLock;

/// Every node that can be asked for logs and the like. Cheap to clone; all clones are one registry.
#[derive(Clone, Debug, Default)]
pub struct Kubelets(Arc<RwLock<HashMap<String, Router>>>);

impl Kubelets {
    /// From now on, `node` is asked through `road`, which serves the plain HTTP paths of a kubelet.
    pub fn register(&self, node: impl Into<String>, road: Router) {
        self.0.write().insert(node.into(), road);
    }

    /// `node` cannot be asked any more.
    pub fn unregister(&self, node: &str) {
        self.0.write().remove(node);
    }

    /// The road to `node`.
    pub(crate) fn get(&self, node: &str) -> Option<Router> {
        self.0.read().get(node).cloned()
    }
}
