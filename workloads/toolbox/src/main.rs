//! `toolbox COMMAND …`, to look at a pod from inside: `echo PORT` answers connections with what they send, `cat` copies its
//! input, `upper` answers line by line, `exit CODE`, `env NAME`, `read FILE`, `write FILE TEXT`, `fill MIB` holds memory,
//! `flood BYTES` writes, `sleep` waits for the end of its input, `terminal` says whether it has one, `fetch URL [TOKEN_FILE]`
//! asks a server, with a token if told where one is.

#[cfg(target_env = "p2")]
mod fetch;

use std::io::{BufRead, IsTerminal, Read, Result, Write, stdin, stdout};
use std::net::{Shutdown, TcpListener};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let Err(error) = run(&args) {
        eprintln!("{error}");
        exit(1);
    }
}

fn run(args: &[&str]) -> Result<()> {
    match *args {
        ["echo", port] => echo(port),
        ["cat"] => std::io::copy(&mut stdin(), &mut stdout()).map(drop),
        ["upper"] => upper(),
        ["exit", code] => {
            eprintln!("leaving with {code}");
            exit(code.parse().unwrap_or(255));
            Ok(())
        }
        ["env", name] => {
            println!("{}", std::env::var(name).unwrap_or_default());
            Ok(())
        }
        ["read", file] => stdout().write_all(&std::fs::read(file)?),
        ["write", file, text] => std::fs::write(file, text),
        ["fill", mib] => fill(mib.parse().unwrap_or(1)),
        ["flood", bytes] => flood(bytes.parse().unwrap_or(0)),
        ["sleep"] => stdin().read_to_end(&mut Vec::new()).map(drop),
        ["terminal"] => {
            println!("{}", stdout().is_terminal());
            Ok(())
        }
        #[cfg(target_env = "p2")]
        ["fetch", url] => fetch::fetch(url, None),
        #[cfg(target_env = "p2")]
        ["fetch", url, token_file] => fetch::fetch(url, Some(std::fs::read_to_string(token_file)?.trim())),
        _ => {
            eprintln!("usage: toolbox echo|cat|upper|exit|env|read|write|fill|flood|sleep|terminal|fetch …");
            exit(64);
            Ok(())
        }
    }
}

/// One connection after the other: what came until the client's end goes back.
fn echo(port: &str) -> Result<()> {
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    println!("listening on {port}");
    for stream in listener.incoming() {
        let mut stream = stream?;
        let mut all = Vec::new();
        if stream.read_to_end(&mut all).and_then(|_| stream.write_all(&all)).is_ok() {
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
    Ok(())
}

fn upper() -> Result<()> {
    for line in stdin().lock().lines() {
        println!("{}", line?.to_uppercase());
    }
    println!("bye");
    Ok(())
}

fn fill(mib: usize) -> Result<()> {
    let held = vec![1_u8; mib << 20];
    println!("holding {} MiB", held.len() >> 20);
    Ok(())
}

fn flood(bytes: usize) -> Result<()> {
    let piece = [b'x'; 4096];
    let mut left = bytes;
    while left > 0 {
        let n = left.min(piece.len());
        stdout().write_all(&piece[..n])?;
        left -= n;
    }
    stdout().flush()
}

/// On wasip2 the standard library's exit knows only success and failure.
#[cfg(target_env = "p2")]
fn exit(code: u8) {
    let _ = stdout().flush();
    wasip2::cli::exit::exit_with_code(code);
}

#[cfg(not(target_env = "p2"))]
fn exit(code: u8) {
    std::process::exit(code.into());
}
