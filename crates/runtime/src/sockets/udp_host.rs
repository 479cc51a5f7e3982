//! `wasi:sockets/udp`, function by function. What each does is in [`super::udp`].

use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi_io::poll::{DynPollable, subscribe};

use super::bindings::wasi::sockets::network::{IpAddressFamily, IpSocketAddress};
use super::bindings::wasi::sockets::udp::{
    Host, HostIncomingDatagramStream, HostOutgoingDatagramStream, HostUdpSocket, IncomingDatagram, OutgoingDatagram,
};
use super::options;
use super::udp::{BATCH_MAX, Incoming, Outgoing, UdpSocket};
use super::{NetworkHandle, SocketError, SocketResult, View};

/// What one call of `receive` may bring.
const RECEIVE_MAX: usize = 64 << 10;

impl Host for View<'_> {}

impl View<'_> {
    fn udp(&mut self, this: &Resource<UdpSocket>) -> SocketResult<&mut UdpSocket> {
        Ok(self.table.get_mut(this)?)
    }
}

impl HostUdpSocket for View<'_> {
    fn start_bind(
        &mut self,
        this: Resource<UdpSocket>,
        network: Resource<NetworkHandle>,
        local: IpSocketAddress,
    ) -> SocketResult<()> {
        self.table.get(&network)?;
        Ok(self.udp(&this)?.start_bind(local)?)
    }

    fn finish_bind(&mut self, this: Resource<UdpSocket>) -> SocketResult<()> {
        Ok(self.udp(&this)?.finish_bind()?)
    }

    fn stream(
        &mut self,
        this: Resource<UdpSocket>,
        remote: Option<IpSocketAddress>,
    ) -> SocketResult<(Resource<Incoming>, Resource<Outgoing>)> {
        if self.table.iter_children(&this)?.any(|child| child.is::<Incoming>() || child.is::<Outgoing>()) {
            return Err(SocketError::Trap(wasmtime::Error::msg("the socket's earlier streams have not been dropped")));
        }
        let (incoming, outgoing) = self.udp(&this)?.streams(remote)?;
        Ok((self.table.push_child(incoming, &this)?, self.table.push_child(outgoing, &this)?))
    }

    fn local_address(&mut self, this: Resource<UdpSocket>) -> SocketResult<IpSocketAddress> {
        Ok(self.udp(&this)?.local_address()?.into())
    }

    fn remote_address(&mut self, this: Resource<UdpSocket>) -> SocketResult<IpSocketAddress> {
        Ok(self.udp(&this)?.remote_address()?.into())
    }

    fn address_family(&mut self, this: Resource<UdpSocket>) -> Result<IpAddressFamily> {
        Ok(self.table.get(&this)?.family().into())
    }

    fn unicast_hop_limit(&mut self, this: Resource<UdpSocket>) -> SocketResult<u8> {
        Ok(self.udp(&this)?.options.hop_limit)
    }

    fn set_unicast_hop_limit(&mut self, this: Resource<UdpSocket>, value: u8) -> SocketResult<()> {
        self.udp(&this)?.options.hop_limit = options::positive(value)?;
        Ok(())
    }

    fn receive_buffer_size(&mut self, this: Resource<UdpSocket>) -> SocketResult<u64> {
        Ok(self.udp(&this)?.options.receive_buffer)
    }

    fn set_receive_buffer_size(&mut self, this: Resource<UdpSocket>, value: u64) -> SocketResult<()> {
        self.udp(&this)?.options.receive_buffer = options::buffer_size(value)?;
        Ok(())
    }

    fn send_buffer_size(&mut self, this: Resource<UdpSocket>) -> SocketResult<u64> {
        Ok(self.udp(&this)?.options.send_buffer)
    }

    fn set_send_buffer_size(&mut self, this: Resource<UdpSocket>, value: u64) -> SocketResult<()> {
        self.udp(&this)?.options.send_buffer = options::buffer_size(value)?;
        Ok(())
    }

    fn subscribe(&mut self, this: Resource<UdpSocket>) -> Result<Resource<DynPollable>> {
        subscribe(self.table, this)
    }

    fn drop(&mut self, this: Resource<UdpSocket>) -> Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl HostIncomingDatagramStream for View<'_> {
    fn receive(&mut self, this: Resource<Incoming>, max: u64) -> SocketResult<Vec<IncomingDatagram>> {
        let max = usize::try_from(max).unwrap_or(usize::MAX).min(BATCH_MAX);
        let incoming = self.table.get_mut(&this)?;
        let mut received = Vec::new();
        let mut n_bytes = 0;
        while received.len() < max && n_bytes < RECEIVE_MAX {
            match incoming.next() {
                Some(Ok((payload, from))) => {
                    n_bytes += payload.len();
                    received.push(IncomingDatagram { data: payload.into(), remote_address: from.into() });
                }
                Some(Err(error)) if received.is_empty() => return Err(error.into()),
                Some(Err(_)) | None => break,
            }
        }
        Ok(received)
    }

    fn subscribe(&mut self, this: Resource<Incoming>) -> Result<Resource<DynPollable>> {
        subscribe(self.table, this)
    }

    fn drop(&mut self, this: Resource<Incoming>) -> Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl HostOutgoingDatagramStream for View<'_> {
    fn check_send(&mut self, this: Resource<Outgoing>) -> SocketResult<u64> {
        Ok(self.table.get_mut(&this)?.check()? as u64)
    }

    fn send(&mut self, this: Resource<Outgoing>, datagrams: Vec<OutgoingDatagram>) -> SocketResult<u64> {
        if datagrams.is_empty() {
            return Ok(0);
        }
        let outgoing = self.table.get_mut(&this)?;
        if !outgoing.use_permission(datagrams.len()) {
            return Err(SocketError::Trap(wasmtime::Error::msg("sent more datagrams than were permitted")));
        }
        let mut n_sent = 0;
        for datagram in datagrams {
            match outgoing.send(datagram.data, datagram.remote_address) {
                Ok(true) => n_sent += 1,
                Ok(false) => break,
                Err(error) if n_sent == 0 => return Err(error.into()),
                // One has been sent: the error shows when this one is sent again.
                Err(_) => break,
            }
        }
        Ok(n_sent)
    }

    fn subscribe(&mut self, this: Resource<Outgoing>) -> Result<Resource<DynPollable>> {
        subscribe(self.table, this)
    }

    fn drop(&mut self, this: Resource<Outgoing>) -> Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
