//! The body of an answer: known at once, or carried from a guest that is still writing to a client that takes it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::debug;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::http::refusal::Failure;
use crate::http::wire::STALL_MAX;
use crate::http::work::Work;
use crate::limits::Held;

/// Pieces of a body that wait for the client. The guest waits for room.
const PIECES_MAX: usize = 2;

type Piece = Result<Frame<Bytes>, Error>;

/// An answer's body.
pub(crate) enum Body {
    /// Known from its first byte to its last.
    Whole(Bytes),
    Streamed(mpsc::Receiver<Piece>),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Streamed(pieces) => pieces.poll_recv(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Streamed(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Streamed(_) => SizeHint::default(),
        }
    }
}

/// A body of which the guest may still be writing. Reading it is what drives the guest.
pub(crate) struct Source {
    /// What has been read ahead.
    pub(crate) ready: VecDeque<Piece>,
    pub(crate) rest: WasiBody,
    pub(crate) work: Work,
}

impl Source {
    /// Reads ahead as long as the guest provides. True when the body is complete.
    pub(crate) fn read_ahead(&mut self, cx: &mut Context<'_>, bytes_max: usize) -> bool {
        let mut n_bytes = 0;
        loop {
            match self.poll_rest(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    n_bytes += frame.data_ref().map_or(0, Bytes::len);
                    let is_data = frame.is_data();
                    self.ready.push_back(Ok(frame));
                    if n_bytes > bytes_max || !is_data {
                        return false;
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    self.ready.push_back(Err(error));
                    return false;
                }
                Poll::Ready(None) => return true,
                Poll::Pending => return false,
            }
        }
    }

    /// The rest of the body, which a task of the container carries to the client.
    pub(crate) fn pumped(self) -> Body {
        let (sender, receiver) = mpsc::channel(PIECES_MAX);
        let sandbox = Arc::clone(self.work.sandbox());
        let pause_max = sandbox.spec.request_time_max;
        sandbox.tasks.spawn(self.pump(sender, pause_max));
        Body::Streamed(receiver)
    }

    /// Neither the guest nor the client may pause for too long. When the client has gone, the guest goes on alone.
    async fn pump(mut self, client: mpsc::Sender<Piece>, pause_max: Option<Duration>) {
        loop {
            let piece = tokio::select! {
                biased;
                () = client.closed() => return,
                piece = within(pause_max, poll_fn(|cx| self.poll_piece(cx))) => piece,
            };
            let piece = piece.unwrap_or_else(|| {
                self.work.give_up();
                Some(Err(Error::ConnectionReadTimeout))
            });
            let Some(piece) = piece.map(|piece| self.counted(piece)) else { return };
            let is_last = piece.is_err();
            match timeout(STALL_MAX, client.send(piece)).await {
                Ok(Ok(())) if !is_last => {}
                Ok(_) => return,
                Err(_) => {
                    debug!(container = %self.work.sandbox().spec.name, "let go of a client that takes no more");
                    self.work.abandon();
                    return;
                }
            }
        }
    }

    /// Counts what is on its way to the client against the container's memory.
    fn counted(&mut self, piece: Piece) -> Piece {
        let data = match piece?.into_data() {
            Ok(data) => data,
            Err(trailers) => return Ok(trailers),
        };
        Held::bytes(&self.work.sandbox().memory, data).map(Frame::data).map_err(|exceeded| {
            self.work.refuse(exceeded);
            Error::InternalError(Some(Failure::Crowded.text().into()))
        })
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        match self.ready.pop_front() {
            Some(piece) => Poll::Ready(Some(piece)),
            None => self.poll_rest(cx),
        }
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        let _ = self.work.poll(cx);
        let frame = Pin::new(&mut self.rest).poll_frame(cx);
        match self.work.failed() {
            // A body that a failed guest left looks complete, and is not.
            Some((failure, _)) if !matches!(frame, Poll::Ready(Some(_))) => {
                Poll::Ready(Some(Err(Error::InternalError(Some(failure.text().into())))))
            }
            Some(_) | None => frame,
        }
    }
}

/// What `future` returns, if it does so in time.
async fn within<T>(time_max: Option<Duration>, future: impl Future<Output = T>) -> Option<T> {
    match time_max {
        Some(time_max) => timeout(time_max, future).await.ok(),
        None => Some(future.await),
    }
}
