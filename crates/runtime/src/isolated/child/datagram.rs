//! A datagram between a process and the agent: the address of its peer, and the payload. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The family, the address, the port.
pub(in crate::isolated) const ADDRESS_BYTES: usize = 1 + 16 + 2;
/// The longest payload of UDP.
pub(in crate::isolated) const DATAGRAM_MAX: usize = 65_507;
/// Stands in for a datagram: nobody is bound where one was sent to.
pub(in crate::isolated) const REFUSED: [u8; 1] = [0];

const V4: u8 = 4;
const V6: u8 = 6;

pub(in crate::isolated) fn bytes_of(address: SocketAddr) -> [u8; ADDRESS_BYTES] {
    let mut bytes = [0; ADDRESS_BYTES];
    match address.ip() {
        IpAddr::V4(ip) => {
            bytes[0] = V4;
            bytes[1..5].copy_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            bytes[0] = V6;
            bytes[1..17].copy_from_slice(&ip.octets());
        }
    }
    bytes[17..].copy_from_slice(&address.port().to_be_bytes());
    bytes
}

pub(in crate::isolated) fn address_of(bytes: &[u8]) -> Option<SocketAddr> {
    let bytes: &[u8; ADDRESS_BYTES] = bytes.try_into().ok()?;
    let octets: [u8; 16] = bytes[1..17].try_into().expect("it has that length");
    let ip = match bytes[0] {
        V4 => IpAddr::V4(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3])),
        V6 => IpAddr::V6(Ipv6Addr::from(octets)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes([bytes[17], bytes[18]])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives() {
        for address in ["10.0.0.1:80", "[fd00::1]:65535"] {
            let address = address.parse().unwrap();
            assert_eq!(address_of(&bytes_of(address)), Some(address));
        }
        assert_eq!(address_of(&[0; ADDRESS_BYTES]), None);
        assert_eq!(address_of(&REFUSED), None);
    }
}
