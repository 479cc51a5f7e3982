//! A container's output on two ways at once: into its log, and to everybody who is attached. Who is attached and does not
//! read holds the container up, as everywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use coracle_runtime::{Output, Pipe, StdStream};
use parking_lot::Mutex;

/// Clients that may be attached to one container.
const ATTACHED_MAX: usize = 16;

/// The two ends that a client reads.
#[derive(Clone, Default)]
pub(crate) struct Ends {
    pub(crate) stdout: Arc<Pipe>,
    pub(crate) stderr: Arc<Pipe>,
}

impl Ends {
    pub(crate) fn pipe(&self, stream: StdStream) -> &Arc<Pipe> {
        match stream {
            StdStream::Stdout => &self.stdout,
            StdStream::Stderr => &self.stderr,
        }
    }

    /// Nothing more is written.
    pub(crate) fn end(&self) {
        self.stdout.end();
        self.stderr.end();
    }

    /// Nothing more is read.
    pub(crate) fn hang_up(&self) {
        self.stdout.hang_up();
        self.stderr.hang_up();
    }
}

impl Output for Ends {
    fn write(&self, stream: StdStream, bytes: Bytes) {
        // Who has hung up wants no more.
        let _ = self.pipe(stream).push(bytes);
    }

    fn poll_ready(&self, stream: StdStream, cx: &mut Context<'_>) -> Poll<()> {
        self.pipe(stream).poll_writable(cx)
    }
}

/// The output of one instance of a container.
pub(crate) struct Attached {
    log: Arc<dyn Output>,
    clients: Mutex<Vec<Ends>>,
    /// Spares a container that nobody is attached to the lock.
    has_clients: AtomicBool,
}

impl Attached {
    pub(crate) fn new(log: Arc<dyn Output>) -> Arc<Self> {
        Arc::new(Self { log, clients: Mutex::default(), has_clients: AtomicBool::new(false) })
    }

    /// What is written from now on, until it is hung up. `None` when too many are attached.
    pub(crate) fn attach(&self) -> Option<Ends> {
        let mut clients = self.clients.lock();
        clients.retain(|ends| !ends.stdout.is_broken());
        if clients.len() >= ATTACHED_MAX {
            return None;
        }
        let ends = Ends::default();
        clients.push(ends.clone());
        self.has_clients.store(true, Ordering::Release);
        Some(ends)
    }
}

impl Output for Attached {
    fn write(&self, stream: StdStream, bytes: Bytes) {
        if self.has_clients.load(Ordering::Acquire) {
            let mut clients = self.clients.lock();
            clients.retain(|ends| !ends.stdout.is_broken());
            clients.iter().for_each(|ends| ends.write(stream, bytes.clone()));
            self.has_clients.store(!clients.is_empty(), Ordering::Release);
        }
        self.log.write(stream, bytes);
    }

    fn poll_ready(&self, stream: StdStream, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.log.poll_ready(stream, cx));
        if !self.has_clients.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        let clients = self.clients.lock();
        let ready = clients.iter().all(|ends| ends.poll_ready(stream, cx).is_ready());
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }
}
