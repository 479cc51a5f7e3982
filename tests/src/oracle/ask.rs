//! The one client of the oracle: a request as a step gives it, and the answer as it came.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};

use super::step::Request;

/// What the corpus was recorded with: a manager without a name of its own is called by it.
const USER_AGENT: &str = "python-requests/2.34.2";
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long a watch is waited on for the events that it should bring …
const EVENTS_WITHIN: Duration = Duration::from_secs(10);
/// … and for one too many.
const ONE_MORE_WITHIN: Duration = Duration::from_millis(200);
const LINE_MAX: usize = 64 << 20;

/// A server, as its administrator meets it, and as somebody meets it who brings nothing but an `Authorization` header.
#[derive(Clone)]
pub(super) struct Server {
    known: kube::Client,
    stranger: kube::Client,
}

/// An answer: its body is JSON where it can be read as such, else a string.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) warnings: Vec<String>,
    pub(super) body: Value,
}

/// A watch that was started; what it brings waits in the connection.
pub(super) struct Watch {
    pub(super) status: u16,
    body: Body,
    buffer: Vec<u8>,
    ended: bool,
}

impl Server {
    pub(super) async fn of(kubeconfig: &Path) -> Result<Self> {
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        config.default_retry = false; // a refusal is an answer
        let known = kube::Client::try_from(config.clone())?;
        config.auth_info = AuthInfo::default();
        Ok(Self { known, stranger: kube::Client::try_from(config)? })
    }

    pub(super) async fn ask(&self, request: &Request) -> Result<Answer> {
        let answer = timeout(ANSWER_WITHIN, self.answer(request)).await;
        answer.with_context(|| format!("no answer to {} {} within {ANSWER_WITHIN:?}", request.method, request.path))?
    }

    /// A JSON request of our own.
    pub(super) async fn json(&self, method: &str, path: &str, accept: &str, body: Option<Value>) -> Result<Answer> {
        let headers = vec![("Accept".into(), accept.into()), ("Content-Type".into(), "application/json".into())];
        let body = body.map(|body| body.to_string());
        self.ask(&Request { method: method.into(), path: path.into(), query: Vec::new(), headers, body }).await
    }

    pub(super) async fn watch(&self, request: &Request) -> Result<Watch> {
        let response = timeout(ANSWER_WITHIN, self.client(request).send(http_request(request)?))
            .await
            .context("start a watch")??;
        let status = response.status().as_u16();
        Ok(Watch { status, body: response.into_body(), buffer: Vec::new(), ended: false })
    }

    fn client(&self, request: &Request) -> &kube::Client {
        let authorizes = request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        if authorizes { &self.stranger } else { &self.known }
    }

    async fn answer(&self, request: &Request) -> Result<Answer> {
        let response = self.client(request).send(http_request(request)?).await?;
        let (head, body) = response.into_parts();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let content_type = head.headers.get("content-type").map(text).unwrap_or_default();
        let bytes = body.collect().await?.to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Ok(Answer {
            status: head.status.as_u16(),
            content_type: content_type.split(';').next().unwrap_or_default().to_owned(),
            warnings: head.headers.get_all("warning").iter().map(text).collect(),
            body,
        })
    }
}

impl Watch {
    /// The first `n_events`, and one more where there is one.
    pub(super) async fn first(mut self, n_events: usize) -> Vec<Value> {
        let mut events = Vec::new();
        let mut end = Instant::now() + EVENTS_WITHIN;
        let mut enough = false;
        while let Ok(Some(event)) = timeout_at(end, self.next()).await {
            if counts(&event) && events.len() <= n_events {
                events.push(event);
            }
            if events.len() >= n_events && !enough {
                enough = true;
                end = Instant::now() + ONE_MORE_WITHIN;
            }
        }
        events
    }

    /// The next event; `None` once the watch has ended or speaks nonsense.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(line) = self.line() {
                if line.is_empty() {
                    continue;
                }
                return serde_json::from_slice(&line).ok();
            }
            if self.ended || self.buffer.len() > LINE_MAX {
                return None;
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.buffer.extend(frame.data_ref().into_iter().flatten()),
                Some(Err(_)) | None => self.ended = true,
            }
        }
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let end = self.buffer.iter().position(|byte| *byte == b'\n')?;
        let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
        line.pop();
        Some(line)
    }
}

/// A server sends bookmarks when it likes; the one that ends the initial events is meant.
fn counts(event: &Value) -> bool {
    event["type"] != "BOOKMARK" || event.to_string().contains("k8s.io/initial-events-end")
}

fn http_request(request: &Request) -> Result<http::Request<Body>> {
    let mut uri = request.path.replace(' ', "%20");
    if !request.query.is_empty() {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&request.query).finish();
        uri = format!("{uri}{}{query}", if uri.contains('?') { '&' } else { '?' });
    }
    let mut built = http::Request::builder().method(request.method.as_str()).uri(uri);
    if !request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
        built = built.header("user-agent", USER_AGENT);
    }
    let given = |(name, value): &&(String, String)| !(value.is_empty() && name.eq_ignore_ascii_case("authorization"));
    for (name, value) in request.headers.iter().filter(given) {
        built = built.header(name, value);
    }
    let body = request.body.as_ref().map_or_else(Body::empty, |body| Body::from(body.clone().into_bytes()));
    built.body(body).with_context(|| format!("{} {}", request.method, request.path))
}
