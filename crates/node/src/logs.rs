//! Containers' output on disk, in the CRI format, rotated and bounded; and how it is read again.
//!
//! A guest's write goes to a bounded buffer in memory and returns; who writes faster than the disk is held up. [`Logs::run`],
//! one task per node, writes what has gathered in batches. Who reads flushes first, so that nothing that was written before is missing.
//!
//! The log of the Nth instance of a container is `N.log` in the container's directory; older parts of it are `N.log.1`,
//! `N.log.2` and so on, from old to new.

mod files;
mod format;
mod read;
mod writer;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use coracle_stdx::{CancellationToken, Clock};
use parking_lot::Mutex;
use tokio::sync::Notify;

pub use files::remove_before;
pub use format::check_line;
pub use read::{ReadOptions, Reader, tail_of};
pub use writer::ContainerLog;

/// How long output gathers before it is written.
const LINGER: Duration = Duration::from_millis(4);

/// How much of a container's output is kept.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// A file is put aside once it is as large as this.
    pub file_bytes: u64,
    /// Files of one instance, the current one included.
    pub files_max: u64,
}

impl Default for Bounds {
    /// As kubelet: five files of 10 MiB.
    fn default() -> Self {
        Self { file_bytes: 10 * 1024 * 1024, files_max: 5 }
    }
}

/// The logs of all containers of a node. A cheap handle.
#[derive(Clone)]
pub struct Logs(Arc<Shared>);

struct Shared {
    bounds: Bounds,
    clock: Clock,
    /// Logs with output that waits. Each is in it at most once, so containers bound its length.
    waiting: Mutex<Vec<Arc<ContainerLog>>>,
    wake: Notify,
}

impl Logs {
    pub fn new(bounds: Bounds, clock: Clock) -> Self {
        Self(Arc::new(Shared { bounds, clock, waiting: Mutex::default(), wake: Notify::new() }))
    }

    /// Begins the log of the `attempt`th instance of the container whose directory is `dir`.
    pub fn open(&self, dir: PathBuf, attempt: u32) -> Arc<ContainerLog> {
        ContainerLog::new(self.clone(), dir, attempt)
    }

    /// Writes what gathers, until the token is cancelled; then what is left.
    pub async fn run(&self, token: CancellationToken) {
        while token.run_until_cancelled(self.0.wake.notified()).await.is_some() {
            token.run_until_cancelled(tokio::time::sleep(LINGER)).await;
            self.write_all().await;
        }
        self.write_all().await;
    }

    async fn write_all(&self) {
        let waiting = std::mem::take(&mut *self.0.waiting.lock());
        let written = tokio::task::spawn_blocking(move || {
            for log in waiting {
                log.write_out();
            }
        });
        written.await.expect("writing logs does not panic");
    }

    fn enqueue(&self, log: Arc<ContainerLog>) {
        self.0.waiting.lock().push(log);
        self.0.wake.notify_one();
    }
}
