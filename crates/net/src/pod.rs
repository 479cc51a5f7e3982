//! One pod on the network: its addresses, its ports, and what ends when it leaves.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use coracle_runtime::network::{Datagrams, Listener, Network, NetworkError, Stream};
use parking_lot::Mutex;
use tokio::sync::mpsc::OwnedPermit;

use crate::fabric::Fabric;
use crate::listener::{Backlog, Offer, PodListener};
use crate::names::{self, Asks, Resolver};
use crate::pipe::Pipe;
use crate::ports::Bindings;
use crate::udp::{PodDatagrams, Queue};

/// Sockets that one pod may have open: listeners, connections and UDP sockets together.
pub(crate) const SOCKETS_MAX: usize = 16 * 1024;

/// How long a name server that a pod chose may take.
const SERVER_PATIENCE: Duration = Duration::from_secs(5);

/// Who a pod is, for names and logs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodIdentity {
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) identity: PodIdentity,
    pub(crate) addresses: Vec<IpAddr>,
    resolver: Resolver,
    tcp: Mutex<Bindings<Backlog>>,
    udp: Mutex<Bindings<Arc<Queue>>>,
    connections: Mutex<HashMap<u64, Weak<Pipe>>>,
    n_sockets: AtomicUsize,
    next_ticket: AtomicU64,
}

impl Pod {
    pub(crate) fn new(identity: PodIdentity, addresses: Vec<IpAddr>, resolver: Resolver) -> Self {
        Self {
            identity,
            addresses,
            resolver,
            tcp: Mutex::default(),
            udp: Mutex::default(),
            connections: Mutex::default(),
            n_sockets: AtomicUsize::new(0),
            next_ticket: AtomicU64::new(0),
        }
    }

    /// True for the pod's loopback and its own addresses.
    pub(crate) fn is_itself(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.addresses.contains(&ip)
    }

    /// The address that a connection to `remote` comes from.
    pub(crate) fn source_for(&self, remote: IpAddr) -> Result<IpAddr, NetworkError> {
        if remote.is_loopback() {
            return Ok(if remote.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        }
        if self.addresses.contains(&remote) {
            return Ok(remote);
        }
        let same_family = self.addresses.iter().find(|ip| ip.is_ipv4() == remote.is_ipv4());
        same_family.copied().ok_or(NetworkError::RemoteUnreachable)
    }

    fn check_bindable(&self, local: SocketAddr) -> Result<(), NetworkError> {
        let ip = local.ip();
        let bindable = ip.is_unspecified() || self.is_itself(ip);
        if bindable { Ok(()) } else { Err(NetworkError::AddressNotBindable) }
    }

    pub(crate) fn listen(&self, local: SocketAddr, backlog: Backlog) -> Result<SocketAddr, NetworkError> {
        self.check_bindable(local)?;
        self.tcp.lock().bind(local, backlog)
    }

    pub(crate) fn unlisten(&self, local: SocketAddr) {
        self.tcp.lock().unbind(local);
    }

    /// Queues a connection for whoever listens at `to`. The queue is tried under the lock, so that a listener that has
    /// been unbound receives nothing more.
    pub(crate) fn offer(&self, to: SocketAddr, offer: Offer) -> Result<(), Offer> {
        let tcp = self.tcp.lock();
        match tcp.find(to) {
            Some(backlog) => backlog.try_send(offer).map_err(|error| error.into_inner()),
            None => Err(offer),
        }
    }

    /// A place in the queue of whoever listens at `to`.
    pub(crate) fn reserve(&self, to: SocketAddr) -> Result<OwnedPermit<Offer>, NetworkError> {
        let backlog = self.tcp.lock().find(to).cloned();
        let reserved = backlog.and_then(|backlog| backlog.try_reserve_owned().ok());
        reserved.ok_or(NetworkError::ConnectionRefused)
    }

    pub(crate) fn bind_udp(&self, local: SocketAddr, queue: Arc<Queue>) -> Result<SocketAddr, NetworkError> {
        self.check_bindable(local)?;
        self.udp.lock().bind(local, queue)
    }

    pub(crate) fn unbind_udp(&self, local: SocketAddr) {
        self.udp.lock().unbind(local);
    }

    pub(crate) fn udp_queue(&self, to: SocketAddr) -> Option<Arc<Queue>> {
        self.udp.lock().find(to).cloned()
    }

    /// Room for one more socket.
    pub(crate) fn ticket(self: &Arc<Self>) -> Result<Ticket, NetworkError> {
        if self.n_sockets.fetch_add(1, Ordering::Relaxed) >= SOCKETS_MAX {
            self.n_sockets.fetch_sub(1, Ordering::Relaxed);
            return Err(NetworkError::NewSocketLimit);
        }
        Ok(Ticket { id: self.next_ticket.fetch_add(1, Ordering::Relaxed), port: None, pod: self.clone() })
    }

    /// Takes the pod off the network: its listeners close, its connections are reset.
    fn detach(&self) {
        drop(self.tcp.lock().clear());
        for queue in self.udp.lock().clear() {
            queue.close();
        }
        let connections = std::mem::take(&mut *self.connections.lock());
        for pipe in connections.values().filter_map(Weak::upgrade) {
            pipe.reset();
        }
    }
}

/// One socket's place among its pod's.
#[derive(Debug)]
pub(crate) struct Ticket {
    pod: Arc<Pod>,
    id: u64,
    port: Option<u16>,
}

impl Ticket {
    /// Holds a local port for an outgoing connection: `port`, or a free one when it is 0.
    pub(crate) fn hold_port(&mut self, port: u16) -> Result<u16, NetworkError> {
        let port = self.pod.tcp.lock().hold(port)?;
        self.port = Some(port);
        Ok(port)
    }

    /// Makes the pod's removal reset `pipe`.
    pub(crate) fn resets(&self, pipe: &Arc<Pipe>) {
        self.pod.connections.lock().insert(self.id, Arc::downgrade(pipe));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.pod.n_sockets.fetch_sub(1, Ordering::Relaxed);
        self.pod.connections.lock().remove(&self.id);
        if let Some(port) = self.port {
            self.pod.tcp.lock().release(port);
        }
    }
}

/// A pod's view of the network, shared by its containers. Dropping it takes the pod off the network.
#[derive(Debug)]
pub struct PodNetwork {
    pod: Arc<Pod>,
    fabric: Arc<Fabric>,
}

impl PodNetwork {
    pub(crate) fn new(pod: Arc<Pod>, fabric: Arc<Fabric>) -> Self {
        Self { pod, fabric }
    }

    /// Whose view it is.
    pub fn identity(&self) -> &PodIdentity {
        &self.pod.identity
    }
}

impl Drop for PodNetwork {
    fn drop(&mut self) {
        self.fabric.forget(&self.pod);
        self.pod.detach();
    }
}

#[async_trait]
impl Network for PodNetwork {
    fn addresses(&self) -> Vec<IpAddr> {
        self.pod.addresses.clone()
    }

    fn listen(&self, local: SocketAddr, backlog: usize) -> Result<Box<dyn Listener>, NetworkError> {
        Ok(Box::new(PodListener::bind(&self.pod, local, backlog)?))
    }

    async fn connect(&self, local: Option<SocketAddr>, remote: SocketAddr) -> Result<Stream, NetworkError> {
        if let Some(local) = local {
            self.pod.check_bindable(local)?;
        }
        self.fabric.connect_from_pod(&self.pod, local, remote).await
    }

    fn bind_udp(&self, local: SocketAddr) -> Result<Arc<dyn Datagrams>, NetworkError> {
        Ok(Arc::new(PodDatagrams::bind(&self.fabric, &self.pod, local, None)?))
    }

    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, NetworkError> {
        if let Ok(literal) = name.trim_start_matches('[').trim_end_matches(']').parse() {
            return Ok(vec![literal]);
        }
        let name = name.to_ascii_lowercase();
        if name == "localhost" || name == "localhost." {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let known = self.pod.resolver.known(&name);
        if !known.is_empty() {
            return Ok(known);
        }
        if name == self.pod.identity.name {
            return Ok(self.pod.addresses.clone());
        }
        let mut found = Err(NetworkError::NameUnresolvable);
        for candidate in self.pod.resolver.candidates(&name) {
            found = self.ask(&candidate).await;
            if found != Err(NetworkError::NameUnresolvable) {
                break;
            }
        }
        found
    }
}

impl PodNetwork {
    async fn ask(&self, name: &str) -> Result<Vec<IpAddr>, NetworkError> {
        let (names, egress) = (self.fabric.names(), self.fabric.egress());
        match &self.pod.resolver.asks {
            Asks::Cluster => names::resolve(&**names, egress, &self.pod.identity, name).await,
            Asks::Host => names::ask_host(egress, name).await,
            Asks::Servers(servers) => {
                for server in servers {
                    if let Ok(answer) = tokio::time::timeout(SERVER_PATIENCE, self.ask_server(*server, name)).await {
                        return answer;
                    }
                }
                Err(NetworkError::TemporaryResolverFailure)
            }
        }
    }

    /// Asks one server for the addresses of both families.
    async fn ask_server(&self, server: SocketAddr, name: &str) -> Result<Vec<IpAddr>, NetworkError> {
        let names = self.fabric.names();
        let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let mut found = Vec::new();
        for v4 in [true, false] {
            let query = names.query(name, v4).ok_or(NetworkError::InvalidArgument)?;
            let socket = self.bind_udp(SocketAddr::new(any, 0))?;
            socket.send_to(query.clone().into(), server).await?;
            loop {
                let (answer, from) = socket.recv_from().await?;
                // Another id is the answer to somebody else's question.
                if from == server && answer.get(..2) == query.get(..2) {
                    found.extend(names.addresses_in(&answer));
                    break;
                }
            }
        }
        if found.is_empty() { Err(NetworkError::NameUnresolvable) } else { Ok(found) }
    }
}
