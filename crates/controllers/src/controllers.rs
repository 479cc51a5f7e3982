//! Puts the loops together: their caches, their workers, and who wakes whom.

mod cluster;
mod workloads;

use std::sync::Arc;

use coracle_client::{Change, Key, Recorder};
use coracle_stdx::{CancellationToken, Clock, Scope};
use ipnet::IpNet;
use kube::{Client, Resource};
use parking_lot::Mutex;

use crate::driver::Driver;
use crate::endpoints::legacy::EndpointsObjects;
use crate::endpoints::mirrored::{self, MirroredEndpoints};
use crate::endpoints::slices::{self, EndpointSlices};
use crate::endpoints::topology;
use crate::event_expiry::EventExpiry;
use crate::informers::Informers;
use crate::namespace::Namespaces;
use crate::nodes::NodeTimings;
use crate::nodes::eviction::{self, Evictions};
use crate::nodes::health::NodeHealth;
use crate::nodes::taints::NodeTaints;
use crate::outstanding::Outstanding;
use crate::pod_gc::PodGc;
use crate::pod_networks::PodNetworks;
use crate::root_ca::RootCas;
use crate::service_account::ServiceAccounts;
use crate::{Error, LoopMetrics, garbage};

/// Objects of one loop that are looked at together.
const WORKERS: usize = 5;
const POD_GC_INTERVAL: std::time::Duration = std::time::Duration::from_secs(20);
const EVENT_EXPIRY_INTERVAL: std::time::Duration = std::time::Duration::from_secs(300);

/// How the loops are set up.
#[derive(Clone, Debug)]
pub struct Config {
    pub clock: Clock,
    pub node_timings: NodeTimings,
    /// The pod networks of the cluster, one per address family, each with the prefix that a node gets of it at least;
    /// empty when nodes bring their own.
    pub pod_networks: Vec<(IpNet, u8)>,
    /// The PEM of the authority that signs the API server's certificate, published in every namespace.
    pub root_ca: Option<String>,
    /// The authority that signs what is approved; without one, requests for certificates wait for somebody else.
    pub signer: Option<coracle_pki::Pki>,
    /// Finished pods that may stay.
    pub finished_pods_max: usize,
    /// The addresses of load balancers; when empty, the nodes lend their own.
    pub load_balancer_pools: Vec<IpNet>,
}

impl Default for Config {
    fn default() -> Self {
        let pods = IpNet::new(std::net::Ipv4Addr::new(10, 244, 0, 0).into(), 16).expect("16 is a prefix of IPv4");
        Self {
            clock: Clock::System,
            node_timings: NodeTimings::default(),
            pod_networks: vec![(pods, 24)],
            root_ca: None,
            signer: None,
            finished_pods_max: 12_500,
            load_balancer_pools: Vec::new(),
        }
    }
}

type Probe = Box<dyn Fn() -> LoopMetrics + Send + Sync>;

/// A view of what the loops do, for metrics. Clones share it.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Mutex<Vec<Probe>>>);

impl Metrics {
    /// The text for Prometheus.
    pub fn render(&self) -> String {
        crate::driver::render(&self.loops())
    }

    /// One row per loop that runs.
    pub fn loops(&self) -> Vec<LoopMetrics> {
        self.0.lock().iter().map(|probe| probe()).collect()
    }

    fn add(&self, probe: Probe) {
        self.0.lock().push(probe);
    }

    fn watch(&self, driver: &Driver) {
        let shared = driver.shared();
        self.add(Box::new(move || shared.metrics()));
    }
}

/// All control loops of a cluster.
pub struct Controllers {
    client: Client,
    config: Config,
    metrics: Metrics,
}

impl Controllers {
    /// Loops that reach the API through `client`.
    pub fn new(client: Client, config: Config) -> Self {
        Self { client, config, metrics: Metrics::default() }
    }

    /// Shows what the loops do in `metrics`, in place of what it showed before.
    #[must_use]
    pub fn shown_in(self, metrics: Metrics) -> Self {
        metrics.0.lock().clear();
        Self { metrics, ..self }
    }

    /// What the loops have done, also while they run.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Runs until the token is cancelled.
    pub async fn run(self, token: CancellationToken) -> Result<(), Error> {
        let mut scope = Scope::child_of(&token);
        let informers = Arc::new(Informers::new(&self.client));
        informers.start(&mut scope);
        let Self { client, config, metrics } = self;
        let mut builder =
            Builder { client: client.clone(), config, metrics: metrics.clone(), informers, scope: &mut scope };
        builder.replicas();
        builder.sets();
        builder.jobs();
        builder.budgets();
        builder.services();
        builder.load_balancers();
        builder.namespaces();
        builder.nodes();
        builder.certificates();
        builder.bootstrap_tokens();
        builder.volumes();
        let on_removal = builder.quotas();
        scope.spawn(|token| garbage::run(client, move |probe| metrics.add(probe), on_removal, token));
        scope.join().await
    }
}

struct Builder<'a> {
    client: Client,
    config: Config,
    metrics: Metrics,
    informers: Arc<Informers>,
    scope: &'a mut Scope<Error>,
}

impl Builder<'_> {
    fn recorder(&mut self, component: &str) -> Recorder {
        Recorder::start(self.client.clone(), component, "", self.config.clock.clone(), self.scope)
    }

    fn driver(&self, name: &'static str) -> Driver {
        let driver = Driver::new(name);
        self.metrics.watch(&driver);
        driver
    }

    fn services(&mut self) {
        let (client, informers) = (self.client.clone(), self.informers.clone());

        let mut driver = self.driver("endpointslice");
        self.feed_services(&mut driver);
        driver.feed(self.scope, &informers.endpoint_slices, |change| {
            [&change.old, &change.new].into_iter().flatten().filter_map(|slice| slices::key_of_slice(slice)).collect()
        });
        // The zones' shares concern every service whose endpoints go by them.
        let services = informers.services.clone();
        driver.feed(self.scope, &informers.nodes, move |change| {
            let [old, new] = [&change.old, &change.new].map(|node| node.as_deref().and_then(topology::weight));
            let concerned = services.list().into_iter().filter(|service| old != new && topology::is_asked_for(service));
            concerned.map(|service| Key::of(&service.metadata)).collect()
        });
        let reconciler = EndpointSlices {
            client: client.clone(),
            informers: informers.clone(),
            outstanding: Outstanding::default(),
            recorder: self.recorder("endpoint-slice-controller"),
            shared_out: Mutex::default(),
        };
        driver.start(self.scope, WORKERS, reconciler);

        let mut driver = self.driver("endpoints");
        self.feed_services(&mut driver);
        driver.feed(self.scope, &informers.endpoints, itself);
        let objects = EndpointsObjects { client: client.clone(), informers: informers.clone() };
        driver.start(self.scope, WORKERS, objects);

        let mut driver = self.driver("endpointslicemirroring");
        driver.feed(self.scope, &informers.endpoints, itself);
        driver.feed(self.scope, &informers.services, mirrored::keys_of_service);
        driver.feed(self.scope, &informers.endpoint_slices, |change| {
            [&change.old, &change.new].into_iter().flatten().filter_map(|slice| mirrored::key_of_slice(slice)).collect()
        });
        let recorder = self.recorder("endpoint-slice-mirroring-controller");
        let mirrored = MirroredEndpoints { client, informers, recorder, outstanding: Outstanding::default() };
        driver.start(self.scope, WORKERS, mirrored);
    }

    /// Services change with themselves, their pods, and the coming of their pods' nodes, or their move to another zone.
    fn feed_services(&mut self, driver: &mut Driver) {
        let informers = self.informers.clone();
        driver.feed(self.scope, &informers.services, itself);
        let services = informers.services.clone();
        driver.feed(self.scope, &informers.pods, move |change| crate::endpoints::keys_of_pod(&services, change));
        let all = informers.clone();
        driver.feed(self.scope, &informers.nodes, move |change| {
            if slices::zone_of(change.old.as_deref()) == slices::zone_of(change.new.as_deref())
                && change.old.is_some() == change.new.is_some()
            {
                return Vec::new();
            }
            let pods = all.pods.by_index(crate::informers::BY_NODE, &change.key.name);
            let as_new = |pod| Change { key: Key::default(), old: None, new: Some(pod) };
            let keyed =
                |pod: Arc<k8s_openapi::api::core::v1::Pod>| Change { key: Key::of(&pod.metadata), ..as_new(pod) };
            pods.into_iter().map(keyed).flat_map(|c| crate::endpoints::keys_of_pod(&all.services, &c)).collect()
        });
    }

    fn namespaces(&mut self) {
        let (client, informers) = (self.client.clone(), self.informers.clone());

        let mut driver = self.driver("namespace");
        driver.feed(self.scope, &informers.namespaces, itself);
        let clock = self.config.clock.clone();
        driver.start(self.scope, WORKERS, Namespaces { client: client.clone(), informers: informers.clone(), clock });

        let mut driver = self.driver("serviceaccount");
        driver.feed(self.scope, &informers.namespaces, itself);
        driver.feed(self.scope, &informers.service_accounts, its_namespace);
        driver.start(self.scope, WORKERS, ServiceAccounts { client: client.clone(), informers: informers.clone() });

        if let Some(pem) = self.config.root_ca.clone() {
            let mut driver = self.driver("root-ca-certificate-publisher");
            driver.feed(self.scope, &informers.namespaces, itself);
            driver.feed(self.scope, &informers.root_cas, its_namespace);
            driver.start(self.scope, WORKERS, RootCas { client, informers, pem });
        }
    }

    fn nodes(&mut self) {
        let (client, informers) = (self.client.clone(), self.informers.clone());
        let (clock, timings) = (self.config.clock.clone(), self.config.node_timings.clone());
        let recorder = self.recorder("node-controller");

        let mut driver = self.driver("node-health");
        driver.needs(&informers.nodes);
        driver.needs(&informers.leases);
        driver.tick(self.scope, Key::cluster("nodes"), timings.monitor_period);
        let health = NodeHealth {
            client: client.clone(),
            informers: informers.clone(),
            recorder: recorder.clone(),
            clock: clock.clone(),
            timings: timings.clone(),
            signs: Mutex::default(),
        };
        driver.start(self.scope, 1, health);

        let mut driver = self.driver("node-taints");
        driver.feed(self.scope, &informers.nodes, itself);
        driver.needs(&informers.pods);
        let taints = NodeTaints {
            client: client.clone(),
            informers: informers.clone(),
            recorder: recorder.clone(),
            clock: clock.clone(),
            timings,
            last_eviction: Mutex::default(),
        };
        driver.start(self.scope, WORKERS, taints);

        let mut driver = self.driver("taint-eviction");
        driver.feed(self.scope, &informers.pods, eviction::keys_of_pod);
        let all = informers.pods.clone();
        driver.feed(self.scope, &informers.nodes, move |change| eviction::keys_of_node(&all, change));
        let recorder_of_evictions = self.recorder("taint-eviction-controller");
        let evictions = Evictions {
            client: client.clone(),
            informers: informers.clone(),
            recorder: recorder_of_evictions,
            clock: clock.clone(),
        };
        driver.start(self.scope, WORKERS, evictions);

        let mut driver = self.driver("pod-garbage-collector");
        driver.needs(&informers.pods);
        driver.needs(&informers.nodes);
        driver.tick(self.scope, Key::cluster("pods"), POD_GC_INTERVAL);
        let finished_max = self.config.finished_pods_max;
        let pod_gc = PodGc {
            client: client.clone(),
            informers: informers.clone(),
            clock: clock.clone(),
            finished_max,
            missing: Mutex::default(),
        };
        driver.start(self.scope, 1, pod_gc);

        let driver = self.driver("event-expiry");
        driver.tick(self.scope, Key::cluster("events"), EVENT_EXPIRY_INTERVAL);
        driver.start(self.scope, 1, EventExpiry { client: client.clone(), clock });

        if !self.config.pod_networks.is_empty() {
            let mut driver = self.driver("pod-networks");
            driver.feed(self.scope, &informers.nodes, itself);
            let networks = self.config.pod_networks.clone();
            let given = tokio::sync::Mutex::default();
            driver.start(self.scope, 1, PodNetworks { client, informers, recorder, networks, given });
        }
    }
}

fn itself<K>(change: &Change<K>) -> Vec<Key> {
    vec![change.key.clone()]
}

fn its_namespace<K: Resource>(change: &Change<K>) -> Vec<Key> {
    vec![Key::cluster(&change.key.namespace)]
}
