//! One connection into a pod: what the client sends goes in, what the pod answers comes out in pieces.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use coracle_net::Fabric;
use coracle_runtime::Pipe;
use coracle_runtime::network::{NetworkError, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

const PIECE_BYTES_MAX: usize = 32 << 10;

/// The pod that is connected to.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) fabric: Arc<Fabric>,
    pub(super) address: IpAddr,
    pub(super) pod: String,
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
        let ended = match self.fabric.connect(SocketAddr::new(self.address, port)).await {
            Ok(stream) => carry(stream, id, &input, &pieces).await.map_err(|error| error.to_string()),
            Err(error) => Err(self.refused(port, error)),
        };
        input.hang_up();
        let error =
            ended.err().map(|why| format!("error forwarding port {port} to pod {}, uid {}: {why}", self.pod, self.pod));
        // A session that is over needs no last word.
        let _ = pieces.send(Piece::Ended(id, error)).await;
    }

    fn refused(&self, port: u16, error: NetworkError) -> String {
        let to = SocketAddr::new(self.address, port);
        let why = match error {
            NetworkError::ConnectionRefused => "connect: connection refused".to_owned(),
            other => other.to_string(),
        };
        format!("failed to connect to {to} in the pod network: dial tcp {to}: {why}")
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
