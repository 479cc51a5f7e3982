//! Which host ports this process listens on, and for which nodes. A port of an address has one listener, however many
//! nodes share the address.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

use coracle_net::Protocol;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::proxy::View;

/// The node ports of one process, shared by its nodes' proxies.
#[derive(Clone, Debug, Default)]
pub struct NodePorts(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    claimed: Mutex<HashSet<(SocketAddr, Protocol)>>,
    nodes: Mutex<Vec<(IpAddr, Weak<View>)>>,
    n_freed: watch::Sender<u64>,
}

impl NodePorts {
    /// Adds a node to those that may serve what is accepted at `address`.
    pub(crate) fn join(&self, address: IpAddr, view: &Arc<View>) {
        let mut nodes = self.0.nodes.lock();
        nodes.retain(|(_, view)| view.strong_count() > 0);
        nodes.push((address, Arc::downgrade(view)));
    }

    /// The nodes whose node ports are at `address`, or all for `None`.
    pub(crate) fn nodes(&self, address: Option<IpAddr>) -> Vec<Arc<View>> {
        let nodes = self.0.nodes.lock();
        let those = nodes.iter().filter(|(at, _)| address.is_none_or(|address| *at == address));
        those.filter_map(|(_, view)| view.upgrade()).collect()
    }

    /// Takes an address for one listener, unless another one of this process has it.
    pub(crate) fn claim(&self, address: SocketAddr, protocol: Protocol) -> Option<Claim> {
        let at = (address, protocol);
        let claimed = self.0.claimed.lock().insert(at);
        claimed.then(|| Claim { at, node_ports: self.clone() })
    }

    /// Moves each time a claim ends.
    pub(crate) fn freed(&self) -> watch::Receiver<u64> {
        self.0.n_freed.subscribe()
    }
}

/// The right to listen at an address, until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    at: (SocketAddr, Protocol),
    node_ports: NodePorts,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.node_ports.0.claimed.lock().remove(&self.at);
        self.node_ports.0.n_freed.send_modify(|n_freed| *n_freed += 1);
    }
}
