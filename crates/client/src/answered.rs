//! What is read of the answer to a write whose object its writer knows: as little as can be.

use kube::Client;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::key::parse_revision;

#[derive(Deserialize)]
struct Answer {
    metadata: Meta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    resource_version: String,
}

/// Sends a write, and returns the revision of what it made.
pub async fn answered_revision(client: &Client, request: http::Request<Vec<u8>>) -> kube::Result<u64> {
    let answer: Answer = client.request(request).await?;
    Ok(parse_revision(&answer.metadata.resource_version))
}

/// Sends a write of which only its success matters.
pub async fn answered(client: &Client, request: http::Request<Vec<u8>>) -> kube::Result<()> {
    client.request::<IgnoredAny>(request).await.map(drop)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::Full;
    use kube::client::Body;
    use tower::service_fn;

    use super::*;

    fn client(code: u16, answer: &'static str) -> Client {
        let respond = move |_: Request<Body>| async move {
            let response = Response::builder().status(code).body(Full::new(Bytes::from(answer))).unwrap();
            Ok::<_, Infallible>(response)
        };
        Client::new(service_fn(respond), "default")
    }

    #[tokio::test]
    async fn a_write_is_answered_with_its_revision_or_with_why_not() {
        let request = || Request::patch("/api/v1/pods/p").body(Vec::new()).unwrap();
        let good = client(200, r#"{"kind":"Pod","metadata":{"name":"p","resourceVersion":"12"},"spec":{}}"#);
        assert_eq!(answered_revision(&good, request()).await.unwrap(), 12);
        assert!(answered(&good, request()).await.is_ok());
        let gone = client(404, r#"{"kind":"Status","status":"Failure","reason":"NotFound","code":404}"#);
        assert!(crate::is_not_found(&answered_revision(&gone, request()).await.unwrap_err()));
        assert!(crate::is_not_found(&answered(&gone, request()).await.unwrap_err()));
    }
}
