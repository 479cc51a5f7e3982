//! Addresses as WIT spells them, and the rules that the specification sets for them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::bindings::wasi::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};

/// The family that a socket was created for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    /// All of a host's addresses, and a port that it chooses.
    pub(crate) fn any(self) -> SocketAddr {
        match self {
            Self::V4 => (Ipv4Addr::UNSPECIFIED, 0).into(),
            Self::V6 => (Ipv6Addr::UNSPECIFIED, 0).into(),
        }
    }

    /// An address to bind to.
    pub(crate) fn local(self, address: impl Into<SocketAddr>) -> Result<SocketAddr, ErrorCode> {
        let address = address.into();
        let valid = self.has(address.ip()) && is_unicast(address.ip());
        valid.then_some(address).ok_or(ErrorCode::InvalidArgument)
    }

    /// An address to reach.
    pub(crate) fn remote(self, address: impl Into<SocketAddr>) -> Result<SocketAddr, ErrorCode> {
        let address = self.local(address)?;
        let valid = !address.ip().is_unspecified() && address.port() != 0;
        valid.then_some(address).ok_or(ErrorCode::InvalidArgument)
    }

    /// Addresses that carry one of the other family within them are of neither.
    fn has(self, ip: IpAddr) -> bool {
        match (self, ip) {
            (Self::V4, IpAddr::V4(_)) => true,
            (Self::V6, IpAddr::V6(ip)) => ip.to_ipv4_mapped().is_none() && !is_ipv4_compatible(ip),
            (Self::V4, IpAddr::V6(_)) | (Self::V6, IpAddr::V4(_)) => false,
        }
    }
}

/// The address that `remote` sees of a socket bound to `local`, on a host with the addresses `own`.
pub(crate) fn towards(local: SocketAddr, remote: Option<SocketAddr>, own: &[IpAddr]) -> SocketAddr {
    let Some(remote) = remote.filter(|_| local.ip().is_unspecified()) else { return local };
    let ip = remote.ip();
    let same_family = own.iter().find(|own| own.is_ipv4() == ip.is_ipv4()).copied();
    let seen = match ip {
        IpAddr::V4(v4) if v4.is_loopback() => Some(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(v6) if v6.is_loopback() => Some(Ipv6Addr::LOCALHOST.into()),
        _ if own.contains(&ip) => Some(ip),
        _ => same_family,
    };
    SocketAddr::new(seen.unwrap_or(local.ip()), local.port())
}

fn is_ipv4_compatible(ip: Ipv6Addr) -> bool {
    matches!(ip.segments(), [0, 0, 0, 0, 0, 0, _, _]) && !ip.is_unspecified() && !ip.is_loopback()
}

fn is_unicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_multicast(),
    }
}

impl From<IpAddressFamily> for Family {
    fn from(family: IpAddressFamily) -> Self {
        match family {
            IpAddressFamily::Ipv4 => Self::V4,
            IpAddressFamily::Ipv6 => Self::V6,
        }
    }
}

impl From<Family> for IpAddressFamily {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self::Ipv4,
            Family::V6 => Self::Ipv6,
        }
    }
}

impl From<IpSocketAddress> for SocketAddr {
    fn from(address: IpSocketAddress) -> Self {
        match address {
            IpSocketAddress::Ipv4(v4) => {
                let (a, b, c, d) = v4.address;
                Self::V4(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), v4.port))
            }
            IpSocketAddress::Ipv6(v6) => {
                let (a, b, c, d, e, f, g, h) = v6.address;
                let ip = Ipv6Addr::new(a, b, c, d, e, f, g, h);
                Self::V6(SocketAddrV6::new(ip, v6.port, v6.flow_info, v6.scope_id))
            }
        }
    }
}

impl From<SocketAddr> for IpSocketAddress {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => Self::Ipv4(Ipv4SocketAddress { port: v4.port(), address: v4.ip().octets().into() }),
            SocketAddr::V6(v6) => Self::Ipv6(Ipv6SocketAddress {
                port: v6.port(),
                flow_info: v6.flowinfo(),
                address: v6.ip().segments().into(),
                scope_id: v6.scope_id(),
            }),
        }
    }
}

impl From<IpAddr> for IpAddress {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self::Ipv4(v4.octets().into()),
            IpAddr::V6(v6) => Self::Ipv6(v6.segments().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn remote(family: Family, address: &str) -> bool {
        let address: SocketAddr = address.parse().unwrap();
        match family.remote(IpSocketAddress::from(address)) {
            Ok(same) => {
                assert_eq!(same, address);
                true
            }
            Err(error) => {
                assert_eq!(error, ErrorCode::InvalidArgument);
                false
            }
        }
    }

    #[test]
    fn only_a_unicast_address_of_the_sockets_family_can_be_reached() {
        assert!(remote(Family::V4, "10.0.0.1:80"));
        assert!(remote(Family::V6, "[fd00::1]:80"));
        assert!(remote(Family::V6, "[::1]:80"));
        for wrong in ["10.0.0.1:0", "0.0.0.0:80", "224.0.0.1:80", "255.255.255.255:80", "[fd00::1]:80"] {
            assert!(!remote(Family::V4, wrong), "{wrong}");
        }
        for wrong in ["[::]:80", "[ff02::1]:80", "[::ffff:10.0.0.1]:80", "[::10.0.0.1]:80", "10.0.0.1:80"] {
            assert!(!remote(Family::V6, wrong), "{wrong}");
        }
    }

    #[test]
    fn an_unspecified_address_can_be_bound() {
        assert!(Family::V4.local(Family::V4.any()).is_ok());
        assert!(Family::V6.local(Family::V6.any()).is_ok());
    }

    #[test]
    fn who_connects_learns_which_address_the_other_side_sees() {
        let own = ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        for (local, remote, seen) in [
            ("0.0.0.0:5", Some("127.0.0.1:7"), "127.0.0.1:5"),
            ("0.0.0.0:5", Some("10.0.0.9:7"), "10.0.0.1:5"),
            ("[::]:5", Some("[::1]:7"), "[::1]:5"),
            ("[::]:5", Some("[fd00::9]:7"), "[fd00::1]:5"),
            ("10.0.0.1:5", Some("127.0.0.1:7"), "10.0.0.1:5"),
            ("0.0.0.0:5", None, "0.0.0.0:5"),
        ] {
            let remote = remote.map(|remote| remote.parse().unwrap());
            assert_eq!(towards(local.parse().unwrap(), remote, &own), seen.parse().unwrap());
        }
    }
}
