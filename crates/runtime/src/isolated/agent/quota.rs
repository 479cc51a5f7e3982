//! Holds a process to its share of the CPU: the kernel stops it while its container is in debt, wherever it is.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Signal, pidfd_send_signal};
use tokio::time::{sleep, sleep_until};

use super::Apart;

/// How often a process that computes is looked at, and one that waits.
const LOOK_MIN: Duration = Duration::from_millis(5);
const LOOK_MAX: Duration = Duration::from_millis(50);

/// Returns when there is no process any more.
pub(super) async fn hold(apart: Arc<Apart>, process: OwnedFd) {
    let mut pause = LOOK_MIN;
    loop {
        if !apart.cpu.has_share() {
            apart.cpu_changed.notified().await;
            continue;
        }
        pause = if apart.count() { LOOK_MIN } else { (pause * 2).min(LOOK_MAX) };
        let Some(until) = apart.cpu.pause_until() else {
            sleep(pause).await;
            continue;
        };
        if pidfd_send_signal(&process, Signal::STOP).is_err() {
            return;
        }
        let resume = Resume(&process);
        sleep_until(until).await;
        drop(resume);
    }
}

/// Whoever was stopped goes on, also when nobody waits for that any more.
struct Resume<'a>(&'a OwnedFd);

impl Drop for Resume<'_> {
    fn drop(&mut self) {
        let _ = pidfd_send_signal(self.0, Signal::CONT);
    }
}
