//! Sets of addresses and ports, from which one takes a certain one or any.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use ipnet::Ipv4Net;
use rand::Rng;

/// Addresses at the beginning of the range that are left to those who ask for a certain one.
const STATIC_MAX: u32 = 256;
const STATIC_MIN: u32 = 16;
/// Random attempts before the range is searched in order.
const ATTEMPTS_MAX: usize = 16;

/// Why a certain one cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Taken,
    Outside,
}

/// What is taken of both ranges.
#[derive(Debug)]
pub(super) struct Pools {
    addresses: Ipv4Net,
    taken_addresses: HashSet<Ipv4Addr>,
    ports: RangeInclusive<u16>,
    taken_ports: HashSet<u16>,
}

impl Pools {
    pub(super) fn new(addresses: Ipv4Net, ports: RangeInclusive<u16>) -> Self {
        Self { addresses, taken_addresses: HashSet::new(), ports, taken_ports: HashSet::new() }
    }

    pub(super) fn port_range(&self) -> &RangeInclusive<u16> {
        &self.ports
    }

    /// Notes that an address is taken, wherever it is from.
    pub(super) fn adopt_address(&mut self, address: Ipv4Addr) {
        self.taken_addresses.insert(address);
    }

    pub(super) fn adopt_port(&mut self, port: u16) {
        self.taken_ports.insert(port);
    }

    pub(super) fn take_address(&mut self, address: Ipv4Addr) -> Result<(), Refusal> {
        let is_edge = address == self.addresses.network() || address == self.addresses.broadcast();
        if is_edge || !self.addresses.contains(&address) {
            return Err(Refusal::Outside);
        }
        if self.taken_addresses.insert(address) { Ok(()) } else { Err(Refusal::Taken) }
    }

    pub(super) fn take_port(&mut self, port: u16) -> Result<(), Refusal> {
        if !self.ports.contains(&port) {
            return Err(Refusal::Outside);
        }
        if self.taken_ports.insert(port) { Ok(()) } else { Err(Refusal::Taken) }
    }

    /// Any free address, preferably none of those that people ask for by name.
    pub(super) fn any_address(&mut self) -> Option<Ipv4Addr> {
        let network = u32::from(self.addresses.network());
        let size = 1u32.checked_shl(u32::from(32 - self.addresses.prefix_len())).unwrap_or(u32::MAX);
        let reserved = (size / 16).clamp(STATIC_MIN.min(size / 2), STATIC_MAX);
        let (first, last) = (1, size.checked_sub(2)?);
        let mut random = rand::rng();
        let has_dynamic = first + reserved < last;
        let n_guesses = if has_dynamic { ATTEMPTS_MAX } else { 0 };
        let guesses: Vec<u32> = (0..n_guesses).map(|_| random.random_range(first + reserved..=last)).collect();
        let in_order = (first + reserved..=last).chain(first..=last.min(first + reserved));
        let mut candidates = guesses.into_iter().chain(in_order).map(|offset| Ipv4Addr::from(network + offset));
        candidates.find(|address| self.taken_addresses.insert(*address))
    }

    /// Any free port.
    pub(super) fn any_port(&mut self) -> Option<u16> {
        let mut random = rand::rng();
        let guesses: Vec<u16> = (0..ATTEMPTS_MAX).map(|_| random.random_range(self.ports.clone())).collect();
        let mut candidates = guesses.into_iter().chain(self.ports.clone());
        candidates.find(|port| self.taken_ports.insert(*port))
    }

    pub(super) fn release_address(&mut self, address: Ipv4Addr) {
        self.taken_addresses.remove(&address);
    }

    pub(super) fn release_port(&mut self, port: u16) {
        self.taken_ports.remove(&port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_range_is_used_up_and_what_is_released_is_free_again() {
        let mut pools = Pools::new("10.0.0.0/29".parse().unwrap(), 30000..=30001);
        let all: HashSet<_> = std::iter::from_fn(|| pools.any_address()).collect();
        assert_eq!(all.len(), 6);
        assert_eq!(pools.take_address("10.0.0.3".parse().unwrap()), Err(Refusal::Taken));
        pools.release_address("10.0.0.3".parse().unwrap());
        assert_eq!(pools.any_address(), Some("10.0.0.3".parse().unwrap()));
        assert_eq!(std::iter::from_fn(|| pools.any_port()).count(), 2);
        assert_eq!(pools.take_port(29999), Err(Refusal::Outside));
    }

    #[test]
    fn neither_the_edges_nor_what_lies_outside_can_be_had() {
        let mut pools = Pools::new("10.96.0.0/16".parse().unwrap(), 30000..=32767);
        for address in ["10.96.0.0", "10.96.255.255", "192.168.1.1"] {
            assert_eq!(pools.take_address(address.parse().unwrap()), Err(Refusal::Outside), "{address}");
        }
        let any = pools.any_address().unwrap();
        assert!(u32::from(any) > u32::from(Ipv4Addr::new(10, 96, 1, 0)), "{any} is in the part for static addresses");
    }
}
