//! The road from the API server to a node of another machine: plain HTTP/1.1 in a stream between the two, upgrades
//! included. Whoever is at its other end decided before who may ask.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use coracle_net::mesh::{Mesh, NodeStream};
use coracle_stdx::{CancellationToken, Scope};
use http::{HeaderValue, StatusCode, Version, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tracing::debug;

/// Answers what arrives for this node's API, until `token` is cancelled.
pub async fn serve(mut streams: mpsc::Receiver<NodeStream>, router: Router, token: CancellationToken) {
    let mut scope = Scope::<Infallible>::child_of(&token);
    while let Some(Some(stream)) = token.run_until_cancelled(streams.recv()).await {
        let service = TowerToHyperService::new(router.clone());
        scope.spawn(|_| async move {
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.with_upgrades().await {
                debug!(%error, "a request to this node ended early");
            }
            Ok(())
        });
    }
}

/// The roads from the control plane to nodes. Cheap to clone.
#[derive(Clone)]
pub struct Roads {
    mesh: Mesh,
    connections: Arc<Mutex<Scope<Infallible>>>,
}

impl Roads {
    pub fn new(mesh: Mesh, token: &CancellationToken) -> Self {
        Self { mesh, connections: Arc::new(Mutex::new(Scope::child_of(token))) }
    }

    /// The road to `node`: it looks like that node's own router.
    pub fn to(&self, node: &str) -> Router {
        let (roads, node) = (self.clone(), node.to_owned());
        Router::new().fallback(move |request: Request| async move { roads.pass(&node, request).await })
    }

    async fn pass(&self, node: &str, request: Request) -> Response {
        let asked = async {
            let stream = self.mesh.ask(node).await.map_err(|error| format!("reach node {node}: {error}"))?;
            self.exchange(stream, request).await.map_err(|error| format!("ask node {node}: {error}"))
        };
        asked.await.unwrap_or_else(|why| (StatusCode::BAD_GATEWAY, why).into_response())
    }

    async fn exchange(&self, stream: NodeStream, mut request: Request) -> hyper::Result<Response> {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        self.connections.lock().spawn(|token| async move {
            // How it ended, the exchange itself says.
            tokio::select! {
                () = token.cancelled() => {}
                _ = connection.with_upgrades() => {}
            }
            Ok(())
        });
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().entry(header::HOST).or_insert(HeaderValue::from_static("node"));
        let upgrade = request.extensions_mut().remove::<OnUpgrade>();
        let mut response = sender.send_request(request).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS
            && let Some(near) = upgrade
        {
            let far = hyper::upgrade::on(&mut response);
            self.connections.lock().spawn(|token| async move {
                tokio::select! {
                    () = token.cancelled() => {}
                    () = join(near, far) => {}
                }
                Ok(())
            });
        }
        Ok(response.map(Body::new))
    }
}

/// Carries bytes between two connections that have left HTTP behind.
async fn join(near: OnUpgrade, far: OnUpgrade) {
    if let (Ok(near), Ok(far)) = tokio::join!(near, far) {
        // How it ended is between the two: both have seen it.
        let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(near), &mut TokioIo::new(far)).await;
    }
}
