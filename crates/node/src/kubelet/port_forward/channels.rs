//! Port-forwarding over channels: each port has one for data and one for errors, and both begin with its number.

use std::sync::Arc;

use coracle_runtime::Pipe;
use futures::stream::{FuturesUnordered, SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::super::channels::{Protocol, Sent};
use super::super::upgrade::{WebSocket, close};
use super::relay::{Piece, Target};

/// Pieces on their way to the client.
const PIECES_MAX: usize = 16;

pub(super) async fn carry(socket: WebSocket, protocol: Protocol, target: Target, ports: Vec<u16>) {
    let (mut sink, mut source) = socket.split();
    let data_channel = |idx: usize| u8::try_from(2 * idx).expect("ports are bounded");
    for (idx, port) in ports.iter().enumerate() {
        for channel in [data_channel(idx), data_channel(idx) + 1] {
            if sink.send(protocol.encode(channel, &port.to_le_bytes())).await.is_err() {
                return;
            }
        }
    }
    let inputs: Vec<Arc<Pipe>> = ports.iter().map(|_| Arc::default()).collect();
    let (pieces, arrived) = mpsc::channel(PIECES_MAX);
    let relays: FuturesUnordered<_> = ports
        .iter()
        .enumerate()
        .map(|(idx, port)| target.relay(*port, data_channel(idx), Arc::clone(&inputs[idx]), pieces.clone()))
        .collect();
    drop(pieces);
    tokio::select! {
        () = listen(&mut source, protocol, &inputs) => {}
        _ = async { tokio::join!(relays.collect::<()>(), write(&mut sink, protocol, arrived)) } => {
            close(&mut sink).await;
        }
    }
    inputs.iter().for_each(|input| input.hang_up());
}

async fn listen(source: &mut SplitStream<WebSocket>, protocol: Protocol, inputs: &[Arc<Pipe>]) {
    let input = |channel: u8| inputs.get(usize::from(channel / 2)).filter(|_| channel.is_multiple_of(2));
    while let Some(Ok(message)) = source.next().await {
        if matches!(message, Message::Close(_)) {
            return;
        }
        match protocol.decode(message) {
            Some(Sent::Bytes { channel, bytes }) => {
                if let Some(input) = input(channel) {
                    // A connection that has ended takes nothing more; the others go on.
                    let _ = input.write(bytes).await;
                }
            }
            Some(Sent::Closed { channel }) => input(channel).into_iter().for_each(|input| input.end()),
            Some(Sent::Nothing) => {}
            None => return,
        }
    }
}

async fn write(sink: &mut SplitSink<WebSocket, Message>, protocol: Protocol, mut arrived: mpsc::Receiver<Piece<u8>>) {
    while let Some(piece) = arrived.recv().await {
        let message = match piece {
            Piece::Data(channel, bytes) => protocol.encode(channel, &bytes),
            Piece::Ended(channel, Some(error)) => protocol.encode(channel + 1, error.as_bytes()),
            Piece::Ended(_, None) => continue,
        };
        if sink.send(message).await.is_err() {
            return;
        }
    }
}
