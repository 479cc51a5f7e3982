//! The nodes of this process: each an agent, a part of the pod network and a service proxy, sharing one wasm engine.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use coracle_api::identity::User;
use coracle_client::Informer;
use coracle_dns::ClusterNames;
use coracle_net::{Egress, Fabric, FabricConfig};
use coracle_node::{Images, Neighbours, Node};
use coracle_proxy::{NodePorts, Proxy};
use coracle_runtime::Runtime;
use coracle_stdx::Scope;
use ipnet::IpNet;
use kube::Api;
use tokio::task::spawn_blocking;

use crate::control_plane::ControlPlane;
use crate::node_names;
use crate::settings::Cluster;
use crate::steps::Steps;

/// Instances that live for a moment beside those that stay: requests in flight.
const INSTANCES_SPARE: u32 = 512;

/// Starts all nodes in `scope`, and returns when they are ready for pods.
pub(crate) async fn start(
    settings: &Cluster,
    control_plane: &ControlPlane,
    scope: &mut Scope<anyhow::Error>,
    steps: &mut Steps,
) -> Result<()> {
    if settings.n_nodes == 0 {
        return Ok(());
    }
    let shared = Shared::open(settings, control_plane).await?;
    steps.done("wasm engine ready");
    let mut ready = vec![shared.names.ready()];
    let mut neighbours = Neighbours::new(control_plane.client(User::new("system:kube-proxy", &[])));
    let first = node_names::first(&settings.data_dir)?;
    for name in node_names::all(&first, settings.n_nodes) {
        let config = node_config(settings, control_plane, &name);
        let client = control_plane.client(User::node(&name));
        let networks = coracle_node::join(&config, &client, scope.token().clone()).await?;
        let fabric = shared.fabric(settings, networks.clone());
        neighbours.add(&name, &fabric);
        let proxy = shared.proxy(settings, &config, &fabric);
        ready.push(proxy.ready());
        scope.spawn(|token| async move {
            proxy.run(token).await;
            Ok(())
        });
        let node = Node::new(config, networks, client, shared.runtime.clone(), fabric, shared.images.clone())?
            .sharing_services(shared.services.clone());
        control_plane.api.kubelets().register(&name, node.router());
        scope.spawn(|token| async move { Ok(node.run(token).await?) });
    }
    let names = shared.names;
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
    steps.done(match settings.n_nodes {
        1 => "node ready for pods".to_owned(),
        n => format!("{n} nodes ready for pods"),
    });
    Ok(())
}

/// What the nodes of one process share.
struct Shared {
    runtime: Runtime,
    images: Arc<Images>,
    node_ports: NodePorts,
    names: ClusterNames,
    services: Informer<k8s_openapi::api::core::v1::Service>,
    slices: Informer<k8s_openapi::api::discovery::v1::EndpointSlice>,
}

impl Shared {
    async fn open(settings: &Cluster, control_plane: &ControlPlane) -> Result<Self> {
        let client = control_plane.client(User::new("system:kube-proxy", &[]));
        let services = Informer::new(Api::all(client.clone()));
        let slices = Informer::new(Api::all(client));
        let names = ClusterNames::new(services.clone(), slices.clone(), &settings.common.cluster_domain);
        let (runtime, images) = open_engine(&settings.data_dir, instances_max(settings)).await?;
        Ok(Self { runtime, images, node_ports: NodePorts::default(), names, services, slices })
    }

    fn fabric(&self, settings: &Cluster, pod_cidrs: Vec<IpNet>) -> Arc<Fabric> {
        let fabric = Fabric::new(FabricConfig {
            pod_cidrs,
            cluster_cidrs: vec![settings.common.pod_cidr, settings.common.service_cidr],
            egress: Egress::default(),
        });
        fabric.set_names(self.names.names());
        fabric
    }

    fn proxy(&self, settings: &Cluster, node: &coracle_node::Config, fabric: &Arc<Fabric>) -> Proxy {
        let mut config = coracle_proxy::Config::new(&node.name);
        // To a pod, a loopback address is the pod itself.
        config.node.addresses = node.addresses.iter().copied().filter(|ip| !ip.is_loopback()).collect();
        config.node_port_address = settings.node_port_address;
        config.node_ports = self.node_ports.clone();
        Proxy::new(self.services.clone(), self.slices.clone(), fabric.clone(), config)
    }
}

fn node_config(settings: &Cluster, control_plane: &ControlPlane, name: &str) -> coracle_node::Config {
    let mut config = coracle_node::Config::new(name, settings.data_dir.join("nodes").join(name));
    config.max_pods = settings.max_pods;
    config.addresses = vec![node_address(control_plane.address().ip())];
    config
}

async fn open_engine(data_dir: &Path, instances_max: u32) -> Result<(Runtime, Arc<Images>)> {
    let (cache_dir, images_dir) = (data_dir.join("compiled"), data_dir.join("images"));
    let opened = spawn_blocking(move || {
        let config = coracle_runtime::Config { instances_max, ..coracle_runtime::Config::new(cache_dir) };
        let runtime = Runtime::new(config)?;
        let images = Images::open(&images_dir)?;
        anyhow::Ok((runtime, Arc::new(images)))
    });
    opened.await.context("open the wasm engine")?
}

fn instances_max(settings: &Cluster) -> u32 {
    u32::from(settings.n_nodes) * settings.max_pods + INSTANCES_SPARE
}

fn node_address(listen: IpAddr) -> IpAddr {
    if listen.is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { listen }
}
