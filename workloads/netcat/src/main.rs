//! `netcat tcp HOST:PORT TEXT` and `netcat udp HOST:PORT TEXT` send a text and print the answer, `netcat listen-udp
//! PORT` answers datagrams, `netcat resolve NAME` prints addresses. `send`, `sink`, `source`, `ping`, `name` and `follow`
//! measure. An error is printed, and ends it with code 1.

mod measure;

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs, UdpSocket};

const USAGE: &str = "usage: netcat tcp|udp|listen-udp|resolve|send|sink|source|ping|name|follow …";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["tcp", to, text] => tcp(to, text),
        ["udp", to, text] => udp(to, text),
        ["listen-udp", port] => listen_udp(port),
        ["resolve", name] => resolve(name),
        ["send", to, seconds] => measure::send(to, seconds),
        ["sink", port] => measure::sink(port),
        ["source", port] => measure::source(port),
        ["ping", to, count] => measure::ping(to, count),
        ["name", port, name] => measure::name(port, name),
        ["follow", to] => measure::follow(to),
        _ => Err(Error::new(ErrorKind::InvalidInput, USAGE)),
    };
    if let Err(error) = done {
        println!("{:?}: {error}", error.kind());
        std::process::exit(1);
    }
}

fn tcp(to: &str, text: &str) -> Result<()> {
    let mut stream = TcpStream::connect(to)?;
    println!("from {} to {}", stream.local_addr()?.ip(), stream.peer_addr()?);
    stream.write_all(text.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    println!("{answer}");
    Ok(())
}

fn udp(to: &str, text: &str) -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(to)?;
    socket.send(text.as_bytes())?;
    let mut answer = [0; 1500];
    let n = socket.recv(&mut answer)?;
    println!("{}", String::from_utf8_lossy(&answer[..n]));
    Ok(())
}

fn listen_udp(port: &str) -> Result<()> {
    let socket = UdpSocket::bind(format!("0.0.0.0:{port}"))?;
    println!("listening on {}", socket.local_addr()?);
    let mut datagram = [0; 1500];
    loop {
        let (n, from) = socket.recv_from(&mut datagram)?;
        socket.send_to(&datagram[..n], from)?;
    }
}

fn resolve(name: &str) -> Result<()> {
    for address in (name, 0).to_socket_addrs()? {
        println!("{}", address.ip());
    }
    Ok(())
}
