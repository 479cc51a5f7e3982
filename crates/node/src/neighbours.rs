//! The nodes of one process know each other: their fabrics learn the ways to each other from the Node objects. Links to
//! nodes of other processes will be made here too.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;

use coracle_client::Informer;
use coracle_net::{Fabric, RouteTable};
use coracle_stdx::{CancellationToken, Scope};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};

/// The networks of each node's pods, by node.
type Networks = BTreeMap<String, Vec<IpNet>>;

/// Keeps the routes between the fabrics of one process in step with the Node objects.
pub struct Neighbours {
    nodes: Informer<Node>,
    fabrics: HashMap<String, Arc<Fabric>>,
}

impl Neighbours {
    /// Neighbours that learn their networks through `client`.
    pub fn new(client: Client) -> Self {
        Self { nodes: Informer::new(Api::all(client)), fabrics: HashMap::new() }
    }

    /// Adds the fabric of the node `name`.
    pub fn add(&mut self, name: &str, fabric: &Arc<Fabric>) {
        self.fabrics.insert(name.to_owned(), fabric.clone());
    }

    /// Follows the Node objects until `token` is cancelled.
    pub async fn run(self, token: CancellationToken) {
        let mut scope = Scope::<Infallible>::child_of(&token);
        self.nodes.start(&mut scope);
        scope.spawn(|token| async move {
            token.run_until_cancelled(self.follow()).await;
            Ok(())
        });
        let Ok(()) = scope.join().await;
    }

    async fn follow(self) {
        self.nodes.synced().await;
        let mut changed = self.nodes.subscribe();
        let mut known = Networks::new();
        loop {
            let networks = networks(&self.nodes.list());
            if networks != known {
                self.route(&networks);
                known = networks;
            }
            changed.next().await;
        }
    }

    fn route(&self, networks: &Networks) {
        for (name, fabric) in &self.fabrics {
            fabric.set_routes(self.routes_from(name, fabric, networks));
        }
    }

    fn routes_from(&self, name: &str, fabric: &Arc<Fabric>, networks: &Networks) -> RouteTable {
        let others = networks.iter().filter(|(other, _)| *other != name);
        let here = others.filter_map(|(other, nets)| Some((self.fabrics.get(other)?, nets)));
        here.flat_map(|(other, nets)| nets.iter().map(|net| (*net, other.link_from(fabric)))).collect()
    }
}

/// What the Node objects say of their pods' networks.
fn networks(nodes: &[Arc<Node>]) -> Networks {
    let named = nodes.iter().filter_map(|node| Some((node.metadata.name.clone()?, node.spec.as_ref()?)));
    let cidrs = named.map(|(name, spec)| {
        let all =
            spec.pod_cidrs.iter().flatten().chain(spec.pod_cidrs.is_none().then_some(()).and(spec.pod_cidr.as_ref()));
        (name, all.filter_map(|cidr| cidr.parse().ok()).collect())
    });
    cidrs.collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::NodeSpec;

    use super::*;

    fn node(name: &str, cidrs: &[&str]) -> Arc<Node> {
        let mut node = Node::default();
        node.metadata.name = Some(name.to_owned());
        let cidrs = cidrs.iter().map(|cidr| (*cidr).to_owned()).collect();
        node.spec = Some(NodeSpec { pod_cidrs: Some(cidrs), ..NodeSpec::default() });
        Arc::new(node)
    }

    #[test]
    fn a_node_without_networks_has_no_routes() {
        let found = networks(&[node("a", &["10.244.1.0/24", "fd00::/64"]), node("b", &[])]);
        assert_eq!(found["a"].len(), 2);
        assert!(found["b"].is_empty());
    }
}
