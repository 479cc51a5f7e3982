//! HTTP/1.1 and HTTP/2: trailers, streams both ways, half-closed connections and upgrades.

use http::HeaderMap;
use hyper::client::conn::http2;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// What the server says to `sent` until it closes.
async fn raw(client: &Arc<Host>, sent: &str) -> String {
    let mut stream = client.connect(None, "10.0.0.1:80".parse().unwrap()).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).await.unwrap();
    all
}

struct Client2<B> {
    sender: http2::SendRequest<B>,
    _io: JoinSet<()>,
}

impl<B> Client2<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static,
{
    async fn new(host: &Arc<Host>) -> Self {
        let stream = host.connect(None, "10.0.0.1:80".parse().unwrap()).await.unwrap();
        let (sender, io) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let mut driving = JoinSet::new();
        driving.spawn(async move {
            let _ = io.await;
        });
        Self { sender, _io: driving }
    }

    async fn send(&self, path: &str, body: B) -> Response<hyper::body::Incoming> {
        let request = Request::post(format!("http://server{path}")).body(body).unwrap();
        self.sender.clone().send_request(request).await.unwrap()
    }
}

#[tokio::test]
async fn http_2_is_spoken_without_tls_and_many_requests_share_a_connection() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let _server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), |_| {}).await;
    let client = Client2::new(&fabric.host(2, "client")).await;
    let all = (0..20_usize).map(|n| client.send("/echo", Full::from("x".repeat(n * 1000))));
    for (n, response) in futures::future::join_all(all).await.into_iter().enumerate() {
        assert_eq!(response.version(), http::Version::HTTP_2);
        assert_eq!(text(response).await.1.len(), n * 1000);
    }
}

#[tokio::test]
async fn trailers_pass_both_ways_over_http_2() {
    let runtime = runtime();
    for (name, path, begin) in [("crasher-http", "/stream", "begun\n"), ("hello-http-p3", "/echo", "")] {
        let fabric = Fabric::new();
        let _server = serve(&runtime, name, &fabric.host(1, "server"), |_| {}).await;
        let client = Client2::new(&fabric.host(2, "client")).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "7".parse().unwrap());
        let frames = [Frame::data(Bytes::from_static(b"seven")), Frame::trailers(trailers.clone())];
        let body = StreamBody::new(futures::stream::iter(frames.map(Ok::<_, Infallible>)));
        let answer = client.send(path, body).await.into_body().collect().await.unwrap();
        assert_eq!(answer.trailers(), Some(&trailers), "{name}");
        assert_eq!(answer.to_bytes(), format!("{begin}seven"), "{name}");
    }
}

#[tokio::test]
async fn trailers_pass_both_ways_over_http_1_where_both_sides_announce_them() {
    let runtime = runtime();
    for (name, path) in [("crasher-http", "/stream"), ("hello-http-p3", "/echo")] {
        let fabric = Fabric::new();
        let _server = serve(&runtime, name, &fabric.host(1, "server"), |_| {}).await;
        let head = "HTTP/1.1\r\nhost: server\r\nconnection: close\r\nte: trailers\r\ntrailer: x-sum";
        let body = "transfer-encoding: chunked\r\n\r\n5\r\nseven\r\n0\r\nx-sum: 7\r\n\r\n";
        let answer = raw(&fabric.host(2, "client"), &format!("POST {path} {head}\r\n{body}")).await;
        assert!(answer.contains("seven\r\n") && answer.ends_with("0\r\nx-sum: 7\r\n\r\n"), "{name}: {answer}");
    }
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    let runtime = runtime();
    for (name, path, begin) in [("crasher-http", "/stream", "begun\n"), ("hello-http-p3", "/echo", "")] {
        let fabric = Fabric::new();
        let _server = serve(&runtime, name, &fabric.host(1, "server"), |_| {}).await;
        let mut client = Client::new(&fabric.host(2, "client")).await;
        let (mut sender, receiver) = mpsc::channel(1);
        let body = StreamBody::new(receiver.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes))));
        let mut answer = client.send(path, body).await.into_body();
        let mut heard = String::new();
        let mut said = begin.to_owned();
        for word in ["one ", "two ", "three"] {
            sender.send(Bytes::from_static(word.as_bytes())).await.unwrap();
            said.push_str(word);
            // The next word is not said before this one has come back.
            while heard.len() < said.len() {
                let frame = answer.frame().await.unwrap().unwrap();
                heard.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
            }
            assert_eq!(heard, said, "{name}");
        }
        drop(sender);
        assert!(answer.frame().await.is_none());
    }
}

#[tokio::test]
async fn a_client_that_has_closed_its_side_still_gets_its_answer() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let _server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), |_| {}).await;
    let answer =
        raw(&fabric.host(2, "client"), "POST / HTTP/1.1\r\nhost: server\r\ncontent-length: 4\r\n\r\nbody").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nbody"), "{answer}");
}

#[tokio::test]
async fn a_websocket_is_refused_in_words() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), |_| {}).await;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: x";
    let asked = format!("GET / HTTP/1.1\r\nhost: server\r\n{upgrade}\r\n\r\n");
    let answer = raw(&fabric.host(2, "client"), &asked).await;
    assert!(answer.starts_with("HTTP/1.1 501 ") && answer.contains("WebSocket is not implemented"), "{answer}");
    assert_eq!(server.container.usage().n_requests, 0);
}
