//! The last words of a process, and the names of the signals that end one.

use parking_lot::Mutex;
use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;

/// Of what a process wrote to its standard error, the end that is kept.
const WORDS_MAX: usize = 2048;

/// What Rust and wasmtime say before they abort.
#[derive(Default)]
pub(crate) struct Words(Mutex<Vec<u8>>);

impl Words {
    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        Self(Mutex::new(text.into()))
    }

    pub(crate) async fn listen(&self, mut stderr: ChildStderr) {
        let mut chunk = [0; WORDS_MAX];
        while let Ok(n @ 1..) = stderr.read(&mut chunk).await {
            let mut words = self.0.lock();
            words.extend_from_slice(&chunk[..n]);
            let excess = words.len().saturating_sub(WORDS_MAX);
            words.drain(..excess);
        }
    }

    /// In one line.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).trim().replace('\n', " ")
    }
}

pub(crate) fn name_of(signal: i32) -> String {
    let known = match signal {
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGILL => "SIGILL",
        libc::SIGKILL => "SIGKILL",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGSYS => "SIGSYS",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        _ => return format!("signal {signal}"),
    };
    known.to_owned()
}
