//! Which ports of a pod are bound, per protocol. It knows nothing of what is bound to them.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use coracle_runtime::network::NetworkError;

/// Ports chosen for who did not ask for one: Linux's default range.
pub(crate) const EPHEMERAL: RangeInclusive<u16> = 32768..=60999;

/// The bound addresses of one protocol, and the local ports that connections hold.
#[derive(Debug)]
pub(crate) struct Bindings<T> {
    bound: HashMap<u16, Vec<(IpAddr, T)>>,
    connected: HashSet<u16>,
    next: u16,
}

impl<T> Default for Bindings<T> {
    fn default() -> Self {
        Self { bound: HashMap::new(), connected: HashSet::new(), next: *EPHEMERAL.start() }
    }
}

impl<T> Bindings<T> {
    /// Binds `local`, whose port 0 is replaced by a free one. Returns the address bound.
    pub(crate) fn bind(&mut self, mut local: SocketAddr, value: T) -> Result<SocketAddr, NetworkError> {
        if local.port() == 0 {
            local.set_port(self.free_port()?);
        }
        let at_port = self.bound.entry(local.port()).or_default();
        if at_port.iter().any(|(ip, _)| overlap(*ip, local.ip())) {
            return Err(NetworkError::AddressInUse);
        }
        at_port.push((local.ip(), value));
        Ok(local)
    }

    pub(crate) fn unbind(&mut self, local: SocketAddr) -> Option<T> {
        let at_port = self.bound.get_mut(&local.port())?;
        let idx = at_port.iter().position(|(ip, _)| *ip == local.ip())?;
        let (_, value) = at_port.swap_remove(idx);
        if at_port.is_empty() {
            self.bound.remove(&local.port());
        }
        Some(value)
    }

    /// What is bound to `address`: the address itself before all addresses of its family.
    pub(crate) fn find(&self, address: SocketAddr) -> Option<&T> {
        let at_port = self.bound.get(&address.port())?;
        let exact = at_port.iter().find(|(ip, _)| *ip == address.ip());
        exact.or_else(|| at_port.iter().find(|(ip, _)| overlap(*ip, address.ip()))).map(|(_, value)| value)
    }

    /// Takes a local port for a connection: `port`, or a free one when it is 0.
    pub(crate) fn hold(&mut self, port: u16) -> Result<u16, NetworkError> {
        let port = if port == 0 { self.free_port()? } else { port };
        if !self.is_free(port) {
            return Err(NetworkError::AddressInUse);
        }
        self.connected.insert(port);
        Ok(port)
    }

    pub(crate) fn release(&mut self, port: u16) {
        self.connected.remove(&port);
    }

    /// Forgets everything, and returns what was bound.
    pub(crate) fn clear(&mut self) -> Vec<T> {
        self.connected.clear();
        self.bound.drain().flat_map(|(_, at_port)| at_port).map(|(_, value)| value).collect()
    }

    fn is_free(&self, port: u16) -> bool {
        !self.bound.contains_key(&port) && !self.connected.contains(&port)
    }

    fn free_port(&mut self) -> Result<u16, NetworkError> {
        for _ in EPHEMERAL {
            let port = self.next;
            self.next = if port == *EPHEMERAL.end() { *EPHEMERAL.start() } else { port + 1 };
            if self.is_free(port) {
                return Ok(port);
            }
        }
        Err(NetworkError::AddressInUse)
    }
}

fn overlap(a: IpAddr, b: IpAddr) -> bool {
    a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_unspecified_address_overlaps_all_of_its_family() {
        let mut ports = Bindings::default();
        ports.bind(address("10.0.0.2:80"), "own").unwrap();
        assert_eq!(ports.bind(address("0.0.0.0:80"), "all"), Err(NetworkError::AddressInUse));
        assert_eq!(ports.bind(address("10.0.0.2:80"), "again"), Err(NetworkError::AddressInUse));
        ports.bind(address("127.0.0.1:80"), "loopback").unwrap();
        ports.bind(address("[::]:80"), "other family").unwrap();
        assert_eq!(ports.find(address("127.0.0.1:80")), Some(&"loopback"));
        assert_eq!(ports.find(address("[::1]:80")), Some(&"other family"));
        assert_eq!(ports.find(address("10.0.0.3:80")), None);
    }

    #[test]
    fn an_unbound_port_can_be_bound_again() {
        let mut ports = Bindings::default();
        ports.bind(address("0.0.0.0:80"), 1).unwrap();
        assert_eq!(ports.unbind(address("0.0.0.0:80")), Some(1));
        assert_eq!(ports.unbind(address("0.0.0.0:80")), None);
        ports.bind(address("127.0.0.1:80"), 2).unwrap();
        assert_eq!(ports.clear(), [2]);
    }

    #[test]
    fn ephemeral_ports_are_unique_and_end() {
        let mut ports = Bindings::<()>::default();
        let taken: HashSet<u16> = EPHEMERAL.map(|_| ports.hold(0).unwrap()).collect();
        assert_eq!(taken.len(), EPHEMERAL.len());
        assert_eq!(ports.hold(0), Err(NetworkError::AddressInUse));
        ports.release(40000);
        assert_eq!(ports.bind(address("0.0.0.0:0"), ()), Ok(address("0.0.0.0:40000")));
        assert_eq!(ports.hold(40000), Err(NetworkError::AddressInUse));
    }
}
