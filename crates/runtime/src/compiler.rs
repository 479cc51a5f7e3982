//! Where modules are compiled: each in a process of its own, which can be stopped and whose memory has a bound. It never
//! decides whether a module may run.
//!
//! The agent gives the process the module and an open file, and the process writes the compiled code into that. What it
//! wrote is trusted as the compiler is: no module chooses anything but its own code.

mod child;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join;
use serde::{Deserialize, Serialize};
use tokio::process::Child;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

pub(crate) use self::child::precompile;
pub use self::child::run;
use crate::binary::Encoding;
use crate::isolated::channel::{AsyncChannel, Channel, in_memory, packets};
use crate::module::LoadError;
use crate::process::{Program, Starter, Words, name_of};

/// How long the compiler may take for a module, unless told otherwise.
const TIME_MAX: Duration = Duration::from_secs(300);
/// What it may hold of memory meanwhile. Twenty MiB of JavaScript's engine take about one GiB.
const MEMORY_MAX: u64 = 2 << 30;
/// What Rust and the compiler say when they get no memory.
const NO_MEMORY: [&str; 2] = ["memory allocation of", "out of memory"];

/// How modules are compiled.
#[derive(Clone, Debug)]
pub struct Compiler {
    /// The program whose [`run`] compiles one module. Without it, modules are compiled in this process: then one that
    /// takes too long is given up, but not stopped, and the bound on memory does not hold.
    pub program: Option<Program>,
    pub time_max: Duration,
    pub memory_max: u64,
}

impl Default for Compiler {
    fn default() -> Self {
        Self { program: None, time_max: TIME_MAX, memory_max: MEMORY_MAX }
    }
}

/// What a process is asked for. The module and the file for its code come with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) encoding: Encoding,
    /// The code yields at every tick.
    pub(crate) interrupts: bool,
    pub(crate) memory_max: u64,
    pub(crate) time_max: Duration,
}

/// What it answers when the code is written, or cannot be.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Made,
    Invalid { cause: String },
    OutOfMemory,
    Unwritten { cause: String },
}

/// Compiles `wasm` into `code`, in a process of `program`. When this returns, or is dropped, nothing of it runs.
pub(crate) async fn compile(
    starter: &Starter,
    program: &Program,
    order: &Order,
    wasm: Bytes,
    code: Arc<File>,
) -> Result<(), LoadError> {
    let mut process = begin(starter, program, order, wasm, code)
        .await
        .map_err(|error| LoadError::Internal { cause: format!("start the compiler: {error}") })?;
    match timeout(order.time_max, process.ended()).await {
        Ok(ended) => judge(ended, order),
        Err(_) => {
            // When even this fails, it is killed once more on drop.
            let _ = process.child.kill().await;
            Err(LoadError::CompileTimeout { time_max: order.time_max })
        }
    }
}

struct Process {
    child: Child,
    channel: AsyncChannel,
}

/// What is known of a process that has ended.
struct Ended {
    answer: Option<Answer>,
    status: io::Result<ExitStatus>,
    words: String,
}

async fn begin(
    starter: &Starter,
    program: &Program,
    order: &Order,
    wasm: Bytes,
    code: Arc<File>,
) -> io::Result<Process> {
    let wasm = spawn_blocking(move || in_memory(&wasm)).await??;
    let (own, theirs) = packets()?;
    let channel = Channel::new(own);
    channel.send(order, &[wasm.as_fd(), code.as_fd()])?;
    let child = starter.start(program.command(theirs)).await?;
    Ok(Process { child, channel: AsyncChannel::new(channel)? })
}

impl Process {
    async fn ended(&mut self) -> Ended {
        let words = Words::default();
        let stderr = self.child.stderr.take();
        let listen = async {
            if let Some(stderr) = stderr {
                words.listen(stderr).await;
            }
        };
        let (answer, ()) = join(self.channel.recv::<Answer>(), listen).await;
        let answer = answer.ok().flatten().map(|(answer, _)| answer);
        Ended { answer, status: self.child.wait().await, words: words.text() }
    }
}

fn judge(ended: Ended, order: &Order) -> Result<(), LoadError> {
    let Ended { answer, status, words } = ended;
    match answer {
        Some(Answer::Made) => return Ok(()),
        Some(Answer::Invalid { cause }) => return Err(LoadError::Invalid { cause }),
        Some(Answer::OutOfMemory) => return Err(LoadError::CompileOutOfMemory { memory_max: order.memory_max }),
        Some(Answer::Unwritten { cause }) => return Err(LoadError::Internal { cause }),
        None => {}
    }
    if NO_MEMORY.iter().any(|said| words.contains(said)) {
        return Err(LoadError::CompileOutOfMemory { memory_max: order.memory_max });
    }
    let status = status.map_err(|error| LoadError::Internal { cause: format!("the compiler was lost: {error}") })?;
    Err(match status.signal() {
        Some(libc::SIGXCPU) => LoadError::CompileTimeout { time_max: order.time_max },
        // Not ours: a killed one is not judged. The kernel does that when the machine has no memory left.
        Some(libc::SIGKILL) => {
            LoadError::Internal { cause: "the compiler was killed, as when a machine runs out of memory".to_owned() }
        }
        Some(signal) => LoadError::TooMuch { cause: format!("the compiler was ended by {}: {words}", name_of(signal)) },
        None => LoadError::Internal { cause: format!("the compiler failed: {words}") },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn told(status: i32, words: &str, message: &str) {
        let order = Order {
            encoding: Encoding::Core,
            interrupts: true,
            memory_max: 64 << 20,
            time_max: Duration::from_secs(5),
        };
        let ended = Ended { answer: None, status: Ok(ExitStatus::from_raw(status)), words: words.to_owned() };
        assert_eq!(judge(ended, &order).unwrap_err().to_string(), message);
    }

    #[test]
    fn how_a_compiler_ended_is_told_in_words() {
        told(6, "memory allocation of 5 bytes failed", "compile: the compiler needs more than 64 MiB of memory for it");
        told(0x6500, "out of memory (failed", "compile: the compiler needs more than 64 MiB of memory for it");
        told(libc::SIGXCPU, "", "compile: it takes longer than 5 s");
        told(6, "assertion failed", "compile: the compiler was ended by SIGABRT: assertion failed");
        told(9, "", "compile: the compiler was killed, as when a machine runs out of memory");
        told(0x100, "no input", "compile: the compiler failed: no input");
    }
}
