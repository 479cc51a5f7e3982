//! How a pod's names become addresses: what the cluster knows first, then the host's resolver if the pod may leave.

use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;
use coracle_runtime::network::NetworkError;

use crate::{Egress, PodIdentity};

/// How many aliases are followed before a name is given up.
const ALIASES_MAX: usize = 8;
/// A name longer than this is none.
const NAME_LENGTH_MAX: usize = 255;

/// What is known of a name inside the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// In order of preference. Empty when the name exists without addresses.
    Addresses(Vec<IpAddr>),
    /// Another name stands for this one.
    Alias(String),
    /// The cluster is the authority for this name, and it does not exist.
    NoSuchName,
    /// Not the cluster's: the host's resolver may know it.
    NotOurs,
}

/// The names that the cluster answers.
#[async_trait]
pub trait Names: Send + Sync {
    fn resolve(&self, from: &PodIdentity, name: &str) -> Answer;

    /// The answer to a query as it travels in a datagram; `None` when it is none.
    async fn answer(&self, _query: &[u8]) -> Option<Vec<u8>> {
        None
    }

    /// A query for the addresses of one family, as it travels.
    fn query(&self, _name: &str, _v4: bool) -> Option<Vec<u8>> {
        None
    }

    /// The addresses in an answer that has travelled.
    fn addresses_in(&self, _answer: &[u8]) -> Vec<IpAddr> {
        Vec::new()
    }
}

/// How one pod looks names up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    /// Names that the pod knows by itself.
    pub hosts: Vec<(IpAddr, Vec<String>)>,
    /// Where a name is tried that is not whole; without one, [`Names`] knows.
    pub search: Option<Search>,
    pub asks: Asks,
}

/// Domains under which a name is tried: before it is taken as it is when it has fewer dots than `ndots`, else after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    pub domains: Vec<String>,
    pub ndots: usize,
}

/// Who is asked for what the pod does not know by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Asks {
    /// The cluster, and the host's resolver for the rest.
    #[default]
    Cluster,
    /// The host's resolver.
    Host,
    /// These servers, over the pod's own network.
    Servers(Vec<SocketAddr>),
}

impl Resolver {
    /// What the pod knows by itself. `name` is in lower case.
    pub(crate) fn known(&self, name: &str) -> Vec<IpAddr> {
        let name = name.trim_end_matches('.');
        let is_it = |names: &[String]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        self.hosts.iter().filter(|(_, names)| is_it(names)).map(|(ip, _)| *ip).collect()
    }

    /// The names that are asked for, in order.
    pub(crate) fn candidates(&self, name: &str) -> Vec<String> {
        let Some(search) = self.search.as_ref().filter(|_| !name.ends_with('.')) else { return vec![name.to_owned()] };
        let whole = format!("{name}.");
        let mut tried: Vec<String> =
            search.domains.iter().map(|domain| format!("{name}.{}.", domain.trim_matches('.'))).collect();
        let is_first = name.matches('.').count() >= search.ndots;
        tried.insert(if is_first { 0 } else { tried.len() }, whole);
        tried
    }
}

/// Knows no name.
#[derive(Debug)]
pub(crate) struct NoNames;

impl Names for NoNames {
    fn resolve(&self, _: &PodIdentity, _: &str) -> Answer {
        Answer::NotOurs
    }
}

pub(crate) async fn resolve(
    names: &dyn Names,
    egress: &Egress,
    from: &PodIdentity,
    name: &str,
) -> Result<Vec<IpAddr>, NetworkError> {
    let mut name = name.to_owned();
    for _ in 0..ALIASES_MAX {
        if name.is_empty() || name.len() > NAME_LENGTH_MAX {
            return Err(NetworkError::InvalidArgument);
        }
        match names.resolve(from, &name) {
            Answer::Addresses(addresses) if addresses.is_empty() => return Err(NetworkError::NameUnresolvable),
            Answer::Addresses(addresses) => return Ok(addresses),
            Answer::NoSuchName => return Err(NetworkError::NameUnresolvable),
            Answer::Alias(target) => name = target,
            Answer::NotOurs => return ask_host(egress, &name).await,
        }
    }
    Err(NetworkError::NameUnresolvable)
}

pub(crate) async fn ask_host(egress: &Egress, name: &str) -> Result<Vec<IpAddr>, NetworkError> {
    if !egress.is_allowed() {
        return Err(NetworkError::NameUnresolvable);
    }
    let found = tokio::net::lookup_host((name, 0)).await.map_err(|_| NetworkError::NameUnresolvable)?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for ip in found.map(|address| address.ip().to_canonical()) {
        if egress.permits(ip) && !addresses.contains(&ip) {
            addresses.push(ip);
        }
    }
    if addresses.is_empty() { Err(NetworkError::NameUnresolvable) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_tried_under_the_search_path_as_its_dots_say() {
        let search = Search { domains: vec!["a.example".into(), "example.".into()], ndots: 2 };
        let resolver = Resolver { search: Some(search), ..Resolver::default() };
        assert_eq!(resolver.candidates("web"), ["web.a.example.", "web.example.", "web."]);
        assert_eq!(resolver.candidates("web.x.y"), ["web.x.y.", "web.x.y.a.example.", "web.x.y.example."]);
        assert_eq!(resolver.candidates("web."), ["web."]);
        assert_eq!(Resolver::default().candidates("web"), ["web"]);
    }
}
