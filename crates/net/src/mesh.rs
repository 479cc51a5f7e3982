//! The network between nodes: one QUIC connection for each pair, with certificates on both sides.
//!
//! A [`Mesh`] is one node's part. It is told who the members are, keeps a link to each ([`links`] decides, [`Driver`]
//! does), and carries pods' connections as streams and their datagrams as datagrams. Who a peer is its certificate says;
//! which addresses it may speak for, the table of members.
//!
//! **Invariant:** nothing is accepted from a peer before its certificate has been verified, and nothing for a pod from an
//! address that is not of the peer's networks. A neighbour that passes streams on cannot read or forge them: they are
//! encrypted, again, between their two ends.

mod connection;
mod driver;
mod drives;
mod incoming;
mod links;
mod outgoing;
mod report;
mod settings;
mod socket;
mod tunnel;
mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use coracle_runtime::network::{NetworkError, Stream};
use ipnet::IpNet;
use parking_lot::{Mutex, RwLock};
use rustls::pki_types::CertificateDer;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use self::connection::Live;
use self::drives::Drives;
use self::links::{ConnectionId, Event, Links};
use self::outgoing::DETOURED_MAX;
use self::tunnel::Addressed;
use self::wire::Ask;
use crate::fabric::Fabric;
use crate::route::{Header, Link};

pub use driver::Driver;
pub use report::{LinkReport, PathReport, State};

/// Streams to the node's own API that wait to be served.
const NODE_STREAMS_MAX: usize = 64;
/// Streams that this node passes on at one time.
const RELAYS_MAX: usize = 1024;

/// A stream to a node's own API.
pub type NodeStream = Stream;

/// What keeps a mesh from being bound.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("listen for other nodes on UDP {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("use the certificates for QUIC: {cause}")]
    Tls { cause: String },
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub name: String,
    /// Whether it may use the API of this node: only the control plane may.
    pub may_ask: bool,
}

/// How a certificate, already verified, names its holder.
pub type Identify = fn(&CertificateDer<'_>) -> Option<Peer>;

/// What a node must know from the start.
pub struct Config {
    pub name: String,
    /// Where other nodes reach this one; port 0 chooses one.
    pub listen: SocketAddr,
    /// TLS 1.3, with certificates on both sides, for [`PROTOCOL`].
    pub client: rustls::ClientConfig,
    pub server: rustls::ServerConfig,
    pub identify: Identify,
    /// Known to this node alone, and the same when it is started again: by that its peers learn at once that their
    /// connections are gone.
    pub secret: [u8; 32],
}

/// The protocol that both sides name in their handshake.
pub const PROTOCOL: &[u8] = wire::PROTOCOL;

/// A node of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Where it may be dialled; none when that is not known.
    pub addresses: Vec<SocketAddr>,
    /// The addresses that it may speak for.
    pub networks: Vec<IpNet>,
}

/// All nodes of the network, by name.
pub type Members = HashMap<String, Member>;

/// One node's part of the network between nodes. Cheap to clone.
#[derive(Clone)]
pub struct Mesh(Arc<Shared>);

impl std::fmt::Debug for Mesh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mesh").field("name", &self.0.name).finish_non_exhaustive()
    }
}

/// What all parts of a mesh share.
struct Shared {
    name: String,
    identify: Identify,
    endpoint: quinn::Endpoint,
    drives: Arc<Drives>,
    client: quinn::ClientConfig,
    connector: TlsConnector,
    acceptor: TlsAcceptor,
    fabric: OnceLock<Arc<Fabric>>,
    links: Mutex<Links>,
    connections: RwLock<HashMap<ConnectionId, Arc<Live>>>,
    members: ArcSwap<Members>,
    /// Something was decided: the driver has work.
    work: Notify,
    /// Counts what happened, for who waits for a way.
    changed: watch::Sender<u64>,
    next_id: AtomicU64,
    relays: Arc<Semaphore>,
    detoured: mpsc::Sender<(String, Bytes)>,
    node_streams: mpsc::Sender<Stream>,
}

/// A mesh that was bound: the handle, what must run for it, and the streams to the node's own API.
pub struct Bound {
    pub mesh: Mesh,
    pub driver: Driver,
    pub node_streams: mpsc::Receiver<NodeStream>,
}

impl Mesh {
    /// Listens for other nodes. Nothing happens before [`Driver::run`].
    pub fn bind(config: Config) -> Result<Bound, Error> {
        let drives = Drives::new();
        let (endpoint, client) = settings::endpoint(&config, &drives)?;
        let (detoured, waiting) = mpsc::channel(DETOURED_MAX);
        let (node_streams, asked) = mpsc::channel(NODE_STREAMS_MAX);
        let shared = Arc::new(Shared {
            identify: config.identify,
            endpoint,
            drives,
            client,
            connector: Arc::new(config.client).into(),
            acceptor: Arc::new(config.server).into(),
            fabric: OnceLock::new(),
            links: Mutex::new(Links::new(config.name.clone())),
            connections: RwLock::default(),
            members: ArcSwap::default(),
            work: Notify::new(),
            changed: watch::Sender::new(0),
            next_id: AtomicU64::new(0),
            relays: Arc::new(Semaphore::new(RELAYS_MAX)),
            detoured,
            node_streams,
            name: config.name,
        });
        let driver = Driver { shared: shared.clone(), detoured: waiting };
        Ok(Bound { mesh: Self(shared), driver, node_streams: asked })
    }

    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The UDP port that other nodes dial.
    pub fn port(&self) -> u16 {
        self.0.endpoint.local_addr().map_or(0, |address| address.port())
    }

    /// Gives this node's pods to the network. Only the first call counts.
    pub fn attach(&self, fabric: &Arc<Fabric>) {
        let _ = self.0.fabric.set(fabric.clone());
    }

    /// Replaces the table of members.
    pub fn set_members(&self, members: Members) {
        let addresses = members.iter().map(|(name, member)| (name.clone(), member.addresses.clone())).collect();
        self.0.members.store(Arc::new(members));
        self.0.happen(Event::Members(addresses));
    }

    /// The link to a member.
    pub fn link(&self, peer: impl Into<String>) -> Arc<dyn Link> {
        Arc::new(MeshLink { shared: self.0.clone(), peer: peer.into() })
    }

    /// A stream to the API of another node.
    pub async fn ask(&self, peer: &str) -> Result<Stream, NetworkError> {
        let tunnel = outgoing::open(&self.0, peer, &Ask::Node).await?;
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Ok(Box::new(Addressed { tunnel, local: nowhere, peer: nowhere }))
    }

    /// What is known of all links.
    pub fn report(&self) -> Vec<LinkReport> {
        report::report(&self.0)
    }

    /// Changes whenever a link may have.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }
}

impl Shared {
    fn happen(&self, event: Event) {
        self.links.lock().handle(tokio::time::Instant::now().into_std(), event);
        self.changed.send_modify(|n_events| *n_events += 1);
        self.work.notify_one();
    }

    fn next_id(&self) -> ConnectionId {
        ConnectionId(self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    fn live(&self, connection: ConnectionId) -> Option<Arc<Live>> {
        self.connections.read().get(&connection).cloned()
    }

    fn networks(&self, peer: &str) -> Vec<IpNet> {
        self.members.load().get(peer).map(|member| member.networks.clone()).unwrap_or_default()
    }

    /// Returns once `peer` is a member.
    async fn known(&self, peer: &str) {
        let mut changed = self.changed.subscribe();
        while !self.members.load().contains_key(peer) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }
}

/// The pods of another node.
struct MeshLink {
    shared: Arc<Shared>,
    peer: String,
}

#[async_trait]
impl Link for MeshLink {
    async fn open(&self, header: Header) -> Result<Stream, NetworkError> {
        let tunnel = outgoing::open(&self.shared, &self.peer, &Ask::Pod(header)).await?;
        Ok(Box::new(Addressed { tunnel, local: header.source, peer: header.destination }))
    }

    fn send(&self, header: Header, payload: Bytes) {
        outgoing::send(&self.shared, &self.peer, header, payload);
    }
}
