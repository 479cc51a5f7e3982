//! What a node says of its links.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Shared;
use super::links::{Dialler, Way};

/// How a peer is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Packets pass between the two.
    Direct,
    /// A neighbour passes on what is for it.
    Relayed,
    /// It is being dialled for the first time.
    Opening,
    /// Nothing leads there.
    Unreachable,
}

/// One link of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkReport {
    pub peer: String,
    pub state: State,
    /// Who passes on what is for a peer that is not reached directly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay: Option<String>,
    /// Measured on the connection that is used: with the peer, or with the relay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathReport>,
}

/// What was measured on a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathReport {
    pub address: SocketAddr,
    /// Whether this node opened the connection.
    pub dialled: bool,
    pub round_trip_us: u64,
    pub mtu: u16,
    pub n_streams: usize,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub packets_sent: u64,
    pub packets_lost: u64,
}

/// All links of a node, by peer.
pub(super) fn report(shared: &Shared) -> Vec<LinkReport> {
    let ways: BTreeMap<String, Way> = {
        let links = shared.links.lock();
        links.peers().map(|peer| (peer.to_owned(), links.way(peer))).collect()
    };
    ways.into_iter().map(|(peer, way)| link(shared, peer, way)).collect()
}

fn link(shared: &Shared, peer: String, way: Way) -> LinkReport {
    let (state, relay, connection) = match way {
        Way::Direct(connection) => (State::Direct, None, Some(connection)),
        Way::Relayed { by, connection } => (State::Relayed, Some(by), Some(connection)),
        Way::Opening => (State::Opening, None, None),
        Way::Nowhere => (State::Unreachable, None, None),
    };
    let path = connection.and_then(|connection| shared.live(connection)).map(|live| {
        let stats = live.connection.stats();
        let address = live.connection.remote_address();
        PathReport {
            address: SocketAddr::new(address.ip().to_canonical(), address.port()),
            dialled: live.by == Dialler::Us,
            round_trip_us: live.connection.rtt().as_micros().try_into().unwrap_or(u64::MAX),
            mtu: stats.path.current_mtu,
            n_streams: *live.n_streams.borrow(),
            bytes_sent: stats.udp_tx.bytes,
            bytes_received: stats.udp_rx.bytes,
            packets_sent: stats.path.sent_packets,
            packets_lost: stats.path.lost_packets,
        }
    });
    LinkReport { peer, state, relay, path }
}
