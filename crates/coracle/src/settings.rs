//! The command line, parsed once into plain settings.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use coracle_pki::JoinToken;
use ipnet::IpNet;

use crate::layout::Layout;

/// Kubernetes for WebAssembly, in one binary.
#[derive(Debug, Parser)]
#[command(name = "coracle", version, about)]
pub(crate) struct Settings {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a whole cluster in the foreground
    Up(Up),
    /// Run the control plane alone
    Server(Server),
    /// Run a node of a cluster elsewhere
    Agent(Agent),
    /// Be the process of an isolated container. Only an agent starts it
    #[command(hide = true)]
    Sandbox,
    /// Compile one module. Only an agent starts it
    #[command(hide = true)]
    Compile,
    #[command(flatten)]
    Client(coracle_cli::Command),
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// How many nodes to run in this process
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    nodes: u16,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    node: Node,
    /// The address by which nodes of other machines reach these [default: the address of --listen]
    #[arg(long)]
    address: Option<IpAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct Server {
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Agent {
    /// The API server's URL; needed for the first start
    #[arg(long)]
    pub(crate) server: Option<String>,
    /// What `coracle token create` printed; needed for the first start
    #[arg(long, env = "CORACLE_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<JoinToken>,
    /// The node's name [default: the host's]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Where everything durable lives [default: $XDG_DATA_HOME/coracle]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Where other nodes reach this one (UDP); port 0 chooses one
    #[arg(long, default_value = "0.0.0.0:0")]
    pub(crate) listen: SocketAddr,
    /// An address by which other nodes reach this one [default: the one from which the server is reached]
    #[arg(long)]
    pub(crate) address: Vec<IpAddr>,
    #[command(flatten)]
    pub(crate) node: Node,
}

impl Agent {
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(default_data_dir)
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Where everything durable lives [default: $XDG_DATA_HOME/coracle]
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where the API is served; port 0 chooses one, which DATA_DIR/kubeconfig names
    #[arg(long, default_value = "127.0.0.1:6443")]
    pub(crate) listen: SocketAddr,
    /// Addresses of services
    #[arg(long, default_value = "10.96.0.0/16")]
    pub(crate) service_cidr: IpNet,
    /// Addresses of pods; each node gets a part
    #[arg(long, default_value = "10.244.0.0/16")]
    pub(crate) pod_cidr: IpNet,
    /// The domain under which services are named
    #[arg(long, default_value = "cluster.local")]
    pub(crate) cluster_domain: String,
    /// How long a node may be silent before it counts as not ready
    #[arg(long, default_value = "40s", value_parser = duration)]
    pub(crate) node_monitor_grace_period: Duration,
    /// Addresses for services of type LoadBalancer, which lead to nodes [default: the nodes' own]
    #[arg(long, value_name = "NETWORK")]
    pub(crate) load_balancer_pool: Vec<IpNet>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Node {
    /// How many pods a node may run
    #[arg(long, default_value_t = MAX_PODS)]
    pub(crate) max_pods: u32,
    /// Where node ports listen [default: the address of --listen]
    #[arg(long)]
    pub(crate) node_port_address: Option<IpAddr>,
    /// Where the cluster's names are answered over UDP and TCP, for those who are no pods [default: nowhere]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) dns_listen: Option<SocketAddr>,
    /// Who is asked for all other names [default: the servers of /etc/resolv.conf]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) dns_upstream: Vec<SocketAddr>,
}

/// Where names are answered, and who is asked for others.
#[derive(Clone, Debug)]
pub(crate) struct NameServer {
    pub(crate) listen: SocketAddr,
    pub(crate) upstream: Vec<SocketAddr>,
}

impl Node {
    pub(crate) fn name_server(&self) -> Option<NameServer> {
        let listen = self.dns_listen?;
        let machines_own = || {
            let conf = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
            coracle_dns::upstream_of(&conf, listen)
        };
        let upstream = if self.dns_upstream.is_empty() { machines_own() } else { self.dns_upstream.clone() };
        Some(NameServer { listen, upstream })
    }
}

/// What to run: the outcome of the command line.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) common: Common,
    pub(crate) data_dir: PathBuf,
    pub(crate) n_nodes: u16,
    pub(crate) max_pods: u32,
    pub(crate) node_port_address: IpAddr,
    pub(crate) node_address: Option<IpAddr>,
    pub(crate) name_server: Option<NameServer>,
}

/// How many pods a node may run, unless said otherwise.
const MAX_PODS: u32 = 110;
/// The part of an IPv4 pod network that a node gets when its pods fit.
const NODE_PREFIX_LEN: u8 = 24;
/// Addresses of a node's network that no pod gets: the network, the node's own, and the broadcast address.
const ADDRESSES_RESERVED: u32 = 3;

impl Cluster {
    pub(crate) fn layout(&self) -> Layout {
        Layout {
            pod_cidr: self.common.pod_cidr,
            service_cidr: self.common.service_cidr,
            cluster_domain: self.common.cluster_domain.clone(),
        }
    }

    /// The prefix length of a node's network: 24 for IPv4, or shorter where that has no room for `--max-pods`.
    pub(crate) fn node_prefix_len(&self) -> u8 {
        let wanted = (self.max_pods + ADDRESSES_RESERVED).next_power_of_two().trailing_zeros() as u8;
        match self.common.pod_cidr {
            IpNet::V4(_) => NODE_PREFIX_LEN.min(32 - wanted),
            IpNet::V6(_) => 64,
        }
    }
}

impl From<Up> for Cluster {
    fn from(up: Up) -> Self {
        let node_port_address = up.node.node_port_address.unwrap_or(up.common.listen.ip());
        Self {
            n_nodes: up.nodes,
            max_pods: up.node.max_pods,
            node_port_address,
            node_address: up.address,
            name_server: up.node.name_server(),
            ..control_plane(up.common)
        }
    }
}

impl From<Server> for Cluster {
    fn from(server: Server) -> Self {
        control_plane(server.common)
    }
}

fn control_plane(common: Common) -> Cluster {
    let data_dir = common.data_dir.clone().unwrap_or_else(default_data_dir);
    Cluster {
        data_dir,
        n_nodes: 0,
        max_pods: MAX_PODS,
        node_port_address: common.listen.ip(),
        node_address: None,
        name_server: None,
        common,
    }
}

/// `$XDG_DATA_HOME/coracle`, as the XDG base directory specification has it.
fn default_data_dir() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| ".".into())).join(".local/share");
    let data = std::env::var_os("XDG_DATA_HOME").filter(|dir| !dir.is_empty()).map_or_else(home, PathBuf::from);
    data.join("coracle")
}

/// Durations as Go prints them: `40s`, `5m0s`.
fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text.parse().map_err(|error| format!("{error}"))?;
    span.try_into().map_err(|_| "a duration cannot be negative".to_owned())
}
