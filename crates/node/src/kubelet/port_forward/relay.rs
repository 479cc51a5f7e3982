//! One connection into a pod: what the client sends goes in, what the pod answers comes out in pieces.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use coracle_net::Fabric;
use coracle_runtime::Pipe;
use coracle_runtime::network::{NetworkError, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::agent::Handle;
use crate::lifecycle::Sandbox;

const PIECE_BYTES_MAX: usize = 32 << 10;

/// The pod that is connected to.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) fabric: Arc<Fabric>,
    pub(super) pod: Arc<Handle>,
}

/// What a connection gives its client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<Id> {
    Data(Id, Bytes),
    /// It is over; with an error when it did not go as it should.
    Ended(Id, Option<String>),
}

impl Target {
    /// Connects to `port`, and carries bytes until the pod has sent its last.
    pub(super) async fn relay<Id: Copy>(&self, port: u16, id: Id, input: Arc<Pipe>, pieces: mpsc::Sender<Piece<Id>>) {
        let ended = match self.connect(port).await {
            Ok(stream) => carry(stream, id, &input, &pieces).await.map_err(|error| error.to_string()),
            Err(why) => Err(why),
        };
        input.hang_up();
        let uid = &self.pod.uid;
        let error = ended.err().map(|why| format!("error forwarding port {port} to pod {uid}, uid {uid}: {why}"));
        // A session that is over needs no last word.
        let _ = pieces.send(Piece::Ended(id, error)).await;
    }

    async fn connect(&self, port: u16) -> Result<Stream, String> {
        // It is asked for anew each time: after the pod's end, its address may be another pod's.
        let to = address(&self.pod).ok_or("the pod has ended")?;
        let to = SocketAddr::new(to, port);
        self.fabric.connect(to).await.map_err(|error| {
            let why = match error {
                NetworkError::ConnectionRefused => "connect: connection refused".to_owned(),
                other => other.to_string(),
            };
            format!("failed to connect to {to} in the pod network: dial tcp {to}: {why}")
        })
    }
}

/// The pod's address, while it has one.
pub(super) fn address(pod: &Handle) -> Option<IpAddr> {
    let state = pod.state.lock();
    match &state.sandbox {
        Sandbox::Ready { addresses } if !state.released => addresses.first().copied(),
        Sandbox::Ready { .. } | Sandbox::Absent | Sandbox::Preparing { .. } | Sandbox::Failed { .. } => None,
    }
}

async fn carry<Id: Copy>(
    stream: Stream,
    id: Id,
    input: &Pipe,
    pieces: &mpsc::Sender<Piece<Id>>,
) -> std::io::Result<()> {
    let (mut from_pod, mut to_pod) = tokio::io::split(stream);
    let up = async {
        while let Some(bytes) = input.read(PIECE_BYTES_MAX).await {
            to_pod.write_all(&bytes).await?;
        }
        to_pod.shutdown().await
    };
    let down = async {
        loop {
            let mut piece = BytesMut::with_capacity(PIECE_BYTES_MAX);
            if from_pod.read_buf(&mut piece).await? == 0 {
                return Ok(());
            }
            if pieces.send(Piece::Data(id, piece.freeze())).await.is_err() {
                return Ok(());
            }
        }
    };
    tokio::pin!(up, down);
    tokio::select! {
        down = &mut down => down,
        // The client has sent its last, or the pod takes no more: it may answer nevertheless.
        _ = &mut up => down.await,
    }
}
