//! Turns what wasmtime reports about a guest's end into words.

use std::fmt::Write as _;

use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::container::Exit;
use crate::limits::MemoryExceeded;

/// Frames of a backtrace that are reported.
const FRAMES_MAX: usize = 32;

/// How a guest ended that did not return.
pub(crate) fn exit_of(error: &wasmtime::Error) -> Exit {
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return Exit::Code(exit.0);
    }
    if let Some(exceeded) = error.downcast_ref::<MemoryExceeded>() {
        return Exit::OutOfMemory { limit: exceeded.limit };
    }
    Exit::Trap { message: message(error), backtrace: backtrace(error) }
}

/// One line: which trap, or the root of what went wrong.
pub(crate) fn message(error: &wasmtime::Error) -> String {
    if let Some(trap) = error.downcast_ref::<Trap>() {
        // The name follows a prefix that says no more than that it is one.
        return trap.to_string().trim_start_matches("wasm trap: ").to_owned();
    }
    error.root_cause().to_string().replace('\n', " ")
}

fn backtrace(error: &wasmtime::Error) -> String {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return String::new() };
    let mut text = String::new();
    for (idx, frame) in trace.frames().iter().take(FRAMES_MAX).enumerate() {
        let name = frame.symbols().first().and_then(|symbol| symbol.name()).or(frame.func_name());
        let name = name.map_or_else(|| format!("<function {}>", frame.func_index()), str::to_owned);
        let _ = write!(text, "{idx}: {name}");
        if let Some(symbol) = frame.symbols().first()
            && let (Some(file), Some(line)) = (symbol.file(), symbol.line())
        {
            let _ = write!(text, " at {file}:{line}");
        }
        text.push('\n');
    }
    let n_left_out = trace.frames().len().saturating_sub(FRAMES_MAX);
    if n_left_out > 0 {
        let _ = writeln!(text, "and {n_left_out} more");
    }
    text
}
