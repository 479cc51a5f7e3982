//! Gives pods their addresses out of the node's networks. An address that was given back is reused as late as possible.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Hosts of a network that are considered; an IPv6 network has more than anybody counts.
const HOSTS_MAX: u128 = 1 << 20;
/// The network's own address and the node's, which is the first.
const RESERVED: u128 = 2;

/// The addresses of one node's pods.
#[derive(Debug)]
pub(crate) struct Ipam {
    pools: Vec<Pool>,
}

#[derive(Debug)]
struct Pool {
    network: IpNet,
    next: u128,
    taken: HashSet<IpAddr>,
}

impl Ipam {
    pub(crate) fn new(networks: &[IpNet]) -> Self {
        let pool = |network: &IpNet| Pool { network: network.trunc(), next: RESERVED, taken: HashSet::new() };
        Self { pools: networks.iter().map(pool).collect() }
    }

    /// One address of each network; `None` when one of them is used up.
    pub(crate) fn allocate(&mut self) -> Option<Vec<IpAddr>> {
        let mut addresses = Vec::with_capacity(self.pools.len());
        for pool in &mut self.pools {
            match pool.allocate() {
                Some(address) => addresses.push(address),
                None => {
                    self.release(&addresses);
                    return None;
                }
            }
        }
        if addresses.is_empty() { None } else { Some(addresses) }
    }

    /// Takes the addresses that a pod had before, if they are this node's and free.
    pub(crate) fn take_back(&mut self, addresses: &[IpAddr]) -> bool {
        let is_free = |address: &IpAddr| {
            self.pools.iter().any(|pool| pool.network.contains(address) && !pool.taken.contains(address))
        };
        let is_whole = addresses.len() == self.pools.len() && !addresses.is_empty();
        if !is_whole || !addresses.iter().all(is_free) {
            return false;
        }
        for pool in &mut self.pools {
            pool.taken.extend(addresses.iter().filter(|address| pool.network.contains(*address)));
        }
        true
    }

    pub(crate) fn release(&mut self, addresses: &[IpAddr]) {
        for pool in &mut self.pools {
            pool.taken.retain(|taken| !addresses.contains(taken));
        }
    }
}

impl Pool {
    fn allocate(&mut self) -> Option<IpAddr> {
        let n_hosts = self.n_hosts();
        for _ in RESERVED..n_hosts {
            let candidate = self.host(self.next);
            self.next = if self.next + 1 >= n_hosts { RESERVED } else { self.next + 1 };
            if self.taken.insert(candidate) {
                return Some(candidate);
            }
        }
        None
    }

    /// One past the last host: an IPv4 network keeps its last address for broadcasts.
    fn n_hosts(&self) -> u128 {
        let bits = u32::from(self.network.max_prefix_len() - self.network.prefix_len());
        let size = 1u128.checked_shl(bits).unwrap_or(u128::MAX);
        let broadcast = u128::from(matches!(self.network, IpNet::V4(_)));
        (size.saturating_sub(broadcast)).min(HOSTS_MAX)
    }

    fn host(&self, n: u128) -> IpAddr {
        match self.network.network() {
            IpAddr::V4(first) => {
                IpAddr::V4(Ipv4Addr::from(u32::from(first) + u32::try_from(n).expect("hosts are bounded")))
            }
            IpAddr::V6(first) => IpAddr::V6(Ipv6Addr::from(u128::from(first) + n)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ipam(networks: &[&str]) -> Ipam {
        Ipam::new(&networks.iter().map(|network| network.parse().unwrap()).collect::<Vec<_>>())
    }

    fn shown(addresses: Option<Vec<IpAddr>>) -> Vec<String> {
        addresses.unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_pod_gets_one_address_of_each_network() {
        let mut ipam = ipam(&["10.244.3.0/24", "fd00:3::/64"]);
        assert_eq!(shown(ipam.allocate()), ["10.244.3.2", "fd00:3::2"]);
        assert_eq!(shown(ipam.allocate()), ["10.244.3.3", "fd00:3::3"]);
    }

    #[test]
    fn a_pod_gets_its_own_addresses_back_if_they_are_ours_and_free() {
        let mut ipam = ipam(&["10.244.3.0/24", "fd00:3::/64"]);
        let at = |all: &[&str]| -> Vec<IpAddr> { all.iter().map(|ip| ip.parse().unwrap()).collect() };
        assert!(ipam.take_back(&at(&["10.244.3.2", "fd00:3::2"])));
        for refused in [&["10.244.3.2", "fd00:3::7"][..], &["10.244.4.2", "fd00:3::7"], &["10.244.3.9"], &[]] {
            assert!(!ipam.take_back(&at(refused)), "{refused:?}");
        }
        assert_eq!(shown(ipam.allocate()), ["10.244.3.3", "fd00:3::3"]);
    }

    #[test]
    fn an_address_is_reused_late() {
        let mut ipam = ipam(&["10.0.0.0/29"]);
        let first = ipam.allocate().unwrap();
        ipam.release(&first);
        let given: Vec<String> = (0..5).flat_map(|_| shown(ipam.allocate())).collect();
        assert_eq!(given, ["10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.2"]);
        assert_eq!(ipam.allocate(), None);
    }

    #[test]
    fn when_one_network_is_used_up_nothing_is_taken_of_the_other() {
        let mut ipam = ipam(&["10.0.0.0/24", "10.1.0.0/30"]);
        assert!(ipam.allocate().is_some());
        assert_eq!(ipam.allocate(), None);
        assert_eq!(ipam.pools[0].taken.len(), 1);
    }
}
