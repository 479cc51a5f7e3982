//! The process that compiles one module: it bounds itself, compiles, and says how that went.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::thread;

use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setpriority_process, setrlimit};
use wasmtime::error::OutOfMemory;

use super::{Answer, Order};
use crate::binary::Encoding;
use crate::engine;
use crate::isolated::channel::{Channel, contents};
use crate::isolated::system;
use crate::loader::{WASM_BYTES_MAX, one_line};

/// How much the kernel prefers other processes (`nice`).
const NICENESS: i32 = 10;

/// Compiles the one module of this process. To be called before there are other threads.
pub fn run() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    system::close_inherited()?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    setpriority_process(None, NICENESS)?;
    let channel = Channel::new(io::stdin().as_fd().try_clone_to_owned()?);
    let Some((order, files)) = channel.recv::<Order>()? else {
        return Err(io::Error::other("the agent asked for nothing"));
    };
    let mut files = files.into_iter();
    let (Some(wasm), Some(code)) = (files.next(), files.next()) else {
        return Err(io::Error::other("the agent sent no module"));
    };
    limit(&order)?;
    let wasm = contents(wasm, WASM_BYTES_MAX as u64)?;
    channel.send(&answer(&order, &wasm, code.into()), &[])
}

fn limit(order: &Order) -> io::Result<()> {
    let to = |max| Rlimit { current: Some(max), maximum: Some(max) };
    setrlimit(Resource::Core, to(0))?;
    setrlimit(Resource::Data, to(order.memory_max))?;
    // Should the agent not be there to end it.
    let n_cpus = thread::available_parallelism().map_or(1, |n| n.get() as u64);
    setrlimit(Resource::Cpu, to((order.time_max.as_secs() + 1).saturating_mul(n_cpus)))?;
    Ok(())
}

fn answer(order: &Order, wasm: &[u8], mut code: File) -> Answer {
    let made = engine::compiling(order.interrupts).and_then(|engine| precompile(&engine, order.encoding, wasm));
    match made.map(|made| code.write_all(&made)) {
        Ok(Ok(())) => Answer::Made,
        Ok(Err(error)) => Answer::Unwritten { cause: format!("write the compiled code: {error}") },
        Err(error) if error.is::<OutOfMemory>() => Answer::OutOfMemory,
        Err(error) => Answer::Invalid { cause: one_line(&error) },
    }
}

pub(crate) fn precompile(engine: &wasmtime::Engine, encoding: Encoding, wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
    match encoding {
        Encoding::Core => engine.precompile_module(wasm),
        Encoding::Component => engine.precompile_component(wasm),
    }
}
