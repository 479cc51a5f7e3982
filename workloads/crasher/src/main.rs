//! Ends in the way that its first argument, or `CRASH`, names: `exit CODE`, `panic`, `trap`, `overflow` or `hang`. A
//! number in `CRASH_AFTER_S` makes it wait as many seconds before.

use std::time::Duration;

fn main() {
    let mut args = std::env::args().skip(1);
    let how = args.next().or_else(|| std::env::var("CRASH").ok()).unwrap_or_else(|| "panic".into());
    if let Some(seconds) = std::env::var("CRASH_AFTER_S").ok().and_then(|text| text.parse().ok()) {
        std::thread::sleep(Duration::from_secs_f64(seconds));
    }
    println!("about to {how}");
    match how.as_str() {
        "exit" => exit(args.next().and_then(|code| code.parse().ok()).unwrap_or(1)),
        "panic" => panic!("told to"),
        "trap" => give_up(),
        "overflow" => println!("{}", descend(1)),
        "hang" => std::thread::sleep(Duration::MAX),
        other => {
            eprintln!("no such way to end: {other}");
            exit(2);
        }
    }
}

#[inline(never)]
fn give_up() {
    core::arch::wasm32::unreachable();
}

#[inline(never)]
#[expect(unconditional_recursion, reason = "it is there to exhaust the stack")]
fn descend(n: u64) -> u64 {
    let here = std::hint::black_box([n; 64]);
    std::hint::black_box(descend(n + 1)) + here[63]
}

/// On wasip2 the standard library's exit knows only success and failure.
#[cfg(target_env = "p2")]
fn exit(code: u8) {
    wasip2::cli::exit::exit_with_code(code);
}

#[cfg(not(target_env = "p2"))]
fn exit(code: u8) {
    std::process::exit(code.into());
}
