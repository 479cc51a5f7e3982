//! What a client still sends after it was refused. It is read and thrown away, within bounds, before the answer: a
//! client of HTTP/2 whose stream is reset while it sends may never look at the answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use parking_lot::Mutex;

const BYTES_MAX: usize = 16 << 20;
const TIME_MAX: Duration = Duration::from_secs(2);

/// A body that two can hold: who answers the request, and who afterwards looks what is left.
#[derive(Debug)]
pub(super) struct Held<B>(Arc<Mutex<B>>);

impl<B> Held<B> {
    pub(super) fn new(body: B) -> Self {
        Self(Arc::new(Mutex::new(body)))
    }

    pub(super) fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Held<B> {
    /// Throws away what is left, unless somebody still reads it.
    pub(super) async fn drain(mut self) {
        if Arc::strong_count(&self.0) > 1 || self.is_end_stream() {
            return;
        }
        let rest = async {
            let mut n_bytes = 0;
            while let Some(Ok(frame)) = self.frame().await {
                n_bytes += frame.data_ref().map_or(0, Bytes::len);
                if n_bytes > BYTES_MAX {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(TIME_MAX, rest).await;
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Held<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut *self.0.lock()).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[tokio::test]
    async fn what_somebody_still_reads_is_left_alone() {
        let body = Held::new(Full::new(Bytes::from("rest")));
        let reader = body.share();
        body.drain().await;
        assert_eq!(reader.collect().await.unwrap().to_bytes(), "rest");
    }
}
