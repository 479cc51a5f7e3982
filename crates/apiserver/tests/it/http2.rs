//! HTTP/2 frame by frame: what a server says of its limits, and what becomes of a client that does not keep them.

use std::time::Duration;

use coracle_api::identity::User;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::cluster::Cluster;
use super::https::{serve, wait_until};
use super::limits::endless;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_HEADERS: u8 = 4;
const END_STREAM: u8 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

struct Frame {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    /// The code at the end of a reset or a goodbye.
    fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// A connection on which a test says any frame that it wants.
struct Connection(TlsStream<TcpStream>);

impl Connection {
    async fn open(cluster: &Cluster, address: std::net::SocketAddr) -> Self {
        let admin = cluster.pki.issue_client("admin", Some("system:masters")).unwrap();
        let config = cluster.pki.client_config(Some(&admin)).unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut connection = Self(TlsConnector::from(config).connect(name, stream).await.unwrap());
        connection.say(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
        connection
    }

    /// Says it, unless the server has gone.
    async fn say(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
        let _ = self.0.flush().await;
    }

    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        let read = tokio::time::timeout(Duration::from_secs(30), self.0.read_exact(&mut head)).await;
        read.expect("the server says something").ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(Frame { kind: head[3], stream, payload })
    }

    /// The next frame of one of these types.
    async fn next(&mut self, kinds: &[u8]) -> Option<Frame> {
        loop {
            let frame = self.read().await?;
            if kinds.contains(&frame.kind) {
                return Some(frame);
            }
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of a request of `method`, 2 for GET or 3 for POST in HPACK's table.
fn head(stream: u32, method: u8, path: &str, flags: u8) -> Vec<u8> {
    let path_length = u8::try_from(path.len()).unwrap();
    assert!(path_length < 127, "a longer one has another form");
    let block = [&[0x80 | method, 0x87, 0x04, path_length], path.as_bytes(), &[0x01, 1, b'a']].concat();
    frame(HEADERS, END_HEADERS | flags, stream, &block)
}

#[tokio::test]
async fn a_server_says_how_many_streams_and_how_much_it_takes() {
    let cluster = Cluster::start().await;
    let (address, _server) = serve(&cluster).await;
    let mut connection = Connection::open(&cluster, address).await;
    let settings = connection.next(&[SETTINGS]).await.unwrap().payload;
    let value = |wanted: u16| {
        let found = settings.chunks_exact(6).find(|setting| setting[..2] == wanted.to_be_bytes());
        found.map(|setting| u32::from_be_bytes(setting[2..].try_into().unwrap()))
    };
    let (streams, window, head) = (value(3), value(4), value(6));
    assert_eq!((streams, window, head), (Some(250), Some(512 << 10), Some(64 << 10)));
    let update = connection.next(&[WINDOW_UPDATE]).await.unwrap();
    let more = u32::from_be_bytes(update.payload.try_into().unwrap());
    assert_eq!((update.stream, more + 65_535), (0, 1 << 20), "all of a connection together");
}

#[tokio::test]
async fn a_stream_beyond_the_limit_is_refused_and_the_others_go_on() {
    let cluster = Cluster::start().await;
    let (address, _server) = serve(&cluster).await;
    let mut connection = Connection::open(&cluster, address).await;
    let watch = "/api/v1/nodes?watch=true";
    let heads: Vec<u8> = (0..251).flat_map(|n| head(n * 2 + 1, 2, watch, END_STREAM)).collect();
    connection.say(&heads).await;
    let refused = connection.next(&[RST_STREAM, GOAWAY]).await.unwrap();
    assert_eq!((refused.kind, refused.stream, refused.code()), (RST_STREAM, 501, REFUSED_STREAM));
    connection
        .say(&[frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes()), head(503, 2, "/readyz", END_STREAM)].concat())
        .await;
    loop {
        let frame = connection.next(&[DATA, RST_STREAM, GOAWAY]).await.unwrap();
        assert_eq!(frame.kind, DATA, "nobody else is refused");
        if frame.stream == 503 && !frame.payload.is_empty() {
            assert_eq!(frame.payload, b"ok");
            return;
        }
    }
}

#[tokio::test]
async fn who_opens_streams_only_to_give_them_up_is_sent_away() {
    let cluster = Cluster::start().await;
    let (address, _server) = serve(&cluster).await;
    let mut connection = Connection::open(&cluster, address).await;
    let flood = (0..2000).flat_map(|n| {
        let stream = n * 2 + 1;
        [head(stream, 2, "/readyz", END_STREAM), frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())].concat()
    });
    connection.say(&flood.collect::<Vec<u8>>()).await;
    let goodbye = connection.next(&[GOAWAY]).await.expect("it says why");
    assert_eq!(goodbye.code(), ENHANCE_YOUR_CALM);
}

#[tokio::test]
async fn who_sends_more_than_its_window_is_cut_off() {
    let cluster = Cluster::with(|config| config.limits.writes_max = 1).await;
    let mut held = Box::pin(cluster.send(Some(User::admin()), endless()));
    assert!(futures::poll!(held.as_mut()).is_pending());
    let (address, _server) = serve(&cluster).await;
    let mut connection = Connection::open(&cluster, address).await;
    // It waits for its turn, and nothing of its body is read meanwhile.
    let mut sent = head(1, 3, "/api/v1/namespaces", 0);
    (0..40).for_each(|_| sent.extend(frame(DATA, 0, 1, &[b'x'; 16 << 10])));
    connection.say(&sent).await;
    let cut = connection.next(&[RST_STREAM, GOAWAY]).await.unwrap();
    assert_eq!(cut.code(), FLOW_CONTROL_ERROR);
}

/// A number that the server counts.
async fn metric(cluster: &Cluster, name: &str) -> usize {
    let (_, text) = cluster.get("/metrics").await;
    let lines = text.as_str().unwrap();
    let value = lines.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{name} is not in\n{lines}")).parse().unwrap()
}

#[tokio::test]
async fn watches_that_nobody_reads_hold_little_however_much_happens() {
    const N_WATCHES: u32 = 20;
    let cluster = Cluster::start().await;
    let (address, _server) = serve(&cluster).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let (_, list) = cluster.get(maps).await;
    let path = format!("{maps}?watch=true&resourceVersion={}", list["metadata"]["resourceVersion"].as_str().unwrap());
    let mut connection = Connection::open(&cluster, address).await;
    // No window is ever widened, and nothing is ever read: after 64 KiB the server has to keep what it wants to say.
    let heads: Vec<u8> = (0..N_WATCHES).flat_map(|n| head(n * 2 + 1, 2, &path, END_STREAM)).collect();
    connection.say(&heads).await;
    wait_until(async || metric(&cluster, "apiserver_longrunning_requests").await == N_WATCHES as usize).await;
    for n in 0..40 {
        let map = json!({"metadata": {"name": format!("c{n}")}, "data": {"a": "x".repeat(200 << 10)}});
        assert_eq!(cluster.post(maps, map).await.0, 201);
    }
    let held = metric(&cluster, "coracle_watch_bytes_held").await;
    assert!(held <= N_WATCHES as usize * (512 << 10), "{held} bytes, of 8 MiB that happened");
    drop(connection);
    wait_until(async || metric(&cluster, "apiserver_longrunning_requests").await == 0).await;
    assert_eq!(metric(&cluster, "coracle_watch_bytes_held").await, 0);
}

#[tokio::test]
async fn watches_from_the_beginning_that_nobody_reads_hold_a_part_of_it() {
    const N_WATCHES: u32 = 20;
    let cluster = Cluster::start().await;
    let (address, _server) = serve(&cluster).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    for n in 0..40 {
        let map = json!({"metadata": {"name": format!("c{n}")}, "data": {"a": "x".repeat(100 << 10)}});
        assert_eq!(cluster.post(maps, map).await.0, 201);
    }
    let mut connection = Connection::open(&cluster, address).await;
    let path = format!("{maps}?watch=true");
    let heads: Vec<u8> = (0..N_WATCHES).flat_map(|n| head(n * 2 + 1, 2, &path, END_STREAM)).collect();
    connection.say(&heads).await;
    wait_until(async || metric(&cluster, "apiserver_longrunning_requests").await == N_WATCHES as usize).await;
    wait_until(async || metric(&cluster, "coracle_watch_bytes_held").await > 0).await;
    let held = metric(&cluster, "coracle_watch_bytes_held").await;
    assert!(held <= N_WATCHES as usize * (512 << 10), "{held} bytes, of 4 MiB that are there");
}
