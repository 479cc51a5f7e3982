//! The control plane: store, API server, registry, controllers and scheduler in one process.

mod leading;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::body::Body;
use coracle_api::identity::User;
use coracle_apiserver::ApiServer;
use coracle_controllers::{Controllers, NodeTimings};
use coracle_net::mesh::{Bound, Driver, Mesh};
use coracle_node::membership::{CONTROL_PLANE, CONTROL_PLANE_SUBJECT, MESH_PURPOSE, mesh_config};
use coracle_node::{Neighbours, Roads};
use coracle_pki::{Pki, Renewable};
use coracle_scheduler::Scheduler;
use coracle_stdx::Scope;
use coracle_store::Store;
use ipnet::IpNet;
use kube::Client;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use tower::service_fn;

use crate::certified::Certified;
use crate::settings::Cluster;
use crate::steps::Steps;

/// Ports that are tried when the kernel chooses one.
const PORTS_TRIED_MAX: usize = 16;
const ADMIN: &str = "kubernetes-admin";

/// A running API server, and how to reach it.
pub(crate) struct ControlPlane {
    pub(crate) api: ApiServer,
    pki: Pki,
    address: SocketAddr,
    mesh: Mesh,
    driver: Option<Driver>,
    /// What it is called among control planes.
    identity: String,
}

impl ControlPlane {
    /// Opens the data directory and serves the API in `serving`.
    pub(crate) async fn start(
        settings: &Cluster,
        serving: &mut Scope<anyhow::Error>,
        steps: &mut Steps,
    ) -> Result<Self> {
        let data_dir = settings.data_dir.clone();
        make_private_dir(&data_dir)?;
        let (pki, store) = open(&data_dir).await?;
        steps.done(format_args!("store open in {}", data_dir.display()));
        let identity = leading::identity(&data_dir)?;
        let registry = open_registry(data_dir.join("registry")).await?;
        let (user, group) = CONTROL_PLANE_SUBJECT;
        let certified = Certified::issue(&pki, user, group)?;
        let (listener, bound) = listen(settings.common.listen, &pki, certified.own()).await?;
        serving.spawn(|token| async move {
            certified.keep(token).await;
            Ok(())
        });
        let address = listener.local_addr().context("read the API's address")?;
        let config = api_config(settings, address)?;
        let api = ApiServer::new(config, store, pki.clone(), Some(registry), serving.token().clone()).await?;
        serving.spawn({
            let api = api.clone();
            |token| async move { Ok(api.serve(listener, token).await?) }
        });
        steps.done(format_args!("API and registry on https://{address}"));
        Ok(Self { api, pki, address, mesh: bound.mesh, driver: Some(bound.driver), identity })
    }

    /// Starts what turns objects into other objects, for as long as this control plane leads.
    pub(crate) fn start_loops(&self, settings: &Cluster, scope: &mut Scope<anyhow::Error>) {
        let config = self.controllers_config(settings);
        let client = self.client(User::new("system:kube-controller-manager", &[]));
        let election = leading::election("kube-controller-manager", &client, &self.identity);
        let metrics = coracle_controllers::Metrics::default();
        let shown = metrics.clone();
        self.api.tell_metrics(move || shown.render());
        let lead = move |token| {
            let controllers = Controllers::new(client.clone(), config.clone()).shown_in(metrics.clone());
            async move { Ok(controllers.run(token).await?) }
        };
        scope.spawn(|token| election.run(token, lead));

        let client = self.client(User::new("system:kube-scheduler", &[]));
        let election = leading::election("kube-scheduler", &client, &self.identity);
        let metrics = Arc::<coracle_scheduler::Metrics>::default();
        let counted = metrics.clone();
        self.api.tell_metrics(move || counted.render());
        let lead = move |token| {
            let scheduler = Scheduler::new(client.clone(), coracle_scheduler::Config::default());
            let scheduler = scheduler.counting_in(metrics.clone());
            async move { Ok(scheduler.run(token).await?) }
        };
        scope.spawn(|token| election.run(token, lead));
    }

    fn controllers_config(&self, settings: &Cluster) -> coracle_controllers::Config {
        coracle_controllers::Config {
            pod_networks: vec![(settings.common.pod_cidr, settings.node_prefix_len())],
            node_timings: NodeTimings {
                grace_period: settings.common.node_monitor_grace_period,
                ..NodeTimings::default()
            },
            root_ca: Some(self.pki.ca_pem().to_owned()),
            signer: Some(self.pki.clone()),
            load_balancer_pools: settings.common.load_balancer_pool.clone(),
            ..coracle_controllers::Config::default()
        }
    }

    /// Starts the links to nodes of other machines, and the roads over them.
    pub(crate) fn start_roads(&mut self, scope: &mut Scope<anyhow::Error>) {
        let roads = Roads::new(self.mesh.clone(), scope.token());
        self.api.kubelets().reach_others(move |node| roads.to(node));
        if let Some(driver) = self.driver.take() {
            scope.spawn(|token| async move {
                driver.run(token).await;
                Ok(())
            });
        }
    }

    /// Learns where nodes are, when no node of this process does.
    pub(crate) fn follow_nodes(&self, scope: &mut Scope<anyhow::Error>) {
        let mut neighbours = Neighbours::new(self.client(User::new("system:kube-proxy", &[])));
        neighbours.add_mesh(&self.mesh);
        scope.spawn(|token| async move {
            neighbours.run(token).await;
            Ok(())
        });
    }

    /// The control plane among the nodes.
    pub(crate) fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// The authority's certificate.
    pub(crate) fn ca_pem(&self) -> &str {
        self.pki.ca_pem()
    }

    /// A certificate by which a node of this process is known to others.
    pub(crate) fn certify_node(&self, name: &str) -> Result<Certified> {
        Certified::issue(&self.pki, format!("system:node:{name}"), "system:nodes")
    }

    /// The secret of a node of this process for its mesh.
    pub(crate) fn mesh_secret(&self, name: &str) -> [u8; 32] {
        self.pki.secret(&format!("{MESH_PURPOSE} of {name}"))
    }

    /// A client with an identity of its own.
    pub(crate) fn client(&self, user: User) -> Client {
        coracle_client::in_process(self.api.service(), user)
    }

    /// Where the API is served.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Writes the administrator's kubeconfig, and returns its path.
    pub(crate) fn write_kubeconfig(&self, data_dir: &Path) -> Result<PathBuf> {
        let path = data_dir.join("kubeconfig");
        let admin = self.pki.issue_client(ADMIN, Some("system:masters"))?;
        let server = format!("https://{}", reachable(self.address));
        coracle_pki::write_kubeconfig(&path, &server, self.pki.ca_pem(), ADMIN, &admin)?;
        Ok(path)
    }
}

/// The API's TCP port, and for nodes the UDP port of the same number.
async fn listen(address: SocketAddr, pki: &Pki, own: &Renewable) -> Result<(TcpListener, Bound)> {
    let mut n_attempts = 0;
    loop {
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("listen on {address}; is another cluster running?"))?;
        let both = listener.local_addr().context("read the API's address")?;
        match Mesh::bind(mesh_config(CONTROL_PLANE, both, pki.ca_pem(), own, pki.secret(MESH_PURPOSE))?) {
            Ok(bound) => return Ok((listener, bound)),
            // A port chosen by the kernel may be in use over UDP.
            Err(_) if address.port() == 0 && n_attempts < PORTS_TRIED_MAX => n_attempts += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

pub(crate) fn make_private_dir(dir: &Path) -> Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("create the data directory {}", dir.display()))
}

async fn open(data_dir: &Path) -> Result<(Pki, Store)> {
    let data_dir = data_dir.to_owned();
    let opened = spawn_blocking(move || {
        // The store first: its lock says whether another process is here.
        let store = Store::open(coracle_store::Options::new(data_dir.join("store")))?;
        let pki = Pki::open(&data_dir.join("pki"))?;
        anyhow::Ok((pki, store))
    });
    opened.await.context("open the data directory")?
}

async fn open_registry(dir: PathBuf) -> Result<Router> {
    let opened = spawn_blocking(move || coracle_oci::Registry::open(&dir, coracle_oci::Limits::default()));
    let registry = opened.await.context("open the registry")??;
    let service = service_fn(move |request: http::Request<Body>| {
        let registry = registry.clone();
        async move { Ok::<_, std::convert::Infallible>(registry.handle(request).await.map(Body::new)) }
    });
    Ok(Router::new().fallback_service(service))
}

fn api_config(settings: &Cluster, address: SocketAddr) -> Result<coracle_apiserver::Config> {
    let IpNet::V4(service_cidr) = settings.common.service_cidr else {
        bail!("--service-cidr must be an IPv4 network");
    };
    let mut config = coracle_apiserver::Config::new(reachable(address));
    config.service_cidr = service_cidr;
    config.cluster_domain = settings.common.cluster_domain.clone();
    Ok(config)
}

/// An address that clients on this machine can use for one that a listener reports.
fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())
}
