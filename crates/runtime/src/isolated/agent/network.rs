//! Does on a pod's network what a process asks for. The process is not trusted: what it may have is bounded here.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coracle_stdx::CancellationToken;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::debug;

use super::{datagrams, pump};
use crate::isolated::channel::{AsyncChannel, Packets, packets};
use crate::isolated::message::{Answer, Call, ToChild};
use crate::network::{Listener, Network, NetworkError, Stream};
use crate::tasks::Tasks;

/// Calls in work, listeners, and sockets with a descriptor of the agent's, of one process.
const CALLS_MAX: usize = 1024;
const LISTENERS_MAX: usize = 1024;
const SOCKETS_MAX: usize = 4096;
const BACKLOG_MAX: usize = 4096;

/// What one process has of its pod's network.
pub(super) struct Served {
    network: Arc<dyn Network>,
    channel: Arc<AsyncChannel>,
    listeners: Mutex<HashMap<u64, Listening>>,
    n_listeners: AtomicU64,
    calls: Arc<Semaphore>,
    sockets: Arc<Semaphore>,
    /// Connections that still carry something.
    carrying: watch::Sender<usize>,
    tasks: Tasks,
}

#[derive(Clone)]
struct Listening {
    listener: Arc<dyn Listener>,
    closed: CancellationToken,
    /// At most one call waits for a connection.
    turn: Arc<Semaphore>,
}

/// Ends what is done for a process when its container is no longer attended.
pub(super) struct Serving(pub(super) Arc<Served>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.tasks.abort();
    }
}

/// An answer and the socket that comes with it.
type Answered = Result<(Answer, Option<OwnedFd>), NetworkError>;

impl Served {
    pub(super) fn new(network: Arc<dyn Network>, channel: Arc<AsyncChannel>) -> Arc<Self> {
        Arc::new(Self {
            network,
            channel,
            listeners: Mutex::default(),
            n_listeners: AtomicU64::new(0),
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            sockets: Arc::new(Semaphore::new(SOCKETS_MAX)),
            carrying: watch::Sender::new(0),
            tasks: Tasks::new(),
        })
    }

    /// Begins what is asked for. Returns when there is room for more.
    pub(super) async fn call(self: &Arc<Self>, id: u64, call: Call) {
        let permit = match &call {
            // It may wait for ever, and there are no more of these than listeners.
            Call::Accept { .. } => None,
            Call::Listen { .. } | Call::Connect { .. } | Call::BindUdp { .. } | Call::Resolve { .. } => {
                Some(Arc::clone(&self.calls).acquire_owned().await.expect("it is never closed"))
            }
        };
        let served = Arc::clone(self);
        self.tasks.spawn(async move {
            let answered = served.answer(call).await;
            served.send(id, answered).await;
            drop(permit);
        });
    }

    async fn send(&self, id: u64, answered: Answered) {
        let (answer, socket) = match answered {
            Ok((answer, socket)) => (Ok(answer), socket),
            Err(error) => (Err(error), None),
        };
        let sockets: Vec<_> = socket.iter().map(AsFd::as_fd).collect();
        if let Err(error) = self.channel.send(&ToChild::Answer { id, answer }, &sockets).await {
            debug!(%error, "a process took no answer");
        }
    }

    async fn answer(self: &Arc<Self>, call: Call) -> Answered {
        match call {
            Call::Listen { local, backlog } => self.listen(local, backlog),
            Call::Accept { listener } => self.accept(listener).await,
            Call::Connect { local, remote } => {
                let permit = self.socket()?;
                self.give(self.network.connect(local, remote).await?, permit)
            }
            Call::BindUdp { local } => self.bind_udp(local),
            Call::Resolve { name } => Ok((Answer::Resolved(self.network.resolve(&name).await?), None)),
        }
    }

    fn socket(&self) -> Result<OwnedSemaphorePermit, NetworkError> {
        Arc::clone(&self.sockets).try_acquire_owned().map_err(|_| NetworkError::NewSocketLimit)
    }

    fn listen(&self, local: SocketAddr, backlog: usize) -> Answered {
        if self.listeners.lock().len() >= LISTENERS_MAX {
            return Err(NetworkError::NewSocketLimit);
        }
        let listener: Arc<dyn Listener> = self.network.listen(local, backlog.min(BACKLOG_MAX))?.into();
        let local = listener.local_addr();
        let number = self.n_listeners.fetch_add(1, Ordering::Relaxed);
        let listening = Listening { listener, closed: CancellationToken::new(), turn: Arc::new(Semaphore::new(1)) };
        self.listeners.lock().insert(number, listening);
        Ok((Answer::Listening { listener: number, local }, None))
    }

    async fn accept(self: &Arc<Self>, listener: u64) -> Answered {
        let listening = self.listeners.lock().get(&listener).cloned().ok_or(NetworkError::InvalidArgument)?;
        let Listening { listener, closed, turn } = listening;
        let _turn = turn.try_acquire_owned().map_err(|_| NetworkError::InvalidArgument)?;
        let accepted = closed.run_until_cancelled(async {
            let permit = Arc::clone(&self.sockets).acquire_owned().await.expect("it is never closed");
            (listener.accept().await, permit)
        });
        let (accepted, permit) = accepted.await.ok_or(NetworkError::ConnectionAborted)?;
        self.give(accepted?, permit)
    }

    pub(super) fn close(&self, listener: u64) {
        if let Some(listening) = self.listeners.lock().remove(&listener) {
            listening.closed.cancel();
        }
    }

    /// Carries a connection, and gives away its other end.
    fn give(self: &Arc<Self>, stream: Stream, permit: OwnedSemaphorePermit) -> Answered {
        let (local, peer) = (stream.local_addr(), stream.peer_addr());
        let (own, theirs) = pump::pair().map_err(|_| NetworkError::NewSocketLimit)?;
        let carried = Carried::new(self);
        self.tasks.spawn(async move {
            if let Err(error) = pump::carry(stream, own).await {
                debug!(%peer, %error, "a connection of a process broke");
            }
            drop((carried, permit));
        });
        Ok((Answer::Stream { local, peer }, Some(theirs)))
    }

    fn bind_udp(&self, local: SocketAddr) -> Answered {
        let permit = self.socket()?;
        let socket = self.network.bind_udp(local)?;
        let local = socket.local_addr();
        let no_socket = |_: std::io::Error| NetworkError::NewSocketLimit;
        let (own, theirs) = packets().map_err(no_socket)?;
        let own = Packets::new(own).map_err(no_socket)?;
        self.tasks.spawn(async move {
            datagrams::carry(socket, own).await;
            drop(permit);
        });
        Ok((Answer::Datagrams { local }, Some(theirs)))
    }

    /// Returns when nothing is carried any more. The process has ended, and with it its end of everything.
    pub(super) async fn drained(&self) {
        self.listeners.lock().clear();
        let _ = self.carrying.subscribe().wait_for(|n| *n == 0).await;
    }
}

/// Counts one connection that carries something.
struct Carried(Arc<Served>);

impl Carried {
    fn new(served: &Arc<Served>) -> Self {
        served.carrying.send_modify(|n| *n += 1);
        Self(Arc::clone(served))
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.carrying.send_modify(|n| *n -= 1);
    }
}
