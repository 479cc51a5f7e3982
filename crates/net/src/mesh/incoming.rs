//! What other nodes ask for: streams to pods, this node's API, and passing on to a neighbour.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coracle_runtime::network::NetworkError;
use tokio::io::AsyncReadExt;
use tracing::debug;

use super::connection::Live;
use super::links::Way;
use super::outgoing;
use super::tunnel::{Addressed, Tunnel};
use super::wire::{self, Ask, FRAME_BYTES_MAX};
use super::{Peer, Shared};
use crate::route::Header;

/// How long a peer may take to say what it wants.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer that is not known yet may wait for that: its Node object may be on its way.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);
/// Bytes on their way in one direction of a stream that is passed on.
const RELAY_BUFFER: usize = 64 * 1024;

/// Serves one stream of a neighbour.
pub(super) async fn serve(shared: &Arc<Shared>, live: &Arc<Live>, mut tunnel: Tunnel) {
    let Some(ask) = ask(&mut tunnel).await else { return };
    match ask {
        Ask::Relay { to } => relay(shared, &live.peer, &to, tunnel).await,
        Ask::Relayed => relayed(shared, live, tunnel).await,
        ask => answer(shared, &live.peer, live.connection.remote_address(), ask, tunnel).await,
    }
}

async fn ask(tunnel: &mut Tunnel) -> Option<Ask> {
    tokio::time::timeout(ASK_TIMEOUT, wire::read_ask(tunnel)).await.ok()?.ok()
}

async fn answer(shared: &Shared, peer: &Peer, address: SocketAddr, ask: Ask, mut tunnel: Tunnel) {
    let outcome = match ask {
        Ask::Pod(header) => return pod(shared, peer, header, tunnel).await,
        Ask::Datagrams => return datagrams(shared, peer, tunnel).await,
        Ask::Node if !peer.may_ask => Err(NetworkError::AccessDenied),
        Ask::Node => match shared.node_streams.try_reserve() {
            Ok(place) => {
                if wire::write_answer(&mut tunnel, Ok(())).await.is_ok() {
                    let local = shared.endpoint.local_addr().unwrap_or(address);
                    place.send(Box::new(Addressed { tunnel, local, peer: address }));
                }
                return;
            }
            Err(_) => Err(NetworkError::NewSocketLimit),
        },
        Ask::Relay { .. } | Ask::Relayed => Err(NetworkError::NotSupported),
    };
    // Who asked may be gone: then nobody wants the answer.
    let _ = wire::write_answer(&mut tunnel, outcome).await;
}

async fn pod(shared: &Shared, peer: &Peer, header: Header, mut tunnel: Tunnel) {
    let _ = tokio::time::timeout(KNOWN_WITHIN, shared.known(&peer.name)).await;
    let networks = shared.networks(&peer.name);
    let fabric = shared.fabric.get().ok_or(NetworkError::RemoteUnreachable);
    match fabric.and_then(|fabric| fabric.reserve(&networks, header)) {
        Ok(place) => {
            if wire::write_answer(&mut tunnel, Ok(())).await.is_ok() {
                let client = header.client.unwrap_or(header.source);
                place.take(Box::new(Addressed { tunnel, local: header.destination, peer: client }));
            }
        }
        Err(error) => {
            debug!(peer = %peer.name, source = %header.source, destination = %header.destination, %error, "stream refused");
            let _ = wire::write_answer(&mut tunnel, Err(error)).await;
        }
    }
}

/// Takes a datagram that came from `peer`.
pub(super) fn datagram(shared: &Shared, peer: &Peer, header: Header, payload: Bytes) {
    let members = shared.members.load();
    if let (Some(fabric), Some(member)) = (shared.fabric.get(), members.get(&peer.name)) {
        fabric.receive_datagram(&member.networks, header, payload);
    }
}

async fn datagrams(shared: &Shared, peer: &Peer, mut tunnel: Tunnel) {
    if wire::write_answer(&mut tunnel, Ok(())).await.is_err() {
        return;
    }
    while let Ok(length) = tunnel.read_u32().await {
        let length = length as usize;
        if length > FRAME_BYTES_MAX {
            return;
        }
        let mut frame = vec![0; length];
        if tunnel.read_exact(&mut frame).await.is_err() {
            return;
        }
        if let Some((header, payload)) = wire::parse_datagram(frame.into()) {
            datagram(shared, peer, header, payload);
        }
    }
}

/// Passes a neighbour's stream on to another. What it carries is encrypted for that one.
async fn relay(shared: &Arc<Shared>, from: &Peer, to: &str, mut tunnel: Tunnel) {
    let onward = async {
        if !shared.members.load().contains_key(&from.name) {
            return Err(NetworkError::AccessDenied);
        }
        let permit = shared.relays.clone().try_acquire_owned().map_err(|_| NetworkError::NewSocketLimit)?;
        let way = shared.links.lock().way(to);
        let Way::Direct(connection) = way else { return Err(NetworkError::RemoteUnreachable) };
        let onward = outgoing::ask_over(shared, connection, &Ask::Relayed).await?;
        Ok((onward, permit))
    };
    let onward = tokio::time::timeout(outgoing::OPEN_TIMEOUT, onward).await.unwrap_or(Err(NetworkError::Timeout));
    let granted = onward.as_ref().map(|_| ()).map_err(|error| *error);
    if wire::write_answer(&mut tunnel, granted).await.is_err() {
        return;
    }
    if let Ok((mut onward, _permit)) = onward {
        debug!(from = %from.name, %to, "passing a stream on");
        let sizes = [RELAY_BUFFER; 2];
        // How it ended is between the two: both have seen it.
        drop(tokio::io::copy_bidirectional_with_sizes(&mut tunnel, &mut onward, sizes[0], sizes[1]).await);
    }
}

/// Takes a stream that a neighbour passes on for somebody else, who proves who it is.
async fn relayed(shared: &Arc<Shared>, live: &Arc<Live>, mut tunnel: Tunnel) {
    if wire::write_answer(&mut tunnel, Ok(())).await.is_err() {
        return;
    }
    let address = live.connection.remote_address();
    let accepted = tokio::time::timeout(ASK_TIMEOUT, outgoing::accept_tls(shared, tunnel)).await;
    let Ok(Ok((peer, mut tunnel))) = accepted else { return };
    if let Some(ask) = ask(&mut tunnel).await {
        answer(shared, &peer, address, ask, tunnel).await;
    }
}
