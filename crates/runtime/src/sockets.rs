//! `wasi:sockets` over a [`Network`](crate::network::Network): what a guest opens, binds and resolves here is its
//! pod's, and never the host's. The WIT text in `wit/` is the specification.

mod address;
mod conn;
mod lookup;
mod options;
mod p3;
mod tcp;
mod tcp_host;
mod udp;
mod udp_host;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use wasmtime::Result;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable, ResourceTableError};

use crate::guest::Guest;
use crate::limits::Held;
use crate::network::NetworkError;
use crate::sandbox::Sandbox;
use address::Family;
use bindings::wasi::sockets::network::{self, ErrorCode, IpAddressFamily};
use bindings::wasi::sockets::{instance_network, tcp_create_socket, udp_create_socket};

mod bindings {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "wasi:sockets/imports",
        imports: { default: trappable },
        require_store_data_send: true,
        trappable_error_type: {
            "wasi:sockets/network.error-code" => crate::sockets::SocketError,
        },
        with: {
            "wasi:io": wasmtime_wasi_io::bindings::wasi::io,
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
            "wasi:sockets/network.network": crate::sockets::NetworkHandle,
            "wasi:sockets/tcp.tcp-socket": crate::sockets::tcp::TcpSocket,
            "wasi:sockets/udp.udp-socket": crate::sockets::udp::UdpSocket,
            "wasi:sockets/udp.incoming-datagram-stream": crate::sockets::udp::Incoming,
            "wasi:sockets/udp.outgoing-datagram-stream": crate::sockets::udp::Outgoing,
            "wasi:sockets/ip-name-lookup.resolve-address-stream": crate::sockets::lookup::Lookup,
        },
    });
}

/// Why a call failed: in a way that the guest is told, or in one that ends it.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum SocketError {
    Code(ErrorCode),
    Trap(wasmtime::Error),
}

type SocketResult<T> = std::result::Result<T, SocketError>;

/// Sockets that one container may hold.
const SOCKETS_MAX: usize = 4096;

/// The capability to use the network. There is one, and every guest has it.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct NetworkHandle;

/// A guest's sockets and what they stand on.
pub(crate) struct View<'a> {
    table: &'a mut ResourceTable,
    sandbox: &'a Arc<Sandbox>,
}

struct Sockets;

impl HasData for Sockets {
    type Data<'a> = View<'a>;
}

impl Guest {
    fn net(&mut self) -> View<'_> {
        View { table: &mut self.table, sandbox: &self.sandbox }
    }
}

/// Offers `wasi:sockets` 0.2 and 0.3.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> Result<()> {
    use bindings::wasi::sockets::{ip_name_lookup, tcp, udp};

    let mut options = network::LinkOptions::default();
    options.network_error_code(true);
    network::add_to_linker::<_, Sockets>(linker, &options, Guest::net)?;
    instance_network::add_to_linker::<_, Sockets>(linker, Guest::net)?;
    tcp_create_socket::add_to_linker::<_, Sockets>(linker, Guest::net)?;
    tcp::add_to_linker::<_, Sockets>(linker, Guest::net)?;
    udp_create_socket::add_to_linker::<_, Sockets>(linker, Guest::net)?;
    udp::add_to_linker::<_, Sockets>(linker, Guest::net)?;
    ip_name_lookup::add_to_linker::<_, Sockets>(linker, Guest::net)?;
    p3::add_to_linker(linker)
}

/// What the host holds for an open socket, as far as it counts against its container's memory: with what is read ahead,
/// and what waits in the network's queues and is not counted there.
const SOCKET_BYTES: u64 = 16 << 10;

/// Counts one socket against the container's limits, for as long as it lives.
struct Counted {
    sandbox: Arc<Sandbox>,
    _memory: Held,
}

impl Counted {
    fn new(sandbox: &Arc<Sandbox>) -> std::result::Result<Self, ErrorCode> {
        if sandbox.n_sockets.fetch_add(1, Ordering::Relaxed) >= SOCKETS_MAX {
            sandbox.n_sockets.fetch_sub(1, Ordering::Relaxed);
            return Err(ErrorCode::NewSocketLimit);
        }
        match Held::new(&sandbox.memory, SOCKET_BYTES) {
            Ok(memory) => Ok(Self { sandbox: Arc::clone(sandbox), _memory: memory }),
            Err(_) => {
                sandbox.n_sockets.fetch_sub(1, Ordering::Relaxed);
                Err(ErrorCode::NewSocketLimit)
            }
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.sandbox.n_sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

impl network::Host for View<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> Result<ErrorCode> {
        match error {
            SocketError::Code(code) => Ok(code),
            SocketError::Trap(error) => Err(error),
        }
    }

    fn network_error_code(&mut self, error: Resource<wasmtime::Error>) -> Result<Option<ErrorCode>> {
        Ok(self.table.get(&error)?.downcast_ref::<ErrorCode>().copied())
    }
}

impl network::HostNetwork for View<'_> {
    fn drop(&mut self, this: Resource<NetworkHandle>) -> Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl instance_network::Host for View<'_> {
    fn instance_network(&mut self) -> Result<Resource<NetworkHandle>> {
        Ok(self.table.push(NetworkHandle)?)
    }
}

impl tcp_create_socket::Host for View<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<tcp::TcpSocket>> {
        let socket = tcp::TcpSocket::new(Counted::new(self.sandbox)?, Family::from(family));
        Ok(self.table.push(socket)?)
    }
}

impl udp_create_socket::Host for View<'_> {
    fn create_udp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<udp::UdpSocket>> {
        let socket = udp::UdpSocket::new(Counted::new(self.sandbox)?, Family::from(family));
        Ok(self.table.push(socket)?)
    }
}

impl From<ErrorCode> for SocketError {
    fn from(code: ErrorCode) -> Self {
        Self::Code(code)
    }
}

impl From<NetworkError> for SocketError {
    fn from(error: NetworkError) -> Self {
        Self::Code(error.into())
    }
}

impl From<ResourceTableError> for SocketError {
    fn from(error: ResourceTableError) -> Self {
        Self::Trap(error.into())
    }
}

impl From<NetworkError> for ErrorCode {
    fn from(error: NetworkError) -> Self {
        match error {
            NetworkError::AccessDenied => Self::AccessDenied,
            NetworkError::AddressInUse => Self::AddressInUse,
            NetworkError::AddressNotBindable => Self::AddressNotBindable,
            NetworkError::ConnectionRefused => Self::ConnectionRefused,
            NetworkError::ConnectionReset => Self::ConnectionReset,
            NetworkError::ConnectionAborted => Self::ConnectionAborted,
            NetworkError::RemoteUnreachable => Self::RemoteUnreachable,
            NetworkError::Timeout => Self::Timeout,
            NetworkError::DatagramTooLarge => Self::DatagramTooLarge,
            NetworkError::NameUnresolvable => Self::NameUnresolvable,
            NetworkError::TemporaryResolverFailure => Self::TemporaryResolverFailure,
            NetworkError::NewSocketLimit => Self::NewSocketLimit,
            NetworkError::NotSupported => Self::NotSupported,
            NetworkError::InvalidArgument => Self::InvalidArgument,
        }
    }
}
