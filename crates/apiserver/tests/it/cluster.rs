//! A server in memory, and a client that is whoever it says.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use coracle_api::identity::User;
use coracle_apiserver::{ApiServer, Config};
use coracle_pki::Pki;
use coracle_stdx::CancellationToken;
use coracle_store::Store;
use futures::StreamExt;
use http::{Method, Request, Response};
use serde_json::{Value, json};
use tower::ServiceExt;

pub(crate) struct Cluster {
    pub(crate) server: ApiServer,
    pub(crate) store: Store,
    pub(crate) pki: Pki,
    pub(crate) token: CancellationToken,
    router: Router,
    _dir: tempfile::TempDir,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::made(change, None).await
    }

    /// With something that takes images.
    pub(crate) async fn with_registry(registry: Router) -> Self {
        Self::made(|_| {}, Some(registry)).await
    }

    async fn made(change: impl FnOnce(&mut Config), registry: Option<Router>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path()).unwrap();
        let store = Store::memory();
        let token = CancellationToken::new();
        let mut config = Config::new("127.0.0.1:6443".parse().unwrap());
        change(&mut config);
        let server = ApiServer::new(config, store.clone(), pki.clone(), registry, token.clone()).await.unwrap();
        let cluster = Self { router: server.service(), server, store, pki, token, _dir: dir };
        cluster.post("/api/v1/namespaces/default/serviceaccounts", json!({"metadata": {"name": "default"}})).await;
        cluster
    }

    pub(crate) async fn send(&self, user: Option<User>, mut request: Request<Body>) -> Response<Body> {
        if let Some(user) = user {
            request.extensions_mut().insert(user);
        }
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn ask_as(&self, user: User, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = Request::builder().method(method).uri(path).header("user-agent", "tests/1").body(body).unwrap();
        read(self.send(Some(user), request).await).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.ask_as(User::admin(), Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask_as(User::admin(), Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask_as(User::admin(), Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str, body: Option<Value>) -> (u16, Value) {
        self.ask_as(User::admin(), Method::DELETE, path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, patch_type: &str, body: Value) -> (u16, Value) {
        let request = Request::patch(path)
            .header("content-type", format!("application/{patch_type}"))
            .header("user-agent", "tests/1")
            .body(Body::from(body.to_string()))
            .unwrap();
        read(self.send(Some(User::admin()), request).await).await
    }

    pub(crate) async fn get_accepting(&self, path: &str, accept: &str) -> (u16, Value) {
        let request = Request::get(path).header("accept", accept).body(Body::empty()).unwrap();
        read(self.send(Some(User::admin()), request).await).await
    }

    pub(crate) async fn watch(&self, path: &str) -> Watch {
        let response = self.send(Some(User::admin()), Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), 200, "{path}");
        Watch { stream: response.into_body().into_data_stream(), rest: Vec::new() }
    }

    /// Makes a config map and returns it.
    pub(crate) async fn config_map(&self, name: &str, labels: Value) -> Value {
        let body = json!({"metadata": {"name": name, "labels": labels}, "data": {"a": "1"}});
        let (code, object) = self.post("/api/v1/namespaces/default/configmaps", body).await;
        assert_eq!(code, 201, "{object}");
        object
    }
}

pub(crate) async fn read(response: Response<Body>) -> (u16, Value) {
    let code = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    (code, serde_json::from_slice(&bytes).unwrap_or(Value::String(text)))
}

/// The events of a watch, one by one.
pub(crate) struct Watch {
    stream: BodyDataStream,
    rest: Vec<u8>,
}

impl Watch {
    /// The next event; `None` at the end. A watch that says nothing for long fails the test.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(at) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=at).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let chunk = tokio::time::timeout(Duration::from_secs(30), self.stream.next()).await;
            self.rest.extend_from_slice(&chunk.expect("the watch says something")?.unwrap());
        }
    }

    /// The next event as its type and the name of its object.
    pub(crate) async fn said(&mut self) -> String {
        match self.next().await {
            None => "END".to_owned(),
            Some(event) => {
                let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default();
                format!("{} {name}", event["type"].as_str().unwrap()).trim_end().to_owned()
            }
        }
    }
}
