//! Carries the streams of one run over a WebSocket, until it ends or its client leaves.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coracle_runtime::Pipe;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tracing::debug;

use super::channels::{ERROR, Protocol, RESIZE, STDERR, STDIN, STDOUT, Sent};
use super::upgrade::{WebSocket, close};
use crate::attached::Ends;
use crate::streams::{Outcome, Run};
use crate::terminal::{Terminal, Typed, shown};

/// Bytes of output in one message.
const PIECE_BYTES_MAX: usize = 32 << 10;
/// A client that takes nothing for so long is given up, so that it does not hold up a container for ever.
const STALLED_MAX: Duration = Duration::from_secs(60);
/// How often a client is called, to learn that it has left although it could not be listened to.
const PING_EVERY: Duration = Duration::from_secs(20);
/// After this, a client with a terminal that has not told its size never will. One that is about to takes the end of a
/// very short run for an error.
const SIZE_MAX: Duration = Duration::from_millis(100);
/// How long a client may take to close after the last word.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// Which streams the client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    pub(super) tty: bool,
}

impl Wanted {
    /// As kubelet reads it from a query.
    pub(super) fn of(query: &[(String, String)]) -> Result<Self, &'static str> {
        let flag = |name: &str| query.iter().any(|(known, value)| known == name && value == "1");
        let (stdin, stdout, tty) = (flag("input"), flag("output"), flag("tty"));
        // A terminal has one stream for both.
        let stderr = flag("error") && !tty;
        if stdin || stdout || stderr {
            return Ok(Self { stdin, stdout, stderr, tty });
        }
        Err("you must specify at least 1 of stdin, stdout, stderr")
    }
}

/// The size of a client's terminal. Guests cannot be told: it is read and dropped.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    width: u16,
    height: u16,
}

type Sink = SplitSink<WebSocket, Message>;
type Source = SplitStream<WebSocket>;

/// Carries `run` over `socket`.
pub(super) async fn carry(socket: WebSocket, protocol: Protocol, wanted: Wanted, run: Run) {
    let Run { stdin, owns_stdin, output, mut interrupt, outcome } = run;
    let _ends_when_the_client_leaves = Hangup(output.clone());
    let (mut sink, mut source) = socket.split();
    let lowest = if wanted.stdout {
        STDOUT
    } else if wanted.stderr {
        STDERR
    } else {
        ERROR
    };
    // This tells the client that it is connected.
    if send(&mut sink, protocol.encode(lowest, &[])).await.is_err() {
        return;
    }
    let begun = Instant::now();
    let input = Input {
        stdin: stdin.filter(|_| wanted.stdin),
        owns_stdin,
        echo: output.stdout.clone(),
        is_sized: Notify::new(),
    };
    let listening = listen(&mut source, protocol, wanted.tty, &input, interrupt.as_deref_mut());
    let writing = async {
        let outcome = async { Ok(outcome.await) };
        let (outcome, ()) = tokio::try_join!(outcome, write(&mut sink, protocol, wanted, &output))?;
        if wanted.tty {
            let _ = tokio::time::timeout_at(begun + SIZE_MAX, input.is_sized.notified()).await;
        }
        Ok::<_, ()>(outcome)
    };
    let ended = tokio::select! {
        ended = writing => ended.ok(),
        () = listening => None,
    };
    if input.owns_stdin
        && let Some(stdin) = &input.stdin
    {
        stdin.end();
    }
    match ended {
        Some(outcome) => say_goodbye(sink, source, protocol, &outcome).await,
        None => debug!("client left before the end"),
    }
}

/// Writers are told when a session is over, however it ends.
struct Hangup(Ends);

impl Drop for Hangup {
    fn drop(&mut self) {
        self.0.hang_up();
    }
}

async fn send(sink: &mut Sink, message: Message) -> Result<(), ()> {
    match tokio::time::timeout(STALLED_MAX, sink.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(()),
    }
}

/// Sends both streams until they have ended.
async fn write(sink: &mut Sink, protocol: Protocol, wanted: Wanted, output: &Ends) -> Result<(), ()> {
    let (mut stdout, mut stderr) = (true, true);
    let mut pings = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    while stdout || stderr {
        // Errors first: a client may leave when it has all of the output.
        let (channel, bytes) = tokio::select! {
            biased;
            bytes = output.stderr.read(PIECE_BYTES_MAX), if stderr => (STDERR, bytes),
            bytes = output.stdout.read(PIECE_BYTES_MAX), if stdout => (STDOUT, bytes),
            _ = pings.tick() => {
                send(sink, Message::Ping(Bytes::new())).await?;
                continue;
            }
        };
        let Some(bytes) = bytes else {
            *(if channel == STDOUT { &mut stdout } else { &mut stderr }) = false;
            continue;
        };
        if let Some(message) = message(protocol, wanted, channel, bytes) {
            send(sink, message).await?;
        }
    }
    Ok(())
}

/// A piece of output as this client gets it. `None` when it wants none of it.
fn message(protocol: Protocol, wanted: Wanted, channel: u8, bytes: Bytes) -> Option<Message> {
    match (channel, wanted.tty) {
        (_, true) => wanted.stdout.then(|| protocol.encode(STDOUT, &shown(&bytes))),
        (STDOUT, false) => wanted.stdout.then(|| protocol.encode(STDOUT, &bytes)),
        (_, false) => wanted.stderr.then(|| protocol.encode(STDERR, &bytes)),
    }
}

struct Input {
    stdin: Option<Arc<Pipe>>,
    owns_stdin: bool,
    echo: Arc<Pipe>,
    /// The client has told the size of its terminal.
    is_sized: Notify,
}

impl Input {
    async fn write(&self, bytes: Bytes) {
        if let Some(stdin) = &self.stdin {
            // A program that has ended, or reads no more, does not end the session: its output may still come.
            let _ = stdin.write(bytes).await;
        }
    }

    fn end(&self) {
        if let Some(stdin) = self.stdin.as_ref().filter(|_| self.owns_stdin) {
            stdin.end();
        }
    }
}

type Interrupt<'a> = Option<&'a mut (dyn FnMut() + Send + 'static)>;

/// Takes in what the client sends, until it leaves.
async fn listen(source: &mut Source, protocol: Protocol, tty: bool, input: &Input, mut interrupt: Interrupt<'_>) {
    let mut terminal = Terminal::default();
    while let Some(Ok(message)) = source.next().await {
        if matches!(message, Message::Close(_)) {
            return;
        }
        match protocol.decode(message) {
            Some(Sent::Bytes { channel: STDIN, bytes }) if tty => {
                let (typed, echo) = terminal.take_in(&bytes);
                let _ = input.echo.push(unshown(echo));
                for typed in typed {
                    match typed {
                        Typed::Input(line) => input.write(line.into()).await,
                        // The key ends it for whoever types, as on any terminal.
                        Typed::End => input.stdin.iter().for_each(|stdin| stdin.end()),
                        Typed::Interrupt => {
                            if let Some(interrupt) = &mut interrupt {
                                interrupt();
                            }
                        }
                    }
                }
            }
            Some(Sent::Bytes { channel: STDIN, bytes }) => input.write(bytes).await,
            Some(Sent::Closed { channel: STDIN }) => input.end(),
            Some(Sent::Bytes { channel: RESIZE, bytes }) => {
                match serde_json::from_slice::<Size>(&bytes) {
                    Ok(size) => debug!(size.width, size.height, "terminal resized"),
                    Err(error) => debug!(%error, "terminal size not understood"),
                }
                input.is_sized.notify_one();
            }
            Some(Sent::Bytes { .. } | Sent::Closed { .. } | Sent::Nothing) => {}
            None => return,
        }
    }
}

/// The echo goes the way of output, where line feeds are shown as they are to be.
fn unshown(echo: Vec<u8>) -> Bytes {
    let mut out = Vec::with_capacity(echo.len());
    for byte in echo {
        if byte == b'\n' && out.last() == Some(&b'\r') {
            out.pop();
        }
        out.push(byte);
    }
    out.into()
}

/// Tells the outcome and closes, and waits until the client has.
async fn say_goodbye(mut sink: Sink, mut source: Source, protocol: Protocol, outcome: &Outcome) {
    let last = match (protocol.has_status, outcome) {
        (true, outcome) => Some(outcome.status().to_string()),
        (false, Outcome::Success) => None,
        (false, outcome) => Some(outcome.message()),
    };
    if let Some(last) = last
        && send(&mut sink, protocol.encode(ERROR, last.as_bytes())).await.is_err()
    {
        return;
    }
    let goodbye = async {
        close(&mut sink).await;
        while let Some(Ok(_)) = source.next().await {}
    };
    let _ = tokio::time::timeout(GOODBYE_MAX, goodbye).await;
}
