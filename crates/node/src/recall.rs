//! A road to the API that remembers: what it answered once, it answers again while the API server is away. It remembers
//! single objects that were read and tokens that were given, and never lets a write pass for done.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coracle_oci::Digest;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tower::{BoxError, service_fn};
use tracing::{debug, warn};

/// The API server is away when it takes longer than this.
const PATIENCE: Duration = Duration::from_secs(3);
/// For so long after that it is not asked for what is remembered.
const AWAY: Duration = Duration::from_secs(5);

/// A client that keeps what `client` answers in `dir`, unreadable to others.
pub fn remembering(client: &Client, dir: PathBuf) -> Client {
    let road = Arc::new(Road { client: client.clone(), dir, away_until: Mutex::new(None) });
    Client::new(service_fn(move |request| road.clone().send(request)), "default")
}

struct Road {
    client: Client,
    dir: PathBuf,
    away_until: Mutex<Option<Instant>>,
}

/// Where an answer is kept.
#[derive(Clone)]
struct Place(PathBuf);

impl Road {
    async fn send(self: Arc<Self>, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        if !is_remembered(request.method(), request.uri()) {
            return Ok(self.client.send(request).await?);
        }
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let place = Place::of(&self.dir, &parts, &body);
        if self.away_until.lock().is_some_and(|until| Instant::now() < until)
            && let Some(answer) = place.read().await
        {
            return Ok(answer);
        }
        let asked = self.client.send(Request::from_parts(parts, Body::from(body)));
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(answer)) if !answer.status().is_server_error() => place.learn(answer).await,
            Ok(Ok(answer)) => Ok(self.recall(&place).await.unwrap_or(answer)),
            Ok(Err(error)) => self.recall(&place).await.ok_or(error.into()),
            Err(late) => self.recall(&place).await.ok_or(late.into()),
        }
    }

    async fn recall(&self, place: &Place) -> Option<Response<Body>> {
        *self.away_until.lock() = Some(Instant::now() + AWAY);
        let answer = place.read().await;
        debug!(is_known = answer.is_some(), "API server away, looked at what was kept");
        answer
    }
}

/// Whether this asks for one object or a token.
fn is_remembered(method: &Method, uri: &http::Uri) -> bool {
    match *method {
        Method::GET => uri.query().is_none_or(str::is_empty),
        Method::POST => uri.path().ends_with("/token"),
        _ => false,
    }
}

impl Place {
    fn of(dir: &Path, parts: &http::request::Parts, body: &[u8]) -> Self {
        let mut asked = format!("{} {}\n", parts.method, parts.uri.path()).into_bytes();
        asked.extend_from_slice(body);
        Self(dir.join(format!("{}.json", Digest::of(&asked).hex())))
    }

    async fn read(&self) -> Option<Response<Body>> {
        let path = self.0.clone();
        let kept = spawn_blocking(move || std::fs::read(path)).await.expect("reading a file does not panic");
        kept.ok().map(|bytes| Response::new(Body::from(bytes)))
    }

    /// Keeps an answer, or forgets what the server says is gone or not ours.
    async fn learn(&self, answer: Response<Body>) -> Result<Response<Body>, BoxError> {
        let (parts, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        let (place, kept) = (self.clone(), parts.status.is_success().then(|| body.clone()));
        let is_gone = matches!(parts.status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN);
        let settle = move || match kept {
            Some(bytes) => place.keep(&bytes),
            None if is_gone => drop(std::fs::remove_file(&place.0)),
            None => {}
        };
        spawn_blocking(settle).await.expect("writing a file does not panic");
        Ok(Response::from_parts(parts, Body::from(body)))
    }

    fn keep(&self, bytes: &Bytes) {
        if std::fs::read(&self.0).is_ok_and(|known| known == *bytes) {
            return;
        }
        let made = self.0.parent().map_or(Ok(()), std::fs::create_dir_all);
        let made = made.map_err(|error| error.to_string());
        let written = made.and_then(|()| coracle_pki::write_private(&self.0, bytes).map_err(|error| error.to_string()));
        if let Err(error) = written {
            warn!(path = %self.0.display(), error, "answer not kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU16, Ordering};

    use k8s_openapi::api::core::v1::Secret;
    use kube::Api;
    use serde_json::json;

    use super::*;

    /// A server that answers with a status, or not at all for 0.
    fn server(status: &Arc<AtomicU16>) -> Client {
        let status = status.clone();
        let answer = move |_: Request<Body>| {
            let status = status.load(Ordering::Relaxed);
            async move {
                if status == 0 {
                    std::future::pending::<()>().await;
                }
                let body = match status {
                    200 => json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}),
                    code => json!({"kind": "Status", "status": "Failure", "code": code, "reason": "NotFound"}),
                };
                let answer = Response::builder().status(status).body(Body::from(body.to_string().into_bytes()));
                answer.map_err(BoxError::from)
            }
        };
        Client::new(service_fn(answer), "default")
    }

    #[tokio::test]
    async fn what_was_read_is_read_again_while_the_server_is_away_until_it_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let status = Arc::new(AtomicU16::new(200));
        let remembered = || Api::<Secret>::namespaced(remembering(&server(&status), dir.path().join("record")), "n");
        assert!(remembered().get("s").await.is_ok());
        for away in [503, 0] {
            status.store(away, Ordering::Relaxed);
            let api = remembered();
            assert_eq!(api.get("s").await.unwrap().metadata.name.unwrap(), "s");
            status.store(503, Ordering::Relaxed);
            assert!(api.get("other").await.is_err());
        }
        status.store(404, Ordering::Relaxed);
        assert!(remembered().get_opt("s").await.unwrap().is_none());
        status.store(503, Ordering::Relaxed);
        assert!(remembered().get("s").await.is_err());
    }
}
