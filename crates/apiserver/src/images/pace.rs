//! How fast an image has to come. A push may take long over a slow link, as long as it goes on: it ends when nothing has
//! come for as long as any other request may take, or when all in all it came too slowly to be meant.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;

/// What comes more slowly than this has no time left sooner or later.
const BYTES_PER_SECOND_MIN: u64 = 1 << 10;

/// A body on its way.
#[derive(Clone, Debug)]
pub(super) struct Pace(Arc<Mutex<Coming>>);

#[derive(Debug)]
struct Coming {
    began: Instant,
    /// When something came last.
    last: Instant,
    n_bytes: u64,
}

impl Coming {
    /// When it is given up on, unless more comes.
    fn deadline(&self, idle_max: Duration) -> Instant {
        let earned = Duration::from_secs(self.n_bytes / BYTES_PER_SECOND_MIN);
        (self.last + idle_max).min(self.began + idle_max + earned)
    }
}

impl Pace {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(Coming { began: now, last: now, n_bytes: 0 })))
    }

    /// `body`, looked at as it comes.
    pub(super) fn watch(&self, body: Body) -> Body {
        Body::new(Watched { body, pace: self.clone() })
    }

    /// Returns when nothing has come for `idle_max`, or too little since the beginning.
    pub(super) async fn stalled(&self, idle_max: Duration) {
        loop {
            let deadline = self.0.lock().deadline(idle_max);
            if deadline <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(deadline).await;
        }
    }
}

struct Watched {
    body: Body,
    pace: Pace,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(frame) = &polled {
            let mut coming = self.pace.0.lock();
            coming.last = Instant::now();
            let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
            coming.n_bytes += data.map_or(0, |data| data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};
    use http_body_util::BodyExt;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// So many pieces of so many bytes, one every 50 seconds; true when all of them could come.
    async fn comes(n_pieces: usize, n_bytes: usize) -> bool {
        let pieces = stream::iter(0..n_pieces).then(move |_| async move {
            tokio::time::sleep(MINUTE * 5 / 6).await;
            Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; n_bytes]))
        });
        let pace = Pace::new();
        let body = pace.watch(Body::from_stream(pieces));
        tokio::select! {
            whole = body.collect() => whole.is_ok_and(|whole| whole.to_bytes().len() == n_pieces * n_bytes),
            () = pace.stalled(MINUTE) => false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_on_may_take_long() {
        assert!(comes(60, 64 << 10).await, "most of an hour");
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_in_drops_is_given_up_on() {
        assert!(comes(1, 1).await);
        assert!(!comes(3, 1).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_stops_is_given_up_on_however_much_came_before() {
        let pieces = stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 8 << 20]))]);
        let pace = Pace::new();
        let mut body = pace.watch(Body::from_stream(pieces.chain(stream::pending())));
        body.frame().await.unwrap().unwrap();
        let began = Instant::now();
        tokio::select! {
            _ = body.frame() => panic!("nothing comes any more"),
            () = pace.stalled(MINUTE) => assert_eq!(began.elapsed().as_secs(), 60),
        }
    }
}
