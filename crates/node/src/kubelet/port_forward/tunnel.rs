//! Port-forwarding as kubectl does it: SPDY in a WebSocket. Each connection is a pair of streams, one for data and one for
//! an error, that name one request.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use coracle_runtime::Pipe;
use coracle_stdx::CancellationToken;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tracing::debug;

use super::super::upgrade::{WebSocket, close};
use super::relay::{Piece, Target};
use crate::spdy::{self, Decoder, Event, Headers, REFUSED_STREAM, Replies};

/// Frames, pieces and connections on their way.
const WAITING_MAX: usize = 32;
/// Requests of which only one of the two streams has come.
const HALF_OPEN_MAX: usize = 256;

/// The two streams of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    data: u32,
    error: u32,
}

/// What a stream is for, as its headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Role {
    Data,
    Error,
}

/// Carries connections into `target` until the client leaves.
pub(super) async fn carry(socket: WebSocket, target: Target) {
    let (mut sink, source) = socket.split();
    let (frames, to_send) = mpsc::channel(WAITING_MAX);
    let (pieces, arrived) = mpsc::channel(WAITING_MAX);
    let (begin, to_begin) = mpsc::channel(WAITING_MAX);
    let over = Arc::new(Mutex::new(Vec::new()));
    let tunnel = Tunnel {
        target,
        frames,
        pieces,
        begin,
        over: Arc::clone(&over),
        decoder: Decoder::new(),
        replies: Replies::default(),
        half_open: HashMap::new(),
        inputs: HashMap::new(),
    };
    tokio::select! {
        () = tunnel.listen(source) => {}
        () = write(&mut sink, to_send, arrived, &over) => {}
        () = run_all(to_begin) => {}
    }
    close(&mut sink).await;
}

/// Runs connections side by side.
async fn run_all(mut to_begin: mpsc::Receiver<BoxFuture<'static, ()>>) {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            connection = to_begin.recv() => match connection {
                Some(connection) => running.push(connection),
                None => return,
            },
            Some(()) = running.next(), if !running.is_empty() => {}
        }
    }
}

async fn write(
    sink: &mut SplitSink<WebSocket, Message>,
    mut to_send: mpsc::Receiver<Bytes>,
    mut arrived: mpsc::Receiver<Piece<Pair>>,
    over: &Mutex<Vec<u32>>,
) {
    loop {
        let sent = tokio::select! {
            // A stream is accepted before it carries anything: kubectl waits for ever for an answer that comes too late.
            biased;
            Some(frame) = to_send.recv() => sink.send(Message::Binary(frame)).await,
            Some(piece) = arrived.recv() => match piece {
                Piece::Data(pair, bytes) => sink.send(Message::Binary(spdy::data(pair.data, &bytes, false))).await,
                Piece::Ended(pair, error) => {
                    over.lock().extend([pair.data, pair.error]);
                    end(sink, pair, error.as_deref().unwrap_or_default()).await
                }
            },
            else => return,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Tells what went wrong, if anything did, and that nothing more comes on either stream.
async fn end(
    sink: &mut SplitSink<WebSocket, Message>,
    pair: Pair,
    error: &str,
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    sink.feed(Message::Binary(spdy::data(pair.error, error.as_bytes(), true))).await?;
    sink.feed(Message::Binary(spdy::data(pair.data, b"", true))).await?;
    sink.flush().await
}

/// The listening side of a session.
struct Tunnel {
    target: Target,
    frames: mpsc::Sender<Bytes>,
    pieces: mpsc::Sender<Piece<Pair>>,
    begin: mpsc::Sender<BoxFuture<'static, ()>>,
    /// Streams that the writing side has ended.
    over: Arc<Mutex<Vec<u32>>>,
    decoder: Decoder,
    replies: Replies,
    half_open: HashMap<String, (Role, u32, u16)>,
    inputs: HashMap<u32, Input>,
}

/// Where the data of one stream goes.
struct Input {
    pipe: Arc<Pipe>,
    cancel: CancellationToken,
}

impl Tunnel {
    async fn listen(mut self, mut source: SplitStream<WebSocket>) {
        let mut events = Vec::new();
        while let Some(Ok(message)) = source.next().await {
            let bytes = match message {
                Message::Binary(bytes) => bytes,
                Message::Close(_) => return,
                Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            for stream in std::mem::take(&mut *self.over.lock()) {
                self.decoder.forget(stream);
                self.inputs.remove(&stream);
            }
            let received = self.decoder.receive(bytes, &mut events);
            for event in events.drain(..) {
                if self.handle(event).await.is_none() {
                    return;
                }
            }
            if let Err(error) = received {
                return debug!(%error, "port-forwarding client not understood");
            }
        }
    }

    /// `None` when the session is over.
    async fn handle(&mut self, event: Event) -> Option<()> {
        match event {
            Event::Opened { stream, headers } => self.open(stream, &headers).await,
            Event::Data { stream, bytes } => {
                if let Some(input) = self.inputs.get(&stream) {
                    // A connection that has ended takes nothing more; the others go on.
                    let _ = input.pipe.write(bytes).await;
                }
                Some(())
            }
            Event::Finished { stream } => {
                self.inputs.get(&stream).into_iter().for_each(|input| input.pipe.end());
                Some(())
            }
            Event::Reset { stream } => {
                self.half_open.retain(|_, (_, known, _)| *known != stream);
                self.inputs.remove(&stream).into_iter().for_each(|input| input.cancel.cancel());
                Some(())
            }
            Event::Ping { id } => self.send(spdy::ping(id)).await,
            Event::Refused { stream } => self.send(spdy::reset(stream, REFUSED_STREAM)).await,
            Event::GoAway => None,
        }
    }

    async fn send(&self, frame: Bytes) -> Option<()> {
        self.frames.send(frame).await.ok()
    }

    async fn open(&mut self, stream: u32, headers: &Headers) -> Option<()> {
        let (role, port, request) = match read(stream, headers) {
            Ok(read) if self.half_open.len() < HALF_OPEN_MAX => read,
            Ok(_) => return self.refuse(stream, "too many streams without their counterpart").await,
            Err(why) => return self.refuse(stream, &why).await,
        };
        let accepted = self.replies.accept(stream);
        self.send(accepted).await?;
        if role == Role::Data {
            let input = Input { pipe: Arc::default(), cancel: CancellationToken::new() };
            self.inputs.insert(stream, input);
        }
        let pair = match (self.half_open.remove(&request), role) {
            (Some((Role::Error, error, _)), Role::Data) => (Pair { data: stream, error }, port),
            (Some((Role::Data, data, port)), Role::Error) => (Pair { data, error: stream }, port),
            (_, role) => {
                self.half_open.insert(request, (role, stream, port));
                return Some(());
            }
        };
        self.connect(pair.0, pair.1).await
    }

    async fn refuse(&mut self, stream: u32, why: &str) -> Option<()> {
        debug!(stream, why, "port-forwarding stream refused");
        self.decoder.forget(stream);
        self.send(spdy::reset(stream, REFUSED_STREAM)).await
    }

    async fn connect(&self, pair: Pair, port: u16) -> Option<()> {
        let Some(input) = self.inputs.get(&pair.data) else { return Some(()) };
        let (target, pieces) = (self.target.clone(), self.pieces.clone());
        let (pipe, cancel) = (Arc::clone(&input.pipe), input.cancel.clone());
        let connection = async move {
            cancel.run_until_cancelled(target.relay(port, pair, pipe, pieces)).await;
        };
        self.begin.send(Box::pin(connection)).await.ok()
    }
}

/// What `headers` say of a stream: its role, the port, and the request that both streams of a connection name.
fn read(stream: u32, headers: &Headers) -> Result<(Role, u16, String), String> {
    let needed = |name: &str| headers.get(name).ok_or_else(|| format!("\"{name}\" header is required"));
    let port = needed("port")?;
    let number: u16 = port.parse().map_err(|_| format!("unable to parse \"{port}\" as a port"))?;
    if number == 0 {
        return Err(format!("port \"{port}\" must be > 0"));
    }
    let role = match needed("streamtype")? {
        "data" => Role::Data,
        "error" => Role::Error,
        other => return Err(format!("invalid stream type \"{other}\"")),
    };
    let request = match headers.get("requestid") {
        Some(request) => request.to_owned(),
        // Older clients open the error stream first, and the data stream right after it.
        None if role == Role::Data => stream.saturating_sub(2).to_string(),
        None => stream.to_string(),
    };
    Ok((role, number, request))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(text: &str) -> Headers {
        let pair = |pair: &str| pair.split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        Headers(text.split(' ').map(pair).collect())
    }

    #[test]
    fn a_stream_says_what_it_is_for() {
        let named = headers("streamtype=data port=80 requestid=r");
        assert_eq!(read(3, &named), Ok((Role::Data, 80, "r".into())));
        let old = headers("streamtype=data port=80");
        assert_eq!(read(3, &old).unwrap().2, read(1, &headers("streamtype=error port=80")).unwrap().2);
        for bad in ["streamtype=data", "streamtype=x port=80", "port=80", "streamtype=data port=0", "port=x"] {
            assert!(read(1, &headers(bad)).is_err(), "{bad}");
        }
    }
}
