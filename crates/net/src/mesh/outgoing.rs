//! Streams and datagrams to other nodes: over the connection with them, or through a neighbour.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coracle_runtime::network::NetworkError;
use coracle_stdx::{CancellationToken, Scope};
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::connection::Live;
use super::links::{ConnectionId, Way};
use super::tunnel::{QuicStream, Tunnel};
use super::wire::{self, Ask, Message};
use super::{Peer, Shared};
use crate::route::Header;

/// How long the other node may take to answer that it has a stream.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection that is being dialled for the first time is waited for.
const OPENING_WITHIN: Duration = Duration::from_secs(3);
/// Datagrams that wait for a detour to be found, and for their turn on it.
pub(super) const DETOURED_MAX: usize = 256;
/// A detour without datagrams is given up after this long.
const DETOUR_IDLE_MAX: Duration = Duration::from_secs(60);
/// Nobody is known by this name: who is at the other end is read from the certificate.
pub(super) const ANY_NODE: &str = "node.invalid";

/// Opens a stream to `peer`.
pub(super) async fn open(shared: &Arc<Shared>, peer: &str, ask: &Ask) -> Result<Tunnel, NetworkError> {
    let opened = async {
        match way(shared, peer).await {
            Way::Direct(connection) => ask_over(shared, connection, ask).await.map(Tunnel::Direct),
            Way::Relayed { connection, .. } => detour(shared, connection, peer, ask).await,
            Way::Opening | Way::Nowhere => Err(NetworkError::RemoteUnreachable),
        }
    };
    tokio::time::timeout(OPEN_TIMEOUT, opened).await.unwrap_or(Err(NetworkError::Timeout))
}

async fn way(shared: &Shared, peer: &str) -> Way {
    let found = async {
        let mut changed = shared.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let way = shared.links.lock().way(peer);
            if way != Way::Opening || changed.changed().await.is_err() {
                return way;
            }
        }
    };
    tokio::time::timeout(OPENING_WITHIN, found).await.unwrap_or(Way::Nowhere)
}

/// Opens a stream on a connection, and returns it once the other side has granted it.
pub(super) async fn ask_over(shared: &Shared, connection: ConnectionId, ask: &Ask) -> Result<QuicStream, NetworkError> {
    let live = shared.live(connection).ok_or(NetworkError::RemoteUnreachable)?;
    let stream = live.connection.open_bi().await.map_err(|_| NetworkError::RemoteUnreachable)?;
    let mut stream = QuicStream::new(&live, stream);
    wire::write_ask(&mut stream, ask).await.map_err(|_| NetworkError::RemoteUnreachable)?;
    wire::read_answer(&mut stream).await?;
    Ok(stream)
}

async fn detour(shared: &Arc<Shared>, connection: ConnectionId, peer: &str, ask: &Ask) -> Result<Tunnel, NetworkError> {
    let unreachable = |_| NetworkError::RemoteUnreachable;
    let stream = ask_over(shared, connection, &Ask::Relay { to: peer.to_owned() }).await?;
    let anybody = ServerName::try_from(ANY_NODE).expect("it is a domain name");
    let tls = shared.connector.connect(anybody, stream).await.map_err(unreachable)?;
    let shown = tls.get_ref().1.peer_certificates().and_then(|shown| (shared.identify)(shown.first()?));
    if shown.is_none_or(|shown| shown.name != peer) {
        return Err(NetworkError::AccessDenied);
    }
    let mut tunnel = Tunnel::relayed(tls);
    wire::write_ask(&mut tunnel, ask).await.map_err(unreachable)?;
    wire::read_answer(&mut tunnel).await?;
    Ok(tunnel)
}

/// The other end of a detour: who it is that speaks through a neighbour.
pub(super) async fn accept_tls(shared: &Shared, tunnel: Tunnel) -> Result<(Peer, Tunnel), NetworkError> {
    let Tunnel::Direct(stream) = tunnel else { return Err(NetworkError::NotSupported) };
    let tls = shared.acceptor.accept(stream).await.map_err(|_| NetworkError::AccessDenied)?;
    let shown = tls.get_ref().1.peer_certificates().and_then(|shown| (shared.identify)(shown.first()?));
    Ok((shown.ok_or(NetworkError::AccessDenied)?, Tunnel::relayed(tls)))
}

/// Sends a datagram, or loses it.
pub(super) fn send(shared: &Shared, peer: &str, header: Header, payload: Bytes) {
    let way = shared.links.lock().way(peer);
    match way {
        Way::Direct(connection) => {
            if let Some(live) = shared.live(connection) {
                send_over(&live, header, payload);
            }
        }
        // A queue that is full loses what does not fit, as UDP may.
        Way::Relayed { .. } => drop(shared.detoured.try_send((peer.to_owned(), wire::datagram(header, &payload)))),
        Way::Opening | Way::Nowhere => {}
    }
}

fn send_over(live: &Live, header: Header, payload: Bytes) {
    let packet = wire::datagram(header, &payload);
    if live.connection.max_datagram_size().is_some_and(|max| packet.len() <= max) {
        live.drive.send(&live.connection, packet);
    } else {
        let _ = live.oversized.try_send(wire::message(&Message::Datagram(header, payload)));
    }
}

/// Carries datagrams for nodes that are reached through a neighbour: one stream for each.
pub(super) async fn carry_detoured(
    shared: Arc<Shared>,
    mut waiting: mpsc::Receiver<(String, Bytes)>,
    token: CancellationToken,
) {
    let mut scope = Scope::<Infallible>::child_of(&token);
    let mut open: HashMap<String, mpsc::Sender<Bytes>> = HashMap::new();
    while let Some(Some((peer, datagram))) = token.run_until_cancelled(waiting.recv()).await {
        open.retain(|_, sender| !sender.is_closed());
        let sender = open.entry(peer.clone()).or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(DETOURED_MAX);
            let shared = shared.clone();
            scope.spawn(|_| async move {
                carry_to(&shared, &peer, receiver).await;
                Ok(())
            });
            sender
        });
        let _ = sender.try_send(datagram);
    }
}

async fn carry_to(shared: &Arc<Shared>, peer: &str, mut datagrams: mpsc::Receiver<Bytes>) {
    let Ok(mut tunnel) = open(shared, peer, &Ask::Datagrams).await else { return };
    while let Ok(Some(datagram)) = tokio::time::timeout(DETOUR_IDLE_MAX, datagrams.recv()).await {
        let length = u32::try_from(datagram.len()).expect("datagrams are small");
        let written = async {
            tunnel.write_u32(length).await?;
            tunnel.write_all(&datagram).await?;
            tunnel.flush().await
        };
        if written.await.is_err() {
            return;
        }
    }
}
