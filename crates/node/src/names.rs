//! How a pod looks names up, as its `dnsPolicy`, `dnsConfig` and `hostAliases` have it, and the files in which its guests
//! read the same. Pure; the texts are kubelet's.

use std::net::{IpAddr, SocketAddr};

use coracle_net::{Asks, Resolver, Search};
use k8s_openapi::api::core::v1::{Pod, PodSpec};

const DNS_PORT: u16 = 53;
/// As many as a resolver reads.
const SERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const HOST_NAME_LENGTH_MAX: usize = 63;
const NDOTS_CLUSTER: usize = 5;
const NDOTS: usize = 1;
const HOSTS: &str = "# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
";

/// What a node knows of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surroundings {
    pub cluster_domain: String,
    /// Where the cluster's names are answered.
    pub servers: Vec<IpAddr>,
    /// The host's `resolv.conf`.
    pub host: Conf,
}

/// What a `resolv.conf` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conf {
    pub servers: Vec<String>,
    pub searches: Vec<String>,
    pub options: Vec<String>,
}

impl Conf {
    pub fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace().map(str::to_owned);
            match words.next().as_deref() {
                Some("nameserver") => conf.servers.extend(words.next()),
                // The last one holds.
                Some("search") => conf.searches = words.collect(),
                Some("options") => conf.options = words.collect(),
                Some(_) | None => {}
            }
        }
        conf
    }

    /// As container runtimes write it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if !self.searches.is_empty() {
            text += &format!("search {}\n", self.searches.join(" "));
        }
        for server in &self.servers {
            text += &format!("nameserver {server}\n");
        }
        if !self.options.is_empty() {
            text += &format!("options {}\n", self.options.join(" "));
        }
        text
    }

    fn ndots(&self) -> usize {
        let mut stated = self.options.iter().filter_map(|option| option.strip_prefix("ndots:")?.parse().ok());
        stated.next_back().unwrap_or(NDOTS)
    }
}

/// The `resolv.conf` of a pod.
pub fn conf(pod: &Pod, surroundings: &Surroundings) -> Conf {
    let Some(spec) = &pod.spec else { return Conf::default() };
    let mut conf = match policy(spec) {
        "None" => Conf::default(),
        "Default" => surroundings.host.clone(),
        _ => of_cluster(pod, surroundings),
    };
    let Some(own) = &spec.dns_config else { return conf };
    conf.servers.extend(own.nameservers.iter().flatten().cloned());
    conf.searches.extend(own.searches.iter().flatten().cloned());
    for option in own.options.iter().flatten() {
        let Some(name) = &option.name else { continue };
        conf.options.retain(|known| known.split(':').next() != Some(name));
        conf.options.push(match option.value.as_deref().filter(|value| !value.is_empty()) {
            Some(value) => format!("{name}:{value}"),
            None => name.clone(),
        });
    }
    once(&mut conf.servers, SERVERS_MAX);
    once(&mut conf.searches, SEARCHES_MAX);
    conf
}

/// With the host's network, the cluster's names must be asked for.
fn policy(spec: &PodSpec) -> &str {
    match spec.dns_policy.as_deref() {
        Some("ClusterFirst") | None if spec.host_network == Some(true) => "Default",
        Some(policy) => policy,
        None => "ClusterFirst",
    }
}

fn of_cluster(pod: &Pod, Surroundings { cluster_domain, servers, host }: &Surroundings) -> Conf {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let own = [format!("{namespace}.svc.{cluster_domain}"), format!("svc.{cluster_domain}"), cluster_domain.clone()];
    let mut searches: Vec<String> = own.into_iter().chain(host.searches.iter().cloned()).collect();
    once(&mut searches, SEARCHES_MAX);
    Conf {
        servers: servers.iter().map(ToString::to_string).collect(),
        searches,
        options: vec![format!("ndots:{NDOTS_CLUSTER}")],
    }
}

/// Each one once, and no more than `max`.
fn once(all: &mut Vec<String>, max: usize) {
    let mut seen = std::collections::HashSet::new();
    all.retain(|one| seen.insert(one.clone()));
    all.truncate(max);
}

/// How the pod's names are looked up in process.
pub fn resolver(pod: &Pod, addresses: &[IpAddr], surroundings: &Surroundings) -> Resolver {
    let mut hosts: Vec<(IpAddr, Vec<String>)> =
        addresses.iter().map(|ip| (*ip, own_names(pod, &surroundings.cluster_domain))).collect();
    let aliases = pod.spec.iter().flat_map(|spec| spec.host_aliases.iter().flatten());
    hosts.extend(
        aliases.filter_map(|alias| Some((alias.ip.parse().ok()?, alias.hostnames.clone().unwrap_or_default()))),
    );
    let Some(spec) = &pod.spec else { return Resolver { hosts, ..Resolver::default() } };
    let conf = conf(pod, surroundings);
    let search = || Search { domains: conf.searches.clone(), ndots: conf.ndots() };
    let (search, asks) = match (policy(spec), &spec.dns_config) {
        ("None", _) => (Some(search()), Asks::Servers(sockets(&conf.servers))),
        // The host's resolver has a search path of its own.
        ("Default", None) => (None, Asks::Host),
        ("Default", Some(own)) => {
            let servers = own.nameservers.as_ref().is_some_and(|servers| !servers.is_empty());
            (Some(search()), if servers { Asks::Servers(sockets(&conf.servers)) } else { Asks::Host })
        }
        (_, None) => (None, Asks::Cluster),
        (_, Some(_)) => (Some(search()), Asks::Cluster),
    };
    Resolver { hosts, search, asks }
}

fn sockets(servers: &[String]) -> Vec<SocketAddr> {
    servers.iter().filter_map(|server| Some(SocketAddr::new(server.parse().ok()?, DNS_PORT))).collect()
}

/// What the pod is called on its own network: with its domain, if it has one, and without.
fn own_names(pod: &Pod, cluster_domain: &str) -> Vec<String> {
    let name = host_name(pod);
    let subdomain = pod.spec.as_ref().and_then(|spec| spec.subdomain.as_deref()).filter(|domain| !domain.is_empty());
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let whole = subdomain.map(|subdomain| format!("{name}.{subdomain}.{namespace}.svc.{cluster_domain}"));
    whole.into_iter().chain([name]).collect()
}

/// The pod's host name.
pub fn host_name(pod: &Pod) -> String {
    let stated = pod.spec.as_ref().and_then(|spec| spec.hostname.clone()).filter(|name| !name.is_empty());
    let mut name = stated.or_else(|| pod.metadata.name.clone()).unwrap_or_default();
    name.truncate(HOST_NAME_LENGTH_MAX);
    name.trim_end_matches(['-', '.']).to_owned()
}

/// The `/etc/hosts` of a pod.
pub fn hosts(pod: &Pod, addresses: &[IpAddr], cluster_domain: &str) -> String {
    let mut text = HOSTS.to_owned();
    for ip in addresses {
        text += &format!("{ip}\t{}\n", own_names(pod, cluster_domain).join("\t"));
    }
    let aliases: Vec<_> = pod.spec.iter().flat_map(|spec| spec.host_aliases.iter().flatten()).collect();
    if !aliases.is_empty() {
        text += "\n# Entries added by HostAliases.\n";
    }
    for alias in aliases {
        text += &format!("{}\t{}\n", alias.ip, alias.hostnames.clone().unwrap_or_default().join("\t"));
    }
    text
}

#[cfg(test)]
mod tests;
