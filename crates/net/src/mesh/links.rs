//! Which connections to other nodes there should be, and which of them carries what. It decides without I/O and without
//! a clock: [`Links::handle`] takes what happened, [`Links::poll_action`] says what to do, [`Links::poll_timeout`] when to
//! come back.
//!
//! Of two nodes the one with the lower name dials at once, the other after a head start: so a pair usually has one
//! connection, and a node that cannot be dialled still gets one by dialling out. Whom a node reaches directly it tells its
//! neighbours; who is not reached directly is reached through a neighbour that said so.

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use coracle_stdx::Backoff;

/// How long the node with the higher name leaves the dialling to the other.
const HEAD_START: Duration = Duration::from_secs(1);
const REDIAL_BASE: Duration = Duration::from_millis(500);
const REDIAL_MAX: Duration = Duration::from_secs(15);
/// Two connections of a pair that began this close together were dialled at the same time by both. When one began later,
/// its dialler had lost the other.
const SIMULTANEOUS: Duration = Duration::from_secs(5);
/// How long a connection that another took the place of is kept. Longer than it takes to see that the other one is dead.
const SUPERSEDED_MAX: Duration = Duration::from_secs(30);
/// How long a connection of somebody who is no member (yet) is kept.
const STRANGER_MAX: Duration = Duration::from_secs(30);

/// A connection, by a number that this node gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// Which of the two opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialler {
    Us,
    Them,
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Everybody who belongs to the network now, with the addresses where each may be dialled.
    Members(BTreeMap<String, Vec<SocketAddr>>),
    Connected {
        peer: String,
        connection: ConnectionId,
        by: Dialler,
    },
    DialFailed {
        peer: String,
    },
    Lost {
        connection: ConnectionId,
    },
    /// A neighbour said whom it reaches. Words may overtake each other: only the last counts.
    Heard {
        connection: ConnectionId,
        sequence: u64,
        reaches: BTreeSet<String>,
    },
    /// Time has passed.
    Tick,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Try these addresses in their order; then report one `Connected` or `DialFailed`.
    Dial {
        peer: String,
        addresses: Vec<SocketAddr>,
    },
    /// Close it once nothing uses it.
    Retire {
        connection: ConnectionId,
    },
    Close {
        connection: ConnectionId,
    },
    Tell {
        connection: ConnectionId,
        sequence: u64,
        reaches: BTreeSet<String>,
    },
}

/// How a peer is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Direct(ConnectionId),
    /// Over this connection to a neighbour, who passes it on.
    Relayed {
        by: String,
        connection: ConnectionId,
    },
    /// Nothing leads there yet; it is being dialled for the first time.
    Opening,
    Nowhere,
}

#[derive(Debug)]
struct Connection {
    id: ConnectionId,
    by: Dialler,
    since: Instant,
    superseded: Option<Instant>,
    retired: bool,
}

#[derive(Debug)]
struct Peer {
    is_member: bool,
    addresses: Vec<SocketAddr>,
    connections: Vec<Connection>,
    dial_at: Option<Instant>,
    is_dialling: bool,
    backoff: Backoff,
    reaches: BTreeSet<String>,
    heard: u64,
    unknown_since: Option<Instant>,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            is_member: false,
            addresses: Vec::new(),
            connections: Vec::new(),
            dial_at: None,
            is_dialling: false,
            backoff: Backoff::new(REDIAL_BASE, REDIAL_MAX),
            reaches: BTreeSet::new(),
            heard: 0,
            unknown_since: None,
        }
    }
}

/// The state of all links of one node.
#[derive(Debug)]
pub(crate) struct Links {
    me: String,
    peers: BTreeMap<String, Peer>,
    actions: VecDeque<Action>,
    told: BTreeSet<String>,
    sequence: u64,
}

impl Links {
    pub(crate) fn new(me: impl Into<String>) -> Self {
        Self { me: me.into(), peers: BTreeMap::new(), actions: VecDeque::new(), told: BTreeSet::new(), sequence: 0 }
    }

    pub(crate) fn handle(&mut self, now: Instant, event: Event) {
        match event {
            Event::Members(members) => self.set_members(now, members),
            Event::Connected { peer, connection, by } => self.connected(now, &peer, connection, by),
            Event::DialFailed { peer } => {
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.is_dialling = false;
                    let delay = peer.backoff.next_delay();
                    peer.dial_at = peer.connections.is_empty().then(|| now + delay);
                }
            }
            Event::Lost { connection } => self.lost(now, connection),
            Event::Heard { connection, sequence, reaches } => {
                if let Some((_, peer)) = self.owner(connection)
                    && sequence > peer.heard
                {
                    peer.heard = sequence;
                    peer.reaches = reaches;
                }
            }
            Event::Tick => {}
        }
        self.settle(now);
    }

    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When the next [`Event::Tick`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.peers.values().filter_map(Peer::next_deadline).min()
    }

    /// How `peer` is reached now.
    pub(crate) fn way(&self, peer: &str) -> Way {
        let Some(found) = self.peers.get(peer).filter(|found| found.is_member) else { return Way::Nowhere };
        if let Some(connection) = found.preferred(self.me.as_str() < peer) {
            return Way::Direct(connection);
        }
        let mut neighbours = self.peers.iter().filter(|(_, neighbour)| neighbour.is_member);
        let relay = neighbours.find_map(|(name, neighbour)| {
            let connection = neighbour.preferred(self.me < *name)?;
            neighbour.reaches.contains(peer).then(|| (name.clone(), connection))
        });
        match relay {
            Some((by, connection)) => Way::Relayed { by, connection },
            None if !found.addresses.is_empty() && found.backoff.n_failures() == 0 => Way::Opening,
            None => Way::Nowhere,
        }
    }

    /// Everybody who is a member or connected.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &str> {
        self.peers.keys().map(String::as_str)
    }

    fn set_members(&mut self, now: Instant, mut members: BTreeMap<String, Vec<SocketAddr>>) {
        members.remove(&self.me);
        for (name, peer) in &mut self.peers {
            if peer.is_member && !members.contains_key(name) {
                let connections = std::mem::take(&mut peer.connections);
                self.actions.extend(connections.into_iter().map(|c| Action::Close { connection: c.id }));
                *peer = Peer { is_dialling: peer.is_dialling, ..Peer::default() };
            }
        }
        for (name, addresses) in members {
            let head_start = head_start(&self.me, &name);
            let peer = self.peers.entry(name).or_default();
            let is_new = !peer.is_member;
            (peer.is_member, peer.unknown_since) = (true, None);
            if is_new || peer.addresses != addresses {
                // Where it was dialled it may be no more.
                let moved = !is_new && peer.connections.iter().all(|c| c.by == Dialler::Us);
                peer.addresses = addresses;
                peer.backoff.reset();
                if peer.connections.is_empty() || moved {
                    peer.dial_at = Some(now + head_start);
                }
            }
        }
    }

    fn connected(&mut self, now: Instant, name: &str, id: ConnectionId, by: Dialler) {
        let peer = self.peers.entry(name.to_owned()).or_default();
        if by == Dialler::Us {
            peer.is_dialling = false;
        }
        if !peer.is_member {
            peer.unknown_since.get_or_insert(now);
        }
        peer.dial_at = None;
        peer.backoff.reset();
        peer.connections.push(Connection { id, by, since: now, superseded: None, retired: false });
        // What it said before was about another connection, or from before it was started again.
        peer.heard = 0;
        self.told.clear();
    }

    fn lost(&mut self, now: Instant, id: ConnectionId) {
        let me = self.me.clone();
        let Some((name, peer)) = self.owner(id) else { return };
        let head_start = head_start(&me, &name);
        peer.connections.retain(|connection| connection.id != id);
        if peer.connections.is_empty() {
            peer.reaches.clear();
            peer.heard = 0;
            peer.dial_at = Some(now + head_start);
        }
    }

    fn owner(&mut self, id: ConnectionId) -> Option<(String, &mut Peer)> {
        let mut peers = self.peers.iter_mut();
        peers.find(|(_, peer)| peer.connections.iter().any(|c| c.id == id)).map(|(name, peer)| (name.clone(), peer))
    }

    /// Does what has become due, and tells neighbours when they should know something else.
    fn settle(&mut self, now: Instant) {
        for (name, peer) in &mut self.peers {
            if peer.dial_at.is_some_and(|at| at <= now) {
                peer.dial_at = None;
                if peer.is_member && !peer.is_dialling && !peer.addresses.is_empty() {
                    peer.is_dialling = true;
                    self.actions.push_back(Action::Dial { peer: name.clone(), addresses: peer.addresses.clone() });
                }
            }
            if peer.unknown_since.is_some_and(|since| since + STRANGER_MAX <= now) {
                peer.unknown_since = None;
                let connections = std::mem::take(&mut peer.connections);
                self.actions.extend(connections.into_iter().map(|c| Action::Close { connection: c.id }));
            }
            let preferred = peer.preferred(self.me < *name);
            for connection in &mut peer.connections {
                if Some(connection.id) == preferred {
                    connection.superseded = None;
                } else if *connection.superseded.get_or_insert(now) + SUPERSEDED_MAX <= now && !connection.retired {
                    connection.retired = true;
                    self.actions.push_back(Action::Retire { connection: connection.id });
                }
            }
        }
        self.peers.retain(|_, peer| peer.is_member || !peer.connections.is_empty() || peer.is_dialling);
        self.tell();
    }

    fn tell(&mut self) {
        let neighbours = |(name, peer): (&String, &Peer)| {
            Some((name.clone(), peer.preferred(self.me < *name).filter(|_| peer.is_member)?))
        };
        let direct: Vec<(String, ConnectionId)> = self.peers.iter().filter_map(neighbours).collect();
        let reaches: BTreeSet<String> = direct.iter().map(|(name, _)| name.clone()).collect();
        if reaches == self.told {
            return;
        }
        self.sequence += 1;
        for (name, connection) in direct {
            let others = reaches.iter().filter(|other| **other != name).cloned().collect();
            self.actions.push_back(Action::Tell { connection, sequence: self.sequence, reaches: others });
        }
        self.told = reaches;
    }
}

impl Peer {
    /// The connection that new streams use. Both sides choose the same one.
    fn preferred(&self, we_are_lower: bool) -> Option<ConnectionId> {
        let newest = self.connections.iter().filter(|c| !c.retired).max_by_key(|c| (c.since, c.id))?;
        let lower = if we_are_lower { Dialler::Us } else { Dialler::Them };
        let same_time = self.connections.iter().filter(|c| !c.retired && c.since + SIMULTANEOUS > newest.since);
        Some(same_time.max_by_key(|c| (c.by == lower, c.since, c.id))?.id)
    }

    fn next_deadline(&self) -> Option<Instant> {
        let superseded = self.connections.iter().filter(|c| !c.retired).filter_map(|c| c.superseded);
        let unknown = self.unknown_since.map(|since| since + STRANGER_MAX);
        superseded.map(|since| since + SUPERSEDED_MAX).chain(self.dial_at).chain(unknown).min()
    }
}

fn head_start(me: &str, peer: &str) -> Duration {
    if me < peer { Duration::ZERO } else { HEAD_START }
}
