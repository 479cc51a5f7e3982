//! Puts into numbers and words how an instance ended, once its log is complete.

use coracle_runtime::{Exit, StdStream};
use jiff::Timestamp;

use super::Running;
use crate::lifecycle::Terminated;
use crate::logs::tail_of;

/// What wasmtime's own command line gives for a trap: 128 + SIGABRT.
const TRAP_CODE: i32 = 134;
/// 128 + SIGKILL.
const KILLED_CODE: i32 = 137;
/// As upstream bounds a termination message, and the part of a log that stands in for one.
const MESSAGE_BYTES_MAX: usize = 4096;
const LOG_LINES_MAX: usize = 80;
const LOG_BYTES_MAX: usize = 2048;
const BACKTRACE_LINES_MAX: usize = 20;

/// Waits for the end of `running`, closes its log, and says how it was.
pub(super) async fn ended(
    running: &Running,
    id: String,
    started_at: Timestamp,
    message_from_logs: bool,
    now: impl Fn() -> Timestamp,
) -> Terminated {
    let exit = running.container.wait().await;
    let finished_at = now();
    if let Exit::Trap { message, backtrace } = &exit {
        let text = format!("Error: {message}\n{}\n", backtrace.trim_end());
        running.log.output().write(StdStream::Stderr, text.into());
    }
    running.log.close().await;
    let (exit_code, reason, mut message) = in_words(&exit);
    if message.is_none() && message_from_logs && exit_code != 0 {
        message = Some(tail_of(&running.log, LOG_LINES_MAX, LOG_BYTES_MAX).await).filter(|text| !text.is_empty());
    }
    Terminated { exit_code, reason: reason.to_owned(), message, started_at: Some(started_at), finished_at, id }
}

fn in_words(exit: &Exit) -> (i32, &'static str, Option<String>) {
    match exit {
        Exit::Code(0) => (0, "Completed", None),
        Exit::Code(code) => (*code, "Error", None),
        Exit::Trap { message, backtrace } => {
            let lines = std::iter::once(message.as_str()).chain(backtrace.lines().take(BACKTRACE_LINES_MAX));
            let mut text = lines.collect::<Vec<_>>().join("\n");
            text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX));
            (TRAP_CODE, "Error", Some(text))
        }
        Exit::OutOfMemory { limit } => {
            let text = format!("the guest asked for more memory than its limit of {limit} bytes");
            (KILLED_CODE, "OOMKilled", Some(text))
        }
        Exit::Killed => (KILLED_CODE, "Error", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_number_and_reason() {
        for (exit, code, reason) in [
            (Exit::Code(0), 0, "Completed"),
            (Exit::Code(3), 3, "Error"),
            (Exit::Trap { message: "unreachable".into(), backtrace: String::new() }, 134, "Error"),
            (Exit::OutOfMemory { limit: 64 }, 137, "OOMKilled"),
            (Exit::Killed, 137, "Error"),
        ] {
            let (known, said, _) = in_words(&exit);
            assert_eq!((known, said), (code, reason), "{exit:?}");
        }
    }

    #[test]
    fn a_trap_is_told_with_the_first_lines_of_its_backtrace() {
        let backtrace = (0..99).map(|n| format!("{n}: frame\n")).collect();
        let (_, _, message) = in_words(&Exit::Trap { message: "out of bounds".into(), backtrace });
        let message = message.unwrap();
        assert!(message.starts_with("out of bounds\n0: frame\n1: frame"));
        assert_eq!(message.lines().count(), 21);
    }
}
