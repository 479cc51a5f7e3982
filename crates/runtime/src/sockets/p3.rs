//! `wasi:sockets` 0.3: the sockets of 0.2, whose data and connections are streams of the component model.

mod streams;
mod tcp;
mod tcp_host;
mod udp;

use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::{Accessor, Linker};

use super::address::Family;
use super::bindings::wasi::sockets::network::ErrorCode as Code;
use super::conn::SendError;
use super::lookup::{Question, question};
use super::{SocketError, Sockets, View};
use crate::guest::Guest;
use bindings::wasi::sockets::ip_name_lookup::{self, ErrorCode as LookupError};
use bindings::wasi::sockets::types::{
    self, ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};

mod bindings {
    wasmtime::component::bindgen!({
        path: "wit-p3",
        world: "wasi:sockets/imports",
        imports: {
            "wasi:sockets/types.[method]tcp-socket.listen": store | trappable,
            "wasi:sockets/types.[method]tcp-socket.send": store | trappable,
            "wasi:sockets/types.[method]tcp-socket.receive": store | trappable,
            default: trappable,
        },
        require_store_data_send: true,
        trappable_error_type: {
            "wasi:sockets/types.error-code" => crate::sockets::SocketError,
        },
        with: {
            "wasi:clocks": wasmtime_wasi::p3::bindings::clocks,
            "wasi:sockets/types.tcp-socket": crate::sockets::p3::tcp::TcpSocket,
            "wasi:sockets/types.udp-socket": crate::sockets::p3::udp::UdpSocket,
        },
    });
}

/// Offers `wasi:sockets` 0.3.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> Result<()> {
    types::add_to_linker::<_, Sockets>(linker, Guest::net)?;
    ip_name_lookup::add_to_linker::<_, Sockets>(linker, Guest::net)
}

impl types::Host for View<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> Result<ErrorCode> {
        match error {
            SocketError::Code(code) => Ok(code.into()),
            SocketError::Trap(error) => Err(error),
        }
    }
}

impl ip_name_lookup::Host for View<'_> {}

impl<T> ip_name_lookup::HostWithStore<T> for Sockets {
    async fn resolve_addresses(
        store: &Accessor<T, Self>,
        name: String,
    ) -> Result<std::result::Result<Vec<IpAddress>, LookupError>> {
        let name = match question(&name) {
            Ok(Question::Name(name)) => name,
            Ok(Question::Address(ip)) => return Ok(Ok(vec![ip.into()])),
            Err(_) => return Ok(Err(LookupError::InvalidArgument)),
        };
        let network = store.with(|mut store| Arc::clone(&store.get().sandbox.spec.network));
        Ok(match network.resolve(&name).await {
            Ok(addresses) if addresses.is_empty() => Err(LookupError::NameUnresolvable),
            Ok(addresses) => Ok(addresses.into_iter().map(|ip| ip.to_canonical().into()).collect()),
            Err(error) => Err(lookup_error(error.into())),
        })
    }
}

fn lookup_error(code: Code) -> LookupError {
    match code {
        Code::AccessDenied => LookupError::AccessDenied,
        Code::InvalidArgument => LookupError::InvalidArgument,
        Code::NameUnresolvable => LookupError::NameUnresolvable,
        Code::TemporaryResolverFailure | Code::Timeout => LookupError::TemporaryResolverFailure,
        Code::PermanentResolverFailure => LookupError::PermanentResolverFailure,
        other => LookupError::Other(Some(other.name().to_owned())),
    }
}

/// 0.3 has no states in between, and leaves what is left to words.
impl From<Code> for ErrorCode {
    fn from(code: Code) -> Self {
        match code {
            Code::AccessDenied => Self::AccessDenied,
            Code::NotSupported => Self::NotSupported,
            Code::InvalidArgument => Self::InvalidArgument,
            Code::OutOfMemory => Self::OutOfMemory,
            Code::Timeout => Self::Timeout,
            Code::InvalidState | Code::ConcurrencyConflict | Code::NotInProgress => Self::InvalidState,
            Code::AddressNotBindable => Self::AddressNotBindable,
            Code::AddressInUse => Self::AddressInUse,
            Code::RemoteUnreachable => Self::RemoteUnreachable,
            Code::ConnectionRefused => Self::ConnectionRefused,
            Code::ConnectionReset => Self::ConnectionReset,
            Code::ConnectionAborted => Self::ConnectionAborted,
            Code::DatagramTooLarge => Self::DatagramTooLarge,
            Code::Unknown => Self::Other(None),
            Code::WouldBlock
            | Code::NewSocketLimit
            | Code::NameUnresolvable
            | Code::TemporaryResolverFailure
            | Code::PermanentResolverFailure => Self::Other(Some(code.name().to_owned())),
        }
    }
}

impl From<SendError> for ErrorCode {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Broken => Self::ConnectionBroken,
            SendError::Failed(code) => code.into(),
        }
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
            IpSocketAddress::Ipv4(v4) => Self::V4(SocketAddrV4::new(<[u8; 4]>::from(v4.address).into(), v4.port)),
            IpSocketAddress::Ipv6(v6) => {
                let ip = <[u16; 8]>::from(v6.address).into();
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
