//! The ways to other nodes: which link carries an address, and what a link must do.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use coracle_runtime::network::{NetworkError, Stream};
use ipnet::IpNet;

use crate::fabric::Fabric;

/// What a stream or datagram says of itself when it arrives at another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// A pod's address, or the sending node's own; always one that the sending node owns.
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// Who an accepted connection really comes from, when the sending node hands it over.
    pub client: Option<SocketAddr>,
}

/// A connection to another node.
#[async_trait]
pub trait Link: Send + Sync {
    /// Opens a stream to a pod of that node.
    async fn open(&self, header: Header) -> Result<Stream, NetworkError>;

    /// Gives an accepted stream to a pod of that node, and returns it when the pod refuses. Returns when the other side
    /// has taken it over, or when it has been carried to its end.
    async fn hand_over(&self, header: Header, mut stream: Stream) -> Result<(), (Stream, NetworkError)> {
        match self.open(header).await {
            Ok(mut remote) => {
                // How it ended is between the two: both have seen it.
                drop(tokio::io::copy_bidirectional(&mut stream, &mut remote).await);
                Ok(())
            }
            Err(error) => Err((stream, error)),
        }
    }

    /// Sends a datagram, or loses it.
    fn send(&self, header: Header, payload: Bytes);
}

type Links = HashMap<IpNet, Arc<dyn Link>>;

/// Which link leads to an address: the one with the longest prefix. Immutable; replaced whole.
#[derive(Clone, Default)]
pub struct RouteTable {
    /// By prefix length, longest first.
    by_length: Vec<(u8, Links)>,
}

impl std::fmt::Debug for RouteTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.by_length.iter().flat_map(|(_, routes)| routes.keys())).finish()
    }
}

impl FromIterator<(IpNet, Arc<dyn Link>)> for RouteTable {
    fn from_iter<I: IntoIterator<Item = (IpNet, Arc<dyn Link>)>>(routes: I) -> Self {
        let mut by_length: HashMap<u8, Links> = HashMap::new();
        for (net, link) in routes {
            by_length.entry(net.prefix_len()).or_default().insert(net.trunc(), link);
        }
        let mut by_length: Vec<_> = by_length.into_iter().collect();
        by_length.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
        Self { by_length }
    }
}

impl RouteTable {
    /// The link that leads to `ip`.
    pub fn find(&self, ip: IpAddr) -> Option<&Arc<dyn Link>> {
        self.by_length.iter().find_map(|(length, routes)| routes.get(&IpNet::new(ip, *length).ok()?.trunc()))
    }
}

/// The link between two fabrics of one process: what one opens, the other receives.
pub(crate) struct InProcess {
    pub(crate) to: Weak<Fabric>,
    /// The addresses of the fabric that sends.
    pub(crate) peer: Vec<IpNet>,
}

impl InProcess {
    fn to(&self) -> Result<Arc<Fabric>, NetworkError> {
        self.to.upgrade().ok_or(NetworkError::RemoteUnreachable)
    }
}

#[async_trait]
impl Link for InProcess {
    async fn open(&self, header: Header) -> Result<Stream, NetworkError> {
        self.to()?.open_from(&self.peer, header)
    }

    /// Both nodes are here: the stream itself changes hands.
    async fn hand_over(&self, header: Header, stream: Stream) -> Result<(), (Stream, NetworkError)> {
        match self.to() {
            Ok(to) => to.receive(&self.peer, header, stream).await,
            Err(error) => Err((stream, error)),
        }
    }

    fn send(&self, header: Header, payload: Bytes) {
        if let Some(to) = self.to.upgrade() {
            to.receive_datagram(&self.peer, header, payload);
        }
    }
}
