//! The doors of a node: its node ports, the addresses of load balancers, and where these ask for its health; and what
//! becomes of a connection that they accept.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use coracle_net::{Endpoint, HostStream, Protocol, Route};
use coracle_runtime::network::Stream;
use coracle_stdx::{Backoff, CancellationToken, Scope};
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::datagrams;
use crate::health::{self, Health};
use crate::node_ports::NodePorts;
use crate::proxy::{Config, View};
use crate::table::{Door, Table};

/// What the kernel queues before a node port.
const BACKLOG: i32 = 4096;
/// Accepted connections of one node port that no endpoint has taken over yet, or that are carried to another node.
const CONNECTIONS_MAX: usize = 16 * 1024;
/// How long a connection waits for a table that knows better, when every endpoint has refused it.
const HOLD_MAX: Duration = Duration::from_secs(2);
/// How often it asks meanwhile, even if the table has not changed.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// The open doors of one node.
pub(crate) struct Listening {
    address: IpAddr,
    node_ports: NodePorts,
    view: Arc<View>,
    scope: Scope<Infallible>,
    open: HashMap<(Door, Protocol), CancellationToken>,
    failed: HashSet<(Door, Protocol)>,
}

impl Listening {
    pub(crate) fn new(config: &Config, view: Arc<View>, token: &CancellationToken) -> Self {
        config.node_ports.join(config.node_port_address, &view);
        Self {
            address: config.node_port_address,
            node_ports: config.node_ports.clone(),
            view,
            scope: Scope::child_of(token),
            open: HashMap::new(),
            failed: HashSet::new(),
        }
    }

    /// Opens and closes doors as the table asks. Says whether all could be opened.
    pub(crate) fn follow(&mut self, table: &Table) -> bool {
        let wanted: HashSet<(Door, Protocol)> = table.doors().collect();
        self.open.retain(|door, closing| {
            let keep = wanted.contains(door);
            if !keep {
                closing.cancel();
            }
            keep
        });
        self.failed.retain(|door| wanted.contains(door));
        let missing: Vec<_> = wanted.into_iter().filter(|door| !self.open.contains_key(door)).collect();
        missing.into_iter().filter(|(door, protocol)| !self.open(*door, *protocol)).count() == 0
    }

    fn open(&mut self, door: Door, protocol: Protocol) -> bool {
        let address = match door {
            Door::NodePort(port) | Door::Health(port) => SocketAddr::new(self.address, port),
            Door::Address(address) => address,
        };
        let Some(claim) = self.node_ports.claim(address, protocol) else { return false };
        let socket = match bind(address, protocol) {
            Ok(socket) => socket,
            Err(error) => {
                self.tell_failure(door, protocol, address, &error);
                return false;
            }
        };
        self.failed.remove(&(door, protocol));
        info!(%address, ?protocol, "opened a door");
        let closing = self.scope.token().child_token();
        self.open.insert((door, protocol), closing.clone());
        let entrance = Entrance { door, address, view: self.view.clone(), node_ports: self.node_ports.clone() };
        self.scope.spawn(|token| async move {
            match socket {
                Bound::Tcp(listener) => Accepting(entrance.clone()).run(listener, &closing, token).await,
                Bound::Udp(socket) => datagrams::forward(entrance.clone(), socket, &closing, token).await,
            }
            drop(claim);
            info!(address = %entrance.address, ?protocol, "closed a door");
            Ok(())
        });
        true
    }

    fn tell_failure(&mut self, door: Door, protocol: Protocol, address: SocketAddr, error: &io::Error) {
        // Most addresses of load balancers are other machines'.
        let is_elsewhere = error.kind() == io::ErrorKind::AddrNotAvailable && matches!(door, Door::Address(_));
        if self.failed.insert((door, protocol)) && !is_elsewhere {
            warn!(%address, ?protocol, %error, "could not listen, trying again");
        }
    }
}

/// A socket that is bound, by its protocol.
enum Bound {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

fn bind(address: SocketAddr, protocol: Protocol) -> io::Result<Bound> {
    let kind = match protocol {
        Protocol::Tcp => Type::STREAM,
        Protocol::Udp => Type::DGRAM,
    };
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    if protocol == Protocol::Tcp {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    match protocol {
        Protocol::Tcp => {
            socket.listen(BACKLOG)?;
            TcpListener::from_std(socket.into()).map(Bound::Tcp)
        }
        Protocol::Udp => UdpSocket::from_std(socket.into()).map(Bound::Udp),
    }
}

/// A door of this node, and who serves what comes in.
#[derive(Clone)]
pub(crate) struct Entrance {
    door: Door,
    address: SocketAddr,
    view: Arc<View>,
    node_ports: NodePorts,
}

impl Entrance {
    /// The endpoint for a client: this node's choice, or else that of a node of this process that shares the door.
    pub(crate) fn choose(&self, client: IpAddr, protocol: Protocol, refused: &[SocketAddr]) -> Option<Chosen> {
        if let Some(endpoint) = choose_at(&self.view, client, self.door, protocol, refused) {
            return Some(Chosen { view: self.view.clone(), endpoint });
        }
        self.others().find_map(|view| {
            let endpoint = choose_at(&view, client, self.door, protocol, refused)?;
            Some(Chosen { view, endpoint })
        })
    }

    /// The nodes of this process that share the door.
    fn others(&self) -> impl Iterator<Item = Arc<View>> {
        let others = self.node_ports.nodes(match self.door {
            Door::NodePort(_) | Door::Health(_) => Some(self.address.ip()),
            Door::Address(_) => None,
        });
        others.into_iter().filter(|view| !Arc::ptr_eq(view, &self.view))
    }

    /// What balancers are told at `port`: those who share it serve together what comes in at their address.
    fn health(&self, port: u16) -> Option<Health> {
        let mut health = self.view.table().health(port)?.clone();
        for view in self.others() {
            health.n_local += view.table().health(port).map_or(0, |health| health.n_local);
        }
        Some(health)
    }

    /// Whether the table of `view` still has the endpoint behind this door.
    pub(crate) fn still_leads(&self, view: &View, protocol: Protocol, endpoint: SocketAddr) -> bool {
        view.table().door_leads(self.door, protocol, endpoint)
    }
}

/// An endpoint, and the node whose choice it is.
pub(crate) struct Chosen {
    pub(crate) view: Arc<View>,
    pub(crate) endpoint: Endpoint,
}

fn choose_at(view: &View, client: IpAddr, door: Door, protocol: Protocol, refused: &[SocketAddr]) -> Option<Endpoint> {
    match view.table().enter(client, door, protocol, refused) {
        Route::Endpoint(endpoint) => Some(endpoint),
        Route::NotService | Route::NoEndpoints => None,
    }
}

/// Accepts connections at a door.
#[derive(Clone)]
struct Accepting(Entrance);

impl Accepting {
    /// Accepts until `closing`; what was accepted by then is still served, until `token`.
    async fn run(self, listener: TcpListener, closing: &CancellationToken, token: CancellationToken) {
        let mut connections = Scope::<Infallible>::child_of(&token);
        let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_secs(1));
        loop {
            tokio::select! {
                () = closing.cancelled() => break,
                accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                    Ok((tcp, client)) => {
                        backoff.reset();
                        let accepting = self.clone();
                        connections.spawn(|token| async move {
                            token.run_until_cancelled(accepting.serve(tcp, client)).await;
                            Ok(())
                        });
                    }
                    Err(error) => {
                        warn!(address = %self.0.address, %error, "could not accept");
                        closing.run_until_cancelled(tokio::time::sleep(backoff.next_delay())).await;
                    }
                },
                Some(Ok(())) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
        drop(listener);
        let Ok(()) = connections.join().await;
    }

    /// Gives a connection to an endpoint that takes it. A service without endpoints resets it.
    async fn serve(&self, tcp: TcpStream, client: SocketAddr) {
        if let Door::Health(port) = self.0.door {
            return health::serve(tcp, || self.0.health(port)).await;
        }
        let client = client.ip().to_canonical();
        if self.0.choose(client, Protocol::Tcp, &[]).is_none() {
            // It cannot be refused any more: the kernel has accepted it. What fails here was gone already.
            drop(tcp.set_zero_linger());
            return;
        }
        let Ok(stream) = HostStream::new(tcp) else { return };
        let mut stream: Stream = Box::new(stream);
        let mut version = self.0.view.version();
        let mut give_up_at = None;
        loop {
            stream = match self.offer_to_all(stream, client).await {
                Ok(()) => return,
                Err(refused) => refused,
            };
            let give_up_at = *give_up_at.get_or_insert_with(|| Instant::now() + HOLD_MAX);
            if Instant::now() >= give_up_at {
                debug!(address = %self.0.address, "closed a connection that no endpoint took");
                return;
            }
            // Both a newer table and the time are reasons to ask again.
            drop(tokio::time::timeout(ASK_AGAIN, version.changed()).await);
        }
    }

    async fn offer_to_all(&self, mut stream: Stream, client: IpAddr) -> Result<(), Stream> {
        let mut refused = Vec::new();
        while let Some(Chosen { view, endpoint }) = self.0.choose(client, Protocol::Tcp, &refused) {
            let address = endpoint.address;
            match view.fabric.hand_over(stream, endpoint).await {
                Ok(()) => return Ok(()),
                Err((returned, error)) => {
                    debug!(%address, %error, "an endpoint refused");
                    refused.push(address);
                    stream = returned;
                }
            }
        }
        Err(stream)
    }
}
