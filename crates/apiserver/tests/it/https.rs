//! The server on a socket: TLS, certificates, HTTP/2, and a quiet end.

use bytes::Bytes;
use coracle_apiserver::ApiServer;
use coracle_pki::Identity;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::cluster::Cluster;

type Sender = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

#[expect(clippy::disallowed_methods, reason = "a test's server ends with the test")]
async fn serve(cluster: &Cluster) -> (std::net::SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (server, token): (ApiServer, _) = (cluster.server.clone(), cluster.token.clone());
    (address, tokio::spawn(async move { server.serve(listener, token).await.unwrap() }))
}

#[expect(clippy::disallowed_methods, reason = "a test's connection ends with the test")]
async fn connect(cluster: &Cluster, address: std::net::SocketAddr, identity: Option<&Identity>) -> Sender {
    let config = cluster.pki.client_config(identity).unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = TlsConnector::from(config).connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn get(sender: &mut Sender, path: &str) -> (u16, Value) {
    ask(sender, Method::GET, path, 0).await
}

/// Sends so many bytes of no meaning.
async fn ask(sender: &mut Sender, method: Method, path: &str, n_bytes: usize) -> (u16, Value) {
    let body = Full::from(vec![b'x'; n_bytes]);
    let request = Request::builder().method(method).uri(format!("https://127.0.0.1{path}")).body(body).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&bytes).unwrap_or(json!(String::from_utf8_lossy(&bytes))))
}

#[tokio::test]
async fn a_certificate_says_who_its_connection_is() {
    let cluster = Cluster::start().await;
    let (address, _server) = serve(&cluster).await;
    let admin = cluster.pki.issue_client("admin", Some("system:masters")).unwrap();
    let mut known = connect(&cluster, address, Some(&admin)).await;
    assert_eq!(get(&mut known, "/api/v1/namespaces/default").await.0, 200);
    let scheduler = cluster.pki.issue_client("system:kube-scheduler", None).unwrap();
    let mut scheduler = connect(&cluster, address, Some(&scheduler)).await;
    assert_eq!(get(&mut scheduler, "/api/v1/nodes").await.0, 200);
    assert_eq!(get(&mut scheduler, "/metrics").await.0, 403);
    let mut stranger = connect(&cluster, address, None).await;
    assert_eq!(get(&mut stranger, "/api/v1/nodes").await.0, 401);
    assert_eq!(get(&mut stranger, "/readyz").await, (200, json!("ok")));
}

#[tokio::test]
async fn a_server_that_is_told_to_end_ends_its_watches_and_returns() {
    let cluster = Cluster::start().await;
    let (address, server) = serve(&cluster).await;
    let admin = cluster.pki.issue_client("admin", Some("system:masters")).unwrap();
    let mut sender = connect(&cluster, address, Some(&admin)).await;
    let request = Request::get("https://127.0.0.1/api/v1/pods?watch=true").body(Full::default()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    cluster.token.cancel();
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
    drop(sender);
    server.await.unwrap();
}

#[tokio::test]
async fn who_is_refused_while_sending_hears_the_answer() {
    let cluster = Cluster::start().await;
    let (address, _server) = serve(&cluster).await;
    let admin = cluster.pki.issue_client("admin", Some("system:masters")).unwrap();
    let mut sender = connect(&cluster, address, Some(&admin)).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    assert_eq!(ask(&mut sender, Method::POST, maps, 5 << 20).await.0, 413);
    assert_eq!(ask(&mut sender, Method::PUT, maps, 1 << 20).await.0, 405);
    assert_eq!(ask(&mut sender, Method::HEAD, maps, 0).await, (405, json!("")), "an answer to HEAD has no body");
}
