//! What the nodes of one process share: a wasm engine, images, the caches of services and names; and how one is started.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use coracle_client::Informer;
use coracle_dns::ClusterNames;
use coracle_net::mesh::{Bound, Mesh};
use coracle_net::{Egress, Fabric, FabricConfig};
use coracle_node::{Images, Neighbours, Node};
use coracle_proxy::{NodePorts, Proxy};
use coracle_runtime::compiler::Compiler;
use coracle_runtime::{Program, Runtime};
use coracle_stdx::{Gate, Scope};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, Client};
use tokio::task::spawn_blocking;

use crate::layout::Layout;
use crate::settings::NameServer;

/// Instances that live for a moment beside those that stay: requests in flight.
const INSTANCES_SPARE: u32 = 512;

const DNS_PORT: u16 = 53;

/// A process that runs nodes.
pub(crate) struct Machine {
    layout: Layout,
    node_port_address: IpAddr,
    runtime: Runtime,
    images: Arc<Images>,
    node_ports: NodePorts,
    names: ClusterNames,
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
    pub(crate) neighbours: Neighbours,
    ready: Vec<Gate>,
}

impl Machine {
    /// A machine for `n_pods` pods in all, which reads services and nodes through `client`, and keeps them in `record` if
    /// it must do without the API server. Guests trust the authority of `ca_pem` besides those of the host.
    pub(crate) async fn open(
        layout: Layout,
        client: Client,
        data_dir: &Path,
        record: Option<PathBuf>,
        n_pods: u32,
        node_port_address: IpAddr,
        ca_pem: &str,
    ) -> Result<Self> {
        let services = Informer::new(Api::all(client.clone()));
        let slices = Informer::new(Api::all(client.clone())).trimmed(coracle_proxy::trim);
        let neighbours = Neighbours::new(client);
        let (services, slices, neighbours) = match &record {
            Some(dir) => (
                services.recorded(dir.join("services.json")),
                slices.recorded(dir.join("slices.json")),
                neighbours.recorded(dir.join("nodes.json")),
            ),
            None => (services, slices, neighbours),
        };
        let asked = layout.name_server().map(|ip| SocketAddr::new(ip, DNS_PORT));
        let conf = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let upstream = asked.map(|asked| coracle_dns::upstream_of(&conf, asked)).unwrap_or_default();
        let names = ClusterNames::asking(services.clone(), slices.clone(), &layout.cluster_domain, upstream);
        let (runtime, images) = open_engine(data_dir, n_pods + INSTANCES_SPARE, ca_pem).await?;
        Ok(Self {
            node_port_address,
            runtime,
            images,
            node_ports: NodePorts::default(),
            ready: vec![names.ready()],
            names,
            services,
            slices,
            neighbours,
            layout,
        })
    }

    /// Registers a node, starts it in `scope`, and returns what answers for it.
    pub(crate) async fn start_node(
        &mut self,
        mut config: coracle_node::Config,
        client: Client,
        bound: Bound,
        scope: &mut Scope<anyhow::Error>,
    ) -> Result<Router> {
        config.cluster_domain.clone_from(&self.layout.cluster_domain);
        config.name_servers = self.layout.name_server().into_iter().collect();
        let networks = coracle_node::join(&config, &client, scope.token().clone()).await?;
        let fabric = self.fabric(networks.clone());
        let Bound { mesh, driver, node_streams } = bound;
        mesh.attach(&fabric);
        self.neighbours.add(&config.name, &fabric, &mesh);
        let proxy = self.proxy(&config, &fabric);
        self.ready.push(proxy.ready());
        scope.spawn(|token| async move {
            proxy.run(token).await;
            Ok(())
        });
        scope.spawn(|token| async move {
            driver.run(token).await;
            Ok(())
        });
        let node = Node::new(config, networks, client, self.runtime.clone(), fabric, self.images.clone())?
            .sharing_services(self.services.clone());
        let router = answering(&node, &mesh);
        let road = router.clone();
        scope.spawn(|token| async move {
            coracle_node::serve(node_streams, road, token).await;
            Ok(())
        });
        scope.spawn(|token| async move { Ok(node.run(token).await?) });
        Ok(router)
    }

    /// Answers names over UDP and TCP, if that is asked for.
    pub(crate) async fn serve_names(&self, server: Option<NameServer>, scope: &mut Scope<anyhow::Error>) -> Result<()> {
        let Some(NameServer { listen, upstream }) = server else { return Ok(()) };
        let server =
            self.names.listen(listen, upstream).await.with_context(|| format!("listen for names on {listen}"))?;
        scope.spawn(|token| async move {
            server.run(token).await;
            Ok(())
        });
        Ok(())
    }

    /// Starts what all nodes share, and returns when they are ready for pods.
    pub(crate) async fn run(self, scope: &mut Scope<anyhow::Error>) {
        let Self { neighbours, names, ready, .. } = self;
        scope.spawn(|token| async move {
            neighbours.run(token).await;
            Ok(())
        });
        scope.spawn(|token| async move {
            names.run(token).await;
            Ok(())
        });
        let token = scope.token().clone();
        for gate in ready {
            token.run_until_cancelled(gate.opened()).await;
        }
    }

    fn fabric(&self, pod_cidrs: Vec<IpNet>) -> Arc<Fabric> {
        let fabric = Fabric::new(FabricConfig {
            pod_cidrs,
            cluster_cidrs: vec![self.layout.pod_cidr, self.layout.service_cidr],
            egress: Egress::default(),
            name_server: self.layout.name_server().map(|ip| SocketAddr::new(ip, DNS_PORT)),
        });
        fabric.set_names(self.names.names());
        fabric
    }

    fn proxy(&self, node: &coracle_node::Config, fabric: &Arc<Fabric>) -> Proxy {
        let mut config = coracle_proxy::Config::new(&node.name);
        // To a pod, a loopback address is the pod itself.
        config.node.addresses = node.addresses.iter().copied().filter(|ip| !ip.is_loopback()).collect();
        config.node_port_address = self.node_port_address;
        config.node_ports = self.node_ports.clone();
        Proxy::new(self.services.clone(), self.slices.clone(), fabric.clone(), config).locating(self.neighbours.nodes())
    }
}

/// What the API server asks of a node: its pods, and its links.
fn answering(node: &Node, mesh: &Mesh) -> Router {
    let mesh = mesh.clone();
    let links = axum::routing::get(move || {
        let report = mesh.report();
        async move { axum::Json(report) }
    });
    node.router().route("/net/links", links)
}

async fn open_engine(data_dir: &Path, instances_max: u32, ca_pem: &str) -> Result<(Runtime, Arc<Images>)> {
    let (cache_dir, images_dir) = (data_dir.join("compiled"), data_dir.join("images"));
    let authorities_pem = ca_pem.to_owned();
    let opened = spawn_blocking(move || {
        let compiler = Compiler { program: Some(Program::own("compile")), ..Compiler::default() };
        let config = coracle_runtime::Config {
            instances_max,
            authorities_pem,
            compiler,
            ..coracle_runtime::Config::new(cache_dir)
        };
        let runtime = Runtime::new(config)?;
        let images = Images::open(&images_dir)?;
        anyhow::Ok((runtime, Arc::new(images)))
    });
    opened.await.context("open the wasm engine")?
}
