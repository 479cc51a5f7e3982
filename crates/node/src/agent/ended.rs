//! Puts into numbers and words how an instance ended, once its log is complete, and keeps its core dump.

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use coracle_runtime::{Exit, StdStream, Usage};
use jiff::Timestamp;
use tracing::warn;

use super::Running;
use super::message::BYTES_MAX as MESSAGE_BYTES_MAX;
use crate::lifecycle::{Notice, Severity, Terminated};
use crate::logs::tail_of;

/// What wasmtime's own command line gives for a trap: 128 + SIGABRT.
const TRAP_CODE: i32 = 134;
/// 128 + SIGKILL.
const KILLED_CODE: i32 = 137;
/// The part of a log that stands in for a message, as upstream bounds it.
const LOG_LINES_MAX: usize = 80;
const LOG_BYTES_MAX: usize = 2048;
const BACKTRACE_LINES_MAX: usize = 20;

/// What is to be known of an instance when it ends.
pub(super) struct Watched {
    pub(super) running: Running,
    pub(super) container: usize,
    pub(super) id: String,
    pub(super) started_at: Timestamp,
    /// Without words of its own, the end of its log says why it failed.
    pub(super) message_from_logs: bool,
    pub(super) coredump: PathBuf,
}

impl Watched {
    /// Waits for the end, closes the log, and says how it was: in the status, and to the user if it was no good one.
    pub(super) async fn ended(self, now: impl Fn() -> Timestamp) -> (Terminated, Option<Notice>) {
        let exit = loop {
            tokio::select! {
                exit = self.running.container.wait() => break exit,
                // A server goes on.
                dump = self.running.container.coredump() => keep(self.coredump.clone(), dump).await,
            }
        };
        let finished_at = now();
        let last = Last::of(&exit, self.running.container.usage());
        if let Some(text) = &last.log {
            self.running.log.output().write(StdStream::Stderr, text.clone().into());
        }
        self.running.log.close().await;
        if let Some(dump) = self.running.container.take_coredump() {
            keep(self.coredump.clone(), dump).await;
        }
        let message = self.message(&last).await;
        let terminated = Terminated {
            exit_code: last.exit_code,
            reason: last.reason.to_owned(),
            message,
            started_at: Some(self.started_at),
            finished_at,
            id: self.id,
        };
        (terminated, last.notice.map(|(reason, words)| Notice::new(Severity::Warning, reason, words, self.container)))
    }

    /// What the guest wrote, the end of its log if that is to stand for it, or what is known of its end.
    async fn message(&self, last: &Last) -> Option<String> {
        if let Some(place) = self.running.message.clone() {
            let read = tokio::task::spawn_blocking(move || place.read()).await;
            if let Some(written) = read.expect("reading a file does not panic") {
                return Some(written);
            }
        }
        if self.message_from_logs && last.exit_code != 0 {
            let tail = tail_of(&self.running.log, LOG_LINES_MAX, LOG_BYTES_MAX).await;
            if !tail.is_empty() {
                return Some(tail);
            }
        }
        last.message.clone()
    }
}

/// Keeps `dump` as the only one of its container.
async fn keep(path: PathBuf, dump: Bytes) {
    let write = move || {
        let unfinished = path.with_extension("tmp");
        let dir = path.parent().expect("it is in a directory of its pod");
        let written = fs::create_dir_all(dir)
            .and_then(|()| fs::write(&unfinished, &dump))
            .and_then(|()| fs::rename(&unfinished, &path));
        if let Err(error) = written {
            warn!(path = %path.display(), error = &error as &dyn std::error::Error, "core dump not kept");
        }
    };
    tokio::task::spawn_blocking(write).await.expect("writing a file does not panic");
}

/// How a guest ended, in numbers and words.
#[derive(Debug, PartialEq, Eq)]
struct Last {
    exit_code: i32,
    reason: &'static str,
    message: Option<String>,
    /// What its log ends with.
    log: Option<String>,
    /// What the user is told beside: a reason and a sentence.
    notice: Option<(&'static str, String)>,
}

impl Last {
    fn of(exit: &Exit, usage: Usage) -> Self {
        let plain = |exit_code, reason| Self { exit_code, reason, message: None, log: None, notice: None };
        match exit {
            Exit::Code(0) => plain(0, "Completed"),
            Exit::Code(code) => plain(*code, "Error"),
            Exit::Killed => plain(KILLED_CODE, "Error"),
            Exit::Trap { message, backtrace } => trapped(message, backtrace, usage.memory_last_bytes),
            Exit::OutOfMemory { limit } => {
                let words = format!("the guest asked for more memory than its limit of {limit} bytes");
                Self {
                    log: Some(format!("Error: {words}\n")),
                    notice: Some(("OOMKilled", format!("{words}; exit code {KILLED_CODE}"))),
                    message: Some(words),
                    ..plain(KILLED_CODE, "OOMKilled")
                }
            }
            Exit::Lost { code, message } => Self {
                message: Some(message.clone()),
                notice: Some(("Lost", format!("{message}; exit code {code}"))),
                ..plain(*code, "Error")
            },
        }
    }
}

fn trapped(message: &str, backtrace: &str, memory_bytes: u64) -> Last {
    let place = backtrace.lines().next().and_then(|frame| frame.split_once(": "));
    let place = place.map(|(_, function)| format!(" in {function}")).unwrap_or_default();
    let held = if memory_bytes > 0 { format!(", with {memory_bytes} bytes of memory in use") } else { String::new() };
    let words = format!("trap: {message}{place}{held}");
    let lines = std::iter::once(words.as_str()).chain(backtrace.lines().take(BACKTRACE_LINES_MAX));
    let mut text = lines.collect::<Vec<_>>().join("\n");
    text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX));
    Last {
        exit_code: TRAP_CODE,
        reason: "Error",
        message: Some(text),
        log: Some(format!("Error: {message}\n{}\n", backtrace.trim_end())),
        notice: Some(("Trapped", format!("{words}; exit code {TRAP_CODE}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(exit: &Exit) -> Last {
        Last::of(exit, Usage { memory_last_bytes: 65_536, ..Usage::default() })
    }

    #[test]
    fn every_end_has_its_number_and_reason() {
        for (exit, code, reason) in [
            (Exit::Code(0), 0, "Completed"),
            (Exit::Code(3), 3, "Error"),
            (Exit::Trap { message: "unreachable".into(), backtrace: String::new() }, 134, "Error"),
            (Exit::OutOfMemory { limit: 64 }, 137, "OOMKilled"),
            (Exit::Killed, 137, "Error"),
            (Exit::Lost { code: 139, message: "its process was ended by SIGSEGV".into() }, 139, "Error"),
        ] {
            let last = last(&exit);
            assert_eq!((last.exit_code, last.reason), (code, reason), "{exit:?}");
        }
    }

    #[test]
    fn a_trap_is_told_with_its_place_and_the_first_lines_of_its_backtrace() {
        let backtrace = (0..99).map(|n| format!("{n}: frame\n")).collect();
        let last = last(&Exit::Trap { message: "out of bounds".into(), backtrace });
        let message = last.message.unwrap();
        let words = "trap: out of bounds in frame, with 65536 bytes of memory in use";
        assert!(message.starts_with(&format!("{words}\n0: frame\n1: frame")), "{message}");
        assert_eq!(message.lines().count(), 21);
        assert_eq!(last.notice, Some(("Trapped", format!("{words}; exit code 134"))));
    }

    #[test]
    fn a_memory_limit_is_told_to_the_user_and_to_the_log() {
        let last = last(&Exit::OutOfMemory { limit: 64 });
        let words = "the guest asked for more memory than its limit of 64 bytes";
        assert_eq!(last.log, Some(format!("Error: {words}\n")));
        assert_eq!(last.notice, Some(("OOMKilled", format!("{words}; exit code 137"))));
    }
}
