//! One node's part of the pod network: who is attached, and where a connection goes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use coracle_runtime::network::{Datagrams, NetworkError, Stream};
use ipnet::IpNet;
use parking_lot::RwLock;
use tokio::sync::mpsc::OwnedPermit;
use tokio::sync::oneshot;

use crate::egress::Egress;
use crate::host::{self, Carried};
use crate::listener::Offer;
use crate::names::{Names, NoNames, Resolver};
use crate::pipe::pipe;
use crate::pod::{Pod, PodIdentity, PodNetwork, Ticket};
use crate::ports::EPHEMERAL;
use crate::route::{Header, InProcess, Link, RouteTable};
use crate::services::{Endpoint, NoServices, Protocol, Route, ServiceRoutes, Via};
use crate::udp::{Datagram, PodDatagrams};
use crate::{Error, pipe::End};

/// How many endpoints of a service a connection tries.
const ATTEMPTS_MAX: usize = 3;

/// What a node's fabric must know from the start.
#[derive(Clone, Debug, Default)]
pub struct FabricConfig {
    /// The addresses of this node's pods, at most one network per family. The first address of each is the node's own:
    /// no pod may have it.
    pub pod_cidrs: Vec<IpNet>,
    /// All addresses of pods and services, of every node. They never lead to the host's network.
    pub cluster_cidrs: Vec<IpNet>,
    pub egress: Egress,
    /// Where pods that ask for names themselves find the cluster's, by UDP, unless a service is there.
    pub name_server: Option<SocketAddr>,
}

/// One node's part of the pod network. Several may live in one process.
pub struct Fabric {
    config: FabricConfig,
    pods: RwLock<HashMap<IpAddr, Arc<Pod>>>,
    routes: ArcSwap<RouteTable>,
    services: ArcSwap<Arc<dyn ServiceRoutes>>,
    names: ArcSwap<Arc<dyn Names>>,
    next_port: AtomicU16,
    /// The node's own place on the pod network, where it has UDP sockets.
    own: Option<Arc<Pod>>,
}

impl std::fmt::Debug for Fabric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fabric").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A place in the queue of a pod's listener.
pub(crate) struct Place {
    queue: OwnedPermit<Offer>,
    ticket: Ticket,
}

impl Place {
    /// Gives `stream` to the listener. It is closed if the listener has closed meanwhile.
    pub(crate) fn take(self, stream: Stream) {
        let addresses = [stream.local_addr(), stream.peer_addr()];
        let (back, _nobody_waits) = oneshot::channel();
        let carried = Carried::new(stream, addresses, Some(self.ticket), None);
        self.queue.send(Offer::HandedOver(Box::new(carried), back));
    }
}

/// Who opens a connection.
#[derive(Clone, Copy)]
enum Origin<'a> {
    Pod(&'a Arc<Pod>, Option<SocketAddr>),
    Node,
}

impl Origin<'_> {
    fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Pod(pod, _) => pod.addresses.first().copied(),
            Self::Node => None,
        }
    }
}

impl Fabric {
    /// A fabric without pods, routes, services or names.
    pub fn new(config: FabricConfig) -> Arc<Self> {
        let addresses: Vec<IpAddr> = config.pod_cidrs.iter().filter_map(|net| net.hosts().next()).collect();
        let identity = PodIdentity { namespace: String::new(), name: String::new(), uid: String::new() };
        let own = (!addresses.is_empty()).then(|| Arc::new(Pod::new(identity, addresses, Resolver::default())));
        let pods = own.iter().flat_map(|own| own.addresses.iter().map(|ip| (*ip, own.clone()))).collect();
        Arc::new(Self {
            config,
            pods: RwLock::new(pods),
            own,
            routes: ArcSwap::default(),
            services: ArcSwap::from_pointee(Arc::new(NoServices)),
            names: ArcSwap::from_pointee(Arc::new(NoNames)),
            next_port: AtomicU16::new(*EPHEMERAL.start()),
        })
    }

    /// Gives a pod its place on the network, until what is returned is dropped.
    pub fn attach(self: &Arc<Self>, pod: PodIdentity, addresses: &[IpAddr]) -> Result<Arc<PodNetwork>, Error> {
        self.attach_with(pod, addresses, Resolver::default())
    }

    /// As [`Fabric::attach`], for a pod that looks names up in its own way.
    pub fn attach_with(
        self: &Arc<Self>,
        pod: PodIdentity,
        addresses: &[IpAddr],
        resolver: Resolver,
    ) -> Result<Arc<PodNetwork>, Error> {
        if addresses.is_empty() {
            return Err(Error::NoAddress);
        }
        let mut pods = self.pods.write();
        if let Some(taken) = addresses.iter().find(|ip| pods.contains_key(ip)) {
            return Err(Error::AddressTaken(*taken));
        }
        let pod = Arc::new(Pod::new(pod, addresses.to_vec(), resolver));
        pods.extend(addresses.iter().map(|ip| (*ip, pod.clone())));
        Ok(Arc::new(PodNetwork::new(pod, self.clone())))
    }

    /// Replaces the ways to other nodes.
    pub fn set_routes(&self, routes: RouteTable) {
        self.routes.store(Arc::new(routes));
    }

    /// Replaces the table of services.
    pub fn set_services(&self, services: Arc<dyn ServiceRoutes>) {
        self.services.store(Arc::new(services));
    }

    /// Replaces the names.
    pub fn set_names(&self, names: Arc<dyn Names>) {
        self.names.store(Arc::new(names));
    }

    /// The link that leads from `peer`, another fabric of this process, to this one.
    pub fn link_from(self: &Arc<Self>, peer: &Self) -> Arc<dyn Link> {
        Arc::new(InProcess { to: Arc::downgrade(self), peer: peer.config.pod_cidrs.clone() })
    }

    /// The node itself connects to a pod or a service: for probes, port-forwarding, and the API server's proxy.
    pub async fn connect(&self, to: SocketAddr) -> Result<Stream, NetworkError> {
        self.reach(Origin::Node, canonical(to)).await
    }

    /// A UDP socket of the node itself, by which it passes on what `client` sends from outside. The pods that receive it
    /// see the client, and answer it; instead of one on this very machine, whose address is their own loopback's, they
    /// see the node.
    pub fn datagrams_of(self: &Arc<Self>, client: SocketAddr) -> Result<Arc<dyn Datagrams>, NetworkError> {
        let own = self.own.as_ref().ok_or(NetworkError::NotSupported)?;
        let any: IpAddr = if client.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let shown = Some(client).filter(|client| !client.ip().is_loopback());
        Ok(Arc::new(PodDatagrams::bind(self, own, SocketAddr::new(any, 0), shown)?))
    }

    /// Gives an accepted connection to a pod: to a pod of this node as it is, without copying; over a link otherwise.
    ///
    /// Returns when it has been accepted (or, over a link, when it has ended). A stream that nobody accepts is returned
    /// untouched, also when its listener closes while it waits there.
    pub async fn hand_over(&self, stream: Stream, to: impl Into<Endpoint>) -> Result<(), (Stream, NetworkError)> {
        let Endpoint { address, outstanding, .. } = to.into();
        let client = stream.peer_addr();
        if let Some(pod) = self.pod(address.ip()) {
            let carried = match pod.ticket() {
                Ok(ticket) => Carried::new(stream, [address, client], Some(ticket), outstanding),
                Err(error) => return Err((stream, error)),
            };
            return wait_accepted(&pod, address, carried).await;
        }
        let link = self.routes.load().find(address.ip()).cloned();
        let (Some(link), Some(source)) = (link, self.node_address(address.ip())) else {
            return Err((stream, NetworkError::RemoteUnreachable));
        };
        let header = Header { source, destination: address, client: Some(client) };
        let stream = Carried::new(stream, [address, client], None, outstanding);
        link.hand_over(header, Box::new(stream)).await
    }

    /// Takes a stream that arrived over a link from a node that owns `peer`, and gives it to the pod it is for.
    pub async fn receive(&self, peer: &[IpNet], header: Header, stream: Stream) -> Result<(), (Stream, NetworkError)> {
        let (pod, ticket) = match self.admit(peer, header).and_then(|pod| Ok((pod.clone(), pod.ticket()?))) {
            Ok(admitted) => admitted,
            Err(error) => return Err((stream, error)),
        };
        let client = header.client.unwrap_or(header.source);
        let carried = Carried::new(stream, [header.destination, client], Some(ticket), None);
        wait_accepted(&pod, header.destination, carried).await
    }

    /// A place in a pod's queue for a stream that arrives over a link from a node that owns `peer`.
    pub(crate) fn reserve(&self, peer: &[IpNet], header: Header) -> Result<Place, NetworkError> {
        let pod = self.admit(peer, header)?;
        let ticket = pod.ticket().map_err(|_| NetworkError::ConnectionRefused)?;
        Ok(Place { queue: pod.reserve(header.destination)?, ticket })
    }

    /// Takes a datagram that arrived over a link from a node that owns `peer`.
    pub fn receive_datagram(&self, peer: &[IpNet], header: Header, payload: Bytes) {
        if let Ok(pod) = self.admit(peer, header)
            && let Some(queue) = pod.udp_queue(header.destination)
        {
            queue.push(Datagram { payload, from: header.source, client: header.client });
        }
    }

    pub(crate) fn open_from(&self, peer: &[IpNet], header: Header) -> Result<Stream, NetworkError> {
        let pod = self.admit(peer, header)?;
        let (near, far) = pipe(header.source, header.destination);
        queue(&pod, far)?;
        Ok(Box::new(near))
    }

    /// The pod that a peer's stream is for, if the peer may speak for its source.
    fn admit(&self, peer: &[IpNet], header: Header) -> Result<Arc<Pod>, NetworkError> {
        if !peer.iter().any(|net| net.contains(&header.source.ip())) {
            tracing::warn!(source = %header.source, "refused a stream whose source its peer does not own");
            return Err(NetworkError::AccessDenied);
        }
        self.pod(header.destination.ip()).ok_or(NetworkError::RemoteUnreachable)
    }

    pub(crate) async fn connect_from_pod(
        &self,
        pod: &Arc<Pod>,
        local: Option<SocketAddr>,
        remote: SocketAddr,
    ) -> Result<Stream, NetworkError> {
        let remote = canonical(remote);
        if remote.port() == 0 || remote.ip().is_unspecified() {
            return Err(NetworkError::InvalidArgument);
        }
        let origin = Origin::Pod(pod, local);
        if pod.is_itself(remote.ip()) {
            return self.join(origin, pod, remote, remote.into());
        }
        self.reach(origin, remote).await
    }

    /// Connects to `remote`, through the table of services if it is one.
    async fn reach(&self, origin: Origin<'_>, remote: SocketAddr) -> Result<Stream, NetworkError> {
        let mut refused = Vec::new();
        let mut last = NetworkError::ConnectionRefused;
        while refused.len() < ATTEMPTS_MAX {
            let route = self.services.load().route(origin.address(), remote, Protocol::Tcp, &refused);
            let endpoint = match route {
                Route::NotService => return self.dial(origin, remote, remote.into()).await,
                Route::NoEndpoints => return Err(last),
                Route::Endpoint(endpoint) => endpoint,
            };
            refused.push(endpoint.address);
            match self.dial(origin, remote, endpoint).await {
                Err(error) if may_try_another(error) => last = error,
                settled => return settled,
            }
        }
        Err(last)
    }

    /// Connects to one address, which the origin sees as `shown`.
    async fn dial(&self, origin: Origin<'_>, shown: SocketAddr, to: Endpoint) -> Result<Stream, NetworkError> {
        let ip = to.address.ip();
        if to.via == Via::Host {
            return self.leave(origin, shown, to).await;
        }
        if let Some(pod) = self.pod(ip) {
            return self.join(origin, &pod, shown, to);
        }
        let link = self.routes.load().find(ip).cloned();
        if let Some(link) = link {
            let (source, ticket) = self.source(origin, to.address)?;
            let stream = link.open(Header { source, destination: to.address, client: None }).await?;
            return Ok(Box::new(Carried::new(stream, [source, shown], ticket, to.outstanding)));
        }
        if self.is_in_cluster(ip) {
            return Err(NetworkError::RemoteUnreachable);
        }
        match origin {
            Origin::Pod(..) if self.config.egress.permits(ip) => self.leave(origin, shown, to).await,
            Origin::Pod(..) => Err(NetworkError::AccessDenied),
            Origin::Node => Err(NetworkError::RemoteUnreachable),
        }
    }

    /// Connects to a pod of this node.
    fn join(
        &self,
        origin: Origin<'_>,
        pod: &Arc<Pod>,
        shown: SocketAddr,
        to: Endpoint,
    ) -> Result<Stream, NetworkError> {
        let (source, ticket) = self.source(origin, to.address)?;
        let (near, far) = pipe(source, to.address);
        queue(pod, far)?;
        let near = near.shown_as(shown).holding(to.outstanding);
        Ok(Box::new(match ticket {
            Some(ticket) => near.owned_by(ticket),
            None => near,
        }))
    }

    /// Connects over the host's network.
    async fn leave(&self, origin: Origin<'_>, shown: SocketAddr, to: Endpoint) -> Result<Stream, NetworkError> {
        let (source, ticket) = self.source(origin, shown)?;
        let stream = host::connect(to.address, to.via == Via::Host).await?;
        Ok(Box::new(Carried::new(Box::new(stream), [source, shown], ticket, to.outstanding)))
    }

    /// The address that a connection to `remote` comes from, and its place among the pod's sockets.
    fn source(&self, origin: Origin<'_>, remote: SocketAddr) -> Result<(SocketAddr, Option<Ticket>), NetworkError> {
        let Origin::Pod(pod, local) = origin else {
            let address = self.node_address(remote.ip()).ok_or(NetworkError::RemoteUnreachable)?;
            return Ok((address, None));
        };
        let mut ticket = pod.ticket()?;
        let ip = match local.map(|local| local.ip()) {
            Some(ip) if !ip.is_unspecified() => ip,
            _ => pod.source_for(remote.ip())?,
        };
        let port = ticket.hold_port(local.map_or(0, |local| local.port()))?;
        Ok((SocketAddr::new(ip, port), Some(ticket)))
    }

    /// The node's own address on the pod network, with a port for one connection.
    fn node_address(&self, remote: IpAddr) -> Option<SocketAddr> {
        let net = self.config.pod_cidrs.iter().find(|net| net.addr().is_ipv4() == remote.is_ipv4())?;
        let n_used = self.next_port.fetch_add(1, Ordering::Relaxed) % EPHEMERAL.len() as u16;
        Some(SocketAddr::new(net.hosts().next()?, EPHEMERAL.start() + n_used))
    }

    pub(crate) fn pod(&self, ip: IpAddr) -> Option<Arc<Pod>> {
        self.pods.read().get(&ip).cloned()
    }

    pub(crate) fn forget(&self, pod: &Pod) {
        let mut pods = self.pods.write();
        for ip in &pod.addresses {
            pods.remove(ip);
        }
    }

    pub(crate) fn is_in_cluster(&self, ip: IpAddr) -> bool {
        let mut nets = self.config.cluster_cidrs.iter().chain(&self.config.pod_cidrs);
        nets.any(|net| net.contains(&ip))
    }

    pub(crate) fn names(&self) -> Arc<Arc<dyn Names>> {
        self.names.load_full()
    }

    pub(crate) fn name_server(&self) -> Option<SocketAddr> {
        self.config.name_server
    }

    pub(crate) fn services(&self) -> Arc<Arc<dyn ServiceRoutes>> {
        self.services.load_full()
    }

    pub(crate) fn link(&self, ip: IpAddr) -> Option<Arc<dyn Link>> {
        self.routes.load().find(ip).cloned()
    }

    pub(crate) fn egress(&self) -> &Egress {
        &self.config.egress
    }
}

/// Queues the far end of a connection in memory for a pod's listener.
fn queue(pod: &Arc<Pod>, far: End) -> Result<(), NetworkError> {
    use coracle_runtime::network::Connection;
    let ticket = pod.ticket().map_err(|_| NetworkError::ConnectionRefused)?;
    let to = far.local_addr();
    pod.offer(to, Offer::pipe(far.owned_by(ticket))).map_err(|_| NetworkError::ConnectionRefused)
}

async fn wait_accepted(pod: &Pod, to: SocketAddr, carried: Carried) -> Result<(), (Stream, NetworkError)> {
    let (back, returned) = oneshot::channel();
    match pod.offer(to, Offer::HandedOver(Box::new(carried), back)) {
        Ok(()) => match returned.await {
            Ok(stream) => Err((stream, NetworkError::ConnectionRefused)),
            Err(_accepted) => Ok(()),
        },
        Err(Offer::HandedOver(carried, _)) => Err((carried.into_inner(), NetworkError::ConnectionRefused)),
        Err(Offer::Pipe(_)) => unreachable!("an offer is returned as it was made"),
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Errors that are the endpoint's, not the caller's.
fn may_try_another(error: NetworkError) -> bool {
    matches!(error, NetworkError::ConnectionRefused | NetworkError::RemoteUnreachable | NetworkError::Timeout)
}
