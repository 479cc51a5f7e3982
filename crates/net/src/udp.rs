//! A pod's UDP sockets. Queues are bounded and lose what does not fit, as UDP may.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use coracle_runtime::network::{Account, Datagrams, NetworkError, Queued};
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::fabric::Fabric;
use crate::host;
use crate::pod::{Pod, Ticket};
use crate::route::Header;
use crate::services::{Endpoint, Outstanding, Protocol, Route, ServiceRoutes, Via};

/// The largest payload that UDP carries over IPv4.
const PAYLOAD_MAX: usize = 65507;
/// Bytes that wait for a socket's reader: Linux's default.
const QUEUE_BYTES_MAX: usize = 212_992;
/// What a queued datagram counts beyond its payload, so that empty ones are bounded too.
const DATAGRAM_OVERHEAD: usize = 256;
/// Destinations whose endpoint a socket remembers.
const FLOWS_MAX: usize = 1024;
/// How long a flow stays with its endpoint after its last datagram.
const FLOW_IDLE_MAX: Duration = Duration::from_secs(30);

/// A datagram that has arrived.
#[derive(Debug)]
pub(crate) struct Datagram {
    pub(crate) payload: Bytes,
    pub(crate) from: SocketAddr,
    /// Who it really comes from, when a node passes it on from outside.
    pub(crate) client: Option<SocketAddr>,
}

/// What waits for a UDP socket's reader.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    datagrams: VecDeque<Datagram>,
    n_bytes: usize,
    queued: Queued,
    closed: bool,
}

impl Queue {
    pub(crate) fn push(&self, datagram: Datagram) {
        let mut waiting = self.waiting.lock();
        let n_bytes = datagram.payload.len() + DATAGRAM_OVERHEAD;
        let wanted = waiting.n_bytes + n_bytes;
        if waiting.closed || wanted > QUEUE_BYTES_MAX {
            return;
        }
        if waiting.queued.grow(wanted) < wanted {
            return;
        }
        waiting.n_bytes = wanted;
        waiting.datagrams.push_back(datagram);
        drop(waiting);
        self.arrived.notify_one();
    }

    pub(crate) fn close(&self) {
        self.waiting.lock().closed = true;
        self.arrived.notify_one();
    }

    fn pop(&self) -> Option<Result<Datagram, NetworkError>> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Some(Err(NetworkError::ConnectionAborted));
        }
        let datagram = waiting.datagrams.pop_front()?;
        waiting.n_bytes -= datagram.payload.len() + DATAGRAM_OVERHEAD;
        let left = waiting.n_bytes;
        waiting.queued.shrink(left);
        if !waiting.datagrams.is_empty() {
            self.arrived.notify_one();
        }
        Some(Ok(datagram))
    }
}

/// Which endpoint a socket's datagrams to a service go to, so that they stay together and the answers come from the
/// service. A client outside is as a service whose endpoint is the node that passes it on.
#[derive(Debug, Default)]
struct Flows {
    to_service: HashMap<SocketAddr, Flow>,
}

#[derive(Debug)]
struct Flow {
    endpoint: SocketAddr,
    via: Via,
    used: Instant,
    /// The version of the table that still had the endpoint; `None` for a client outside.
    checked: Option<u64>,
    _outstanding: Option<Outstanding>,
}

impl Flows {
    fn find(&mut self, service: SocketAddr, services: &dyn ServiceRoutes, now: Instant) -> Option<Endpoint> {
        let flow = self.to_service.get_mut(&service).filter(|flow| now - flow.used < FLOW_IDLE_MAX)?;
        if let Some(checked) = &mut flow.checked {
            let version = services.version();
            if *checked != version && !services.still_leads(service, Protocol::Udp, flow.endpoint) {
                return None;
            }
            *checked = version;
        }
        flow.used = now;
        Some(Endpoint { address: flow.endpoint, via: flow.via, outstanding: None })
    }

    fn remember(&mut self, service: SocketAddr, to: &mut Endpoint, checked: Option<u64>, now: Instant) {
        if self.to_service.len() >= FLOWS_MAX {
            self.to_service.retain(|_, flow| now - flow.used < FLOW_IDLE_MAX);
        }
        if self.to_service.len() < FLOWS_MAX || self.to_service.contains_key(&service) {
            let outstanding = to.outstanding.take();
            let flow = Flow { endpoint: to.address, via: to.via, used: now, checked, _outstanding: outstanding };
            self.to_service.insert(service, flow);
        }
    }

    fn forget(&mut self, service: SocketAddr) {
        self.to_service.remove(&service);
    }

    /// Who an answer from `endpoint` seems to come from.
    fn shown(&self, endpoint: SocketAddr) -> SocketAddr {
        let mut flows = self.to_service.iter();
        flows.find(|(_, flow)| flow.endpoint == endpoint).map_or(endpoint, |(service, _)| *service)
    }
}

/// The kernel socket through which datagrams leave for the host's network.
#[derive(Debug)]
struct Outside {
    socket: UdpSocket,
    /// Who has been sent something, and so may answer.
    peers: Mutex<HashMap<SocketAddr, Instant>>,
}

impl Outside {
    fn open(v4: bool) -> Result<Self, NetworkError> {
        let any: IpAddr = if v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = std::net::UdpSocket::bind((any, 0)).map_err(|error| host::from_io(&error))?;
        socket.set_nonblocking(true).map_err(|error| host::from_io(&error))?;
        let socket = UdpSocket::from_std(socket).map_err(|error| host::from_io(&error))?;
        Ok(Self { socket, peers: Mutex::default() })
    }

    fn knows(&self, peer: SocketAddr) -> bool {
        self.peers.lock().contains_key(&peer)
    }

    fn expect_answers_from(&self, peer: SocketAddr, now: Instant) {
        let mut peers = self.peers.lock();
        if peers.len() >= FLOWS_MAX {
            peers.retain(|_, used| now - *used < FLOW_IDLE_MAX);
        }
        if peers.len() < FLOWS_MAX {
            peers.insert(peer, now);
        }
    }
}

/// A UDP socket of a pod.
#[derive(Debug)]
pub(crate) struct PodDatagrams {
    local: SocketAddr,
    fabric: Arc<Fabric>,
    pod: Arc<Pod>,
    queue: Arc<Queue>,
    flows: Mutex<Flows>,
    outside: OnceLock<Outside>,
    /// For whom outside this socket speaks: only a node's does.
    client: Option<SocketAddr>,
    _ticket: Ticket,
}

impl PodDatagrams {
    pub(crate) fn bind(
        fabric: &Arc<Fabric>,
        pod: &Arc<Pod>,
        local: SocketAddr,
        client: Option<SocketAddr>,
    ) -> Result<Self, NetworkError> {
        let ticket = pod.ticket()?;
        let queue = Arc::new(Queue::default());
        let local = pod.bind_udp(local, queue.clone())?;
        let (flows, outside) = (Mutex::default(), OnceLock::new());
        Ok(Self { local, fabric: fabric.clone(), pod: pod.clone(), queue, flows, outside, client, _ticket: ticket })
    }

    fn source(&self, remote: IpAddr) -> Result<SocketAddr, NetworkError> {
        let ip = if self.local.ip().is_unspecified() { self.pod.source_for(remote)? } else { self.local.ip() };
        if ip.is_ipv4() != remote.is_ipv4() {
            return Err(NetworkError::InvalidArgument);
        }
        Ok(SocketAddr::new(ip, self.local.port()))
    }

    /// Where datagrams to `to` go, if it is a service; `None` when it is a service without endpoints.
    fn endpoint(&self, to: SocketAddr) -> Option<Endpoint> {
        let (now, services) = (Instant::now(), self.fabric.services());
        if let Some(endpoint) = self.flows.lock().find(to, &**services, now) {
            return Some(endpoint);
        }
        let version = services.version();
        match services.route(self.pod.addresses.first().copied(), to, Protocol::Udp, &[]) {
            Route::NotService => Some(to.into()),
            Route::NoEndpoints => None,
            Route::Endpoint(mut endpoint) => {
                self.flows.lock().remember(to, &mut endpoint, Some(version), now);
                Some(endpoint)
            }
        }
    }

    async fn send_outside(&self, payload: &Bytes, to: &Endpoint) -> Result<(), NetworkError> {
        let ip = to.address.ip();
        if to.via != Via::Host && (!self.fabric.egress().permits(ip) || host::is_own_address(ip)) {
            return Err(NetworkError::AccessDenied);
        }
        if self.outside.get().is_none() {
            let opened = Outside::open(ip.is_ipv4())?;
            drop(self.outside.set(opened));
            self.queue.arrived.notify_one();
        }
        let outside = self.outside.get().expect("set above, by this call or another");
        outside.expect_answers_from(to.address, Instant::now());
        drop(outside.socket.send_to(payload, to.address).await);
        Ok(())
    }
}

/// As a host does that answers what nobody receives with an ICMP message.
fn deliver(pod: &Pod, to: SocketAddr, datagram: Datagram) -> Result<(), NetworkError> {
    pod.udp_queue(to).ok_or(NetworkError::ConnectionRefused)?.push(datagram);
    Ok(())
}

#[async_trait]
impl Datagrams for PodDatagrams {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn charge_to(&self, account: Account) {
        self.queue.waiting.lock().queued.charge_to(account);
    }

    async fn send_to(&self, payload: Bytes, to: SocketAddr) -> Result<(), NetworkError> {
        let to = SocketAddr::new(to.ip().to_canonical(), to.port());
        if payload.len() > PAYLOAD_MAX {
            return Err(NetworkError::DatagramTooLarge);
        }
        if to.port() == 0 || to.ip().is_unspecified() {
            return Err(NetworkError::InvalidArgument);
        }
        let source = self.source(to.ip())?;
        let client = self.client;
        if self.pod.is_itself(to.ip()) {
            return deliver(&self.pod, to, Datagram { payload, from: source, client });
        }
        let Some(endpoint) = self.endpoint(to) else { return Err(NetworkError::ConnectionRefused) };
        if self.fabric.name_server() == Some(endpoint.address) {
            if let Some(answer) = self.fabric.names().answer(&payload).await {
                self.queue.push(Datagram { payload: answer.into(), from: to, client: None });
            }
            return Ok(());
        }
        let ip = endpoint.address.ip();
        if endpoint.via == Via::Host {
            return self.send_outside(&payload, &endpoint).await;
        }
        if let Some(pod) = self.fabric.pod(ip) {
            return deliver(&pod, endpoint.address, Datagram { payload, from: source, client });
        }
        if let Some(link) = self.fabric.link(ip) {
            link.send(Header { source, destination: endpoint.address, client }, payload);
            return Ok(());
        }
        if self.fabric.is_in_cluster(ip) {
            self.flows.lock().forget(to);
            return Err(NetworkError::RemoteUnreachable);
        }
        self.send_outside(&payload, &endpoint).await
    }

    async fn recv_from(&self) -> Result<(Bytes, SocketAddr), NetworkError> {
        loop {
            if let Some(popped) = self.queue.pop() {
                let Datagram { payload, from, client } = popped?;
                let mut flows = self.flows.lock();
                if let Some(client) = client {
                    flows.remember(client, &mut from.into(), None, Instant::now());
                }
                return Ok((payload, flows.shown(from)));
            }
            let Some(outside) = self.outside.get() else {
                self.queue.arrived.notified().await;
                continue;
            };
            tokio::select! {
                () = self.queue.arrived.notified() => {}
                ready = outside.socket.readable() => {
                    ready.map_err(|error| host::from_io(&error))?;
                    let mut payload = vec![0; PAYLOAD_MAX];
                    let Ok((n, from)) = outside.socket.try_recv_from(&mut payload) else { continue };
                    if outside.knows(from) {
                        payload.truncate(n);
                        return Ok((payload.into(), self.flows.lock().shown(from)));
                    }
                }
            }
        }
    }
}

impl Drop for PodDatagrams {
    fn drop(&mut self) {
        self.pod.unbind_udp(self.local);
    }
}
