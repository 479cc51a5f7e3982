//! How a pod's names become addresses: what the cluster knows first, then the host's resolver if the pod may leave.

use std::net::IpAddr;

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
pub trait Names: Send + Sync {
    fn resolve(&self, from: &PodIdentity, name: &str) -> Answer;
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

async fn ask_host(egress: &Egress, name: &str) -> Result<Vec<IpAddr>, NetworkError> {
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
