//! `wasi:sockets/types.udp-socket` of 0.3, function by function: a socket of 0.2 that is written to and read from itself.

use std::net::SocketAddr;
use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::{Accessor, Resource};

use super::bindings::wasi::sockets::types::{HostUdpSocket, HostUdpSocketWithStore, IpAddressFamily, IpSocketAddress};
use crate::sockets::address::Family;
use crate::sockets::bindings::wasi::sockets::network::ErrorCode;
use crate::sockets::options;
use crate::sockets::udp::{self, DATAGRAM_MAX, Peer};
use crate::sockets::{Counted, SocketResult, Sockets, View};

/// A guest's UDP socket.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct UdpSocket {
    inner: udp::UdpSocket,
    /// Whom it talks to, once it is bound.
    peer: Option<Arc<Peer>>,
}

impl UdpSocket {
    fn bind(&mut self, local: SocketAddr) -> std::result::Result<(), ErrorCode> {
        self.inner.start_bind(local)?;
        self.inner.finish_bind()?;
        self.peer = Some(self.inner.peer()?);
        Ok(())
    }

    fn connect(&mut self, remote: Option<SocketAddr>) -> std::result::Result<(), ErrorCode> {
        self.inner.connect(remote)?;
        self.peer = Some(self.inner.peer()?);
        Ok(())
    }

    /// Where a datagram goes, and who sends it.
    fn sending(&mut self, to: Option<SocketAddr>) -> std::result::Result<(Arc<Peer>, SocketAddr), ErrorCode> {
        let to = self.inner.destination(to)?;
        if self.peer.is_none() {
            self.inner.bind_any()?;
            self.peer = Some(self.inner.peer()?);
        }
        let peer = self.peer.clone().ok_or(ErrorCode::InvalidState)?;
        Ok((peer, to))
    }
}

impl View<'_> {
    fn udp_3(&mut self, this: &Resource<UdpSocket>) -> SocketResult<&mut UdpSocket> {
        Ok(self.table.get_mut(this)?)
    }
}

impl<T> HostUdpSocketWithStore<T> for Sockets {
    async fn send(
        store: &Accessor<T, Self>,
        this: Resource<UdpSocket>,
        data: Vec<u8>,
        to: Option<IpSocketAddress>,
    ) -> SocketResult<()> {
        if data.len() > DATAGRAM_MAX {
            return Err(ErrorCode::DatagramTooLarge.into());
        }
        let (peer, to) = store.with(|mut store| -> SocketResult<_> {
            Ok(store.get().udp_3(&this)?.sending(to.map(SocketAddr::from))?)
        })?;
        let _held = peer.hold(data.len());
        Ok(peer.send(data.into(), to).await?)
    }

    async fn receive(store: &Accessor<T, Self>, this: Resource<UdpSocket>) -> SocketResult<(Vec<u8>, IpSocketAddress)> {
        let peer = store.with(|mut store| -> SocketResult<_> {
            Ok(store.get().udp_3(&this)?.peer.clone().ok_or(ErrorCode::InvalidState)?)
        })?;
        let (payload, from) = peer.receive().await?;
        Ok((payload.into(), from.into()))
    }
}

impl HostUdpSocket for View<'_> {
    fn create(&mut self, family: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        let inner = udp::UdpSocket::new(Counted::new(self.sandbox)?, Family::from(family));
        Ok(self.table.push(UdpSocket { inner, peer: None })?)
    }

    fn bind(&mut self, this: Resource<UdpSocket>, local: IpSocketAddress) -> SocketResult<()> {
        Ok(self.udp_3(&this)?.bind(local.into())?)
    }

    fn connect(&mut self, this: Resource<UdpSocket>, remote: IpSocketAddress) -> SocketResult<()> {
        Ok(self.udp_3(&this)?.connect(Some(remote.into()))?)
    }

    fn disconnect(&mut self, this: Resource<UdpSocket>) -> SocketResult<()> {
        Ok(self.udp_3(&this)?.connect(None)?)
    }

    fn get_local_address(&mut self, this: Resource<UdpSocket>) -> SocketResult<IpSocketAddress> {
        Ok(self.udp_3(&this)?.inner.local_address()?.into())
    }

    fn get_remote_address(&mut self, this: Resource<UdpSocket>) -> SocketResult<IpSocketAddress> {
        Ok(self.udp_3(&this)?.inner.remote_address()?.into())
    }

    fn get_address_family(&mut self, this: Resource<UdpSocket>) -> Result<IpAddressFamily> {
        Ok(self.table.get(&this)?.inner.family().into())
    }

    fn get_unicast_hop_limit(&mut self, this: Resource<UdpSocket>) -> SocketResult<u8> {
        Ok(self.udp_3(&this)?.inner.options.hop_limit)
    }

    fn set_unicast_hop_limit(&mut self, this: Resource<UdpSocket>, value: u8) -> SocketResult<()> {
        self.udp_3(&this)?.inner.options.hop_limit = options::positive(value)?;
        Ok(())
    }

    fn get_receive_buffer_size(&mut self, this: Resource<UdpSocket>) -> SocketResult<u64> {
        Ok(self.udp_3(&this)?.inner.options.receive_buffer)
    }

    fn set_receive_buffer_size(&mut self, this: Resource<UdpSocket>, value: u64) -> SocketResult<()> {
        self.udp_3(&this)?.inner.options.receive_buffer = options::buffer_size(value)?;
        Ok(())
    }

    fn get_send_buffer_size(&mut self, this: Resource<UdpSocket>) -> SocketResult<u64> {
        Ok(self.udp_3(&this)?.inner.options.send_buffer)
    }

    fn set_send_buffer_size(&mut self, this: Resource<UdpSocket>, value: u64) -> SocketResult<()> {
        self.udp_3(&this)?.inner.options.send_buffer = options::buffer_size(value)?;
        Ok(())
    }

    fn drop(&mut self, this: Resource<UdpSocket>) -> Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
