//! Guests that answer requests, and guests that make them.

mod memory;
mod protocols;
mod reuse;
mod times;
mod tls;
mod turned_away;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use coracle_runtime::http::Requests;
use coracle_runtime::network::Network;
use coracle_runtime::{ContainerSpec, Exit, Runtime};
use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use super::host::{Fabric, Host, Running, is_core_dump, load, runtime, start};

async fn serve(runtime: &Runtime, name: &str, host: &Arc<Host>, change: impl FnOnce(&mut ContainerSpec)) -> Running {
    let module = load(runtime, name).await;
    let server = start(runtime, &module, host, change);
    server.listening().await;
    server
}

/// One connection to the server, and the task that drives it.
struct Client<B> {
    sender: SendRequest<B>,
    _io: JoinSet<()>,
}

impl<B> Client<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    async fn new(host: &Arc<Host>) -> Self {
        let stream = host.connect(None, "10.0.0.1:80".parse().unwrap()).await.unwrap();
        let (sender, io) = handshake(TokioIo::new(stream)).await.unwrap();
        let mut driving = JoinSet::new();
        driving.spawn(async move {
            let _ = io.await;
        });
        Self { sender, _io: driving }
    }

    async fn send(&mut self, path: &str, body: B) -> Response<hyper::body::Incoming> {
        let request = Request::post(path).header("host", "server").body(body).unwrap();
        self.sender.send_request(request).await.unwrap()
    }
}

async fn text(response: Response<hyper::body::Incoming>) -> (StatusCode, String) {
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn count(client: &mut Client<Full<Bytes>>) -> String {
    let (status, text) = text(client.send("/count", Full::default()).await).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    text
}

/// Waits for what the server says of itself.
async fn until(server: &Running, is: impl Fn(&Requests) -> bool) {
    while !is(&server.container.requests().unwrap()) {
        tokio::task::yield_now().await;
    }
}

async fn get(host: &Arc<Host>, path: &str) -> (StatusCode, String) {
    text(Client::new(host).await.send(path, Full::<Bytes>::default()).await).await
}

#[tokio::test]
async fn a_component_answers_with_its_environment_and_the_path() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let host = fabric.host(1, "hello");
    let server = serve(&runtime, "hello-http", &host, |spec| {
        spec.env = vec![("POD_NAME".into(), "hello-1".into())];
    });
    let server = server.await;
    let client = fabric.host(2, "client");
    assert_eq!(get(&client, "/a?b=c").await, (StatusCode::OK, "hello from hello-1 /a?b=c\n".into()));
    let response = Client::new(&client).await.send("/", Full::<Bytes>::default()).await;
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(response.headers()["content-length"], "21");
    assert_eq!(server.container.usage().n_requests, 2);
}

#[tokio::test]
async fn a_component_on_wasi_0_3_answers_too() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let server = serve(&runtime, "hello-http-p3", &fabric.host(1, "hello"), |spec| {
        spec.env = vec![("POD_NAME".into(), "hello-3".into())];
    })
    .await;
    let mut client = Client::new(&fabric.host(2, "client")).await;
    for _ in 0..3 {
        let answer = text(client.send("/x", Full::<Bytes>::default()).await).await;
        assert_eq!(answer, (StatusCode::OK, "hello from hello-3 /x\n".into()));
    }
    server.container.terminate();
    assert_eq!(server.exit().await, Exit::Code(0));
    assert_eq!(server.output.text(), "");
}

#[tokio::test]
async fn every_request_meets_a_fresh_instance() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let _server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), |_| {}).await;
    let mut client = Client::new(&fabric.host(2, "client")).await;
    for _ in 0..3 {
        assert_eq!(text(client.send("/count", Full::<Bytes>::default()).await).await, (StatusCode::OK, "1\n".into()));
    }
}

#[tokio::test]
async fn bodies_of_any_length_pass_both_ways() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let _server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), |_| {}).await;
    let mut client = Client::new(&fabric.host(2, "client")).await;
    for len in [0, 1, 5_000, 300_000] {
        let (status, body) = text(client.send("/echo", Full::from("x".repeat(len))).await).await;
        assert_eq!((status, body.len()), (StatusCode::OK, len));
    }
}

#[tokio::test]
async fn a_trap_costs_one_request_and_is_told() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let host = fabric.host(1, "server");
    let server = serve(&runtime, "crasher-http", &host, |spec| {
        spec.memory_max = Some(16 << 20);
    });
    let server = server.await;
    let client = fabric.host(2, "client");
    assert_eq!(get(&client, "/panic").await.0, StatusCode::BAD_GATEWAY);
    server.output.shows(" failed: wasm `unreachable` instruction executed").await;
    assert_eq!(get(&client, "/nothing").await.0, StatusCode::BAD_GATEWAY);
    assert_eq!(get(&client, "/exit").await.0, StatusCode::BAD_GATEWAY);
    server.output.shows(" failed: the handler exited with code 1").await;
    assert_eq!(get(&client, "/memory").await.0, StatusCode::BAD_GATEWAY);
    server.output.shows(" failed: memory limit of 16777216 bytes exceeded").await;
    assert_eq!(get(&client, "/count").await.0, StatusCode::OK);
    assert_eq!(server.container.usage().n_instances, 0);
}

#[tokio::test]
async fn work_goes_on_after_the_answer() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), |_| {}).await;
    assert_eq!(get(&fabric.host(2, "client"), "/late").await, (StatusCode::OK, "early\n".into()));
    server.output.shows("late work is done").await;
}

#[tokio::test]
async fn guests_fetch_through_their_own_network() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let hello = fabric.host(3, "hello.default.svc");
    let _server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), |_| {}).await;
    let _hello = serve(&runtime, "hello-http", &hello, |spec| spec.http_port = 8080).await;
    let client = fabric.host(2, "client");
    let (status, body) = get(&client, "/fetch/hello.default.svc:8080/x").await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "hello from nowhere /x\n"));
    for (target, words) in [
        ("10.0.0.9", "ErrorCode::ConnectionRefused"),
        ("no.such.name", "NXDOMAIN"),
        // What listens there does not speak TLS.
        ("https:hello.default.svc:8080", "ErrorCode::ConnectionTerminated"),
    ] {
        let (_, body) = get(&client, &format!("/fetch/{target}/")).await;
        assert!(body.contains(words), "{target}: {body}");
    }
}

#[tokio::test]
async fn a_request_in_work_is_answered_although_the_container_is_to_end() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), |_| {}).await;
    let client = fabric.host(2, "client");
    let mut open = Client::new(&client).await;
    let (mut sender, receiver) = mpsc::channel(1);
    let body = StreamBody::new(receiver.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes))));
    sender.send(Bytes::from_static(b"half ")).await.unwrap();
    let answered = async { text(open.send("/echo", body).await).await };
    let finish = async {
        while server.container.usage().n_instances == 0 {
            tokio::task::yield_now().await;
        }
        server.container.terminate();
        while client.connect(None, "10.0.0.1:80".parse().unwrap()).await.is_ok() {
            tokio::task::yield_now().await;
        }
        sender.send(Bytes::from_static(b"and half")).await.unwrap();
        drop(sender);
    };
    let (answer, ()) = tokio::join!(answered, finish);
    assert_eq!(answer, (StatusCode::OK, "half and half".into()));
    assert_eq!(server.exit().await, Exit::Code(0));
}

#[tokio::test]
async fn a_server_can_be_killed_at_work() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), |_| {}).await;
    let mut client = Client::new(&fabric.host(2, "client")).await;
    let request = Request::get("/spin").header("host", "server").body(Full::<Bytes>::default()).unwrap();
    let spinning = client.sender.send_request(request);
    let kill = async {
        while server.container.usage().n_instances == 0 {
            tokio::task::yield_now().await;
        }
        server.container.kill();
    };
    let (broken, ()) = tokio::join!(spinning, kill);
    assert!(broken.is_err());
    assert_eq!(server.exit().await, Exit::Killed);
}

#[tokio::test]
async fn a_port_that_is_taken_ends_the_container_with_words() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let host = fabric.host(1, "server");
    let _first = serve(&runtime, "hello-http", &host, |_| {}).await;
    let module = load(&runtime, "hello-http").await;
    let Exit::Trap { message, .. } = start(&runtime, &module, &host, |_| {}).exit().await else { panic!("it listens") };
    assert_eq!(message, "listen on port 80: address in use");
}
