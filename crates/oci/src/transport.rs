//! The road to a registry: one request, one response. Where the registry is and who asks is the transport's affair.

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};

use crate::Registry;

/// Any error, as bodies and transports give it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body that comes in pieces.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

/// A body that is there.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// All of a body; `None` when it is larger than `bytes_max`.
pub(crate) async fn collect(mut body: Body, bytes_max: u64) -> Result<Option<Bytes>, BoxError> {
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame?.into_data() else { continue };
        if (collected.len() + bytes.len()) as u64 > bytes_max {
            return Ok(None);
        }
        collected.extend_from_slice(&bytes);
    }
    Ok(Some(collected.freeze()))
}

/// Carries requests to a registry. Their URIs are paths under `/v2/`, without a host.
pub trait Transport: Send + Sync {
    fn send(&self, request: http::Request<Body>) -> BoxFuture<'_, Result<http::Response<Body>, BoxError>>;
}

/// The registry in this process.
impl Transport for Registry {
    fn send(&self, request: http::Request<Body>) -> BoxFuture<'_, Result<http::Response<Body>, BoxError>> {
        Box::pin(self.handle(request).map(Ok))
    }
}
