//! The listeners of a node's node ports, and what becomes of a connection that they accept.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use coracle_net::{Endpoint, Fabric, HostStream, Protocol, Route};
use coracle_runtime::network::Stream;
use coracle_stdx::{Backoff, CancellationToken, Scope};
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::node_ports::{Claim, NodePorts};
use crate::proxy::{Config, View};
use crate::table::Table;

/// What the kernel queues before a node port.
const BACKLOG: i32 = 4096;
/// Accepted connections of one node port that no endpoint has taken over yet, or that are carried to another node.
const CONNECTIONS_MAX: usize = 16 * 1024;
/// How long a connection waits for a table that knows better, when every endpoint has refused it.
const HOLD_MAX: Duration = Duration::from_secs(2);
/// How often it asks meanwhile, even if the table has not changed.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// The open node ports of one node.
pub(crate) struct Listening {
    address: IpAddr,
    node_ports: NodePorts,
    view: Arc<View>,
    scope: Scope<Infallible>,
    open: HashMap<u16, CancellationToken>,
    failed: HashSet<u16>,
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

    /// Opens and closes listeners as the table asks. Says whether all could be opened.
    pub(crate) fn follow(&mut self, table: &Table) -> bool {
        let wanted: HashSet<u16> = table.node_ports(Protocol::Tcp).collect();
        self.open.retain(|port, closing| {
            let keep = wanted.contains(port);
            if !keep {
                closing.cancel();
            }
            keep
        });
        self.failed.retain(|port| wanted.contains(port));
        let missing: Vec<u16> = wanted.iter().filter(|port| !self.open.contains_key(port)).copied().collect();
        missing.into_iter().filter(|port| !self.open(*port)).count() == 0
    }

    fn open(&mut self, port: u16) -> bool {
        let address = SocketAddr::new(self.address, port);
        let Some(claim) = self.node_ports.claim(address) else { return false };
        let listener = match bind(address) {
            Ok(listener) => listener,
            Err(error) => {
                if self.failed.insert(port) {
                    warn!(%address, %error, "could not listen on a node port, trying again");
                }
                return false;
            }
        };
        self.failed.remove(&port);
        info!(%address, "opened a node port");
        let closing = self.scope.token().child_token();
        self.open.insert(port, closing.clone());
        let accepting = Accepting { port, address, view: self.view.clone(), node_ports: self.node_ports.clone() };
        self.scope.spawn(|token| async move {
            accepting.run(listener, claim, closing, token).await;
            Ok(())
        });
        true
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[derive(Clone)]
struct Accepting {
    port: u16,
    address: SocketAddr,
    view: Arc<View>,
    node_ports: NodePorts,
}

impl Accepting {
    /// Accepts until `closing`; what was accepted by then is still served, until `token`.
    async fn run(self, listener: TcpListener, claim: Claim, closing: CancellationToken, token: CancellationToken) {
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
                        warn!(address = %self.address, %error, "could not accept");
                        closing.run_until_cancelled(tokio::time::sleep(backoff.next_delay())).await;
                    }
                },
                Some(Ok(())) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
        drop(listener);
        drop(claim);
        info!(address = %self.address, "closed a node port");
        let Ok(()) = connections.join().await;
    }

    /// Gives a connection to an endpoint that takes it. A service without endpoints resets it.
    async fn serve(&self, tcp: TcpStream, client: SocketAddr) {
        let client = client.ip().to_canonical();
        if self.choose(client, &[]).is_none() {
            // It cannot be refused any more: the kernel has accepted it. What fails here was gone already.
            drop(tcp.set_zero_linger());
            return;
        }
        let Ok(stream) = HostStream::new(tcp) else { return };
        let mut stream: Stream = Box::new(stream);
        let mut version = self.view.version();
        let mut give_up_at = None;
        loop {
            stream = match self.offer_to_all(stream, client).await {
                Ok(()) => return,
                Err(refused) => refused,
            };
            let give_up_at = *give_up_at.get_or_insert_with(|| Instant::now() + HOLD_MAX);
            if Instant::now() >= give_up_at {
                debug!(address = %self.address, "closed a connection that no endpoint took");
                return;
            }
            // Both a newer table and the time are reasons to ask again.
            drop(tokio::time::timeout(ASK_AGAIN, version.changed()).await);
        }
    }

    async fn offer_to_all(&self, mut stream: Stream, client: IpAddr) -> Result<(), Stream> {
        let mut refused = Vec::new();
        while let Some((fabric, endpoint)) = self.choose(client, &refused) {
            let address = endpoint.address;
            match fabric.hand_over(stream, endpoint).await {
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

    /// The endpoint for a connection: this node's choice, or else that of a node that shares the address.
    fn choose(&self, client: IpAddr, refused: &[SocketAddr]) -> Option<(Arc<Fabric>, Endpoint)> {
        if let Some(endpoint) = choose_at(&self.view, client, self.port, refused) {
            return Some((self.view.fabric.clone(), endpoint));
        }
        let others = self.node_ports.nodes(self.address.ip());
        let mut others = others.iter().filter(|view| !Arc::ptr_eq(view, &self.view));
        others.find_map(|view| Some((view.fabric.clone(), choose_at(view, client, self.port, refused)?)))
    }
}

fn choose_at(view: &View, client: IpAddr, port: u16, refused: &[SocketAddr]) -> Option<Endpoint> {
    match view.table().route_node_port(client, port, Protocol::Tcp, refused) {
        Route::Endpoint(endpoint) => Some(endpoint),
        Route::NotService | Route::NoEndpoints => None,
    }
}
