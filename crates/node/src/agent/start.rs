//! Starts one instance of a container: environment, mounts, limits, log, network.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use coracle_net::PodNetwork;
use coracle_runtime::{ContainerSpec, ModuleKind, Pipe, Stdin};
use k8s_openapi::api::core::v1 as core;

use super::handler::Handler;
use super::image::{Loaded, Refusal};
use super::message::{self, Place};
use super::rate::Rate;
use super::{Context, Handle, Running};
use crate::attached::Attached;
use crate::containers;
use crate::environment::{self, Environment, Facts, service_variables};
use crate::error::chain;
use crate::logs::remove_before;
use crate::names;
use crate::objects::{self, Objects};
use crate::serving::Serving;
use crate::volumes::{self, Directories, Work};

const CONFIG_ERROR: &str = "CreateContainerConfigError";
const HTTP_PORT_DEFAULT: u16 = 80;
/// How long a start may wait for the API.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a server may take to listen before its container counts as started anyway.
const LISTENING_MAX: Duration = Duration::from_secs(5);

/// What is to be started.
pub(super) struct Start {
    pub(super) context: Arc<Context>,
    pub(super) reader: kube::Client,
    pub(super) handle: Arc<Handle>,
    pub(super) pod: Arc<core::Pod>,
    pub(super) network: Arc<PodNetwork>,
    pub(super) directories: Directories,
    pub(super) name: String,
    pub(super) attempt: u32,
    pub(super) loaded: Loaded,
    pub(super) handler: Handler,
}

impl Start {
    /// Starts it, and returns once an HTTP container listens.
    pub(super) async fn run(self) -> Result<Running, Refusal> {
        let refused = |why: &str| ("CreateContainerError", why.to_owned());
        let spec = self.pod.spec.as_ref().ok_or_else(|| refused("the pod has no spec"))?;
        let container = containers::named(spec, &self.name);
        let container = &container.ok_or_else(|| refused("the pod has no such container"))?;
        let serving = self.serving()?;
        let environment = self.environment(spec, container).await?;
        let (mounts, message) = self.mounts(spec, container, &environment).await?;
        let dir = self.handle.log_dir(&self.name);
        self.forget_old_logs(dir.clone()).await;
        let log = self.context.logs.open(dir, self.attempt);
        let attached = Attached::new(log.output());
        let later = Arc::clone(&self.directories.later);
        let stdin = (container.stdin == Some(true)).then(Arc::<Pipe>::default);
        let (stdin_once, tty) = (container.stdin_once == Some(true), container.tty == Some(true));
        let (memory_max, cpu_max) = containers::limits(container);
        let spec = ContainerSpec {
            args: environment.args,
            env: environment.variables,
            mounts,
            furnish: Some(Arc::new(move || later.look().map_err(io::Error::other))),
            stdin: stdin.as_ref().map_or(Stdin::Empty, |pipe| Stdin::Pipe(Arc::clone(pipe))),
            terminal: tty,
            memory_max,
            cpu_max,
            http_port: http_port(container),
            instance_requests_max: serving.instance_requests_max,
            requests_max: serving.requests_max,
            requests_queued_max: serving.requests_queued_max,
            request_time_max: Some(serving.request_time_max),
            working_dir: container.working_dir.clone(),
            ..ContainerSpec::new(format!("{}/{}", self.handle.key, self.name), self.network.clone(), attached.clone())
        };
        let container = Arc::new(self.context.runtime.start(&self.loaded.module, spec));
        tokio::select! {
            () = container.listening() => {}
            _ = container.wait() => {}
            () = tokio::time::sleep(LISTENING_MAX) => {}
        }
        Ok(Running {
            attempt: self.attempt,
            container,
            log,
            attached,
            stdin,
            stdin_once,
            tty,
            rate: Arc::new(Rate::new()),
            message,
        })
    }

    fn serving(&self) -> Result<Serving, Refusal> {
        let annotations = self.pod.metadata.annotations.as_ref();
        let serving = annotations.map_or_else(|| Ok(Serving::default()), Serving::of);
        serving.map_err(|error| (CONFIG_ERROR, error.to_string()))
    }

    async fn environment(&self, spec: &core::PodSpec, container: &core::Container) -> Result<Environment, Refusal> {
        let addresses = coracle_runtime::network::Network::addresses(&*self.network);
        let facts = Facts {
            pod: &self.pod,
            pod_addresses: &addresses,
            host_addresses: &self.context.config.addresses,
            allocatable: &self.context.allocatable,
        };
        let objects = self.objects(facts.namespace(), container).await?;
        let services = self.context.services.list();
        let links = spec.enable_service_links != Some(false);
        let services = service_variables(&services, facts.namespace(), links);
        environment::assemble(&facts, container, &objects, services).map_err(|error| (CONFIG_ERROR, error.to_string()))
    }

    async fn objects(&self, namespace: &str, container: &core::Container) -> Result<Objects, Refusal> {
        let references = environment::references(container);
        if references.is_empty() {
            return Ok(Objects::default());
        }
        let fetch = objects::fetch(&self.reader, namespace, &references);
        match tokio::time::timeout(PATIENCE, fetch).await {
            Ok(Ok(objects)) => Ok(objects),
            Ok(Err(error)) => Err((CONFIG_ERROR, chain(&error))),
            Err(_) => Err((CONFIG_ERROR, "timed out waiting for the API".to_owned())),
        }
    }

    async fn mounts(
        &self,
        spec: &core::PodSpec,
        container: &core::Container,
        environment: &Environment,
    ) -> Result<(Vec<coracle_runtime::Mount>, Option<Place>), Refusal> {
        let (spec, container) = (spec.clone(), container.clone());
        let (variables, directories) = (environment.variables.clone(), self.directories.clone());
        let files = self.etc();
        // A server's instances come and go with its requests, and none of them is the last.
        let ends = self.loaded.module.kind() != ModuleKind::Http;
        let own = self.directories.singles.join(&container.name).join("~termination");
        // A process of its own is confined to what is there. What is there already may be of another instance.
        let looks = self.handler == Handler::Isolated || volumes::looks(&container) || own.exists();
        let is_light = !looks && !directories.later.is_looked_at();
        let find = move || {
            if looks {
                directories.later.look()?;
            }
            let mut found = volumes::mounts(&spec, &container, &variables, &directories)?;
            let etc = volumes::add_etc(&mut found, &container.name, files, &directories);
            let path = container.termination_message_path.as_deref().filter(|_| ends).unwrap_or_default();
            let place = message::place(&mut found, path, &own);
            let message = place.clone().map(|place| (own, making(place)));
            for (path, work) in etc.into_iter().chain(message) {
                directories.later.keep(path, work).map_or(Ok(()), |mut work| work())?;
            }
            Ok((found, place))
        };
        let found = match is_light {
            true => find(),
            false => tokio::task::spawn_blocking(find).await.expect("finding mounts does not panic"),
        };
        found.map_err(|error: volumes::Error| (CONFIG_ERROR, chain(&error)))
    }

    /// The files by which guests learn of names.
    fn etc(&self) -> Vec<(&'static str, String)> {
        let surroundings = self.context.config.names();
        let addresses = coracle_runtime::network::Network::addresses(&*self.network);
        vec![
            ("hosts", names::hosts(&self.pod, &addresses, &surroundings.cluster_domain)),
            ("resolv.conf", names::conf(&self.pod, &surroundings).text()),
            ("hostname", format!("{}\n", names::host_name(&self.pod))),
        ]
    }

    /// Of the logs of former instances, the last one is kept.
    async fn forget_old_logs(&self, dir: PathBuf) {
        if let Some(kept) = self.attempt.checked_sub(1).filter(|kept| *kept > 0) {
            let forget = move || remove_before(&dir, kept);
            tokio::task::spawn_blocking(forget).await.expect("removing files does not panic");
        }
    }
}

fn making(place: Place) -> Work {
    Box::new(move || {
        let failed = |source| volumes::Error::Write { path: place.path().display().to_string(), source };
        place.make().map_err(failed)
    })
}

/// An HTTP component listens on its first containerPort.
fn http_port(container: &core::Container) -> u16 {
    let ports = container.ports.iter().flatten();
    let mut tcp = ports.filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP");
    tcp.next().and_then(|port| u16::try_from(port.container_port).ok()).unwrap_or(HTTP_PORT_DEFAULT)
}
