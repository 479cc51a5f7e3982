//! A node: its pods' workers, and what it says of itself. Several may live in one process.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use coracle_client::{Informer, Recorder};
use coracle_net::Fabric;
use coracle_runtime::Runtime;
use coracle_stdx::{CancellationToken, Scope};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, Client};
use parking_lot::Mutex;
use tracing::info;

use crate::agent::{Context, Pods, clean, dispatch, sample};
use crate::images::Images;
use crate::ipam::Ipam;
use crate::logs::Logs;
use crate::sessions::Sessions;
use crate::{Config, Error, kubelet, registration};

const COMPONENT: &str = "kubelet";

/// A node agent.
pub struct Node {
    config: Config,
    networks: Vec<IpNet>,
    client: Client,
    runtime: Runtime,
    fabric: Arc<Fabric>,
    images: Arc<Images>,
    services: Option<Informer<Service>>,
    pods: Arc<Pods>,
    sessions: Arc<Sessions>,
}

impl Node {
    /// A node whose pods get addresses of `networks`, as [`crate::join`] returned them and as `fabric` knows them.
    pub fn new(
        config: Config,
        networks: Vec<IpNet>,
        client: Client,
        runtime: Runtime,
        fabric: Arc<Fabric>,
        images: Arc<Images>,
    ) -> Result<Self, Error> {
        make_dir(&config.pods_dir())?;
        Ok(Self {
            config,
            networks,
            client,
            runtime,
            fabric,
            images,
            services: None,
            pods: Arc::default(),
            sessions: Arc::new(Sessions::new()),
        })
    }

    /// Reads services from an informer that somebody else runs in this process.
    #[must_use]
    pub fn sharing_services(mut self, services: Informer<Service>) -> Self {
        self.services = Some(services);
        self
    }

    /// What the API server asks of a node: logs, streams, pods, health, metrics.
    pub fn router(&self) -> Router {
        let (pods, fabric, sessions) = (self.pods.clone(), self.fabric.clone(), self.sessions.clone());
        kubelet::router(kubelet::Kubelet { name: self.config.name.clone(), pods, fabric, sessions })
    }

    /// Runs pods until the token is cancelled; then ends their containers and returns. Pods stay in the API.
    pub async fn run(self, token: CancellationToken) -> Result<(), Error> {
        // What workers need until the last of them has drained.
        let mut beneath: Scope<Error> = Scope::child_of(&CancellationToken::new());
        let mut scope: Scope<Error> = Scope::child_of(&token);
        let context = self.context(&mut beneath, &mut scope);
        let (logs, name) = (context.logs.clone(), context.config.name.clone());
        beneath.spawn(|token| async move {
            logs.run(token).await;
            Ok(())
        });
        let (config, client) = (context.config.clone(), context.client.clone());
        scope.spawn(|token| async move {
            registration::keep(config, client, token).await;
            Ok(())
        });
        let (client, volumes) = (context.client.clone(), context.config.volumes_dir());
        scope.spawn(|token| async move {
            clean(client, volumes, token).await;
            Ok(())
        });
        let sampled = self.pods.clone();
        scope.spawn(|token| async move {
            sample(sampled, token).await;
            Ok(())
        });
        let mut pods: Informer<Pod> =
            Informer::new(Api::all(context.client.clone())).fields(format!("spec.nodeName={name}"));
        if let Some(record) = context.config.pods_record() {
            pods = pods.recorded(record);
        }
        pods.start(&mut scope);
        scope.spawn(|token| async move {
            if token.run_until_cancelled(context.services.synced()).await.is_some() {
                dispatch(context, pods, token).await;
            }
            Ok(())
        });
        let ended = scope.join().await;
        self.sessions.end();
        beneath.cancel();
        beneath.join().await?;
        info!(node = %name, "node drained");
        ended
    }

    fn context(&self, beneath: &mut Scope<Error>, scope: &mut Scope<Error>) -> Arc<Context> {
        let services = self.services.clone().unwrap_or_else(|| {
            let services = Informer::new(Api::all(self.client.clone()));
            services.start(scope);
            services
        });
        let clock = self.config.clock.clone();
        Arc::new(Context {
            recorder: Recorder::start(self.client.clone(), COMPONENT, &self.config.name, clock.clone(), beneath),
            allocatable: registration::allocatable(&self.config),
            ipam: Mutex::new(Ipam::new(&self.networks)),
            kept_addresses: Mutex::default(),
            logs: Logs::new(self.config.log_bounds, clock),
            writes: Context::writes(),
            services,
            config: self.config.clone(),
            client: self.client.clone(),
            runtime: self.runtime.clone(),
            fabric: self.fabric.clone(),
            images: self.images.clone(),
            pods: self.pods.clone(),
        })
    }
}

fn make_dir(dir: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(dir).map_err(|source| Error::Directory { path: dir.to_owned(), source })
}
