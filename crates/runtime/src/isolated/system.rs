//! The few things of the kernel for which there is no safe interface: closing whatever was inherited, the CPU time of
//! another process, and waiting for a descriptor.
#![expect(unsafe_code, reason = "no crate of ours offers these system calls")]

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Closes every descriptor but the standard ones.
pub(crate) fn close_inherited() -> io::Result<()> {
    // SAFETY: it is called before this process has opened anything that it still uses, by the only thread.
    match unsafe { libc::close_range(3, libc::c_uint::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The CPU time that all threads of a process have used, also those that have ended.
pub(super) fn cpu_time(pid: u32) -> Option<Duration> {
    // As `clock_getcpuclockid` computes it: all bits of the process's number but the last three, and "scheduler" (2).
    let clock = (!libc::clockid_t::try_from(pid).ok()? << 3) | 2;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec that the kernel may write to.
    match unsafe { libc::clock_gettime(clock, &raw mut time) } {
        0 => Some(Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?)),
        _ => None,
    }
}

/// A descriptor whose readiness tasks can wait for.
pub(super) fn watched(descriptor: Arc<OwnedFd>, interest: Interest) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    // SAFETY: who owns the descriptor closes it when the last of its owners is dropped, and here is one of them.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, interest) }?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_cpu_time_and_one_that_is_not_there_has_none() {
        assert!(cpu_time(std::process::id()).unwrap() > Duration::ZERO);
        assert_eq!(cpu_time(u32::MAX), None);
        assert_eq!(cpu_time((1 << 22) + 1), None);
    }
}
