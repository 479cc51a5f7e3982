//! The body of an answer. While the guest is still at work, reading its body is what drives it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use wasmtime_wasi_http::{Error, WasiBody};

use crate::http::exchange::InWork;

/// An answer's body.
pub(crate) enum Body {
    /// Known from its first byte to its last.
    Whole(Bytes),
    Streamed(Streamed),
}

/// A body of which the guest may still be writing.
pub(crate) struct Streamed {
    /// What has been read ahead.
    pub(crate) ready: VecDeque<Result<Frame<Bytes>, Error>>,
    pub(crate) rest: WasiBody,
    pub(crate) in_work: InWork,
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Streamed(body) => body.poll_frame(cx),
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

impl Streamed {
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

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.ready.pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => self.poll_rest(cx),
        }
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let _ = self.in_work.poll(cx);
        let frame = Pin::new(&mut self.rest).poll_frame(cx);
        match self.in_work.failure() {
            // A body that a failed guest left looks complete, and is not.
            Some(failure) if !matches!(frame, Poll::Ready(Some(_))) => {
                Poll::Ready(Some(Err(Error::InternalError(Some(failure.text().into())))))
            }
            Some(_) | None => frame,
        }
    }
}
