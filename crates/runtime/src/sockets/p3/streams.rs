//! What a socket of 0.3 accepts, sends and receives, as streams of the component model.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::sync::oneshot;
use tracing::debug;
use wasmtime::component::{Destination, Resource, Source, StreamConsumer, StreamProducer, StreamResult};
use wasmtime::{AsContextMut as _, Result, StoreContextMut};

use super::bindings::wasi::sockets::types::ErrorCode;
use super::tcp::TcpSocket;
use crate::network::Stream;
use crate::sockets::conn::{Reader, Writer};
use crate::sockets::tcp::Incoming;
use crate::sockets::{Counted, View};

/// What is moved at a time when a reader does not say how much it wants.
const CHUNK: usize = 16 << 10;

/// How a direction ended, for the future that tells it.
pub(super) type End = std::result::Result<(), ErrorCode>;

/// What a poll comes to, when a guest may have cancelled what it polls for.
fn or_cancelled(finish: bool) -> Poll<Result<StreamResult>> {
    if finish { Poll::Ready(Ok(StreamResult::Cancelled)) } else { Poll::Pending }
}

/// A listener's connections, as they come in.
pub(super) struct Accepting {
    incoming: Arc<Incoming>,
    next: Option<Next>,
    accepted: Option<TcpSocket>,
}

/// None once the container is to terminate.
type Next = Pin<Box<dyn Future<Output = Option<Stream>> + Send>>;

impl Accepting {
    pub(super) fn new(incoming: Incoming) -> Self {
        Self { incoming: Arc::new(incoming), next: None, accepted: None }
    }

    /// True when there is a connection, false when there will be none.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        while self.accepted.is_none() {
            let next = self.next.get_or_insert_with(|| Box::pin(next(Arc::clone(&self.incoming))));
            let stream = ready!(next.as_mut().poll(cx));
            self.next = None;
            let Some(stream) = stream else { return Poll::Ready(false) };
            match self.incoming.socket(stream) {
                Ok(connected) => self.accepted = Some(TcpSocket::connected(connected)),
                // What cannot be held is closed, and the listener stays.
                Err(error) => debug!(?error, "refused a connection"),
            }
        }
        Poll::Ready(true)
    }
}

/// The next connection. Once the container is to terminate, those that are queued, and then no more.
async fn next(incoming: Arc<Incoming>) -> Option<Stream> {
    loop {
        let listener = incoming.listener.lock().clone()?;
        tokio::select! {
            biased;
            accepted = listener.accept() => match accepted {
                Ok(stream) => return Some(stream),
                Err(error) => debug!(%error, "a connection was lost before it was accepted"),
            },
            () = incoming.sandbox().terminate.cancelled() => {
                *incoming.listener.lock() = None;
                return None;
            }
        }
    }
}

/// [`Accepting`], with the way to the table that its sockets go to.
pub(super) struct Accepted<T> {
    accepting: Accepting,
    view: fn(&mut T) -> View<'_>,
}

impl<T> Accepted<T> {
    pub(super) fn new(accepting: Accepting, view: fn(&mut T) -> View<'_>) -> Self {
        Self { accepting, view }
    }
}

impl<T: 'static> StreamProducer<T> for Accepted<T> {
    type Item = Resource<TcpSocket>;
    type Buffer = Option<Self::Item>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, T>,
        mut to: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        match self.accepting.poll_accept(cx) {
            Poll::Pending => return or_cancelled(finish),
            Poll::Ready(false) => return Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Ready(true) => {}
        }
        // Who wants nothing only asks whether there is something.
        if to.remaining(&mut store) != Some(0)
            && let Some(socket) = self.accepting.accepted.take()
        {
            to.set_buffer(Some((self.view)(store.data_mut()).table.push(socket)?));
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// What comes in on a connection. Dropping it discards what still comes.
pub(super) struct Received {
    reader: Reader,
    ended: Option<oneshot::Sender<End>>,
    _counted: Arc<Counted>,
}

impl Received {
    pub(super) fn new(reader: Reader, counted: Arc<Counted>) -> Self {
        Self { reader, ended: None, _counted: counted }
    }

    /// Tells how it ended, once.
    pub(super) fn ended(&mut self) -> oneshot::Receiver<End> {
        let (ended, end) = oneshot::channel();
        self.ended = Some(ended);
        end
    }

    fn end(&mut self, end: End) {
        if let Some(ended) = self.ended.take() {
            // Nobody may want to know.
            let _ = ended.send(end);
        }
    }
}

impl<T> StreamProducer<T> for Received {
    type Item = u8;
    type Buffer = BytesMut;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, T>,
        to: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        if to.remaining(store.as_context_mut()) == Some(0) {
            return match self.reader.poll_readable(cx) {
                Poll::Ready(()) => Poll::Ready(Ok(StreamResult::Completed)),
                Poll::Pending => or_cancelled(finish),
            };
        }
        let mut to = to.as_direct(store, CHUNK);
        match self.reader.poll_read(cx, to.remaining()) {
            Poll::Pending => return or_cancelled(finish),
            Poll::Ready(Ok(0)) => self.end(Ok(())),
            Poll::Ready(Err(code)) => self.end(Err(code.into())),
            Poll::Ready(Ok(n)) => {
                to.mark_written(n);
                return Poll::Ready(Ok(StreamResult::Completed));
            }
        }
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        self.reader.shut();
        self.end(Ok(()));
    }
}

/// What goes out on a connection. Dropping it closes that direction.
pub(super) struct Sent {
    writer: Writer,
    ended: Option<oneshot::Sender<()>>,
    _counted: Arc<Counted>,
}

impl Sent {
    pub(super) fn new(writer: Writer, counted: Arc<Counted>) -> Self {
        Self { writer, ended: None, _counted: counted }
    }

    /// Tells that it has ended, by closing.
    pub(super) fn ended(&mut self) -> oneshot::Receiver<()> {
        let (ended, end) = oneshot::channel();
        self.ended = Some(ended);
        end
    }
}

impl<T> StreamConsumer<T> for Sent {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, T>,
        from: Source<'_, Self::Item>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let mut from = from.as_direct(store);
        if from.remaining().is_empty() {
            return match self.writer.poll_writable(cx) {
                Poll::Ready(()) => Poll::Ready(Ok(StreamResult::Completed)),
                Poll::Pending => or_cancelled(finish),
            };
        }
        match self.writer.poll_write(cx, from.remaining()) {
            Poll::Pending => or_cancelled(finish),
            Poll::Ready(0) => Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Ready(n) => {
                from.mark_read(n);
                Poll::Ready(Ok(StreamResult::Completed))
            }
        }
    }
}
