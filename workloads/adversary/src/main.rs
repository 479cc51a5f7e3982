//! Behaves badly: `adversary spin | memory | sockets | line MIB | files PATH MIB | deep | trap | accept PORT | resolve NAME |
//! words PATH TEXT`. Each goes on until it is stopped, ends, or is refused; what it got is printed first.

use std::fs::File;
use std::io::Write;
use std::net::{TcpListener, ToSocketAddrs, UdpSocket};

const CHUNK: usize = 1 << 20;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["spin"] => spin(),
        ["memory"] => hold(),
        ["sockets"] => sockets(),
        ["line", mebibytes] => line(mebibytes.parse().expect("a number")),
        ["files", path, mebibytes] => files(path, mebibytes.parse().expect("a number")),
        ["deep"] => println!("{}", descend(1)),
        ["trap"] => std::process::abort(),
        ["accept", port] => accept(port.parse().expect("a port")),
        ["resolve", name] => resolve(name),
        ["words", path, text] => {
            std::fs::write(path, text).expect("the path can be written");
            std::process::exit(1);
        }
        _ => {
            eprintln!("usage: adversary spin | memory | sockets | line MIB | files PATH MIB | deep | trap | …");
            std::process::exit(2);
        }
    }
}

fn spin() {
    println!("spinning");
    let mut state = 1u64;
    loop {
        state = std::hint::black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

fn hold() {
    let mut held = Vec::new();
    loop {
        held.push(vec![1u8; CHUNK]);
    }
}

/// Opens sockets until it is refused, and says how many it got and why it got no more.
fn sockets() {
    let mut held = Vec::new();
    let error = loop {
        match UdpSocket::bind("0.0.0.0:0") {
            Ok(socket) => held.push(socket),
            Err(error) => break error,
        }
    };
    println!("{} sockets: {error}", held.len());
    std::thread::sleep(std::time::Duration::MAX);
}

/// One line, as long as it is told to.
fn line(mebibytes: usize) {
    let mut out = std::io::stdout().lock();
    let chunk = vec![b'x'; CHUNK];
    for _ in 0..mebibytes {
        out.write_all(&chunk).expect("output goes somewhere");
    }
    out.write_all(b"\n").expect("output goes somewhere");
    eprintln!("the line is written");
}

/// Fills a disk.
fn files(path: &str, mebibytes: usize) {
    let mut file = File::create(path).expect("the path can be written");
    let chunk = vec![b'x'; CHUNK];
    for _ in 0..mebibytes {
        file.write_all(&chunk).expect("there is room");
    }
    println!("{mebibytes} MiB written");
    std::thread::sleep(std::time::Duration::MAX);
}

#[expect(unconditional_recursion, reason = "that is the point")]
fn descend(n: u64) -> u64 {
    std::hint::black_box(descend(std::hint::black_box(n + 1)) + n)
}

/// Waits for somebody who does not come.
fn accept(port: u16) {
    let listener = TcpListener::bind(("0.0.0.0", port)).expect("the port is free");
    println!("waiting on {port}");
    loop {
        // Also when the listener was told to stop: this guest does not listen to reason.
        let _ = listener.accept();
    }
}

fn resolve(name: &str) {
    println!("looking up {name}");
    loop {
        let _ = (name, 80).to_socket_addrs();
    }
}
