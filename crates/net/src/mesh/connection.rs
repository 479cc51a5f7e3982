//! One connection to another node, from its handshake to its end: streams, messages and datagrams that arrive on it.

use std::sync::Arc;

use bytes::Bytes;
use coracle_stdx::{CancellationToken, Scope};
use quinn::{Connection, RecvStream, VarInt};
use rustls::pki_types::CertificateDer;
use tokio::sync::{mpsc, watch};
use tracing::{debug, info};

use super::drives::{Drive, Taking};
use super::links::{ConnectionId, Dialler, Event};
use super::tunnel::{QuicStream, Tunnel};
use super::wire::{MESSAGE_BYTES_MAX, Message};
use super::{Peer, Shared, incoming, wire};

/// Datagrams too large for a packet that wait for their streams.
const OVERSIZED_MAX: usize = 64;

/// A connection that is open.
#[derive(Debug)]
pub(crate) struct Live {
    pub(super) id: ConnectionId,
    pub(super) peer: Peer,
    pub(super) by: Dialler,
    pub(super) connection: Connection,
    pub(super) drive: Arc<Drive>,
    pub(super) n_streams: watch::Sender<usize>,
    pub(super) oversized: mpsc::Sender<Bytes>,
    /// Cancelled when it is to end once its streams have.
    pub(super) retired: CancellationToken,
}

/// Who is at the other end, by the certificate that was shown.
pub(super) fn peer_of(shared: &Shared, connection: &Connection) -> Option<Peer> {
    let shown = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    (shared.identify)(shown.first()?)
}

/// A connection that has shaken hands, and what drives it.
pub(super) type Driven = (Connection, Arc<Drive>);

/// Serves a connection until it ends.
pub(super) async fn serve(shared: Arc<Shared>, (connection, drive): Driven, by: Dialler, token: CancellationToken) {
    let Some(peer) = peer_of(&shared, &connection).filter(|peer| peer.name != shared.name) else {
        connection.close(VarInt::from_u32(1), b"not a node of this cluster");
        return;
    };
    let id = shared.next_id();
    let (oversized, waiting) = mpsc::channel(OVERSIZED_MAX);
    let (n_streams, retired) = (watch::Sender::new(0), CancellationToken::new());
    let live = Arc::new(Live { id, peer, by, connection, drive, n_streams, oversized, retired });
    info!(me = %shared.name, peer = %live.peer.name, address = %live.connection.remote_address(), ?by, "link opened");
    shared.connections.write().insert(id, live.clone());
    shared.happen(Event::Connected { peer: live.peer.name.clone(), connection: id, by });
    let mut scope = Scope::<std::convert::Infallible>::child_of(&token);
    scope.spawn({
        let connection = live.connection.clone();
        |_| async move {
            send_oversized(connection, waiting).await;
            Ok(())
        }
    });
    let taking = take_datagrams(&shared, &live);
    receive(&shared, &live, &mut scope).await;
    drop(taking);
    shared.connections.write().remove(&id);
    shared.happen(Event::Lost { connection: id });
    let reason = live.connection.close_reason();
    live.connection.close(VarInt::from_u32(0), b"");
    info!(me = %shared.name, peer = %live.peer.name, ?reason, "link closed");
}

fn take_datagrams(shared: &Arc<Shared>, live: &Live) -> Taking {
    let (shared, peer) = (shared.clone(), live.peer.clone());
    live.drive.take_datagrams(&live.connection, move |datagram| {
        if let Some((header, payload)) = wire::parse_datagram(datagram) {
            incoming::datagram(&shared, &peer, header, payload);
        }
    })
}

async fn receive(shared: &Arc<Shared>, live: &Arc<Live>, scope: &mut Scope<std::convert::Infallible>) {
    let token = scope.token().clone();
    loop {
        tokio::select! {
            () = token.cancelled() => return,
            () = unused(live) => return,
            stream = live.connection.accept_bi() => {
                let Ok(stream) = stream else { return };
                let tunnel = Tunnel::Direct(QuicStream::new(live, stream));
                let (shared, live) = (shared.clone(), live.clone());
                scope.spawn(|_| async move {
                    incoming::serve(&shared, &live, tunnel).await;
                    Ok(())
                });
            }
            stream = live.connection.accept_uni() => {
                let Ok(stream) = stream else { return };
                let (shared, live) = (shared.clone(), live.clone());
                scope.spawn(|_| async move {
                    hear(&shared, &live, stream).await;
                    Ok(())
                });
            }
        }
    }
}

/// Returns when another connection has taken this one's place and its last stream has ended.
async fn unused(live: &Live) {
    live.retired.cancelled().await;
    let mut n_streams = live.n_streams.subscribe();
    n_streams.wait_for(|n_streams| *n_streams == 0).await.expect("the connection holds the sender");
}

async fn hear(shared: &Shared, live: &Live, mut stream: RecvStream) {
    let Ok(bytes) = stream.read_to_end(MESSAGE_BYTES_MAX).await else { return };
    match wire::parse_message(bytes.into()) {
        Some(Message::Reaches { sequence, names }) => {
            shared.happen(Event::Heard { connection: live.id, sequence, reaches: names });
        }
        Some(Message::Datagram(header, payload)) => incoming::datagram(shared, &live.peer, header, payload),
        None => debug!(peer = %live.peer.name, "a message was not understood"),
    }
}

async fn send_oversized(connection: Connection, mut waiting: mpsc::Receiver<Bytes>) {
    while let Some(message) = waiting.recv().await {
        if say(&connection, message).await.is_err() {
            return;
        }
    }
}

/// Sends a message in a stream of its own.
pub(super) async fn say(connection: &Connection, message: Bytes) -> Result<(), quinn::ConnectionError> {
    let mut stream = connection.open_uni().await?;
    // A stream that its receiver stopped has been of no use to it; the connection says for itself how it is.
    let _ = stream.write_all(&message).await;
    let _ = stream.finish();
    Ok(())
}
