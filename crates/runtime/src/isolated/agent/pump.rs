//! Carries bytes between a process and a connection of its pod: in both directions, with half-closes, resets, and what
//! has not left yet when the process lets go of its end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;

use rustix::net::{Shutdown, shutdown};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest, ReadHalf, WriteHalf};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::isolated::system::watched;
use crate::network::Stream;
use crate::pipe::Pipe;

const CHUNK: usize = 32 << 10;

/// A socket of bytes: the agent's end, and the one to give away.
pub(super) fn pair() -> io::Result<(UnixStream, OwnedFd)> {
    let (own, theirs) = StdUnixStream::pair()?;
    own.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    Ok((UnixStream::from_std(own)?, theirs.into()))
}

/// Carries until both directions have ended, or one of them broke. What breaks the connection breaks both ends.
pub(super) async fn carry(connection: Stream, process: UnixStream) -> io::Result<()> {
    let own_end = Arc::new(process.as_fd().try_clone_to_owned()?);
    let let_go = watched(own_end, Interest::PRIORITY)?;
    let (mut from_net, mut to_net) = tokio::io::split(connection);
    let (mut from_process, mut to_process) = process.into_split();
    let inbound = inbound(&mut from_net, &mut to_process);
    let outbound = outbound(&mut from_process, &mut to_net);
    tokio::pin!(inbound, outbound);
    let mut is_sent = false;
    loop {
        tokio::select! {
            received = &mut inbound => {
                received?;
                break;
            }
            sent = &mut outbound, if !is_sent => {
                is_sent = true;
                match sent {
                    Ok(()) => {}
                    // The peer takes no more, and may still send.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => shutdown(&**let_go.get_ref(), Shutdown::Read)?,
                    Err(error) => return Err(error),
                }
            }
            // Both directions of the process's end are closed: nobody reads what comes.
            _ = let_go.ready(Interest::PRIORITY) => break,
        }
    }
    if is_sent { Ok(()) } else { outbound.await }
}

async fn inbound(from: &mut ReadHalf<Stream>, to: &mut OwnedWriteHalf) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match from.read(&mut chunk).await? {
            0 => return to.shutdown().await,
            n => to.write_all(&chunk[..n]).await?,
        }
    }
}

async fn outbound(from: &mut OwnedReadHalf, to: &mut WriteHalf<Stream>) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match from.read(&mut chunk).await? {
            0 => return to.shutdown().await,
            n => {
                to.write_all(&chunk[..n]).await?;
                to.flush().await?;
            }
        }
    }
}

/// Carries what is written into `pipe` to the standard input of a process, until either ends.
pub(super) async fn feed(pipe: Arc<Pipe>, mut to: OwnedWriteHalf) {
    while let Some(bytes) = pipe.read(CHUNK).await {
        if to.write_all(&bytes).await.is_err() {
            return pipe.hang_up();
        }
    }
}
