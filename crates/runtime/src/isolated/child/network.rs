//! The pod's network, as the agent gives it to the process of a container.

use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::net::UnixStream;
use tokio::sync::{Mutex, oneshot};

use super::calls::{Answered, Calls};
use super::datagram::{ADDRESS_BYTES, DATAGRAM_MAX, REFUSED, address_of, bytes_of};
use super::stream::Carried;
use crate::isolated::channel::Packets;
use crate::isolated::message::{Answer, Call};
use crate::network::{Datagrams, Listener, Network, NetworkError, Stream};

pub(super) struct Remote {
    addresses: Vec<IpAddr>,
    calls: Arc<Calls>,
}

impl Remote {
    pub(super) fn new(addresses: Vec<IpAddr>, calls: Arc<Calls>) -> Self {
        Self { addresses, calls }
    }
}

#[async_trait]
impl Network for Remote {
    fn addresses(&self) -> Vec<IpAddr> {
        self.addresses.clone()
    }

    fn listen(&self, local: SocketAddr, backlog: usize) -> Result<Box<dyn Listener>, NetworkError> {
        match self.calls.call_now(Call::Listen { local, backlog })? {
            (Answer::Listening { listener, local }, _) => {
                let calls = Arc::clone(&self.calls);
                Ok(Box::new(RemoteListener { number: listener, local, calls, waiting: Mutex::new(None) }))
            }
            _ => Err(NetworkError::NotSupported),
        }
    }

    async fn connect(&self, local: Option<SocketAddr>, remote: SocketAddr) -> Result<Stream, NetworkError> {
        stream(self.calls.call(Call::Connect { local, remote }).await)
    }

    fn bind_udp(&self, local: SocketAddr) -> Result<Arc<dyn Datagrams>, NetworkError> {
        match self.calls.call_now(Call::BindUdp { local })? {
            (Answer::Datagrams { local }, Some(socket)) => {
                let packets = Packets::new(socket).map_err(|_| NetworkError::NewSocketLimit)?;
                Ok(Arc::new(RemoteDatagrams { local, packets }))
            }
            _ => Err(NetworkError::NotSupported),
        }
    }

    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, NetworkError> {
        match self.calls.call(Call::Resolve { name: name.to_owned() }).await? {
            (Answer::Resolved(addresses), _) => Ok(addresses),
            _ => Err(NetworkError::NotSupported),
        }
    }
}

fn stream(answered: Answered) -> Result<Stream, NetworkError> {
    match answered? {
        (Answer::Stream { local, peer }, Some(socket)) => connected(socket, local, peer),
        _ => Err(NetworkError::NotSupported),
    }
}

fn connected(socket: OwnedFd, local: SocketAddr, peer: SocketAddr) -> Result<Stream, NetworkError> {
    let stream = UnixStream::from_std(socket.into()).map_err(|_| NetworkError::NewSocketLimit)?;
    Ok(Box::new(Carried::new(stream, local, peer)))
}

struct RemoteListener {
    number: u64,
    local: SocketAddr,
    calls: Arc<Calls>,
    /// The connection that was asked for by somebody who did not wait for it.
    waiting: Mutex<Option<oneshot::Receiver<Answered>>>,
}

#[async_trait]
impl Listener for RemoteListener {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    async fn accept(&self) -> Result<Stream, NetworkError> {
        let mut waiting = self.waiting.lock().await;
        let asked = waiting.get_or_insert_with(|| self.calls.begin(Call::Accept { listener: self.number }));
        let answered = asked.await.unwrap_or(Err(NetworkError::ConnectionAborted));
        *waiting = None;
        stream(answered)
    }
}

impl Drop for RemoteListener {
    fn drop(&mut self) {
        self.calls.close(self.number);
    }
}

struct RemoteDatagrams {
    local: SocketAddr,
    packets: Packets,
}

#[async_trait]
impl Datagrams for RemoteDatagrams {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    async fn send_to(&self, payload: Bytes, to: SocketAddr) -> Result<(), NetworkError> {
        if payload.len() > DATAGRAM_MAX {
            return Err(NetworkError::DatagramTooLarge);
        }
        let sent = self.packets.send(&[IoSlice::new(&bytes_of(to)), IoSlice::new(&payload)]).await;
        sent.map_err(|_| NetworkError::ConnectionAborted)
    }

    async fn recv_from(&self) -> Result<(Bytes, SocketAddr), NetworkError> {
        let mut packet = vec![0; ADDRESS_BYTES + DATAGRAM_MAX];
        let n = self.packets.recv(&mut packet).await.map_err(|_| NetworkError::ConnectionAborted)?;
        packet.truncate(n);
        if packet == REFUSED {
            return Err(NetworkError::ConnectionRefused);
        }
        let from = packet.split_at_checked(ADDRESS_BYTES).and_then(|(address, _)| address_of(address));
        let from = from.ok_or(NetworkError::ConnectionAborted)?;
        Ok((Bytes::from(packet).slice(ADDRESS_BYTES..), from))
    }
}
