//! Who the other nodes are, where they are and which networks they own: fabrics learn the ways to each other from the Node
//! objects. Nodes of one process are linked in memory, others over the mesh.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use coracle_client::Informer;
use coracle_net::mesh::{Member, Members, Mesh};
use coracle_net::{Fabric, RouteTable};
use coracle_stdx::{CancellationToken, Scope};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};

/// What the Node objects say: where each node may be dialled, and its pods' networks.
type Known = BTreeMap<String, Member>;

/// A node of this process.
struct Here {
    fabric: Arc<Fabric>,
    mesh: Mesh,
}

/// Keeps the routes of the fabrics of one process, and the members of its meshes, in step with the Node objects.
pub struct Neighbours {
    nodes: Informer<Node>,
    here: HashMap<String, Here>,
    /// Meshes without pods: the control plane's.
    others: Vec<Mesh>,
    /// Members that are no nodes.
    fixed: Members,
}

impl Neighbours {
    /// Neighbours that are learnt through `client`.
    pub fn new(client: Client) -> Self {
        Self { nodes: Informer::new(Api::all(client)), here: HashMap::new(), others: Vec::new(), fixed: Members::new() }
    }

    /// Keeps what is known of nodes in the file `path`, and begins with that while the API server is away.
    #[must_use]
    pub fn recorded(mut self, path: PathBuf) -> Self {
        self.nodes = self.nodes.recorded(path);
        self
    }

    /// What it learns from, for others in this process. It runs when this does.
    pub fn nodes(&self) -> Informer<Node> {
        self.nodes.clone()
    }

    /// Adds the fabric and the mesh of the node `name`.
    pub fn add(&mut self, name: &str, fabric: &Arc<Fabric>, mesh: &Mesh) {
        self.here.insert(name.to_owned(), Here { fabric: fabric.clone(), mesh: mesh.clone() });
    }

    /// Adds a mesh that has no pods.
    pub fn add_mesh(&mut self, mesh: &Mesh) {
        self.others.push(mesh.clone());
    }

    /// Adds a member that is no node: the control plane.
    pub fn add_member(&mut self, name: impl Into<String>, member: Member) {
        self.fixed.insert(name.into(), member);
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
        let mut known = None;
        loop {
            let found = known_from(&self.nodes.list());
            if known.as_ref() != Some(&found) {
                self.route(&found);
                known = Some(found);
            }
            changed.next().await;
        }
    }

    fn route(&self, known: &Known) {
        for mesh in self.here.values().map(|here| &here.mesh).chain(&self.others) {
            mesh.set_members(self.members(known, mesh.name()));
        }
        for (name, here) in &self.here {
            here.fabric.set_routes(self.routes_from(name, here, known));
        }
    }

    /// Everybody whom `me` reaches over its mesh: who is not in this process.
    fn members(&self, known: &Known, me: &str) -> Members {
        let elsewhere = known.iter().filter(|(name, _)| !self.here.contains_key(*name));
        let elsewhere = elsewhere.map(|(name, member)| (name.clone(), member.clone()));
        self.fixed.clone().into_iter().chain(elsewhere).filter(|(name, _)| name != me).collect()
    }

    fn routes_from(&self, name: &str, from: &Here, known: &Known) -> RouteTable {
        let others = known.iter().filter(|(other, _)| *other != name);
        let routes = others.flat_map(|(other, member)| {
            let link = match self.here.get(other) {
                Some(to) => to.fabric.link_from(&from.fabric),
                None => from.mesh.link(other),
            };
            member.networks.iter().map(move |net| (*net, link.clone()))
        });
        routes.collect()
    }
}

/// What the Node objects say of each node.
fn known_from(nodes: &[Arc<Node>]) -> Known {
    let named = nodes.iter().filter_map(|node| Some((node.metadata.name.clone()?, node)));
    named.map(|(name, node)| (name, Member { addresses: addresses(node), networks: networks(node) })).collect()
}

fn networks(node: &Node) -> Vec<IpNet> {
    let Some(spec) = &node.spec else { return Vec::new() };
    let all = spec.pod_cidrs.iter().flatten().chain(spec.pod_cidrs.is_none().then_some(()).and(spec.pod_cidr.as_ref()));
    all.filter_map(|cidr| cidr.parse().ok()).collect()
}

/// Where a node may be dialled: its addresses, with the port that its agent reports.
fn addresses(node: &Node) -> Vec<SocketAddr> {
    let Some(status) = &node.status else { return Vec::new() };
    let endpoint = status.daemon_endpoints.as_ref().and_then(|all| all.kubelet_endpoint.as_ref());
    let Some(port) = endpoint.and_then(|endpoint| u16::try_from(endpoint.port).ok()).filter(|port| *port != 0) else {
        return Vec::new();
    };
    let ips = status.addresses.iter().flatten().filter(|address| address.type_.ends_with("IP"));
    ips.filter_map(|address| Some(SocketAddr::new(address.address.parse::<IpAddr>().ok()?, port))).collect()
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
        let found = known_from(&[node("a", &["10.244.1.0/24", "fd00::/64"]), node("b", &[])]);
        assert_eq!(found["a"].networks.len(), 2);
        assert!(found["b"].networks.is_empty());
    }

    #[test]
    fn a_node_is_dialled_at_its_addresses_and_the_port_that_it_reports() {
        let status = |port: u16| {
            let mut node = Node::clone(&node("a", &[]));
            node.status = serde_json::from_value(serde_json::json!({
                "addresses": [
                    {"type": "InternalIP", "address": "192.0.2.7"}, {"type": "Hostname", "address": "a"},
                    {"type": "ExternalIP", "address": "2001:db8::7"},
                ],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            }))
            .unwrap();
            addresses(&node).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(status(4433), ["192.0.2.7:4433", "[2001:db8::7]:4433"]);
        assert!(status(0).is_empty());
    }
}
