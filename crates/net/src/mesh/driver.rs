//! Does what [`super::links`] decides: dials, accepts, closes, tells; and reports what came of it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coracle_stdx::{CancellationToken, Scope};
use quinn::{Incoming, VarInt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::debug;

use super::connection::Driven;
use super::links::{Action, Dialler, Event};
use super::outgoing::ANY_NODE;
use super::wire::{self, Message};
use super::{Shared, connection, outgoing};

/// How long one address may take to answer.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Strangers that may be shaking hands at one time.
const HANDSHAKES_MAX: usize = 256;

/// Runs the links of a node.
pub struct Driver {
    pub(super) shared: Arc<Shared>,
    pub(super) detoured: mpsc::Receiver<(String, Bytes)>,
}

impl Driver {
    /// Keeps links to all members until `token` is cancelled; then closes them.
    pub async fn run(self, token: CancellationToken) {
        let shared = self.shared;
        let mut scope = Scope::<Infallible>::child_of(&token);
        let (carrier, detoured) = (shared.clone(), self.detoured);
        scope.spawn(|token| async move {
            outgoing::carry_detoured(carrier, detoured, token).await;
            Ok(())
        });
        let handshakes = Arc::new(tokio::sync::Semaphore::new(HANDSHAKES_MAX));
        while !token.is_cancelled() {
            perform(&shared, &mut scope);
            let deadline = shared.links.lock().poll_timeout();
            tokio::select! {
                () = token.cancelled() => {}
                () = shared.work.notified() => {}
                () = until(deadline) => shared.happen(Event::Tick),
                Some(incoming) = shared.endpoint.accept() => match handshakes.clone().try_acquire_owned() {
                    Ok(permit) => accept(&shared, &mut scope, incoming, permit),
                    Err(_) => incoming.ignore(),
                },
            }
        }
        shared.endpoint.close(VarInt::from_u32(0), b"the node leaves");
        let Ok(()) = scope.join().await;
    }
}

async fn until(deadline: Option<std::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(Instant::from_std(deadline)).await,
        None => std::future::pending().await,
    }
}

fn perform(shared: &Arc<Shared>, scope: &mut Scope<Infallible>) {
    loop {
        let action = shared.links.lock().poll_action();
        let Some(action) = action else { return };
        match action {
            Action::Dial { peer, addresses } => {
                let shared = shared.clone();
                scope.spawn(|token| async move {
                    dial(shared, peer, addresses, token).await;
                    Ok(())
                });
            }
            Action::Retire { connection } => {
                if let Some(live) = shared.live(connection) {
                    live.retired.cancel();
                }
            }
            Action::Close { connection } => {
                if let Some(live) = shared.live(connection) {
                    live.connection.close(VarInt::from_u32(2), b"no member");
                }
            }
            Action::Tell { connection, sequence, reaches } => {
                if let Some(live) = shared.live(connection) {
                    scope.spawn(|_| tell(live.connection.clone(), sequence, reaches));
                }
            }
        }
    }
}

async fn tell(connection: quinn::Connection, sequence: u64, names: BTreeSet<String>) -> Result<(), Infallible> {
    // A connection that is lost says so elsewhere.
    let _ = connection::say(&connection, wire::message(&Message::Reaches { sequence, names })).await;
    Ok(())
}

async fn dial(shared: Arc<Shared>, peer: String, addresses: Vec<SocketAddr>, token: CancellationToken) {
    for address in addresses {
        match tokio::time::timeout(DIAL_TIMEOUT, connect(&shared, &peer, address)).await {
            Ok(Ok(connection)) => return connection::serve(shared, connection, Dialler::Us, token).await,
            Ok(Err(error)) => debug!(me = %shared.name, %peer, %address, error, "not connected"),
            Err(_) => debug!(me = %shared.name, %peer, %address, "no answer"),
        }
    }
    shared.happen(Event::DialFailed { peer });
}

async fn connect(shared: &Shared, peer: &str, address: SocketAddr) -> Result<Driven, String> {
    let begin = || shared.endpoint.connect_with(shared.client.clone(), address, ANY_NODE);
    let (connecting, drive) = shared.drives.begin(begin);
    let connection = connecting.map_err(|error| error.to_string())?.await.map_err(|error| error.to_string())?;
    match connection::peer_of(shared, &connection) {
        Some(found) if found.name == peer => Ok((connection, drive.expect("quinn spawns what drives a connection"))),
        found => {
            connection.close(VarInt::from_u32(1), b"another node was expected here");
            Err(format!("another node is there: {:?}", found.map(|found| found.name)))
        }
    }
}

fn accept(
    shared: &Arc<Shared>,
    scope: &mut Scope<Infallible>,
    incoming: Incoming,
    permit: tokio::sync::OwnedSemaphorePermit,
) {
    let shared = shared.clone();
    scope.spawn(|token| async move {
        let address = incoming.remote_address();
        let (Ok(connecting), Some(drive)) = shared.drives.begin(|| incoming.accept()) else { return Ok(()) };
        match tokio::time::timeout(DIAL_TIMEOUT, connecting).await {
            Ok(Ok(connection)) => {
                drop(permit);
                connection::serve(shared, (connection, drive), Dialler::Them, token).await;
            }
            Ok(Err(error)) => debug!(me = %shared.name, %address, %error, "a handshake failed"),
            Err(_) => debug!(me = %shared.name, %address, "a handshake took too long"),
        }
        Ok(())
    });
}
