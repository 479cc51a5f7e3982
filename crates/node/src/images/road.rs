//! The road to the cluster's own registry: the node's connection to the API.

use std::time::Duration;

use bytes::Bytes;
use coracle_oci::{Body, BoxError, Transport};
use futures::future::BoxFuture;
use http_body_util::{BodyExt, StreamBody};
use tokio::time::timeout;

/// How long the registry may send nothing. An image that still comes may take as long as it needs.
const PATIENCE: Duration = Duration::from_secs(20);

/// The registry under the API server's `/v2/`.
pub struct OwnRegistry(pub kube::Client);

#[derive(Debug, thiserror::Error)]
#[error("the registry sent nothing for {} seconds", PATIENCE.as_secs())]
struct Stalled;

impl Transport for OwnRegistry {
    fn send(&self, request: http::Request<Body>) -> BoxFuture<'_, Result<http::Response<Body>, BoxError>> {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            // A puller's requests have no bodies to speak of.
            let body: Bytes = body.collect().await?.to_bytes();
            let asked = coracle_client::raw_request(&self.0, http::Request::from_parts(head, body));
            let response = timeout(PATIENCE, asked).await.map_err(|_| Stalled)??;
            Ok(response.map(|body| impatient(body.map_err(BoxError::from).boxed_unsync())))
        })
    }
}

/// The body, with an end where it stalls.
fn impatient(body: Body) -> Body {
    let frames = futures::stream::unfold(Some(body), |body| async {
        let mut body = body?;
        match timeout(PATIENCE, body.frame()).await {
            Ok(frame) => Some((frame?, Some(body))),
            Err(_) => Some((Err(Stalled.into()), None)),
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use coracle_api::identity::User;
    use tower::service_fn;

    use super::*;

    fn get() -> http::Request<Body> {
        http::Request::get("/v2/hello/manifests/v1").body(impatient(Body::default())).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_registry_that_never_answers_is_given_up() {
        let service = service_fn(|_| std::future::pending::<Result<http::Response<Body>, Infallible>>());
        let registry = OwnRegistry(coracle_client::in_process(service, User::node("n1")));
        let error = registry.send(get()).await.unwrap_err();
        assert_eq!(error.to_string(), "the registry sent nothing for 20 seconds");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_may_be_slow_but_not_stall() {
        let service = service_fn(|_| async {
            let pieces = futures::stream::unfold(0, |n| async move {
                tokio::time::sleep(if n < 3 { PATIENCE * 3 / 4 } else { Duration::MAX }).await;
                Some((Ok::<_, BoxError>(hyper::body::Frame::data(Bytes::from_static(b"x"))), n + 1))
            });
            Ok::<_, Infallible>(http::Response::new(StreamBody::new(pieces)))
        });
        let registry = OwnRegistry(coracle_client::in_process(service, User::node("n1")));
        let mut body = registry.send(get()).await.unwrap().into_body();
        for _ in 0..3 {
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "x");
        }
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the registry sent nothing for 20 seconds");
        assert!(body.frame().await.is_none());
    }
}
