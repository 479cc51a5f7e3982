//! Keeps one node's table in step with the API server, and its node ports with the table.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use coracle_client::{Informer, Key};
use coracle_net::{Fabric, Protocol, Route, ServiceRoutes};
use coracle_stdx::{CancellationToken, Gate, Scope};
use k8s_openapi::api::core::v1::{self as core, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use tokio::sync::watch;

use crate::compile::{Compiled, Memory, compile};
use crate::listening::Listening;
use crate::node_ports::NodePorts;
use crate::table::{Node, Table};
use crate::world::World;

const ZONE: &str = "topology.kubernetes.io/zone";
/// How soon a node port that somebody else holds is tried again.
const REBIND_AFTER: Duration = Duration::from_secs(5);

/// What a node's proxy must know from the start.
#[derive(Clone, Debug)]
pub struct Config {
    pub node: Node,
    /// The host address that node ports listen on.
    pub node_port_address: IpAddr,
    /// The node ports of this process: nodes that share one must share an address's ports.
    pub node_ports: NodePorts,
}

impl Config {
    /// Node ports on the host's loopback only.
    pub fn new(node: impl Into<String>) -> Self {
        Self {
            node: Node { name: node.into(), ..Node::default() },
            node_port_address: Ipv4Addr::LOCALHOST.into(),
            node_ports: NodePorts::default(),
        }
    }
}

/// One node's table, as the fabric and the node ports read it.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) fabric: Arc<Fabric>,
    table: ArcSwap<Table>,
    version: watch::Sender<u64>,
}

impl View {
    pub(crate) fn table(&self) -> arc_swap::Guard<Arc<Table>> {
        self.table.load()
    }

    /// Moves each time the table is replaced.
    pub(crate) fn version(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn replace(&self, table: Table) {
        self.table.store(Arc::new(table));
        self.version.send_modify(|version| *version += 1);
    }
}

impl ServiceRoutes for View {
    fn route(&self, from: Option<IpAddr>, to: SocketAddr, protocol: Protocol, refused: &[SocketAddr]) -> Route {
        self.table.load().route(from, to, protocol, refused)
    }

    fn version(&self) -> u64 {
        *self.version.borrow()
    }

    fn still_leads(&self, to: SocketAddr, protocol: Protocol, endpoint: SocketAddr) -> bool {
        self.table.load().leads(to, protocol, endpoint)
    }
}

/// One node's service proxy.
pub struct Proxy {
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
    nodes: Option<Informer<core::Node>>,
    config: Config,
    view: Arc<View>,
    ready: Gate,
}

impl Proxy {
    /// A proxy over informers of all namespaces, which may be shared. It is the fabric's table of services from now on.
    pub fn new(
        services: Informer<Service>,
        slices: Informer<EndpointSlice>,
        fabric: Arc<Fabric>,
        config: Config,
    ) -> Self {
        let (table, version) = (ArcSwap::default(), watch::Sender::new(0));
        let view = Arc::new(View { fabric: fabric.clone(), table, version });
        fabric.set_services(view.clone());
        Self { services, slices, nodes: None, config, view, ready: Gate::new() }
    }

    /// Learns from `nodes`, which somebody else runs, in which zone this node is.
    #[must_use]
    pub fn locating(mut self, nodes: Informer<core::Node>) -> Self {
        self.nodes = Some(nodes);
        self
    }

    /// Opens when the table first holds what the API server knows.
    pub fn ready(&self) -> Gate {
        self.ready.clone()
    }

    /// Follows the API server until `token` is cancelled. Starts the informers, unless they run.
    pub async fn run(self, token: CancellationToken) {
        let mut scope = Scope::<std::convert::Infallible>::child_of(&token);
        self.services.start(&mut scope);
        self.slices.start(&mut scope);
        scope.spawn(|token| async move {
            token.run_until_cancelled(self.follow(&token)).await;
            Ok(())
        });
        let Ok(()) = scope.join().await;
    }

    async fn follow(mut self, token: &CancellationToken) {
        self.services.synced().await;
        self.slices.synced().await;
        let (mut services, mut slices) = (self.services.subscribe(), self.slices.subscribe());
        let mut nodes = self.nodes.as_ref().map(Informer::changed);
        let (mut world, mut compiler) = (World::default(), Compiler::default());
        let mut listening = Listening::new(&self.config, self.view.clone(), token);
        let mut stale = BTreeSet::new();
        let mut freed = self.config.node_ports.freed();
        loop {
            world.hear_of_services(services.take(), &mut stale);
            world.hear_of_slices(slices.take(), &mut stale);
            if self.has_moved() {
                stale.extend(world.services());
            }
            if !stale.is_empty() {
                let stale = std::mem::take(&mut stale);
                self.view.replace(compiler.compile(&world, stale, &self.view.table(), &self.config.node));
            }
            let all_bound = listening.follow(&self.view.table());
            self.ready.open();
            tokio::select! {
                changes = services.next() => world.hear_of_services(changes, &mut stale),
                changes = slices.next() => world.hear_of_slices(changes, &mut stale),
                () = changed(&mut nodes) => {}
                Ok(()) = freed.changed(), if !all_bound => {}
                () = tokio::time::sleep(REBIND_AFTER), if !all_bound => {}
            }
        }
    }
}

impl Proxy {
    /// Looks where the node is now. Says whether that is elsewhere.
    fn has_moved(&mut self) -> bool {
        let node = self.nodes.as_ref().and_then(|nodes| nodes.get("", &self.config.node.name));
        let Some(node) = node else { return false };
        let zone = node.metadata.labels.as_ref().and_then(|labels| labels.get(ZONE)).cloned();
        std::mem::replace(&mut self.config.node.zone, zone) != self.config.node.zone
    }
}

/// Waits until the nodes have changed; for ever without any.
async fn changed(nodes: &mut Option<watch::Receiver<u64>>) {
    if let Some(nodes) = nodes
        && nodes.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// The rows in the table, by service, to know what goes when a service changes.
#[derive(Debug, Default)]
struct Compiler {
    memory: Memory,
    rows: HashMap<Key, Compiled>,
}

impl Compiler {
    /// The next table: what is stale leaves before anything new enters, so that an address can change hands at once.
    fn compile(&mut self, world: &World, stale: BTreeSet<Key>, table: &Table, node: &Node) -> Table {
        let mut next = table.clone();
        for key in &stale {
            if let Some(rows) = self.rows.remove(key) {
                next.remove(&rows);
            }
        }
        for key in stale {
            if let Some(service) = world.service(&key) {
                let rows = compile(service, &world.slices(&key), node, &mut self.memory);
                next.insert(&rows);
                self.rows.insert(key, rows);
            }
        }
        next
    }
}
