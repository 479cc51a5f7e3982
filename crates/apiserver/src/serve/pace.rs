//! Whether a peer takes what it asked for. A large answer goes out in pieces, and a connection whose peer takes none of
//! them for long is ended: otherwise it would hold the answer for ever.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http_body::{Body as _, Frame, SizeHint};
use tokio::sync::Notify;

/// The size of a piece, and of answers that go out as they are.
const PIECE_BYTES: usize = 64 << 10;

/// What one connection owes its peer.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Large answers that are not out yet.
    n_owed: AtomicUsize,
    /// Pieces that went out.
    n_taken: AtomicU64,
    began: Notify,
}

impl Pace {
    /// The response, in pieces that are watched when it is large. What comes over time has a bound of its own.
    pub(super) fn watch(&self, response: Response) -> Response {
        let announced = || response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
        let is_large = response.body().size_hint().exact().or_else(announced).is_some_and(|n| n > PIECE_BYTES as u64);
        if !is_large {
            return response;
        }
        self.0.n_owed.fetch_add(1, Ordering::Relaxed);
        self.0.began.notify_one();
        response.map(|body| Body::new(Pieces { body, piece: Bytes::new(), pace: self.clone() }))
    }

    /// Returns when for `time_max` nothing has gone out of what is owed; it may take twice as long.
    pub(super) async fn stalled(&self, time_max: Duration) {
        loop {
            if self.0.n_owed.load(Ordering::Relaxed) == 0 {
                self.0.began.notified().await;
                continue;
            }
            let n_taken = self.0.n_taken.load(Ordering::Relaxed);
            tokio::time::sleep(time_max).await;
            let is_owing = self.0.n_owed.load(Ordering::Relaxed) > 0;
            if is_owing && self.0.n_taken.load(Ordering::Relaxed) == n_taken {
                return;
            }
        }
    }
}

struct Pieces {
    body: Body,
    /// What is left of the frame that is being sent.
    piece: Bytes,
    pace: Pace,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.piece.is_empty() {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => self.piece = bytes,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end_or_wait => return end_or_wait,
            }
        }
        self.pace.0.n_taken.fetch_add(1, Ordering::Relaxed);
        let n_bytes = self.piece.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.piece.split_to(n_bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.body.size_hint().exact();
        rest.map_or_else(SizeHint::default, |rest| SizeHint::with_exact(rest + self.piece.len() as u64))
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.pace.0.n_owed.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use http_body_util::BodyExt;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn large() -> Response {
        Response::new(Body::from(vec![b'x'; PIECE_BYTES * 3 + 1]))
    }

    #[tokio::test]
    async fn a_large_answer_goes_out_in_pieces_and_stays_whole() {
        let mut body = Pace::default().watch(large()).into_body();
        assert_eq!(body.size_hint().exact(), Some(PIECE_BYTES as u64 * 3 + 1));
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!((first.len(), body.size_hint().exact()), (PIECE_BYTES, Some(PIECE_BYTES as u64 * 2 + 1)));
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), PIECE_BYTES * 2 + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_for_long_has_stalled() {
        let pace = Pace::default();
        let _body = pace.watch(large());
        pace.stalled(LONG).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_announced_as_large_is_watched_too() {
        let pieces = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; PIECE_BYTES * 2]))]);
        let mut response = Response::new(Body::from_stream(pieces));
        response.headers_mut().insert(CONTENT_LENGTH, (PIECE_BYTES * 2).into());
        let pace = Pace::default();
        let mut body = pace.watch(response).into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), PIECE_BYTES);
        pace.stalled(LONG).await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_its_time_or_is_owed_nothing_has_not() {
        let pace = Pace::default();
        let mut body = pace.watch(large()).into_body();
        let taking = async {
            while body.frame().await.is_some() {
                tokio::time::sleep(LONG * 2 / 3).await;
            }
            drop(body);
            tokio::time::sleep(LONG * 10).await;
        };
        tokio::select! {
            () = pace.stalled(LONG) => panic!("it is not stalled"),
            () = taking => {}
        }
        assert!(pace.stalled(LONG).now_or_never().is_none());
    }
}
