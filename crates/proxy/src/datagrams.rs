//! UDP through a door: each client has a socket of its node on the pod network, and stays with its endpoint while the
//! table has that. Queues are bounded and lose what does not fit, as UDP may.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coracle_net::Protocol;
use coracle_runtime::network::{Datagrams, NetworkError};
use coracle_stdx::{CancellationToken, Scope};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tracing::debug;

use crate::listening::{Chosen, Entrance};

/// Clients of one door at a time. What others send is lost until one has been silent.
const CLIENTS_MAX: usize = 4096;
/// Datagrams of one client that wait to be passed on.
const WAITING_MAX: usize = 256;
/// How long a client keeps its endpoint after the last datagram of either.
const IDLE_MAX: Duration = Duration::from_secs(60);
const PAYLOAD_MAX: usize = 65_507;

/// Passes datagrams between clients and endpoints until `closing` or `token`.
pub(crate) async fn forward(
    entrance: Entrance,
    socket: UdpSocket,
    closing: &CancellationToken,
    token: CancellationToken,
) {
    let socket = Arc::new(socket);
    let mut clients = Scope::<Infallible>::child_of(&token);
    let mut by_client: HashMap<SocketAddr, mpsc::Sender<Bytes>> = HashMap::new();
    let mut buffer = vec![0; PAYLOAD_MAX];
    loop {
        let (len, client) = tokio::select! {
            () = closing.cancelled() => break,
            received = socket.recv_from(&mut buffer) => match received {
                Ok(received) => received,
                // The answer to something that was sent: nobody receives it there any more.
                Err(error) => {
                    debug!(%error, "a client has gone");
                    continue;
                }
            },
            Some(Ok(())) = clients.join_next(), if !clients.is_empty() => {
                by_client.retain(|_, client| !client.is_closed());
                continue;
            }
        };
        let payload = Bytes::copy_from_slice(&buffer[..len]);
        if let Some(known) = by_client.get(&client).filter(|known| !known.is_closed()) {
            // What does not fit is lost.
            drop(known.try_send(payload));
        } else if by_client.len() < CLIENTS_MAX {
            let (sender, waiting) = mpsc::channel(WAITING_MAX);
            drop(sender.try_send(payload));
            by_client.insert(client, sender);
            let (entrance, socket) = (entrance.clone(), socket.clone());
            clients.spawn(|token| async move {
                let client = Client { entrance, socket, client };
                token.run_until_cancelled(client.serve(waiting)).await;
                Ok(())
            });
        }
    }
    clients.cancel();
    let Ok(()) = clients.join().await;
}

/// One client's datagrams.
struct Client {
    entrance: Entrance,
    socket: Arc<UdpSocket>,
    client: SocketAddr,
}

/// The endpoint of a client, and the way to it.
struct Way {
    chosen: Chosen,
    datagrams: Arc<dyn Datagrams>,
}

impl Client {
    async fn serve(self, mut waiting: mpsc::Receiver<Bytes>) {
        let mut way = None;
        loop {
            tokio::select! {
                payload = waiting.recv() => match payload {
                    Some(payload) => way = self.send(way.take(), payload).await,
                    None => return,
                },
                answer = answer(way.as_ref()) => match answer {
                    // A client that has gone does not mind.
                    Ok(payload) => drop(self.socket.send_to(&payload, self.client).await),
                    Err(_) => way = None,
                },
                () = tokio::time::sleep(IDLE_MAX) => return,
            }
        }
    }

    /// Sends a datagram where the last one went, or elsewhere when that is no endpoint any more.
    async fn send(&self, way: Option<Way>, payload: Bytes) -> Option<Way> {
        let is_good = |way: &Way| {
            let Chosen { view, endpoint } = &way.chosen;
            self.entrance.still_leads(view, Protocol::Udp, endpoint.address)
        };
        let mut next = way.filter(is_good).or_else(|| self.choose(&[]));
        let mut refused = Vec::new();
        while let Some(way) = next {
            let to = way.chosen.endpoint.address;
            match way.datagrams.send_to(payload.clone(), to).await {
                Err(NetworkError::ConnectionRefused | NetworkError::RemoteUnreachable) => {
                    refused.push(to);
                    next = self.choose(&refused);
                }
                Ok(()) | Err(_) => return Some(way),
            }
        }
        None
    }

    fn choose(&self, refused: &[SocketAddr]) -> Option<Way> {
        let client = SocketAddr::new(self.client.ip().to_canonical(), self.client.port());
        let chosen = self.entrance.choose(client.ip(), Protocol::Udp, refused)?;
        match chosen.view.fabric.datagrams_of(client) {
            Ok(datagrams) => Some(Way { chosen, datagrams }),
            Err(error) => {
                debug!(%client, %error, "a client has no way");
                None
            }
        }
    }
}

/// What the endpoint says; waits for ever when there is none.
async fn answer(way: Option<&Way>) -> Result<Bytes, NetworkError> {
    let Some(way) = way else { return std::future::pending().await };
    loop {
        let (payload, from) = way.datagrams.recv_from().await?;
        // Who learns the address of this socket by chance is not heard.
        if from == way.chosen.endpoint.address {
            return Ok(payload);
        }
    }
}
