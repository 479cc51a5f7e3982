//! The server on a socket: TLS, certificates, HTTP/2, and a quiet end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coracle_apiserver::ApiServer;
use coracle_pki::Identity;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::cluster::Cluster;

type Sender = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

#[expect(clippy::disallowed_methods, reason = "a test's server ends with the test")]
pub(crate) async fn serve(cluster: &Cluster) -> (std::net::SocketAddr, JoinHandle<()>) {
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
    assert_eq!(get(&mut stranger, "/api/v1/nodes").await.0, 403);
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

/// A connection of HTTP/1.1, on which a test says what it wants.
async fn connect_plain(cluster: &Cluster, address: std::net::SocketAddr) -> TlsStream<TcpStream> {
    let admin = cluster.pki.issue_client("admin", Some("system:masters")).unwrap();
    let mut config = cluster.pki.client_config(Some(&admin)).unwrap();
    Arc::make_mut(&mut config).alpn_protocols.clear();
    let stream = TcpStream::connect(address).await.unwrap();
    TlsConnector::from(config).connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await.unwrap()
}

/// Everything that a server says until it ends the connection.
async fn read_to_end(mut stream: TlsStream<TcpStream>) -> String {
    let mut said = Vec::new();
    // A server that ends a connection in the middle of an answer says no goodbye.
    let _ =
        tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut said)).await.expect("the server ends it");
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn who_sends_too_slowly_is_given_up_on() {
    let cluster = Cluster::with(|config| config.limits.head_timeout = Duration::from_millis(200)).await;
    let (address, _server) = serve(&cluster).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut slow = connect_plain(&cluster, address).await;
    slow.write_all(b"GET /api HTTP/1.1\r\nhost:").await.unwrap();
    let said = read_to_end(slow).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or_default(), 0, "a handshake has its time too");
}

#[tokio::test]
async fn who_takes_nothing_of_a_large_answer_is_given_up_on() {
    let cluster = Cluster::with(|config| config.limits.stall_timeout = Duration::from_millis(200)).await;
    let (address, _server) = serve(&cluster).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    for n in 0..20 {
        let body = json!({"metadata": {"name": format!("c{n}")}, "data": {"a": "x".repeat(900 << 10)}});
        assert_eq!(cluster.post(maps, body).await.0, 201);
    }
    let mut stream = connect_plain(&cluster, address).await;
    stream.write_all(format!("GET {maps} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
    let open = |text: &Value| text.as_str().unwrap().lines().any(|line| line == "apiserver_connections 1");
    let is_open = async || open(&cluster.get("/metrics").await.1);
    wait_until(async || is_open().await).await;
    wait_until(async || !is_open().await).await;
    assert!(read_to_end(stream).await.len() < 18 << 20, "the answer was cut");
}

pub(crate) async fn wait_until(condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it comes true");
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let cluster = Cluster::start().await;
    let (address, _server) = serve(&cluster).await;
    let ask = async |head: String| {
        let mut stream = connect_plain(&cluster, address).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        read_to_end(stream).await.lines().next().unwrap_or_default().to_owned()
    };
    let long = "x".repeat(70 << 10);
    assert_eq!(ask(format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n")).await, "HTTP/1.1 414 URI Too Long");
    let large = format!("x: {}\r\n", "x".repeat(300 << 10));
    let refused = "HTTP/1.1 431 Request Header Fields Too Large";
    assert_eq!(ask(format!("GET / HTTP/1.1\r\nhost: a\r\n{large}\r\n")).await, refused);
    let many: String = (0..200).map(|n| format!("x{n}: 1\r\n")).collect();
    assert_eq!(ask(format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n")).await, refused);
}
