//! A pod's listening socket and the queue before it. What is still queued when it closes goes back to who sent it.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use coracle_runtime::network::{Listener, NetworkError, Stream};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::host::Carried;
use crate::pipe::End;
use crate::pod::{Pod, Ticket};

/// Bounds of a listener's queue, whatever its guest asked for.
const BACKLOG_MIN: usize = 8;
const BACKLOG_MAX: usize = 4096;

pub(crate) type Backlog = mpsc::Sender<Offer>;

/// A connection that waits to be accepted. It is small, since a queue sets aside room for many, and most have none.
pub(crate) enum Offer {
    Pipe(Box<Queued>),
    /// With the way back for a stream that nobody accepts.
    HandedOver(Box<Carried>, Returned),
}

/// The far end of a connection in memory; reset unless it is accepted.
#[derive(Debug)]
pub(crate) struct Queued(Option<End>);

/// Returns a stream to who handed it over. Dropped without a stream, it says "accepted".
pub(crate) type Returned = oneshot::Sender<Stream>;

impl Offer {
    pub(crate) fn pipe(end: End) -> Self {
        Self::Pipe(Box::new(Queued(Some(end))))
    }

    fn accept(self) -> Stream {
        match self {
            Self::Pipe(mut queued) => Box::new(queued.0.take().expect("taken once, by value")),
            Self::HandedOver(carried, _) => carried,
        }
    }

    fn refuse(self) {
        match self {
            Self::Pipe(queued) => drop(queued),
            // Who handed it over may have stopped waiting: then the stream is closed here.
            Self::HandedOver(carried, back) => drop(back.send(carried.into_inner())),
        }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if let Some(end) = self.0.take() {
            end.pipe().reset();
        }
    }
}

/// A listening socket of a pod.
#[derive(Debug)]
pub(crate) struct PodListener {
    local: SocketAddr,
    pod: Arc<Pod>,
    queue: Mutex<mpsc::Receiver<Offer>>,
    _ticket: Ticket,
}

impl PodListener {
    pub(crate) fn bind(pod: &Arc<Pod>, local: SocketAddr, backlog: usize) -> Result<Self, NetworkError> {
        let ticket = pod.ticket()?;
        let (sender, receiver) = mpsc::channel(backlog.clamp(BACKLOG_MIN, BACKLOG_MAX));
        let local = pod.listen(local, sender)?;
        Ok(Self { local, pod: pod.clone(), queue: Mutex::new(receiver), _ticket: ticket })
    }
}

#[async_trait]
impl Listener for PodListener {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    async fn accept(&self) -> Result<Stream, NetworkError> {
        let offer = self.queue.lock().await.recv().await;
        offer.map(Offer::accept).ok_or(NetworkError::ConnectionAborted)
    }
}

impl Drop for PodListener {
    fn drop(&mut self) {
        self.pod.unlisten(self.local);
        let queue = self.queue.get_mut();
        queue.close();
        while let Ok(offer) = queue.try_recv() {
            offer.refuse();
        }
    }
}
