//! How a process ended that did not say so itself.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr};

use crate::container::Exit;

/// Of what a process wrote to its standard error, the end that is kept.
const WORDS_MAX: usize = 2048;
/// 128 and a signal's number, as shells count.
const SIGNALLED: i32 = 128;

/// The last words of a process: what Rust and wasmtime say before they abort.
#[derive(Default)]
pub(super) struct Words(Mutex<Vec<u8>>);

impl Words {
    pub(super) async fn listen(self: Arc<Self>, mut stderr: ChildStderr) {
        let mut chunk = [0; WORDS_MAX];
        while let Ok(n @ 1..) = stderr.read(&mut chunk).await {
            let mut words = self.0.lock();
            words.extend_from_slice(&chunk[..n]);
            let excess = words.len().saturating_sub(WORDS_MAX);
            words.drain(..excess);
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).trim().replace('\n', " ")
    }
}

/// A handle that means this process and never another of the same number.
pub(super) fn handle(child: &Child) -> Option<OwnedFd> {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

pub(super) fn lost(status: io::Result<ExitStatus>, words: &Words) -> Exit {
    let (code, mut message) = match status {
        Ok(status) => in_words(status),
        Err(error) => (SIGNALLED, format!("its process was lost: {error}")),
    };
    let words = words.text();
    if !words.is_empty() {
        message = format!("{message}: {words}");
    }
    Exit::Lost { code, message }
}

fn in_words(status: ExitStatus) -> (i32, String) {
    match (status.signal(), status.code()) {
        (Some(signal), _) => (SIGNALLED + signal, format!("its process was ended by {}", name(signal))),
        (None, code) => {
            let code = code.unwrap_or(1);
            (code, format!("its process ended by itself, with code {code}"))
        }
    }
}

fn name(signal: i32) -> String {
    let known = match signal {
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGILL => "SIGILL",
        libc::SIGKILL => "SIGKILL",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGSYS => "SIGSYS",
        libc::SIGTERM => "SIGTERM",
        _ => return format!("signal {signal}"),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_named_and_numbered_as_shells_do() {
        assert_eq!(in_words(ExitStatus::from_raw(11)), (139, "its process was ended by SIGSEGV".into()));
        assert_eq!(in_words(ExitStatus::from_raw(9)), (137, "its process was ended by SIGKILL".into()));
        assert_eq!(in_words(ExitStatus::from_raw(0x300)), (3, "its process ended by itself, with code 3".into()));
    }

    #[test]
    fn last_words_are_part_of_the_message() {
        let words = Words(Mutex::new(b"memory allocation of 5 bytes failed\n".to_vec()));
        let Exit::Lost { code, message } = lost(Ok(ExitStatus::from_raw(6)), &words) else { panic!("it was lost") };
        assert_eq!(code, 134);
        assert_eq!(message, "its process was ended by SIGABRT: memory allocation of 5 bytes failed");
    }
}
