//! How a process ended that did not say so itself.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::process::Child;

use crate::container::Exit;
use crate::process::{Words, name_of};

/// 128 and a signal's number, as shells count.
const SIGNALLED: i32 = 128;

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
        (Some(signal), _) => (SIGNALLED + signal, format!("its process was ended by {}", name_of(signal))),
        (None, code) => {
            let code = code.unwrap_or(1);
            (code, format!("its process ended by itself, with code {code}"))
        }
    }
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
        let words = Words::of("memory allocation of 5 bytes failed\n");
        let Exit::Lost { code, message } = lost(Ok(ExitStatus::from_raw(6)), &words) else { panic!("it was lost") };
        assert_eq!(code, 134);
        assert_eq!(message, "its process was ended by SIGABRT: memory allocation of 5 bytes failed");
    }
}
