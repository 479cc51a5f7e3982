//! Requests to the API server, and its refusals in words. It knows paths and JSON, and no kinds.

use anyhow::Context;
use bytes::Bytes;
use futures::{AsyncBufRead, TryStreamExt};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::Value;
use url::form_urlencoded::Serializer;

/// Asks for a table, and takes the objects from who does not make one.
pub(crate) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
pub(crate) const JSON: &str = "application/json";
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";
pub(crate) const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// A cluster's API server, and the namespace to work in.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) client: kube::Client,
    pub(crate) url: String,
    pub(crate) namespace: String,
}

/// What the server says when it refuses.
#[derive(Debug, thiserror::Error)]
#[error("{message}{}", reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default())]
pub(crate) struct Refusal {
    pub(crate) code: StatusCode,
    pub(crate) reason: Option<String>,
    pub(crate) message: String,
}

impl Refusal {
    fn new(code: StatusCode, body: &[u8]) -> Self {
        let status: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |field: &str| status[field].as_str().filter(|text| !text.is_empty()).map(ToOwned::to_owned);
        let message = text("message").or_else(|| {
            let plain = String::from_utf8_lossy(body).trim().to_owned();
            (!plain.is_empty() && status.is_null()).then_some(plain)
        });
        Self { code, reason: text("reason"), message: message.unwrap_or_else(|| format!("the server answered {code}")) }
    }
}

/// True when the server refused because something does not exist.
pub(crate) fn is_not_found(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refusal>().is_some_and(|refusal| refusal.code == StatusCode::NOT_FOUND)
}

/// Everything that failed where the rest went on.
#[derive(Debug, Default)]
pub(crate) struct Failures(Vec<anyhow::Error>);

impl Failures {
    /// The value of what succeeded; what failed is kept.
    pub(crate) fn keep<T>(&mut self, result: anyhow::Result<T>) -> Option<T> {
        result.map_err(|error| self.0.push(error)).ok()
    }

    /// An error that tells all of them.
    pub(crate) fn into_result(mut self) -> anyhow::Result<()> {
        match self.0.len() {
            0 => Ok(()),
            1 => Err(self.0.remove(0)),
            n => {
                let lines: Vec<String> = self.0.iter().map(|error| format!("\n  {error:#}")).collect();
                anyhow::bail!("{n} failed:{}", lines.concat())
            }
        }
    }
}

/// Parameters of a request; those without a value are left out.
pub(crate) fn query(parameters: &[(&str, Option<&str>)]) -> String {
    let mut query = Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    if query.is_empty() { query } else { format!("?{query}") }
}

impl Server {
    pub(crate) async fn get(&self, uri: &str, accept: &str) -> anyhow::Result<Value> {
        self.json(Method::GET, uri, accept, None).await.map(|(_, value)| value)
    }

    pub(crate) async fn post(&self, uri: &str, object: &Value) -> anyhow::Result<Value> {
        self.json(Method::POST, uri, JSON, Some((JSON, object))).await.map(|(_, value)| value)
    }

    pub(crate) async fn patch(
        &self,
        uri: &str,
        media_type: &str,
        patch: &Value,
    ) -> anyhow::Result<(StatusCode, Value)> {
        self.json(Method::PATCH, uri, JSON, Some((media_type, patch))).await
    }

    pub(crate) async fn delete(&self, uri: &str, options: &Value) -> anyhow::Result<Value> {
        self.json(Method::DELETE, uri, JSON, Some((JSON, options))).await.map(|(_, value)| value)
    }

    async fn json(
        &self,
        method: Method,
        uri: &str,
        accept: &str,
        body: Option<(&str, &Value)>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let response = self.send(method, uri, accept, body).await?;
        let status = response.status();
        for warning in response.headers().get_all(http::header::WARNING) {
            eprintln!("Warning: {}", warning_text(warning.to_str().unwrap_or_default()));
        }
        let bytes = response.into_body().collect().await.with_context(|| format!("read the answer to {uri}"))?;
        let value = serde_json::from_slice(&bytes.to_bytes()).with_context(|| format!("parse the answer to {uri}"))?;
        Ok((status, value))
    }

    /// The body of a successful GET, as it comes.
    pub(crate) async fn stream(&self, uri: &str, accept: &str) -> anyhow::Result<impl AsyncBufRead + Unpin + use<>> {
        let response = self.send(Method::GET, uri, accept, None).await?;
        let bytes = response.into_body().into_data_stream().map_err(std::io::Error::other);
        Ok(Box::pin(bytes).into_async_read())
    }

    async fn send(
        &self,
        method: Method,
        uri: &str,
        accept: &str,
        body: Option<(&str, &Value)>,
    ) -> anyhow::Result<Response<Body>> {
        let mut request = Request::builder().method(method).uri(uri).header(http::header::ACCEPT, accept);
        let mut bytes = Bytes::new();
        if let Some((media_type, value)) = body {
            request = request.header(http::header::CONTENT_TYPE, media_type);
            bytes = serde_json::to_vec(value)?.into();
        }
        let response = self.raw(request.body(Body::from(bytes))?).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = response.into_body().collect().await.with_context(|| format!("read the answer to {uri}"))?;
        Err(Refusal::new(status, &bytes.to_bytes()).into())
    }

    /// One request, whatever its answer.
    pub(crate) async fn raw(&self, request: Request<Body>) -> anyhow::Result<Response<Body>> {
        let unreachable = || format!("cannot reach the cluster at {}; is it running? (`coracle up`)", self.url);
        self.client.send(request).await.with_context(unreachable)
    }
}

/// The text of a `Warning` header: `299 - "text"`.
fn warning_text(header: &str) -> &str {
    match (header.find('"'), header.rfind('"')) {
        (Some(start), Some(end)) if start < end => &header[start + 1..end],
        _ => header,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_the_server_says() {
        let body = br#"{"kind":"Status","reason":"NotFound","message":"pods \"a\" not found"}"#;
        let refusal = Refusal::new(StatusCode::NOT_FOUND, body);
        assert_eq!(refusal.to_string(), "pods \"a\" not found (NotFound)");
        assert_eq!(Refusal::new(StatusCode::BAD_GATEWAY, b"upstream\n").to_string(), "upstream");
        assert_eq!(Refusal::new(StatusCode::BAD_GATEWAY, b"").to_string(), "the server answered 502 Bad Gateway");
    }

    #[test]
    fn failures_are_told_together() {
        let told = |errors: &[&'static str]| {
            let mut failures = Failures::default();
            assert_eq!(failures.keep(Ok(1)), Some(1));
            for error in errors {
                assert_eq!(failures.keep::<()>(Err(anyhow::anyhow!(*error))), None);
            }
            failures.into_result().map_err(|error| error.to_string())
        };
        assert_eq!(told(&[]), Ok(()));
        assert_eq!(told(&["a"]), Err("a".into()));
        assert_eq!(told(&["a", "b"]), Err("2 failed:\n  a\n  b".into()));
    }

    #[test]
    fn a_query_has_only_what_is_there() {
        assert_eq!(query(&[("a", None)]), "");
        assert_eq!(query(&[("a", Some("x=y,z")), ("b", None), ("c", Some("1"))]), "?a=x%3Dy%2Cz&c=1");
    }

    #[test]
    fn a_warning_loses_its_frame() {
        assert_eq!(warning_text(r#"299 - "unknown field \"a\"""#), r#"unknown field \"a\""#);
        assert_eq!(warning_text("plain"), "plain");
    }
}
