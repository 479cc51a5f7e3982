//! The road to the cluster's own registry: the node's connection to the API.

use bytes::Bytes;
use coracle_oci::{Body, BoxError, Transport};
use futures::future::BoxFuture;
use http_body_util::BodyExt;

/// The registry under the API server's `/v2/`.
pub struct OwnRegistry(pub kube::Client);

impl Transport for OwnRegistry {
    fn send(&self, request: http::Request<Body>) -> BoxFuture<'_, Result<http::Response<Body>, BoxError>> {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            // A puller's requests have no bodies to speak of.
            let body: Bytes = body.collect().await?.to_bytes();
            let response = coracle_client::raw_request(&self.0, http::Request::from_parts(head, body)).await?;
            Ok(response.map(|body| body.map_err(BoxError::from).boxed_unsync()))
        })
    }
}
