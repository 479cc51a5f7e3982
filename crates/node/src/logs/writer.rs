//! One instance's log while it is written: the guest's end blocks no thread, the disk's end never runs on the guest's path.

use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use coracle_runtime::{Output, StdStream};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::warn;

use super::Logs;
use super::files;
use super::format::Formatter;

/// Output that may wait for the disk. A guest with more of it is held up until it is written.
const READY_MAX: usize = 1024 * 1024;
/// Who writes without looking whether there is room loses what comes beyond this, and the log says so.
const WAITING_MAX: usize = 4 * READY_MAX;

/// The log of one instance of a container.
pub struct ContainerLog {
    logs: Logs,
    pub(super) dir: PathBuf,
    pub(super) attempt: u32,
    waiting: Mutex<Waiting>,
    is_queued: AtomicBool,
    /// Spares a guest that asks for room the lock.
    is_full: AtomicBool,
    file: Mutex<File>,
    progress: watch::Sender<Progress>,
}

#[derive(Default)]
struct Waiting {
    chunks: VecDeque<(Timestamp, StdStream, Bytes)>,
    n_bytes: usize,
    n_dropped: usize,
    closed: bool,
    held_up: Vec<Waker>,
}

#[derive(Default)]
struct File {
    formatter: Formatter,
    n_bytes: u64,
    failed: bool,
}

/// How far the log has come on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The number that the current file will have once it is put aside.
    pub part: u64,
    pub n_batches: u64,
    pub closed: bool,
}

impl ContainerLog {
    pub(super) fn new(logs: Logs, dir: PathBuf, attempt: u32) -> Arc<Self> {
        let progress = watch::Sender::new(Progress { part: 1, ..Progress::default() });
        Arc::new(Self {
            logs,
            dir,
            attempt,
            waiting: Mutex::default(),
            is_queued: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
            file: Mutex::default(),
            progress,
        })
    }

    /// The guest's end of the log.
    pub fn output(self: &Arc<Self>) -> Arc<dyn Output> {
        Arc::new(Guest(self.clone()))
    }

    /// Nothing more will be written: flushes, and ends those who follow.
    pub async fn close(self: &Arc<Self>) {
        self.waiting.lock().closed = true;
        self.flush().await;
    }

    /// Returns once everything written before is on disk (in the page cache: logs are not worth an fsync).
    pub async fn flush(self: &Arc<Self>) {
        let log = self.clone();
        tokio::task::spawn_blocking(move || log.write_out()).await.expect("writing logs does not panic");
    }

    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    fn write(self: &Arc<Self>, stream: StdStream, bytes: Bytes) {
        let mut waiting = self.waiting.lock();
        if waiting.n_bytes + bytes.len() > WAITING_MAX {
            waiting.n_dropped += bytes.len();
        } else {
            waiting.n_bytes += bytes.len();
            waiting.chunks.push_back((self.logs.0.clock.now(), stream, bytes));
            self.is_full.store(waiting.n_bytes >= READY_MAX, Ordering::Release);
        }
        drop(waiting);
        if !self.is_queued.swap(true, Ordering::AcqRel) {
            self.logs.enqueue(self.clone());
        }
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_full.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.lock();
        if waiting.n_bytes < READY_MAX {
            return Poll::Ready(());
        }
        if !waiting.held_up.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.held_up.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Writes what waits. Blocking.
    pub(super) fn write_out(&self) {
        let mut file = self.file.lock();
        self.is_queued.store(false, Ordering::Release);
        let waiting = {
            let mut waiting = self.waiting.lock();
            let closed = waiting.closed;
            self.is_full.store(false, Ordering::Release);
            std::mem::replace(&mut *waiting, Waiting { closed, ..Waiting::default() })
        };
        waiting.held_up.iter().for_each(Waker::wake_by_ref);
        let mut out = Vec::with_capacity(waiting.n_bytes + waiting.n_bytes / 4);
        for (time, stream, bytes) in &waiting.chunks {
            file.formatter.push(*time, *stream, bytes, &mut out);
        }
        let now = self.logs.0.clock.now();
        if waiting.n_dropped > 0 {
            let note =
                format!("[{} bytes of output were dropped: they came faster than the disk]\n", waiting.n_dropped);
            file.formatter.push(now, StdStream::Stderr, note.as_bytes(), &mut out);
        }
        if waiting.closed {
            file.formatter.finish(now, &mut out);
        }
        self.append(&mut file, &out);
        self.progress.send_modify(|progress| {
            progress.n_batches += 1;
            progress.closed |= waiting.closed;
        });
    }

    fn append(&self, file: &mut File, out: &[u8]) {
        match self.try_append(file, out) {
            Ok(()) => file.failed = false,
            Err(error) => {
                if !std::mem::replace(&mut file.failed, true) {
                    warn!(dir = %self.dir.display(), error = &error as &dyn std::error::Error, "log not written");
                }
            }
        }
    }

    fn try_append(&self, file: &mut File, out: &[u8]) -> io::Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        let path = files::current(&self.dir, self.attempt);
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        let mut open = match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(&self.dir)?;
                options.open(&path)?
            }
            opened => opened?,
        };
        open.write_all(out)?;
        file.n_bytes += out.len() as u64;
        if file.n_bytes >= self.logs.0.bounds.file_bytes {
            self.put_aside(file)?;
        }
        Ok(())
    }

    fn put_aside(&self, file: &mut File) -> io::Result<()> {
        let part = self.progress.borrow().part;
        fs::rename(files::current(&self.dir, self.attempt), files::part(&self.dir, self.attempt, part))?;
        file.n_bytes = 0;
        self.progress.send_modify(|progress| progress.part += 1);
        match part.checked_sub(self.logs.0.bounds.files_max - 1) {
            Some(oldest) if oldest > 0 => files::remove(&files::part(&self.dir, self.attempt, oldest)),
            Some(_) | None => Ok(()),
        }
    }
}

struct Guest(Arc<ContainerLog>);

impl Output for Guest {
    fn write(&self, stream: StdStream, bytes: Bytes) {
        self.0.write(stream, bytes);
    }

    fn poll_ready(&self, _stream: StdStream, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_ready(cx)
    }
}
