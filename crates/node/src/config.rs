//! What a node is made from.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use coracle_stdx::Clock;
use ipnet::IpNet;

use crate::logs::Bounds;
use crate::names;

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// A node's settings. [`Config::new`] has the defaults of a kubelet.
#[derive(Clone, Debug)]
pub struct Config {
    pub name: String,
    /// Where this node alone keeps its pods' volumes and logs.
    pub data_dir: PathBuf,
    /// Whether the node keeps what it needs to start its pods while the API server is away.
    pub remembers: bool,
    /// The machine's addresses, as other nodes and users reach it.
    pub addresses: Vec<IpAddr>,
    /// The UDP port on which other nodes and the control plane reach this one; 0 when they do not.
    pub port: u16,
    /// The networks of this node's pods. When empty, the node waits until its `spec.podCIDRs` say.
    pub pod_cidrs: Vec<IpNet>,
    pub max_pods: u32,
    /// The domain under which services are named.
    pub cluster_domain: String,
    /// Where guests that ask by themselves find the cluster's names.
    pub name_servers: Vec<IpAddr>,
    /// What the node offers in all; by default what the machine has.
    pub cpu_milli: Option<u64>,
    pub memory_bytes: Option<u64>,
    pub labels: BTreeMap<String, String>,
    pub log_bounds: Bounds,
    /// How often the node says that it lives, and how long that is good for.
    pub heartbeat: Duration,
    pub lease: Duration,
    /// How often the node's status is renewed though nothing changed.
    pub status_interval: Duration,
    /// How long containers may take to end when the node stops.
    pub drain: Duration,
    pub clock: Clock,
}

impl Config {
    pub fn new(name: impl Into<String>, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            data_dir: data_dir.into(),
            remembers: false,
            addresses: vec![IpAddr::from([127, 0, 0, 1])],
            port: 0,
            pod_cidrs: Vec::new(),
            max_pods: 110,
            cluster_domain: "cluster.local".to_owned(),
            name_servers: Vec::new(),
            cpu_milli: None,
            memory_bytes: None,
            labels: BTreeMap::new(),
            log_bounds: Bounds::default(),
            heartbeat: Duration::from_secs(10),
            lease: Duration::from_secs(40),
            status_interval: Duration::from_secs(300),
            drain: Duration::from_secs(3),
            clock: Clock::default(),
        }
    }

    /// What pods are told of names. The host's own settings are read anew each time.
    pub(crate) fn names(&self) -> names::Surroundings {
        names::Surroundings {
            cluster_domain: self.cluster_domain.clone(),
            servers: self.name_servers.clone(),
            host: names::Conf::parse(&std::fs::read_to_string(RESOLV_CONF).unwrap_or_default()),
        }
    }

    /// Where a pod's volumes and logs are.
    pub(crate) fn pod_dir(&self, uid: &str) -> PathBuf {
        self.pods_dir().join(uid)
    }

    /// Where the volumes of claims are, which outlive pods.
    pub(crate) fn volumes_dir(&self) -> PathBuf {
        self.data_dir.join("volumes")
    }

    /// The pods that were last known.
    pub(crate) fn pods_record(&self) -> Option<PathBuf> {
        self.remembers.then(|| self.data_dir.join("pods.json"))
    }

    /// The networks that were last known.
    pub(crate) fn networks_record(&self) -> Option<PathBuf> {
        self.remembers.then(|| self.data_dir.join("networks.json"))
    }

    pub(crate) fn pods_dir(&self) -> PathBuf {
        self.data_dir.join("pods")
    }
}
