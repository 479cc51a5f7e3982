//! Messages with file descriptors over a pair of sockets that keep what was sent together together.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::system::watched;

/// What goes through the socket itself. What is longer goes into a file in memory, whose descriptor is sent.
const INLINE_MAX: usize = 48 << 10;
/// A longer message is not read: its sender is not to be trusted.
const MESSAGE_BYTES_MAX: u64 = 256 << 20;
const FDS_MAX: usize = 4;

const INLINE: u8 = 0;
const IN_FILE: u8 = 1;

/// One end, for threads that may wait.
#[derive(Clone)]
pub(crate) struct Channel(Arc<OwnedFd>);

/// What arrived: a message and what came with it.
pub(crate) type Received<M> = (M, Vec<OwnedFd>);

/// Both ends of a socket on which packets stay whole.
pub(crate) fn packets() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

impl Channel {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self(Arc::new(socket))
    }

    fn try_send<M: Serialize>(&self, message: &M, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut payload = vec![INLINE];
        serde_json::to_writer(&mut payload, message)?;
        if payload.len() <= INLINE_MAX {
            return self.try_send_packet(&payload, fds);
        }
        let file = in_memory(&payload[1..])?;
        let mut fds = fds.to_vec();
        fds.push(file.as_fd());
        self.try_send_packet(&[IN_FILE], &fds)
    }

    fn try_send_packet(&self, payload: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        sendmsg(&*self.0, &[IoSlice::new(payload)], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// The next message; `None` at the end.
    fn try_recv<M: DeserializeOwned>(&self) -> io::Result<Option<Received<M>>> {
        let mut payload = vec![0; INLINE_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(&mut payload)];
        let received = recvmsg(&*self.0, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(all) = message {
                fds.extend(all);
            }
        }
        let cut = ReturnFlags::TRUNC | ReturnFlags::CTRUNC;
        if received.flags.intersects(cut) {
            return Err(invalid("a message was too long"));
        }
        match payload[..received.bytes].split_first() {
            None => Ok(None),
            Some((&INLINE, text)) => Ok(Some((serde_json::from_slice(text)?, fds))),
            Some(_) => {
                let file = fds.pop().ok_or_else(|| invalid("a message came without its file"))?;
                Ok(Some((serde_json::from_slice(&contents(file, MESSAGE_BYTES_MAX)?)?, fds)))
            }
        }
    }

    /// Sends, and waits on this thread until that is possible.
    pub(crate) fn send<M: Serialize>(&self, message: &M, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        loop {
            match self.try_send(message, fds) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_for(&self.0, PollFlags::OUT)?,
                sent => return sent,
            }
        }
    }

    /// The next message, waited for on this thread; `None` at the end.
    pub(crate) fn recv<M: DeserializeOwned>(&self) -> io::Result<Option<Received<M>>> {
        loop {
            match self.try_recv() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_for(&self.0, PollFlags::IN)?,
                received => return received,
            }
        }
    }
}

fn wait_for(fd: impl AsFd, what: PollFlags) -> io::Result<()> {
    loop {
        match poll(&mut [PollFd::new(&fd, what)], None) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A file in memory.
pub(crate) fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("message", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

/// Reads from a descriptor of unknown origin: what is no file does not answer, and holds nobody up.
pub(crate) fn contents(file: OwnedFd, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = File::from(file);
    let known = file.metadata()?;
    if !known.is_file() || known.len() > bytes_max {
        return Err(invalid("a message is in no file, or too long"));
    }
    let mut bytes = vec![0; usize::try_from(known.len()).expect("it was measured")];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// One end, for tasks.
pub(crate) struct AsyncChannel {
    end: Channel,
    watched: AsyncFd<Arc<OwnedFd>>,
}

impl AsyncChannel {
    pub(crate) fn new(end: Channel) -> io::Result<Self> {
        let watched = watched(Arc::clone(&end.0), Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { end, watched })
    }

    pub(crate) async fn send<M: Serialize>(&self, message: &M, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.watched.async_io(Interest::WRITABLE, |_| self.end.try_send(message, fds)).await
    }

    /// The next message; `None` at the end. Cancel-safe.
    pub(crate) async fn recv<M: DeserializeOwned>(&self) -> io::Result<Option<Received<M>>> {
        self.watched.async_io(Interest::READABLE, |_| self.end.try_recv()).await
    }
}

/// A socket of whole packets without descriptors, for tasks.
pub(crate) struct Packets(AsyncFd<Arc<OwnedFd>>);

impl Packets {
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self(watched(Arc::new(socket), Interest::READABLE | Interest::WRITABLE)?))
    }

    pub(crate) fn try_send(&self, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let mut control = SendAncillaryBuffer::default();
        sendmsg(&**self.0.get_ref(), parts, &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    pub(crate) async fn send(&self, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.0.async_io(Interest::WRITABLE, |_| self.try_send(parts)).await
    }

    /// The length of the next packet, which is in `into`; 0 at the end. What is longer than `into` is cut. Cancel-safe.
    pub(crate) async fn recv(&self, into: &mut [u8]) -> io::Result<usize> {
        let receive = |socket: &Arc<OwnedFd>| {
            let mut control = RecvAncillaryBuffer::new(&mut []);
            let mut parts = [IoSliceMut::new(&mut *into)];
            Ok(recvmsg(&**socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes)
        };
        self.0.async_io(Interest::READABLE, receive).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_whole_whatever_its_length_with_what_it_carries() {
        let (here, there) = packets().unwrap();
        let (here, there) = (Channel::new(here), Channel::new(there));
        let carried = File::open("/dev/null").unwrap();
        for length in [1, INLINE_MAX - 2, INLINE_MAX, 1 << 20] {
            let sent = "x".repeat(length);
            here.send(&sent, &[carried.as_fd()]).unwrap();
            let (received, fds) = there.recv::<String>().unwrap().unwrap();
            assert_eq!((received.len(), fds.len()), (length, 1));
        }
        drop(here);
        assert!(there.recv::<String>().unwrap().is_none());
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let (end, _other) = packets().unwrap();
        assert_eq!(contents(end, 1).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
