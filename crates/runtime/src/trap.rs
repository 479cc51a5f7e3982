//! Turns what wasmtime reports about a guest's end into words.

use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::container::Exit;
use crate::limits::MemoryExceeded;

/// Lines of a backtrace that are reported.
const LINES_MAX: usize = 64;
/// How wasmtime introduces a backtrace.
const BACKTRACE: &str = "error while executing at wasm backtrace";

/// How wasmtime introduces a core dump.
const COREDUMP: &str = "wasm coredump generated while executing";

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

/// One line: which trap, or what went wrong and why.
fn message(error: &wasmtime::Error) -> String {
    if let Some(trap) = error.downcast_ref::<Trap>() {
        // The name follows a prefix that says no more than that it is one.
        return trap.to_string().trim_start_matches("wasm trap: ").to_owned();
    }
    let told_elsewhere = |cause: &String| cause.starts_with(BACKTRACE) || cause.starts_with(COREDUMP);
    let causes = error.chain().map(ToString::to_string).filter(|cause| !told_elsewhere(cause));
    causes.collect::<Vec<_>>().join(": ").replace('\n', " ")
}

/// A line per frame of the guest, innermost first: its number, its function's name, and its place if that is known.
fn backtrace(error: &wasmtime::Error) -> String {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return String::new() };
    // Only its text has the names as they were before they were mangled.
    let text = trace.to_string();
    let mut tidied = String::new();
    for line in text.lines().skip_while(|line| line.starts_with(BACKTRACE)).take(LINES_MAX) {
        tidied.push_str(&frame(line));
        tidied.push('\n');
    }
    tidied
}

/// `   0:   0x1f2 - module.wasm!name` without the offset and the module, which say nothing to the guest's author.
fn frame(line: &str) -> String {
    let line = line.trim();
    let (number, rest) = line.split_once(':').unwrap_or((line, ""));
    if number.parse::<u32>().is_err() {
        return format!("   {line}");
    }
    let name = rest.split_once(" - ").map_or(rest.trim(), |(_offset, name)| name);
    let name = name.split_once('!').map_or(name, |(_module, name)| name);
    format!("{number}: {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_its_number_and_name() {
        assert_eq!(frame("    0:   0x1f2 - crasher.wasm!crasher::give_up"), "0: crasher::give_up");
        assert_eq!(frame("    0: <unknown>!descend"), "0: descend");
        assert_eq!(frame("    1:   0x1f2 - <unknown>!<wasm function 3>"), "1: <wasm function 3>");
        assert_eq!(frame("           at src/main.rs:3:4"), "   at src/main.rs:3:4");
    }
}
